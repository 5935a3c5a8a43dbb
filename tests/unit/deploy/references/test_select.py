from __future__ import annotations

from typing import Any

import pytest

from planton_build.deploy.references.answers import Absent, Refused
from planton_build.deploy.references.path import parse_path
from planton_build.deploy.references.select import select

SUBNETS = {"private_subnets": [{"name": "a", "id": "subnet-a"}, {"name": "b", "id": "subnet-b"}]}


def taken(root: Any, path: str, *, loose: bool = False) -> tuple[str, ...]:
    return select(root, parse_path(path).steps, loose=loose)


def test_a_star_takes_every_item() -> None:
    assert taken(SUBNETS, "private_subnets.[*].id") == ("subnet-a", "subnet-b")


def test_an_index_takes_one() -> None:
    assert taken(SUBNETS, "private_subnets.1.id") == ("subnet-b",)
    assert taken({"layer_arns": ["x", "y"]}, "layer_arns[0]") == ("x",)


@pytest.mark.parametrize(
    ("root", "path"),
    [
        ({}, "a"),
        ({"a": None}, "a"),
        ({"a": ""}, "a"),
        ({"a": "  "}, "a"),
        ({"a": None}, "a.b"),
        ({"a": "text"}, "a.b"),
        ({"a": []}, "a.[*]"),
        ({"a": ["x"]}, "a.1"),
        ({"a": {"b": 1}}, "a.[*]"),
    ],
)
def test_what_is_not_there_or_empty_is_absent(root: Any, path: str) -> None:
    with pytest.raises(Absent):
        taken(root, path)


@pytest.mark.parametrize(
    ("root", "path"),
    [
        ({"a": 1}, "a"),
        ({"a": True}, "a"),
        ({"a": {"b": "x"}}, "a"),
        ({"a": ["x"]}, "a"),
        ({"a": [{"id": "x"}, {}]}, "a.[*].id"),
        ({"a": ["x", ""]}, "a.[*]"),
        ({"a": ["x", 5]}, "a.[*]"),
        ({"role_arn": "x", "roleArn": "y"}, "role_arn"),
    ],
)
def test_what_is_there_and_no_text_is_refused(root: Any, path: str) -> None:
    with pytest.raises(Refused):
        taken(root, path)


def test_a_list_without_a_star_says_how_to_write_it() -> None:
    with pytest.raises(Refused) as caught:
        taken({"a": ["x"]}, "a")
    assert ".[*]" in caught.value.hint


def test_texts_count_as_lists_only_where_asked() -> None:
    assert taken({"a": "x, y"}, "a.[*].id", loose=True) == ("x", "y")
    assert taken({"a": ["x", "y"]}, "a.[*].id", loose=True) == ("x", "y")
    assert taken({"a": "x,y"}, "a.1", loose=True) == ("y",)
    with pytest.raises(Absent):
        taken({"a": "x,y"}, "a.[*]")
    with pytest.raises(Absent):
        taken({"a": "x"}, "a.id", loose=True)
