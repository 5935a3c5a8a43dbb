"""Local projects: built from a copy with a real `uv build`, the same on every host, and cached."""

from __future__ import annotations

import hashlib
import os
import subprocess
import textwrap
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from planton_build.archive.member import EXECUTABLE, Member
from planton_build.cache import Store
from planton_build.ecosystems.protocol import Package
from planton_build.ecosystems.python.local_project import local_package
from planton_build.ecosystems.python.lock import LocalProject
from planton_build.ecosystems.python.project_files import project_digest, project_files
from planton_build.ecosystems.python.settings import IndexSettings, read_pip_settings
from planton_build.errors import ContainerRequired, LocalProjectFailed, WheelInvalid
from planton_build.runtimes.target import Target

BACKEND = '''
import base64, hashlib, os, pathlib, sys, zipfile

TAG = "py3-none-any"
METADATA = """Metadata-Version: 2.9
Name: My.Project
Version: 1.0
Summary: made by a backend of another version
Requires-Dist: zeta>1
Requires-Dist: alpha
Requires-Dist: shared[x] @ file:///home/me/shared ; python_version > "3"
Requires-Python: >=3.8
License-File: LICENSE

A description.
"""

def build_wheel(folder, config_settings=None, metadata_directory=None):
    info = "my_project-1.0.dist-info"
    files = {p.as_posix(): p.read_bytes() for p in sorted(pathlib.Path("src").rglob("*")) if p.is_file()}
    files = {path.removeprefix("src/"): content for path, content in files.items()}
    files["my_project/seed.txt"] = repr((hash("a"), os.environ["SOURCE_DATE_EPOCH"])).encode()
    files[info + "/METADATA"] = METADATA.encode()
    files[info + "/WHEEL"] = f"Wheel-Version: 1.0\\nGenerator: backend {id(files)}\\nTag: {TAG}\\n".encode()
    files[info + "/entry_points.txt"] = b"[console_scripts]\\nmine = my_project:main\\n"
    files[info + "/licenses/LICENSE"] = b"license"
    files[info + "/top_level.txt"] = b"my_project"
    pathlib.Path("build").mkdir(exist_ok=True)
    pathlib.Path("leftover.egg-info").mkdir(exist_ok=True)
    lines = []
    name = f"my_project-1.0-{TAG}.whl"
    with zipfile.ZipFile(pathlib.Path(folder) / name, "w") as archive:
        for path, content in files.items():
            entry = zipfile.ZipInfo(path)
            entry.compress_type = METHOD
            entry.external_attr = (0o100755 if path.endswith(".sh") else 0o100600) << 16
            archive.writestr(entry, content)
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
            lines.append(f"{path},sha256={digest},{len(content)}")
        archive.writestr(info + "/RECORD", "\\n".join([*lines, info + "/RECORD,,"]) + "\\n")
    return name
'''

PYPROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "my.project"
version = "1.0"
"""


class Asked:
    """Index settings without any index, with a count of how often they were needed."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> IndexSettings:
        self.count += 1
        return IndexSettings("", no_index=True, proxy="")


@pytest.fixture
def settings() -> Asked:
    return Asked()


@pytest.fixture
def project(tmp_path: Path) -> Callable[..., LocalProject]:
    def make(
        place: str = "one/My Project", *, method: int = zipfile.ZIP_DEFLATED, tag: str = "py3-none-any"
    ) -> LocalProject:
        folder = tmp_path / place
        source = folder / "src" / "my_project"
        source.mkdir(parents=True)
        (source / "__init__.py").write_text("def main():\n    return 42\n" * 20)
        (source / "run.sh").write_text("#!/bin/sh\n")
        (folder / "pyproject.toml").write_text(PYPROJECT)
        (folder / "backend.py").write_text(
            BACKEND.replace("METHOD", str(method)).replace("py3-none-any", tag)
        )
        return LocalProject(folder)

    return make


def content_of(member: Member) -> bytes:
    with member.file.open("rb") as stream:
        stream.seek(member.offset)
        packed = stream.read(member.compressed_size)
    return packed if member.method == 0 else zlib.decompress(packed, -15)


def signature(package: Package) -> list[tuple[object, ...]]:
    """Return everything of a package that reaches an artifact, down to the compressed bytes."""
    found = []
    for member in package.members:
        with member.file.open("rb") as stream:
            stream.seek(member.offset)
            packed = hashlib.sha256(stream.read(member.compressed_size)).hexdigest()
        found.append((member.path, member.mode, member.method, member.crc32, member.sha256, packed))
    return found


def test_a_project_becomes_a_package_with_only_its_own_metadata(
    project: Callable[..., LocalProject], arm: Target, store: Store, settings: Asked
) -> None:
    package = local_package(project(), arm, store, settings)

    assert (package.name, package.version) == ("my-project", "1.0")
    tree = {member.path: content_of(member) for member in package.members}
    info = "my_project-1.0.dist-info"
    assert list(tree) == [
        f"{info}/METADATA",
        f"{info}/WHEEL",
        f"{info}/entry_points.txt",
        "my_project/__init__.py",
        "my_project/run.sh",
        "my_project/seed.txt",
    ]
    assert tree[f"{info}/METADATA"].decode() == textwrap.dedent(
        """\
        Metadata-Version: 2.1
        Name: My.Project
        Version: 1.0
        Requires-Python: >=3.8
        Requires-Dist: alpha
        Requires-Dist: shared[x]; python_version > "3"
        Requires-Dist: zeta>1
        """
    )
    assert b"backend" not in tree[f"{info}/WHEEL"]
    assert b"315532800" in tree["my_project/seed.txt"]
    assert [member.path for member in package.members if member.mode == EXECUTABLE] == ["my_project/run.sh"]
    assert {member.origin for member in package.members} == {"my-project"}


def test_another_host_gives_the_same_bytes(
    project: Callable[..., LocalProject],
    arm: Target,
    intel: Target,
    store: Store,
    settings: Asked,
    tmp_path: Path,
) -> None:
    first = local_package(project(), arm, store, settings, scripts=False)
    other_store = Store(tmp_path / "other cache")
    umask = os.umask(0o077)
    try:
        second = local_package(
            project("two/elsewhere", method=zipfile.ZIP_STORED), intel, other_store, settings
        )
    finally:
        os.umask(umask)

    assert signature(first) == signature(second)
    assert settings.count == 2


def test_the_second_run_builds_nothing_and_a_change_builds_again(
    project: Callable[..., LocalProject], arm: Target, intel: Target, store: Store, settings: Asked
) -> None:
    local = project()
    first = local_package(local, arm, store, settings)
    assert local_package(local, intel, store, settings) == first
    assert settings.count == 1

    (local.folder / "src" / "my_project" / "new.py").write_text("")
    assert len(local_package(local, arm, store, settings).members) == len(first.members) + 1
    assert settings.count == 2


def test_nothing_is_left_in_the_project_or_in_the_staging_folder(
    project: Callable[..., LocalProject], arm: Target, store: Store, settings: Asked
) -> None:
    local = project()
    before = sorted(local.folder.rglob("*"))

    local_package(local, arm, store, settings)

    assert sorted(local.folder.rglob("*")) == before
    assert list((store.root / "staging").iterdir()) == []


def test_a_damaged_wheel_in_the_store_is_built_again(
    project: Callable[..., LocalProject], arm: Target, store: Store, settings: Asked
) -> None:
    local = project()
    first = local_package(local, arm, store, settings)
    (wheel,) = (path for path in (store.root / "wheels").rglob("*") if path.is_file())
    wheel.write_bytes(b"damaged")

    assert signature(local_package(local, arm, store, settings)) == signature(first)
    assert settings.count == 2


def test_scripts_are_made_for_the_runtime(
    project: Callable[..., LocalProject], arm: Target, store: Store, settings: Asked
) -> None:
    members = local_package(project(), arm, store, settings, scripts=True).members

    (script,) = (member for member in members if member.path.startswith("bin/"))
    assert script.path == "bin/mine"
    assert content_of(script).startswith(
        b"#!/var/lang/bin/python3.11\nimport sys\nfrom my_project import main\n"
    )


@pytest.mark.parametrize(
    ("tag", "reason"),
    [
        ("cp311-cp311-linux_x86_64", "compiled for this machine"),
        ("py3-none-manylinux_2_17_x86_64", "compiled for this machine"),
        ("cp312-none-any", "another Python"),
    ],
)
def test_a_wheel_for_one_machine_needs_a_container(
    project: Callable[..., LocalProject], arm: Target, store: Store, settings: Asked, tag: str, reason: str
) -> None:
    with pytest.raises(ContainerRequired) as caught:
        local_package(project(tag=tag), arm, store, settings)

    assert reason in caught.value.message
    assert "My Project" in caught.value.message
    assert tag in caught.value.message
    assert "python3.11-arm64" in caught.value.message


def test_the_last_lines_of_a_failing_backend_are_shown_without_our_paths(
    project: Callable[..., LocalProject], arm: Target, store: Store, settings: Asked
) -> None:
    local = project()
    (local.folder / "backend.py").write_text(
        "import os\ndef build_wheel(*a, **k):\n    raise RuntimeError('no such flux in ' + os.getcwd())\n"
    )

    with pytest.raises(LocalProjectFailed) as caught:
        local_package(local, arm, store, settings)

    assert "My Project cannot be built" in caught.value.message
    assert "no such flux" in caught.value.message
    assert str(store.root) not in caught.value.message
    assert len(caught.value.message.splitlines()) <= 16
    assert list((store.root / "staging").iterdir()) == []


def test_a_version_from_git_gets_a_hint(
    project: Callable[..., LocalProject], arm: Target, store: Store, settings: Asked
) -> None:
    local = project()
    (local.folder / "backend.py").write_text(
        "def build_wheel(*a, **k):\n    raise LookupError('setuptools-scm was unable to detect version')\n"
    )

    with pytest.raises(LocalProjectFailed) as caught:
        local_package(local, arm, store, settings)
    assert "taken from git" in (caught.value.hint or "")


def test_a_wheel_against_the_rules_is_refused(
    project: Callable[..., LocalProject], arm: Target, store: Store, settings: Asked
) -> None:
    local = project()
    text = (local.folder / "backend.py").read_text()
    (local.folder / "backend.py").write_text(text.replace("lines = []", "lines = ['ghost.py,,']"))

    with pytest.raises(WheelInvalid, match=r"ghost\.py"):
        local_package(local, arm, store, settings)


def test_a_project_edited_after_it_became_part_of_a_key_is_refused(
    project: Callable[..., LocalProject], arm: Target, store: Store, settings: Callable[[], IndexSettings]
) -> None:
    local = project()
    digest = project_digest(local.folder)
    (local.folder / "src/my_project/__init__.py").write_text("edited = True\n")
    with pytest.raises(LocalProjectFailed, match="was changed while it was being built"):
        local_package(local, arm, store, settings, digest=digest)
    local_package(local, arm, store, settings, digest=project_digest(local.folder))


def test_ignored_files_caches_and_secrets_are_no_part_of_a_project(
    project: Callable[..., LocalProject],
) -> None:
    folder = project().folder
    digest = project_digest(folder)
    (folder / ".gitignore").write_text("*.log\n/generated/\n")
    subprocess.run(["git", "init", "-q", folder], check=True)
    names = {file.relative for file in project_files(folder)}
    for name in (
        "a.log",
        "src/b.log",
        "generated/x.py",
        "src/my_project/__pycache__/x.pyc",
        ".venv/pyvenv.cfg",
        "env/pyvenv.cfg",
        "env/lib/x.py",
        ".mypy_cache/x",
        "build/lib/stale.py",
        "build/bdist.linux/x",
        "dist/old.whl",
        "x.egg-info/PKG-INFO",
        ".env",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x")

    assert {file.relative for file in project_files(folder)} == names
    assert names == {
        ".gitignore",
        "backend.py",
        "pyproject.toml",
        "src/my_project/__init__.py",
        "src/my_project/run.sh",
    }
    assert project_digest(folder) != digest


def test_the_digest_speaks_of_names_contents_execute_bits_and_links(
    project: Callable[..., LocalProject],
) -> None:
    folder = project().folder
    script = folder / "src" / "my_project" / "run.sh"
    digests = [project_digest(folder)]
    script.chmod(0o755)
    digests.append(project_digest(folder))
    script.chmod(0o700)
    assert project_digest(folder) == digests[-1]
    script.write_text("#!/bin/bash\n")
    digests.append(project_digest(folder))
    script.rename(script.with_name("walk.sh"))
    digests.append(project_digest(folder))
    (folder / "link").symlink_to("pyproject.toml")
    digests.append(project_digest(folder))
    (folder / "link").unlink()
    (folder / "link").symlink_to("backend.py")
    digests.append(project_digest(folder))

    assert len(set(digests)) == 6


@pytest.mark.parametrize("target", ["/etc/passwd", "../../../etc/passwd"])
def test_a_symlink_out_of_the_project_is_refused(project: Callable[..., LocalProject], target: str) -> None:
    folder = project().folder
    (folder / "link").symlink_to(target)

    with pytest.raises(LocalProjectFailed, match="the symlink 'link'"):
        project_files(folder)


def test_something_that_is_no_file_is_refused(project: Callable[..., LocalProject]) -> None:
    folder = project().folder
    os.mkfifo(folder / "pipe")

    with pytest.raises(LocalProjectFailed, match="'pipe' is neither"):
        project_files(folder)


@pytest.mark.network
def test_setuptools_builds_a_project_and_its_leftovers_go_nowhere(
    tmp_path: Path, arm: Target, store: Store
) -> None:
    folder = tmp_path / "plain"
    (folder / "plain").mkdir(parents=True)
    (folder / "plain" / "__init__.py").write_text("")
    (folder / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["setuptools>=61"]\nbuild-backend = "setuptools.build_meta"\n'
        '[project]\nname = "plain"\nversion = "1.0"\ndependencies = ["six>=1"]\n'
        '[project.scripts]\nplain = "plain:main"\n'
    )

    package = local_package(LocalProject(folder), arm, store, read_pip_settings)

    assert [member.path for member in package.members] == [
        "plain-1.0.dist-info/METADATA",
        "plain-1.0.dist-info/WHEEL",
        "plain-1.0.dist-info/entry_points.txt",
        "plain/__init__.py",
    ]
    assert b"Requires-Dist: six>=1\n" in content_of(package.members[0])
    assert sorted(path.name for path in folder.iterdir()) == ["plain", "pyproject.toml"]
