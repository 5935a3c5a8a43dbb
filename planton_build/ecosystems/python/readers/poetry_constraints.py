"""Poetry's version constraints (`^1.2`, `~1.2`, `1.*`, `>=1,<2 || ==3.1`) as specifiers that packaging knows.

Source: Poetry's documentation, "Dependency specification", sections on caret, tilde, wildcard and multiple
requirements.
"""

from __future__ import annotations

import functools
import re

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

from planton_build.errors import DependencyInputInvalid

_TERM = re.compile(r"(\^|~=|~|===?|!=|<=|>=|<|>)?\s*([^\s,<>=!~^|]+)")
_OR = re.compile(r"\s*\|\|?\s*")


def allows(constraint: str, version: str) -> bool:
    """Tell whether a constraint admits a version.

    Raises:
        DependencyInputInvalid: the constraint or the version cannot be read.
    """
    try:
        return any(alternative.contains(version, prereleases=True) for alternative in _parsed(constraint))
    except InvalidVersion as error:
        raise DependencyInputInvalid(f"{version!r} is not a version") from error


@functools.lru_cache(maxsize=1024)
def _parsed(constraint: str) -> tuple[SpecifierSet, ...]:
    try:
        return tuple(_conjunction(part) for part in _OR.split(constraint.strip()))
    except (InvalidSpecifier, InvalidVersion) as error:
        raise DependencyInputInvalid(f"{constraint!r} is not a version constraint") from error


def _conjunction(text: str) -> SpecifierSet:
    terms = _TERM.findall(text)
    if _TERM.sub("", text).strip(" ,") or (not terms and text):
        raise InvalidSpecifier(text)
    return SpecifierSet(",".join(filter(None, (_term(operator, written) for operator, written in terms))))


def _term(operator: str, written: str) -> str:
    """Return one comparison in PEP 440 form, empty when it admits everything."""
    if written == "*":
        return ""
    if operator == "^":
        return f">={written},<{_caret(Version(written))}"
    if operator == "~":
        release = Version(written).release
        return f">={written},<{_bumped(release, min(1, len(release) - 1))}"
    if not operator or (operator in {"==", "!="} and written.endswith(".*")):
        return f"{operator or '=='}{written}"
    return f"{operator}{written.removesuffix('.*')}"


def _caret(version: Version) -> str:
    """Return the first version above: the leftmost component that is not zero goes up by one."""
    release = version.release
    position = next((index for index, number in enumerate(release) if number), len(release) - 1)
    return _bumped(release, position)


def _bumped(release: tuple[int, ...], position: int) -> str:
    return ".".join(map(str, (*release[:position], release[position] + 1)))
