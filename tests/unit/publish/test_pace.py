"""The pace of calls, by a clock that moves only while somebody sleeps."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from planton_build.publish import pace
from planton_build.publish.aws import AwsSettings


class Clock:
    def __init__(self) -> None:
        self.now = 100.0
        self._lock = threading.Lock()

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self.now += max(seconds, 1e-6)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(pace, "time", clock)
    return clock


def turns(one: pace.Pace, count: int, clock: Clock, *, takes: float = 0.0) -> list[float]:
    """Make calls one after the other, each answered after so many seconds; return when each arrived."""
    arrivals = []
    for _ in range(count):
        call = one.wait()
        arrivals.append(clock.now + takes)
        clock.now += takes
        call.answered()
    return arrivals


def most_in_a_second(arrivals: list[float]) -> int:
    return max(sum(1 for one in arrivals if start <= one < start + 1) for start in arrivals)


def test_as_many_calls_as_a_second_allows_go_out_at_once(clock: Clock) -> None:
    assert turns(pace.Pace(3), 3, clock) == [100.0] * 3


def test_the_calls_after_them_wait_for_the_next_second(clock: Clock) -> None:
    arrivals = turns(pace.Pace(2), 6, clock)
    assert [round(one - 100, 1) for one in arrivals] == [0, 0, 1.0, 1.0, 2.0, 2.0]


@pytest.mark.parametrize("takes", [0.0, 0.01, 0.3, 1.5])
def test_no_second_has_more_arrivals_than_allowed_however_long_calls_take(clock: Clock, takes: float) -> None:
    assert most_in_a_second(turns(pace.Pace(5), 40, clock, takes=takes)) <= 5


def test_calls_on_their_way_count_though_they_left_long_ago(clock: Clock) -> None:
    """They may arrive any moment, together with those that leave now."""
    one = pace.Pace(2)
    one.wait(), one.wait()
    clock.now += 1.5
    started = clock.now
    one.wait()
    assert clock.now > started


def test_a_call_that_takes_long_does_not_count_for_ever(clock: Clock) -> None:
    one = pace.Pace(1)
    one.wait()
    one.wait()
    assert clock.now - 100 == pytest.approx(2.04, abs=0.1)


def test_reading_functions_invoking_and_the_rest_have_paces_of_their_own(clock: Clock) -> None:
    paces = pace.LambdaPace(1)
    for operation in ("GetFunction", "GetFunction", "Invoke", "Invoke", "GetPolicy", "UpdateAlias"):
        paces.before_send(event_name=f"before-send.lambda.{operation}", request=None)
        paces.response_received(event_name=f"response-received.lambda.{operation}")
    assert clock.now == 100
    paces.before_send(event_name="before-send.lambda.PublishVersion")
    assert clock.now > 101


def test_alarms_are_set_and_deleted_at_one_pace_and_metrics_are_free(clock: Clock) -> None:
    paces = pace.AlarmPace()
    for operation in ("PutMetricAlarm", "PutMetricAlarm", "DeleteAlarms", *["GetMetricData"] * 50):
        paces.before_send(event_name=f"before-send.cloudwatch.{operation}")
        paces.response_received()
    assert clock.now == 100
    paces.before_send(event_name="before-send.cloudwatch.PutMetricAlarm")
    assert clock.now > 101


def test_a_real_client_waits_for_its_turn(clock: Clock, refusing_endpoint: Callable[[], str]) -> None:
    """The events are botocore's own: each of the SDK's tries is one."""
    from botocore.exceptions import EndpointConnectionError

    from planton_build.publish.aws import Aws

    aws = Aws(AwsSettings("eu-west-1", None, refusing_endpoint(), "key", "secret", calls_per_second=2))
    with pytest.raises(EndpointConnectionError):
        aws.lambda_().get_alias(FunctionName="f", Name="a")
    assert clock.now > 101


@pytest.fixture
def refusing_endpoint() -> Callable[[], str]:
    import socket

    def find() -> str:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            return f"http://127.0.0.1:{taken.getsockname()[1]}"

    return find


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
