from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planton_build.errors import ImageInvalid, ImageMismatch, ImageUnavailable, PlantonError
from planton_build.oci.blobs import BytesContent, FileContent, verified
from planton_build.oci.docker_archive import read_archive, write_archive
from planton_build.oci.image import Image, Layer
from planton_build.oci.media_types import (
    DOCKER_MANIFEST,
    OCI_LAYER,
    OCI_MANIFEST,
    OCI_TAR_LAYER,
    OCI_ZSTD_LAYER,
)

MakeImage = Callable[..., Image]
MakeLayer = Callable[..., Layer]
Entry = tuple[str, bytes | str]


def tar_of(path: Path, entries: list[Entry], *, kind: bytes = tarfile.SYMTYPE) -> Path:
    """Write a tar with the files, and with links where the content is a text."""
    with tarfile.open(path, "w") as archive:
        for name, content in entries:
            info = tarfile.TarInfo(name)
            if isinstance(content, str):
                info.type, info.linkname = kind, content
                archive.addfile(info)
            else:
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return path


def bytes_of(layer: Layer) -> bytes:
    return b"".join(layer.content.chunks())


def old_form(image: Image, *, pack: bool = False, **more: Any) -> list[Entry]:
    """Return what `docker save` wrote before version 25: no manifest, a folder for each layer."""
    packed = {f"{layer.descriptor.hex}/layer.tar": bytes_of(layer) for layer in image.layers}
    layers = {name: gzip.decompress(content) for name, content in packed.items()}
    config = f"{image.config_digest.removeprefix('sha256:')}.json"
    said = {"Config": config, "RepoTags": ["app:1", "here/app:2"], "Layers": list(layers), **more}
    return [
        *(packed if pack else layers).items(),
        (config, image.config),
        ("manifest.json", json.dumps([said]).encode()),
        ("repositories", b"{}"),
    ]


@pytest.mark.parametrize("kind", [OCI_MANIFEST, DOCKER_MANIFEST])
def test_what_is_written_is_read_again_with_its_digest(tmp_path: Path, image: MakeImage, kind: str) -> None:
    written = image(kind=kind)
    write_archive(written, tmp_path / "a.tar", tags=["app:1", "app:2"])
    for how in (
        {}, {"reference": "1"}, {"reference": "app:1"}, {"reference": "docker.io/library/app:2"},
        {"reference": written.digest}, {"architecture": "amd64"},
    ):  # fmt: skip
        found = read_archive(tmp_path / "a.tar", **how)
        assert (found.manifest, found.config) == (written.manifest, written.config)
        for ours, theirs in zip(found.layers, written.layers, strict=True):
            assert isinstance(ours.content, FileContent)
            assert ours.content.path == tmp_path / "a.tar"
            assert b"".join(verified(ours.content, ours.descriptor)) == bytes_of(theirs)


def test_an_archive_depends_on_the_image_and_its_tags_alone(tmp_path: Path, image: MakeImage) -> None:
    for name in ("one", "two"):
        write_archive(image(), tmp_path / name, tags=["a:1"])
    write_archive(image(), tmp_path / "three", tags=["a:2"])
    one, two, three = ((tmp_path / name).read_bytes() for name in ("one", "two", "three"))
    assert one == two != three


def test_both_forms_name_the_same_files(tmp_path: Path, image: MakeImage) -> None:
    written = image()
    write_archive(written, tmp_path / "a.tar", tags=["host:5000/app:1", "team/app:2", "app:3"])
    with tarfile.open(tmp_path / "a.tar") as archive:
        names = archive.getnames()
        (old,) = json.load(archive.extractfile("manifest.json"))  # type: ignore[arg-type]
        new = json.load(archive.extractfile("index.json"))  # type: ignore[arg-type]
    assert len(set(names)) == len(names)
    assert {old["Config"], *old["Layers"]} < set(names)
    assert old["RepoTags"] == ["host:5000/app:1", "team/app:2", "app:3"]
    full = [entry["annotations"]["io.containerd.image.name"] for entry in new["manifests"]]
    assert full == ["host:5000/app:1", "docker.io/team/app:2", "docker.io/library/app:3"]
    assert {entry["digest"] for entry in new["manifests"]} == {written.digest}


def test_a_layer_that_is_there_twice_is_written_once(
    tmp_path: Path, image: MakeImage, layer: MakeLayer
) -> None:
    written = image(layer("a"), layer("b"), layer("a"))
    write_archive(written, tmp_path / "a.tar")
    with tarfile.open(tmp_path / "a.tar") as archive:
        assert len(set(archive.getnames())) == len(archive.getnames())
    assert len(read_archive(tmp_path / "a.tar").layers) == 3


def test_a_layer_with_other_bytes_is_not_written(tmp_path: Path, image: MakeImage, layer: MakeLayer) -> None:
    written = image()
    wrong = replace(written.layers[1], content=BytesContent(bytes(written.layers[1].descriptor.size)))
    with pytest.raises(ImageMismatch):
        write_archive(replace(written, layers=(written.layers[0], wrong)), tmp_path / "a.tar")


@pytest.mark.parametrize("pack", [False, True])
def test_the_old_form_is_read_with_the_digests_of_its_bytes(
    tmp_path: Path, image: MakeImage, pack: bool
) -> None:
    saved = image()
    path = tar_of(tmp_path / "a.tar", old_form(saved, pack=pack))
    for how in (
        {},
        {"reference": "app:1"},
        {"reference": "2"},
        {"reference": "docker.io/library/app:1"},
        {"architecture": "amd64"},
    ):
        found = read_archive(path, **how)
        assert (found.media_type, found.config) == (OCI_MANIFEST, saved.config)
        for ours, theirs in zip(found.layers, saved.layers, strict=True):
            assert ours.diff_id == theirs.diff_id
            content = b"".join(verified(ours.content, ours.descriptor))
            if pack:
                assert (ours.descriptor.media_type, content) == (OCI_LAYER, bytes_of(theirs))
            else:
                assert ours.descriptor.media_type == OCI_TAR_LAYER
                assert content == gzip.decompress(bytes_of(theirs))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
def test_a_layer_that_is_a_link_to_another_is_found(
    tmp_path: Path, image: MakeImage, layer: MakeLayer, kind: bytes
) -> None:
    saved = image(layer("a"), layer("a"))
    names = ["one/layer.tar", "two/layer.tar"]
    content = gzip.decompress(bytes_of(saved.layers[0]))
    link = "../one/layer.tar" if kind == tarfile.SYMTYPE else "one/layer.tar"
    entries = [(names[1], link), (names[0], content), *old_form(saved, Layers=names)[1:]]
    found = read_archive(tar_of(tmp_path / "a.tar", entries, kind=kind))
    assert [bytes_of(one) for one in found.layers] == [content, content]


def test_a_zstd_layer_is_said_to_be_one(tmp_path: Path, image: MakeImage) -> None:
    saved = image()
    entries = old_form(saved)
    content = b"\x28\xb5\x2f\xfd and so on"
    entries[0] = (entries[0][0], content)
    found = read_archive(tar_of(tmp_path / "a.tar", entries)).layers[0].descriptor
    assert (found.media_type, found.hex) == (OCI_ZSTD_LAYER, hashlib.sha256(content).hexdigest())


@pytest.mark.parametrize("links", [["b", "a"], ["/etc/passwd"], ["../../etc/passwd"], ["gone"]])
def test_a_link_that_leads_out_of_the_archive_or_in_circles_is_no_layer(
    tmp_path: Path, image: MakeImage, layer: MakeLayer, links: list[str]
) -> None:
    saved = image(layer("x"))
    entries: list[Entry] = [*zip("ab", links, strict=False), *old_form(saved, Layers=["a"])]
    with pytest.raises(ImageInvalid, match="'a'"):
        read_archive(tar_of(tmp_path / "a.tar", entries))


def test_what_is_not_in_an_archive_is_said(tmp_path: Path, image: MakeImage) -> None:
    path = tar_of(tmp_path / "a.tar", old_form(image()))
    with pytest.raises(ImageUnavailable, match="app:9"):
        read_archive(path, reference="app:9")
    with pytest.raises(ImageMismatch, match="amd64, not for arm64"):
        read_archive(path, architecture="arm64")
    with pytest.raises(ImageUnavailable, match="cannot be read"):
        read_archive(tmp_path / "missing.tar")
    path.write_bytes(gzip.compress(path.read_bytes()))
    with pytest.raises(ImageInvalid, match="no tar") as caught:
        read_archive(path)
    assert "do not compress" in str(caught.value.hint)
    with pytest.raises(ImageInvalid, match="no archive of an image"):
        read_archive(tar_of(tmp_path / "b.tar", [("a", b"b")]))


def test_several_images_must_be_told_apart(tmp_path: Path, image: MakeImage) -> None:
    entries = old_form(image())
    said = json.loads(dict(entries)["manifest.json"])  # type: ignore[arg-type]
    both = json.dumps([*said, said[0] | {"RepoTags": ["other:1"]}]).encode()
    path = tar_of(
        tmp_path / "a.tar",
        [entry for entry in entries if entry[0] != "manifest.json"] + [("manifest.json", both)],
    )
    with pytest.raises(ImageInvalid, match="several") as caught:
        read_archive(path)
    assert "other:1" in str(caught.value.hint)
    assert read_archive(path, reference="other:1").config == image().config


@pytest.mark.parametrize(
    "said",
    [
        b"", b"{}", b"[1]", b"[]", b"[{}]", b'[{"Config": 1, "Layers": []}]',
        b'[{"Config": "x", "Layers": {}}]',
        b'[{"Config": "/etc/passwd", "Layers": []}]', b"[" * 100_000, b" " * (5 << 20),
        b'[{"Config": "manifest.json", "Layers": []}]', b'[{"Config": "c", "Layers": [1, 2, 3]}]',
        b'[{"Config": "c", "Layers": ["manifest.json"], "RepoTags": 5}]',
    ],
    ids=range(13),
)  # fmt: skip
def test_a_manifest_that_makes_no_sense_is_refused(tmp_path: Path, said: bytes) -> None:
    config = b'{"rootfs": {"diff_ids": []}}'
    with pytest.raises((ImageInvalid, ImageUnavailable)):
        read_archive(tar_of(tmp_path / "a.tar", [("manifest.json", said), ("c", config)]))


@pytest.mark.parametrize("how", ["short", "changed", "gone"])
def test_a_blob_of_the_new_form_that_is_not_what_it_should_be_is_refused(
    tmp_path: Path, image: MakeImage, how: str
) -> None:
    written = image()
    write_archive(written, tmp_path / "a.tar")
    with tarfile.open(tmp_path / "a.tar") as archive:
        files = [(info.name, archive.extractfile(info)) for info in archive if info.isreg()]
        entries = [(name, stream.read()) for name, stream in files if stream is not None]
    name = f"blobs/sha256/{written.config_digest.removeprefix('sha256:')}"
    content = dict(entries)[name]
    other = {"short": content[:-1], "changed": content.replace(b"linux", b"linuy")}.get(how)
    changed: list[Entry] = [entry for entry in entries if entry[0] != name]
    if other is not None:
        changed.append((name, other))
    with pytest.raises((ImageInvalid, ImageMismatch)):
        read_archive(tar_of(tmp_path / "b.tar", changed))


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_a_damaged_archive_is_refused_or_gives_verified_documents(
    tmp_path_factory: pytest.TempPathFactory, image: MakeImage, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("damage") / "a.tar"
    written = image()
    write_archive(written, path, tags=["a:1"])
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 5))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    if data.draw(st.booleans()):
        os.truncate(path, data.draw(st.integers(0, len(content))))
    try:
        found = read_archive(path)
        layers = [b"".join(verified(layer.content, layer.descriptor)) for layer in found.layers]
    except PlantonError:
        return
    if found.digest == written.digest:
        assert layers == [bytes_of(layer) for layer in written.layers]
