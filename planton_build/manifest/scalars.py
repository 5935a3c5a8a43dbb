"""What an unquoted YAML scalar means: YAML 1.1 as Go reads it.

The upstream command reads manifests with sigs.k8s.io/yaml, whose resolver (goyaml.v2, `resolve.go`) is
followed here: `yes`, `on` and `y` are booleans, `0777` is octal, dates and base-60 numbers are strings.
"""

from __future__ import annotations

import re

_PREFIX = "tag:yaml.org,2002:"
STR, INT, FLOAT, BOOL, NULL = (_PREFIX + name for name in ("str", "int", "float", "bool", "null"))
SEQ, MAP, MERGE = (_PREFIX + name for name in ("seq", "map", "merge"))
SCALAR_TAGS = frozenset({STR, INT, FLOAT, BOOL, NULL})
"""The tags a scalar may carry in a manifest."""

_TRUE = frozenset(["y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"])
_FALSE = frozenset(["n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"])
_NULL = frozenset(("", "~", "null", "Null", "NULL"))
_INT = re.compile(r"[-+]?(?:0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO]?[0-7]+|0|[1-9][0-9]*)")
_FLOAT = re.compile(
    r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)
_LONGEST_NUMBER = 1024
"""Characters. Longer digits stay a string: no field takes such a number, and parsing it would cost."""
_HUGE = 1 << 64
"""Stands for every integer of more than 40 characters; no field takes one."""


def resolve(text: str) -> str:
    """Return the tag of an unquoted, untagged scalar."""
    if text in _NULL:
        return NULL
    if text in _TRUE or text in _FALSE:
        return BOOL
    if text == "<<":
        return MERGE
    if text[0] in "+-.0123456789" and len(text) <= _LONGEST_NUMBER:
        digits = text.replace("_", "") if text[0] != "." else text
        if _INT.fullmatch(digits):
            return INT
        if _FLOAT.fullmatch(digits):
            return FLOAT
    return STR


def fits(tag: str, text: str) -> bool:
    """Tell whether a scalar may carry this explicit tag, such as `!!int`."""
    return tag == STR or resolve(text) == tag or (tag == FLOAT and resolve(text) == INT)


def integer(text: str) -> int:
    """Return the value of a scalar tagged INT."""
    digits = text.replace("_", "").lower()
    if len(digits) > 40:
        return -_HUGE if digits.startswith("-") else _HUGE
    sign, digits = (-1 if digits[0] == "-" else 1), digits.lstrip("+-")
    if digits[:2] in ("0x", "0b", "0o"):
        return sign * int(digits, 0)
    return sign * int(digits, 8 if digits.startswith("0") else 10)


def real(text: str) -> float:
    """Return the value of a scalar tagged FLOAT, or of one tagged INT that is wanted as a number."""
    if resolve(text) == INT:
        return float(integer(text))
    digits = text.replace("_", "").lower()
    return float(digits.replace(".inf", "inf").replace(".nan", "nan"))


def leading_zero(text: str) -> bool:
    """Tell whether a number is octal to YAML 1.1 and decimal to YAML 1.2, such as `0512`."""
    digits = text.lstrip("+-").replace("_", "")
    return len(digits) > 1 and digits[0] == "0" and digits[1].isdigit()
