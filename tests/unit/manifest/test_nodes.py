from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from planton_build.errors import Finding, ManifestUnreadable
from planton_build.manifest import nodes, scalars

FILE = Path("manifest.yaml")


@pytest.fixture(params=["libyaml", "pure"], autouse=True)
def parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "pure":
        monkeypatch.setattr(nodes, "_LOADER", yaml.SafeLoader)
    elif not yaml.__with_libyaml__:
        pytest.skip("PyYAML without libyaml")


def refusal(text: str) -> Finding:
    with pytest.raises(ManifestUnreadable) as caught:
        nodes.compose(text, FILE)
    (finding,) = caught.value.findings
    return finding


def root(text: str) -> Any:
    (document,) = nodes.compose(text, FILE)
    return document.root


def plain(node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        return {key.value: plain(value) for key, value in node.value}
    return [plain(child) for child in node.value] if isinstance(node, yaml.SequenceNode) else node.value


def test_marks_are_character_offsets_also_behind_wide_characters_and_crlf() -> None:
    text = "a: 'é😀' # ü\r\nkey: value\r\n"
    (_, first), (key, second) = root(text).value
    assert text[first.start_mark.index : first.end_mark.index] == "'é😀'"
    assert text[key.start_mark.index : key.end_mark.index] == "key"
    assert text[second.start_mark.index : second.end_mark.index] == "value"
    assert (second.start_mark.line, second.start_mark.column) == (1, 5)


def test_an_alias_is_the_node_of_its_anchor_and_keeps_its_own_place() -> None:
    text = "a: &x {k: 1}\nb: [*x, 2]\nc: *x\n"
    (document,) = nodes.compose(text, FILE)
    mapping: Any = document.root
    anchored = mapping.value[0][1]
    assert mapping.value[1][1].value[0] is anchored
    assert mapping.value[2][1] is anchored
    assert [(anchor.name, anchor.node) for anchor in document.anchors] == [("x", anchored)]
    in_list, in_mapping = document.aliases
    assert [text[alias.start : alias.end] for alias in document.aliases] == ["*x", "*x"]
    assert (in_list.parent, in_list.index) == (mapping.value[1][1], 0)
    assert (in_mapping.parent, in_mapping.index) == (mapping, 2)
    assert (in_mapping.line, in_mapping.column) == (3, 4)


def test_anchors_end_with_their_document_and_may_be_given_again() -> None:
    assert plain(root("a: &x 1\nb: &x 2\nc: *x\n")) == {"a": "1", "b": "2", "c": "2"}
    assert refusal("a: &x 1\n---\nb: *x\n").rule == "parse.alias"


def test_each_document_knows_its_extent() -> None:
    text = "# c\n---\na: 1\n...\n---\nb: 2\n"
    first, second = nodes.compose(text, FILE)
    assert (first.index, first.start_explicit, first.end_explicit) == (0, True, True)
    assert text[first.start : first.end].strip() == "a: 1"
    assert (second.index, second.start_explicit, second.end_explicit) == (1, True, False)
    assert text[second.start : second.end].strip() == "b: 2"


def test_an_empty_file_has_no_documents_and_an_empty_document_is_null() -> None:
    assert nodes.compose("# nothing\n", FILE) == []
    empty, filled = nodes.compose("---\n---\na: 1\n", FILE)
    assert empty.root.tag == scalars.NULL
    assert plain(filled.root) == {"a": "1"}


@pytest.mark.parametrize(
    ("text", "rule", "line", "column"),
    [
        pytest.param("[" * 100_000, "parse.depth", 1, 33, id="deep flow sequence"),
        pytest.param("{a: " * 100_000, "parse.depth", 1, 126, id="deep flow mapping"),
        pytest.param("- " * 100_000, "parse.depth", 1, 65, id="deep block sequence"),
        pytest.param(
            "l:\n- &a0 [x]\n" + "".join(f"- &a{i} [*a{i - 1}]\n" for i in range(1, 99)),
            "parse.depth",
            31,
            9,
            id="deep through aliases",
        ),
        pytest.param("---\n" * 100_000, "parse.size", 50_002, 1, id="very many documents"),
        pytest.param("[" + "a," * 60_000 + "]", "parse.size", 1, 2 + 2 * 49_999, id="very many nodes"),
        pytest.param(
            "a0: &a0 [x, x]\n"
            + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 8)}]\n" for i in range(1, 30)),
            "parse.alias",
            None,
            None,
            id="billion laughs",
        ),
        pytest.param(
            f"a: &a {'x' * 900_000}\nb: [{', '.join(['*a'] * 4000)}]",
            "parse.alias",
            2,
            None,
            id="many aliases of a long scalar",
        ),
        pytest.param("a: &a [*a]", "parse.alias", 1, 8, id="recursive alias"),
        pytest.param("a: &a {b: {c: *a}}", "parse.alias", 1, 15, id="deeply recursive alias"),
        pytest.param("a: *b", "parse.alias", 1, 4, id="unknown alias"),
        pytest.param("a: 1\nb: 2\n'a': 3", "parse.duplicate_key", 3, 1, id="duplicate key"),
        pytest.param("x: {<<: {a: 1}, <<: {b: 1}}", "parse.duplicate_key", 1, 17, id="two merge keys"),
        pytest.param("[a, b]: 1", "parse.key", 1, 1, id="list as a key"),
        pytest.param("a: {{ .Values.x }}", "parse.key", 1, 5, id="template"),
        pytest.param("a: !!binary aGk=", "parse.tag", 1, 4, id="binary tag"),
        pytest.param("a: !!python/object/apply:os.system [x]", "parse.tag", 1, 4, id="python tag"),
        pytest.param("a: !Ref x", "parse.tag", 1, 4, id="local tag"),
        pytest.param("a: !!map [x]", "parse.tag", 1, 4, id="tag of another form"),
        pytest.param("a: !!int x", "parse.tag", 1, 4, id="tag that does not fit"),
        pytest.param("a:\n\tb: 1\n", "parse.syntax", 2, 1, id="tab"),
        pytest.param("a: 'x\n", "parse.syntax", None, None, id="open quote"),
        pytest.param("a: b: c\n", "parse.syntax", 1, 5, id="two colons"),
        pytest.param(
            "".join(f"%TAG !a{i}! b\n" for i in range(65)) + "--- x",
            "parse.size",
            None,
            None,
            id="directives",
        ),
    ],
)
def test_what_cannot_be_read_safely_is_refused_at_its_place(
    text: str, rule: str, line: int | None, column: int | None
) -> None:
    finding = refusal(text)
    assert finding.rule == rule
    assert finding.file == FILE
    assert finding.hint
    assert len(finding.message) < 200
    if line is not None:
        assert finding.line == line
    if column is not None:
        assert finding.column == column


def test_core_tags_are_kept() -> None:
    node = root("[!!str 1, !!int '1', !!float 1, !!bool yes, !!null '', !!map {}, !!seq []]")
    names = [child.tag.rpartition(":")[2] for child in node.value]
    assert names == ["str", "int", "float", "bool", "null", "map", "seq"]


def test_a_message_never_quotes_a_tagged_value() -> None:
    assert "hunter2" not in refusal("password: !!int hunter2").message


def test_the_hint_knows_tabs_and_templates() -> None:
    assert "tabs" in (refusal("a:\n\tb: 1\n").hint or "")
    assert "template" in (refusal("a: {{ .Values.x }}").hint or "")
    assert "template" in (refusal("{% if x %}\na: 1\n").hint or "")


@pytest.mark.parametrize(
    ("text", "tag"),
    [
        *((text, "bool") for text in ("yes", "No", "ON", "off", "y", "N", "true", "FALSE")),
        *((text, "null") for text in ("", "~", "null", "NULL")),
        *((text, "int") for text in ("0", "-1", "0x1F", "0b11", "0777", "0o17", "1_000", "9" * 50)),
        *((text, "float") for text in ("1.5", "1e3", ".5", "-.inf", ".NaN", "0128")),
        *((text, "str") for text in ("tRUE", "1:30", "2024-01-01", "1.2.3", "-", "0x", "nO", "9" * 5000)),
        ("<<", "merge"),
    ],
)
def test_plain_scalars_mean_what_go_reads(text: str, tag: str) -> None:
    assert scalars.resolve(text).rpartition(":")[2] == tag


@pytest.mark.parametrize(
    ("text", "value"), [("0777", 511), ("-0x1f", -31), ("0b11", 3), ("+1_000", 1000), ("0o17", 15), ("00", 0)]
)
def test_integers_are_read_in_their_base(text: str, value: int) -> None:
    assert scalars.integer(text) == value


@pytest.mark.parametrize(
    ("raw", "rule", "line", "column"),
    [
        pytest.param(b"a: \0", "parse.character", 1, 4, id="nul"),
        pytest.param(b"a: 1\nb: \x1b[31m", "parse.character", 2, 4, id="escape"),
        pytest.param("a: \ufffe".encode(), "parse.character", 1, 4, id="not a character"),
        pytest.param("a: 1".encode("utf-16"), "parse.encoding", 1, 1, id="utf-16"),
        pytest.param("é: 1\nä: ".encode() + b"\xe9", "parse.encoding", 2, 4, id="latin-1"),
        pytest.param("\ufeff\ufeffa: 1".encode(), "parse.character", 1, 1, id="two byte order marks"),
        pytest.param(b"#" * (nodes.MAX_BYTES + 1), "parse.size", None, None, id="too large"),
    ],
)
def test_bytes_that_are_not_text_are_refused(
    raw: bytes, rule: str, line: int | None, column: int | None
) -> None:
    with pytest.raises(ManifestUnreadable) as caught:
        nodes.decode(raw, FILE)
    (finding,) = caught.value.findings
    assert (finding.rule, finding.line, finding.column) == (rule, line, column)
    assert finding.hint


def test_a_byte_order_mark_is_remembered_and_not_counted() -> None:
    source = nodes.decode(b"\xef\xbb\xbfa: 1\n", FILE)
    assert source.bom
    assert source.text == "a: 1\n"
    assert root(source.text).value[0][0].start_mark.index == 0


def test_a_huge_file_is_refused_by_its_size_alone(tmp_path: Path) -> None:
    path = tmp_path / "huge.yaml"
    with path.open("wb") as stream:
        stream.truncate(50 << 20)
    with pytest.raises(ManifestUnreadable, match="larger than"):
        nodes.read_source(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_is_refused_without_waiting_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    with pytest.raises(ManifestUnreadable, match="regular file"):
        nodes.read_source(tmp_path / "pipe.yaml")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ManifestUnreadable, match="No such file"):
        nodes.read_source(tmp_path / "missing.yaml")


@given(st.text(max_size=200))
def test_any_text_composes_or_is_refused(text: str) -> None:
    try:
        source = nodes.decode(text.encode("utf-8", "surrogatepass"), FILE)
        documents = nodes.compose(source.text, FILE)
    except ManifestUnreadable as error:
        assert error.findings[0].rule
    else:
        assert all(0 <= document.start <= document.end <= len(text) for document in documents)


@given(st.text(alphabet="ab&*!<>:{}[],-?|'\"#%\n \t1~", max_size=120))
def test_any_punctuation_composes_or_is_refused(text: str) -> None:
    try:
        nodes.compose(text, FILE)
    except ManifestUnreadable as error:
        assert error.findings[0].rule


VALUES = st.recursive(
    st.text(alphabet="abc: #'\"\né", max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("xyz"), inner, max_size=4),
    max_leaves=20,
)


@given(VALUES, st.booleans())
def test_what_pyyaml_writes_is_composed_the_same(value: Any, flow: bool) -> None:
    assert plain(root(yaml.safe_dump(value, default_flow_style=flow, allow_unicode=True))) == value
