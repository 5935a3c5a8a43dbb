"""What a wheel must be tagged with, and how markers evaluate, on a target; the host plays no part."""

from __future__ import annotations

import functools
from collections.abc import Iterator

from packaging.tags import Tag, compatible_tags, cpython_tags

from planton_build.runtimes.catalog import runtimes
from planton_build.runtimes.target import Target

LEGACY = {(2, 17): "manylinux2014", (2, 12): "manylinux2010", (2, 5): "manylinux1"}
"""The older names of three `manylinux_X_Y` (PEP 600, "Legacy manylinux tags")."""
OLDEST_GLIBC = {"x86_64": (2, 5), "aarch64": (2, 17)}
"""The oldest glibc that any manylinux wheel of the machine is made for (PEP 513, PEP 599)."""


@functools.cache
def wheel_tags(target: Target) -> tuple[Tag, ...]:
    """Return the tags of the wheels that load on the target, best first.

    The order is that of `packaging.tags.sys_tags` in the runtime's own image. There are no musllinux tags:
    both Amazon Linux generations use glibc.
    """
    version = target.version
    interpreter = f"cp{version[0]}{version[1]}"
    platforms = tuple(_platforms(target))
    return (
        # The ABI is named here because packaging would ask the host's interpreter for its build flags.
        *cpython_tags(version, abis=[interpreter], platforms=platforms),
        *compatible_tags(version, interpreter, platforms),
    )


def marker_environment(target: Target) -> dict[str, str]:
    """Return the environment in which PEP 508 markers are evaluated for the target.

    `python_full_version` is the oldest patch release that is known to have run on Lambda (`runtimes.toml`),
    not X.Y.0 and not the newest: X.Y.0 would refuse packages that exclude broken early releases
    (`Requires-Python: !=3.9.0,!=3.9.1`), while the newest moves under a lock. AWS only goes up from it, so
    what was chosen by `>= 3.11.4` stays right, and a backport chosen by `< 3.11.10` is one file too many,
    never one too few. `platform_release` and `platform_version` are empty: Lambda promises no kernel.
    """
    major, minor = target.version
    row = runtimes().get(target.runtime)
    full = (row.python if row is not None else None) or f"{major}.{minor}.0"
    return {
        "implementation_name": "cpython",
        "implementation_version": full,
        "os_name": "posix",
        "platform_machine": target.machine,
        "platform_python_implementation": "CPython",
        "platform_release": "",
        "platform_system": "Linux",
        "platform_version": "",
        "python_full_version": full,
        "python_version": f"{major}.{minor}",
        "sys_platform": "linux",
    }


def _platforms(target: Target) -> Iterator[str]:
    """Give the platform tags, best first: each glibc downwards with its older name, then plain Linux."""
    major, newest = target.glibc
    oldest = OLDEST_GLIBC[target.machine][1]
    for minor in range(newest, oldest - 1, -1):
        yield f"manylinux_{major}_{minor}_{target.machine}"
        if (legacy := LEGACY.get((major, minor))) is not None:
            yield f"{legacy}_{target.machine}"
    yield f"linux_{target.machine}"
