from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from planton_build.errors import ImageInvalid, ImageMismatch
from planton_build.oci.assemble import CREATED, NewLayer, assemble
from planton_build.oci.documents import parse_manifest
from planton_build.oci.image import Image, Layer
from planton_build.oci.media_types import (
    CONFIG_OF,
    DOCKER_MANIFEST,
    LAYER_OF,
    OCI_LAYER,
    OCI_MANIFEST,
    OCI_TAR_LAYER,
)

MakeImage = Callable[..., Image]
MakeLayer = Callable[..., Layer]


def document(image: Image) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(image.config)
    return value


@pytest.mark.parametrize("kind", [OCI_MANIFEST, DOCKER_MANIFEST])
def test_an_image_is_one_manifest_of_its_bases_kind(image: MakeImage, layer: MakeLayer, kind: str) -> None:
    base = image(kind=kind)
    made = assemble(base, [NewLayer(layer("app"), "sources")], architecture="amd64")
    manifest = parse_manifest(made.manifest)
    assert (made.media_type, manifest.media_type, manifest.config.media_type) == (kind, kind, CONFIG_OF[kind])
    assert {descriptor.media_type for descriptor in manifest.layers} == {LAYER_OF[kind]}
    assert manifest.layers[:2] == parse_manifest(base.manifest).layers
    assert manifest.config.digest == made.config_digest
    assert made.settings.diff_ids == (*base.settings.diff_ids, layer("app").diff_id)


def test_the_digest_of_an_image_never_changes(image: MakeImage, layer: MakeLayer) -> None:
    """Documents are written by us, so their bytes are ours to keep: a change is a decision."""
    base = image(image_layer(layer), architecture="arm64")
    made = assemble(
        base,
        [],
        architecture="arm64",
        entrypoint=("/lambda-entrypoint.sh",),
        command=("app.handler",),
        working_dir="/var/task",
        environment={"Ä": "ö", "LANG": "C.UTF-8"},
    )
    assert made.digest == "sha256:732131ef9a76305341a5a553315a6a814c88b5f0abf3ca0864da450799c205e2"


def image_layer(layer: MakeLayer) -> Layer:
    """Return a layer whose digest does not depend on this host's zlib."""
    return replace(layer("base", kind=OCI_TAR_LAYER))


def test_only_what_is_asked_for_changes(image: MakeImage, layer: MakeLayer) -> None:
    inner = {
        "Env": ["PATH=/bin", "LANG=C"], "Cmd": ["sh"], "Entrypoint": ["/entry"], "Labels": {"a": "b"},
        "User": "1000", "WorkingDir": "/", "ExposedPorts": {"80/tcp": {}},
    }  # fmt: skip
    base = image(inner=inner, author="somebody", unknown=[1, {"a": None}])
    made = document(assemble(base, [], architecture="amd64"))
    assert made["config"] == inner
    assert (made["author"], made["unknown"]) == ("somebody", [1, {"a": None}])
    changed = document(
        assemble(base, [], architecture="amd64", command=["a.b"], working_dir="/var/task", entrypoint=[])
    )
    assert changed["config"] == inner | {"Cmd": ["a.b"], "WorkingDir": "/var/task", "Entrypoint": []}


def test_variables_replace_those_of_the_same_name_and_others_follow_sorted(image: MakeImage) -> None:
    base = image(inner={"Env": ["A=1", "LANG=C", "LONG=A=B", "A=2"]})
    made = assemble(base, [], architecture="amd64", environment={"Z": "=", "B": "", "A": "3", "LONG": "x"})
    assert made.settings.environment == ("A=3", "LANG=C", "LONG=x", "B=", "Z==")


def test_what_a_builder_keeps_of_its_host_is_dropped(image: MakeImage) -> None:
    base = image(
        inner={"Hostname": "4f2", "Image": "sha256:1", "Cmd": ["sh"]},
        container="4f2",
        container_config={"Hostname": "4f2"},
        docker_version="20.10",
        **{"moby.buildkit.buildinfo.v1": "e30="},
    )
    made = document(assemble(base, [], architecture="amd64"))
    assert made.keys() == {"architecture", "config", "created", "history", "os", "rootfs"}
    assert made["config"] == {"Cmd": ["sh"]}


def test_times_are_fixed_and_the_bases_history_is_kept(image: MakeImage, layer: MakeLayer) -> None:
    history = [
        {"created": "2026-01-01T00:00:00Z", "created_by": "ADD"},
        {"created": "2026-01-01T00:00:00Z", "created_by": "CMD", "empty_layer": True},
        {"created": "2026-01-01T00:00:00Z", "created_by": "RUN"},
    ]
    base = image(created="2026-01-01T00:00:00Z", history=history)
    made = document(assemble(base, [NewLayer(layer("app"), "sources")], architecture="amd64"))
    assert made["created"] == CREATED
    assert made["history"] == [*history, {"created": CREATED, "created_by": "sources"}]


@pytest.mark.parametrize("history", [None, [], [{"created_by": "one"}], [1, 2], "text", {}])
def test_a_history_that_does_not_go_with_the_layers_is_replaced(
    image: MakeImage, layer: MakeLayer, history: object
) -> None:
    made = document(
        assemble(image(history=history), [NewLayer(layer("app"), "sources")], architecture="amd64")
    )
    assert [entry["created_by"] for entry in made["history"]] == ["base image", "base image", "sources"]


@pytest.mark.parametrize(
    ("architecture", "said", "variant"),
    [("arm64", {}, "v8"), ("arm64", {"variant": "v8"}, "v8"), ("arm64", {"variant": "v9"}, "v9")],
)
def test_an_arm64_image_has_a_variant(
    image: MakeImage, architecture: str, said: dict[str, str], variant: str
) -> None:
    base = image(architecture=architecture, **said)
    assert assemble(base, [], architecture=architecture).settings.variant == variant
    assert "variant" not in document(assemble(image(), [], architecture="amd64"))


def test_the_order_of_keys_in_the_base_does_not_show(image: MakeImage) -> None:
    def turned(value: Any) -> Any:
        return {k: turned(v) for k, v in reversed(value.items())} if isinstance(value, dict) else value

    base = image(author="ö", created="now")
    document = json.loads(base.config)
    other = image(inner=turned(document["config"]), created="now", author="ö")
    made = [
        assemble(one, [], architecture="amd64", environment={"B": "1", "A": "2"}) for one in (base, other)
    ]
    assert made[0].digest == made[1].digest
    assert base.config != other.config


def test_a_base_for_another_architecture_or_system_is_refused(image: MakeImage) -> None:
    with pytest.raises(ImageMismatch, match="linux/amd64, and the function for linux/arm64"):
        assemble(image(), [], architecture="arm64")
    with pytest.raises(ImageMismatch, match="windows"):
        assemble(image(os="windows"), [], architecture="amd64")


def test_a_base_whose_documents_contradict_each_other_is_refused(image: MakeImage, layer: MakeLayer) -> None:
    base = image()
    for broken in (
        replace(base, layers=base.layers[:1]),
        replace(base, config=base.config + b" "),
        replace(base, layers=(base.layers[0], replace(base.layers[1], diff_id=base.layers[0].diff_id))),
        image(rootfs={"diff_ids": [base.layers[0].diff_id]}),
    ):
        with pytest.raises(ImageInvalid):
            assemble(broken, [], architecture="amd64")


def test_a_new_layer_that_is_not_gzipped_is_refused(image: MakeImage, layer: MakeLayer) -> None:
    new = NewLayer(layer("app", kind=OCI_TAR_LAYER), "sources")
    with pytest.raises(ImageInvalid, match="gzipped"):
        assemble(image(), [new], architecture="amd64")


@pytest.mark.parametrize("odd", [float("nan"), float("inf")])
def test_what_json_does_not_know_is_refused(image: MakeImage, odd: float) -> None:
    with pytest.raises(ImageInvalid, match="JSON"):
        assemble(image(odd=odd), [], architecture="amd64")


def test_a_lone_surrogate_of_the_base_does_no_harm(image: MakeImage) -> None:
    made = assemble(image(author="\ud800"), [], architecture="amd64")
    assert document(made)["author"] == "\ud800"
    assert OCI_LAYER in made.manifest.decode("ascii")
