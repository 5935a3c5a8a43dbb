from __future__ import annotations

import io
import stat
import zlib
from pathlib import Path

import pytest

from planton_build.archive.reader import read_zip
from planton_build.archive.unpack import beginning, unpack
from planton_build.errors import ArchiveInvalid


def test_contents_modes_and_links_are_kept(make_zip, tmp_path: Path) -> None:
    artifact = make_zip(
        {"link@": "a/tool", "a/tool*": "#!/bin/sh\n", "app.py": "x = 1\n", "layer@": "/opt/x"}
    )
    folder = tmp_path / "task"
    folder.mkdir()
    unpack(artifact, read_zip(artifact), folder)
    assert (folder / "app.py").read_text() == "x = 1\n"
    assert stat.S_IMODE((folder / "app.py").stat().st_mode) == 0o644
    assert stat.S_IMODE((folder / "a/tool").stat().st_mode) == 0o755
    assert (folder / "link").readlink() == Path("a/tool")
    assert (folder / "layer").readlink() == Path("/opt/x")


@pytest.mark.parametrize("target", ["/etc/passwd", "../../etc/passwd"])
def test_a_link_out_of_the_artifact_is_refused(make_zip, tmp_path: Path, target: str) -> None:
    artifact = make_zip({"link@": target})
    folder = tmp_path / "task"
    folder.mkdir()
    with pytest.raises(ArchiveInvalid, match="'link'"):
        unpack(artifact, read_zip(artifact), folder)
    assert list(folder.iterdir()) == []


def test_a_damaged_content_is_refused(make_zip, tmp_path: Path) -> None:
    artifact = make_zip({"app.py": "x = 1\n" * 100})
    entry = read_zip(artifact).entries[0]
    content = bytearray(artifact.read_bytes())
    content[entry.offset + 3] ^= 0xFF
    artifact.write_bytes(content)
    (tmp_path / "task").mkdir()
    with pytest.raises(ArchiveInvalid, match=r"app\.py"):
        unpack(artifact, read_zip(artifact), tmp_path / "task")


def test_the_beginning_is_read_without_the_rest(make_zip) -> None:
    artifact = make_zip({"big": b"\x7fELF" + bytes(1_000_000)})
    entry = read_zip(artifact).entries[0]
    head = artifact.read_bytes()[: entry.offset + 20]  # the rest of the data is not there
    assert beginning(io.BytesIO(head), entry, 4) == b"\x7fELF"


def test_the_beginning_of_damaged_data_is_empty(make_zip) -> None:
    artifact = make_zip({"big": bytes(range(256)) * 10})
    entry = read_zip(artifact).entries[0]
    assert beginning(io.BytesIO(b"\xff" * 5000), entry, 4) == b""
    assert zlib.MAX_WBITS == 15
