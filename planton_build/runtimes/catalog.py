"""Every runtime Lambda has or had, from `runtimes.toml`, and the `Target` for one on an architecture."""

from __future__ import annotations

import datetime as dt
import difflib
import functools
import tomllib
from dataclasses import dataclass
from importlib import resources
from typing import Any, Literal

from planton_build.errors import RuntimeUnsupported
from planton_build.runtimes.target import Architecture, Target

GLIBC: dict[str, tuple[int, int]] = {"al2": (2, 26), "al2023": (2, 34)}
"""The C library of Amazon Linux 2 and of Amazon Linux 2023."""
NOTICE = dt.timedelta(days=180)
"""How long before its deprecation a runtime is worth a word: AWS announces it 180 days ahead."""


@dataclass(frozen=True, slots=True)
class Runtime:
    """One row of the table; `runtimes.toml` explains the columns.

    `python` is the patch release to assume in markers, or None outside the family `python`.
    """

    name: str
    family: str
    version: tuple[int, int]
    python: str | None
    system: Literal["al1", "al2", "al2023"]
    experimental: bool
    deprecation: dt.date | None
    block_create: dt.date | None
    block_update: dt.date | None
    successor: str | None
    base_image: str
    build_image: str


@functools.cache
def runtimes() -> dict[str, Runtime]:
    """Return the whole table by name, in the order of the file: newest of a family first."""
    text = resources.files(__package__).joinpath("runtimes.toml").read_text(encoding="utf-8")
    return {name: _row(name, table) for name, table in tomllib.loads(text).items()}


def runtime_named(name: str) -> Runtime:
    """Return the row of a runtime.

    Raises RuntimeUnsupported, with the names that are spelled alike, when there is none.
    """
    table = runtimes()
    if (found := table.get(name)) is not None:
        return found
    close = difflib.get_close_matches(
        name.lower(), [row.name for row in table.values() if row.system != "al1"]
    )
    raise RuntimeUnsupported(
        f"Lambda has no runtime {name!r}",
        hint=f"did you mean {' or '.join(close)}?" if close else f"known runtimes: {', '.join(_current())}",
    )


def target_for(runtime: str, architecture: Architecture) -> Target:
    """Return the target for a runtime on an architecture.

    Every runtime on Amazon Linux 2 and 2023 exists on both architectures. Raises RuntimeUnsupported for an
    unknown runtime and for one on the first Amazon Linux, for which no current package is made.
    """
    row = runtime_named(runtime)
    if row.system == "al1":
        raise RuntimeUnsupported(
            f"{runtime} cannot be built for: it runs on the first Amazon Linux, which has no glibc that "
            "current packages load on",
            hint=f"move the function to {row.successor}" if row.successor else None,
        )
    return Target(runtime, architecture, row.family, row.version, row.system, GLIBC[row.system])


def lifecycle_note(runtime: str, today: dt.date) -> str | None:
    """Return a sentence on what happens, or happened, to a runtime, or None while there is nothing to say.

    Building never fails for a date: whether Lambda still takes the function is a matter of deploying.
    Raises RuntimeUnsupported for an unknown runtime.
    """
    row = runtime_named(runtime)
    if row.experimental:
        return f"{runtime} is experimental here: its operating system and dates are not confirmed yet"
    if row.deprecation is None or today < row.deprecation - NOTICE:
        return None
    said = "is deprecated since" if today >= row.deprecation else "will be deprecated on"
    parts = [f"{runtime} {said} {row.deprecation.isoformat()}"]
    blocks = (("new functions", row.block_create), ("updates", row.block_update))
    parts += [
        f"Lambda refuses {what} {'since' if today >= day else 'from'} {day.isoformat()}"
        for what, day in blocks
        if day is not None
    ]
    if row.successor is not None:
        parts.append(f"the newest runtime of its kind is {row.successor}")
    return "; ".join(parts)


def base_image(target: Target) -> str:
    """Return the name of the image that Lambda runs for the target, by tag."""
    return f"{runtime_named(target.runtime).base_image}-{target.architecture}"


def build_image(target: Target) -> str:
    """Return the name of the image with the target's compilers, by tag."""
    return f"{runtime_named(target.runtime).build_image}:latest-{target.architecture}"


def _row(name: str, table: dict[str, Any]) -> Runtime:
    """Make one row of its TOML table; a key that is missing is None."""
    major, minor = table["version"]
    python = table.get("python", f"{major}.{minor}.0") if table["family"] == "python" else None
    return Runtime(
        name=name,
        family=table["family"],
        version=(major, minor),
        python=python,
        system=table["system"],
        experimental=table.get("experimental", False),
        deprecation=table.get("deprecation"),
        block_create=table.get("block_create"),
        block_update=table.get("block_update"),
        successor=table.get("successor"),
        base_image=table["base_image"],
        build_image=table["build_image"],
    )


def _current() -> list[str]:
    """Return the runtimes that have no successor and are not experimental."""
    return [row.name for row in runtimes().values() if row.successor is None and not row.experimental]
