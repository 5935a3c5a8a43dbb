"""YAML text as nodes with character offsets, composed under limits. The only place that calls the parser.

The parser's events are composed here, without recursion, instead of by PyYAML: so every limit holds before
anything deep or large is built, and the places of anchors and aliases are kept. Nothing is ever constructed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, Protocol

import yaml

from planton_build.manifest import scalars
from planton_build.manifest.source import MAX_BYTES, SourceText, decode, read_source, refuse

__all__ = [
    "MAX_BYTES",
    "MAX_DEPTH",
    "MAX_NODES",
    "Alias",
    "Anchor",
    "Document",
    "Mark",
    "SourceText",
    "compose",
    "decode",
    "pairs",
    "read_source",
    "short",
]

MAX_DEPTH = 32
"""Deepest nesting, also through aliases. The schema needs 6."""
_LIBYAML_DEPTH = "exceeded maximum nesting depth"
"""What libyaml says since PyYAML 6.0.4."""
MAX_NODES = 50_000
"""Most nodes of one file, counted before aliases are expanded."""
MAX_EXPANDED_NODES = 100_000
"""Most nodes of one file when every alias is replaced by a copy of what it stands for."""
MAX_EXPANDED_CHARACTERS = 4 * MAX_BYTES
"""Most characters of scalars of one file when every alias is replaced by a copy."""
MAX_TAG_DIRECTIVES = 64
"""Most `%TAG` lines of one file. The parser compares each with all before it."""

_TAG_DIRECTIVE = re.compile(r"^%TAG", re.MULTILINE)
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's parser where PyYAML was built with it. Only its events are used."""


class Mark(Protocol):
    """A place in the text; all three count from 0 and count characters."""

    index: int
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Anchor:
    """`&name`, and the node that it names. The node's `start_mark` is where its first property stands."""

    name: str
    node: yaml.Node


@dataclass(frozen=True, slots=True)
class Alias:
    """`*name`, which is `text[start:end]`.

    It is pair or item number `index` of `parent`, or the document's root when `parent` is None.
    """

    name: str
    start: int
    end: int
    line: int
    column: int
    target: yaml.Node
    parent: yaml.Node | None
    index: int


@dataclass(frozen=True, slots=True)
class Document:
    """One document of a file; `index` counts from 0.

    `start` is the offset behind `---` (or of the first content), `end` the offset of what ends the document.
    `start_explicit` and `end_explicit` tell whether `---` and `...` are written. In the tree of `root`, an
    alias is the very node of its anchor. An empty document has an empty scalar for its root.
    """

    index: int
    root: yaml.Node
    start: int
    end: int
    start_explicit: bool
    end_explicit: bool
    anchors: tuple[Anchor, ...] = ()
    aliases: tuple[Alias, ...] = ()


def compose(text: str, file: Path) -> list[Document]:
    """Compose all documents of a decoded text. `file` is for messages only.

    Scalars are tagged as Go's YAML reads them (see `scalars`). Raises ManifestUnreadable, with line and
    column, for syntax errors, exceeded limits, tags outside YAML's core, duplicate keys, and aliases that are
    unknown, recursive, or expand to too much.
    """
    if len(_TAG_DIRECTIVE.findall(text)) > MAX_TAG_DIRECTIVES:
        refuse(file, "parse.size", f"more than {MAX_TAG_DIRECTIVES} %TAG directives", hint="Remove them.")
    return _composed(text, file, _LOADER)


def _composed(text: str, file: Path, loader: Any) -> list[Document]:
    composer = _Composer(file)
    try:
        for event in yaml.parse(text, Loader=loader):
            composer.take(event)
    except yaml.MarkedYAMLError as error:
        if _LIBYAML_DEPTH in str(error.problem) and loader is not yaml.SafeLoader:
            # It scans ahead, and gives up long after the place where our own limit is.
            return _composed(text, file, yaml.SafeLoader)
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (None, None)
        message = f"not valid YAML: {error.problem or error.context}"
        refuse(file, "parse.syntax", message, line, column, _syntax_hint(text, line))
    except yaml.YAMLError as error:
        refuse(file, "parse.syntax", f"not valid YAML: {error}", hint="Correct the syntax.")
    return composer.documents


def pairs(node: yaml.Node) -> Iterator[tuple[yaml.ScalarNode, yaml.Node]]:
    """Yield the pairs of a mapping node as written, `<<` not expanded; nothing for any other node."""
    if isinstance(node, yaml.MappingNode):
        yield from node.value


@dataclass(slots=True)
class _Extent:
    """What a node costs with its aliases expanded."""

    nodes: int = 1
    characters: int = 0
    height: int = 1


@dataclass(slots=True)
class _Open:
    """A collection whose end has not come yet."""

    node: yaml.CollectionNode
    extent: _Extent
    key: yaml.ScalarNode | None = None
    seen: dict[str, Mark] = field(default_factory=dict)


class _Composer:
    """Builds the documents of one file from the parser's events."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.documents: list[Document] = []
        self.count = 0
        self.spent = _Extent(0, 0, 0)
        self._begin(None)

    def _begin(self, event: Any) -> None:
        self.started = event
        self.root: yaml.Node | None = None
        self.stack: list[_Open] = []
        self.named: dict[str, tuple[yaml.Node, _Extent]] = {}
        self.anchors: list[Anchor] = []
        self.aliases: list[Alias] = []

    def take(self, event: Any) -> None:
        """Take the parser's next event."""
        mark: Any = event.start_mark
        match event:
            case yaml.NodeEvent():
                self.count += 1
                if self.count > MAX_NODES:
                    self._refuse("parse.size", f"more than {MAX_NODES} nodes", mark, "Split the file.")
                if len(self.stack) >= MAX_DEPTH:
                    self._too_deep(mark)
                self._take_node(event)
            case yaml.CollectionEndEvent():
                done = self.stack.pop()
                done.node.end_mark = event.end_mark
                self._attach(done.node, done.extent, mark)
            case yaml.DocumentStartEvent():
                self._begin(event)
            case yaml.DocumentEndEvent():
                self._end(event)

    def _take_node(self, event: Any) -> None:
        start, end = event.start_mark, event.end_mark
        match event:
            case yaml.AliasEvent():
                self._take_alias(event.anchor, start, end)
            case yaml.ScalarEvent():
                scalar = yaml.ScalarNode(self._tag(event), event.value, start, end, event.style)
                extent = _Extent(characters=len(event.value))
                self._name(event.anchor, scalar, extent)
                self._attach(scalar, extent, start)
            case _:
                kind = yaml.SequenceNode if isinstance(event, yaml.SequenceStartEvent) else yaml.MappingNode
                opened = _Open(kind(self._tag(event), [], start, end, event.flow_style), _Extent())
                self._name(event.anchor, opened.node, opened.extent)
                self.stack.append(opened)

    def _name(self, anchor: str | None, node: yaml.Node, extent: _Extent) -> None:
        if anchor is not None:
            self.named[anchor] = (node, extent)
            self.anchors.append(Anchor(anchor, node))

    def _take_alias(self, name: Any, mark: Mark, end: Mark) -> None:
        if name not in self.named:
            message = f"no anchor &{short(name)} is defined before this alias"
            self._refuse("parse.alias", message, mark, f"Define &{short(name)} above.")
        target, extent = self.named[name]
        if any(opened.node is target for opened in self.stack):
            message = f"the alias *{short(name)} stands inside its own anchor"
            self._refuse("parse.alias", message, mark, "Write the value out.")
        if len(self.stack) + extent.height > MAX_DEPTH:
            self._too_deep(mark)
        parent = self.stack[-1].node if self.stack else None
        index = len(parent.value) if parent is not None else 0
        self.aliases.append(
            Alias(name, mark.index, end.index, mark.line + 1, mark.column + 1, target, parent, index)
        )
        self._attach(target, extent, mark)

    def _attach(self, node: yaml.Node, extent: _Extent, mark: Mark) -> None:
        """Make a whole node the child of the innermost open collection, and count its cost there."""
        if not self.stack:
            self.root = node
            self.spent.nodes += extent.nodes
            self.spent.characters += extent.characters
            return
        parent = self.stack[-1]
        cost = parent.extent
        cost.nodes += extent.nodes
        cost.characters += extent.characters
        cost.height = max(cost.height, extent.height + 1)
        if (
            self.spent.nodes + cost.nodes > MAX_EXPANDED_NODES
            or self.spent.characters + cost.characters > MAX_EXPANDED_CHARACTERS
        ):
            message = "the aliases expand to too much"
            self._refuse("parse.alias", message, mark, "Write fewer or smaller aliases.")
        if isinstance(parent.node, yaml.SequenceNode):
            parent.node.value.append(node)
        elif parent.key is None:
            parent.key = self._key(parent, node, mark)
        else:
            parent.node.value.append((parent.key, node))
            parent.key = None

    def _key(self, parent: _Open, node: yaml.Node, mark: Mark) -> yaml.ScalarNode:
        if not isinstance(node, yaml.ScalarNode):
            start: Any = node.start_mark
            template = isinstance(node, yaml.MappingNode) and node.flow_style
            hint = "If `{{` begins a template, render it first." if template else "Write `name: value`."
            self._refuse("parse.key", "a key must be a name, not a list or a mapping", start, hint)
        if (first := parent.seen.get(node.value)) is not None:
            merged = node.tag == scalars.MERGE
            hint = "Join them: `<<: [*one, *two]`." if merged else "Keep one of the two."
            message = f"the key `{short(node.value)}` is already written on line {first.line + 1}"
            self._refuse("parse.duplicate_key", message, mark, hint)
        parent.seen[node.value] = mark
        return node

    def _tag(self, event: Any) -> str:
        """Return the tag of a node: what is written, or what the node's form and text say."""
        scalar = isinstance(event, yaml.ScalarEvent)
        form = scalars.SEQ if isinstance(event, yaml.SequenceStartEvent) else scalars.MAP
        if event.tag is None:
            if not scalar:
                return form
            return scalars.resolve(event.value) if event.implicit[0] else scalars.STR
        tag = str(event.tag)
        shown = short(tag.replace("tag:yaml.org,2002:", "!!"))
        if tag not in (scalars.SCALAR_TAGS if scalar else {form}):
            message = f"the tag {shown} is not allowed here"
            self._refuse("parse.tag", message, event.start_mark, "Remove the tag.")
        if scalar and not scalars.fits(tag, event.value):
            message = f"the value does not fit its tag {shown}"
            self._refuse("parse.tag", message, event.start_mark, "Remove the tag or correct the value.")
        return tag

    def _end(self, event: Any) -> None:
        if self.root is None:  # cannot happen: the parser gives an empty document an empty scalar
            self._refuse("parse.syntax", "a document without content", event.start_mark, "Remove it.")
        document = Document(
            len(self.documents),
            self.root,
            self.started.end_mark.index,
            event.start_mark.index,
            bool(self.started.explicit),
            bool(event.explicit),
            tuple(self.anchors),
            tuple(self.aliases),
        )
        self.documents.append(document)

    def _too_deep(self, mark: Mark) -> NoReturn:
        self._refuse("parse.depth", f"nested deeper than {MAX_DEPTH} levels", mark, "Flatten the document.")

    def _refuse(self, rule: str, message: str, mark: Mark, hint: str) -> NoReturn:
        refuse(self.file, rule, message, mark.line + 1, mark.column + 1, hint)


def short(text: str) -> str:
    """Return a text from outside in a form that fits a message: printable, at most 60 characters."""
    text = text if len(text) <= 60 else text[:57] + "..."
    return text.encode("unicode_escape").decode("ascii") if not text.isprintable() else text


def _syntax_hint(text: str, line: int | None) -> str:
    """Name the usual reason of a syntax error on this line."""
    lines = text.splitlines()
    here = lines[line - 1] if line is not None and line <= len(lines) else ""
    if here.lstrip(" ").startswith("\t"):
        return "Indent with spaces; YAML forbids tabs."
    if "{{" in here or "{%" in here:
        return "This looks like a template; render it first."
    return "Check the indentation, the quotes and the colons on this line and the one above."
