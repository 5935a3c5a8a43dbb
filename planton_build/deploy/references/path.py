"""Paths such as `status.outputs.private_subnets.[*].id`, and walking along them through plain values."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from planton_build.manifest.nodes import short

Step: TypeAlias = str | int | None
"""A key, an index from 0, or None for `[*]`."""

MAX_PATH = 256
"""Longest path in characters. The longest of upstream's has 40."""
MAX_LISTED = 8
"""Most names that a message lists."""
_PART = re.compile(r"([A-Za-z_][A-Za-z0-9_-]*|[0-9]{1,4})?((?:\[(?:\*|[0-9]{1,4})\])*)")
_BRACKET = re.compile(r"\[(\*|[0-9]{1,4})\]")
_OUTPUTS = ("status", "outputs")


@dataclass(frozen=True, slots=True)
class OutputPath:
    """A parsed path; `text` is as it was written."""

    text: str
    steps: tuple[Step, ...]

    @property
    def spreads(self) -> bool:
        """Tell whether it means several values (`[*]`)."""
        return None in self.steps

    @property
    def output(self) -> str:
        """Return the name of the output, such as `role_arn`, or "" when it leads to something else."""
        named = len(self.steps) > 2 and self.steps[:2] == _OUTPUTS
        return self.steps[2] if named and isinstance(self.steps[2], str) else ""

    @property
    def within(self) -> tuple[Step, ...]:
        """Return the steps inside the output."""
        return self.steps[3:]


def parse_path(text: str) -> OutputPath:
    """Parse a path: names and indexes with dots between them, indexes and `*` also in brackets.

    Raises ValueError with what is wrong.
    """
    if len(text) > MAX_PATH:
        raise ValueError(f"is longer than {MAX_PATH} characters")
    steps: list[Step] = []
    for part in text.split("."):
        match = _PART.fullmatch(part)
        if not part or match is None:
            raise ValueError(f"has {part!r} where a name, a number, [number] or [*] belongs")
        if match[1]:
            steps.append(int(match[1]) if match[1].isdecimal() else match[1])
        steps += [None if inner == "*" else int(inner) for inner in _BRACKET.findall(match[2])]
    return OutputPath(text, tuple(steps))


def folded(key: str) -> str:
    """Return a key in the one form in which keys are compared: snake_case, `-` as `_`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", key).replace("-", "_").lower()


def picked(mapping: Mapping[str, Any], key: str, *, exact: bool = False) -> list[Any]:
    """Return the different values under a key in any of its spellings: none, one, or (ambiguous) more.

    With `exact`, a key that is spelled just so counts alone.
    """
    if exact and key in mapping:
        return [mapping[key]]
    values: list[Any] = []
    for name, value in mapping.items():
        if folded(str(name)) == folded(key) and value not in values:
            values.append(value)
    return values


def listed(names: Iterable[str]) -> str:
    """Return the first few of some names for people."""
    return ", ".join(short(name) for name in sorted(names)[:MAX_LISTED]) or "none"


def nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Return a mapping with keys such as `layer_arns.0` and `layer_arns[0]` unfolded into lists.

    Upstream's tools flatten outputs like that. Raises ValueError when two keys contradict each other.
    """
    tree = _Grown()
    for key, value in flat.items():
        node = tree
        *before, last = _steps_of(str(key))
        for step in before:
            child = node.setdefault(step, _Grown())
            if not isinstance(child, _Grown):
                raise ValueError(f"has both {short(step)} and {short(key)}")  # noqa: TRY004  # no type of ours
            node = child
        if last in node and node[last] != value:
            raise ValueError(f"has {short(key)} twice, with different values")
        node[last] = value
    return {key: _listed(value) for key, value in tree.items()}


class _Grown(dict[str, Any]):
    """A mapping that stands for a prefix of flattened keys."""


def _steps_of(key: str) -> list[str]:
    try:
        steps = parse_path(key).steps
    except ValueError:
        return [key]
    return [key] if None in steps else [str(step) for step in steps]


def _listed(value: Any) -> Any:
    if not isinstance(value, _Grown):
        return value
    items = {key: _listed(item) for key, item in value.items()}
    if items.keys() == {str(number) for number in range(len(items))}:
        return [items[str(number)] for number in range(len(items))]
    return items
