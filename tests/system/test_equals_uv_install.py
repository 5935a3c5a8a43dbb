"""What we splice out of wheels is what `uv pip install --target` unpacks, file by file.

Installers' own books, `bin/` and C headers are left out of the comparison; everything else must be equal, in
content and execute bit.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
import zlib
from pathlib import Path

import pytest

from planton_build.archive.member import EXECUTABLE, Member
from planton_build.cache import Store
from planton_build.ecosystems.python.index import Index
from planton_build.ecosystems.python.lock import Lock, LockedPackage
from planton_build.ecosystems.python.requirements import parse_requirements
from planton_build.ecosystems.python.selection import narrow
from planton_build.ecosystems.python.settings import IndexSettings, read_pip_settings
from planton_build.ecosystems.python.uv_command import run_uv
from planton_build.ecosystems.python.wheel import wheel_members
from planton_build.ecosystems.python.wheelhouse import Wheelhouse
from planton_build.events import ignore
from planton_build.runtimes.catalog import target_for
from planton_build.runtimes.target import Architecture, Target

pytestmark = pytest.mark.network

PACKAGES = """
aiohttp annotated-types anyio attrs aws-lambda-powertools beautifulsoup4 boto3 certifi cffi
charset-normalizer click cryptography frozenlist google-auth greenlet grpcio h11 httpcore httpx idna jinja2
jmespath jsonschema lxml markupsafe multidict numpy orjson packaging pandas pillow protobuf psycopg2-binary
pyarrow pyasn1 pycparser pydantic pyjwt python-dateutil pytz pyyaml redis requests rsa s3transfer scipy six
sqlalchemy tqdm typing-extensions tzdata urllib3 websockets wrapt yarl
"""
"""More than 40 of the packages that functions use most, with compiled code, data files and odd layouts."""

BOOKS = frozenset(
    {"RECORD", "RECORD.jws", "RECORD.p7s", "INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json"}
)


@pytest.fixture(scope="module")
def settings() -> IndexSettings:
    return read_pip_settings()


def locked(target: Target, settings: IndexSettings, folder: Path) -> tuple[Lock, Path]:
    """Resolve the packages for the target; return the lock, and the file that uv installs from."""
    (folder / "requirements.in").write_text("\n".join(PACKAGES.split()))
    answer = run_uv(
        [
            "pip",
            "compile",
            "requirements.in",
            "-o",
            "requirements.txt",
            "--generate-hashes",
            *platform(target),
        ],
        folder=folder,
        environment=os.environ,
        settings=settings,
    )
    assert answer.returncode == 0, answer.explanation
    path = folder / "requirements.txt"
    parsed = parse_requirements(path.read_text(), path)
    packages = []
    for named in parsed.named:
        name, _, version = named.text.partition("==")
        packages.append(LockedPackage(name, version.partition(";")[0].strip(), named.hashes))
    return Lock(target, tuple(packages)), path


def platform(target: Target) -> list[str]:
    glibc = "_".join(map(str, target.glibc))
    version = ".".join(map(str, target.version))
    return [
        *("--python-platform", f"{target.machine}-manylinux_{glibc}", "--python-version", version),
        *("--only-binary", ":all:", "--python", sys.executable),
    ]


def uv_tree(
    lock_file: Path, target: Target, settings: IndexSettings, folder: Path
) -> dict[str, tuple[str, bool]]:
    """Install with uv; return SHA-256 and execute bit by path, without what only installers need."""
    answer = run_uv(
        [
            "pip",
            "install",
            "--target",
            "tree",
            "--no-deps",
            "--require-hashes",
            "-r",
            str(lock_file),
            *platform(target),
        ],
        folder=folder,
        environment=os.environ,
        settings=settings,
        # A cache of its own: trees made by others with hard links may have changed files in the shared one.
        extra={"UV_LINK_MODE": "copy", "UV_CACHE_DIR": str(folder / "uv-cache")},
    )
    assert answer.returncode == 0, answer.explanation
    root = folder / "tree"
    found = {}
    for path in root.rglob("*"):
        name = path.relative_to(root).as_posix()
        top, _, rest = name.partition("/")
        if (
            path.is_dir()
            or top in {"bin", "include", ".lock"}
            or (top.endswith(".dist-info") and rest in BOOKS)
        ):
            continue
        found[name] = (hashlib.sha256(path.read_bytes()).hexdigest(), bool(path.stat().st_mode & 0o111))
    return found


def content_of(member: Member) -> bytes:
    with member.file.open("rb") as stream:
        stream.seek(member.offset)
        packed = stream.read(member.compressed_size)
    return packed if member.method == 0 else zlib.decompress(packed, -15)


@pytest.mark.parametrize("architecture", ["x86_64", "arm64"])
def test_members_equal_the_tree_that_uv_installs(
    architecture: Architecture, settings: IndexSettings, tmp_path: Path
) -> None:
    target = target_for("python3.13", architecture)
    lock, lock_file = locked(target, settings, tmp_path)
    assert len(lock.packages) >= 40
    expected = uv_tree(lock_file, target, settings, tmp_path)

    with contextlib.closing(Index(settings)) as index:
        house = Wheelhouse(Store(tmp_path / "cache"), lambda: index, jobs=4, listener=ignore, function="f")
        wheels = house.fetch(lock).wheels
        narrowed = narrow(lock, index)
    members = [
        member for wheel in wheels for member in wheel_members(wheel, Store(tmp_path / "cache"), jobs=2)
    ]

    assert [package.hashes for package in narrowed.packages] == [
        frozenset({wheel.sha256}) for wheel in wheels
    ]
    found = {member.path: (member.sha256, member.mode == EXECUTABLE) for member in members}
    assert sorted(found) == sorted(expected)
    assert {path: found[path] for path in found if found[path] != expected[path]} == {}
    for member in members:
        content = content_of(member)
        assert (hashlib.sha256(content).hexdigest(), zlib.crc32(content)) == (member.sha256, member.crc32)
