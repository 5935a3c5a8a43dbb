"""From `$LATEST` to the traffic: publish a version, try it out, and let the alias name it."""

from __future__ import annotations

import contextlib
import json
import math
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from planton_build.deploy.aspects.reading import mappings
from planton_build.deploy.desired import DesiredFunction
from planton_build.deploy.failures import failed, timed_out
from planton_build.deploy.invocation import invoke_deployed
from planton_build.deploy.observed import ObservedFunction, observe
from planton_build.deploy.refusals import Refusal
from planton_build.deploy.run import Run
from planton_build.deploy.traffic import LATEST, ObservedAlias, before_mark, read_alias, weights_of
from planton_build.errors import (
    DeployConflict,
    DeployRefused,
    FunctionFailed,
    PlantonError,
    RolloutFailed,
    SmokeTestFailed,
)
from planton_build.events import Note
from planton_build.publish.aws_errors import explained

_NOT_TOLD = ("Forbidden", "InternalError")
"""What CloudWatch says of a metric that it has not read (API reference, `MetricDataResult.StatusCode`)."""
_LOG_LINES = 12
_PAYLOAD = 500
"""How many characters of an answer are told."""
_METRICS = ("Errors", "Throttles")
_LOOK_SECONDS = 10.0
"""Between two looks at the metrics of a step. CloudWatch has them a minute or so after the fact."""


def publish(run: Run, desired: DesiredFunction) -> ObservedFunction:
    """Make `$LATEST` a version, unless the newest is the same, and wait until it can be invoked.

    Lambda is told which code is to be published (`CodeSha256`), so nothing that came between is. Raises what
    `Run.send` raises, FunctionFailed and DeployTimeout.
    """
    client = run.client

    def send() -> Mapping[str, Any]:
        request: dict[str, Any] = {"FunctionName": run.name, **run.guard}
        if run.seen is not None and run.seen.code_hash:
            request["CodeSha256"] = run.seen.code_hash
        if desired.record:
            request["Description"] = desired.record
        return client.publish_version(**request)

    answer = run.send("publishing", send, reached=lambda _: run.arrived() and False)
    version = str((answer or {}).get("Version") or "")
    if not version.isdecimal():
        raise DeployRefused(
            f"Lambda published {run.name}, and does not say which version that is",
            hint="AWS_ENDPOINT_URL may name something that is not Lambda",
        )
    try:
        return settled(run, version)
    except FunctionFailed:
        _discard(run, version)
        raise


def _discard(run: Run, version: str) -> None:
    """Delete a version that failed: while it is there, Lambda publishes no other of the same code.

    That it cannot be deleted matters less than why it failed, which is what is told.
    """
    client = run.client
    with contextlib.suppress(PlantonError):
        run.send(
            "deleting a failed version of",
            lambda: client.delete_function(FunctionName=run.name, Qualifier=version) or {},
            done_codes={"ResourceNotFoundException"},
        )


def settled(run: Run, version: str) -> ObservedFunction:
    """Wait until a version is no longer being made, which takes minutes with SnapStart, and return it.

    Raises FunctionFailed, DeployTimeout, and DeployConflict when it is gone.
    """
    started, pause = time.monotonic(), run.patience.poll / 8
    while True:
        seen = observe(run.name, run.aws, run.region, qualifier=version)
        waited = time.monotonic() - started
        if seen is not None and seen.state != "Pending":
            if seen.state == "Failed":
                raise failed(seen)
            return seen
        if seen is None and waited > run.patience.appear:
            raise DeployConflict(
                f"version {version} of {run.name} is gone", hint="somebody deleted it; deploy again"
            )
        if waited > run.patience.settle:
            raise timed_out(f"{run.name}:{version}", seen, waited)
        pause = min(run.patience.poll, pause * 2)
        time.sleep(pause)


def smoke_test(run: Run, version: str, event: bytes) -> None:
    """Invoke a version, and take an answer without an error as good.

    Raises SmokeTestFailed with the end of the log, or what `invoke_deployed` raises.
    """
    # The answer is read from the connection, which may break then.
    with explained(f"invoking {run.name}", otherwise=DeployRefused):
        answer = invoke_deployed(run.name, event, run.aws, run.region, qualifier=version)
    if answer.error is None:
        return
    if run.aws.settings.isolated and (reason := _not_runnable(answer.payload)):
        run.listener(
            Note(run.name, f"the smoke test cannot run here, so it was left out: {reason}", "warning")
        )
        return
    # What a function logs and answers may well hold its environment.
    lines = [run.shown(line) for line in answer.log.splitlines()[-_LOG_LINES:]]
    log = "\n  ".join(["", *lines]) if lines else ""
    said = run.shown(answer.payload.decode("utf-8", "replace"))[:_PAYLOAD]
    raise SmokeTestFailed(
        f"version {version} of {run.name} does not pass its smoke test ({answer.error}): {said}{log}",
        hint=f"no traffic goes to it; `planton-deploy invoke {run.name} --qualifier {version}` runs it again",
    )


def _not_runnable(payload: bytes) -> str:
    """Return why the local AWS cannot run a function on this machine; "" for any other answer."""
    try:
        answer = json.loads(payload)
    except ValueError:
        return ""
    if not isinstance(answer, dict) or answer.get("errorType") != "Planton.NotRunnable":
        return ""
    return str(answer.get("errorMessage") or "it does not say why")


def move_alias(
    run: Run, desired: DesiredFunction, alias: str, version: str, before: ObservedAlias | None
) -> None:
    """Let an alias name a version: at once, or for growing shares of the traffic with a look at each.

    Raises RolloutFailed when the version fails too often, DeployConflict when somebody else moved the alias.
    """
    mover = AliasMover(run, alias, before)
    if before is None:
        mover.create(version)
        return
    if (before.version, before.weights) == (version, {}):
        return  # `$LATEST` alone had been changed, and is again what this version was made of
    rollout = desired.settings.rollout
    if before.version not in (version, LATEST):  # Lambda splits no traffic with `$LATEST`
        for share in rollout.steps:
            mover.point(before.version, {version: share / 100})
            run.listener(Note(run.name, f"{share} % of {alias} goes to version {version}"))
            _watch(run, alias, version, share, rollout.step_seconds, rollout.max_errors)
    mover.point(version, {}, before_mark(before, version) if before.version != version else None)
    if isinstance(desired.settings.provisioned_concurrency, int):
        _provisioned(run, alias)


def _provisioned(run: Run, alias: str) -> None:
    """Wait until a provisioned alias serves the new version alone.

    Lambda itself keeps traffic on the former version, by weights, until the new one is provisioned.
    """
    started, pause = time.monotonic(), run.patience.poll / 8
    while (found := read_alias(run.name, alias, run.aws, run.region)) is not None and weights_of(found):
        if time.monotonic() - started > run.patience.settle:
            text = f"Lambda still moves the traffic of {alias} to provisioned environments"
            run.listener(Note(run.name, text, "warning"))
            return
        pause = min(run.patience.poll, pause * 2)
        time.sleep(pause)


class AliasMover:
    """Moves one alias, and minds that nobody else does meanwhile."""

    def __init__(self, run: Run, alias: str, before: ObservedAlias | None) -> None:
        self._run = run
        self._alias = alias
        self._revision = before.revision_id if before else None
        self._now = (before.version, dict(before.weights)) if before else None

    def create(self, version: str) -> None:
        """Create the alias for a version."""
        client, name = self._run.client, self._run.name
        self._send(
            "creating an alias of",
            lambda: client.create_alias(FunctionName=name, Name=self._alias, FunctionVersion=version),
            (version, {}),
        )

    def point(self, version: str, weights: dict[str, float], description: str | None = None) -> None:
        """Let the alias name a version, give shares of its traffic to others, and be described anew."""
        client = self._run.client

        def send() -> Mapping[str, Any]:
            guard: dict[str, Any] = {"RevisionId": self._revision} if self._revision else {}
            if description is not None:
                guard["Description"] = description
            return client.update_alias(
                FunctionName=self._run.name,
                Name=self._alias,
                FunctionVersion=version,
                RoutingConfig={"AdditionalVersionWeights": weights},
                **guard,
            )

        self._send("moving the alias of", send, (version, weights))

    def delete(self) -> None:
        """Delete the alias."""
        client = self._run.client
        self._run.send(
            "deleting an alias of",
            lambda: client.delete_alias(FunctionName=self._run.name, Name=self._alias) or {},
            done_codes={"ResourceNotFoundException"},
        )

    def _send(self, doing: str, send: Any, wanted: tuple[str, dict[str, float]]) -> None:
        def reached(refusal: Refusal) -> bool:
            found = self._read()
            if found == wanted or (found is not None and self._arriving(found, wanted)):
                return True
            if found != self._now and refusal is not Refusal.BUSY:
                raise DeployConflict(
                    f"somebody else moved the alias {self._alias} of {self._run.name} meanwhile",
                    hint="deploy again; the plan is made anew",
                )
            return False

        answer = self._run.send(doing, send, reached=reached)
        self._now = wanted
        if answer is not None:
            self._revision = _revision(answer)

    def _arriving(self, found: tuple[str, dict[str, float]], wanted: tuple[str, dict[str, float]]) -> bool:
        """Tell whether Lambda is moving a provisioned alias: it keeps the former version by weights."""
        former = self._now[0] if self._now else ""
        return found[0] == wanted[0] and not wanted[1] and set(found[1]) == {former}

    def _read(self) -> tuple[str, dict[str, float]] | None:
        found = read_alias(self._run.name, self._alias, self._run.aws, self._run.region)
        if found is None:
            self._revision = None
            return None
        self._revision = _revision(found)
        return str(found.get("FunctionVersion")), weights_of(found)


def _revision(answer: Mapping[str, Any]) -> str | None:
    revision = answer.get("RevisionId")
    return revision if isinstance(revision, str) and revision else None


def _watch(run: Run, alias: str, version: str, share: int, seconds: int, allowed: int) -> None:
    """Look at a version's errors and throttles while it has a share of the traffic."""
    started, since = time.monotonic(), datetime.now(UTC)
    look = min(_LOOK_SECONDS, seconds / 2, run.patience.poll * _LOOK_SECONDS)
    while True:
        left = seconds - (time.monotonic() - started)
        time.sleep(max(0.0, min(look, left)))
        counts = failures_since(run, alias, version, since)
        if sum(counts.values()) > allowed:
            told = ", ".join(f"{name} {count}" for name, count in counts.items() if count)
            raise RolloutFailed(
                f"version {version} of {run.name} failed with {share} % of the traffic of {alias}: {told}",
                hint="look into its log; `max-errors` of [deploy.rollout] says how many are borne",
            )
        if left <= 0:
            return


def failures_since(run: Run, alias: str, version: str, since: datetime) -> dict[str, int]:
    """Return how many Errors and Throttles an alias's invocations of a version had.

    Metrics of an alias that names two versions have the dimension ExecutedVersion (Lambda Developer Guide,
    "Types of metrics for Lambda functions").
    """
    client = run.aws.client("cloudwatch", run.region)
    dimensions = [
        {"Name": "FunctionName", "Value": run.name},
        {"Name": "Resource", "Value": f"{run.name}:{alias}"},
        {"Name": "ExecutedVersion", "Value": version},
    ]
    queries = [
        {
            "Id": name.lower(),
            "MetricStat": {
                "Metric": {"Namespace": "AWS/Lambda", "MetricName": name, "Dimensions": dimensions},
                "Period": 60,
                "Stat": "Sum",
            },
        }
        for name in _METRICS
    ]
    # Whole minutes, because that is how CloudWatch sums; the first one began before the step did.
    start = since.replace(second=0, microsecond=0)
    end = datetime.now(UTC) + timedelta(minutes=1)
    with explained(f"reading the metrics of {run.name}", otherwise=DeployRefused, resource=run.name):
        answer = client.get_metric_data(MetricDataQueries=queries, StartTime=start, EndTime=end)
    return {name: _sum(run, answer, name) for name in _METRICS}


def _sum(run: Run, answer: Mapping[str, Any], name: str) -> int:
    """Add up a metric. Without any data CloudWatch answers an empty list; no list at all is no good news."""
    found = [one for one in mappings(answer, "MetricDataResults") if one.get("Id") == name.lower()]
    lists = [one.get("Values") for one in found if one.get("StatusCode") not in _NOT_TOLD]
    if not lists or not all(isinstance(values, list) for values in lists):
        raise DeployRefused(f"CloudWatch does not tell the {name} of {run.name}", hint="deploy again later")
    numbers = [value for values in lists for value in values or () if isinstance(value, int | float)]
    return round(sum(value for value in numbers if math.isfinite(value)))
