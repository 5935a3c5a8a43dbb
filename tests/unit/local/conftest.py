from __future__ import annotations

import stat
import struct
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

MACHINES = {"x86_64": 62, "aarch64": 183}

Zip = Callable[[Mapping[str, str | bytes]], Path]


@pytest.fixture
def make_zip(tmp_path: Path) -> Zip:
    """Return a function that packs {path: content}; a path ending in "*" is executable, in "@" a symlink."""

    def pack(files: Mapping[str, str | bytes]) -> Path:
        artifact = tmp_path / "artifact.zip"
        with zipfile.ZipFile(artifact, "w", zipfile.ZIP_DEFLATED) as archive:
            for path, content in files.items():
                info = zipfile.ZipInfo(path.rstrip("*@"))
                mode = stat.S_IFREG | (0o755 if path.endswith("*") else 0o644)
                info.external_attr = (stat.S_IFLNK | 0o777 if path.endswith("@") else mode) << 16
                info.compress_type = zipfile.ZIP_STORED if path.endswith("@") else zipfile.ZIP_DEFLATED
                archive.writestr(info, content)
        return artifact

    return pack


@pytest.fixture
def elf() -> Callable[[str], bytes]:
    """Return a function that makes the beginning of a 64-bit shared object for a machine."""

    def make(machine: str) -> bytes:
        header = b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HHI", 3, MACHINES[machine], 1)
        return header + bytes(5000)

    return make
