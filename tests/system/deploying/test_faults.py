"""A fault at every single call of a create, an update and a rollback.

Whatever fails, wherever: the alias serves the old version or the new one, whole, or on creation nothing yet;
and running the same command again ends where it should have ended.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from planton_build.deploy.rollback import rollback
from planton_build.emulator.serve import Emulator
from planton_build.errors import PlantonError
from planton_build.publish.aws import Aws

SETTINGS = """
[deploy]
alias = "live"
log-retention = 30
provisioned-concurrency = {provisioned}
tracing = "{tracing}"
tags = {{ team = "{team}" }}

[deploy.rollout]
smoke-event = {{ ping = true }}

[deploy.url]
auth = "NONE"

[deploy.async]
retries = {retries}

[[deploy.permissions]]
id = "bucket"
principal = "s3.amazonaws.com"
source-arn = "arn:aws:s3:::uploads-{team}"

[[deploy.event-sources]]
source = "arn:aws:sqs:eu-west-1:123456789012:jobs"
batch-size = {batch}

[deploy.alarms]
errors = {errors}
"""
OLD = {"provisioned": 1, "tracing": "PassThrough", "team": "a", "retries": 2, "batch": 5, "errors": 1}
NEW = {"provisioned": 2, "tracing": "Active", "team": "b", "retries": 0, "batch": 9, "errors": 3}


class Killed(BaseException):
    """The process ends here: nothing that runs afterwards may count."""


@dataclass
class Killer:
    """Kills at the n-th call, before it is sent or after it was answered."""

    nth: int
    after: bool
    seen: int = 0

    def __call__(self, **_: Any) -> None:
        self.seen += 1
        if self.seen == self.nth:
            raise Killed


@contextmanager
def killing(aws: Aws, nth: int, *, after: bool) -> Iterator[None]:
    clients = [aws.lambda_(), aws.invoker(), aws.s3(), aws.client("logs"), aws.client("cloudwatch")]
    killer, event = Killer(nth, after), "after-call" if after else "before-call"
    for client in clients:
        client.meta.events.register_last(event, killer)
    try:
        yield
    finally:
        for client in clients:
            client.meta.events.unregister(event, killer)


@contextmanager
def refused(emulator: Emulator, nth: int) -> Iterator[None]:
    emulator.faults.error("*", "AccessDeniedException", 403, "not authorized", nth=nth)
    yield


@contextmanager
def unreachable(emulator: Emulator, nth: int) -> Iterator[None]:
    emulator.faults.drop("*", nth=nth, times=3)
    yield


@contextmanager
def lost(emulator: Emulator, nth: int) -> Iterator[None]:
    emulator.faults.lose("*", nth=nth, connection=True)
    yield


@contextmanager
def lost_for_good(emulator: Emulator, nth: int) -> Iterator[None]:
    emulator.faults.lose("*", nth=nth, times=3, connection=True)
    yield


FAULTS = {"refused": refused, "unreachable": unreachable, "answer lost": lost, "answers lost": lost_for_good}
KINDS = [*FAULTS, "killed before", "killed after"]


class Deploying:
    """A scenario: what is there before, what is done, and what may serve meanwhile."""

    may_serve_nothing = False

    def __init__(self, account: Any) -> None:
        self.account = account
        self.prepare()
        self.old = self.served()

    def prepare(self) -> None: ...

    def act(self) -> Callable[[], object]:
        """Return the act, with whatever is read before it read already."""
        plans = self.account.plan()
        return lambda: self.account.apply(plans)

    def write(self, text: str, memory: int, values: dict[str, Any]) -> None:
        self.account.write(
            key=self.account.upload(text),
            memoryMb=str(memory),
            environment=f"{{MODE: '{text}'}}",
            reservedConcurrency=str(values["provisioned"] + 5),
            settings=SETTINGS.format(**values),
        )

    def served(self) -> Any:
        """What the alias serves, in everything that makes a version; None when there is no alias."""
        client = self.account.aws.lambda_()
        try:
            alias = client.get_alias(FunctionName="orders", Name="live")
        except client.exceptions.ResourceNotFoundException:
            return None
        assert not alias.get("RoutingConfig", {}).get("AdditionalVersionWeights")
        found = self.account.configuration(qualifier="live")
        return (found["CodeSha256"], found["MemorySize"], found["Environment"]["Variables"]["MODE"],
                found["TracingConfig"]["Mode"])  # fmt: skip

    def ended(self) -> None:
        self.account.converged()


class Creating(Deploying):
    may_serve_nothing = True

    def prepare(self) -> None:
        self.write("new", 256, NEW)


class Updating(Deploying):
    def prepare(self) -> None:
        self.write("old", 128, OLD)
        self.account.apply()
        self.write("new", 256, NEW)


class RollingBack(Deploying):
    def prepare(self) -> None:
        self.write("old", 128, OLD)
        self.account.apply()
        self.write("new", 256, NEW)
        self.account.apply()

    def act(self) -> Callable[[], object]:
        account = self.account
        return lambda: rollback(
            "orders", "live", account.aws, "eu-west-1", to="1", smoke_event=b"{}", patience=account.patience
        )

    def ended(self) -> None:
        alias = self.account.aws.lambda_().get_alias(FunctionName="orders", Name="live")
        assert alias["FunctionVersion"] == "1"


SCENARIOS = {"create": Creating, "update": Updating, "rollback": RollingBack}


def points(scenario: Deploying) -> int:
    """Do it without a fault, and return how many calls that took."""
    act = scenario.act()
    scenario.account.emulator.calls.clear()
    act()
    count = len(scenario.account.emulator.calls)
    scenario.ended()
    return count


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_fault_at_any_call_leaves_the_old_or_the_new_version_serving_and_a_rerun_ends_it(
    fresh: Callable[[Path], Any],
    tmp_path: Path,
    name: str,
    kind: str,
    record_property: Callable[[str, object], None],
) -> None:
    count = points(SCENARIOS[name](fresh(tmp_path / "functions")))
    wrong = []
    for nth in range(1, count + 1):
        scenario = SCENARIOS[name](fresh(tmp_path / "functions"))
        if fault := failing(scenario, kind, nth):
            wrong.append(f"call {nth}: {fault}")
    record_property("points", count)
    assert count >= (4 if name == "rollback" else 20)
    assert wrong == []


def failing(scenario: Deploying, kind: str, nth: int) -> str:
    """Do it with a fault, and return what is wrong then."""
    account = scenario.account
    act = scenario.act()
    account.emulator.calls.clear()
    at = (
        FAULTS[kind](account.emulator, nth)
        if kind in FAULTS
        else killing(account.aws, nth, after=kind == "killed after")
    )
    told = ""
    try:
        with at:
            act()
    except PlantonError as error:
        told = error.message
    except Killed:
        told = "killed"
    account.emulator.faults.clear()
    meanwhile = scenario.served()
    scenario.act()()
    new = scenario.served()
    allowed = [scenario.old, new] if scenario.old or scenario.may_serve_nothing else [new]
    calls = account.emulator.calls.names()
    if meanwhile not in allowed:
        return f"serves {meanwhile} after {told!r} ({calls[nth - 1]})"
    try:
        scenario.ended()
    except AssertionError as error:
        return f"a rerun does not end it after {told!r} ({calls[nth - 1]}): {error}"
    return ""
