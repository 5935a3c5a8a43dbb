"""Putting entries into a mapping's text and taking them out, in block and in flow style, line by line."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import yaml

from planton_build.manifest.spans import Entry, Layout
from planton_build.manifest.splices import Splice

_REST_OF_LINE = re.compile("([ \t]*,)?[ \t]*(?:#[^\n\r\x85\u2028\u2029]*)?")
_LINE_OF_COMMENT = re.compile("([ \t]*)(#)?")


@dataclass(frozen=True, slots=True)
class NewEntry:
    """An entry to insert: the key as YAML, and the value as YAML of one line or as entries of a mapping."""

    key: str
    value: str | tuple[NewEntry, ...]

    def flow(self) -> str:
        """Return the entry on one line."""
        return f"{self.key}: {self.value if isinstance(self.value, str) else flow_mapping(self.value)}"

    def block(self, line_break: str, step: int) -> str:
        """Return the entry as lines joined by `line_break`, which carries the indentation of the key."""
        if isinstance(self.value, str):
            return f"{self.key}: {self.value}"
        return f"{self.key}:{block_mapping(self.value, line_break, step)}"


Entries: TypeAlias = Sequence[NewEntry]


def flow_mapping(entries: Entries) -> str:
    """Return entries as a flow mapping."""
    return "{" + flow_entries(entries) + "}"


def flow_entries(entries: Entries) -> str:
    """Return the inside of a flow mapping."""
    return ", ".join(entry.flow() for entry in entries)


def block_mapping(entries: Entries, line_break: str, step: int) -> str:
    """Return entries as lines below their key; `line_break` carries the key's indentation."""
    return "".join(f"{line_break}{' ' * step}{entry.flow()}" for entry in entries)


def inserted(
    layout: Layout, mapping: yaml.MappingNode, new: NewEntry, behind: Sequence[str], step: int
) -> list[Splice] | None:
    """Insert an entry behind the last entry with one of the keys `behind`, else behind the last of all.

    `step` is the number of columns by which a nested block mapping is indented. Returns None where there is
    no place: the mapping has one entry, and no line can follow or precede it.
    """
    entries = layout.entries(mapping)
    if mapping.flow_style:
        place = _preferred(entries, behind)
        return _into_flow(layout, mapping, new, place)
    closed = [entry for entry in entries if entry.alias or not layout.open_ended(entry.value)]
    if closed:
        place = _preferred(closed, behind)
        end = layout.line_end(place.end)
        line_break = layout.line_break(end) + indentation(layout, place)
        return [Splice(end, end, line_break + new.block(line_break, step))]
    first = entries[0]
    if layout.prefix(first).strip(" "):
        return None
    line_break = layout.line_break(first.start) + indentation(layout, first)
    return [Splice(first.start, first.start, new.block(line_break, step) + line_break)]


def removed(layout: Layout, mapping: yaml.MappingNode, entry: Entry) -> list[Splice] | None:
    """Take an entry out that is not the only one, in block style with its lines.

    A comment goes only with a line that holds a part of the entry. One on a line of its own, inside the entry
    or nested behind it, is the user's text and stays, where the entry's key was: deeper, it might become a
    line of a block scalar before it. Returns None where something else stands before the entry on its line.
    """
    if mapping.flow_style:
        return _out_of_flow(layout, layout.entries(mapping), entry)
    if layout.prefix(entry).strip(" "):
        return None
    return [_without_lines(layout, entry, entry.end), *_outdented(layout, entry)]


def valued(layout: Layout, mapping: yaml.MappingNode, entry: Entry, new: str) -> list[Splice]:
    """Replace the scalar of an entry by a value of one line; the anchor and the tag before it stay."""
    body = layout.body(entry)
    if entry.empty and entry.colon is None:
        if mapping.flow_style:
            return [Splice(entry.key_end, entry.key_end, f": {new}")]
        end = layout.line_end(entry.key_end)
        return [Splice(end, end, f"{layout.line_break(end)}{indentation(layout, entry)}: {new}")]
    if body == entry.end:
        return [Splice(body, body, f" {new}")]
    if not layout.text.startswith(("|", ">"), body):
        return [Splice(body, entry.end, new)]
    header = layout.header_end(body)
    line_end = layout.line_end(header)
    return [Splice(body, header, new), Splice(line_end, max(line_end, entry.end), "")]


def indentation(layout: Layout, entry: Entry) -> str:
    """Return the spaces in front of a line that continues the block mapping of `entry`."""
    return " " * len(layout.prefix(entry))


def _preferred(entries: Sequence[Entry], behind: Sequence[str]) -> Entry:
    """Return the last entry with one of these keys, else the last of all."""
    return next((entry for entry in reversed(entries) if entry.key.value in behind), entries[-1])


def _into_flow(layout: Layout, mapping: yaml.MappingNode, new: NewEntry, place: Entry) -> list[Splice]:
    last = place.key is mapping.value[-1][0]
    comma = " ," if place.empty else ","  # libyaml takes no comma right behind a colon
    line = _own_line(layout, place)
    if line is None or not (line.comma or last):
        return [Splice(place.end, place.end, f"{comma} {new.flow()}")]
    text = layout.line_break(line.end) + layout.prefix(place) + new.flow()
    if line.comma:
        return [Splice(line.end, line.end, f"{text},")]
    return [Splice(place.end, place.end, comma), Splice(line.end, line.end, text)]


@dataclass(frozen=True, slots=True)
class _OwnLine:
    """The lines of a flow entry that shares them with no other.

    `comma` tells whether one follows on the last of them, `end` is where that line ends.
    """

    comma: bool
    end: int


def _own_line(layout: Layout, entry: Entry) -> _OwnLine | None:
    rest = _REST_OF_LINE.match(layout.text, entry.end)
    if rest is None or layout.prefix(entry).strip(" \t") or rest.end() != layout.line_end(entry.end):
        return None
    return _OwnLine(rest.group(1) is not None, rest.end())


def _out_of_flow(layout: Layout, entries: list[Entry], entry: Entry) -> list[Splice]:
    number = next(number for number, one in enumerate(entries) if one.start == entry.start)
    comma = layout.skip(entry.end)
    followed = layout.text.startswith(",", comma)
    if not followed:
        return _last_out_of_flow(layout, entries[number - 1], entry)
    line = _own_line(layout, entry)
    if line is not None and line.comma:
        return [_without_lines(layout, entry, line.end)]
    end = comma + 1
    while layout.text.startswith((" ", "\t"), end):
        end += 1
    return _joined(layout, _without_text(layout, entry), Splice(comma, end, ""))


def _last_out_of_flow(layout: Layout, previous: Entry, entry: Entry) -> list[Splice]:
    """Take out an entry that no comma follows, and the comma before it: JSON allows none at the end."""
    comma = layout.skip(previous.end)
    line = _own_line(layout, entry)
    if line is not None:
        return [Splice(comma, comma + 1, ""), _without_lines(layout, entry, line.end)]
    return _joined(layout, Splice(comma, comma + 1, ""), _without_text(layout, entry))


def _joined(layout: Layout, first: Splice, second: Splice) -> list[Splice]:
    """Make one removal of two that only spaces part."""
    if layout.text[first.end : second.start].strip(" \t"):
        return [first, second]
    return [Splice(first.start, second.end, first.new + second.new)]


def _without_lines(layout: Layout, entry: Entry, end: int) -> Splice:
    """Remove the lines of an entry, up to that of `end`; the comments between stay, as deep as its key."""
    comments = [layout.prefix(entry) + comment for _, comment in _comments(layout, entry)]
    return Splice(layout.line_start(entry.start), layout.next_line(end), "".join(comments))


def _without_text(layout: Layout, entry: Entry) -> Splice:
    """Remove an entry that shares its lines with others; the comments between stay on lines of their own."""
    comments = list(_comments(layout, entry))
    lines = "".join(indentation + comment for indentation, comment in comments)
    kept = layout.line_break(entry.start) + lines + comments[-1][0] if comments else ""
    return Splice(entry.start, entry.end, kept)


def _comments(layout: Layout, entry: Entry) -> Iterator[tuple[str, str]]:
    """Yield the comments inside an entry that have lines of their own: what is before each, and the rest."""
    scalars = list(_scalars(entry.value))
    position = layout.next_line(entry.start)
    while position < entry.end:
        found, following = _LINE_OF_COMMENT.match(layout.text, position), layout.next_line(position)
        if found and found.group(2):
            place = found.start(2)
            if not any(one.start_mark.index <= place < one.end_mark.index for one in scalars):
                yield found.group(1), layout.text[place:following]
        position = following


def _scalars(root: yaml.Node) -> Iterator[yaml.ScalarNode]:
    """Yield all scalars below a node, each once."""
    waiting, seen = [root], set[int]()
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.ScalarNode):
            yield node
        elif isinstance(node, yaml.MappingNode):
            waiting += [one for pair in node.value for one in pair]
        else:
            waiting += node.value


def _outdented(layout: Layout, entry: Entry) -> Iterator[Splice]:
    """Move the comments right behind an entry that are indented deeper than its key to the key's column.

    Lines of more spaces than that become as short: they too might become lines of a block scalar before it.
    """
    prefix, position = layout.prefix(entry), layout.next_line(entry.end)
    while position < len(layout.text):
        found = _LINE_OF_COMMENT.match(layout.text, position)
        following = layout.next_line(position)
        if found and found.group(2) and len(found.group(1)) > len(prefix):
            yield Splice(position, found.start(2), prefix)
        elif not (line := layout.text[position : layout.line_end(position)]).strip(" ") and len(line) > len(
            prefix
        ):
            yield Splice(position + len(prefix), position + len(line), "")
        elif layout.text[position:following].strip():
            break
        position = following
