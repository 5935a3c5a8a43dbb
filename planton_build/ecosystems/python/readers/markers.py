"""Markers of foreign locks, evaluated for a target and a set of chosen extras."""

from __future__ import annotations

import re
from collections.abc import Collection

from planton_build.ecosystems.python.requirement_syntax import normalise
from planton_build.errors import DependencyInputInvalid
from planton_build.runtimes.tags import marker_environment
from planton_build.runtimes.target import Target

_EXTRA = re.compile(r"""\bextra\s*(==|!=)\s*(?:"([^"]*)"|'([^']*)')""")
_REVERSED = re.compile(r"""(?:"([^"]*)"|'([^']*)')\s*(==|!=)\s*extra\b""")


def applies(marker: str, target: Target, extras: Collection[str] = ()) -> bool:
    """Tell whether a marker holds on the target with these extras (normalised) chosen.

    `extra == "x"` asks whether x is among the chosen ones. PEP 508 knows one extra at a time only, so the
    text is rewritten to the set form of PEP 751 (`"x" in extras`), which packaging evaluates for a set.

    Raises:
        DependencyInputInvalid: it is not a marker.
    """
    from packaging.markers import InvalidMarker, Marker, UndefinedComparison, UndefinedEnvironmentName

    text = _EXTRA.sub(lambda match: _membership(match[2] or match[3] or "", match[1]), marker)
    text = _REVERSED.sub(lambda match: _membership(match[1] or match[2] or "", match[3]), text)
    environment: dict[str, str | frozenset[str]] = {**marker_environment(target)}
    environment |= {"extras": frozenset(extras), "dependency_groups": frozenset()}
    try:
        return Marker(text).evaluate(environment, context="lock_file")
    except (InvalidMarker, UndefinedComparison, UndefinedEnvironmentName, RecursionError) as error:
        raise DependencyInputInvalid(f"{marker!r} is not an environment marker") from error


def _membership(name: str, operator: str) -> str:
    return f'"{normalise(name)}" {"in" if operator == "==" else "not in"} extras'
