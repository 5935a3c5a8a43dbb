from __future__ import annotations

import json
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planton_build.settings.positions import key_positions, nearest_place

TEXT = '''# a comment with [brackets] and key = 1
[deploy]
alias = "live"   # url = 1
tags = { team = "a # b", "cost center" = 'x]' }
text = """
[deploy.fake]
fake = 1 \\"""
"""
raw = \'\'\'
[x]\'\'\'
logging.level = "INFO"

  [deploy.url.cors]
  allow-origins = [ "https://a", # first
     "b",
  ]
[[deploy.permissions]]
id = "a"
[[deploy.permissions]]
id = "b"
[[deploy.permissions.deep]]
x = 1
[function."my fn".deploy]
event-sources = [
  { source = "q", nested = { deep = [1, {a = 2}] } },
  { source = "r" },
]
'''


@pytest.mark.parametrize(
    ("path", "place"),
    [
        (("deploy",), (2, 1)),
        (("deploy", "alias"), (3, 1)),
        (("deploy", "tags", "team"), (4, 10)),
        (("deploy", "tags", "cost center"), (4, 26)),
        (("deploy", "raw"), (9, 1)),
        (("deploy", "logging", "level"), (11, 9)),
        (("deploy", "url", "cors"), (13, 3)),
        (("deploy", "url", "cors", "allow-origins", 1), (15, 6)),
        (("deploy", "permissions"), (17, 1)),
        (("deploy", "permissions", 0, "id"), (18, 1)),
        (("deploy", "permissions", 1), (19, 1)),
        (("deploy", "permissions", 1, "id"), (20, 1)),
        (("deploy", "permissions", 1, "deep", 0, "x"), (22, 1)),
        (("function", "my fn", "deploy", "event-sources", 0, "nested", "deep", 1, "a"), (25, 42)),
        (("function", "my fn", "deploy", "event-sources", 1, "source"), (26, 5)),
    ],
)
def test_places_of_keys(path, place):
    assert key_positions(TEXT)[path] == place


def test_keys_in_strings_and_comments_are_none():
    found = key_positions(TEXT)
    assert not [path for path in found if "fake" in path or path[0] in ("key", "x")]


def test_the_nearest_parent_stands_for_what_is_not_written():
    found = key_positions(TEXT)
    assert nearest_place(found, ("deploy", "url", "auth")) == found["deploy", "url"] == (13, 3)
    assert nearest_place(found, ("nothing",)) is None


keys = st.text(st.sampled_from("ab-_.\"'é\\# \n"), max_size=4)
texts = st.text(st.sampled_from("a\"'\\#[]{}=,\n"), max_size=6)
values = st.recursive(
    st.one_of(st.integers(), st.booleans(), texts),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=8,
)


def written(value) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {written(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[\n" + ",\n".join(map(written, value)) + "]"
    return json.dumps(value)


def paths(value, at=()):
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in pairs:
        yield (*at, key)
        yield from paths(item, (*at, key))


@given(st.dictionaries(keys, values, max_size=4))
def test_every_key_of_every_text_is_found(document):
    text = "".join(f"{json.dumps(key)} = {written(value)}\n" for key, value in document.items())
    assert tomllib.loads(text) == document
    found = key_positions(text)
    assert set(found) == set(paths(document))
    lines = text.split("\n")
    for path, (line, column) in found.items():
        if isinstance(path[-1], str):
            assert lines[line - 1][column - 1 :].startswith(json.dumps(path[-1]))


@given(st.text(st.sampled_from("a[]{}=\"'.,#\n "), max_size=30))
def test_any_text_ends(text):
    key_positions(text)
