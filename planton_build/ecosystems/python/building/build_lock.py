"""`BuildLock`: what built the packages without a wheel, in a file beside the lock that is committed with it.

The lock pins what goes in; this file pins what only helps to make it: the image, its tools, its system
packages, and the build requirements of every sdist and local project. With it a wheel that was built once is
found in the store without asking an engine, an index or an archive.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from planton_build.cache import key_of
from planton_build.ecosystems.python.lock import LockedPackage
from planton_build.errors import DependencyInputInvalid
from planton_build.runtimes.target import Target
from planton_build.sandbox.build_image import ImagePin


@dataclass(frozen=True, slots=True)
class LockedBuild:
    """How one package is built.

    `asked` are the build requirements as its project and its backend write them, `requires` the packages
    that were chosen for them, each with one hash. `sdist` is the SHA-256 (hex) of its sdist, None for a local
    project.
    """

    asked: tuple[str, ...]
    requires: tuple[LockedPackage, ...]
    sdist: str | None = None


@dataclass(frozen=True, slots=True)
class BuildLock:
    """All builds of a lock. `builds` has `name==version` for sdists and `./folder` for local projects.

    `image`, `toolchain` and `system_packages` are those of the `BuildImage` that built them; `asked_packages`
    the names that the configuration had when the system packages were chosen.
    """

    target: Target
    image: ImagePin
    toolchain: str
    system_packages: tuple[str, ...] = ()
    builds: Mapping[str, LockedBuild] = field(default_factory=dict)
    asked_packages: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """Return the SHA-256 (hex) of all that is in it, for keys."""
        return key_of("build-lock", render(self))


_HEADER = """\
# Made by planton-build: how the packages without a wheel are built for one runtime and architecture.
# Commit this file together with its lock. Take newer tools: planton-build lock --upgrade
"""
_TOP = {"target": str, "toolchain": str, "asked-packages": list, "system-packages": list, "image": dict}
_IMAGE = {"name": str, "digest": str}
_BUILD = {"asked": list, "requires": list}
_CONFLICT = re.compile(r"^(<{7}|={7}|>{7})( |$)", re.MULTILINE)
_SHA256 = re.compile(r"[0-9a-f]{64}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_PIN = re.compile(r"([a-z0-9]+(?:-[a-z0-9]+)*)==([A-Za-z0-9][A-Za-z0-9.!+_-]*) --hash=sha256:([0-9a-f]{64})")
_KEY = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*==[A-Za-z0-9][A-Za-z0-9.!+_-]*|\.(?:$|[./].*)", re.DOTALL)
_REFRESH = "run `planton-build lock`"


def render(lock: BuildLock) -> str:
    """Return the text of a build lock: the same for equal locks on every machine, with LF line ends.

    Raises:
        DependencyInputInvalid: a folder's name cannot be written.
    """
    lines = [
        _HEADER,
        f"target = {_quoted(lock.target.name)}\n",
        f"toolchain = {_quoted(lock.toolchain)}\n",
        f"asked-packages = {_array(lock.asked_packages)}\n",
        f"system-packages = {_array(lock.system_packages)}\n",
        f"\n[image]\nname = {_quoted(lock.image.name)}\ndigest = {_quoted(lock.image.digest)}\n",
    ]
    for key, build in sorted(lock.builds.items()):
        lines.append(f"\n[build.{_quoted(key)}]\n")
        if build.sdist is not None:
            lines.append(f"sdist = {_quoted(build.sdist)}\n")
        lines.append(f"asked = {_array(build.asked)}\n")
        lines.append(f"requires = {_array(sorted(map(_pin, build.requires)))}\n")
    return "".join(lines)


def read_build_lock(path: Path, target: Target) -> BuildLock:
    """Read a build lock.

    Raises:
        DependencyInputInvalid: the file is not a whole build lock for this target; with the line where known.
    """
    from planton_build.ecosystems.python.pyproject import load_toml
    from planton_build.ecosystems.python.requirement_syntax import normalise_newlines, read_text_file

    text = normalise_newlines(read_text_file(path)).decode("utf-8", "replace")
    if conflict := _CONFLICT.search(text):
        raise _Text(text, path).refusal("holds an unresolved merge conflict", conflict.group())
    return _Text(text, path).lock(load_toml(path), target)


@dataclass(frozen=True, slots=True)
class _Text:
    """A file that is TOML, with what it takes to say where it is wrong."""

    text: str
    path: Path

    def refusal(self, reason: str, near: str = "") -> DependencyInputInvalid:
        """Return the error about the first line that begins with `near`."""
        found = re.search(f"^{re.escape(near)}", self.text, re.MULTILINE) if near else None
        line = self.text.count("\n", 0, found.start()) + 1 if found else None
        where = f"{self.path.name}:{line}" if line else self.path.name
        return DependencyInputInvalid(
            f"{where}: the build lock {reason}",
            hint=f"undo the edit, take either side of a merge, or delete the file and {_REFRESH}",
            file=self.path,
            line=line,
        )

    def lock(self, document: Mapping[str, Any], target: Target) -> BuildLock:
        """Return the lock that the document holds."""
        self._check(document, _TOP, {"build"}, "")
        if document["target"] != target.name:
            raise self.refusal(f"was made for {document['target']!r}, not for {target.name}", "target")
        self._check(document["image"], _IMAGE, set(), "[image]")
        if not _DIGEST.fullmatch(document["image"]["digest"]):
            raise self.refusal("names an image without `sha256:` and 64 hexadecimal digits", "digest")
        if not _SHA256.fullmatch(document["toolchain"]):
            raise self.refusal("has a toolchain that is no SHA-256", "toolchain")
        builds = document.get("build", {})
        if not isinstance(builds, dict):
            raise self.refusal("has a `build` that is no table", "build")
        return BuildLock(
            target,
            ImagePin(document["image"]["name"], document["image"]["digest"]),
            document["toolchain"],
            self._strings(document["system-packages"], "system-packages"),
            {key: self._build(key, value) for key, value in builds.items()},
            self._strings(document["asked-packages"], "asked-packages"),
        )

    def _build(self, key: str, value: object) -> LockedBuild:
        near = f"[build.{_quoted(key)}]"
        if not _KEY.fullmatch(key) or not isinstance(value, dict):
            raise self.refusal(f"has a build of {key!r}, which is neither name==version nor a folder", near)
        self._check(value, _BUILD, {"sdist"}, near)
        sdist = value.get("sdist")
        if (sdist is None) != key.startswith(".") or (
            sdist is not None and not (isinstance(sdist, str) and _SHA256.fullmatch(sdist))
        ):
            raise self.refusal(f"has no SHA-256 of an sdist where {key!r} needs one, or one too many", near)
        pins: dict[str, LockedPackage] = {}
        for one in self._strings(value["requires"], near):
            pin = _PIN.fullmatch(one)
            if pin is None or pin[1] in pins:
                raise self.refusal(
                    f"requires {one[:200]!r} instead of `name==version --hash=sha256:…`, each name once", near
                )
            pins[pin[1]] = LockedPackage(pin[1], pin[2], frozenset({pin[3]}))
        requires = tuple(pins[name] for name in sorted(pins))
        return LockedBuild(self._strings(value["asked"], near), requires, sdist)

    def _check(self, found: Mapping[str, Any], kinds: Mapping[str, type], more: set[str], near: str) -> None:
        """Refuse a table that lacks a key, has one that nobody knows, or one of another type."""
        for name in sorted(set(found) - set(kinds) - more):
            raise self.refusal(f"has {name[:100]!r}, which this version does not know", name)
        for name, kind in kinds.items():
            if name not in found:
                raise self.refusal(f"has no {name!r}", near)
            if not isinstance(found[name], kind):
                raise self.refusal(f"has a {name!r} of another type than it should", name)

    def _strings(self, values: list[object], near: str) -> tuple[str, ...]:
        if not all(isinstance(value, str) for value in values):
            raise self.refusal("has a list of something else than strings", near)
        return tuple(str(value) for value in values)


def _pin(package: LockedPackage) -> str:
    (digest,) = package.hashes
    return f"{package.name}=={package.version} --hash=sha256:{digest}"


def _array(values: list[str] | tuple[str, ...]) -> str:
    if not values:
        return "[]"
    return "".join(["[\n", *(f"    {_quoted(value)},\n" for value in values), "]"])


def _quoted(text: str) -> str:
    """Return a TOML basic string. JSON writes them the same way, but leaves DEL as it is."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise DependencyInputInvalid(
            f"the name {text!r} is not valid Unicode, so that no lock can hold it", hint="rename it"
        ) from error
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
