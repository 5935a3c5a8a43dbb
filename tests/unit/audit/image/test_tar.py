"""The reader of tar streams, held against what tarfile writes and what nobody should write."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planton_build.audit.image import tar as module
from planton_build.audit.image.tar import Entry, TarReader
from planton_build.errors import ImageInvalid

NAMES = st.text(
    st.characters(exclude_characters="\0/\ud800", exclude_categories=("Cs",)), min_size=1, max_size=60
)
PATHS = st.lists(NAMES.filter(lambda name: name not in {".", ".."}), min_size=1, max_size=6).map("/".join)


def read(content: bytes, step: int = 1 << 20) -> list[Entry]:
    return list(TarReader(pieces(content, step), "layer x"))


def pieces(content: bytes, step: int) -> Iterator[bytes]:
    return (content[at : at + step] for at in range(0, len(content), step))


def archive(*infos: tuple[tarfile.TarInfo, bytes], kind: int = tarfile.PAX_FORMAT, **options: Any) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=kind, **options) as written:
        for info, content in infos:
            info.size = len(content)
            written.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def info(name: str, **values: Any) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    for key, value in values.items():
        setattr(made, key, value)
    return made


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(PATHS, st.binary(max_size=1_300), st.integers(0, 0o7777)), max_size=8),
    st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]),
    st.integers(1, 3_000),
)
def test_what_tarfile_writes_is_read_whatever_the_pieces(
    files: list[tuple[str, bytes, int]], kind: int, step: int
) -> None:
    content = archive(*((info(path, mode=mode), data) for path, data, mode in files), kind=kind)
    reader = TarReader(pieces(content, step), "layer x")
    seen = [(entry, reader.read(700) + reader.read(1 << 20)) for entry in reader]
    assert [(entry.path, entry.size, entry.mode, data) for entry, data in seen] == [
        (path, len(data), mode, data) for path, data, mode in files
    ]


@settings(max_examples=30, deadline=None)
@given(PATHS, PATHS, st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]))
def test_links_keep_their_targets(path: str, target: str, kind: int) -> None:
    content = archive(
        (info(path, type=tarfile.SYMTYPE, linkname=f"../../{target}"), b""),
        (info(path, type=tarfile.LNKTYPE, linkname=f"./{target}"), b""),
        kind=kind,
    )
    soft, hard = read(content)
    assert (soft.kind, soft.target) == ("l", f"../../{target}")
    assert (hard.kind, hard.target) == ("h", target)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 4_000), st.binary(min_size=1, max_size=40))
def test_damage_anywhere_is_an_error_of_ours_or_harmless(at: int, bytes_: bytes) -> None:
    content = bytearray(archive((info("a/b"), b"x" * 700), (info("ä" * 120), b"y" * 900)))
    content[at : at + len(bytes_)] = bytes_
    try:
        read(bytes(content))
    except ImageInvalid:
        pass


def test_old_headers_and_ustar_prefixes_are_read() -> None:
    long = "/".join(["folder" * 8] * 3)
    assert read(archive((info(long), b"x"), kind=tarfile.USTAR_FORMAT))[0].path == long
    header = bytearray(info("old/", mode=0o755).tobuf(tarfile.USTAR_FORMAT))
    header[156:157], header[257:265] = b"\0", bytes(8)
    header[148:156] = b"%06o\0 " % (sum(header[:148]) + 256 + sum(header[156:]))
    assert read(bytes(header) + bytes(1024)) == [Entry("old", "d", 0o755, 0, "")]


def test_a_size_in_binary_is_read() -> None:
    made = info("big")
    made.size = 9 << 30
    with pytest.raises(ImageInvalid, match="cut off"):  # nine GiB are announced, and none comes
        read(made.tobuf(tarfile.GNU_FORMAT) + bytes(1024))


def test_leading_dots_and_slashes_are_taken_off_and_the_root_left_out() -> None:
    names = ["./", ".", "./a", "/b", "./c//d/./e", "..f/g"]
    content = archive(*((info(name), b"") for name in names))
    assert [entry.path for entry in read(content)] == ["a", "b", "c/d/e", "..f/g"]


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/..", "a/.."])
def test_a_name_that_leads_out_is_refused(name: str) -> None:
    with pytest.raises(ImageInvalid, match="leads out of the image"):
        read(archive((info(name), b"")))
    with pytest.raises(ImageInvalid, match="leads out of the image"):
        read(archive((info("a", type=tarfile.LNKTYPE, linkname=name), b"")))


@pytest.mark.parametrize(
    ("headers", "fault"),
    [
        ({"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}, "sparse"),
        ({"size": "-1"}, "no number"),
        ({"size": "1e3"}, "no number"),
        ({"path": "a\0b"}, "NUL"),
        ({"path": "x" * 5_000}, "4,096"),
        ({"path": "x/" * 256 + "x"}, "255 folders"),
        ({"linkpath": "x" * 5_000, "path": "x/" * 257}, "255 folders"),
    ],
)
def test_extended_headers_that_mislead_are_refused(headers: dict[str, str], fault: str) -> None:
    with pytest.raises(ImageInvalid, match=fault):
        read(archive((info("a", pax_headers=headers), b"")))


def test_a_global_header_may_not_name_files() -> None:
    with pytest.raises(ImageInvalid, match="global header"):
        read(archive((info("a"), b""), pax_headers={"path": "b"}))
    assert read(archive((info("a"), b""), pax_headers={"comment": "b"}))[0].path == "a"


@pytest.mark.parametrize("letter", [b"S", b"V", b"M", b"Z"])
def test_entries_of_types_that_layers_do_not_have_are_refused(letter: bytes) -> None:
    with pytest.raises(ImageInvalid, match="sparse" if letter == b"S" else "type"):
        read(archive((info("a", type=letter), b"")))


def test_extended_headers_without_end_are_refused() -> None:
    extended = archive((info("a", pax_headers={"comment": "c"}), b""))[:1024]
    with pytest.raises(ImageInvalid, match="without end"):
        read(extended * 30)


def test_too_many_entries_and_too_long_names_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    content = archive(*((info(f"f{index}"), b"") for index in range(20)))
    monkeypatch.setattr(module, "_ENTRIES", 19)
    with pytest.raises(ImageInvalid, match="entries"):
        read(content)
    monkeypatch.setattr(module, "_ENTRIES", 20)
    assert len(read(content)) == 20
    monkeypatch.setattr(module, "_NAMES", 30)
    with pytest.raises(ImageInvalid, match="entries"):
        read(content)


def test_a_stream_that_is_cut_off_or_no_tar_is_refused() -> None:
    content = archive((info("a"), b"x" * 2_000))
    with pytest.raises(ImageInvalid, match="cut off"):
        read(content[:1_500])
    with pytest.raises(ImageInvalid, match="cut off"):
        read(content[:300])
    with pytest.raises(ImageInvalid, match="no tar archive"):
        read(b"not a tar archive at all" * 100)
    assert read(content[:2_560]) == [Entry("a", "f", 0o644, 2_000, "")]  # without its end, which Go takes too
    assert read(b"") == []
