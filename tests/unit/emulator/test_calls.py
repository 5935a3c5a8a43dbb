from __future__ import annotations

import pytest

from planton_build.emulator import calls
from planton_build.emulator.calls import Call, Calls


def call(operation: str) -> Call:
    return Call("lambda", operation, "123456789012", "eu-west-1")


@pytest.mark.parametrize(
    ("operation", "changing"),
    [
        ("GetFunction", False),
        ("ListTags", False),
        ("HeadObject", False),
        ("DescribeAlarms", False),
        ("Invoke", False),
        ("InvokeWithResponseStream", False),
        ("LookupEvents", False),
        ("BatchGetImage", False),
        ("AssumeRole", False),
        ("FilterLogEvents", False),
        ("GET /unknown", False),
        ("CreateFunction", True),
        ("UpdateAlias", True),
        ("PutObject", True),
        ("TagResource", True),
        ("CheckpointDurableExecution", True),
        ("PUT /unknown", True),
    ],
)
def test_calls_that_change_something_are_told_from_others(operation: str, changing: bool) -> None:
    assert call(operation).changing is changing


def test_the_log_forgets_the_oldest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "MAX_CALLS", 20)
    log = Calls()
    for number in range(21):
        log.add(call(f"Get{number}"))
    assert (len(log), log.names()[0], log.names()[-1]) == (19, "lambda.Get2", "lambda.Get20")
    log.clear()
    assert list(log) == []
