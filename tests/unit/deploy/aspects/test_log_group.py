from __future__ import annotations

from collections.abc import Callable

from planton_build.deploy.aspects.aspect import Scope
from planton_build.deploy.aspects.log_group import LogGroup, LogGroupAspect
from planton_build.deploy.change import Change
from planton_build.emulator.serve import Emulator

ASPECT = LogGroupAspect()
GROUP = LogGroup("/aws/lambda/render", 14)


def test_a_group_that_holds_logs_outlives_the_undoing_of_its_creation(
    emulator: Emulator, scope: Scope, go: Callable[..., None]
) -> None:
    go("log_group", scope, None, GROUP)
    scope.aws.client("logs").create_log_stream(logGroupName=GROUP.name, logStreamName="one")
    go("log_group", scope, GROUP, None)
    assert ASPECT.observe(scope, GROUP) == GROUP


def test_an_empty_group_goes_when_its_creation_is_undone(
    emulator: Emulator, scope: Scope, go: Callable[..., None]
) -> None:
    go("log_group", scope, None, GROUP)
    go("log_group", scope, GROUP, None)
    assert ASPECT.observe(scope, GROUP) is None


def test_the_group_of_a_function_with_a_longer_name_is_another(emulator: Emulator, scope: Scope) -> None:
    logs = scope.aws.client("logs")
    for number in range(60):  # more than a page
        logs.create_log_group(logGroupName=f"{GROUP.name}-{number:02}")
    assert ASPECT.observe(scope, GROUP) is None
    assert [call.operation for call in emulator.calls].count("DescribeLogGroups") == 2
    logs.create_log_group(logGroupName=GROUP.name)
    assert ASPECT.observe(scope, GROUP) == LogGroup(GROUP.name, None)


def test_the_group_is_read_and_made_before_the_function_exists(
    emulator: Emulator, scope: Scope, go: Callable[..., None]
) -> None:
    emulator.region().functions.clear()
    go("log_group", scope, ASPECT.observe(scope, GROUP), GROUP)
    assert ASPECT.observe(scope, GROUP) == GROUP


def test_a_change_of_the_retention_alone() -> None:
    changes = ASPECT.changes(LogGroup(GROUP.name, None), GROUP)
    assert changes == [Change("log_retention", "for ever", "14 days")]
