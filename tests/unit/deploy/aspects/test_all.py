"""What holds for every aspect, through its whole life: against the emulator, over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from planton_build.deploy.aspects.all import ASPECTS, aspect_named, observe_aspects, wanted_aspects
from planton_build.deploy.aspects.aspect import UNMANAGED, Scope
from planton_build.deploy.desired import DesiredFunction
from planton_build.emulator.serve import Emulator
from planton_build.settings.model import (
    OFF,
    Alarms,
    AsyncInvocation,
    Cors,
    EventSource,
    FunctionUrl,
    Logging,
    Permission,
    RuntimeManagement,
)

ACCOUNT = "123456789012"
QUEUE = f"arn:aws:sqs:eu-west-1:{ACCOUNT}:jobs"
STREAM = f"arn:aws:kinesis:eu-west-1:{ACCOUNT}:stream/clicks"
DEAD = f"arn:aws:sqs:eu-west-1:{ACCOUNT}:dead"
TOPIC = f"arn:aws:sns:eu-west-1:{ACCOUNT}:ops"
S3 = "s3.amazonaws.com"
RUNTIME = "arn:aws:lambda:eu-west-1::runtime:" + "a" * 64


def signing(number: int) -> str:
    return f"arn:aws:lambda:eu-west-1:{ACCOUNT}:code-signing-config:csc-{str(number) * 17}"


@dataclass(frozen=True)
class Life:
    """Settings of an aspect: at first, then with every field changed, and switched off where that exists."""

    aspect: str
    first: dict[str, Any]
    second: dict[str, Any]
    off: dict[str, Any] | None = None


LIVES = [
    Life("log_group", {"log_retention": 30}, {"log_retention": OFF}),
    Life(
        "log_group",
        {"log_retention": OFF, "logging": Logging(group="/shared/render")},
        {"log_retention": 7, "logging": Logging(group="/shared/render")},
    ),
    Life("tags", {"tags": {"team": "billing", "env": "prod"}}, {"tags": {"team": "ads", "cost": "7"}}),
    Life(
        "code_signing",
        {"code_signing": signing(1)},
        {"code_signing": signing(2)},
        {"code_signing": OFF},
    ),
    Life("recursion", {"recursion": "Allow"}, {"recursion": "Terminate"}),
    Life(
        "runtime_management",
        {"runtime_management": RuntimeManagement("FunctionUpdate")},
        {"runtime_management": RuntimeManagement("Manual", RUNTIME)},
    ),
    Life(
        "provisioned_concurrency",
        {"provisioned_concurrency": 2},
        {"provisioned_concurrency": 5},
        {"provisioned_concurrency": OFF},
    ),
    Life(
        "asynchronous",
        {"asynchronous": AsyncInvocation()},
        {"asynchronous": AsyncInvocation(0, 60, on_success=TOPIC, on_failure=DEAD)},
        {"asynchronous": OFF},
    ),
    Life(
        "url",
        {"url": FunctionUrl("NONE", "BUFFERED", Cors(("https://b.example", "https://a.example"), ("GET",)))},
        {
            "url": FunctionUrl(
                "AWS_IAM",
                "RESPONSE_STREAM",
                Cors(("*",), ("POST", "PUT"), ("X-One", "a-two"), ("X-Three",), True, 60),
            )
        },
        {"url": OFF},
    ),
    Life(
        "url",
        {"url": FunctionUrl("AWS_IAM", cors=Cors(("*",)))},
        {"url": FunctionUrl("NONE", cors=Cors())},
    ),
    Life(
        "permissions",
        {
            "permissions": (
                Permission("uploads", S3, source_arn="arn:aws:s3:::b", source_account=ACCOUNT),
                Permission("partner", "210987654321"),
            )
        },
        {
            "permissions": (
                Permission("uploads", S3, source_arn="arn:aws:s3:::c", source_account=ACCOUNT),
                Permission("everyone", "*", organization="o-0123456789"),
                Permission("caller", "210987654321", action="lambda:InvokeFunctionUrl"),
            )
        },
        {"permissions": ()},
    ),
    Life(
        "event_sources",
        {"event_sources": (EventSource(QUEUE), EventSource(STREAM, starting_position="LATEST", retries=0))},
        {
            "event_sources": (
                EventSource(
                    QUEUE,
                    enabled=False,
                    batch_size=50,
                    batching_window=5,
                    max_concurrency=4,
                    report_batch_item_failures=True,
                    filters=('{"body": {"kind": ["b", "a"]}}',),
                ),
                EventSource(
                    STREAM,
                    starting_position="LATEST",
                    batch_size=7,
                    batching_window=1,
                    parallelization=2,
                    retries=3,
                    max_record_age=60,
                    bisect_on_error=True,
                    tumbling_window=9,
                    on_failure=DEAD,
                ),
            )
        },
        {"event_sources": ()},
    ),
    Life(
        "alarms",
        {"alarms": Alarms()},
        {
            "alarms": Alarms(
                errors=5, throttles=None, dead_letters=3, duration=900, period=300, periods=2,
                actions=(TOPIC,), ok_actions=(TOPIC, DEAD),
            )
        },
        {"alarms": OFF},
    ),
]  # fmt: skip


@pytest.fixture
def world(emulator: Emulator) -> Emulator:
    """The emulator with what the settings above name; other services say nothing of it."""
    emulator.behaviour.strict_world = False
    for number in (1, 2):
        arn = signing(number)
        emulator.region().code_signing_configs[arn] = {"CodeSigningConfigArn": arn}
    return emulator


@pytest.mark.parametrize("times", [1, 2], ids=["once", "answers lost"])
@pytest.mark.parametrize("reads", [0, 3], ids=["at once", "taking time"])
@pytest.mark.parametrize("life", LIVES, ids=lambda life: life.aspect)
def test_an_aspect_is_made_changed_undone_and_removed(
    life: Life,
    times: int,
    reads: int,
    world: Emulator,
    scope: Scope,
    desired: Callable[..., DesiredFunction],
    go: Callable[..., None],
) -> None:
    behaviour = world.behaviour
    behaviour.reads = behaviour.deletion_reads = behaviour.provisioning_reads = reads
    aspect = aspect_named(life.aspect)
    first, second = aspect.wanted(desired(**life.first)), aspect.wanted(desired(**life.second))
    assert first not in (None, UNMANAGED) and second not in (None, UNMANAGED) and first != second

    nothing = aspect.observe(scope, first)
    assert aspect.changes(nothing, first)
    go(life.aspect, scope, nothing, first, times=times)
    assert aspect.observe(scope, first) == first
    assert not aspect.changes(first, first) and not aspect.calls(scope, first, first)

    made = aspect.observe(scope, second)
    assert made != second and aspect.changes(made, second)
    go(life.aspect, scope, made, second, times=times)
    assert aspect.observe(scope, second) == second

    go(life.aspect, scope, second, made, times=times)
    assert aspect.observe(scope, second) == made

    go(life.aspect, scope, made, second, times=times)
    if life.off is not None:
        before = aspect.observe(scope, None)
        assert aspect.wanted(desired(**life.off)) is None and aspect.changes(before, None)
        go(life.aspect, scope, before, None, times=times)
        assert aspect.observe(scope, None) is None
        go(life.aspect, scope, None, before, times=times)
        assert aspect.observe(scope, None) == before


@pytest.mark.parametrize("life", LIVES, ids=lambda life: life.aspect)
def test_what_was_made_is_gone_when_its_making_is_undone(
    life: Life,
    world: Emulator,
    scope: Scope,
    desired: Callable[..., DesiredFunction],
    go: Callable[..., None],
) -> None:
    aspect = aspect_named(life.aspect)
    wanted = aspect.wanted(desired(**life.second))
    before = aspect.observe(scope, wanted)
    go(life.aspect, scope, before, wanted)
    go(life.aspect, scope, wanted, before, times=2)
    assert aspect.observe(scope, wanted) == before


@pytest.mark.parametrize("life", LIVES, ids=lambda life: life.aspect)
def test_a_function_that_is_not_there_has_no_aspects(
    life: Life, world: Emulator, scope: Scope, desired: Callable[..., DesiredFunction]
) -> None:
    elsewhere = replace(scope, name="gone", arn=scope.arn.replace("render", "gone"))
    aspect = aspect_named(life.aspect)
    wanted = aspect.wanted(replace(desired(**life.first), name="gone"))
    assert aspect.observe(elsewhere, wanted) is None


def test_what_is_not_configured_is_not_even_read(
    world: Emulator, scope: Scope, desired: Callable[..., DesiredFunction]
) -> None:
    world.calls.clear()
    assert wanted_aspects(desired()) == {}
    assert observe_aspects(scope, desired()) == {}
    assert list(world.calls) == []


def test_all_that_is_configured_is_read_and_the_policy_only_once(
    world: Emulator, scope: Scope, desired: Callable[..., DesiredFunction], go: Callable[..., None]
) -> None:
    everything = desired(**{key: value for life in LIVES for key, value in life.first.items()})
    wanted = wanted_aspects(everything)
    assert set(wanted) == {aspect.name for aspect in ASPECTS}
    for aspect in ASPECTS:
        go(aspect.name, scope, aspect.observe(scope, wanted[aspect.name]), wanted[aspect.name])
    world.calls.clear()
    assert observe_aspects(scope, everything) == wanted
    assert [call.operation for call in world.calls].count("GetPolicy") == 1
    assert not [call for call in world.calls if call.changing]


def test_aspects_are_in_the_order_of_their_phases() -> None:
    phases = [aspect.phase for aspect in ASPECTS]
    assert phases == sorted(phases)
    assert len({aspect.name for aspect in ASPECTS}) == len(ASPECTS)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK tries again at once."""
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("connection", [False, True], ids=["500", "closed"])
@pytest.mark.parametrize("life", LIVES, ids=lambda life: life.aspect)
def test_an_answer_that_is_lost_changes_nothing_about_the_outcome(
    life: Life,
    connection: bool,
    world: Emulator,
    scope: Scope,
    desired: Callable[..., DesiredFunction],
    go: Callable[..., None],
) -> None:
    """The SDK sends the call again by itself, while what the first one began is still under way."""
    aspect = aspect_named(life.aspect)
    behaviour = world.behaviour
    behaviour.reads = behaviour.deletion_reads = 1
    states = [
        aspect.wanted(desired(**settings)) for settings in (life.first, life.second, life.off) if settings
    ]
    for wanted in [*states, states[0]]:
        before = aspect.observe(scope, wanted)
        faults = [world.faults.lose("changing", nth=nth, connection=connection) for nth in range(1, 20, 2)]
        go(life.aspect, scope, before, wanted)
        assert faults[0].seen
        world.faults.clear()
        assert aspect.observe(scope, wanted) == wanted
