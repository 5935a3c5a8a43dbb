"""A request's document against the service model: what AWS refuses before an operation sees it.

botocore's client checks required members, types and minima only; maxima, patterns and enumerations are the
server's to check. The texts are those of Lambda's ValidationException.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from planton_build.emulator.operations import Document
from planton_build.emulator.refusal import Refusal

MAX_BARE_NAME = 64
"""Most characters of a function's name. The model's 140 and more are of ARNs
(https://docs.aws.amazon.com/lambda/latest/api/API_CreateFunction.html)."""
_SEPARATORS = " \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
"""Unicode's category Z, which Python's expressions have no name for."""


def check(operation: Any, document: Document) -> None:
    """Raise a ValidationException (400) that tells everything in which a request does not fit its shape."""
    if operation.input_shape is None:
        return
    problems = list(_problems(operation.input_shape, document, ""))
    name = document.get("FunctionName")
    if isinstance(name, str) and ":" not in name and len(name) > MAX_BARE_NAME and not problems:
        problems = [
            _said(name, "functionName", f"Member must have length less than or equal to {MAX_BARE_NAME}")
        ]
    if problems:
        count = f"{len(problems)} validation error{'s' if len(problems) > 1 else ''} detected: "
        raise Refusal("ValidationException", 400, count + "; ".join(problems))


def _said(value: str | None, path: str, constraint: str, *, secret: bool = False) -> str:
    """Return one problem. A secret value is not repeated; None stands for a missing one."""
    shown = "" if secret else " null" if value is None else f" '{value}'"
    return f"Value{shown} at '{path}' failed to satisfy constraint: {constraint}"


def _problems(shape: Any, value: Any, path: str) -> Iterator[str]:
    """Tell what is wrong with a value: that of itself first, then what is in it."""
    secret = bool(shape.metadata.get("sensitive"))
    for constraint in _constraints(shape, value):
        yield _said(_shown(value), path, constraint, secret=secret)
    if shape.type_name == "structure":
        for name in shape.required_members:
            if name not in value:
                yield _said(None, _below(path, name), "Member must not be null")
        for name, member in shape.members.items():
            if name in value:
                yield from _problems(member, value[name], _below(path, name))
    elif shape.type_name == "list" and shape.member.type_name in {"structure", "list", "map"}:
        for number, one in enumerate(value, 1):
            yield from _problems(shape.member, one, f"{path}.{number}.member")
    elif shape.type_name == "map" and shape.value.type_name in {"structure", "list", "map"}:
        for key, one in value.items():
            yield from _problems(shape.value, one, f"{path}.{key}.member")


def _constraints(shape: Any, value: Any) -> list[str]:
    """Return the constraints that a value itself breaks. Those of simple members are its own, as AWS says."""
    limits, kind = shape.metadata, shape.type_name
    broken: list[str] = []
    if kind in {"integer", "long", "float", "double"}:
        broken += _bounds(limits, value, "value")
    elif kind in {"string", "list", "map", "blob"}:
        broken += _bounds(limits, len(value), "length")
    if kind == "string":
        if (allowed := limits.get("enum")) and value not in allowed:
            broken.append(f"Member must satisfy enum value set: [{', '.join(allowed)}]")
        if (pattern := limits.get("pattern")) and not _compiled(pattern).fullmatch(value):
            broken.append(f"Member must satisfy regular expression pattern: {pattern}")
    elif kind == "list":
        broken += _of_members("Member", shape.member, value)
    elif kind == "map":
        broken += _of_members("Map keys", shape.key, value)
        broken += _of_members("Map value", shape.value, value.values())
    return broken


def _of_members(what: str, shape: Any, values: Any) -> list[str]:
    """Return what simple members of a list or map break, each constraint once."""
    if shape.type_name in {"structure", "list", "map"}:
        return []
    if not any(_constraints(shape, value) for value in values):
        return []
    return [f"{what} must satisfy constraint: [{', '.join(_all_of(shape))}]"]


def _all_of(shape: Any) -> list[str]:
    """Return all constraints of a simple shape in AWS's words, longest bound first, as AWS tells them."""
    limits = shape.metadata
    kind = "value" if shape.type_name in {"integer", "long", "float", "double"} else "length"
    texts = []
    if "max" in limits:
        texts.append(f"Member must have {kind} less than or equal to {limits['max']}")
    if "min" in limits:
        texts.append(f"Member must have {kind} greater than or equal to {limits['min']}")
    if "enum" in limits:
        texts.append(f"Member must satisfy enum value set: [{', '.join(limits['enum'])}]")
    if "pattern" in limits:
        texts.append(f"Member must satisfy regular expression pattern: {limits['pattern']}")
    return texts


def _bounds(limits: Any, size: float, kind: str) -> list[str]:
    if "max" in limits and size > limits["max"]:
        return [f"Member must have {kind} less than or equal to {limits['max']}"]
    if "min" in limits and size < limits["min"]:
        return [f"Member must have {kind} greater than or equal to {limits['min']}"]
    return []


def _below(path: str, name: str) -> str:
    """Return the path of a member; AWS writes names with a small first letter."""
    return f"{path}.{name[:1].lower()}{name[1:]}".lstrip(".")


def _shown(value: Any) -> str:
    """Return a value as Java prints it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, bytes):
        return f"java.nio.HeapByteBuffer[pos=0 lim={len(value)} cap={len(value)}]"
    if isinstance(value, list):
        return f"[{', '.join(_shown(one) for one in value)}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}={_shown(one)}' for key, one in value.items())}}}"
    return str(value)


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> re.Pattern[str]:
    r"""Return a pattern of the model for Python, which has no `\p{L}`: `\w` is letters, digits and _."""
    for category, replacement in (("L", r"\w"), ("N", ""), ("Z", _SEPARATORS)):
        pattern = pattern.replace(f"\\p{{{category}}}", replacement)
    return re.compile(pattern)
