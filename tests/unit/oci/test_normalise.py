"""Layers written anew and images normalised: equal content gives equal bytes, and what counts is kept."""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import io
import json
import marshal
import random
import struct
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planton_build.cache import Store
from planton_build.errors import ImageInvalid, ImageMismatch
from planton_build.oci.assemble import image_of
from planton_build.oci.blobs import BytesContent, Descriptor
from planton_build.oci.image import Image, Layer
from planton_build.oci.media_types import OCI_LAYER, OCI_MANIFEST, OCI_TAR_LAYER
from planton_build.oci.normalise import normalise
from planton_build.oci.retar import Sources, retar

EPOCH = 315532800


def entry(
    name: str, content: bytes = b"", kind: bytes = tarfile.REGTYPE, **fields: object
) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size, info.type, info.mtime = len(content), kind, random.randrange(1 << 31)
    for key, value in fields.items():
        setattr(info, key, value)
    return info, content


def tar_of(entries: Sequence[tuple[tarfile.TarInfo, bytes]], form: int = tarfile.PAX_FORMAT) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=form) as archive:
        for info, content in entries:
            archive.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def anew(content: bytes, sources: Sources | None = None) -> bytes:
    written = io.BytesIO()
    retar(io.BytesIO(content), written, sources if sources is not None else Sources())
    return written.getvalue()


def listed(content: bytes) -> list[tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        return archive.getmembers()


def contents(content: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        files = {one.name: archive.extractfile(one) for one in archive if one.isreg() or one.islnk()}
        return {name: stream.read() for name, stream in files.items() if stream is not None}


def bytecode(source: str, *, name: str = "/var/task/app.py", time: int = 1) -> bytes:
    head = importlib.util.MAGIC_NUMBER + struct.pack("<III", 0, time, len(source))
    return head + marshal.dumps(compile(source, name, "exec"))


def test_order_times_names_and_form_leave_no_trace() -> None:
    def made(form: int, order: Callable[[list[str]], list[str]], user: str) -> bytes:
        folders = [entry(name, kind=tarfile.DIRTYPE, mode=0o755, uname=user) for name in ("a", "a/b")]
        files = [entry(name, name.encode(), uname=user, gname=user) for name in order(["a/b/x", "a/a", "ä"])]
        return tar_of([*folders, *files], form)

    one = made(tarfile.PAX_FORMAT, sorted, "me")
    two = made(tarfile.GNU_FORMAT, lambda names: sorted(names, reverse=True), "somebody")
    assert anew(one) == anew(two)
    assert {(info.mtime, info.uname, info.gname) for info in listed(anew(one))} == {(EPOCH, "", "")}


def test_owners_modes_devices_and_extended_attributes_are_kept() -> None:
    capability = b"\x01\x00\x00\x02\x00\x04\x00\x00\xff\xfe=\n\x00".decode("utf-8", "surrogateescape")
    attributes = {
        "SCHILY.xattr.security.capability": capability,
        "atime": "1.5",
        "LIBARCHIVE.creationtime": "3",
    }
    source = tar_of(
        [
            entry("ping", b"x", mode=0o4755, uid=12, gid=1 << 22, pax_headers=attributes),
            entry("null", kind=tarfile.CHRTYPE, mode=0o666, devmajor=1, devminor=3),
            entry("pipe", kind=tarfile.FIFOTYPE, mode=0o600),
            entry("link", kind=tarfile.SYMTYPE, linkname="../x" * 60),
        ]
    )
    found = {info.name: info for info in listed(anew(source))}
    ping = found["ping"]
    assert (ping.mode, ping.uid, ping.gid) == (0o4755, 12, 1 << 22)
    assert {key for key in ping.pax_headers if key != "gid"} == {"SCHILY.xattr.security.capability"}
    assert ping.pax_headers["SCHILY.xattr.security.capability"] == capability
    assert (found["null"].type, found["null"].devmajor, found["null"].devminor) == (tarfile.CHRTYPE, 1, 3)
    assert found["pipe"].isfifo()
    assert found["link"].linkname == "../x" * 60


def test_a_hard_link_stands_behind_its_file_whichever_name_sorts_first() -> None:
    first = tar_of([entry("a", b"same"), entry("z", kind=tarfile.LNKTYPE, linkname="a")])
    other = tar_of([entry("z", b"same"), entry("a", kind=tarfile.LNKTYPE, linkname="./z")])
    assert anew(first) == anew(other)
    assert [(info.name, info.islnk()) for info in listed(anew(first))] == [("a", False), ("z", True)]
    assert contents(anew(first)) == {"a": b"same", "z": b"same"}


def test_a_link_to_a_file_of_a_lower_layer_stays() -> None:
    (link,) = listed(anew(tar_of([entry("new", kind=tarfile.LNKTYPE, linkname="/below/it")])))
    assert (link.islnk(), link.linkname) == (True, "below/it")


def test_whiteouts_stand_before_what_is_new_in_their_folder() -> None:
    names = ["d/+new", "d/.wh.gone", "d/.wh..wh..opq", "d"]
    source = tar_of([entry(name, kind=tarfile.DIRTYPE if name == "d" else tarfile.REGTYPE) for name in names])
    assert [info.name for info in listed(anew(source))] == ["d", "d/.wh..wh..opq", "d/.wh.gone", "d/+new"]


def test_bytecode_has_the_time_that_its_source_has_now() -> None:
    code = bytecode("x = 1")
    sources = Sources()
    source = tar_of([entry("t/app.py", b"x = 1"), entry("t/__pycache__/app.cpython-311.pyc", code)])
    found = contents(anew(source, sources))["t/__pycache__/app.cpython-311.pyc"]
    assert found == code[:8] + struct.pack("<I", EPOCH) + code[12:]
    later = tar_of([entry("t/__pycache__/app.cpython-311.opt-1.pyc", code)])
    (found,) = contents(anew(later, sources)).values()
    assert found[8:12] == struct.pack("<I", EPOCH)


def test_bytecode_of_the_bases_sources_and_bytecode_with_a_hash_stay() -> None:
    base = bytecode("x = 1")
    hashed = base[:4] + struct.pack("<I", 3) + b"12345678" + base[16:]
    source = tar_of(
        [
            entry("usr/lib/__pycache__/os.cpython-311.pyc", base),
            entry("t/app.py"),
            entry("t/__pycache__/app.cpython-311.pyc", hashed),
            entry("t/__pycache__/short.pyc", b"\xa7\r\r\n"),
        ]
    )
    assert contents(anew(source)) == contents(source)


def test_the_random_folder_in_which_pip_compiled_is_gone_from_bytecode() -> None:
    made = [
        bytecode("def f(): return 1", name=f"/tmp/pip-target-{name}/lib/python/m.py")
        for name in ("abc_0123", "zzzzzzzz")
    ]
    one, two = (anew(tar_of([entry("m.py"), entry("__pycache__/m.cpython-311.pyc", code)])) for code in made)
    assert one == two
    code = marshal.loads(contents(one)["__pycache__/m.cpython-311.pyc"][16:])
    assert code.co_filename == "/tmp/pip-target-00000000/lib/python/m.py"


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/../x"])
def test_a_path_that_leads_out_is_refused(name: str) -> None:
    with pytest.raises(ImageInvalid, match="leads out"):
        anew(tar_of([entry(name)]))


@pytest.mark.parametrize("content", [b"no tar", b"x" * 2000])
def test_what_is_no_tar_is_refused(content: bytes) -> None:
    with pytest.raises(ImageInvalid, match="no proper tar"):
        anew(content)


def test_a_cut_off_tar_is_refused() -> None:
    whole = tar_of([entry("a", bytes(5000))])
    with pytest.raises(ImageInvalid):
        anew(whole[:3000])


def test_hard_links_in_a_circle_are_refused() -> None:
    circle = [entry(name, kind=tarfile.LNKTYPE, linkname=to) for name, to in (("a", "b"), ("b", "a"))]
    with pytest.raises(ImageInvalid, match="circle"):
        anew(tar_of(circle))


NAME = st.lists(st.sampled_from(["a", "b", "+", ".wh.a", "é" * 60, "l" * 90]), min_size=1, max_size=3).map(
    "/".join
)


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(NAME, st.binary(max_size=700), max_size=6), st.randoms())
def test_any_order_of_any_files_gives_one_tar_which_is_its_own_normal_form(
    files: dict[str, bytes], chance: random.Random
) -> None:
    shuffled = list(files.items())
    chance.shuffle(shuffled)
    one = anew(tar_of([entry(name, content) for name, content in files.items()]))
    assert one == anew(tar_of([entry(name, content) for name, content in shuffled], tarfile.GNU_FORMAT))
    assert one == anew(one)
    assert contents(one) == files


def layer(content: bytes, *, zipped: bool = False) -> Layer:
    diff_id = f"sha256:{hashlib.sha256(content).hexdigest()}"
    if zipped:
        content = gzip.compress(content, mtime=random.randrange(1 << 31))
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    kind = OCI_LAYER if zipped else OCI_TAR_LAYER
    return Layer(Descriptor(kind, digest, len(content)), diff_id, BytesContent(content))


def image(layers: Sequence[Layer], history: object = None, **document: object) -> Image:
    return image_of(
        OCI_MANIFEST,
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Cmd": ["app.handler"]},
            "rootfs": {"type": "layers", "diff_ids": [one.diff_id for one in layers]},
            "history": history,
            **document,
        },
        layers,
    )


BASE = tar_of([entry("etc/os", b"base", mtime=7)])
EMPTY = tar_of([])


def built(*, zipped: bool = False) -> Image:
    """Return an image as an engine makes it: base, an empty layer, a file; dates and hosts all over."""
    when = f"2026-01-01T00:00:{random.randrange(60):02}.{random.randrange(10**9)}Z"
    history = [
        {"created": "2020-01-01T00:00:00Z", "created_by": "base"},
        {"created": when, "created_by": "ENV X=1", "empty_layer": True},
        {"created": when, "created_by": "RUN true", "comment": "buildkit.dockerfile.v0"},
        {"created": when, "created_by": "COPY app.py ."},
    ]
    layers = [layer(one, zipped=zipped) for one in (BASE, EMPTY, tar_of([entry("app.py", b"app")]))]
    return image(
        layers,
        history,
        created=when,
        container=random.randbytes(4).hex(),
        container_config={"Hostname": random.randbytes(4).hex()},
        docker_version="20.10",
        config={
            "Cmd": ["app.handler"],
            "Hostname": random.randbytes(4).hex(),
            "Image": random.randbytes(4).hex(),
            "Env": ["X=1"],
            "Volumes": None,
        },
        **{"moby.buildkit.cache.v0": random.randbytes(4).hex()},
    )


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def test_two_builds_of_one_content_are_one_image(store: Store, tmp_path: Path) -> None:
    base = image([layer(BASE, zipped=True)])
    one = normalise(built(), architecture="amd64", store=store, base=base)
    two = normalise(
        built(zipped=True), architecture="amd64", store=Store(tmp_path / "other"), base=base, jobs=1
    )
    assert one.digest == two.digest
    assert one.layers[0] == base.layers[0]  # its very bytes


def test_the_configuration_keeps_what_counts_and_loses_what_does_not(store: Store) -> None:
    result = normalise(built(), architecture="arm64", store=store, base_diff_ids=[layer(BASE).diff_id])
    document = json.loads(result.config)
    epoch = "1980-01-01T00:00:00Z"
    assert document == {
        "architecture": "arm64",
        "variant": "v8",
        "os": "linux",
        "created": epoch,
        "config": {"Cmd": ["app.handler"], "Env": ["X=1"]},
        "history": [
            {"created": epoch, "created_by": "base"},
            {"created": epoch, "created_by": "ENV X=1", "empty_layer": True},
            {
                "created": epoch,
                "created_by": "RUN true",
                "comment": "buildkit.dockerfile.v0",
                "empty_layer": True,
            },
            {"created": epoch, "created_by": "COPY app.py ."},
        ],
        "rootfs": {"type": "layers", "diff_ids": [one.diff_id for one in result.layers]},
    }
    assert len(result.layers) == 2
    assert result.media_type == "application/vnd.docker.distribution.manifest.v2+json"


def test_the_layers_of_a_base_that_only_the_engine_has_keep_their_tar(store: Store) -> None:
    for _ in range(2):  # the second time from the store
        result = normalise(built(), architecture="amd64", store=store, base_diff_ids=[layer(BASE).diff_id])
        assert result.layers[0].diff_id == layer(BASE).diff_id
        assert gzip.decompress(b"".join(result.layers[0].content.chunks())) == BASE
    app = gzip.decompress(b"".join(result.layers[1].content.chunks()))
    assert f"sha256:{hashlib.sha256(app).hexdigest()}" == result.layers[1].diff_id
    assert contents(app) == {"app.py": b"app"}


def test_a_history_that_does_not_fit_is_replaced(store: Store) -> None:
    result = normalise(image([layer(BASE)], [{}, {}]), architecture="amd64", store=store)
    assert json.loads(result.config)["history"] == [
        {"created": "1980-01-01T00:00:00Z", "created_by": "layer"}
    ]


@pytest.mark.parametrize("below", [[], ["base"]])
def test_other_bytes_than_the_engine_names_are_refused(store: Store, below: list[str]) -> None:
    good = layer(BASE)
    bad = Layer(good.descriptor, "sha256:" + "0" * 64, good.content)
    with pytest.raises(ImageMismatch, match="other bytes"):
        normalise(image([bad]), architecture="amd64", store=store, base_diff_ids=[bad.diff_id for _ in below])
    assert not list((store.root / "blobs").rglob("*")) or not below


def test_a_layer_of_another_kind_is_refused(store: Store) -> None:
    good = layer(BASE)
    odd = Layer(Descriptor("application/x-zstd", good.descriptor.digest, 1), good.diff_id, good.content)
    with pytest.raises(ImageInvalid, match="x-zstd"):
        normalise(image([odd]), architecture="amd64", store=store)


def test_a_layer_that_unpacks_to_more_than_lambda_takes_is_refused(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    from planton_build.errors import SizeLimitExceeded

    monkeypatch.setattr("planton_build.oci.normalise.UNPACKED_MAX", 1 << 20)
    bomb = layer(tar_of([entry("zeros", bytes(3 << 20))]), zipped=True)
    with pytest.raises(SizeLimitExceeded):
        normalise(image([bomb]), architecture="amd64", store=store)
