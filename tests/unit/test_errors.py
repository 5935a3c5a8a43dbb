from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import planton_build.errors as errors
from planton_build.cli.commands import INTERRUPTED
from planton_build.errors import EXIT_CHANGES, Finding, PlantonError, SeveralErrors


def subclasses(of: type[PlantonError]) -> Iterator[type[PlantonError]]:
    for one in of.__subclasses__():
        yield one
        yield from subclasses(one)


CLASSES = sorted({PlantonError, *subclasses(PlantonError)}, key=lambda one: one.__name__)


def test_every_class_has_a_code_and_an_exit_code_of_its_own() -> None:
    assert len({one.code for one in CLASSES}) == len(CLASSES)
    assert len({one.exit_code for one in CLASSES}) == len(CLASSES)


def test_all_classes_are_in_one_place() -> None:
    assert {one.__module__ for one in CLASSES} == {errors.__name__}


@pytest.mark.parametrize("error", [one for one in CLASSES if one is not PlantonError])
def test_no_exit_code_means_something_else_already(error: type[PlantonError]) -> None:
    # 2: click's wrong use. 126 and above: the shell's own (POSIX), among them Ctrl-C.
    assert error.exit_code not in (0, 1, 2, EXIT_CHANGES, INTERRUPTED)
    assert 0 < error.exit_code < 126


@pytest.mark.parametrize("error", CLASSES)
def test_the_code_is_the_class_name(error: type[PlantonError]) -> None:
    words = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in error.__name__)
    assert error.code == ("error" if error is PlantonError else words.lstrip("_"))
    assert error.__doc__


def test_an_error_is_one_finding_unless_it_brings_its_own() -> None:
    error = errors.ConfigInvalid("wrong", hint="right it", file=Path("planton.toml"), line=3, column=5)
    assert error.findings == (Finding("config_invalid", "wrong", Path("planton.toml"), 3, 5, "right it"),)
    own = [Finding("x", "one"), Finding("x", "two")]
    assert errors.ManifestInvalid("2 mistakes", findings=own).findings == tuple(own)


def test_several_errors_keep_all_findings_and_say_the_same_once() -> None:
    same = [errors.BucketUnknown("no bucket") for _ in range(2)]
    error = SeveralErrors([*same, errors.ConfigInvalid("wrong")])
    assert [finding.code for finding in error.findings] == ["bucket_unknown", "config_invalid"]
    assert len(error.errors) == 3
    assert str(error) == "3 functions failed"
