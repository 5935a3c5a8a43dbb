"""Poetry's constraints, by the tables of its documentation."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planton_build.ecosystems.python.readers.poetry_constraints import allows
from planton_build.errors import DependencyInputInvalid


@pytest.mark.parametrize(
    ("constraint", "lowest", "beyond"),
    [
        ("^1.2.3", "1.2.3", "2.0.0"),
        ("^1.2", "1.2.0", "2.0.0"),
        ("^1", "1.0.0", "2.0.0"),
        ("^0.2.3", "0.2.3", "0.3.0"),
        ("^0.0.3", "0.0.3", "0.0.4"),
        ("^0.0", "0.0.0", "0.1.0"),
        ("^0", "0.0.0", "1.0.0"),
        ("~1.2.3", "1.2.3", "1.3.0"),
        ("~1.2", "1.2.0", "1.3.0"),
        ("~1", "1.0.0", "2.0.0"),
        ("1.*", "1.0.0", "2.0.0"),
        ("1.2.*", "1.2.0", "1.3.0"),
        ("==1.*", "1.0", "2.0"),
        ("~=1.4.5", "1.4.5", "1.5.0"),
        (">=1.2,<1.5", "1.2", "1.5"),
        (">= 1.2 , < 1.5", "1.2", "1.5"),
        (">=1.2 <1.5", "1.2", "1.5"),
        ("1.2.3", "1.2.3", "1.2.4"),
        ("<1 || >=2,<3", "2.5", "1.5"),
        ("<1|>=2", "0.9", "1.0"),
        (">=3.7,!=3.8.*", "3.9", "3.8.1"),
        ("^1.0b1", "1.0b1", "2.0"),
    ],
)
def test_a_constraint_admits_its_lowest_version_and_not_the_first_beyond(
    constraint: str, lowest: str, beyond: str
) -> None:
    assert allows(constraint, lowest)
    assert not allows(constraint, beyond)


def test_a_star_admits_everything() -> None:
    assert all(allows("*", version) for version in ("0", "1.0rc1", "2026.1+local"))


@pytest.mark.parametrize("constraint", ["^x", "~", "1.2 ?", "=>1", "^1.2.*", "1,,2~"])
def test_what_is_no_constraint_is_refused(constraint: str) -> None:
    with pytest.raises(DependencyInputInvalid, match="is not a version constraint"):
        allows(constraint, "1.0")


@settings(deadline=None)
@given(st.text(alphabet="^~=<>!|,.* 0123abc-+", max_size=15), st.text(alphabet="0123.abrc+-", max_size=6))
def test_no_constraint_crashes(constraint: str, version: str) -> None:
    try:
        allows(constraint, version)
    except DependencyInputInvalid:
        pass
