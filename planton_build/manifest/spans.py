"""Where the text of a mapping's entries stands: from the `?` or the key to the last character of the value.

A node's own marks are not enough to edit by: a block collection ends where the next token begins, behind the
comments between; a block scalar ends behind its blank lines; an empty value has no text; an alias has the
marks of its anchor.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import yaml

from planton_build.manifest.nodes import Document

_LINE_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
"""YAML 1.1, section 5.3; libyaml honours all of them."""
_BREAKS = "\n\r\x85\u2028\u2029"
_SPACE = re.compile(f"(?:[ \t\ufeff{_BREAKS}]|#[^{_BREAKS}]*)*")
_PROPERTY = re.compile(r"(?:&[0-9A-Za-z_-]+|!<[^>]*>|![^\s,\[\]{}]*)", re.ASCII)
_BLOCK_HEADER = re.compile(r"[|>][-+0-9]*")


@dataclass(frozen=True, slots=True)
class Entry:
    """One pair of a mapping as it is written; all numbers are offsets into the text.

    `start` is the place of the `?`, or of the key with its properties. `colon` is None where none is written.
    `value_start` and `end` enclose the value with its properties; both stand behind the colon, or behind the
    key, where the value is empty. `alias` tells that the value is written as `*name`.
    """

    key: yaml.ScalarNode
    value: yaml.Node
    start: int
    key_end: int
    colon: int | None
    value_start: int
    end: int
    alias: bool

    @property
    def empty(self) -> bool:
        """Tell whether nothing is written for the value."""
        return self.value_start == self.end


class Layout:
    """One composed document and the text it stands in."""

    def __init__(self, text: str, document: Document) -> None:
        self.text = text
        self.document = document
        self._aliases = {alias.start: alias for alias in document.aliases}

    def entries(self, mapping: yaml.MappingNode) -> list[Entry]:
        """Return the entries of a mapping in the order of the text."""
        first = mapping.value[0][0].start_mark.index if mapping.value else -1
        position = self._behind_properties(mapping.start_mark.index, stop=first)
        position += 1 if self.text.startswith("{", position) and mapping.flow_style else 0
        found: list[Entry] = []
        for number, (key, value) in enumerate(mapping.value):
            position = self.skip(position)
            if mapping.flow_style and found and self.text.startswith(",", position):
                position = self.skip(position + 1)
            found.append(self._entry(mapping, number, key, value, position))
            position = found[-1].end
        return found

    def body(self, entry: Entry) -> int:
        """Return the offset behind the anchor and the tag of a value that is written."""
        return min(self._behind_properties(entry.value_start), entry.end)

    def header_end(self, position: int) -> int:
        """Return the offset behind the `|` or `>` with its indicators that stands at `position`."""
        header = _BLOCK_HEADER.match(self.text, position)
        return header.end() if header else position

    def skip(self, position: int) -> int:
        """Return the offset of the next character that is no white space, line break or comment."""
        found = _SPACE.match(self.text, position)
        return found.end() if found else position

    def line_start(self, position: int) -> int:
        """Return the offset of the first character of the line."""
        return max(self.text.rfind(character, 0, position) for character in _BREAKS) + 1

    def line_end(self, position: int) -> int:
        """Return the offset of the line's break, or of the end of the text."""
        found = _LINE_BREAK.search(self.text, position)
        return found.start() if found else len(self.text)

    def next_line(self, position: int) -> int:
        """Return the offset of the next line's first character, or of the end of the text."""
        found = _LINE_BREAK.search(self.text, position)
        return found.end() if found else len(self.text)

    def line_break(self, position: int) -> str:
        """Return the break that ends the line, else the first one of the text, else `\\n`."""
        found = _LINE_BREAK.search(self.text, position) or _LINE_BREAK.search(self.text)
        return found.group() if found else "\n"

    def prefix(self, entry: Entry) -> str:
        """Return what stands on the line before an entry."""
        return self.text[self.line_start(entry.start) : entry.start]

    def open_ended(self, node: yaml.Node) -> bool:
        """Tell whether a line inserted behind this value would change it.

        That is so for a block scalar that keeps its blank lines, and for one that the text's end cuts off.
        """
        while isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
            last = node.value[-1]
            node = last[1] if isinstance(node, yaml.MappingNode) else last
        if not isinstance(node, yaml.ScalarNode) or node.style not in ("|", ">"):
            return False
        start = self._behind_properties(node.start_mark.index)
        cut_off = node.end_mark.index == len(self.text) and not self.text.endswith(tuple(_BREAKS))
        return cut_off or "+" in self.text[start : self.header_end(start)]

    def _entry(
        self, mapping: yaml.MappingNode, number: int, key: yaml.ScalarNode, value: yaml.Node, start: int
    ) -> Entry:
        position = start
        alias = self._alias(mapping, number, start)
        if alias is None and self.text.startswith("?", start):
            position = self.skip(start + 1)
            alias = self._alias(mapping, number, position)
        key_end = alias if alias is not None else self._end(key, position)
        colon: int | None = self.skip(key_end)
        if colon is None or not self.text.startswith(":", colon):
            colon = None
        behind = key_end if colon is None else colon + 1
        place = self.skip(behind)
        alias = self._alias(mapping, number, place)
        if alias is not None:
            return Entry(key, value, start, key_end, colon, place, alias, alias=True)
        if _unwritten(value):
            return Entry(key, value, start, key_end, colon, behind, behind, alias=False)
        place = value.start_mark.index
        return Entry(key, value, start, key_end, colon, place, self._end(value, place), alias=False)

    def _alias(self, parent: yaml.Node, number: int, position: int) -> int | None:
        """Return where the alias at `position` ends, if it is (in) this child of `parent`."""
        found = self._aliases.get(position)
        return found.end if found and found.parent is parent and found.index == number else None

    def _end(self, node: yaml.Node, position: int) -> int:
        """Return where the text of a node ends that begins at `position` and is not an alias."""
        if _unwritten(node):
            return position
        end: int = node.end_mark.index
        if isinstance(node, yaml.ScalarNode):
            return self._block_scalar_end(node) if node.style in ("|", ">") else end
        if not isinstance(node, yaml.CollectionNode) or node.flow_style or not node.value:
            return end
        if isinstance(node, yaml.MappingNode):
            return self.entries(node)[-1].end
        return self._last_item_end(node)

    def _block_scalar_end(self, node: yaml.ScalarNode) -> int:
        """Return the end of the last line that is not blank: the header's, if there is no content."""
        start = self.header_end(self._behind_properties(node.start_mark.index))
        content = self.text[start : node.end_mark.index].rstrip(" \t" + _BREAKS)
        return self.line_end(start + len(content)) if content else start

    def _last_item_end(self, sequence: yaml.CollectionNode) -> int:
        number = len(sequence.value) - 1
        last = sequence.value[number]
        for alias in self.document.aliases:
            if alias.parent is sequence and alias.index == number:
                return alias.end
        return self._end(last, last.start_mark.index)

    def _behind_properties(self, position: int, stop: int = -1) -> int:
        """Return where a node begins behind the anchor and the tag at `position`; never pass `stop`."""
        while position != stop and (found := _PROPERTY.match(self.text, position)):
            position = self.skip(found.end())
        return position


def _unwritten(node: yaml.Node) -> bool:
    return bool(node.start_mark.index == node.end_mark.index)
