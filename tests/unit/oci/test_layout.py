from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planton_build.errors import ImageInvalid, ImageMismatch, ImageUnavailable, PlantonError
from planton_build.oci.blobs import BytesContent
from planton_build.oci.image import Image, Layer
from planton_build.oci.layout import read_layout, write_layout
from planton_build.oci.media_types import DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST

MakeImage = Callable[..., Image]
MakeLayer = Callable[..., Layer]


def put(folder: Path, content: bytes, kind: str, **more: Any) -> dict[str, Any]:
    """Write a blob; return its descriptor."""
    name = hashlib.sha256(content).hexdigest()
    (folder / "blobs/sha256" / name).write_bytes(content)
    return {"mediaType": kind, "digest": f"sha256:{name}", "size": len(content), **more}


def index(folder: Path, *entries: dict[str, Any]) -> None:
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": entries}))


def entries(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((folder / "index.json").read_text())["manifests"]
    return found


def same(found: Image, image: Image) -> None:
    assert (found.media_type, found.manifest, found.config) == (
        image.media_type,
        image.manifest,
        image.config,
    )
    assert [(layer.descriptor, layer.diff_id) for layer in found.layers] == [
        (layer.descriptor, layer.diff_id) for layer in image.layers
    ]
    for ours, theirs in zip(found.layers, image.layers, strict=True):
        assert b"".join(ours.content.chunks()) == b"".join(theirs.content.chunks())
        assert b"".join(ours.content.chunks(7)) == b"".join(theirs.content.chunks(7))


@pytest.mark.parametrize("kind", [OCI_MANIFEST, DOCKER_MANIFEST])
def test_what_is_written_is_read_again(tmp_path: Path, image: MakeImage, kind: str) -> None:
    written = image(kind=kind)
    write_layout(written, tmp_path / "new" / "l", tag="one")
    for how in ({}, {"reference": "one"}, {"reference": written.digest}, {"architecture": "amd64"}):
        same(read_layout(tmp_path / "new" / "l", **how), written)


def test_a_layout_says_what_the_specification_asks_for(tmp_path: Path, image: MakeImage) -> None:
    written = image(architecture="arm64", variant="v8")
    write_layout(written, tmp_path / "l", tag="one")
    assert json.loads((tmp_path / "l/oci-layout").read_text()) == {"imageLayoutVersion": "1.0.0"}
    (entry,) = entries(tmp_path / "l")
    assert entry == {
        "mediaType": OCI_MANIFEST,
        "digest": written.digest,
        "size": len(written.manifest),
        "platform": {"architecture": "arm64", "os": "linux", "variant": "v8"},
        "annotations": {"org.opencontainers.image.ref.name": "one"},
    }
    for path in (tmp_path / "l/blobs/sha256").iterdir():
        assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name


def test_another_image_is_added_and_a_tag_moves(tmp_path: Path, image: MakeImage, layer: MakeLayer) -> None:
    first, second = image(), image(layer("other"), layer("base"))
    write_layout(first, tmp_path, tag="one")
    write_layout(second, tmp_path, tag="two")
    same(read_layout(tmp_path, reference="one"), first)
    same(read_layout(tmp_path, reference="two"), second)
    write_layout(second, tmp_path, tag="one")
    same(read_layout(tmp_path, reference="one"), second)
    assert len(entries(tmp_path)) == 2
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    write_layout(second, tmp_path, tag="one")
    moved = sorted(entries(tmp_path), key=str)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}.keys() == before.keys()
    assert len(moved) == 2


def test_what_another_tool_put_into_a_layout_stays(tmp_path: Path, image: MakeImage) -> None:
    write_layout(image(), tmp_path, tag="one")
    theirs = put(tmp_path, b"{}", "application/vnd.cncf.helm.chart", annotations={"x": "y"}, odd=1)
    index(tmp_path, theirs)
    write_layout(image(), tmp_path, tag="one")
    assert entries(tmp_path)[0] == theirs
    same(read_layout(tmp_path), image())


def test_a_damaged_blob_is_written_anew(tmp_path: Path, image: MakeImage) -> None:
    written = image()
    write_layout(written, tmp_path, tag="one")
    blob = tmp_path / "blobs/sha256" / written.layers[0].descriptor.hex
    blob.write_bytes(bytes(blob.stat().st_size))
    write_layout(written, tmp_path, tag="two")
    same(read_layout(tmp_path, reference="two"), written)


def test_a_writer_that_is_stopped_leaves_no_image(tmp_path: Path, image: MakeImage, layer: MakeLayer) -> None:
    good, bad = layer("good"), layer("bad")
    broken = image(good, replace(bad, content=BytesContent(b"other bytes")))
    with pytest.raises(ImageMismatch, match="digest"):
        write_layout(broken, tmp_path / "new", tag="one")
    with pytest.raises(ImageUnavailable):
        read_layout(tmp_path / "new")
    write_layout(image(good, bad), tmp_path / "new", tag="one")  # goes on where the other stopped
    with pytest.raises(ImageMismatch):
        write_layout(image(layer("x"), broken.layers[1]), tmp_path / "new2", tag="two")
    assert not list(tmp_path.rglob("*.planton-tmp"))


def test_a_folder_with_other_things_is_left_alone(tmp_path: Path, image: MakeImage) -> None:
    (tmp_path / "precious.txt").write_text("keep")
    with pytest.raises(ImageInvalid, match="other things"):
        write_layout(image(), tmp_path, tag="one")
    assert [path.name for path in tmp_path.iterdir()] == ["precious.txt"]


def test_nothing_is_written_through_a_link(tmp_path: Path, image: MakeImage) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "l").mkdir()
    (tmp_path / "l/blobs").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ImageInvalid, match="link"):
        write_layout(image(), tmp_path / "l", tag="one")
    assert not list((tmp_path / "elsewhere").iterdir())


def test_the_image_for_an_architecture_is_found_in_nested_indexes(tmp_path: Path, image: MakeImage) -> None:
    images = {architecture: image(architecture=architecture) for architecture in ("amd64", "arm64")}
    for architecture, one in images.items():
        write_layout(one, tmp_path, tag=architecture)
    said = [
        {**put(tmp_path, one.manifest, OCI_MANIFEST), "platform": {"os": "linux", "architecture": name}}
        for name, one in images.items()
    ]
    said.append(
        {
            **put(tmp_path, b"{}", OCI_MANIFEST),
            "annotations": {"vnd.docker.reference.type": "attestation-manifest"},
            "platform": {"os": "unknown", "architecture": "unknown"},
        }
    )
    inner = put(tmp_path, json.dumps({"manifests": said}).encode(), OCI_INDEX)
    outer = json.dumps({"schemaVersion": 2, "manifests": [inner]}).encode()
    named = {"org.opencontainers.image.ref.name": "all"}
    index(tmp_path, put(tmp_path, outer, OCI_INDEX, annotations=named))
    same(read_layout(tmp_path, reference="all", architecture="arm64"), images["arm64"])
    same(read_layout(tmp_path, architecture="amd64"), images["amd64"])
    same(read_layout(tmp_path, reference=inner["digest"], architecture="amd64"), images["amd64"])
    same(read_layout(tmp_path, reference=images["arm64"].digest), images["arm64"])
    with pytest.raises(ImageInvalid, match="several"):
        read_layout(tmp_path, reference="all")


def test_what_is_not_there_is_said(tmp_path: Path, image: MakeImage) -> None:
    with pytest.raises(ImageUnavailable, match="no image layout"):
        read_layout(tmp_path / "missing")
    write_layout(image(), tmp_path, tag="one")
    with pytest.raises(ImageUnavailable, match="two") as caught:
        read_layout(tmp_path, reference="two")
    assert "one" in str(caught.value.hint)
    with pytest.raises(ImageMismatch, match="amd64"):
        read_layout(tmp_path, architecture="arm64")


@pytest.mark.parametrize("which", ["manifest", "config", "layer"])
@pytest.mark.parametrize("how", ["gone", "short", "long", "changed", "fifo"])
def test_a_blob_that_is_not_what_it_should_be_is_refused(
    tmp_path: Path, image: MakeImage, which: str, how: str
) -> None:
    written = image()
    write_layout(written, tmp_path, tag="one")
    digests = {"manifest": written.digest, "config": written.config_digest}
    digest = digests.get(which, written.layers[0].descriptor.digest)
    blob = tmp_path / "blobs/sha256" / digest.removeprefix("sha256:")
    content = blob.read_bytes()
    if how in {"gone", "fifo"}:
        blob.unlink()
    if how == "fifo":
        os.mkfifo(blob)
    if how in {"short", "long", "changed"}:
        changed = bytes([content[0] ^ 1]) + content[1:]
        blob.write_bytes({"short": content[:-1], "long": content + b" ", "changed": changed}[how])
    if which == "layer" and how == "changed":
        # Whoever reads it verifies it, as here by writing it elsewhere.
        with pytest.raises(ImageMismatch):
            write_layout(read_layout(tmp_path), tmp_path / "copy", tag="one")
        return
    with pytest.raises((ImageInvalid, ImageMismatch)):
        read_layout(tmp_path)


def test_a_digest_that_is_a_path_leads_nowhere(tmp_path: Path, image: MakeImage) -> None:
    write_layout(image(), tmp_path, tag="one")
    for digest in ("sha256:../../../../etc/passwd", "sha256:" + "A" * 64, "../x", "sha512:" + "0" * 128):
        index(tmp_path, {"mediaType": OCI_MANIFEST, "digest": digest, "size": 1})
        with pytest.raises(ImageInvalid, match="digest"):
            read_layout(tmp_path)


def test_an_index_without_end_is_given_up(tmp_path: Path, image: MakeImage) -> None:
    write_layout(image(), tmp_path, tag="one")
    inner = put(tmp_path, json.dumps({"manifests": []}).encode(), OCI_INDEX)
    for _ in range(4):
        content = json.dumps({"manifests": [inner] * 15}).encode()
        inner = put(tmp_path, content, OCI_INDEX)
    index(tmp_path, inner)
    with pytest.raises(ImageInvalid, match="too many"):
        read_layout(tmp_path)


def test_documents_that_are_too_large_are_not_read(tmp_path: Path, image: MakeImage) -> None:
    write_layout(image(), tmp_path, tag="one")
    large = put(tmp_path, b" " * (5 << 20), OCI_MANIFEST)
    index(tmp_path, large)
    with pytest.raises(ImageInvalid, match="too large"):
        read_layout(tmp_path)
    (tmp_path / "index.json").write_bytes(b" " * (5 << 20))
    with pytest.raises(ImageInvalid, match="larger"):
        read_layout(tmp_path)


@pytest.mark.parametrize(
    "marker", ["{}", "[]", "no", '{"imageLayoutVersion": "2.0.0"}', '{"imageLayoutVersion": 1}']
)
def test_an_unknown_version_is_refused(tmp_path: Path, image: MakeImage, marker: str) -> None:
    write_layout(image(), tmp_path, tag="one")
    (tmp_path / "oci-layout").write_text(marker)
    with pytest.raises(ImageInvalid):
        read_layout(tmp_path)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["mediaType", "digest", "size", "annotations", "platform", "x"]), inner, max_size=4
    ),
    max_leaves=8,
)  # fmt: skip


@settings(max_examples=80, deadline=None)
@given(st.lists(JSON, max_size=3) | JSON)
def test_no_index_makes_anything_but_a_named_error(
    tmp_path_factory: pytest.TempPathFactory, image: MakeImage, manifests: object
) -> None:
    folder = tmp_path_factory.mktemp("odd")
    write_layout(image(), folder, tag="one")
    (folder / "index.json").write_text(json.dumps({"manifests": manifests}))
    with pytest.raises(PlantonError):
        read_layout(folder)


@pytest.mark.parametrize("name", ["index.json", "oci-layout"])
def test_a_pipe_in_the_place_of_a_document_is_not_waited_for(
    tmp_path: Path, image: MakeImage, name: str
) -> None:
    write_layout(image(), tmp_path, tag="one")
    (tmp_path / name).unlink()
    os.mkfifo(tmp_path / name)
    with pytest.raises((ImageInvalid, ImageUnavailable)):
        read_layout(tmp_path)
