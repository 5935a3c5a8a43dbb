"""From a published version to the traffic: smoke tests, shares, going back, two at once."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import Any

import pytest

from planton_build.deploy.rollback import rollback
from planton_build.errors import (
    DeployConflict,
    DeployRefused,
    FunctionFailed,
    NotDeployable,
    PlantonError,
    RolloutFailed,
    SmokeTestFailed,
    VersionUnknown,
)
from planton_build.events import Note

LIVE = '[deploy]\nalias = "live"\n'
SMOKE = LIVE + '[deploy.rollout]\nsmoke-event = { ping = "pong" }\n'
SHARES = LIVE + "[deploy.rollout]\nsteps = [10, 50]\nstep-seconds = 1\n"


@pytest.fixture(autouse=True)
def quick_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step lasts as long as its looks: the clock of rollouts jumps instead of waiting."""
    from planton_build.deploy import rollout

    class Clock:
        def __init__(self) -> None:
            self.now = 0.0

        def monotonic(self) -> float:
            return self.now

        def sleep(self, seconds: float) -> None:
            self.now += seconds

    monkeypatch.setattr(rollout, "time", Clock())


def alias(account: Any) -> tuple[str, dict[str, float]]:
    found = account.aws.lambda_().get_alias(FunctionName="orders", Name="live")
    return found["FunctionVersion"], found.get("RoutingConfig", {}).get("AdditionalVersionWeights", {})


def deployed(account: Any, settings: str = LIVE) -> None:
    account.write(key=account.upload("one"), settings=settings)
    account.apply()
    account.write(key=account.upload("two"), memoryMb="512", settings=settings)


def test_a_new_version_is_invoked_with_the_event_before_the_alias_moves(account: Any) -> None:
    deployed(account, SMOKE)
    seen = []
    account.emulator.scripted.always("orders", lambda *_: (seen.append(alias(account)), (b"{}", "", None))[1])
    account.apply()
    assert seen == [("1", {})]
    assert account.emulator.scripted.invoked[-1] == ("orders", "2", b'{"ping":"pong"}')
    assert alias(account) == ("2", {})


def test_a_version_that_fails_its_smoke_test_gets_no_traffic_and_latest_is_as_before(account: Any) -> None:
    deployed(account, SMOKE)
    before = account.configuration()
    account.emulator.scripted.answer(
        "orders", b'{"errorMessage": "no db"}', log="KeyError: DB", error="Unhandled"
    )
    with pytest.raises(SmokeTestFailed) as raised:
        account.apply()
    assert "no db" in raised.value.message
    assert "KeyError: DB" in raised.value.message
    assert "undone: code, configure" in raised.value.message
    assert "the alias live serves version 1, as before" in raised.value.message
    assert alias(account) == ("1", {})
    after = account.configuration()
    assert (after["CodeSha256"], after["MemorySize"]) == (before["CodeSha256"], before["MemorySize"])


def test_after_a_failed_smoke_test_a_rerun_publishes_nothing_twice(account: Any) -> None:
    deployed(account, SMOKE)
    account.emulator.scripted.answer("orders", b"{}", error="Unhandled")
    with pytest.raises(SmokeTestFailed):
        account.apply()
    account.apply()
    assert alias(account) == ("2", {})
    account.converged()


def test_traffic_moves_in_shares_with_a_look_at_each(account: Any) -> None:
    deployed(account, SHARES)
    account.emulator.calls.clear()
    account.apply()
    moves = [call.request for call in account.emulator.calls.named("UpdateAlias")]
    told = [(one["FunctionVersion"], one["RoutingConfig"]["AdditionalVersionWeights"]) for one in moves]
    assert told == [("1", {"2": 0.1}), ("1", {"2": 0.5}), ("2", {})]
    assert account.emulator.calls.named("GetMetricData")
    notes = [event.message for event in account.events if isinstance(event, Note)]
    assert "10 % of live goes to version 2" in notes
    account.converged()


def test_errors_during_a_share_move_all_traffic_back(account: Any) -> None:
    deployed(account, SHARES)
    dimensions = [
        {"Name": "FunctionName", "Value": "orders"},
        {"Name": "Resource", "Value": "orders:live"},
        {"Name": "ExecutedVersion", "Value": "2"},
    ]

    def fail() -> None:
        account.aws.client("cloudwatch").put_metric_data(
            Namespace="AWS/Lambda",
            MetricData=[
                {
                    "MetricName": "Errors",
                    "Dimensions": dimensions,
                    "Value": 2,
                    "Timestamp": datetime.now(UTC),
                }
            ],
        )

    account.emulator.faults.after("UpdateAlias", fail, nth=2)
    with pytest.raises(RolloutFailed, match="with 50 % of the traffic of live: Errors 2") as raised:
        account.apply()
    assert "undone: traffic, code, configure" in raised.value.message
    assert alias(account) == ("1", {})


def test_an_interrupted_rollout_is_taken_up_again(account: Any) -> None:
    deployed(account, SHARES)
    account.emulator.faults.error("UpdateAlias", "AccessDeniedException", 403, "no", nth=2, times=9)
    with pytest.raises(PlantonError, match="not undone: traffic"):
        account.apply()
    account.emulator.faults.clear()
    assert alias(account) == ("1", {"2": 0.1})
    [planned] = account.plan()
    assert [(one.before, one.after) for one in planned.plan.changes if one.field == "alias.live"] == [
        ("version 1, 10 % to 2", "a new version")
    ]
    account.apply([planned])
    assert alias(account) == ("2", {})
    account.converged()


def test_without_traffic_a_version_is_published_and_tried_and_the_alias_stays(account: Any) -> None:
    deployed(account, SMOKE)
    [done] = account.apply(moving=False)
    assert (done.version, done.moved) == ("2", False)
    assert alias(account) == ("1", {})
    [planned] = account.plan()
    assert [change.field for change in planned.plan.changes] == ["alias.live"]
    [moved] = account.apply([planned])
    assert (moved.version, moved.moved) == ("2", True)
    assert alias(account) == ("2", {})


@pytest.mark.parametrize("to", [None, "1", "digest"])
def test_rolling_back_moves_the_alias_to_the_version_that_is_meant(account: Any, to: str | None) -> None:
    deployed(account, SMOKE)
    account.apply()
    digest = account.aws.lambda_().get_function(FunctionName="orders", Qualifier="1")
    wanted = "sha256:" + _hex(digest["Configuration"]["CodeSha256"])[:12] if to == "digest" else to
    done = rollback(
        "orders", "live", account.aws, "eu-west-1", to=wanted, smoke_event=b"{}", patience=account.patience
    )
    assert (done.before, done.after.number, done.changed) == ("2", "1", True)
    assert alias(account) == ("1", {})
    assert account.configuration(qualifier="live")["MemorySize"] == 128
    again = rollback("orders", "live", account.aws, "eu-west-1", to="1", patience=account.patience)
    assert (again.changed, again.calls) == (False, 0)


def _hex(encoded: str) -> str:
    import base64

    return base64.b64decode(encoded).hex()


def test_after_a_rollback_the_plan_tells_that_the_alias_serves_something_else(account: Any) -> None:
    deployed(account)
    account.apply()
    rollback("orders", "live", account.aws, "eu-west-1", patience=account.patience)
    [planned] = account.plan()
    assert [change.field for change in planned.plan.changes] == ["alias.live"]
    assert "rolled back" in planned.plan.notes[0]


def test_a_rollback_that_cannot_be_is_refused(account: Any) -> None:
    account.write(key=account.upload("one"), settings=LIVE)
    with pytest.raises(NotDeployable, match="has no alias"):
        rollback("orders", None, account.aws, "eu-west-1")
    with pytest.raises(VersionUnknown, match="no alias live in AWS"):
        rollback("orders", "live", account.aws, "eu-west-1")
    account.apply()
    with pytest.raises(VersionUnknown, match="no version came before 1"):
        rollback("orders", "live", account.aws, "eu-west-1")
    with pytest.raises(VersionUnknown, match="no published version is 9"):
        rollback("orders", "live", account.aws, "eu-west-1", to="9")


def test_a_rollback_whose_version_fails_the_smoke_test_moves_nothing(account: Any) -> None:
    deployed(account)
    account.apply()
    account.emulator.scripted.answer("orders", b"{}", error="Unhandled")
    with pytest.raises(SmokeTestFailed):
        rollback("orders", "live", account.aws, "eu-west-1", smoke_event=b"{}")
    assert alias(account) == ("2", {})


def test_of_two_applies_at_once_one_wins_the_other_tells_and_nothing_is_lost(account: Any) -> None:
    """Both have read the same function; the second to write finds that it has changed."""
    deployed(account)
    account.emulator.behaviour.reads = 2
    mine = account.plan()
    account.write(key=account.upload("three"), memoryMb="1024", settings=LIVE)
    theirs = account.plan()
    outcomes: list[PlantonError | None] = []
    barrier = threading.Barrier(2)

    def run(plans: Any) -> None:
        barrier.wait()
        try:
            account.apply(plans)
        except PlantonError as error:
            outcomes.append(error)
        else:
            outcomes.append(None)

    threads = [threading.Thread(target=run, args=(plans,)) for plans in (mine, theirs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lost = [one for one in outcomes if one is not None]
    assert len(lost) == 1
    assert isinstance(lost[0], DeployConflict)
    found = account.configuration(qualifier="live")
    assert found["Version"] == alias(account)[0]
    whole = {(512, _sha(account, "two")), (1024, _sha(account, "three"))}
    assert (found["MemorySize"], found["CodeSha256"]) in whole
    account.apply()
    account.converged()
    assert account.configuration(qualifier="live")["MemorySize"] == 1024


def _sha(account: Any, text: str) -> str:
    import base64

    return base64.b64encode(bytes.fromhex(account.upload(text).split("/")[1][:64])).decode()


def test_an_alias_that_somebody_moves_meanwhile_is_a_conflict(account: Any) -> None:
    deployed(account)
    client = account.aws.lambda_()

    def move() -> None:
        client.update_alias(FunctionName="orders", Name="live", Description="mine")

    account.emulator.faults.before("PublishVersion", move)
    account.emulator.faults.before(
        "UpdateAlias", lambda: client.publish_version(FunctionName="orders"), nth=2
    )
    # A changed description alone is no conflict: the alias serves what it served.
    account.apply()
    assert alias(account)[0] == "2"


def test_a_function_that_cannot_be_published_has_its_configuration_back(account: Any) -> None:
    deployed(account)
    account.emulator.faults.error(
        "PublishVersion", "CodeStorageExceededException", 400, "Code storage limit exceeded."
    )
    with pytest.raises(DeployRefused, match="undone: code, configure") as raised:
        account.apply()
    assert "delete old versions" in (raised.value.hint or "")
    assert account.configuration()["MemorySize"] == 128


def test_a_role_that_becomes_assumable_late_is_waited_for(account: Any) -> None:
    account.write(key=account.upload("one"), settings=LIVE)
    account.emulator.world.late_roles["arn:aws:iam::123456789012:role/worker"] = 3
    [done] = account.apply()
    assert done.version == "1"
    assert account.changing().count("CreateFunction") == 4


def test_throttling_is_waited_out(account: Any) -> None:
    account.write(key=account.upload("one"), settings=LIVE)
    account.emulator.faults.error("CreateFunction", "TooManyRequestsException", 429, "Rate exceeded", times=4)
    account.patience = type(account.patience)(poll=0.001, throttle=30)
    [done] = account.apply()
    assert done.version == "1"


def test_a_function_that_is_off_is_not_invoked(account: Any) -> None:
    account.write(key=account.upload("one"), settings=SMOKE, reservedConcurrency="0")
    [planned] = account.plan()
    assert "no smoke test" in planned.plan.notes[0]
    [done] = account.apply([planned])
    assert (done.version, done.moved) == ("1", True)
    assert account.emulator.scripted.invoked == []


def test_a_change_of_latest_alone_is_put_back_and_the_alias_is_not_touched(account: Any) -> None:
    account.write(key=account.upload("one"), settings=LIVE)
    account.apply()
    account.aws.lambda_().update_function_configuration(FunctionName="orders", MemorySize=999)
    account.emulator.calls.clear()
    [done] = account.apply()
    assert (done.version, alias(account)) == ("1", ("1", {}))
    assert account.changing() == ["UpdateFunctionConfiguration", "PublishVersion"]
    account.converged()


def test_a_rollback_goes_to_the_version_that_served_not_to_one_that_failed_between(account: Any) -> None:
    deployed(account, SMOKE)
    account.emulator.scripted.answer("orders", b"{}", error="Unhandled")
    with pytest.raises(SmokeTestFailed):
        account.apply()  # version 2
    account.write(key=account.upload("three"), settings=SMOKE)
    account.apply()
    assert alias(account) == ("3", {})
    done = rollback("orders", "live", account.aws, "eu-west-1", patience=account.patience)
    assert done.after.number == "1"
    with pytest.raises(VersionUnknown, match="no version came before 1"):
        rollback("orders", "live", account.aws, "eu-west-1", patience=account.patience)


def test_what_somebody_has_written_into_an_alias_stays(account: Any) -> None:
    deployed(account)
    account.aws.lambda_().update_alias(FunctionName="orders", Name="live", Description="ask Ann first")
    account.apply()
    found = account.aws.lambda_().get_alias(FunctionName="orders", Name="live")
    assert (found["FunctionVersion"], found["Description"]) == ("2", "ask Ann first")
    done = rollback("orders", "live", account.aws, "eu-west-1", patience=account.patience)
    assert done.after.number == "1"
    assert (
        account.aws.lambda_().get_alias(FunctionName="orders", Name="live")["Description"] == "ask Ann first"
    )


def test_former_code_that_left_s3_is_taken_from_the_version_that_serves(account: Any) -> None:
    key = account.upload("one")
    account.write(key=key, settings=SMOKE)
    account.apply()
    before = account.configuration()["CodeSha256"]
    account.aws.s3().delete_object(Bucket="artifacts", Key=key)
    account.write(key=account.upload("two"), settings=SMOKE)
    account.emulator.scripted.answer("orders", b"{}", error="Unhandled")
    with pytest.raises(SmokeTestFailed, match="undone: code"):
        account.apply()
    assert account.configuration()["CodeSha256"] == before


def test_a_smoke_test_that_this_machine_cannot_run_is_told_and_passes(account: Any) -> None:
    account.write(key=account.upload("one"), settings=SMOKE)
    payload = b'{"errorType": "Planton.NotRunnable", "errorMessage": "no Python 3.13 is here"}'
    account.emulator.scripted.answer("orders", payload, error="Unhandled")
    [done] = account.apply()
    assert done.moved
    notes = [event.message for event in account.events if isinstance(event, Note)]
    assert notes == ["the smoke test cannot run here, so it was left out: no Python 3.13 is here"]


def test_a_version_that_failed_is_no_obstacle_to_the_next_deploy(account: Any) -> None:
    deployed(account)
    account.emulator.behaviour.failures["orders:version"] = ("InternalError", "try again")
    with pytest.raises(FunctionFailed, match="try again"):
        account.apply()
    assert alias(account) == ("1", {})
    account.emulator.behaviour.failures.clear()
    account.apply()
    assert alias(account) == ("3", {})
    account.converged()


def test_a_new_function_that_is_not_known_everywhere_yet_is_tried_again(account: Any) -> None:
    account.write(key=account.upload("one"), settings=LIVE)
    missing = ("ResourceNotFoundException", 404, "Function not found: orders")
    account.emulator.faults.error("PublishVersion", *missing, times=2)
    account.emulator.faults.error("CreateAlias", *missing)
    [done] = account.apply()
    assert (done.version, done.moved) == ("1", True)
    account.converged()


def test_an_old_function_that_is_not_found_is_not_tried_again(account: Any) -> None:
    deployed(account)
    account.emulator.calls.clear()
    account.emulator.faults.error("PublishVersion", "ResourceNotFoundException", 404, "Function not found")
    with pytest.raises(DeployRefused, match="Function not found"):
        account.apply()
    assert account.changing().count("PublishVersion") == 1
