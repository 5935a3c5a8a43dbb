"""The pace of calls. Turns are looked at, not the time that passes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from planton_build.publish import pace
from planton_build.publish.aws import AwsSettings


class Clock:
    """A clock that moves only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(round(seconds, 6))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(pace, "time", clock)
    return clock


def test_as_many_calls_as_a_second_allows_go_out_at_once(clock: Clock) -> None:
    one = pace.Pace(3)
    for _ in range(3):
        one.wait()
    assert clock.slept == []


def test_the_call_after_them_waits_for_the_next_window_and_so_does_each_that_follows(clock: Clock) -> None:
    one = pace.Pace(2)
    for _ in range(6):
        one.wait()
    assert clock.slept == [1.05, 1.05, 2.1, 2.1]


def test_no_window_of_a_second_has_more_calls_than_allowed_from_many_threads(clock: Clock) -> None:
    one = pace.Pace(5)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: one.wait(), range(40)))
    turns = sorted([0.0] * (40 - len(clock.slept)) + clock.slept)
    assert max(sum(1 for turn in turns if start <= turn < start + 1) for start in turns) == 5


def test_reading_functions_invoking_and_the_rest_have_paces_of_their_own(clock: Clock) -> None:
    paces = pace.LambdaPace(1)
    for operation in ("GetFunction", "GetFunction", "Invoke", "Invoke", "GetPolicy", "UpdateAlias"):
        paces(event_name=f"before-send.lambda.{operation}", request=None)
    assert clock.slept == []
    paces(event_name="before-send.lambda.PublishVersion")
    assert clock.slept == [1.05]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (AwsSettings(), pace.CALLS_PER_SECOND),
        (AwsSettings(calls_per_second=3), 3),
        (AwsSettings(endpoint_url="http://127.0.0.1:1", access_key_id="k"), None),
        (AwsSettings(endpoint_url="http://127.0.0.1:1", access_key_id="k", calls_per_second=9), 9),
    ],
)
def test_only_an_endpoint_with_its_own_keys_has_no_pace_unless_one_is_given(
    settings: AwsSettings, expected: int | None
) -> None:
    assert settings.pace == expected
