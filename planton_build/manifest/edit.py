"""The edit of one document's code source, in small steps: each composes the text anew and splices it once.

Field names here are snake_case; `Editor` finds and writes them in the style of the document.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NoReturn, TypeAlias

import yaml

from planton_build.errors import WriteBackRefused
from planton_build.manifest import placing, scalars, style
from planton_build.manifest.code_source import CodeSource, S3Source
from planton_build.manifest.model import CodeSourceType
from planton_build.manifest.nodes import Document, compose, pairs
from planton_build.manifest.placing import NewEntry
from planton_build.manifest.spans import Entry, Layout
from planton_build.manifest.splices import Splice, SplicedText

Step: TypeAlias = "Callable[[Editor], list[Splice]]"

TYPE_NUMBERS = {CodeSourceType.S3.value: 1, CodeSourceType.IMAGE.value: 2}
"""The enum's numbers, which a manifest may write in place of the names."""

_BEHIND = {
    "code_source_type": ("handler", "runtime"),
    "s3": ("code_source_type",),
    "image_uri": ("code_source_type",),
    "object_version": ("key",),
    "key": ("bucket",),
}
"""Behind which entries a missing one is inserted: the last of those that are there, else the last of all."""


def spliced(text: str, document: Document, source: CodeSource, file: Path) -> SplicedText:
    """Edit one document of `text` (without byte order mark) to hold `source`.

    Raises WriteBackRefused, with the line, where that would change what an anchor stands for elsewhere.
    """
    result = SplicedText(text)
    editor = Editor(text, document, file)
    for step in _steps(source):
        if splices := step(editor):
            result.apply(splices)
            now = result.text
            editor = Editor(now, compose(now, file)[document.index], file)
    return result


def held(node: yaml.Node | None, wanted: str) -> bool:
    """Tell whether a value means the wanted string.

    A null and a missing value mean "", and a number means its enum name, as in protobuf's JSON.
    """
    if node is None or node.tag == scalars.NULL:
        return wanted == ""
    if not isinstance(node, yaml.ScalarNode):
        return False
    if node.tag == scalars.INT:
        return TYPE_NUMBERS.get(wanted) == scalars.integer(node.value)
    return bool(node.tag == scalars.STR and node.value == wanted)


def effective(mapping: yaml.Node | None, name: str) -> yaml.Node | None:
    """Return the value of a field, in either spelling; what is written goes before what `<<` brings in."""
    if mapping is None:
        return None
    names = spellings(name)
    for key, value in pairs(mapping):
        if key.value in names:
            return value
    return _merged(mapping, name)


def _merged(mapping: yaml.Node, name: str) -> yaml.Node | None:
    """Return the value of a field that `<<` brings in, whatever is written beside it."""
    for key, value in pairs(mapping):
        if key.tag == scalars.MERGE:
            for merged in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                if (found := effective(merged, name)) is not None:
                    return found
    return None


def spellings(name: str) -> tuple[str, str]:
    """Return a snake_case field name and its camelCase form."""
    return name, style.spelled(name, snake=False)


def _steps(source: CodeSource) -> Iterator[Step]:
    if isinstance(source, S3Source):
        yield lambda editor: editor.set("code_source_type", CodeSourceType.S3.value)
        yield lambda editor: editor.remove_image()
        yield lambda editor: editor.begin_s3(source)
        yield lambda editor: editor.set("bucket", source.bucket, inside_s3=True)
        yield lambda editor: editor.set("key", source.key, inside_s3=True)
        yield lambda editor: editor.set("object_version", source.object_version or "", inside_s3=True)
    else:
        yield lambda editor: editor.set("code_source_type", CodeSourceType.IMAGE.value)
        yield lambda editor: editor.set("image_uri", source.image_uri)
        yield lambda editor: editor.remove_s3()


class Editor:
    """One document as it is now. Its methods give the splices of one step, or none where nothing is to do."""

    def __init__(self, text: str, document: Document, file: Path) -> None:
        self.layout = Layout(text, document)
        self.file = file
        spec = effective(document.root, "spec")
        if not isinstance(spec, yaml.MappingNode) or not spec.value:
            self._refuse(document.root, "the document has no `spec`", "Write `spec:` with its fields.")
        self.spec = spec
        self.spec_key = next((key for key, _ in pairs(document.root) if key.value == "spec"), document.root)
        self.s3 = effective(spec, "s3")
        self.snake = style.uses_snake_case(spec, self.s3)
        self.step = style.indentation_step([spec, document.root])

    def set(self, name: str, value: str, *, inside_s3: bool = False) -> list[Splice]:
        """Give a field a value: replace the scalar that is written, or insert an entry."""
        mapping = self._s3_mapping() if inside_s3 else self.spec
        if held(effective(mapping, name), value):
            return []
        if inside_s3:
            self._changeable(self.spec, "s3")
        entry = self._changeable(mapping, name)
        return self._insert(mapping, name, value) if entry is None else self._replace(mapping, entry, value)

    def begin_s3(self, source: S3Source) -> list[Splice]:
        """Write a whole `s3` where it is missing, null or an empty mapping."""
        if self.s3 is not None and self.s3.tag != scalars.NULL and self.s3.value:
            return []
        fields = {"bucket": source.bucket, "key": source.key}
        if source.object_version:
            fields["object_version"] = source.object_version
        entry = self._changeable(self.spec, "s3")
        if entry is None:
            return self._insert(self.spec, "s3", fields)
        new = self._new_entries(self.spec, fields)
        body = self.layout.body(entry)
        if isinstance(entry.value, yaml.MappingNode):
            apart = " " if self.layout.text.startswith("#", body + 1) else ""
            return [Splice(body + 1, body + 1, placing.flow_entries(new) + apart)]
        if self.spec.flow_style or body != entry.value_start or entry.colon is None:
            return placing.valued(self.layout, self.spec, entry, placing.flow_mapping(new))
        end = self.layout.line_end(entry.end)
        line_break = self.layout.line_break(end) + placing.indentation(self.layout, entry)
        lines = Splice(end, end, placing.block_mapping(new, line_break, self.step))
        return [Splice(entry.colon + 1, entry.end, ""), lines]

    def remove_s3(self) -> list[Splice]:
        """Take `s3` out with its lines, unless it is missing or null."""
        if self.s3 is None or self.s3.tag == scalars.NULL:
            return []
        entry = self._removable("s3")
        splices = placing.removed(self.layout, self.spec, entry)
        if splices is None:
            self._refuse(
                entry.key, "`s3` shares its line with something else", "Put it on a line of its own."
            )
        return splices

    def remove_image(self) -> list[Splice]:
        """Take `image_uri` out with its lines, unless it is missing, null or "".

        It is emptied in place where it shares its line, or where a `<<` would show from behind it.
        """
        if held(effective(self.spec, "image_uri"), ""):
            return []
        if held(_merged(self.spec, "image_uri"), ""):
            splices = placing.removed(self.layout, self.spec, self._removable("image_uri"))
            if splices is not None:
                return splices
        return self.set("image_uri", "")

    def _removable(self, name: str) -> Entry:
        """Return the entry of a field that is about to go; refuse where an alias needs a part of it."""
        entry = self._changeable(self.spec, name, removing=True)
        assert entry is not None  # noqa: S101 - a field that a `<<` brings in is refused above
        for alias in self.layout.document.aliases:
            inside = entry.start <= alias.target.start_mark.index < entry.end
            if inside and not entry.start <= alias.start < entry.end:
                message = (
                    f"`{name}` would be removed, but *{alias.name} on line {alias.line} stands for a part "
                    "of it"
                )
                self._refuse(entry.key, message, f"Write out what *{alias.name} stands for.")
        return entry

    def _s3_mapping(self) -> yaml.MappingNode:
        if not isinstance(self.s3, yaml.MappingNode):
            self._refuse(self.s3 or self.spec, "`s3` is not a mapping", "Write its fields, or remove it.")
        return self.s3

    def _changeable(self, mapping: yaml.MappingNode, name: str, *, removing: bool = False) -> Entry | None:
        """Return the entry of a field that is about to change, None if missing; refuse what is shared."""
        self._check_own(self.spec, "spec", self.spec_key)
        names = spellings(name)
        entries = [entry for entry in self.layout.entries(mapping) if entry.key.value in names]
        if len(entries) > 1:
            self._refuse(entries[1].key, f"`{name}` is written in both spellings", "Keep one of them.")
        if not entries and effective(mapping, name) is not None:
            merge = next(key for key, _ in pairs(mapping) if key.tag == scalars.MERGE)
            self._refuse(merge, f"`{name}` comes in through this `<<`", f"Write `{name}` out here.")
        if not entries:
            return None
        if not removing:
            self._check_own(entries[0].value, entries[0].key.value, entries[0].key)
        return entries[0]

    def _check_own(self, node: yaml.Node, name: str, place: yaml.Node) -> None:
        """Refuse a value that an alias makes the value of other fields too."""
        for alias in self.layout.document.aliases:
            if alias.target is node:
                shared = f"`{name}` shares its value with others: &{alias.name} is used on line {alias.line}"
                self._refuse(place, shared, f"Write `{name}` out without an anchor or alias.")

    def _replace(self, mapping: yaml.MappingNode, entry: Entry, value: str) -> list[Splice]:
        old, name = entry.value, entry.key.value
        if not isinstance(old, yaml.ScalarNode):
            self._refuse(old, f"`{name}` is not a string", "Write a string, or remove it.")
        properties = self.layout.text[entry.value_start : self.layout.body(entry)]
        if "!" in properties and old.tag != scalars.STR:
            self._refuse(old, f"the value of `{name}` has a tag of another type", "Remove the tag.")
        quote = old.style if old.style in ("'", '"') else None
        if quote is None and not style.is_plain(value):
            quote = self._quote(mapping, but=old) or '"'
        return placing.valued(self.layout, mapping, entry, style.scalar(value, quote))

    def _insert(self, mapping: yaml.MappingNode, name: str, value: str | dict[str, str]) -> list[Splice]:
        [new] = self._new_entries(mapping, {name: value})
        behind = [spelling for one in _BEHIND.get(name, ()) for spelling in spellings(one)]
        splices = placing.inserted(self.layout, mapping, new, behind, self.step)
        if splices is None:
            self._refuse(mapping, f"there is no place for `{name}`", f"Write `{new.key}:` by hand.")
        return splices

    def _new_entries(
        self, mapping: yaml.MappingNode, fields: Mapping[str, str | Mapping[str, str]]
    ) -> tuple[NewEntry, ...]:
        """Return entries in the style of the mapping they are for."""
        key_quote = style.common_quote(key for key, _ in pairs(mapping))
        quote = self._quote(mapping)
        return tuple(
            NewEntry(
                style.scalar(style.spelled(name, snake=self.snake), key_quote),
                style.scalar(value, quote) if isinstance(value, str) else self._new_entries(mapping, value),
            )
            for name, value in fields.items()
        )

    def _quote(self, mapping: yaml.MappingNode, but: yaml.Node | None = None) -> str | None:
        return style.common_quote(value for _, value in pairs(mapping) if value is not but)

    def _refuse(self, node: yaml.Node, reason: str, hint: str) -> NoReturn:
        raise WriteBackRefused(
            f"the code source cannot be written back: {reason}",
            hint=hint,
            file=self.file,
            line=node.start_mark.line + 1,
            column=node.start_mark.column + 1,
        )
