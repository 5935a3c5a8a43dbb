from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import pytest

from planton_build.artifact import Artifact
from planton_build.audit.archive import measured, members_of
from planton_build.errors import ArchiveInvalid

FILES = {
    "app.py": b"x = 1\n" * 50,
    "yaml/__init__.py": b"",
    "_yaml/__init__.py": b"",
    "PyYAML-6.0.dist-info/METADATA": b"Name: PyYAML\n",
    "requests/api.py": b"y" * 500,
    "requests-2.31.0.dist-info/METADATA": b"Name: requests\n",
    "numpy.libs/libopenblas.so": b"z" * 900,
    "numpy/core.py": b"n" * 100,
    "numpy-2.0.1.dist-info/RECORD": b"",
}


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "some.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in FILES.items():
            made.writestr(name, content)
    return path


def artifact_of(path: Path) -> Artifact:
    """Measure a ZIP as `planton-build check` does."""
    return measured(path, *members_of(path))


def test_any_zip_is_measured(archive: Path) -> None:
    found = artifact_of(archive)
    assert found.sha256 == hashlib.sha256(archive.read_bytes()).hexdigest()
    assert found.size == archive.stat().st_size
    assert found.unzipped_size == sum(map(len, FILES.values()))
    assert found.files == len(FILES)
    assert [file.path for file in found.largest[:2]] == ["numpy.libs/libopenblas.so", "requests/api.py"]


def test_files_are_counted_under_their_packages(archive: Path) -> None:
    shares = {
        share.name: (share.version, share.files, share.unzipped_size)
        for share in artifact_of(archive).packages
    }
    assert shares["requests"] == ("2.31.0", 2, 515)
    assert shares["numpy"] == ("2.0.1", 3, 1000)
    assert shares["pyyaml"] == ("6.0", 1, 13)
    assert shares["yaml"] == ("", 1, 0)  # nothing in the ZIP tells that it is PyYAML's
    assert shares["(sources)"] == ("", 1, 300)


def test_the_tree_digest_is_of_the_content_and_not_of_its_compression(archive: Path, tmp_path: Path) -> None:
    again = tmp_path / "stored.zip"
    with zipfile.ZipFile(again, "w", zipfile.ZIP_STORED) as made:
        for name in sorted(FILES, reverse=True):
            made.writestr(name, FILES[name])
    one, other = artifact_of(archive), artifact_of(again)
    assert one.tree_digest == other.tree_digest
    assert one.sha256 != other.sha256


@pytest.mark.parametrize("content", [None, b"", b"PK\x05\x06", b"text" * 100])
def test_what_is_no_zip_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "broken.zip"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ArchiveInvalid):
        artifact_of(path)


def test_content_that_is_not_what_its_checksum_says_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "broken.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as made:
        made.writestr("app.py", b"0123456789" * 10)
    path.write_bytes(path.read_bytes().replace(b"0123456789", b"1123456789", 1))
    with pytest.raises(ArchiveInvalid, match=r"app\.py"):
        artifact_of(path)
