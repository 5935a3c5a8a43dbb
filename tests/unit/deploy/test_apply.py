from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from planton_build.deploy.apply import Applied, apply
from planton_build.deploy.functions import Deployment
from planton_build.deploy.patience import Patience
from planton_build.errors import (
    AccessDenied,
    DeployConflict,
    DeployRefused,
    DeployTimeout,
    FunctionFailed,
    HashMismatch,
)
from planton_build.events import Event, StepFinished, StepStarted
from planton_build.manifest.document import Manifest
from planton_build.publish.aws import Aws

Write = Callable[..., Manifest]
Deploy = Callable[[Manifest], Applied]
Deployed = Callable[..., dict[str, Any]]

KEY = "arn:aws:kms:eu-west-1:123456789012:key/1"
NOT_YET = "The role defined for the function cannot be assumed by Lambda."
VPC = {"subnets": "[{value: subnet-1}]", "securityGroups": "[{value: sg-1}]"}
IMAGE = f"123456789012.dkr.ecr.eu-west-1.amazonaws.com/render@sha256:{'ab' * 32}"


@pytest.fixture
def layer(aws: Aws, key: str) -> str:
    content: Any = {"S3Bucket": "artifacts", "S3Key": key}
    return str(aws.lambda_().publish_layer_version(LayerName="shared", Content=content)["LayerVersionArn"])


def full(key: str, layer: str) -> dict[str, str]:
    return {
        "key": key,
        "description": "draws",
        "memoryMb": "512",
        "timeoutSeconds": "45",
        "architecture": "ARM64",
        "environment": "{LOG_LEVEL: info}",
        "layerArns": f"[{{value: '{layer}'}}]",
        "kmsKeyArn": f"{{value: '{KEY}'}}",
        "reservedConcurrency": "5",
    } | VPC


def test_a_function_is_created_as_its_manifest_says(
    manifest: Write, deploy: Deploy, deployed: Deployed, front: Any, key: str, layer: str, aws: Aws
) -> None:
    applied = deploy(manifest(**full(key, layer)))
    assert front.changes == ["CreateFunction", "PutFunctionConcurrency"]
    found = deployed()
    assert found["Role"] == "arn:aws:iam::123456789012:role/worker"
    assert (found["Runtime"], found["Handler"], found["Description"]) == (
        "python3.13",
        "app.handler",
        "draws",
    )
    assert (found["MemorySize"], found["Timeout"], found["Architectures"]) == (512, 45, ["arm64"])
    assert found["Environment"]["Variables"] == {"LOG_LEVEL": "info"}
    assert (found["VpcConfig"]["SubnetIds"], found["VpcConfig"]["SecurityGroupIds"]) == (
        ["subnet-1"],
        ["sg-1"],
    )
    assert [one["Arn"] for one in found["Layers"]] == [layer]
    assert found["KMSKeyArn"] == KEY
    reserved = aws.lambda_().get_function_concurrency(FunctionName="render")
    assert reserved["ReservedConcurrentExecutions"] == 5
    assert (applied.function, applied.changed, applied.calls) == ("render", True, 2)
    assert applied.observed
    assert applied.observed.arn == found["FunctionArn"]


def test_a_second_deployment_changes_nothing_and_reads_once(
    manifest: Write, deploy: Deploy, front: Any, key: str, layer: str
) -> None:
    deploy(manifest(**full(key, layer)))
    applied = deploy(manifest(**full(key, layer)))
    assert front.calls == ["GetFunction"]
    assert (applied.changed, applied.calls) == (False, 0)


def test_a_second_deployment_of_the_least_manifest_changes_nothing(
    manifest: Write, deploy: Deploy, front: Any, key: str
) -> None:
    deploy(manifest(key=key))
    assert not deploy(manifest(key=key)).changed
    assert front.changes == []


@pytest.mark.parametrize(
    ("fields", "request_"),
    [
        ({"description": "new"}, {"Description": "new"}),
        ({"memoryMb": "256"}, {"MemorySize": 256}),
        ({"timeoutSeconds": "7"}, {"Timeout": 7}),
        ({"runtime": "python3.12"}, {"Runtime": "python3.12"}),
        ({"handler": "b.c"}, {"Handler": "b.c"}),
        ({"environment": "{AB: '1'}"}, {"Environment": {"Variables": {"AB": "1"}}}),
        ({"kmsKeyArn": f"{{value: '{KEY}'}}"}, {"KMSKeyArn": KEY}),
        (VPC, {"VpcConfig": {"SubnetIds": ["subnet-1"], "SecurityGroupIds": ["sg-1"]}}),
    ],
    ids=["description", "memory", "timeout", "runtime", "handler", "environment", "kms", "vpc"],
)
def test_one_changed_field_is_one_call_and_its_removal_another(
    manifest: Write, deploy: Deploy, front: Any, key: str, fields: dict[str, str], request_: dict[str, Any]
) -> None:
    deploy(manifest(key=key))
    deploy(manifest(key=key, **fields))
    assert front.changes == ["UpdateFunctionConfiguration"]
    assert without_revision(front.sent("UpdateFunctionConfiguration")[0]) == request_
    deploy(manifest(key=key, **fields))
    assert front.changes == []
    deploy(manifest(key=key))
    assert front.changes == ["UpdateFunctionConfiguration"]
    deploy(manifest(key=key))
    assert front.changes == []


def without_revision(request: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in request.items() if name not in ("RevisionId", "FunctionName")}


@pytest.mark.parametrize(
    ("fields", "cleared"),
    [
        (VPC, {"VpcConfig": {"SubnetIds": [], "SecurityGroupIds": [], "Ipv6AllowedForDualStack": False}}),
        ({"kmsKeyArn": f"{{value: '{KEY}'}}"}, {"KMSKeyArn": ""}),
        ({"environment": "{AB: '1', CD: '2'}"}, {"Environment": {"Variables": {}}}),
        ({"description": "old"}, {"Description": ""}),
        ({"memoryMb": "512", "timeoutSeconds": "9"}, {"MemorySize": 128, "Timeout": 3}),
    ],
    ids=["vpc", "kms", "environment", "description", "defaults"],
)
def test_what_leaves_the_manifest_is_cleared(
    manifest: Write, deploy: Deploy, front: Any, key: str, fields: dict[str, str], cleared: dict[str, Any]
) -> None:
    deploy(manifest(key=key, **fields))
    deploy(manifest(key=key))
    assert without_revision(front.sent("UpdateFunctionConfiguration")[0]) == cleared


def test_layers_are_attached_and_detached(
    manifest: Write, deploy: Deploy, deployed: Deployed, key: str, layer: str
) -> None:
    deploy(manifest(key=key))
    deploy(manifest(key=key, layerArns=f"[{{value: '{layer}'}}]"))
    assert [one["Arn"] for one in deployed()["Layers"]] == [layer]
    deploy(manifest(key=key))
    assert deployed().get("Layers", []) == []


def test_ipv6_that_somebody_turned_on_stays_on(
    manifest: Write, deploy: Deploy, front: Any, key: str, aws: Aws
) -> None:
    deploy(manifest(key=key, **VPC))
    aws.lambda_().update_function_configuration(
        FunctionName="render",
        VpcConfig={"SubnetIds": ["subnet-1"], "SecurityGroupIds": ["sg-1"], "Ipv6AllowedForDualStack": True},
    )
    deploy(manifest(key=key, **(VPC | {"subnets": "[{value: subnet-2}]"})))
    vpc = front.sent("UpdateFunctionConfiguration")[0]["VpcConfig"]
    assert vpc == {"SubnetIds": ["subnet-2"], "SecurityGroupIds": ["sg-1"], "Ipv6AllowedForDualStack": True}


def test_new_code_is_one_call(
    manifest: Write, deploy: Deploy, deployed: Deployed, front: Any, key: str, upload: Callable[[bytes], str]
) -> None:
    deploy(manifest(key=key))
    before = deployed()["CodeSha256"]
    deploy(manifest(key=upload(b"two")))
    assert front.changes == ["UpdateFunctionCode"]
    assert deployed()["CodeSha256"] != before


def test_a_new_architecture_sends_the_code_again(
    manifest: Write, deploy: Deploy, deployed: Deployed, front: Any, key: str
) -> None:
    deploy(manifest(key=key))
    deploy(manifest(key=key, architecture="ARM64"))
    assert front.changes == ["UpdateFunctionCode"]
    assert deployed()["CodeSha256"]
    deploy(manifest(key=key, architecture="ARM64"))
    assert front.changes == []


def test_configuration_and_code_are_sent_in_order_each_with_the_newest_revision(
    manifest: Write, deploy: Deploy, front: Any, key: str, upload: Callable[[bytes], str]
) -> None:
    front.behaviour.reads = 2
    deploy(manifest(key=key))
    deploy(manifest(key=upload(b"two"), memoryMb="256"))
    assert front.calls == [
        "GetFunction",
        "UpdateFunctionConfiguration",
        *["GetFunction"] * 3,
        "UpdateFunctionCode",
        *["GetFunction"] * 3,
    ]
    first = front.sent("UpdateFunctionConfiguration")[0]["RevisionId"]
    second = front.sent("UpdateFunctionCode")[0]["RevisionId"]
    assert first
    assert first != second


def test_an_image_is_created_and_then_left_alone(manifest: Write, deploy: Deploy, front: Any) -> None:
    image = {"codeSourceType": "CODE_SOURCE_TYPE_IMAGE", "s3": None, "imageUri": IMAGE}
    deploy(manifest(**image))
    sent = front.sent("CreateFunction")[0]
    assert sent["Code"] == {"ImageUri": IMAGE}
    assert not {"Runtime", "Handler", "Layers"} & sent.keys()
    assert not deploy(manifest(**image)).changed


@pytest.mark.parametrize(
    ("before", "after", "calls"),
    [
        (None, "0", ["PutFunctionConcurrency"]),
        ("5", "0", ["PutFunctionConcurrency"]),
        ("0", "5", ["PutFunctionConcurrency"]),
        ("0", "-1", ["DeleteFunctionConcurrency"]),
        ("5", "-1", ["DeleteFunctionConcurrency"]),
        ("5", None, []),
        ("0", "0", []),
        (None, "-1", []),
    ],
)
def test_reserved_concurrency(
    manifest: Write,
    deploy: Deploy,
    front: Any,
    key: str,
    before: str | None,
    after: str | None,
    calls: list[str],
) -> None:
    deploy(manifest(key=key, reservedConcurrency=before))
    deploy(manifest(key=key, reservedConcurrency=after))
    assert front.changes == calls
    deploy(manifest(key=key, reservedConcurrency=after))
    assert front.changes == []


def test_turning_off_comes_before_an_update_and_does_not_spoil_its_revision(
    manifest: Write, deploy: Deploy, front: Any, key: str
) -> None:
    deploy(manifest(key=key))
    deploy(manifest(key=key, reservedConcurrency="0", memoryMb="256"))
    assert front.changes == ["PutFunctionConcurrency", "UpdateFunctionConfiguration"]


def test_a_pending_function_is_waited_for(manifest: Write, deploy: Deploy, front: Any, key: str) -> None:
    front.behaviour.reads = 3
    deploy(manifest(key=key, reservedConcurrency="5"))
    assert front.calls == [
        "GetFunction",
        "CreateFunction",
        *["GetFunction"] * 4,
        "PutFunctionConcurrency",
        "GetFunction",
    ]


def test_a_function_not_found_right_after_its_creation_is_waited_for(
    manifest: Write, deploy: Deploy, front: Any, key: str
) -> None:
    front.behaviour.hidden_reads = 2
    assert deploy(manifest(key=key)).changed
    assert front.calls.count("GetFunction") == 4


@pytest.mark.parametrize("state", ["Inactive", "Deactivated", "ActiveNonInvocable"])
def test_states_that_the_sdks_waiters_do_not_know_end_the_wait(
    manifest: Write, deploy: Deploy, front: Any, key: str, state: str
) -> None:
    front.after(
        "CreateFunction", lambda: front.set_status("render", State=state, LastUpdateStatus="Successful")
    )
    applied = deploy(manifest(key=key))
    assert applied.observed
    assert applied.observed.state == state


def test_a_failed_creation_tells_lambdas_reason_and_what_to_do(
    manifest: Write, deploy: Deploy, front: Any, key: str
) -> None:
    front.fail("render", "SubnetOutOfIPAddresses", "no address left in subnet-1")
    with pytest.raises(FunctionFailed, match="SubnetOutOfIPAddresses: no address left") as caught:
        deploy(manifest(key=key))
    assert caught.value.hint == "use larger subnets, or free addresses in these"


def test_a_failed_update_ends_there_and_is_repaired_by_the_next(
    manifest: Write, deploy: Deploy, front: Any, key: str, upload: Callable[[bytes], str]
) -> None:
    deploy(manifest(key=key))
    front.before(
        "UpdateFunctionConfiguration",
        lambda: front.fail("render", "InvalidSubnet", "no such subnet"),
        times=2,
    )
    with pytest.raises(FunctionFailed, match="goes on serving; not undone: configure"):
        deploy(manifest(key=upload(b"two"), **VPC))
    assert front.changes == ["UpdateFunctionConfiguration"] * 2
    deploy(manifest(key=key))
    assert front.changes == ["UpdateFunctionConfiguration", "UpdateFunctionCode"]
    assert not deploy(manifest(key=key)).changed


def test_an_update_in_progress_by_another_is_waited_for(
    manifest: Write, deploy: Deploy, front: Any, key: str
) -> None:
    deploy(manifest(key=key))
    front.make_busy("render", 3)
    assert deploy(manifest(key=key, memoryMb="256")).changed
    assert front.changes == ["UpdateFunctionConfiguration"]


def test_an_update_that_starts_in_between_is_waited_for(
    manifest: Write, deploy: Deploy, front: Any, key: str
) -> None:
    deploy(manifest(key=key))
    front.before("UpdateFunctionConfiguration", lambda: front.make_busy("render", 2))
    assert deploy(manifest(key=key, memoryMb="256")).changed
    assert front.changes == ["UpdateFunctionConfiguration"] * 2


def test_an_unmanaged_change_in_between_is_no_conflict(
    manifest: Write, deploy: Deploy, front: Any, key: str
) -> None:
    deploy(manifest(key=key))
    front.before("UpdateFunctionConfiguration", lambda: front.touch("render"))
    assert deploy(manifest(key=key, memoryMb="256")).calls == 2


def test_another_deployment_in_between_is_a_conflict(
    manifest: Write, deploy: Deploy, front: Any, key: str, aws: Aws, deployed: Deployed
) -> None:
    deploy(manifest(key=key))

    def interfere() -> None:
        aws.lambda_().update_function_configuration(FunctionName="render", Timeout=9)

    front.before("UpdateFunctionConfiguration", interfere)
    with pytest.raises(DeployConflict, match="somebody else changed"):
        deploy(manifest(key=key, memoryMb="256"))
    assert (deployed()["Timeout"], deployed()["MemorySize"]) == (9, 128)


def test_conflicts_without_end_are_given_up(manifest: Write, deploy: Deploy, front: Any, key: str) -> None:
    deploy(manifest(key=key))
    busy = "An update is in progress for resource: render"
    front.refuse("UpdateFunctionConfiguration", 409, "ResourceConflictException", busy, times=99)
    with pytest.raises(DeployConflict, match="in progress"):
        deploy(manifest(key=key, memoryMb="256"))
    assert len(front.changes) == 4


def test_a_function_deleted_meanwhile_is_a_conflict(
    manifest: Write, deploy: Deploy, front: Any, key: str, aws: Aws
) -> None:
    deploy(manifest(key=key))
    stale = "The Revision Id provided does not match"
    front.refuse("UpdateFunctionConfiguration", 412, "PreconditionFailedException", stale)
    front.before("UpdateFunctionConfiguration", lambda: aws.lambda_().delete_function(FunctionName="render"))
    with pytest.raises(DeployConflict, match="is gone"):
        deploy(manifest(key=key, memoryMb="256"))


def test_a_role_that_lambda_does_not_know_yet_is_tried_again(
    manifest: Write, deploy: Deploy, front: Any, key: str
) -> None:
    front.refuse("CreateFunction", 400, "InvalidParameterValueException", NOT_YET, times=3)
    assert deploy(manifest(key=key)).calls == 4


def test_a_role_that_lambda_never_knows_is_told_with_what_to_do(
    manifest: Write, plan_of: Callable[[Manifest], Deployment], aws: Aws, front: Any, key: str
) -> None:
    front.refuse("CreateFunction", 400, "InvalidParameterValueException", NOT_YET, times=99)
    hurried = Patience(propagation=0.05, poll=0.02)
    with pytest.raises(DeployRefused, match="cannot be assumed") as caught:
        apply(plan_of(manifest(key=key)).plan, aws, None, patience=hurried)
    assert caught.value.hint
    assert "trust policy" in caught.value.hint
    assert 1 < len(front.changes) < 99


def test_other_refusals_are_not_tried_again(manifest: Write, deploy: Deploy, front: Any, key: str) -> None:
    front.refuse(
        "CreateFunction",
        400,
        "InvalidParameterValueException",
        "Error occurred while GetObject. S3 Error Code: NoSuchKey.",
    )
    with pytest.raises(DeployRefused, match="NoSuchKey") as caught:
        deploy(manifest(key=key))
    assert front.changes == ["CreateFunction"]
    assert caught.value.hint == "the artifact is gone; run `planton-build` again"


def test_a_refusal_never_shows_the_environment(manifest: Write, deploy: Deploy, front: Any, key: str) -> None:
    front.refuse("CreateFunction", 400, "InvalidParameterValueException", "the value hunter2 is bad")
    with pytest.raises(DeployRefused, match="the value ••• is bad"):
        deploy(manifest(key=key, environment="{PASSWORD: hunter2}"))


def test_a_missing_permission_names_action_and_resource(
    manifest: Write, deploy: Deploy, front: Any, key: str
) -> None:
    message = "User: x is not authorized to perform: iam:PassRole on resource: arn:role because no policy"
    front.refuse("CreateFunction", 403, "AccessDeniedException", message)
    with pytest.raises(AccessDenied, match="iam:PassRole on arn:role"):
        deploy(manifest(key=key))


def test_throttling_is_the_sdks_to_retry(manifest: Write, deploy: Deploy, front: Any, key: str) -> None:
    front.refuse("CreateFunction", 429, "TooManyRequestsException", "Rate exceeded")
    assert deploy(manifest(key=key)).calls == 1
    assert front.changes == ["CreateFunction"] * 2


@pytest.mark.parametrize("operation", ["CreateFunction", "UpdateFunctionConfiguration", "UpdateFunctionCode"])
def test_a_lost_answer_is_not_taken_for_somebody_elses_change(
    manifest: Write,
    deploy: Deploy,
    front: Any,
    key: str,
    upload: Callable[[bytes], str],
    deployed: Deployed,
    operation: str,
) -> None:
    deploy(manifest("other", key=key))
    front.behaviour.reads = 2
    front.lose(operation)
    name = "render" if operation == "CreateFunction" else "other"
    applied = deploy(manifest(name, key=upload(b"two"), memoryMb="256", reservedConcurrency="5"))
    assert applied.changed
    assert deployed(name)["MemorySize"] == 256
    assert front.changes[-1] == "PutFunctionConcurrency"


def test_a_function_that_somebody_else_creates_meanwhile_is_a_conflict(
    manifest: Write, deploy: Deploy, front: Any, key: str, deployed: Deployed
) -> None:
    front.before("CreateFunction", lambda: deploy(manifest(key=key)))
    with pytest.raises(DeployConflict, match="differs in memory_mb"):
        deploy(manifest(key=key, memoryMb="256"))
    assert deployed()["MemorySize"] == 128


def test_waiting_is_bounded(
    manifest: Write, plan_of: Callable[[Manifest], Deployment], aws: Aws, front: Any, key: str
) -> None:
    front.behaviour.reads = 9999
    with pytest.raises(DeployTimeout, match="state Pending"):
        apply(plan_of(manifest(key=key)).plan, aws, None, patience=Patience(settle=0.05, poll=0.01))


def test_code_that_is_not_what_its_name_says_is_told(
    manifest: Write, deploy: Deploy, key: str, aws: Aws, pack: Callable[[bytes], bytes]
) -> None:
    other = pack(b"overwritten")
    aws.s3().put_object(Bucket="artifacts", Key=key, Body=other)
    with pytest.raises(HashMismatch, match=hashlib.sha256(other).hexdigest()):
        deploy(manifest(key=key))


def test_steps_are_told_as_they_happen(
    manifest: Write, plan_of: Callable[[Manifest], Deployment], aws: Aws, key: str, patience: Patience
) -> None:
    events: list[Event] = []
    plan = plan_of(manifest(key=key, reservedConcurrency="5")).plan
    apply(plan, aws, None, events.append, patience=patience)
    assert [event.step for event in events if isinstance(event, StepStarted)] == [
        "create",
        "wait",
        "concurrency",
    ]
    assert [event.detail for event in events if isinstance(event, StepFinished)] == ["", "", "5 reserved"]


def test_a_plan_without_steps_calls_nothing(
    manifest: Write, plan_of: Callable[[Manifest], Deployment], aws: Aws, front: Any, key: str
) -> None:
    empty = replace(plan_of(manifest(key=key)).plan, steps=())
    front.calls.clear()
    assert apply(empty, aws, None) == Applied("render", changed=False, calls=0, observed=None)
    assert front.calls == []
