"""What unit tests of several rooms share."""

from __future__ import annotations

import stat
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

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
