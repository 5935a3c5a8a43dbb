"""Write-back on random documents in random styles, checked by PyYAML's loader and by the printer's memory.

`Press` prints a document and remembers the owner of every character: a value of the code source, the rest of
the `s3` or the `image_uri` entry, a comma between entries of `spec`, or something else. No edit may remove
the last kind, nor that of the entry that stays, nor any comment that has a line of its own.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from planton_build.errors import WriteBackRefused
from planton_build.manifest.code_source import CodeSource, ImageSource, S3Source
from planton_build.manifest.writeback import edited, proven_edit

FILE = Path("random.yaml")
EXAMPLES = int(os.environ.get("PLANTON_WRITEBACK_EXAMPLES", "300"))
"""Examples per property; the variable asks for a longer search, say 20000 after a change of the editor."""
CAMEL = {
    "code_source_type": "codeSourceType",
    "image_uri": "imageUri",
    "object_version": "objectVersion",
    "function_name": "functionName",
    "role_arn": "roleArn",
    "memory_mb": "memoryMb",
    "kms_key_arn": "kmsKeyArn",
}
ENTRIES = {"s3": "s3", "image_uri": "image"}
"""The owners of entries that go when the code source becomes another kind."""
CODE_FIELDS = ("code_source_type", "image_uri", "bucket", "key", "object_version")
PLAIN = [
    "abc",
    "a b",
    "x:y",
    "a#b",
    "http://x/y?z=1",
    "1.5",
    "007",
    "true",
    "~",
    "no",
    "2024-01-31",
    "é\U0001f600",
]
PLAIN += [
    "-x",
    "?x",
    "a'b",
    'a"b',
    "a\\b",
    "_",
    "0x1f",
    "1e3",
    "...x",
    "a&b",
    "a*b",
    "a!",
    "sha256-2f.zip",
    "a%",
]
QUOTED = [
    "",
    " ",
    "it's",
    '"',
    "a: b",
    "a #b",
    "#",
    "*",
    "&a",
    "{}",
    "\\",
    "a\tb",
    "é\U0001f600\u00a0",
    "- ",
    "\n",
    "a\n\nb",
]
LINES = [
    "text",
    "two words",
    "# no comment",
    "  deeper",
    "é\U0001f600",
    "key: value",
    "---x",
    "trailing  ",
    "'",
]
COMMENTS = ["#", "# why", "#\ttabs", "# é\U0001f600", "# key: value", "# { [ ' \" &a *a", "#---"]


@dataclass
class Press:
    """Prints YAML. `ground` is the owner of what is printed now, `kinds` has one owner per character."""

    random: random.Random
    wild: bool = False
    text: str = ""
    kinds: list[str] = field(default_factory=list)
    ground: str = "other"
    anchors: list[str] = field(default_factory=list)
    behind_code: int = 99
    code: str = "s3"
    tabs: bool = True
    count: int = 0
    depth: int = 0
    pending: list[tuple[str, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.line_break = self.random.choice(["\n", "\n", "\r\n", "\r"])
        self.camel = self.random.random() < 0.6
        self.key_quote = self.random.choice([None, None, None, "'", '"', "any"])

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def put(self, text: str, kind: str | None = None) -> None:
        self.text += text
        self.kinds += [kind or self.ground] * len(text)

    def end_line(self, kind: str | None = None) -> None:
        tabs = ["\t", " \t"] if self.tabs else []
        if self.chance(0.2):
            self.put(self.random.choice([" ", "  ", *tabs]) + self.random.choice(COMMENTS), kind)
        elif self.chance(0.1):
            self.put(self.random.choice([" ", "   ", *tabs]), kind)
        self.put(self.line_break, kind)
        self.tabs = True

    def between(self, indent: int, *, most: int = 99) -> None:
        """Print blank lines and comments, at most `most` columns deep: below that, a block scalar goes on."""
        while self.chance(0.15):
            blank = self.chance(0.4)
            column = min(self.random.choice([0, indent, indent + 2, indent + 1]), most)
            if not blank and column <= self.behind_code:
                self.behind_code = 99
            line = self.random.choice(["", " " * min(indent, most)]) if blank else " " * column
            line += "" if blank else self.random.choice(COMMENTS)
            self.put(line + self.line_break, self.code if self.behind_code < 99 else None)

    def anchor(self, *, hidden: bool) -> None:
        """Print an anchor at times. No alias uses a hidden one, in a code source, but in a wild press."""
        if self.chance(0.12):
            self.count += 1
            name = f"{self.random.choice(['a', 'B-', '_'])}{self.count}"
            self.put(f"&{name} ")
            if not hidden or self.wild:
                self.pending.append((name, self.depth))

    @contextlib.contextmanager
    def node(self) -> Iterator[None]:
        """Keep the anchors of a node from aliases until the node is complete."""
        self.depth += 1
        yield
        self.depth -= 1
        self.anchors += [name for name, depth in self.pending if depth > self.depth]
        self.pending = [one for one in self.pending if one[1] <= self.depth]

    def key(self, name: str) -> str:
        name = CAMEL.get(name, name) if self.camel else name
        quote = self.random.choice([None, "'", '"']) if self.key_quote == "any" else self.key_quote
        return f"{quote}{name}{quote}" if quote else name

    # Scalars.

    def scalar(self, name: str, indent: int, *, flow: bool, empty: bool = True) -> int | None:
        """Print a scalar behind `key: `. Returns how deep a comment below may stand, if that is limited."""
        code = name in CODE_FIELDS
        kind = "value" if code else None
        if name == "memory_mb":
            self.put("512")
            return None
        if not code and self.anchors and self.chance(0.15):
            self.put(f"*{self.random.choice(self.anchors)}" + (" " if flow else ""))
            return None
        if code and self.wild and self.anchors and self.chance(0.1):
            self.put(f"*{self.random.choice(self.anchors)} ", kind)
            return None
        self.anchor(hidden=code)
        if name == "code_source_type" and self.chance(0.7):
            self.put(
                self.random.choice(["CODE_SOURCE_TYPE_S3", "CODE_SOURCE_TYPE_IMAGE", "1", "2", "'0'"]), kind
            )
            return None
        form = self.random.choice(["plain", "plain", "single", "double", "block", "empty"])
        if form == "empty" and empty:
            return None
        if form == "block" and not flow:
            return self.block_scalar(indent, kind)
        fold = f"{self.line_break}{' ' * (indent + 1)}" if self.chance(0.1) else " "
        if form == "single":
            value = self.random.choice(
                [*(one for one in PLAIN if "'" not in one), "it''s", " ", "", "a: b", "#", "{}"]
            )
            self.put(f"'{value}{fold}x'" if fold != " " else f"'{value}'", kind)
        elif form == "double":
            value = json.dumps(self.random.choice(QUOTED + PLAIN), ensure_ascii=self.chance(0.3))
            value = value if "\\ud" not in value else '"\\U0001f600"'
            self.put(f'{value[:-1]}{fold}x"' if fold != " " else value, kind)
        else:
            value = self.random.choice(PLAIN if not flow else [one for one in PLAIN if one[0] not in "?-:"])
            self.put(f"{value}{fold}y" if fold != " " and value != "~" else value, kind)
        return None

    def block_scalar(self, indent: int, kind: str | None) -> int:
        step = self.random.choice([1, 2, 4])
        lines = [self.random.choice(LINES) for _ in range(self.random.randint(1, 3))]
        explicit = lines[0].startswith(" ") or self.chance(0.2)
        chomping = self.random.choice(["", "-", "+"] if self.wild else ["", "-"])
        self.put(self.random.choice("|>") + (str(step) if explicit else "") + chomping, kind)
        if self.chance(0.2):
            self.put(" " + self.random.choice(COMMENTS))
        for line in lines:
            if self.chance(0.1) and not lines[0].startswith(" "):
                self.put(self.line_break, kind)
            self.put(self.line_break + " " * (indent + step) + line, kind)
        return indent + step - 1

    # Collections.

    def block_mapping(self, entries: dict[str, Any], indent: int, most: int = 99) -> int:
        """Print entries, each from the start of its line to its line break. Returns as `scalar`, or 99."""
        for name, value in entries.items():
            self.between(indent, most=most)
            self.behind_code = 99
            ground = self.ground
            self.ground = ENTRIES.get(name, ground)
            self.put(" " * indent)
            if self.chance(0.06) and not self.wild:
                self.put("? " + self.key(name))
                self.end_line()
                self.put(" " * indent + ":")
                self.tabs = False
            else:
                self.put(self.key(name) + (" :" if self.chance(0.05) else ":"))
            with self.node():
                most = self.block_value(name, value, indent)
            self.tabs = True
            self.ground = ground
            if name in ENTRIES:
                self.behind_code, self.code = indent, ENTRIES[name]
        return most

    def block_value(self, name: str, value: Any, indent: int) -> int:
        step = self.random.choice([1, 2, 2, 2, 4, 8])
        if not isinstance(value, (dict, list)):
            return self.scalar_line(name, value, indent)
        if not value or self.chance(0.25):
            self.put(" ")
            self.anchor(hidden=name in ("s3", "spec"))
            self.flow(name, value, indent + 1)
            self.end_line()
            return 99
        if self.chance(0.12):
            self.put(" ")
            self.anchor(hidden=name in ("s3", "spec"))
        self.end_line()
        if isinstance(value, dict):
            return self.block_mapping(value, indent + step)
        step = self.random.choice([0, step])
        most = 99
        for item in value:
            self.between(indent + step, most=most)
            self.put(" " * (indent + step) + "- ")
            self.tabs = False
            most = 99
            with self.node():
                if isinstance(item, dict):
                    self.flow(name, item, indent + step + 1)
                else:
                    most = self.scalar(name, indent + step, flow=False) or 99
            self.end_line()
        return most

    def scalar_line(self, name: str, value: Any, indent: int) -> int:
        if name == "s3":
            self.put(self.random.choice(["", " ", " ~", " null", "  ~"]), "value")
            self.end_line()
            return 99
        if self.chance(0.05):
            self.end_line()
            self.put(" " * (indent + 1))
            self.tabs = False
        else:
            self.put(self.random.choice([" ", " ", "  ", " \t" if self.tabs else " "]))
        before = len(self.text)
        most = self.scalar(name, indent, flow=False)
        last = self.text[before:].rpartition(self.line_break)[2]
        if most is not None:
            self.put(self.line_break)
        else:
            self.end_line()
        return 99 if most is None or not last else most

    def flow(self, name: str, value: Any, indent: int) -> None:
        lines = self.chance(0.4)
        brackets = "{}" if isinstance(value, dict) else "[]"
        pairs = list(value.items()) if isinstance(value, dict) else [(name, item) for item in value]
        self.put(brackets[0])
        owners = [ENTRIES.get(key) if name == "spec" else None for key, _ in pairs] + [None]
        self.gap(indent, lines, None, owners[0])
        for number, (key, item) in enumerate(pairs):
            ground = self.ground
            self.ground = owners[number] or ground
            if isinstance(value, dict):
                mark = "? " if self.chance(0.05) else ""
                self.put(mark + self.key(key) + ":" + self.random.choice([" ", "  "]))
            with self.node():
                if isinstance(item, (dict, list)):
                    self.anchor(hidden=key in ("s3", "spec"))
                    self.flow(key, item, indent)
                elif key == "s3":
                    self.put(self.random.choice(["", "~", "null"]), "value")
                else:
                    self.scalar(key, indent, flow=True, empty=isinstance(value, dict))
            self.ground = ground
            if number + 1 < len(pairs) or (self.chance(0.2) and isinstance(value, dict)):
                self.put(self.random.choice(["", "", " "]) + ",", "comma" if name == "spec" else None)
            self.gap(indent, lines, owners[number], owners[number + 1])
        self.put(brackets[1])

    def gap(self, indent: int, lines: bool, before: str | None, after: str | None) -> None:
        """Print what may stand behind a bracket, an entry or a comma; `before` and `after` own its lines."""
        if lines and self.chance(0.8):
            self.end_line(before)
            if self.chance(0.1):
                self.put(" " * indent + self.random.choice(COMMENTS) + self.line_break)
            self.put(" " * indent, after)
        else:
            owner = "comma" if before and after else before or after
            self.put(self.random.choice(["", " ", " ", "  "]), owner)


@dataclass(frozen=True)
class Printed:
    """A file, the number of the document to edit, and the owner of each character."""

    text: str
    index: int
    kinds: tuple[str, ...] = field(repr=False)


def spec_entries(choose: random.Random) -> dict[str, Any]:
    entries: dict[str, Any] = {
        "handler": "",
        "function_name": "",
        "description": "",
        "memory_mb": 0,
        "role_arn": {"value": ""},
        "kms_key_arn": {"value": ""},
        "environment": {"A": "", "LOG_LEVEL": "", "PATH": ""},
        "subnets": [{"value": ""}, {"value": ""}],
        "layers": ["", "", ""],
        "code_source_type": "",
        "image_uri": "",
        "s3": choose.choice(
            [
                None,
                {},
                {"bucket": ""},
                {"key": "", "bucket": ""},
                {"bucket": "", "key": "", "object_version": ""},
            ]
        ),
    }
    names = [name for name in entries if choose.random() < 0.6] or ["handler"]
    choose.shuffle(names)
    return {name: entries[name] for name in names}


def print_file(choose: random.Random, *, wild: bool = False) -> Printed:
    press = Press(choose, wild=wild)
    documents = choose.choice([1, 1, 1, 2, 3])
    index = choose.randrange(documents)
    press.between(0)
    for number in range(documents):
        if number or choose.random() < 0.3:
            press.put("---")
            press.tabs = False
            press.end_line()
        press.anchors.clear()
        spec = {"spec": spec_entries(choose)}
        root: dict[str, Any] = {"apiVersion": "", "metadata": {"name": "", "labels": {"a.b/c": "", "d": ""}}}
        root |= spec if choose.random() < 0.9 else {}
        if number == index:
            root |= spec
        if choose.random() < 0.3:
            root["status"] = {"outputs": {"x": ""}}
        kept = [*press.kinds]
        most = press.block_mapping(root, 0) if choose.random() < 0.93 else flow_document(press, root)
        if number != index:
            press.kinds = kept + ["other"] * (len(press.text) - len(kept))
        press.between(0, most=most)
        if choose.random() < 0.1:
            press.put("...")
            press.end_line()
    text, kinds = press.text, press.kinds
    if choose.random() < 0.3 and text.endswith(press.line_break):
        text = text[: -len(press.line_break)]
    return Printed(text, index, tuple(kinds[: len(text)]))


def flow_document(press: Press, root: dict[str, Any]) -> int:
    press.flow("", root, 1)
    press.end_line()
    return 99


@st.composite
def files(draw: st.DrawFn, *, wild: bool = False) -> Printed:
    """Print a file from a seed: thousands of choices, each drawn from hypothesis, would be too slow."""
    return print_file(random.Random(draw(st.integers(0, 2**64))), wild=wild)


words = st.one_of(
    st.sampled_from(
        [
            *PLAIN,
            *(one for one in QUOTED if one),
            "artifacts",
            "fn/sha256-0a.zip",
            "null",
            "1:30",
            "x: ",
            "---",
        ]
    ),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12),
    st.from_regex(r"[-a-z0-9._/@:+=]{1,12}", fullmatch=True),
)
s3_sources = st.builds(S3Source, words, words, st.none() | words)
sources = st.one_of(s3_sources, st.builds(ImageSource, words))


class Loader(yaml.CSafeLoader):
    """PyYAML's loader without dates: its constructor trips over impossible ones."""


Loader.yaml_implicit_resolvers = {
    first: [(tag, rule) for tag, rule in rules if not tag.endswith(":timestamp")]
    for first, rules in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}


def load(text: str) -> list[Any]:
    return list(yaml.load_all(text.encode(), Loader=Loader))


def take(mapping: dict[str, Any], name: str) -> Any:
    """Remove a field in either spelling."""
    return mapping.pop(name, None) or mapping.pop(CAMEL.get(name, name), None)


def split_code_source(document: Any) -> tuple[Any, Any]:
    """Return a document without its code source, in order, and the code source."""
    spec = document["spec"]
    s3 = take(spec, "s3")
    image = take(spec, "image_uri")
    kind = take(spec, "code_source_type")
    rest = json.dumps(document, default=str)
    if kind in ("CODE_SOURCE_TYPE_S3", 1) and not image and isinstance(s3, dict):
        source: Any = S3Source(take(s3, "bucket"), take(s3, "key"), take(s3, "object_version") or None)
        return rest, s3 or source
    if kind in ("CODE_SOURCE_TYPE_IMAGE", 2) and s3 is None:
        return rest, ImageSource(image)
    return rest, (kind, image, s3)


def assert_only_code_source_differs(before: str, after: str, index: int, source: CodeSource) -> None:
    old, new = load(before), load(after)
    assert len(old) == len(new)
    old_rest, _ = split_code_source(old[index])
    new_rest, found = split_code_source(new[index])
    assert found == source
    assert new_rest == old_rest
    old[index] = new[index] = None
    assert json.dumps(new, default=str) == json.dumps(old, default=str)


def assert_others_bytes_stay(printed: Printed, source: CodeSource) -> None:
    result = proven_edit(printed.text, printed.index, source, FILE)
    allowed = {"value", "comma", "image" if isinstance(source, S3Source) else "s3"}
    rebuilt, position = "", 0
    for change in result.changes:
        removed = printed.text[change.start : change.end]
        owners = {
            kind
            for character, kind in zip(removed, printed.kinds[change.start : change.end], strict=True)
            if not (kind == "comma" and character not in ", \t")
        }
        assert owners <= allowed, (removed, owners)
        rebuilt += printed.text[position : change.start] + change.new
        position = change.end
    assert rebuilt + printed.text[position:] == result.text
    assert own_lines(result.text) == own_lines(printed.text)


def own_lines(text: str) -> list[str]:
    """Return the comments that have lines of their own, in order."""
    return [line.strip() for line in re.split("\r\n|\n|\r", text) if line.strip() in COMMENTS]


many = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
some = settings(many, max_examples=EXAMPLES // 3)


@many
@given(files(), sources)
def test_the_document_differs_in_its_code_source_alone(printed: Printed, source: CodeSource) -> None:
    after = edited(printed.text, printed.index, source, FILE)
    event("changed" if after != printed.text else "equal")
    assert_only_code_source_differs(printed.text, after, printed.index, source)


@many
@given(files(), sources)
def test_no_character_that_is_not_the_code_sources_is_removed(printed: Printed, source: CodeSource) -> None:
    assert_others_bytes_stay(printed, source)


@some
@given(files(), sources, st.booleans())
def test_a_second_edit_changes_nothing(printed: Printed, source: CodeSource, bom: bool) -> None:
    once = edited("\ufeff" * bom + printed.text, printed.index, source, FILE)
    assert edited(once, printed.index, source, FILE) == once


@some
@given(files(), sources, sources)
def test_there_and_back_again_gives_the_first_code_source(
    printed: Printed, one: CodeSource, other: CodeSource
) -> None:
    text = printed.text
    for source in (one, other, one):
        text = edited(text, printed.index, source, FILE)
    assert_only_code_source_differs(printed.text, text, printed.index, one)


@some
@given(files(wild=True), sources)
def test_a_shared_code_source_is_refused_or_changes_alone(printed: Printed, source: CodeSource) -> None:
    """Aliases may stand for code source values here, and the other way round."""
    try:
        after = edited(printed.text, printed.index, source, FILE)
    except WriteBackRefused as refused:
        event("refused")
        assert refused.hint
        return
    event("edited")
    assert_only_code_source_differs(printed.text, after, printed.index, source)
