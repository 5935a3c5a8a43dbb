"""Taking text out of nested outputs: the values a path leads to, or why there are none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from planton_build.deploy.references.answers import Absent, Refused
from planton_build.deploy.references.path import Step, picked

_WRITE_STAR = "a path to all items of a list ends in `.[*]`, to one of them in `.0`"


def select(root: Any, steps: Sequence[Step], *, loose: bool = False) -> tuple[str, ...]:
    """Return the texts that a path leads to; several only when it has a `[*]`.

    With `loose`, a text with commas counts as a list, and an item that is a text stands for itself where the
    path goes on into it: an output `private_subnets` of CloudFormation or Terraform most often is a list of
    ids, not of objects with an `id`.

    Raises Absent when something on the way is not there or empty, Refused when what is there is no text, or
    contradicts itself.
    """
    values: list[tuple[str, Any]] = [("", root)]
    spread = False
    inside = False
    for step in steps:
        after: list[tuple[str, Any]] = []
        for at, value in values:
            try:
                after += _step(at, value, step, loose=loose, inside=inside)
            except Absent as missing:
                if spread:  # one item of many: never left out silently
                    raise Refused(str(missing)) from None
                raise
        values = after
        spread = spread or step is None
        inside = inside or not isinstance(step, str)
        if spread and not values:
            raise Absent("the list is empty")
    return tuple(_text(at, value, spread=spread) for at, value in values)


def _step(at: str, value: Any, step: Step, *, loose: bool, inside: bool) -> list[tuple[str, Any]]:
    name = "[*]" if step is None else f"[{step}]" if isinstance(step, int) else step
    below = f"{at}.{name}" if at and isinstance(step, str) else at + name
    if value is None or value == "":
        raise Absent(f"{at or 'it'} is empty")
    if isinstance(step, str):
        if isinstance(value, Mapping):
            found = picked(value, step)
            if len(found) > 1:
                raise Refused(f"{below} is there in two spellings, with different values")
            if found:
                return [(below, found[0])]
        elif loose and inside and isinstance(value, str):
            return [(at, value)]
        raise Absent(f"there is no {below}")
    items = [part.strip() for part in value.split(",")] if loose and isinstance(value, str) else value
    if not isinstance(items, list):
        raise Absent(f"{at or 'it'} is no list")
    if step is None:
        return [(f"{at}[{number}]", item) for number, item in enumerate(items)]
    if step >= len(items):
        raise Absent(f"there is no {below}: the list has {len(items)} items")
    return [(below, items[step])]


def _text(at: str, value: Any, *, spread: bool) -> str:
    if isinstance(value, str) and value.strip():
        return value
    if value is None or value in ("", [], {}) or isinstance(value, str):
        if spread:
            raise Refused(f"{at} is empty")
        raise Absent(f"{at or 'it'} is empty")
    if isinstance(value, list):
        raise Refused(f"{at or 'it'} is a list", _WRITE_STAR)
    kind = "a mapping" if isinstance(value, Mapping) else "true or false" if isinstance(value, bool) else None
    raise Refused(f"{at or 'it'} is {kind or 'a number'}, not text")
