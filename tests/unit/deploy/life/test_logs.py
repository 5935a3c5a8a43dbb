from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import pytest

from planton_build.deploy.life.logs import LogLine, LogQuery, follow_logs, read_logs
from planton_build.deploy.life.target import Target
from planton_build.emulator.serve import Emulator
from planton_build.errors import AccessDenied, DeployRefused, FunctionUnknown
from planton_build.manifest.document import Manifest
from planton_build.publish.aws import Aws


@pytest.fixture
def now() -> int:
    return int(time.time() * 1000)


@pytest.fixture
def log(aws: Aws) -> Callable[..., None]:
    """Write a line at a time, in milliseconds, into the stream of a version."""

    def write(text: str, at: int, *, function: str = "render", version: str = "$LATEST") -> None:
        client = aws.client("logs", "eu-west-1")
        group, stream = f"/aws/lambda/{function}", f"2026/11/25/[{version}]0123"
        for make, place in (
            (client.create_log_group, {"logGroupName": group}),
            (client.create_log_stream, {"logGroupName": group, "logStreamName": stream}),
        ):
            try:
                make(**place)
            except client.exceptions.ResourceAlreadyExistsException:
                pass
        client.put_log_events(
            logGroupName=group, logStreamName=stream, logEvents=[{"timestamp": at, "message": text}]
        )

    return write


def texts(lines: Iterator[LogLine]) -> list[str]:
    return [line.text for line in lines]


def test_lines_come_in_the_order_of_time_with_their_version(
    target: Callable[..., Target], log: Callable[..., None], now: int
) -> None:
    log("third\n", now - 10)
    log("second", now - 20, version="7")
    log("first", now - 30)
    log("too old", now - 60_000)
    found = list(read_logs([target()], LogQuery(now - 1000)))
    assert [(line.text, line.version) for line in found] == [
        ("first", "$LATEST"),
        ("second", "7"),
        ("third", "$LATEST"),
    ]


def test_one_version_alone_can_be_asked_for(
    target: Callable[..., Target], log: Callable[..., None], now: int
) -> None:
    log("new", now - 10, version="8")
    log("old", now - 20, version="7")
    assert texts(read_logs([target()], LogQuery(now - 1000, version="7"))) == ["old"]


def test_functions_are_one_stream(target: Callable[..., Target], log: Callable[..., None], now: int) -> None:
    log("c", now - 10)
    log("b", now - 20, function="other")
    log("a", now - 30)
    found = list(read_logs([target(), target("other")], LogQuery(now - 1000)))
    assert [(line.function, line.text) for line in found] == [
        ("render", "a"),
        ("other", "b"),
        ("render", "c"),
    ]


def test_the_pattern_is_cloudwatchs(
    target: Callable[..., Target], log: Callable[..., None], now: int
) -> None:
    log("ERROR here", now - 10)
    log("fine", now - 20)
    assert texts(read_logs([target()], LogQuery(now - 1000, "ERROR"))) == ["ERROR here"]


def test_all_pages_are_read(
    target: Callable[..., Target], aws: Aws, log: Callable[..., None], now: int, cloud: Emulator
) -> None:
    log("line 0", now - 5000)
    aws.client("logs", "eu-west-1").put_log_events(
        logGroupName="/aws/lambda/render",
        logStreamName="2026/11/25/[$LATEST]0123",
        logEvents=[{"timestamp": now - 4000 + n, "message": f"line {n}"} for n in range(1, 250)],
    )
    asked = []
    client = aws.client("logs", "eu-west-1")

    def small(params: dict[str, Any], **_: Any) -> None:
        asked.append(params)
        params["limit"] = 100

    client.meta.events.register("provide-client-params.cloudwatch-logs.FilterLogEvents", small)
    try:
        found = texts(read_logs([target()], LogQuery(now - 10_000)))
    finally:
        client.meta.events.unregister("provide-client-params.cloudwatch-logs.FilterLogEvents", small)
    assert found == [f"line {n}" for n in range(250)]
    assert len(asked) == 3


def test_following_gives_each_line_once_and_late_ones_too(
    target: Callable[..., Target], log: Callable[..., None], now: int
) -> None:
    log("one", now - 3000)
    rounds = iter(
        [
            lambda: (log("two", now - 1000), log("late", now - 4000)),
            lambda: None,
            lambda: log("end", now),
            lambda: None,
        ]
    )
    found = follow_logs(
        [target()],
        LogQuery(now - 10_000),
        wait=lambda: next(rounds)(),  # a line that is missed ends the test instead of waiting for ever
    )
    assert texts(islice(found, 4)) == ["one", "late", "two", "end"]


def test_following_begins_before_there_is_a_group(
    manifest: Callable[..., Manifest],
    upload: Callable[[str], str],
    deploy: Callable[..., Any],
    target: Callable[..., Target],
    log: Callable[..., None],
    now: int,
) -> None:
    deploy(manifest(key=upload("version = 1")))
    found = follow_logs([target()], LogQuery(now - 10_000), wait=lambda: log("first", now))
    assert texts(islice(found, 1)) == ["first"]


def test_the_group_is_the_configured_one(
    manifest: Callable[..., Manifest],
    upload: Callable[[str], str],
    deploy: Callable[..., Any],
    target: Callable[..., Target],
    aws: Aws,
    now: int,
) -> None:
    deploy(manifest(key=upload("version = 1"), settings='[deploy.logging]\ngroup = "/acme/all"\n'))
    client = aws.client("logs", "eu-west-1")
    client.create_log_group(logGroupName="/acme/all")
    client.create_log_stream(logGroupName="/acme/all", logStreamName="s")
    client.put_log_events(
        logGroupName="/acme/all", logStreamName="s", logEvents=[{"timestamp": now, "message": "here"}]
    )
    [line] = read_logs([target()], LogQuery(now - 1000))
    assert (line.text, line.version) == ("here", "")


def test_the_logs_of_a_function_that_is_gone_can_be_read(
    target: Callable[..., Target], log: Callable[..., None], now: int
) -> None:
    log("last words", now - 10)
    assert texts(read_logs([target()], LogQuery(now - 1000))) == ["last words"]


def test_neither_function_nor_logs_is_an_error(target: Callable[..., Target], now: int) -> None:
    with pytest.raises(FunctionUnknown, match="no function render is deployed"):
        list(read_logs([target()], LogQuery(now)))


def test_what_cloudwatch_refuses_is_explained(
    target: Callable[..., Target], log: Callable[..., None], now: int, cloud: Emulator
) -> None:
    log("line", now)
    cloud.faults.error("logs.FilterLogEvents", "InvalidParameterException", 400, "Invalid filter pattern")
    with pytest.raises(DeployRefused, match="Invalid filter pattern") as caught:
        list(read_logs([target()], LogQuery(now, "{ $.a")))
    assert "filter pattern syntax" in str(caught.value.hint)
    cloud.faults.error("logs.FilterLogEvents", "AccessDeniedException", 400, "no")
    with pytest.raises(AccessDenied):
        list(read_logs([target()], LogQuery(now)))
