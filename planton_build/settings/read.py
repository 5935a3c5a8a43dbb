"""From a manifest to its settings: the `[deploy]` tables of all files that count for it.

The first of these that has a key wins, key by key, and takes its place whole; only `tags` are joined, where
the nearer value of each tag wins:

1. the nearest `planton.toml`, beside the manifest or in a folder above it: its `[function.NAME.deploy]`,
   where NAME is the function's name in AWS, then its `[deploy]`; then the next, up to the repository's root
   (or the file system's, outside of one);
2. the same tables below `[tool.planton]` of the `pyproject.toml` files in the same folders.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from planton_build.errors import ConfigInvalid, Finding
from planton_build.manifest.document import Manifest
from planton_build.project.config import ConfigFile, invalid
from planton_build.project.layers import ConfigFiles
from planton_build.settings.checks import clashes
from planton_build.settings.deploy_table import field_of, read_deploy
from planton_build.settings.model import NO_SETTINGS, DeploySettings
from planton_build.settings.positions import KeyPath, Place, key_positions, nearest_place
from planton_build.settings.table import Fault, Table

_KEPT_POSITIONS = 8


@dataclass(frozen=True, slots=True)
class Origin:
    """A key, table or list element of a configuration file."""

    file: ConfigFile
    path: KeyPath

    def below(self, path: KeyPath) -> Origin:
        """Return something inside of it."""
        return Origin(self.file, self.path + path)

    def place(self) -> Place | None:
        """Return the line and column, or those of the nearest parent that is written down."""
        return nearest_place(_positions(self.file.text), self.path)

    def finding(self, fault: Fault) -> Finding:
        """Return what is wrong there."""
        line, column = self.place() or (None, None)
        return Finding(ConfigInvalid.code, fault.message, self.file.path, line, column, fault.hint)


def settings_for(manifest: Manifest, *, files: ConfigFiles | None = None) -> DeploySettings:
    """Return the settings of one function; `NO_SETTINGS` when nothing is written for it.

    Args:
        manifest: the function's manifest. Configuration files are looked for beside it and above.
        files: configuration files that were read already; pass one object for all functions of a run.

    Raises:
        ConfigInvalid: a file cannot be read, or settings are unknown, wrong or do not fit together. All that
            is wrong is in `findings`.

    """
    folder = Path(os.path.realpath(manifest.path.parent))
    name = manifest.model.spec.function_name
    tables = [
        (origin, values)
        for file in (files or ConfigFiles()).above(folder)
        for origin, values in _tables(file, name)
    ]
    if not tables:
        return NO_SETTINGS
    findings: list[Finding] = []
    read = [(origin, _read(origin, values, findings)) for origin, values in tables]
    if findings:
        raise invalid(_in_order(findings))
    settings, origins = _merged(read)
    if findings := check_settings(settings, manifest, origins):
        raise invalid(findings)
    return settings


def check_settings(
    settings: DeploySettings, manifest: Manifest, origins: Mapping[str, Origin] | None = None
) -> list[Finding]:
    """Return what does not fit together in the settings of a function, and with its manifest.

    `origins` tells where each key was written; what has none is shown at the function's name.
    """
    found = []
    for fault in clashes(settings, manifest):
        origin = (origins or {}).get(str(fault.path[0]))
        if origin is not None:
            found.append(origin.below(fault.path[1:]).finding(fault))
        else:
            place = manifest.position("spec", "function_name")
            line, column = (place.line, place.column) if place else (None, None)
            found.append(Finding(ConfigInvalid.code, fault.message, manifest.path, line, column, fault.hint))
    return _in_order(found)


def _in_order(findings: Iterable[Finding]) -> list[Finding]:
    """Return findings in the order in which their places stand in the files."""
    return sorted(findings, key=lambda finding: (str(finding.file), finding.line or 0, finding.column or 0))


def _tables(file: ConfigFile, function: str) -> Iterator[tuple[Origin, Mapping[str, Any]]]:
    """Yield the tables of a file that count for a function, nearer first."""
    root: KeyPath = ("tool", "planton") if file.path.name == "pyproject.toml" else ()
    if special := file.function_deploy.get(function):
        yield Origin(file, (*root, "function", function, "deploy")), special
    if file.deploy:
        yield Origin(file, (*root, "deploy")), file.deploy


def _read(
    origin: Origin, values: Mapping[str, Any], findings: list[Finding]
) -> dict[str, tuple[str, object]]:
    """Return what one table says, and add what is wrong with it to the findings."""
    table = Table(values)
    path = origin.file.path

    def of_reference(index: int) -> str:
        place = origin.below((table.written("references"), index)).place()
        return f"{path.name}:{place[0]}" if place else path.name

    found = read_deploy(table, path.parent, of_reference)
    findings += [origin.below(fault.path).finding(fault) for fault in table.faults]
    return found


def _merged(
    read: Iterable[tuple[Origin, Mapping[str, tuple[str, object]]]],
) -> tuple[DeploySettings, dict[str, Origin]]:
    """Put tables together, nearest first, and say where each key was found."""
    values: dict[str, Any] = {}
    origins: dict[str, Origin] = {}
    files: dict[Path, None] = {}
    for origin, found in read:
        files[origin.file.path] = None
        for key, (written, value) in found.items():
            if key not in values:
                values[key], origins[key] = value, origin.below((written,))
            elif key == "tags" and isinstance(value, dict):
                values[key] = dict(sorted({**value, **values[key]}.items()))
    fields = {field_of(key): value for key, value in values.items()}
    return DeploySettings(**fields, files=tuple(files)), origins


@lru_cache(maxsize=_KEPT_POSITIONS)
def _positions(text: str) -> Mapping[KeyPath, Place]:
    return key_positions(text)
