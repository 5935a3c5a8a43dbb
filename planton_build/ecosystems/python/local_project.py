"""A project in a folder becomes a package: its wheel is built once, and made equal on every host.

A build backend is not locked, and it compresses with the zlib of its host. So of the wheel only the files
themselves are taken: they are compressed anew, and `.dist-info` is reduced to what programs ask for and
what the project itself decides (name, version, requirements, entry points).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import InvalidVersion

from planton_build.archive.compress import member_from_bytes, member_from_symlink
from planton_build.archive.contents import read_entry
from planton_build.archive.member import EXECUTABLE, Member
from planton_build.cache import Store, key_of
from planton_build.ecosystems.protocol import Package
from planton_build.ecosystems.python.lock import LocalProject
from planton_build.ecosystems.python.project_files import ProjectFile, copy_project, digest_of, project_files
from planton_build.ecosystems.python.settings import IndexSettings
from planton_build.ecosystems.python.wheel_layout import InstalledFile, read_wheel
from planton_build.errors import ContainerRequired, LocalProjectFailed
from planton_build.files import sha256_of
from planton_build.runtimes.target import Target

_FORMAT = 1
"""Raised whenever the same project may be built in another way than before."""
_REPRODUCIBLE = {"SOURCE_DATE_EPOCH": "315532800", "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}
"""1980-01-01, the first date that ZIP can hold, and no seed that would reorder sets."""
_SHOWN_LINES = 15
"""The last lines of a backend that an error repeats."""
_FILE_LIMIT = 512 << 20
"""Bytes of one file; Lambda takes no more than 250 MB unzipped."""
_FIELDS = ("Name", "Version", "Requires-Python", "Provides-Extra", "Requires-Dist")
"""The fields of METADATA that stay. They are the project's own, while backends differ in all the others."""
_WHEEL = b"Wheel-Version: 1.0\nGenerator: planton-build\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def local_package(
    project: LocalProject,
    target: Target,
    store: Store,
    settings: Callable[[], IndexSettings],
    *,
    digest: str | None = None,
    scripts: bool = False,
    environment: Mapping[str, str] | None = None,
) -> Package:
    """Return a local project as a package, building its wheel unless this very content was built before.

    The wheel must suit every machine, because the host that builds it is not the target. Nothing is written
    into the project: a copy is built.

    Args:
        project: the folder.
        target: what the package is for.
        store: keeps the wheel.
        settings: gives the indexes to fetch the build backend from; only called for a build.
        digest: what `project_digest` said of the project when it was made part of a build's key.
        scripts: whether to add the commands of the project.
        environment: the caller's environment, of which uv gets what it needs; by default this process's.

    Raises:
        ContainerRequired: the wheel holds code for one machine, or one version of Python.
        LocalProjectFailed: the project cannot be built; the message has the backend's last lines. Also when
            its files change meanwhile: the wheel would be kept under the digest of other files.
        WheelInvalid: the backend made a wheel against the rules.
        ToolFailed: uv cannot be run.
        SourceInvalid: the folder cannot be read.
        CacheBroken: the store cannot be written.
    """
    files = project_files(project.folder)
    found = digest_of(files)
    if digest is not None and found != digest:
        raise _changed(project)
    key = key_of("project", _FORMAT, found)
    record = store.record("projects", key)
    if record is None or not store.intact("wheels", record["sha256"]):
        record = _built(
            project, files, store, settings, dict(os.environ) if environment is None else environment
        )
        if digest_of(project_files(project.folder)) != found:
            raise _changed(project)
        store.put_record("projects", key, record)
    filename = str(record["filename"])
    _check_tags(project, filename, target)
    return package_of(filename, store.blob("wheels", record["sha256"]), target, store, scripts=scripts)


def package_of(filename: str, path: Path, target: Target, store: Store, *, scripts: bool) -> Package:
    """Return the wheel of a local project as a package: the same whichever backend and host built it.

    Raises:
        WheelInvalid: the wheel is against the rules.
    """
    name, version, _, _ = parse_wheel_filename(filename)
    tree = read_wheel(path, filename=filename)
    members = list(_members(tree.files, path, name, store))
    if scripts:
        from planton_build.ecosystems.python.scripts import script_members

        own = list(_members(tree.scripts, path, name, store))
        members += script_members(members, own, target, store)
    return Package(canonicalize_name(name), str(version), sorted(members, key=lambda member: member.path))


def _built(
    project: LocalProject,
    files: list[ProjectFile],
    store: Store,
    settings: Callable[[], IndexSettings],
    environment: Mapping[str, str],
) -> dict[str, str]:
    """Build a copy of the project and keep the wheel."""
    with store.staging_folder() as workshop:
        copy_project(files, workshop / "project")
        wheel = _run_backend(project, workshop, settings(), environment)
        digest = sha256_of(wheel)
        name = wheel.name
        store.keep("wheels", digest, wheel)
    return {"filename": name, "sha256": digest}


def _run_backend(
    project: LocalProject, workshop: Path, settings: IndexSettings, environment: Mapping[str, str]
) -> Path:
    """Build the wheel: first without the network, which is enough when the backend is in uv's cache."""
    from planton_build.ecosystems.python.uv_command import run_uv

    output = workshop / "wheels"
    command = [
        "build",
        "--wheel",
        "--no-create-gitignore",
        "--python",
        sys.executable,
        "--out-dir",
        str(output),
    ]
    for offline in (["--offline"], []):
        answer = run_uv(
            [*command, *offline, "."],
            folder=workshop / "project",
            environment=environment,
            settings=settings,
            extra=_REPRODUCIBLE,
            private=(workshop,),
        )
        wheels = sorted(output.glob("*.whl")) if output.is_dir() else []
        if answer.returncode == 0 and len(wheels) == 1:
            return wheels[0]
    raise _failure(project, answer.explanation)


def _changed(project: LocalProject) -> LocalProjectFailed:
    return LocalProjectFailed(
        f"{project.folder.name} was changed while it was being built",
        hint="build again when nothing writes to the project",
        file=project.folder,
    )


def _failure(project: LocalProject, explanation: str) -> LocalProjectFailed:
    lines = explanation.splitlines()[-_SHOWN_LINES:]
    hint = "build it by hand to see all: `uv build --wheel` in its folder"
    if "setuptools-scm" in explanation or "setuptools_scm" in explanation or "hatch-vcs" in explanation:
        hint = "write the version into pyproject.toml: it is taken from git, which is not part of the build"
    return LocalProjectFailed(
        f"{project.folder.name} cannot be built into a wheel:\n" + "\n".join(lines),
        hint=hint,
        file=project.folder,
    )


def _check_tags(project: LocalProject, filename: str, target: Target) -> None:
    from planton_build.ecosystems.python.selection import rank

    try:
        tags = parse_wheel_filename(filename)[3]
    except (InvalidWheelFilename, InvalidVersion) as error:
        raise LocalProjectFailed(
            f"the build backend of {project.folder.name} made a wheel with a wrong name: {filename[:200]!r}",
            file=project.folder,
        ) from error
    pure = all(tag.platform == "any" and tag.abi == "none" for tag in tags)
    if pure and rank(tags, target) is not None:
        return
    shown = ", ".join(sorted(map(str, tags)))
    what = "holds code compiled for this machine" if not pure else "is made for another Python"
    raise ContainerRequired(
        f"{project.folder.name} {what} ({shown}), so it must be built for {target.name}",
        hint="make it pure Python, and put the compiled part into a package with wheels",
        file=project.folder,
    )


def _members(files: tuple[InstalledFile, ...], wheel: Path, origin: str, store: Store) -> Iterator[Member]:
    """Compress the files anew, `.dist-info` reduced."""
    for file in files:
        content: bytes | None = read_entry(wheel, file.entry, limit=_FILE_LIMIT)
        if content is not None and file.path.partition("/")[0].endswith(".dist-info"):
            content = _own_metadata(file.path.partition("/")[2], content)
        if content is None:
            continue
        if file.entry.is_symlink:
            yield member_from_symlink(content.decode(), archive_path=file.path, origin=origin, store=store)
        else:
            executable = file.mode == EXECUTABLE
            yield member_from_bytes(
                content, archive_path=file.path, executable=executable, origin=origin, store=store
            )


def _own_metadata(name: str, content: bytes) -> bytes | None:
    """Return what stays of a file in `.dist-info`, or None for nothing."""
    if name == "WHEEL":
        return _WHEEL
    if name == "METADATA":
        return _metadata(content)
    return content if name == "entry_points.txt" else None


def _metadata(content: bytes) -> bytes:
    """Return METADATA with the project's own fields only, in a fixed order."""
    from email.parser import BytesHeaderParser

    parsed = BytesHeaderParser().parsebytes(content)
    lines = ["Metadata-Version: 2.1"]
    for field in _FIELDS:
        values = (" ".join(str(value).split()) for value in parsed.get_all(field, []))
        lines += sorted(
            {f"{field}: {_without_path(value) if field == 'Requires-Dist' else value}" for value in values}
        )
    return ("\n".join(lines) + "\n").encode()


def _without_path(requirement: str) -> str:
    """Return a requirement without the folder it came from: some backends write absolute paths."""
    try:
        parsed = Requirement(requirement)
    except InvalidRequirement:
        return requirement
    if parsed.url is not None and parsed.url.lower().startswith("file:"):
        parsed.url = None
    return str(parsed)
