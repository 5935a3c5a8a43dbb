"""The edit of one document's code source, in small steps: each composes the text anew and splices it once.

Field names here are snake_case; `Editor` finds and writes them in the style of the document.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn, TypeAlias

import yaml

from planton_build.errors import WriteBackRefused
from planton_build.manifest import scalars, style
from planton_build.manifest.code_source import CodeSource, S3Source
from planton_build.manifest.model import CodeSourceType
from planton_build.manifest.nodes import Document, compose, pairs
from planton_build.manifest.spans import Entry, Layout
from planton_build.manifest.splices import Splice, SplicedText

NewValue: TypeAlias = str | list[tuple[str, str]]
"""What an inserted entry holds: a string, or the fields of a mapping."""

TYPE_NUMBERS = {CodeSourceType.S3.value: 1, CodeSourceType.IMAGE.value: 2}
"""The enum's numbers, which a manifest may write in place of the names."""

_BEHIND = {
    "code_source_type": ("handler", "runtime"),
    "s3": ("code_source_type",),
    "image_uri": ("code_source_type",),
    "object_version": ("key",),
    "key": ("bucket",),
}
"""Behind which entry a missing one is inserted; the first that is there, else the last of the mapping."""
_REST_OF_LINE = re.compile("([ \t]*,)?[ \t]*(?:#.*)?")


def spliced(text: str, index: int, source: CodeSource, file: Path) -> SplicedText:
    """Edit document number `index` of `text` (without byte order mark) to hold `source`.

    Raises WriteBackRefused, with the line, where that would change what an anchor stands for elsewhere.
    """
    result = SplicedText(text)
    for step in _steps(source):
        now = result.text
        result.apply(step(Editor(now, compose(now, file)[index], file)))
    return result


def held(node: yaml.Node | None, wanted: str) -> bool:
    """Tell whether a value means the wanted string: a null and a missing one mean "", a number its enum name."""
    if node is None or node.tag == scalars.NULL:
        return wanted == ""
    if not isinstance(node, yaml.ScalarNode):
        return False
    if node.tag == scalars.INT:
        return TYPE_NUMBERS.get(wanted) == scalars.integer(node.value)
    return bool(node.tag == scalars.STR and node.value == wanted)


def effective(mapping: yaml.Node | None, name: str) -> yaml.Node | None:
    """Return the value of a field, in either spelling; a written one goes before those that `<<` brings in."""
    if mapping is None:
        return None
    names = _spellings(name)
    for key, value in pairs(mapping):
        if key.value in names:
            return value
    for key, value in pairs(mapping):
        if key.tag == scalars.MERGE:
            for merged in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                if (found := effective(merged, name)) is not None:
                    return found
    return None


def _spellings(name: str) -> tuple[str, str]:
    return name, style.spelled(name, snake=False)


Step: TypeAlias = "Callable[[Editor], list[Splice]]"


def _steps(source: CodeSource) -> Iterator[Step]:
    if isinstance(source, S3Source):
        yield lambda editor: editor.set("code_source_type", CodeSourceType.S3.value)
        yield lambda editor: editor.clear("image_uri")
        yield lambda editor: editor.begin_s3(source)
        yield lambda editor: editor.set("bucket", source.bucket, inside="s3")
        yield lambda editor: editor.set("key", source.key, inside="s3")
        version = source.object_version
        if version:
            yield lambda editor: editor.set("object_version", version, inside="s3")
        else:
            yield lambda editor: editor.clear("object_version", inside="s3")
    else:
        yield lambda editor: editor.set("code_source_type", CodeSourceType.IMAGE.value)
        yield lambda editor: editor.set("image_uri", source.image_uri)
        yield lambda editor: editor.remove("s3")


class Editor:
    """One document as it is now. Its methods give the splices of one step, or none where nothing is to do."""

    def __init__(self, text: str, document: Document, file: Path) -> None:
        self.layout = Layout(text, document)
        self.text = text
        self.file = file
        self.root = document.root
        spec = effective(document.root, "spec")
        if not isinstance(spec, yaml.MappingNode):
            self._refuse(document.root, "the document has no `spec` mapping", "Write `spec:` with its fields.")
        self.spec = spec
        self.s3 = effective(spec, "s3")
        self.snake = style.uses_snake_case(spec, self.s3)

    def set(self, name: str, value: str, *, inside: str | None = None) -> list[Splice]:
        """Give a field a value: replace the scalar that is written, or insert an entry."""
        mapping = self._mapping(inside)
        if held(effective(mapping, name), value):
            return []
        entry = self._changeable(mapping, name)
        return self._insert(mapping, name, value) if entry is None else self._replace(mapping, entry, value)

    def clear(self, name: str, *, inside: str | None = None) -> list[Splice]:
        """Give a field the empty value if it holds another; a field that is not there stays away."""
        return self.set(name, "", inside=inside)

    def begin_s3(self, source: S3Source) -> list[Splice]:
        """Write a whole `s3` where it is missing, null or an empty mapping."""
        empty = isinstance(self.s3, yaml.MappingNode) and not self.s3.value
        if self.s3 is not None and self.s3.tag != scalars.NULL and not empty:
            return []
        fields = [("bucket", source.bucket), ("key", source.key)]
        fields += [("object_version", source.object_version)] if source.object_version else []
        entry = self._changeable(self.spec, "s3")
        if entry is None:
            return self._insert(self.spec, "s3", fields)
        if self.layout.shared(entry.value):
            self._refuse_shared(entry)
        body = self.layout.body(entry)
        if empty:
            inner = self._flow_fields(fields)
            apart = " " if self.text.startswith("#", body + 1) else ""
            return [Splice(body + 1, body + 1, inner + apart)]
        if self.spec.flow_style or body != entry.value_start or entry.colon is None:
            return self._write_value(entry, body, "{" + self._flow_fields(fields) + "}")
        end = self.layout.line_end(entry.end)
        lines = self._block_fields(fields, self._indent(self.spec), self.layout.line_break(end))
        return [Splice(entry.colon + 1, entry.end, ""), Splice(end, end, lines)]

    def remove(self, name: str) -> list[Splice]:
        """Take an entry of `spec` out with its lines, unless it is missing or null."""
        value = effective(self.spec, name)
        if value is None or value.tag == scalars.NULL:
            return []
        entry = self._changeable(self.spec, name)
        if entry is None:
            return []
        for alias in self.layout.document.aliases:
            inside = entry.value_start <= alias.target.start_mark.index < entry.end
            if inside and not entry.value_start <= alias.start < entry.end:
                self._refuse(
                    entry.key,
                    f"`{entry.key.value}` would be removed, but *{alias.name} on line {alias.line} needs it",
                    "Write out what the alias stands for.",
                )
        if self.spec.flow_style:
            return self._remove_from_flow(entry)
        if self.layout.prefix(entry).strip(" "):
            self._refuse(entry.key, "the entry to remove shares its line", "Put it on a line of its own.")
        return [Splice(self.layout.line_start(entry.start), self._behind_nested_comments(entry), "")]

    def _mapping(self, name: str | None) -> yaml.MappingNode:
        if name is None:
            return self.spec
        if not isinstance(self.s3, yaml.MappingNode):
            self._refuse(self.s3 or self.spec, f"`{name}` is not a mapping", "Write its fields, or remove it.")
        return self.s3

    def _changeable(self, mapping: yaml.MappingNode, name: str) -> Entry | None:
        """Return the entry of a field that is about to change, None if it is missing; refuse what is shared."""
        for node in (self.spec, mapping):
            if self.layout.shared(node):
                label = "spec" if node is self.spec else "s3"
                self._refuse(
                    node,
                    f"`{label}` is shared through an anchor, so that editing it changes more than the code source",
                    f"Write `{label}` out without an alias.",
                )
        entries = [
            entry for entry in self.layout.entries(mapping) if entry.key.value in _spellings(name)
        ]
        if len(entries) > 1:
            self._refuse(entries[1].key, f"`{name}` is written in both spellings", "Keep one of them.")
        if not entries and effective(mapping, name) is not None:
            merge = next(key for key, _ in pairs(mapping) if key.tag == scalars.MERGE)
            self._refuse(merge, f"`{name}` comes in through this `<<`", f"Write `{name}` out in its place.")
        return entries[0] if entries else None

    def _replace(self, mapping: yaml.MappingNode, entry: Entry, value: str) -> list[Splice]:
        old = entry.value
        if not isinstance(old, yaml.ScalarNode):
            self._refuse(old, f"`{entry.key.value}` is not a string", "Write a string.")
        if self.layout.shared(old):
            self._refuse_shared(entry)
        body = self.layout.body(entry)
        quote = old.style if old.style in ("'", '"') else None
        if quote is None and not style.is_plain(value):
            quote = self._quote(mapping, but=old) or '"'
        return self._write_value(entry, body, style.scalar(value, quote))

    def _write_value(self, entry: Entry, body: int, new: str) -> list[Splice]:
        """Put a value of one line in the place of an entry's scalar, whose properties end at `body`."""
        if "!" in self.text[entry.value_start : body]:
            self._refuse(entry.key, f"`{entry.key.value}` has a value with a tag", "Remove the tag.")
        if entry.empty and entry.colon is None:
            if self.spec.flow_style or self._in_flow(entry):
                return [Splice(entry.key_end, entry.key_end, f": {new}")]
            end = self.layout.line_end(entry.key_end)
            lead = self.layout.line_break(end) + " " * len(self.layout.prefix(entry))
            return [Splice(end, end, f"{lead}: {new}")]
        if body == entry.end:
            return [Splice(body, body, f" {new}")]
        if self.text[body] not in "|>":
            return [Splice(body, entry.end, new)]
        header = self.layout.header_end(body)
        line_end = self.layout.line_end(header)
        return [Splice(body, header, new), Splice(line_end, max(line_end, entry.end), "")]
