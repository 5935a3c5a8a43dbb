"""Somebody else changes the function between any two calls of an update: nothing of theirs is ever lost.

Either their change is there at the end, or the error says that somebody else was at work, and it is there as
well. What the alias serves is the old version or the planned one, never one with their change in it.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from planton_build.emulator.faults import CHANGING
from planton_build.errors import DeployConflict, DeployRefused, PlantonError, SmokeTestFailed

SETTINGS = """
[deploy]
alias = "live"
tracing = "{tracing}"
tags = {{ team = "{team}" }}

[deploy.rollout]
smoke-event = {{ ping = true }}

[deploy.async]
retries = {retries}
"""
OLD = {"tracing": "PassThrough", "team": "a", "retries": 2}
NEW = {"tracing": "Active", "team": "b", "retries": 0}


def write(account: Any, text: str, memory: int, values: dict[str, Any]) -> None:
    account.write(
        key=account.upload(text),
        memoryMb=str(memory),
        reservedConcurrency=str(memory // 64),
        settings=SETTINGS.format(**values),
    )


def prepared(account: Any) -> list[Any]:
    """Deploy the old one, and plan the new one."""
    write(account, "old", 128, OLD)
    account.apply()
    write(account, "new", 256, NEW)
    planned: list[Any] = account.plan()
    account.emulator.calls.clear()
    return planned


def served(account: Any) -> tuple[Any, ...]:
    found = account.configuration(qualifier="live")
    names = ("Version", "CodeSha256", "MemorySize", "Timeout", "Description")
    return (*(found.get(name) for name in names), found["TracingConfig"]["Mode"])


CHANGES: dict[str, dict[str, Any]] = {
    "another field": {"Timeout": 77},
    "the same field": {"MemorySize": 1024},
    "a field and its own": {"Timeout": 77, "MemorySize": 1024},
}


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("kind", CHANGES)
def test_a_change_of_the_configuration_at_any_call_is_kept_or_told_and_never_served(
    fresh: Callable[[Path], Any], tmp_path: Path, kind: str, when: str
) -> None:
    account = fresh(tmp_path / "functions")
    planned = prepared(account)
    old = served(account)
    account.emulator.calls.clear()
    account.apply(planned)
    new = served(account)
    calls = [call.operation for call in account.emulator.calls.changing]
    assert len(calls) >= 7
    wrong = []
    for nth, operation in enumerate(calls, start=1):
        account = fresh(tmp_path / "functions")
        planned = prepared(account)
        client = account.aws.lambda_()

        def interfere(client: Any = client) -> None:
            client.update_function_configuration(FunctionName="orders", **CHANGES[kind])

        getattr(account.emulator.faults, when)(CHANGING, interfere, nth=nth)
        told = ""
        try:
            account.apply(planned)
        except DeployConflict as error:
            told = error.message
        now = account.configuration()
        lost = [name for name, value in CHANGES[kind].items() if now[name] != value]
        if lost:
            wrong.append(f"{when} {nth} {operation}: lost {lost}, told {told!r}")
        if served(account) not in (old, new):
            wrong.append(f"{when} {nth} {operation}: serves {served(account)}, told {told!r}")
    assert wrong == []


@pytest.mark.parametrize("fail", [False, True])
def test_code_that_somebody_sends_at_any_call_is_kept_and_told(
    fresh: Callable[[Path], Any], tmp_path: Path, fail: bool
) -> None:
    """Also when the deployment fails later on, and undoes what it has done itself."""
    account = fresh(tmp_path / "functions")
    planned = prepared(account)
    old = served(account)
    account.emulator.calls.clear()
    account.apply(planned)
    new = served(account)
    calls = [call.operation for call in account.emulator.calls.changing]
    wrong = []
    for nth, operation in enumerate(calls, start=1):
        account = fresh(tmp_path / "functions")
        planned = prepared(account)
        client, key = account.aws.lambda_(), account.upload("theirs")

        theirs: list[str] = []

        def interfere(client: Any = client, key: str = key, theirs: list[str] = theirs) -> None:
            sent = client.update_function_code(FunctionName="orders", S3Bucket="artifacts", S3Key=key)
            theirs.append(sent["CodeSha256"])

        account.emulator.faults.before(CHANGING, interfere, nth=nth)
        if fail:
            account.emulator.scripted.answer("orders", b"{}", error="Unhandled")
            account.emulator.faults.error("UpdateAlias", "AccessDeniedException", 403, "no")
        told = ""
        try:
            account.apply(planned)
        except PlantonError as error:
            told = error.message
        if account.configuration()["CodeSha256"] != theirs[0]:
            wrong.append(f"{nth} {operation}: lost, told {told!r}")
        if served(account) not in (old, new):
            wrong.append(f"{nth} {operation}: serves {served(account)}, told {told!r}")
    assert wrong == []


def test_an_alias_that_somebody_moves_elsewhere_stays_there(account: Any) -> None:
    planned = prepared(account)
    client = account.aws.lambda_()

    def move() -> None:
        client.update_function_configuration(FunctionName="orders", Description="theirs")
        version = client.publish_version(FunctionName="orders")["Version"]
        client.update_alias(FunctionName="orders", Name="live", FunctionVersion=version)

    account.emulator.faults.before("UpdateAlias", move)
    with pytest.raises(DeployConflict, match="somebody else moved the alias") as raised:
        account.apply(planned)
    assert "not undone: traffic (somebody else moved it meanwhile" in raised.value.message
    assert account.configuration(qualifier="live")["Description"] == "theirs"


def test_an_alias_that_somebody_moves_after_us_stays_there_when_a_later_step_fails(account: Any) -> None:
    planned = prepared(account)
    client = account.aws.lambda_()

    def move() -> None:
        client.update_function_configuration(FunctionName="orders", Description="theirs")
        version = client.publish_version(FunctionName="orders")["Version"]
        client.update_alias(FunctionName="orders", Name="live", FunctionVersion=version)

    account.emulator.faults.before("PutFunctionEventInvokeConfig", move)
    account.emulator.faults.before("UpdateFunctionEventInvokeConfig", move)
    account.emulator.faults.error("PutFunctionEventInvokeConfig", "AccessDeniedException", 403, "no")
    account.emulator.faults.error("UpdateFunctionEventInvokeConfig", "AccessDeniedException", 403, "no")
    with pytest.raises(PlantonError, match="not undone: traffic"):
        account.apply(planned)
    assert account.configuration(qualifier="live")["Description"] == "theirs"


def test_an_alias_that_somebody_creates_first_stays_there(account: Any) -> None:
    account.write(key=account.upload("one"))
    account.apply()
    account.write(key=account.upload("two"), settings='[deploy]\nalias = "live"\n')
    client = account.aws.lambda_()

    def create() -> None:
        client.create_alias(FunctionName="orders", Name="live", FunctionVersion="$LATEST")

    account.emulator.faults.before("CreateAlias", create)
    with pytest.raises(DeployConflict, match="not undone: traffic"):
        account.apply()
    assert client.get_alias(FunctionName="orders", Name="live")["FunctionVersion"] == "$LATEST"


def test_an_aspect_that_somebody_changes_after_us_is_not_led_back(account: Any) -> None:
    planned = prepared(account)
    client = account.aws.lambda_()
    arn = f"{account.configuration()['FunctionArn']}"
    account.emulator.faults.before(
        "PublishVersion", lambda: client.tag_resource(Resource=arn, Tags={"team": "theirs"})
    )
    account.emulator.faults.before(
        "PublishVersion",
        lambda: client.put_function_concurrency(FunctionName="orders", ReservedConcurrentExecutions=9),
    )
    account.emulator.faults.error("PublishVersion", "AccessDeniedException", 403, "no")
    with pytest.raises(PlantonError, match="not undone: ") as raised:
        account.apply(planned)
    assert client.list_tags(Resource=arn)["Tags"] == {"team": "theirs"}
    assert client.get_function_concurrency(FunctionName="orders")["ReservedConcurrentExecutions"] == 9
    assert "undone: code, configure" in raised.value.message
    for what in ("tags", "concurrency"):
        assert f"not undone: {what} (somebody else changed it meanwhile)" in raised.value.message


def test_a_function_that_was_busy_when_it_was_read_and_is_another_afterwards_is_a_conflict(
    account: Any,
) -> None:
    write(account, "old", 128, OLD)
    account.apply()
    write(account, "new", 256, NEW)
    client = account.aws.lambda_()
    account.emulator.behaviour.reads = 2
    client.update_function_configuration(FunctionName="orders", Timeout=50)
    planned = account.plan()
    while client.get_function_configuration(FunctionName="orders")["LastUpdateStatus"] == "InProgress":
        pass
    client.update_function_configuration(FunctionName="orders", MemorySize=1024)
    with pytest.raises(DeployConflict, match="somebody else"):
        account.apply(planned)
    while (now := client.get_function_configuration(FunctionName="orders"))[
        "LastUpdateStatus"
    ] == "InProgress":
        pass
    assert (now["MemorySize"], now["Timeout"]) == (1024, 50)


def test_every_call_that_takes_a_revision_gets_one(account: Any) -> None:
    account.apply(prepared(account))
    for name in ("UpdateFunctionConfiguration", "UpdateFunctionCode", "PublishVersion", "UpdateAlias"):
        calls = account.emulator.calls.named(name)
        assert calls, name
        assert all(call.request.get("RevisionId") for call in calls), name
    [published] = account.emulator.calls.named("PublishVersion")
    assert published.request["CodeSha256"] == account.configuration()["CodeSha256"]


def test_what_undoes_an_update_minds_the_revision_too(account: Any) -> None:
    planned = prepared(account)
    account.emulator.scripted.answer("orders", b"{}", error="Unhandled")
    with contextlib.suppress(PlantonError, DeployRefused):
        account.apply(planned)
    for name in ("UpdateFunctionConfiguration", "UpdateFunctionCode"):
        calls = account.emulator.calls.named(name)
        assert len(calls) == 2
        assert all(call.request.get("RevisionId") for call in calls), name


@pytest.mark.parametrize(
    ("operation", "change"),
    [
        ("UpdateFunctionConfiguration", {"Timeout": 77}),
        ("UpdateFunctionConfiguration", {"MemorySize": 1024}),
        ("UpdateFunctionCode", {"Timeout": 77}),
        ("PublishVersion", {"Timeout": 77}),
    ],
)
def test_a_lost_answer_does_not_hide_what_somebody_else_changes_at_that_moment(
    account: Any, operation: str, change: dict[str, Any]
) -> None:
    planned = prepared(account)
    old = served(account)
    client = account.aws.lambda_()
    account.emulator.faults.lose(operation)
    account.emulator.faults.after(
        operation, lambda: client.update_function_configuration(FunctionName="orders", **change)
    )
    with pytest.raises(DeployConflict, match="somebody else changed"):
        account.apply(planned)
    now = account.configuration()
    assert {name: now[name] for name in change} == change
    assert served(account) == old


def test_what_somebody_changed_before_a_deletion_saves_the_function(account: Any) -> None:
    account.write(key=account.upload("one"))
    account.apply()
    account.emulator.behaviour.strict_world = False
    image = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/acme/orders@sha256:" + "ab" * 32
    account.aws.ecr().create_repository(repositoryName="acme/orders")
    account.aws.ecr().put_image(
        repositoryName="acme/orders",
        imageManifest='{"config": {"digest": "sha256:00"}, "layers": []}',
        imageManifestMediaType="application/vnd.oci.image.manifest.v1+json",
        imageDigest=image.partition("@")[2],
    )
    account.write(key="", codeSourceType="CODE_SOURCE_TYPE_IMAGE", s3=None, imageUri=image)
    planned = account.plan()
    account.aws.lambda_().update_function_configuration(FunctionName="orders", Timeout=77)
    with pytest.raises(DeployConflict, match="was not deleted"):
        account.apply(planned, replacing=True)
    assert account.configuration()["Timeout"] == 77


def attempt(account: Any, plans: list[Any], barrier: threading.Barrier, errors: list[Exception]) -> None:
    barrier.wait()
    try:
        account.apply(plans)
    except PlantonError as error:
        errors.append(error)


@pytest.mark.parametrize("reads", [0, 1, 3])
def test_the_same_deployment_twice_at_once_serves_the_old_or_the_new_and_converges(
    fresh: Callable[[Path], Any], tmp_path: Path, reads: int
) -> None:
    """Such as two runs of a pipeline for one commit."""
    for _ in range(3):
        account = fresh(tmp_path / "functions")
        planned = [prepared(account), account.plan()]
        old = served(account)
        account.emulator.behaviour.reads = reads
        barrier = threading.Barrier(2)
        errors: list[Exception] = []

        threads = [
            threading.Thread(target=attempt, args=(account, plans, barrier, errors)) for plans in planned
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [error for error in errors if not isinstance(error, DeployConflict)] == []
        assert len(errors) < 2, errors
        meanwhile = served(account)
        account.apply()
        assert meanwhile in (old, served(account))
        account.emulator.behaviour.reads = 0
        account.converged()


def test_what_somebody_deploys_while_we_undo_is_left_alone_and_told(account: Any) -> None:
    """Also when it is the very code that failed here."""
    planned = prepared(account)
    client, key = account.aws.lambda_(), account.upload("new")
    account.emulator.scripted.answer("orders", b"{}", error="Unhandled")
    account.emulator.faults.before(
        "UpdateFunctionConfiguration",
        lambda: client.update_function_code(FunctionName="orders", S3Bucket="artifacts", S3Key=key),
        nth=2,
    )
    with pytest.raises(SmokeTestFailed, match=r"not undone: configure .somebody else changed the function"):
        account.apply(planned)
    now = account.configuration()
    assert (now["CodeSha256"], now["MemorySize"]) == (account.configuration(qualifier="2")["CodeSha256"], 256)
