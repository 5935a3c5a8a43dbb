"""What is sent again, how often and when; and what Lambda may answer without doing harm."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError
from botocore.session import Session
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from planton_build.deploy import patience as patience_module
from planton_build.deploy.observed import ObservedFunction, observe, read_answer
from planton_build.deploy.patience import MAX_CONFLICTS, Patience
from planton_build.deploy.refusals import retry_after
from planton_build.deploy.rollout import failures_since
from planton_build.deploy.run import Run
from planton_build.deploy.traffic import observe_alias
from planton_build.errors import AwsUnreachable, DeployConflict, DeployRefused, PlantonError
from planton_build.events import ignore

PASSING = {"TooManyRequestsException"}
"""What Lambda's model calls throttling."""
OURS = (
    "CreateFunction",
    "UpdateFunctionConfiguration",
    "UpdateFunctionCode",
    "PutFunctionConcurrency",
    "DeleteFunctionConcurrency",
    "DeleteFunction",
    "PublishVersion",
    "CreateAlias",
    "UpdateAlias",
    "DeleteAlias",
    "TagResource",
    "AddPermission",
    "CreateFunctionUrlConfig",
    "PutFunctionEventInvokeConfig",
    "PutProvisionedConcurrencyConfig",
    "CreateEventSourceMapping",
    "UpdateEventSourceMapping",
)


class Clock:
    """A clock that sleeping moves."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(patience_module, "time", clock)
    return clock


class Answering:
    """A client whose every call returns, or raises, what it is told to."""

    def __init__(self, *answers: Any) -> None:
        self._answers = list(answers)

    def __getattr__(self, name: str) -> Any:
        def call(**_: Any) -> Any:
            answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
            if isinstance(answer, Exception):
                raise answer
            return answer

        return call


class Cloud:
    """An `Aws` with one client for everything."""

    def __init__(self, *answers: Any) -> None:
        self.one = Answering(*answers)

    def lambda_(self, region: str | None = None) -> Any:
        return self.one

    def client(self, service: str, region: str | None = None) -> Any:
        return self.one


def run_of(*answers: Any, hidden: tuple[str, ...] = (), **limits: float) -> Run:
    given: Any = Cloud(*(answers or ({},)))
    return Run("orders", given, "eu-west-1", listener=ignore, patience=Patience(**limits), hidden=hidden)


def refusal(code: str, message: str = "no", after: str | None = None, status: int = 400) -> ClientError:
    headers = {} if after is None else {"retry-after": after}
    answer: Any = {
        "Error": {"Code": code, "Message": message},
        "ResponseMetadata": {"HTTPStatusCode": status, "HTTPHeaders": headers},
    }
    return ClientError(answer, "UpdateFunctionCode")


def errors() -> Iterator[tuple[str, str]]:
    model = Session().get_service_model("lambda")
    for name in OURS:
        for shape in model.operation_model(name).error_shapes:
            yield name, shape.metadata.get("error", {}).get("code") or shape.name


@pytest.mark.parametrize(("operation", "code"), sorted(set(errors())))
def test_of_lambdas_refusals_only_those_that_pass_are_sent_again(
    clock: Clock, operation: str, code: str
) -> None:
    sent = []

    def send() -> Mapping[str, Any]:
        sent.append(operation)
        if len(sent) > 1:
            return {}
        raise refusal(code)

    run = run_of()
    if code in PASSING or code == "PreconditionFailedException":
        run.send("changing", send)
        assert len(sent) == 2
        return
    with pytest.raises(PlantonError):
        run.send("changing", send)
    assert sent == [operation]
    assert clock.slept == []


def test_an_answer_that_never_comes_is_not_asked_for_again() -> None:
    """The SDK has tried already, and the change may have arrived."""
    sent = []

    def send() -> Mapping[str, Any]:
        sent.append(1)
        raise ReadTimeoutError(endpoint_url="http://x")

    with pytest.raises(AwsUnreachable):
        run_of().send("changing", send)
    assert sent == [1]


@pytest.mark.parametrize("after", ["7", "30.5"])
def test_the_next_try_comes_no_sooner_than_aws_says(clock: Clock, after: str) -> None:
    times = []

    def send() -> Mapping[str, Any]:
        times.append(clock.now)
        if len(times) > 2:
            return {}
        raise refusal("TooManyRequestsException", after=after, status=429)

    run_of(throttle=120).send("changing", send)
    assert [later - sooner >= float(after) for sooner, later in pairwise(times)] == [True] * 2


def test_what_aws_wants_later_than_is_waited_is_given_up_and_not_sent_too_soon(clock: Clock) -> None:
    times = []

    def send() -> Mapping[str, Any]:
        times.append(clock.now)
        raise refusal("TooManyRequestsException", after="50", status=429)

    with pytest.raises(DeployRefused, match="TooManyRequests"):
        run_of(throttle=120).send("changing", send)
    assert times == [0.0, 50.0, 100.0]


@pytest.mark.parametrize(
    "after", ["nan", "inf", "-3", "soon", "Wed, 21 Oct 2015 07:28:00 GMT", "", None, [], {}]
)
def test_a_time_that_makes_no_sense_is_no_time(after: Any) -> None:
    assert retry_after(refusal("TooManyRequestsException", after=after)) == 0.0


def test_throttling_ends_some_time(clock: Clock) -> None:
    def send() -> Mapping[str, Any]:
        raise refusal("TooManyRequestsException")

    with pytest.raises(DeployRefused):
        run_of(throttle=30).send("changing", send)
    assert clock.now <= 30


def test_conflicts_end_some_time() -> None:
    sent = []

    def send() -> Mapping[str, Any]:
        sent.append(1)
        raise refusal("ResourceConflictException", "An update is in progress for resource: x")

    with pytest.raises(DeployConflict):
        run_of().send("changing", send, reached=lambda _: False)
    assert len(sent) == MAX_CONFLICTS + 1


@pytest.mark.parametrize("secret", ["a\nlonger secret", 'quo"ted', "ümlaut"])
def test_secrets_are_hidden_however_they_are_written(secret: str) -> None:
    text = f"{secret} {json.dumps(secret)} {secret!r} {json.dumps(secret, ensure_ascii=False)}"
    run = run_of(hidden=(secret,))
    shown = run.shown(text) + run.explained("x", refusal("ValidationException", text)).message
    assert not any(part in shown for part in (secret, json.dumps(secret)[1:-1], "longer secret"))


# What may be answered

CONFIGURATION = {
    "FunctionName": "orders", "FunctionArn": "arn", "Role": "r", "Runtime": "python3.13", "Handler": "h",
    "Version": "1", "RevisionId": "x", "State": "Active", "LastUpdateStatus": "Successful",
    "CodeSha256": "A" * 43 + "=", "VpcConfig": {"SubnetIds": ["a"]}, "Environment": {"Variables": {"A": "b"}},
    "Layers": [{"Arn": "l"}], "Architectures": ["arm64"], "MemorySize": 1, "Timeout": 1,
    "TracingConfig": {"Mode": "Active"}, "LoggingConfig": {"LogFormat": "JSON"},
    "ImageConfigResponse": {"ImageConfig": {"Command": ["c"]}}, "FileSystemConfigs": [{"Arn": "f"}],
    "EphemeralStorage": {"Size": 512}, "SnapStart": {"ApplyOn": "None"},
}  # fmt: skip
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.binary(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
hostile = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


@st.composite
def damaged(draw: st.DrawFn, whole: Mapping[str, Any]) -> dict[str, Any]:
    """An answer with members missing, and others of another type."""
    kept = {name: value for name, value in whole.items() if draw(st.integers(0, 3))}
    for name in draw(st.lists(st.sampled_from(sorted(whole)), max_size=3)):
        kept[name] = draw(JUNK)
    return kept


@hostile
@given(
    answer=st.fixed_dictionaries({"Configuration": damaged(CONFIGURATION), "Code": JUNK, "Concurrency": JUNK})
    | JUNK
)
def test_whatever_get_function_answers_is_read_or_refused(answer: Any) -> None:
    try:
        seen = observe("orders", Cloud(answer if isinstance(answer, dict) else {}), "eu-west-1")  # type: ignore[arg-type]
    except PlantonError:
        return
    assert isinstance(seen, ObservedFunction)
    assert isinstance(seen.busy, bool)
    assert all(isinstance(part, str) for part in seen.failure)


ALIAS = {
    "FunctionVersion": "1", "RevisionId": "x",
    "RoutingConfig": {"AdditionalVersionWeights": {"2": 0.5}},
}  # fmt: skip


@hostile
@given(found=damaged(ALIAS))
def test_whatever_get_alias_answers_is_read_or_refused(found: dict[str, Any]) -> None:
    try:
        alias = observe_alias("orders", "live", Cloud(found, {"Configuration": CONFIGURATION}), "eu-west-1")  # type: ignore[arg-type]
    except PlantonError:
        return
    assert alias is not None
    assert alias.version
    assert isinstance(alias.shown, str)
    assert alias.revision_id is None or isinstance(alias.revision_id, str)


@hostile
@given(answer=damaged({"MetricDataResults": [{"Id": "errors", "Values": [1.0, 2.0]}]}) | st.builds(
    lambda results: {"MetricDataResults": results},
    st.lists(st.fixed_dictionaries({"Id": st.just("errors") | JUNK, "Values": JUNK}) | JUNK, max_size=3),
))  # fmt: skip
def test_whatever_cloudwatch_answers_is_counted_or_refused(answer: dict[str, Any]) -> None:
    try:
        counts = failures_since(run_of(answer), "live", "2", datetime.now(UTC))
    except PlantonError:
        return
    assert all(isinstance(count, int) for count in counts.values())


# What is expected


def seen(**changes: Any) -> ObservedFunction:
    return replace(read_answer("orders", {"Configuration": CONFIGURATION}), **changes)


def test_a_function_that_is_another_than_lambda_answered_is_a_conflict() -> None:
    run = run_of()
    run.expect(CONFIGURATION)
    run.seen = seen()
    run.mind()
    run.seen = seen(revision_id="y", state="Pending", reserved_concurrency=4)
    run.mind()
    run.seen = seen(memory_mb=2)
    with pytest.raises(DeployConflict, match=r"orders \(memory_mb\)"):
        run.mind()
    run.seen = seen(code_hash="other")
    with pytest.raises(DeployConflict, match=r"orders \(code_sha256\)"):
        run.mind()


@pytest.mark.parametrize(
    "untold",
    [{"environment": None}, {"code_sha256": "0" * 64}, {"image_uri": "repository:tag"}, {"code_hash": ""}],
)
def test_what_an_answer_does_not_tell_is_no_conflict(untold: dict[str, Any]) -> None:
    run = run_of()
    run.expect(CONFIGURATION)
    run.seen = seen(**untold)
    run.mind()


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"MetricDataResults": []},
        {"MetricDataResults": [{"Id": "errors", "Values": []}]},
        {
            "MetricDataResults": [
                {"Id": "errors", "Values": [], "StatusCode": "InternalError"},
                {"Id": "throttles", "Values": []},
            ]
        },
    ],
)
def test_metrics_that_are_not_told_are_no_good_news(answer: dict[str, Any]) -> None:
    with pytest.raises(DeployRefused, match="CloudWatch does not tell the"):
        failures_since(run_of(answer), "live", "2", datetime.now(UTC))


def test_metrics_without_data_are_zero() -> None:
    answer = {"MetricDataResults": [{"Id": name, "Values": []} for name in ("errors", "throttles")]}
    assert failures_since(run_of(answer), "live", "2", datetime.now(UTC)) == {"Errors": 0, "Throttles": 0}
