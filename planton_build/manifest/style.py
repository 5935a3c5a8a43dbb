"""The style of a document, and scalars written in it: key style, indentation step, quotes."""

from __future__ import annotations

import re
from collections.abc import Iterable

import yaml

from planton_build.manifest import scalars
from planton_build.manifest.nodes import pairs

_WORDS = re.compile(r"[a-z0-9]+(?:_[a-z0-9]+|[A-Z][a-z0-9]*)+")
"""A key of several words, in either style."""
_PLAIN = re.compile(r"[A-Za-z0-9_./](?:[A-Za-z0-9_./@+=:-]*[A-Za-z0-9_./@+=-])?")
"""What needs no quotes in any context: no space, no indicator, no `:` at the end."""
_NUMERIC = re.compile(
    r"[-+]?[0-9._]*(?:[eE][-+]?[0-9]*)?|[-+]?0[xob][0-9a-f_]*|[-+.]*(?:inf|nan)|[-+]?[0-9][0-9_]*(?::[0-9.:]*)+"
    r"|[0-9]{4}-[0-9]{1,2}-[0-9].*",
    re.IGNORECASE,
)
"""What some version of YAML takes for a number or a date, written fully or nearly so."""
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\t": "\\t", "\n": "\\n", "\r": "\\r"}


def spelled(name: str, *, snake: bool) -> str:
    """Return a snake_case field name in the key style of a document."""
    first, *rest = name.split("_")
    return name if snake else first + "".join(word.capitalize() for word in rest)


def uses_snake_case(spec: yaml.MappingNode, s3: yaml.Node | None) -> bool:
    """Tell whether the keys of a `spec` are snake_case: its code source decides, then its other keys.

    A document without a key of several words, or with as many of either kind, counts as camelCase.
    """
    keys = [key.value for key, _ in pairs(spec)]
    for name in ("code_source_type", "image_uri"):
        if name in keys or spelled(name, snake=False) in keys:
            return name in keys
    inner = {key.value for key, _ in pairs(s3)} if s3 is not None else set()
    if inner & {"object_version", "objectVersion"}:
        return "object_version" in inner
    words = [key for key in keys if _WORDS.fullmatch(key)]
    snake = sum("_" in key for key in words)
    return snake > len(words) - snake


def indentation_step(mappings: Iterable[yaml.Node]) -> int:
    """Return by how many columns the first block mapping inside these mappings is indented; 2 without one."""
    for mapping in mappings:
        for key, value in pairs(mapping):
            written = value.start_mark.index > key.start_mark.index
            if written and isinstance(value, yaml.MappingNode) and value.value and not value.flow_style:
                step = value.value[0][0].start_mark.column - key.start_mark.column
                if step > 0:
                    return int(step)
    return 2


def common_quote(nodes: Iterable[yaml.Node]) -> str | None:
    """Return the quote that all strings among `nodes` have without need; None if they differ or have none."""
    styles = {
        node.style if node.style in ("'", '"') else None
        for node in nodes
        if isinstance(node, yaml.ScalarNode) and node.tag == scalars.STR and is_plain(node.value)
    }
    return styles.pop() if len(styles) == 1 else None


def scalar(value: str, quote: str | None) -> str:
    """Return a string as a YAML scalar of one line.

    `quote` is the wanted quote character; None asks for a plain scalar, which is given where it means the
    same string in every version of YAML and every context. Double quotes stand in for what is not possible.
    """
    if quote is None and is_plain(value):
        return value
    if quote == "'" and value.isprintable():
        return "'" + value.replace("'", "''") + "'"
    return '"' + "".join(_ESCAPES.get(character) or _escaped(character) for character in value) + '"'


def is_plain(value: str) -> bool:
    """Tell whether a string can stand without quotes anywhere."""
    return (
        _PLAIN.fullmatch(value) is not None
        and _NUMERIC.fullmatch(value) is None
        and scalars.resolve(value) == scalars.STR
    )


def _escaped(character: str) -> str:
    if character.isprintable():
        return character
    number = ord(character)
    return (
        f"\\x{number:02x}"
        if number < 0x100
        else f"\\u{number:04x}"
        if number < 0x10000
        else f"\\U{number:08x}"
    )
