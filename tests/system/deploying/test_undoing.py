"""A step fails: what was done before it is undone, exactly, or it is told why not. Secrets are never told."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from planton_build.deploy.rollback import rollback
from planton_build.deploy.saved import save_plan
from planton_build.emulator.faults import CHANGING
from planton_build.errors import (
    AccessDenied,
    DeployRefused,
    DeployTimeout,
    FunctionFailed,
    PlantonError,
    SmokeTestFailed,
)

SETTINGS = """
[deploy]
alias = "live"
log-retention = {retention}
tracing = "{tracing}"
tags = {{ team = "{team}" }}
recursion = "{loop}"

[deploy.rollout]
smoke-event = {{ ping = true }}

[deploy.url]
auth = "{auth}"

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
OLD = {
    "retention": 14, "tracing": "PassThrough", "team": "a", "loop": "Terminate", "auth": "AWS_IAM",
    "retries": 2, "batch": 5, "errors": 1,
}  # fmt: skip
NEW = {
    "retention": 30, "tracing": "Active", "team": "b", "loop": "Allow", "auth": "NONE",
    "retries": 0, "batch": 9, "errors": 3,
}  # fmt: skip
LIVE = '[deploy]\nalias = "live"\n'
CANARY = {"old": 'canary-of-old-\\n"quoted"-line', "new": 'canary-of-new-\\n"quoted"-line'}
NOWHERE = ("canary-of-old", "canary-of-new")


def write(account: Any, text: str, values: dict[str, Any], **fields: str) -> None:
    account.write(
        key=account.upload(text),
        memoryMb="128" if text == "old" else "256",
        environment=f"{{MODE: {json.dumps(CANARY[text])}}}",
        reservedConcurrency="5" if text == "old" else "7",
        settings=SETTINGS.format(**values),
        **fields,
    )


def everything(account: Any) -> dict[str, Any]:
    """All that is deployed, without what each change gives anew."""
    function = account.emulator.region().functions["orders"]
    anew = {"RevisionId", "LastModified", "LastUpdateStatus"}
    configuration = {name: value for name, value in function.latest.configuration.items() if name not in anew}
    mappings = account.aws.lambda_().list_event_source_mappings()["EventSourceMappings"]
    alarms = account.aws.client("cloudwatch").describe_alarms()["MetricAlarms"]
    groups = account.aws.client("logs").describe_log_groups()["logGroups"]
    return {
        "configuration": configuration,
        "tags": dict(function.tags),
        "reserved": function.reserved,
        "policies": {key: dict(value) for key, value in function.policies.items()},
        "urls": {key: {"AuthType": value["AuthType"]} for key, value in function.urls.items()},
        "async": {key: value["MaximumRetryAttempts"] for key, value in function.event_invokes.items()},
        "loop": function.recursion,
        "mappings": [(one["EventSourceArn"], one["BatchSize"]) for one in mappings],
        "alarms": [(one["AlarmName"], one["Threshold"]) for one in alarms],
        "logs": [(one["logGroupName"], one.get("retentionInDays")) for one in groups],
        "alias": function.aliases["live"]["FunctionVersion"],
    }


def told(error: BaseException) -> str:
    hints = [str(getattr(error, "hint", "")), *(str(one) for one in getattr(error, "findings", ()))]
    return "\n".join([str(error), repr(error), *hints])


@pytest.fixture
def prepared(fresh: Callable[[Path], Any], tmp_path: Path) -> Callable[[], tuple[Any, list[Any]]]:
    """Deploy the old one, plan the new one, and forget the calls."""

    def prepare() -> tuple[Any, list[Any]]:
        account = fresh(tmp_path / "functions")
        write(account, "old", OLD)
        account.apply()
        write(account, "new", NEW)
        planned = account.plan()
        account.emulator.calls.clear()
        return account, planned

    return prepare


def changing(account: Any) -> list[str]:
    return [call.operation for call in account.emulator.calls.changing]


Prepared = Callable[[], tuple[Any, list[Any]]]


def points(prepared: Prepared) -> Iterator[tuple[int, str]]:
    account, planned = prepared()
    account.apply(planned)
    calls = changing(account)
    assert len(calls) >= 14
    yield from enumerate(calls, start=1)


def test_a_refusal_of_any_call_brings_everything_back_exactly(prepared: Prepared) -> None:
    wrong = []
    for nth, operation in points(prepared):
        account, planned = prepared()
        before = everything(account)
        quoting = f"you may not; {CANARY['old']} {json.dumps(CANARY['new'])} {CANARY['new']!r}"
        account.emulator.faults.error(CHANGING, "AccessDeniedException", 403, quoting, nth=nth)
        with pytest.raises(PlantonError) as raised:
            account.apply(planned)
        after = everything(account)
        wrong += [
            f"{nth} {operation}: {name} {before[name]} became {after[name]}"
            for name in before
            if before[name] != after[name]
        ]
        text = told(raised.value) + repr(account.events) + repr(planned)
        wrong += [f"{nth} {operation}: tells {secret}" for secret in NOWHERE if secret in text]
        wrong += (
            [f"{nth} {operation}: {raised.value.message}"] if "not undone" in raised.value.message else []
        )
    assert wrong == []


def test_traffic_goes_back_first_and_then_what_it_relied_on(prepared: Prepared) -> None:
    account, planned = prepared()
    account.emulator.faults.error("PutFunctionEventInvokeConfig", "AccessDeniedException", 403, "no")
    with pytest.raises(AccessDenied, match="undone: traffic, concurrency, code, configure, "):
        account.apply(planned)
    calls = changing(account)
    undoing = calls[calls.index("PutFunctionEventInvokeConfig") + 1 :]
    wanted = ["UpdateAlias", "PutFunctionConcurrency", "UpdateFunctionCode", "UpdateFunctionConfiguration"]
    assert [one for one in undoing if one in wanted] == wanted


def test_what_cannot_be_undone_is_told_with_the_reason_and_a_rerun_ends_it(prepared: Prepared) -> None:
    wrong = []
    for nth, operation in points(prepared):
        account, planned = prepared()
        account.emulator.faults.error(
            CHANGING, "AccessDeniedException", 403, f"no {CANARY['old']}", nth=nth, times=99
        )
        with pytest.raises(PlantonError) as raised:
            account.apply(planned)
        message = raised.value.message
        done = changing(account)[: nth - 1]
        for call, what in (
            ("UpdateFunctionConfiguration", "configure"),
            ("UpdateFunctionCode", "code"),
            ("PutFunctionConcurrency", "concurrency"),
            ("TagResource", "tags"),
            ("UpdateAlias", "traffic"),
        ):
            if call in done and f"not undone: {what} (AWS does not allow" not in message:
                wrong.append(f"{nth} {operation}: nothing about {what} in {message}")
        wrong += [f"{nth} {operation}: tells {secret}" for secret in NOWHERE if secret in told(raised.value)]
        account.emulator.faults.clear()
        account.apply()
        try:
            account.converged()
        except AssertionError as error:
            wrong.append(f"{nth} {operation}: {error}")
    assert wrong == []


def test_secrets_are_in_no_plan_and_no_saved_plan(prepared: Prepared, tmp_path: Path) -> None:
    account, planned = prepared()
    save_plan(planned, tmp_path / "plan.json", tool="1")
    steps = [step for one in planned for step in one.plan.steps]
    for text in ((tmp_path / "plan.json").read_text(), repr(planned), repr(steps)):
        assert not any(secret in text for secret in NOWHERE)
    account.apply(planned)
    assert not any(secret in repr(account.events) for secret in NOWHERE)


def test_a_smoke_test_tells_the_end_of_the_log_without_the_environment(prepared: Prepared) -> None:
    account, planned = prepared()
    log = "\n".join(
        ["x" * 200] * 8 + [CANARY["new"], json.dumps(CANARY), repr(CANARY), "KeyError: the reason"]
    )
    account.emulator.scripted.answer(
        "orders", json.dumps({"errorMessage": CANARY["new"]}).encode(), log=log, error="Unhandled"
    )
    with pytest.raises(SmokeTestFailed, match="KeyError: the reason") as raised:
        account.apply(planned)
    assert not any(secret in told(raised.value) for secret in NOWHERE)


def test_rolling_back_tells_no_environment_either(prepared: Prepared) -> None:
    account, planned = prepared()
    account.apply(planned)
    account.emulator.scripted.answer("orders", b"{}", log=CANARY["old"], error="Unhandled")
    with pytest.raises(SmokeTestFailed) as raised:
        rollback("orders", "live", account.aws, "eu-west-1", smoke_event=b"{}", patience=account.patience)
    assert not any(secret in told(raised.value) for secret in NOWHERE)


def test_an_update_that_does_not_end_in_time_is_left_to_lambda(account: Any) -> None:
    account.write(key=account.upload("one"), settings=LIVE)
    account.apply()
    account.write(key=account.upload("two"), memoryMb="256", settings=LIVE)
    account.patience = type(account.patience)(settle=0.02, poll=0.001)
    account.emulator.behaviour.reads = 10_000
    with pytest.raises(DeployTimeout, match=r"not undone: configure \(Lambda is still busy with it\)"):
        account.apply()
    assert account.changing().count("UpdateFunctionConfiguration") == 1


def test_what_a_creation_has_made_stays_and_the_next_deployment_goes_on(account: Any) -> None:
    write(account, "new", NEW)
    account.emulator.scripted.answer("orders", b"{}", error="Unhandled")
    with pytest.raises(SmokeTestFailed, match="what was made stays; deploy again to go on"):
        account.apply()
    assert account.aws.lambda_().list_aliases(FunctionName="orders")["Aliases"] == []
    account.emulator.calls.clear()
    account.apply()
    assert "CreateFunction" not in account.changing()
    assert account.configuration(qualifier="live")["Version"] == "1"
    account.converged()


# States


def test_a_version_that_fails_leaves_the_alias_and_the_function_as_they_were(account: Any) -> None:
    account.write(key=account.upload("one"), settings=LIVE)
    account.apply()
    account.write(key=account.upload("two"), memoryMb="256", settings=LIVE)
    account.emulator.behaviour.failures["orders:version"] = ("FunctionError", "does not start")
    with pytest.raises(FunctionFailed, match="undone: code, configure"):
        account.apply()
    assert not account.emulator.calls.named("UpdateAlias")
    assert account.configuration(qualifier="live")["Version"] == "1"
    assert account.configuration()["MemorySize"] == 128


@pytest.mark.parametrize("step", ["UpdateFunctionConfiguration", "UpdateFunctionCode"])
@pytest.mark.parametrize("reads", [0, 4])
def test_an_update_that_lambda_cannot_carry_out_goes_no_further(account: Any, step: str, reads: int) -> None:
    account.write(key=account.upload("one"), settings=LIVE)
    account.apply()
    account.write(key=account.upload("two"), memoryMb="256", settings=LIVE)
    account.emulator.behaviour.reads = reads
    failures = account.emulator.behaviour.failures
    account.emulator.faults.before(step, lambda: failures.update(orders=("InvalidRuntime", "no such")))
    account.emulator.calls.clear()
    with pytest.raises(FunctionFailed, match="no such") as raised:
        account.apply()
    sent = account.changing()
    assert "PublishVersion" not in sent
    assert sent.count("UpdateFunctionCode") == (2 if step == "UpdateFunctionCode" else 0)
    assert "undone: " in raised.value.message
    assert account.configuration()["LastUpdateStatus"] == "Successful"
    assert account.configuration()["MemorySize"] == 128
    assert account.configuration(qualifier="live")["Version"] == "1"
    account.apply()
    account.converged()


def test_a_version_that_is_pending_for_long_is_waited_for_before_the_alias_moves(account: Any) -> None:
    settings = '[deploy]\nalias = "live"\nsnap-start = true\n'
    account.write(key=account.upload("one"), settings=settings)
    account.apply()
    account.write(key=account.upload("two"), settings=settings)
    account.emulator.behaviour.reads = 9
    seen = []
    account.emulator.faults.before(
        "UpdateAlias", lambda: seen.append(account.configuration(qualifier="2")["State"])
    )
    account.apply()
    assert seen == ["Active"]
    assert account.configuration(qualifier="live")["Version"] == "2"


@pytest.mark.parametrize("state", ["Inactive", "Deactivated", "ActiveNonInvocable"])
def test_a_function_at_rest_in_whatever_state_is_updated(account: Any, state: str) -> None:
    account.write(key=account.upload("one"), settings=LIVE)
    account.apply()
    account.emulator.region().functions["orders"].latest.configuration["State"] = state
    account.write(key=account.upload("two"), memoryMb="256", settings=LIVE)
    account.apply()
    assert account.configuration(qualifier="live")["MemorySize"] == 256


def test_rolling_back_to_a_version_that_has_been_idle_warns(account: Any) -> None:
    for text in ("one", "two"):
        account.write(key=account.upload(text), settings=LIVE)
        account.apply()
    account.emulator.region().functions["orders"].versions["1"].configuration["State"] = "Inactive"
    rollback(
        "orders", "live", account.aws, "eu-west-1", listener=account.events.append, patience=account.patience
    )
    assert "version 1 has been idle" in repr(account.events)
    assert account.configuration(qualifier="live")["Version"] == "1"


def test_rolling_back_to_a_version_that_failed_is_refused(account: Any) -> None:
    for text in ("one", "two"):
        account.write(key=account.upload(text), settings=LIVE)
        account.apply()
    account.emulator.region().functions["orders"].versions["1"].configuration["State"] = "Failed"
    with pytest.raises(FunctionFailed):
        rollback("orders", "live", account.aws, "eu-west-1", patience=account.patience)
    assert account.configuration(qualifier="live")["Version"] == "2"


def test_an_alias_on_latest_is_brought_to_a_version_at_once(account: Any) -> None:
    shares = LIVE + "[deploy.rollout]\nsteps = [10, 50]\nstep-seconds = 1\n"
    account.write(key=account.upload("one"))
    account.apply()
    client = account.aws.lambda_()
    client.create_alias(FunctionName="orders", Name="live", FunctionVersion="$LATEST")
    account.write(key=account.upload("two"), settings=shares)
    [planned] = account.plan()
    assert "names $LATEST" in planned.plan.warnings[0]
    account.apply([planned])
    assert client.get_alias(FunctionName="orders", Name="live")["FunctionVersion"] == "1"
    account.converged()


def test_an_alias_on_latest_is_brought_to_a_version_even_if_nothing_else_differs(account: Any) -> None:
    account.write(key=account.upload("one"))
    account.apply()
    client = account.aws.lambda_()
    client.create_alias(FunctionName="orders", Name="live", FunctionVersion="$LATEST")
    account.write(key=account.upload("one"), settings=LIVE)
    account.apply()
    assert client.get_alias(FunctionName="orders", Name="live")["FunctionVersion"] == "1"
    account.converged()


def test_rolling_back_an_alias_on_latest_goes_to_the_newest_version(account: Any) -> None:
    for text in ("one", "two"):
        account.write(key=account.upload(text), settings=LIVE)
        account.apply()
    account.aws.lambda_().update_alias(FunctionName="orders", Name="live", FunctionVersion="$LATEST")
    done = rollback("orders", "live", account.aws, "eu-west-1", patience=account.patience)
    assert (done.before, done.after.number) == ("$LATEST", "2")


def test_weights_that_somebody_gave_come_back_when_a_deployment_fails(account: Any) -> None:
    client = account.aws.lambda_()
    for text in ("one", "two"):
        account.write(key=account.upload(text), settings=LIVE)
        account.apply()
    routing = {"AdditionalVersionWeights": {"1": 0.25}}
    client.update_alias(FunctionName="orders", Name="live", FunctionVersion="2", RoutingConfig=routing)
    asynchronous = LIVE + "[deploy.async]\nretries = 1\n"
    account.write(key=account.upload("three"), settings=asynchronous)
    account.emulator.faults.error("PutFunctionEventInvokeConfig", "AccessDeniedException", 403, "no")
    with pytest.raises(AccessDenied, match="undone: traffic, code"):
        account.apply()
    found = client.get_alias(FunctionName="orders", Name="live")
    assert (found["FunctionVersion"], found["RoutingConfig"]) == ("2", routing)
    account.apply()
    found = client.get_alias(FunctionName="orders", Name="live")
    assert (found["FunctionVersion"], found.get("RoutingConfig", {})) in [
        ("3", {}), ("3", {"AdditionalVersionWeights": {}}),
    ]  # fmt: skip


def test_weights_that_somebody_gave_are_a_difference_even_if_nothing_else_is(account: Any) -> None:
    client = account.aws.lambda_()
    for text in ("one", "two"):
        account.write(key=account.upload(text), settings=LIVE)
        account.apply()
    routing = {"AdditionalVersionWeights": {"1": 0.25}}
    client.update_alias(FunctionName="orders", Name="live", FunctionVersion="2", RoutingConfig=routing)
    [planned] = account.plan()
    assert [change.before for change in planned.plan.changes] == ["version 2, 25 % to 1"]
    account.apply([planned])
    found = client.get_alias(FunctionName="orders", Name="live")
    assert not found.get("RoutingConfig", {}).get("AdditionalVersionWeights")
    account.converged()


def test_provisioning_that_fails_moves_the_alias_back(account: Any) -> None:
    account.write(key=account.upload("one"), settings=LIVE)
    account.apply()
    account.write(key=account.upload("two"), settings=LIVE + "provisioned-concurrency = 3\n")
    account.emulator.behaviour.failures["orders:provisioned"] = ("FUNCTION_ERROR", "does not start")
    with pytest.raises(PlantonError) as raised:
        account.apply()
    assert "traffic" in raised.value.message.partition("undone: ")[2]
    assert account.configuration(qualifier="live")["Version"] == "1"
    account.apply()
    assert account.configuration(qualifier="live")["Version"] == "2"
    account.converged()


def test_a_lost_answer_while_a_provisioned_alias_is_being_moved_is_no_conflict(account: Any) -> None:
    provisioned = LIVE + "provisioned-concurrency = 3\n"
    account.write(key=account.upload("one"), settings=provisioned)
    account.apply()
    account.write(key=account.upload("two"), settings=provisioned)
    account.emulator.behaviour.provisioning_reads = 6
    account.emulator.faults.lose("UpdateAlias")
    account.apply()
    assert account.configuration(qualifier="live")["Version"] == "2"
    account.converged()


def test_a_function_that_is_being_deleted_is_created_when_it_is_gone(account: Any) -> None:
    account.write(key=account.upload("one"), settings=LIVE)
    account.apply()
    account.emulator.behaviour.deletion_reads = 3
    account.aws.lambda_().delete_function(FunctionName="orders")
    account.apply()
    assert account.configuration(qualifier="live")["Version"] == "1"
    account.converged()


def test_a_refused_invocation_of_the_smoke_test_is_undone_too(account: Any) -> None:
    smoke = LIVE + "[deploy.rollout]\nsmoke-event = {}\n"
    account.write(key=account.upload("one"), settings=smoke)
    account.apply()
    account.write(key=account.upload("two"), memoryMb="256", settings=smoke)
    account.emulator.faults.error("Invoke", "ResourceNotReadyException", 502, "inactive")
    with pytest.raises(DeployRefused, match="undone: code, configure"):
        account.apply()
    assert account.configuration()["MemorySize"] == 128


@pytest.mark.parametrize("fault", ["drop", "lose"])
def test_an_invocation_without_an_answer_is_undone_and_not_made_twice(account: Any, fault: str) -> None:
    smoke = LIVE + "[deploy.rollout]\nsmoke-event = {}\n"
    account.write(key=account.upload("one"), settings=smoke)
    account.apply()
    account.write(key=account.upload("two"), settings=smoke)
    account.emulator.calls.clear()
    getattr(account.emulator.faults, fault)("Invoke")
    with pytest.raises(PlantonError, match="undone: code"):
        account.apply()
    assert len(account.emulator.calls.named("Invoke")) == 1
    assert account.configuration(qualifier="live")["Version"] == "1"


def test_a_vpc_comes_back_with_its_ipv6(account: Any) -> None:
    smoke = LIVE + "[deploy.rollout]\nsmoke-event = {}\n"
    vpc = account.vpc()
    account.write(key=account.upload("one"), settings=smoke, **vpc)
    account.apply()
    client = account.aws.lambda_()
    now = client.get_function_configuration(FunctionName="orders")["VpcConfig"]
    both = {name: now[name] for name in ("SubnetIds", "SecurityGroupIds")}
    client.update_function_configuration(
        FunctionName="orders", VpcConfig={**both, "Ipv6AllowedForDualStack": True}
    )
    account.write(key=account.upload("one"), settings=smoke)
    account.emulator.scripted.answer("orders", b"{}", error="Unhandled")
    with pytest.raises(SmokeTestFailed, match="undone: configure"):
        account.apply()
    after = client.get_function_configuration(FunctionName="orders")["VpcConfig"]
    assert sorted(after["SubnetIds"]) == sorted(both["SubnetIds"])
    assert after["Ipv6AllowedForDualStack"] is True


def test_an_environment_that_lambda_did_not_tell_cannot_come_back_and_that_is_told(account: Any) -> None:
    account.write(key=account.upload("one"), settings=LIVE, environment="{MODE: old}")
    account.apply()
    latest = account.emulator.region().functions["orders"].latest
    unreadable = {"Error": {"ErrorCode": "AccessDeniedException", "Message": "no key"}}
    latest.configuration["Environment"] = unreadable
    account.write(key=account.upload("one"), settings=LIVE, environment="{MODE: new}", memoryMb="256")
    account.emulator.faults.error("PublishVersion", "AccessDeniedException", 403, "no")
    with pytest.raises(
        AccessDenied, match=r"not undone: configure .Lambda did not tell the former environment"
    ):
        account.apply()
    assert account.configuration()["MemorySize"] == 128
