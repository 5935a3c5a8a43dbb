"""`Lock`: the exact packages for one target, in pip-tools' own format: pins and hashes, no URLs.

One file per input and target stands beside its input and is committed. `pip install --require-hashes -r`
reads it; projects in folders stand in comments (`# local: ./libs/shared[extra]`), because pip refuses folders
as soon as hashes are required. Packages without a wheel for the target are named in such comments, too.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from planton_build.errors import DependencyInputInvalid
from planton_build.runtimes.target import Target

if TYPE_CHECKING:
    from planton_build.ecosystems.python.inputs import DependencyInput


@dataclass(frozen=True, slots=True)
class LockedPackage:
    """One pin. `name` is normalised (PEP 503); `hashes` are SHA-256 digests in hex, any of which will do."""

    name: str
    version: str
    hashes: frozenset[str]


@dataclass(frozen=True, slots=True)
class LocalProject:
    """A project in a folder that goes in as a wheel: the function's own project, or a path dependency."""

    folder: Path
    extras: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Lock:
    """All packages for one target, sorted by name. `source` is the file it was read from, for messages.

    `sdists` names the packages whose hash is that of an sdist, because no wheel of theirs loads on the
    target. Locks of other tools do not tell: there it is empty, and what a package comes as is found out when
    it is fetched.
    """

    target: Target
    packages: tuple[LockedPackage, ...]
    local: tuple[LocalProject, ...] = ()
    source: Path | None = None
    sdists: frozenset[str] = frozenset()


_HEADER = """\
# Made by planton-build: the exact packages for one runtime and architecture. Commit this file.
# Refresh after a change of its inputs: planton-build lock
# Take newer versions:                  planton-build lock --upgrade
# target: {target}
# inputs: sha256:{inputs}
"""
_TARGET = re.compile(r"^# target: (\S+)$", re.MULTILINE)
_INPUTS = re.compile(r"^# inputs: sha256:([0-9a-f]{64})$", re.MULTILINE)
_LOCAL = re.compile(r"^# local: (\..*?)(?:\[([a-z0-9,-]*)\])?$", re.MULTILINE)
_SDIST = re.compile(r"^# sdist: ([a-z0-9]+(?:-[a-z0-9]+)*)$", re.MULTILINE)
_CONFLICT = re.compile(r"^(<{7}|={7}|>{7})( |$)", re.MULTILINE)
_PIN = re.compile(r"([a-z0-9]+(?:-[a-z0-9]+)*)==([A-Za-z0-9][A-Za-z0-9.!+_-]*)")
_REFRESH = "run `planton-build lock`"


def lock_path(dependencies: DependencyInput, target: Target) -> Path:
    """Return where the lock of an input for a target stands: beside the input.

    `requirements.txt` for python3.13 on arm64 gives `requirements.python3.13-arm64.lock`. Extras and groups
    are part of the name (`pyproject.extra-api.group-prod.python3.13-arm64.lock`), as a digest when long.
    """
    path = dependencies.path
    stem = path.stem if path.suffix in {".txt", ".in", ".toml"} else path.name
    chosen = [f"extra-{name}" for name in dependencies.extras] + [
        f"group-{name}" for name in dependencies.groups
    ]
    if len(".".join(chosen)) > 80:
        chosen = ["extras-" + hashlib.sha256(".".join(chosen).encode()).hexdigest()[:16]]
    return path.with_name(".".join([stem, *chosen, target.name, "lock"]))


def build_lock_path(lock: Path, target: Target) -> Path:
    """Return where the build lock of a lock stands.

    `requirements.python3.13-arm64.lock` has `requirements.python3.13-arm64.build.lock`; locks of other tools
    are for all targets: `uv.lock` has `uv.lock.python3.13-arm64.build.lock`.
    """
    own = f".{target.name}.lock"
    stem = lock.name.removesuffix(".lock") if lock.name.endswith(own) else f"{lock.name}.{target.name}"
    return lock.with_name(f"{stem}.build.lock")


def render(lock: Lock, input_digest: str, *, beside: Path) -> str:
    """Return the text of a lock file: the same for the same lock on every machine, with LF line ends.

    Args:
        lock: what to write.
        input_digest: the SHA-256 (hex) of everything the resolution depended on.
        beside: the folder the file will stand in; local projects are written relative to it.
    """
    lines = [_HEADER.format(target=lock.target.name, inputs=input_digest)]
    lines += sorted({_local_line(project, beside) for project in lock.local})
    lines += [f"# sdist: {name}\n" for name in sorted(lock.sdists)]
    lines.append("\n")
    for package in sorted(lock.packages, key=lambda package: package.name):
        hashes = "".join(f" \\\n    --hash=sha256:{digest}" for digest in sorted(package.hashes))
        lines.append(f"{package.name}=={package.version}{hashes}\n")
    return "".join(lines)


def _local_line(project: LocalProject, beside: Path) -> str:
    relative = Path(os.path.relpath(project.folder, beside)).as_posix()
    written = relative if relative.startswith(".") else f"./{relative}"
    if not written.isprintable():
        raise DependencyInputInvalid(
            f"the folder {written!r} of a local project has a name that no lock can hold", hint="rename it"
        )
    extras = f"[{','.join(sorted(project.extras))}]" if project.extras or "[" in written else ""
    return f"# local: {written}{extras}\n"


def read_lock(path: Path, target: Target) -> tuple[Lock, str]:
    """Read a lock file of ours.

    Returns:
        The lock, and the digest of the inputs it was made from.

    Raises:
        DependencyInputInvalid: the file is not a whole lock for this target; with file and line.
    """
    from planton_build.ecosystems.python.requirement_syntax import normalise_newlines, read_text_file

    try:
        text = normalise_newlines(read_text_file(path)).decode("utf-8")
    except UnicodeDecodeError as error:
        raise DependencyInputInvalid(f"{path.name} is not UTF-8", hint=_REFRESH, file=path) from error
    inputs = _header(text, path, target)
    local = tuple(
        LocalProject(
            Path(os.path.normpath(path.parent / match[1])), tuple(match[2].split(",")) if match[2] else ()
        )
        for match in _LOCAL.finditer(text)
    )
    packages = _packages(text, path)
    sdists = frozenset(match[1] for match in _SDIST.finditer(text))
    if unknown := sdists - {package.name for package in packages}:
        raise DependencyInputInvalid(
            f"{path.name} says that {min(unknown)} is an sdist, and does not pin it", hint=_REFRESH, file=path
        )
    return Lock(target, packages, local, path, sdists), inputs


def _header(text: str, path: Path, target: Target) -> str:
    """Check the header and return the digest of the inputs."""
    if conflict := _CONFLICT.search(text):
        line = text.count("\n", 0, conflict.start()) + 1
        raise DependencyInputInvalid(
            f"{path.name}:{line}: the lock holds an unresolved merge conflict",
            hint=f"take either side, then {_REFRESH}",
            file=path,
            line=line,
        )
    made_for, inputs = _TARGET.search(text), _INPUTS.search(text)
    if made_for is None or inputs is None:
        raise DependencyInputInvalid(
            f"{path.name} has no `# target:` and `# inputs:` lines", hint=_REFRESH, file=path
        )
    if made_for[1] != target.name:
        raise DependencyInputInvalid(
            f"{path.name} was made for {made_for[1]}, not for {target.name}", hint=_REFRESH, file=path
        )
    return inputs[1]


def _packages(text: str, path: Path) -> tuple[LockedPackage, ...]:
    from planton_build.ecosystems.python.requirements import IndexOptions, parse_requirements

    found: dict[str, LockedPackage] = {}
    parsed = parse_requirements(text, path)
    if parsed.files or parsed.local or parsed.constraints or parsed.index_options != IndexOptions():
        raise DependencyInputInvalid(
            f"{path.name}: a lock holds pins and nothing else, but this one has option lines or paths",
            hint=f"undo the edit or {_REFRESH}",
            file=path,
        )
    for requirement in parsed.named:
        pin = _PIN.fullmatch(requirement.text)
        if pin is None or not requirement.hashes or pin[1] in found:
            raise DependencyInputInvalid(
                f"{path.name}:{requirement.line}: a lock holds `name==version` with hashes, each name once",
                hint=f"undo the edit or {_REFRESH}",
                file=path,
                line=requirement.line,
            )
        found[pin[1]] = LockedPackage(pin[1], pin[2], requirement.hashes)
    return tuple(sorted(found.values(), key=lambda package: package.name))
