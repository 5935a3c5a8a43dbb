"""From YAML nodes to plain values by the models' fields, with the place of every value and every mistake.

This reads as protojson reads: both key styles, enums by name or number, quoted integers, null for "not set";
strings are never made of other scalars. It decides about types only; `rules` decides about values.
"""

from __future__ import annotations

import functools
import re
import types
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, TypeAlias, get_args, get_origin

import yaml

from planton_build.errors import Finding, ManifestInvalid
from planton_build.manifest import hints, scalars
from planton_build.manifest.document import FieldPath, Position
from planton_build.manifest.model import (
    AwsLambda,
    Part,
    Relationship,
    StringValueOrRef,
    ValueFromRef,
)
from planton_build.manifest.nodes import short
from planton_build.manifest.references import KIND_NUMBERS

_Pair: TypeAlias = tuple[yaml.ScalarNode, yaml.Node]
_MISSING: Final = object()
"""What a value that could not be read is read as."""
MAX_FINDINGS = 100
"""Most findings of a file that are listed. Nobody reads more, and each costs."""
_JSON_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]{1,3})?")
_INT32 = range(-(1 << 31), 1 << 31)
_MAPS = frozenset({"environment", "labels", "annotations"})
"""The fields whose keys are the user's own."""


def field_name(path: FieldPath) -> str:
    """Return a path as people write it: `spec.subnets[0].value`, `spec.environment["A"]`."""
    name = ""
    for depth, part in enumerate(path):
        if isinstance(part, int):
            name += f"[{part}]"
        elif depth > 1 and path[depth - 1] in _MAPS:
            name += f'["{short(part)}"]'
        else:
            name += f".{short(part)}" if name else short(part)
    return name or "the document"


class NodeReader:
    """Reads one document. `broken` holds the fields that were written but could not be read."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.findings: list[Finding] = []
        self.positions: dict[FieldPath, Position] = {}
        self.broken: set[FieldPath] = set()
        self._spelled: dict[FieldPath, str] = {}

    def read(self, root: yaml.MappingNode) -> dict[str, Any]:
        """Return the document as plain values with snake_case keys, without what could not be read."""
        self.positions[()] = _position(root)
        plain: dict[str, Any] = self._message(root, AwsLambda, ())
        return plain

    def report(self, path: FieldPath, at: Position, rule: str, message: str, hint: str) -> None:
        """Add a finding about a field."""
        text = f"{field_name(path)}: {message}"
        self.findings.append(Finding(ManifestInvalid.code, text, self.file, at.line, at.column, hint, rule))

    def _fail(self, path: FieldPath, node: yaml.Node, rule: str, message: str, hint: str) -> Any:
        """Report a value that cannot be read, and return what stands for it."""
        self.broken.add(path)
        at = self.positions.get(path) or _position(node)
        self.report(path, at, rule, message, hint)
        return _MISSING

    def _wrong_type(self, path: FieldPath, node: yaml.Node, wanted: str, hint: str) -> Any:
        return self._fail(path, node, "parse.type", f"must be {wanted}, not {_form(node)}", hint)

    # Collections

    def _pairs(self, node: yaml.MappingNode, path: FieldPath) -> Iterator[_Pair]:
        """Yield the pairs of a mapping with `<<` expanded: what is written wins, then the first merged."""
        merged: list[yaml.Node] = []
        seen: set[str] = set()
        for key, value in node.value:
            if key.tag == scalars.MERGE:
                merged += value.value if isinstance(value, yaml.SequenceNode) else [value]
                continue
            seen.add(key.value)
            yield key, value
        for source in merged:
            if not isinstance(source, yaml.MappingNode):
                self._fail(
                    path, source, "parse.merge", "`<<` merges mappings only", "Give it an alias of a mapping."
                )
                continue
            for key, value in self._pairs(source, path):
                if key.value not in seen:
                    seen.add(key.value)
                    yield key, value

    def _string_keys(self, node: yaml.MappingNode, path: FieldPath) -> Iterator[_Pair]:
        for key, value in self._pairs(node, path):
            if key.tag == scalars.STR:
                yield key, value
                continue
            text = short(key.value)
            message = f"YAML reads the key `{text}` as {_form(key)}"
            self.report(path, _position(key), "parse.key", message, f'Put it in quotes: "{text}".')

    def _message(self, node: yaml.Node, model: type[Part], path: FieldPath) -> Any:
        if not isinstance(node, yaml.MappingNode):
            hint = "Write `key: value` pairs, indented below the field."
            if model is StringValueOrRef and isinstance(node, yaml.ScalarNode):
                hint = hints.for_bare_reference(self._spelled.get(path, ""), node.value)
            return self._wrong_type(path, node, "a mapping", hint)
        known = _fields(model)
        result: dict[str, Any] = {}
        first: dict[str, yaml.ScalarNode] = {}
        for key, value in self._string_keys(node, path):
            if (known_field := known.get(key.value)) is None:
                self._unknown(model, path, key)
                continue
            name, wanted = known_field
            here = (*path, name)
            if (other := first.setdefault(name, key)) is not key:
                message = (
                    f"written twice, as `{other.value}` (line {_position(other).line}) and `{key.value}`"
                )
                self.report(here, _position(key), "parse.duplicate_key", message, "Keep one of the two.")
                continue
            self._spelled[here] = key.value
            self.positions[here] = _position(value, key)
            if value.tag != scalars.NULL:
                got = self._value(value, wanted, here, model)
                if got is not _MISSING:
                    result[name] = got
        if model is StringValueOrRef:
            self._one_of(node, result, path)
        return result

    def _unknown(self, model: type[Part], path: FieldPath, key: yaml.ScalarNode) -> None:
        suggestion = hints.Suggestion(None, "Remove it.")
        if len(self.findings) < MAX_FINDINGS:  # comparing names is slow
            suggestion = hints.for_unknown_key(model, key.value)
        if suggestion.field is not None:
            self.broken.add((*path, suggestion.field))
        where = field_name(path) if path else "the manifest"
        message = f"unknown field of {where}"
        self.report((*path, key.value), _position(key), "parse.unknown_field", message, suggestion.text)

    def _one_of(self, node: yaml.Node, result: dict[str, Any], path: FieldPath) -> None:
        here = (*path, "value_from")
        if "value" in result and "value_from" in result:
            self._fail(
                path, node, "parse.oneof", "`value` and `valueFrom` are both set", "Keep one of the two."
            )
            self.broken.add(here)

    def _list(self, node: yaml.Node, item: Any, path: FieldPath, model: type[Part]) -> Any:
        if not isinstance(node, yaml.SequenceNode):
            hint = hints.for_mapping_in_list(model, str(path[-1]))
            return self._wrong_type(path, node, "a list", hint)
        result: list[Any] = []
        for index, child in enumerate(node.value):
            here = (*path, index)
            self.positions[here] = _position(child)
            got = self._value(child, item, here, model)
            result.append(("" if item is str else {}) if got is _MISSING else got)
        return result

    def _map(self, node: yaml.Node, path: FieldPath) -> Any:
        if not isinstance(node, yaml.MappingNode):
            return self._wrong_type(
                path, node, "a mapping of strings", "Write one `NAME: value` pair a line."
            )
        result: dict[str, str] = {}
        for key, value in self._string_keys(node, path):
            here = (*path, key.value)
            self.positions[here] = _position(value, key)
            if (got := self._string(value, here)) is not _MISSING:
                result[key.value] = got
        return result

    # Scalars

    def _value(self, node: yaml.Node, wanted: Any, path: FieldPath, model: type[Part]) -> Any:
        if get_origin(wanted) is tuple:
            return self._list(node, get_args(wanted)[0], path, model)
        if get_origin(wanted) is dict:
            return self._map(node, path)
        if issubclass(wanted, Part):
            return self._message(node, wanted, path)
        if issubclass(wanted, StrEnum):
            return self._enum(node, wanted, path)
        if wanted is int:
            return self._integer(node, path)
        if path[-1] == "kind" and model in (ValueFromRef, Relationship):
            return self._kind(node, path)
        return self._string(node, path)

    def _string(self, node: yaml.Node, path: FieldPath) -> Any:
        if node.tag == scalars.STR:
            return node.value
        if node.tag == scalars.NULL:
            return self._wrong_type(
                path, node, "a string", 'Write "" for an empty string, or remove the key.'
            )
        if not isinstance(node, yaml.ScalarNode):
            return self._wrong_type(path, node, "a string", "Write one string.")
        reads = f"YAML reads `{node.value}` as a boolean. " if node.tag == scalars.BOOL else ""
        return self._wrong_type(path, node, "a string", f"{reads}Put the value in quotes.")

    def _integer(self, node: yaml.Node, path: FieldPath) -> Any:
        hint = "Write a whole number, such as 128."
        number: float
        if node.tag == scalars.INT:
            if scalars.leading_zero(node.value):
                return self._fail(
                    path, node, "parse.type", "a leading zero makes it octal", "Remove the zero."
                )
            number = scalars.integer(node.value)
        elif node.tag == scalars.FLOAT and not scalars.leading_zero(node.value):
            number = scalars.real(node.value)
        elif node.tag == scalars.STR and _JSON_NUMBER.fullmatch(node.value):
            number = float(node.value) if len(node.value) <= 40 else float("inf")
        else:
            return self._wrong_type(path, node, "a whole number", hint)
        if not float(number).is_integer() or int(number) not in _INT32:
            return self._fail(path, node, "parse.type", "must be a whole number of 32 bits", hint)
        return int(number)

    def _enum(self, node: yaml.Node, wanted: type[StrEnum], path: FieldPath) -> Any:
        names = [member.value for member in wanted]
        allowed = "Write one of: " + ", ".join(names[1:]) + "."
        if node.tag in (scalars.INT, scalars.FLOAT):
            number = self._integer(node, path)
            if number is _MISSING or 0 <= number < len(names):
                return number if number is _MISSING else names[number]
            return self._fail(
                path, node, "enum.defined_only", "value must be one of the defined enum values", allowed
            )
        if node.tag != scalars.STR:
            return self._wrong_type(path, node, "the name of a value", allowed)
        if node.value in names:
            return node.value
        folded = node.value.upper().replace("-", "_")
        close = [name for name in names if name.upper() == folded or name.upper().endswith(f"_{folded}")]
        hint = f"Write `{close[0]}`; the name must match exactly." if close else allowed
        message = f"`{short(node.value)}` is not one of the defined enum values"
        return self._fail(path, node, "enum.defined_only", message, hint)

    def _kind(self, node: yaml.Node, path: FieldPath) -> Any:
        """Read a `CloudResourceKind`. Beside those in `references`, what looks like a kind passes."""
        if node.tag == scalars.INT:
            number = self._integer(node, path)
            return number if number is _MISSING else KIND_NUMBERS.get(number, str(number))
        name = self._string(node, path)
        if name is _MISSING or name == "" or name in KIND_NUMBERS.values():
            return name
        folded = re.sub("[-_]", "", name).lower()
        meant = next((kind for kind in KIND_NUMBERS.values() if kind.lower() == folded), None)
        if meant is None and re.fullmatch("[A-Z][A-Za-z0-9]{1,99}", name):
            return name
        hint = f"Write `{meant}`." if meant else "Write the name of a kind, such as AwsIamRole."
        return self._fail(path, node, "enum.defined_only", f"`{short(name)}` is not a kind", hint)


@functools.cache
def _fields(model: type[Part]) -> dict[str, tuple[str, Any]]:
    """Return field name and type by every accepted spelling."""
    found = {}
    for name, field in model.model_fields.items():
        wanted: Any = field.annotation
        if isinstance(wanted, types.UnionType):  # `X | None`
            wanted = next(part for part in get_args(wanted) if part is not types.NoneType)
        found[name] = found[field.alias or name] = (name, wanted)
    return found


def _position(node: yaml.Node, key: yaml.Node | None = None) -> Position:
    """Return where a node starts; where its key starts if the node has no text."""
    start: Any = node.start_mark
    end: Any = node.end_mark
    if key is not None and start.index == end.index:
        return _position(key)
    return Position(start.line + 1, start.column + 1)


def _form(node: yaml.Node) -> str:
    """Name what a node is, for a message; never its value, which may be secret."""
    return {
        scalars.STR: "a string",
        scalars.INT: "a number",
        scalars.FLOAT: "a number",
        scalars.BOOL: "a boolean",
        scalars.NULL: "null",
        scalars.SEQ: "a list",
        scalars.MAP: "a mapping",
    }.get(node.tag, "a merge key")
