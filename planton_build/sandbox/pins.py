"""Which base image a target's builds run in: `base_images/images.toml`, and refreshing its digests."""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from planton_build.errors import ImageUnavailable
from planton_build.files import write_atomic
from planton_build.runtimes.catalog import target_for
from planton_build.runtimes.target import Target

_PACKAGE = Path(__file__).resolve().parents[1]
_TABLE = re.compile(
    r"\[\s*[\"']?(?P<runtime>[a-z0-9.]+?)[\"']?\s*\.\s*(?P<architecture>x86_64|arm64)\s*\]\s*(#.*)?"
)
_KEY = re.compile(r"(?P<key>name|digest)\s*=")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Pin:
    """A base image: its name by tag and, where it is known, the digest of its manifest (`sha256:…`)."""

    name: str
    digest: str | None


@dataclass(frozen=True, slots=True)
class Change:
    """What a refresh did to one entry. `before` and `after` are digests, or None for no digest."""

    target: str
    name: str
    before: str | None
    after: str


def base_images_folder() -> Path:
    """Return the folder `base_images`: of the installed wheel or, in a checkout, beside the package."""
    for folder in (_PACKAGE / "base_images", _PACKAGE.parent / "base_images"):
        if (folder / "images.toml").is_file():
            return folder
    raise ImageUnavailable(
        "the installation has no folder base_images",
        hint="install planton-build again; its wheel and its source archive bring the folder",
    )


def toolchain_lock(target: Target) -> Path:
    """Return the locked tools of a target's toolchain image."""
    return base_images_folder() / target.family / "toolchain" / f"{target.name}.lock"


def targets() -> tuple[Target, ...]:
    """Return every target that has a base image, in the file's order."""
    return tuple(
        target_for(runtime, architecture) for runtime, tables in _entries().items() for architecture in tables
    )


def pinned(target: Target) -> Pin:
    """Return the base image of a target.

    Raises:
        ImageUnavailable: images.toml has none for it.
    """
    entry = _entries().get(target.runtime, {}).get(target.architecture)
    if entry is None:
        raise ImageUnavailable(
            f"there is no build image for {target.name}: base_images/images.toml does not list it",
            hint="name one with the option `build-image`, or move the function to a newer runtime",
        )
    return entry


def wanted(target: Target, configured: str | None) -> Pin:
    """Return the image that is configured, with `{runtime}` and `{architecture}` filled in, or the target's.

    Raises:
        ImageUnavailable: none is configured, and there is none for the target.
    """
    if configured is None:
        return pinned(target)
    name = configured.replace("{runtime}", target.runtime).replace("{architecture}", target.architecture)
    name, _, digest = name.partition("@")
    return Pin(name, digest or None)


def refresh(path: Path, resolve: Callable[[Pin, Target], str]) -> tuple[Change, ...]:
    """Write current digests into an images.toml; every other byte of it stays.

    Args:
        path: the file.
        resolve: returns the digest that an entry's tag has now, for the entry's architecture. What it raises
            leaves the file as it was.

    Returns:
        The entries whose digest changed, in the file's order.
    """
    text = path.read_bytes().decode("utf-8")
    entries = parse(text)
    found: dict[tuple[str, str], str] = {}
    changes = []
    for runtime, tables in entries.items():
        for architecture, pin in tables.items():
            target = target_for(runtime, architecture)
            digest = resolve(pin, target)
            if not _DIGEST.fullmatch(digest):
                raise ImageUnavailable(f"{pin.name}: the registry gave no SHA-256 digest")
            found[runtime, architecture] = digest
            if digest != pin.digest:
                changes.append(Change(target.name, pin.name, pin.digest, digest))
    if changes:
        written = "".join(_rewritten(text, found))
        expected = {
            runtime: {arch: Pin(pin.name, found[runtime, arch]) for arch, pin in tables.items()}
            for runtime, tables in entries.items()
        }
        if parse(written) != expected:
            raise ImageUnavailable(
                f"{path.name} has a form that cannot be rewritten",
                hint="write each entry as a table of its own with the lines `name` and `digest`",
            )
        write_atomic(path, written.encode())
    return tuple(changes)


def parse(text: str) -> dict[str, dict[Any, Pin]]:
    """Read an images.toml: pins by runtime and architecture. Raises ImageUnavailable for any other form."""
    try:
        document = tomllib.loads(text)
        return {
            runtime: {architecture: _pin(table) for architecture, table in tables.items()}
            for runtime, tables in document.items()
        }
    except (tomllib.TOMLDecodeError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise ImageUnavailable(
            f"images.toml cannot be read: {error}",
            hint='an entry is a table ["RUNTIME".ARCHITECTURE] with `name` and, if known, `digest`',
        ) from error


def _pin(table: dict[str, Any]) -> Pin:
    name, digest = table["name"], table.get("digest")
    if not isinstance(name, str) or table.keys() - {"name", "digest"}:
        raise ValueError(f"an entry has `name` and `digest` only, not {', '.join(sorted(table))}")
    if digest is not None and not _DIGEST.fullmatch(digest):
        raise ValueError(f"{digest!r} is no SHA-256 digest")
    return Pin(name, digest)


@functools.cache
def _entries() -> dict[str, dict[Any, Pin]]:
    return parse((base_images_folder() / "images.toml").read_text(encoding="utf-8"))


def _rewritten(text: str, digests: dict[tuple[str, str], str]) -> Iterator[str]:
    """Give the lines of a file with new digests: in the place of the old ones, or after `name`."""
    lines = text.splitlines(keepends=True)
    has_digest, here = set(), None
    for line in lines:
        here = _table(line, here)
        if (key := _KEY.match(line)) and key["key"] == "digest":
            has_digest.add(here)
    here = None
    for line in lines:
        here = _table(line, here)
        key = _KEY.match(line)
        if key is None or here is None:
            yield line
            continue
        end = "\r\n" if line.endswith("\r\n") else "\n"
        if key["key"] == "digest":
            yield re.sub(r"sha256:[0-9a-f]{64}", digests[here], line, count=1)
        else:
            yield line if line.endswith("\n") else line + end
            if here not in has_digest:
                yield f'digest = "{digests[here]}"{end}'


def _table(line: str, current: tuple[str, str] | None) -> tuple[str, str] | None:
    """Return the entry that a line belongs to."""
    if not line.startswith("["):
        return current
    found = _TABLE.fullmatch(line.strip())
    return (found["runtime"], found["architecture"]) if found else None
