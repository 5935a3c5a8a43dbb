"""`images.lock`: which digest the images have that functions are built on, in a file that is committed.

It lies in the source folder and holds, for every name that a `base-image` or a Dockerfile has without a
digest, the digest per architecture. A build takes the locked one, so that a tag that moves changes nothing.
"""

from __future__ import annotations

import re
import threading
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from planton_build.errors import DependencyInputInvalid, LockOutdated
from planton_build.files import write_atomic

if TYPE_CHECKING:
    from planton_build.ecosystems.python.locking import LockMode
    from planton_build.runtimes.target import Architecture

NAME = "images.lock"
"""The file's name in a source folder; `*.lock` never gets into an artifact."""
_HEADER = """\
# Made by planton-build: the images that functions are built on. Commit this file.
# Take the images that the tags name now: planton-build lock --upgrade
"""
_LIMIT = 1 << 20
_PIN = re.compile(r"(image-id:)?sha256:[0-9a-f]{64}")
"""A digest of a manifest; or, of an image that only an engine has, its ID."""
_CONFLICT = re.compile(r"^(<{7}|={7}|>{7})( |$)", re.MULTILINE)

Pins = dict[str, dict[str, str]]
"""Digests by name, then by architecture."""


@dataclass(slots=True)
class ImageLocks:
    """The image locks of a run. Safe to use from several threads: functions share folders."""

    mode: LockMode
    upgrade: bool = False
    _guard: threading.Lock = field(default_factory=threading.Lock)
    _pins: dict[Path, Pins] = field(default_factory=dict)
    _fresh: set[tuple[Path, str, str]] = field(default_factory=set)

    def digest(
        self,
        folder: Path,
        name: str,
        architecture: Architecture,
        resolve: Callable[[], str],
    ) -> str:
        """Return the digest of an image, locked or, where the mode allows, resolved and locked now.

        Args:
            folder: the source folder that has the lock.
            name: the image's name, without digest.
            architecture: of the function.
            resolve: asks what the name stands for now. What it raises leaves the lock as it was.

        Raises:
            LockOutdated: it is not locked, and nothing may, or can, be written.
            DependencyInputInvalid: the lock cannot be read.
        """
        path = folder / NAME
        with self._guard:
            pins = self._pins.setdefault(path, {}) or self._read(path)
            known = pins.get(name, {}).get(architecture)
            again = self.upgrade and (path, name, architecture) not in self._fresh
            if known is not None and not again:
                return known
            if self.mode in ("frozen", "check"):
                raise LockOutdated(
                    f"the image {name} is not locked for {architecture}",
                    hint="run `planton-build lock` and commit images.lock",
                    file=path,
                )
            digest = resolve()
            self._fresh.add((path, name, architecture))
            if digest != known:
                pins.setdefault(name, {})[architecture] = digest
                _write(path, pins)
            return digest

    def _read(self, path: Path) -> Pins:
        pins = self._pins[path] = read(path)
        return pins


def read(path: Path) -> Pins:
    """Read an image lock; one that is not there is empty.

    Raises:
        DependencyInputInvalid: it cannot be read.
    """
    try:
        with path.open("rb") as stream:
            text = stream.read(_LIMIT).decode()
        if _CONFLICT.search(text):
            raise DependencyInputInvalid(
                "the image lock has conflict markers of git",
                hint="keep the lines of both sides, then run `planton-build lock`",
                file=path,
            )
        document = tomllib.loads(text)
        if not all(_is_entry(entry) for entry in document.values()):
            raise ValueError("an entry has a digest `sha256:…` for an architecture, and nothing else")
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:  # TOMLDecodeError and UnicodeDecodeError are ValueErrors
        raise DependencyInputInvalid(
            f"the image lock cannot be read: {error}",
            hint="remove it, then run `planton-build lock`",
            file=path,
        ) from error
    return {name: dict(entry) for name, entry in document.items()}


def _write(path: Path, pins: Pins) -> None:
    try:
        write_atomic(path, render(pins).encode())
    except OSError as error:
        raise LockOutdated(
            f"{path.name} cannot be written: {error.strerror}",
            hint="make the folder writable, or run `planton-build lock` elsewhere and commit the result",
            file=path,
        ) from error


def render(pins: Mapping[str, Mapping[str, str]]) -> str:
    """Return the text of an image lock: the same for equal pins."""
    lines = [_HEADER]
    for name, digests in sorted(pins.items()):
        lines.append(f'["{name}"]\n')
        lines += [f'{architecture} = "{digest}"\n' for architecture, digest in sorted(digests.items())]
        lines.append("\n")
    return "".join(lines).rstrip("\n") + "\n"


def _is_entry(entry: Any) -> bool:
    return isinstance(entry, dict) and all(
        architecture in ("x86_64", "arm64") and isinstance(digest, str) and _PIN.fullmatch(digest)
        for architecture, digest in entry.items()
    )
