"""What a runtime has of its own, from `libraries.toml`: shared libraries, symbol versions, packages."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

from planton_build.runtimes.target import Target


@dataclass(frozen=True, slots=True)
class RuntimeLibraries:
    """Sonames and packages of a runtime; `libraries.toml` says how certain they are and where they come from.

    `sure` are there. `image` were seen in the image, which ZIP functions do not run in. `versions` gives for
    a library and a series of symbol versions the highest that is certain and the highest that is known.
    `packages` are normalised names of Python packages.
    """

    sure: frozenset[str]
    image: frozenset[str]
    versions: Mapping[tuple[str, str], tuple[str, str]]
    packages: frozenset[str]


@functools.cache
def libraries_of(target: Target) -> RuntimeLibraries:
    """Return what the target's runtime has. All functions of one runtime share one value."""
    table = _table()
    system = table[target.system]
    family = table["family"].get(target.family, {})
    version = ".".join(map(str, target.version))
    own = [name.replace("{version}", version) for name in family.get("libraries", ())]
    packages = [*family.get("packages", ())]
    packages += [name for name, below in family.get("before", {}).items() if target.version < tuple(below)]
    versions = {
        (library, series): (limits[0], limits[-1])
        for library, table in system["versions"].items()
        for series, limits in table.items()
    }
    return RuntimeLibraries(
        sure=frozenset([*system["sure"], *system["machines"][target.machine], *own]),
        image=frozenset(system["image"]),
        versions=versions,
        packages=frozenset(packages),
    )


@functools.cache
def _table() -> dict[str, Any]:
    text = resources.files(__package__).joinpath("libraries.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)
