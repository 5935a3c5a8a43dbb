from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planton_build.deploy.references.path import folded, nested, parse_path, picked


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("status.outputs.role_arn", ("status", "outputs", "role_arn")),
        ("status.outputs.private_subnets.[*].id", ("status", "outputs", "private_subnets", None, "id")),
        ("status.outputs.private_subnets[*].id", ("status", "outputs", "private_subnets", None, "id")),
        ("status.outputs.layer_arns.0", ("status", "outputs", "layer_arns", 0)),
        ("status.outputs.layer_arns[12]", ("status", "outputs", "layer_arns", 12)),
        ("status.outputs.layer_arns.[1]", ("status", "outputs", "layer_arns", 1)),
    ],
)
def test_upstreams_paths_are_understood(text: str, steps: tuple[object, ...]) -> None:
    assert parse_path(text).steps == steps


@pytest.mark.parametrize(
    "text", ["", ".", "status..x", "a[", "a[-1]", "a[x]", "a.*", "a b", "../x", "a" * 257, "a[99999]"]
)
def test_what_is_no_path_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"has|longer"):
        parse_path(text)


@given(st.text(max_size=40))
@settings(max_examples=60)
def test_any_text_is_a_path_or_refused(text: str) -> None:
    try:
        path = parse_path(text)
    except ValueError:
        return
    assert path.steps
    assert path.spreads == (None in path.steps)


def test_only_outputs_have_an_output_name() -> None:
    assert parse_path("status.outputs.layer_arns.0").output == "layer_arns"
    assert parse_path("status.outputs.layer_arns.0").within == (0,)
    assert parse_path("spec.region").output == ""
    assert parse_path("status.outputs").output == ""


@pytest.mark.parametrize("key", ["role_arn", "roleArn", "RoleArn", "role-arn", "ROLE_ARN"])
def test_keys_are_compared_in_one_form(key: str) -> None:
    assert folded(key) == "role_arn"
    assert picked({key: 1}, "role_arn") == [1]


def test_two_spellings_with_two_values_are_both_seen() -> None:
    both = {"role_arn": "a", "roleArn": "b"}
    assert picked(both, "role_arn") == ["a", "b"]
    assert picked(both, "role_arn", exact=True) == ["a"]


def test_flattened_lists_are_unfolded() -> None:
    flat = {"layer_arns.0": "a", "layer_arns[1]": "b", "subnets.0.id": "s", "role_arn": "r", "odd key": 1}
    assert nested(flat) == {"layer_arns": ["a", "b"], "subnets": [{"id": "s"}], "role_arn": "r", "odd key": 1}


@pytest.mark.parametrize("flat", [{"a": "x", "a.0": "y"}, {"a.0": "x", "a[0]": "y"}, {"a.0": "y", "a": "x"}])
def test_flattened_keys_that_contradict_each_other_are_refused(flat: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="has"):
        nested(flat)


@given(st.dictionaries(st.text("ab.[0]*", max_size=6), st.integers(0, 2), max_size=5))
@settings(max_examples=80)
def test_any_keys_are_unfolded_or_refused(flat: dict[str, int]) -> None:
    try:
        assert isinstance(nested(flat), dict)
    except ValueError:
        pass
