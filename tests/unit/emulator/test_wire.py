"""What hangs on functions, through boto3: names, types and error classes are those of the service model."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError

from planton_build.emulator.serve import Emulator

PROFILE = "arn:aws:signer:eu-west-1:123456789012:/signing-profiles/planton/AbCdEfGhIj"


def _archive() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        made.writestr("app.py", "handler = print")
    return buffer.getvalue()


@pytest.fixture
def aws(emulator: Emulator, client: Callable[..., Any], role: str) -> Any:
    """A client of Lambda, where the function `orders` has version 1 and the alias `live`."""
    made = client("lambda")
    made.create_function(
        FunctionName="orders",
        Role=role,
        Runtime="python3.12",
        Handler="app.handler",
        Timeout=30,
        Code={"ZipFile": _archive()},
    )
    made.get_waiter("function_active_v2").wait(FunctionName="orders", WaiterConfig={"Delay": 0})
    made.publish_version(FunctionName="orders")
    made.create_alias(FunctionName="orders", Name="live", FunctionVersion="1")
    return made


def test_concurrency(aws: Any) -> None:
    aws.put_function_concurrency(FunctionName="orders", ReservedConcurrentExecutions=10)
    assert aws.get_function(FunctionName="orders")["Concurrency"] == {"ReservedConcurrentExecutions": 10}
    live = {"FunctionName": "orders", "Qualifier": "live"}
    with pytest.raises(aws.exceptions.InvalidParameterValueException, match="reservedConcurrentExecution"):
        aws.put_provisioned_concurrency_config(**live, ProvisionedConcurrentExecutions=11)
    assert aws.put_provisioned_concurrency_config(**live, ProvisionedConcurrentExecutions=2)["Status"] == (
        "IN_PROGRESS"
    )
    assert aws.get_provisioned_concurrency_config(**live)["Status"] == "READY"
    listed = aws.list_provisioned_concurrency_configs(FunctionName="orders")
    assert len(listed["ProvisionedConcurrencyConfigs"]) == 1
    aws.delete_provisioned_concurrency_config(**live)
    with pytest.raises(aws.exceptions.ProvisionedConcurrencyConfigNotFoundException):
        aws.get_provisioned_concurrency_config(**live)
    aws.delete_function_concurrency(FunctionName="orders")
    assert "ReservedConcurrentExecutions" not in aws.get_function_concurrency(FunctionName="orders")
    assert aws.get_account_settings()["AccountUsage"]["FunctionCount"] == 1


def test_urls_and_permissions(aws: Any) -> None:
    live = {"FunctionName": "orders", "Qualifier": "live"}
    made = aws.create_function_url_config(**live, AuthType="NONE", Cors={"AllowOrigins": ["*"]})
    with pytest.raises(aws.exceptions.ResourceConflictException):
        aws.create_function_url_config(**live, AuthType="NONE")
    found = aws.get_function_url_config(**live)
    assert found["FunctionUrl"] == made["FunctionUrl"] and found["Cors"] == {"AllowOrigins": ["*"]}
    assert aws.update_function_url_config(**live, AuthType="AWS_IAM")["AuthType"] == "AWS_IAM"
    everybody = {**live, "Principal": "*"}
    aws.add_permission(
        **everybody, StatementId="url", Action="lambda:InvokeFunctionUrl", FunctionUrlAuthType="NONE"
    )
    aws.add_permission(
        **everybody, StatementId="call", Action="lambda:InvokeFunction", InvokedViaFunctionUrl=True
    )
    policy = aws.get_policy(**live)
    assert [one["Sid"] for one in json.loads(policy["Policy"])["Statement"]] == ["url", "call"]
    assert policy["RevisionId"] == aws.get_alias(FunctionName="orders", Name="live")["RevisionId"]
    with pytest.raises(aws.exceptions.PreconditionFailedException):
        aws.remove_permission(**live, StatementId="url", RevisionId="0" * 36)
    aws.remove_permission(**live, StatementId="url", RevisionId=policy["RevisionId"])
    aws.delete_function_url_config(**live)
    assert aws.list_function_url_configs(FunctionName="orders")["FunctionUrlConfigs"] == []
    aws.delete_alias(FunctionName="orders", Name="live")
    with pytest.raises(aws.exceptions.ResourceNotFoundException):
        aws.get_policy(**live)


def test_asynchronous_invocations(aws: Any, client: Callable[..., Any]) -> None:
    queue = client("sqs").create_queue(QueueName="failed")["QueueUrl"].rpartition("/")[2]
    arn = f"arn:aws:sqs:eu-west-1:123456789012:{queue}"
    live = {"FunctionName": "orders", "Qualifier": "live"}
    made = aws.put_function_event_invoke_config(
        **live, MaximumRetryAttempts=1, DestinationConfig={"OnFailure": {"Destination": arn}}
    )
    assert isinstance(made["LastModified"], datetime)
    found = aws.update_function_event_invoke_config(**live, MaximumEventAgeInSeconds=60)
    assert (found["MaximumRetryAttempts"], found["MaximumEventAgeInSeconds"]) == (1, 60)
    assert aws.get_function_event_invoke_config(**live)["DestinationConfig"]["OnFailure"] == {
        "Destination": arn
    }
    with pytest.raises(aws.exceptions.InvalidParameterValueException, match="is invalid"):
        aws.put_function_event_invoke_config(
            **live, DestinationConfig={"OnFailure": {"Destination": f"{arn}-gone"}}
        )
    assert (
        len(aws.list_function_event_invoke_configs(FunctionName="orders")["FunctionEventInvokeConfigs"]) == 1
    )
    aws.delete_function_event_invoke_config(**live)


def test_event_sources(aws: Any, emulator: Emulator, client: Callable[..., Any]) -> None:
    source = "arn:aws:sqs:eu-west-1:123456789012:orders"
    wanted = {"FunctionName": "orders:live", "EventSourceArn": source}
    with pytest.raises(aws.exceptions.InvalidParameterValueException, match="NonExistentQueue"):
        aws.create_event_source_mapping(**wanted)
    client("sqs").create_queue(QueueName="orders", Attributes={"VisibilityTimeout": "30"})
    client("sqs").create_queue(QueueName="hasty", Attributes={"VisibilityTimeout": "10"})
    text = "Queue visibility timeout: 10 seconds is less than Function timeout: 30 seconds"
    with pytest.raises(aws.exceptions.InvalidParameterValueException, match=text):
        aws.create_event_source_mapping(
            FunctionName="orders", EventSourceArn=source.replace("orders", "hasty")
        )
    emulator.behaviour.reads = 1
    made = aws.create_event_source_mapping(**wanted, Tags={"team": "a"})
    assert isinstance(made["LastModified"], datetime)
    uuid = made["UUID"]
    assert [aws.get_event_source_mapping(UUID=uuid)["State"] for _ in range(2)] == ["Creating", "Enabled"]
    assert aws.list_tags(Resource=made["EventSourceMappingArn"])["Tags"] == {"team": "a"}
    with pytest.raises(aws.exceptions.ResourceConflictException, match=uuid):
        aws.create_event_source_mapping(**wanted)
    assert aws.update_event_source_mapping(UUID=uuid, Enabled=False)["State"] == "Disabling"
    with pytest.raises(aws.exceptions.ResourceInUseException):
        aws.delete_event_source_mapping(UUID=uuid)
    listed = aws.list_event_source_mappings(FunctionName="orders:live")["EventSourceMappings"]
    assert [one["UUID"] for one in listed] == [uuid]
    assert aws.get_event_source_mapping(UUID=uuid)["State"] == "Disabled"
    assert aws.delete_event_source_mapping(UUID=uuid)["State"] == "Deleting"


def test_tables_and_streams_are_sources(aws: Any, client: Callable[..., Any]) -> None:
    table = client("dynamodb").create_table(
        TableName="orders",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
    )["TableDescription"]
    made = aws.create_event_source_mapping(
        FunctionName="orders", EventSourceArn=table["LatestStreamArn"], StartingPosition="LATEST"
    )
    assert made["StartingPosition"] == "LATEST"
    with pytest.raises(aws.exceptions.InvalidParameterValueException, match="Stream not found"):
        aws.create_event_source_mapping(
            FunctionName="orders",
            EventSourceArn="arn:aws:kinesis:eu-west-1:123456789012:stream/gone",
            StartingPosition="AT_TIMESTAMP",
            StartingPositionTimestamp=datetime(2026, 1, 1),
        )


def test_code_signing(aws: Any) -> None:
    publishers = {"SigningProfileVersionArns": [PROFILE]}
    made = aws.create_code_signing_config(AllowedPublishers=publishers)["CodeSigningConfig"]
    arn = made["CodeSigningConfigArn"]
    aws.put_function_code_signing_config(FunctionName="orders", CodeSigningConfigArn=arn)
    found = aws.get_function_code_signing_config(FunctionName="orders")
    assert found["CodeSigningConfigArn"] == arn
    assert aws.list_functions_by_code_signing_config(CodeSigningConfigArn=arn)["FunctionArns"]
    aws.update_code_signing_config(CodeSigningConfigArn=arn, Description="new")
    assert aws.get_code_signing_config(CodeSigningConfigArn=arn)["CodeSigningConfig"]["Description"] == "new"
    aws.delete_function_code_signing_config(FunctionName="orders")
    assert "CodeSigningConfigArn" not in aws.get_function_code_signing_config(FunctionName="orders")
    assert len(aws.list_code_signing_configs()["CodeSigningConfigs"]) == 1
    aws.delete_code_signing_config(CodeSigningConfigArn=arn)
    with pytest.raises(aws.exceptions.CodeSigningConfigNotFoundException):
        aws.put_function_code_signing_config(FunctionName="orders", CodeSigningConfigArn=arn)


def test_runtimes_recursion_and_tags(aws: Any) -> None:
    aws.put_runtime_management_config(FunctionName="orders", UpdateRuntimeOn="FunctionUpdate")
    found = aws.get_runtime_management_config(FunctionName="orders")
    assert found["UpdateRuntimeOn"] == "FunctionUpdate"
    aws.put_function_recursion_config(FunctionName="orders", RecursiveLoop="Allow")
    assert aws.get_function_recursion_config(FunctionName="orders")["RecursiveLoop"] == "Allow"
    arn = aws.get_function_configuration(FunctionName="orders")["FunctionArn"]
    aws.tag_resource(Resource=arn, Tags={"team": "a", "stage": "b"})
    aws.untag_resource(Resource=arn, TagKeys=["stage"])
    assert aws.list_tags(Resource=arn)["Tags"] == aws.get_function(FunctionName="orders")["Tags"]
    with pytest.raises(aws.exceptions.InvalidParameterValueException, match="aliases and versions"):
        aws.tag_resource(Resource=f"{arn}:live", Tags={"team": "a"})


def test_layers(aws: Any) -> None:
    made = aws.publish_layer_version(
        LayerName="shared",
        Content={"ZipFile": _archive()},
        CompatibleRuntimes=["python3.12"],
        CompatibleArchitectures=["arm64"],
    )
    assert made["Version"] == 1 and made["CompatibleArchitectures"] == ["arm64"]
    with pytest.raises(aws.exceptions.InvalidParameterValueException, match="Could not unzip"):
        aws.publish_layer_version(LayerName="shared", Content={"ZipFile": b"no zip"})
    with pytest.raises(aws.exceptions.InvalidParameterValueException, match="NoSuchBucket"):
        aws.publish_layer_version(LayerName="shared", Content={"S3Bucket": "gone", "S3Key": "a"})
    found = aws.get_layer_version(LayerName="shared", VersionNumber=1)
    assert aws.get_layer_version_by_arn(Arn=made["LayerVersionArn"])["Content"] == found["Content"]
    permission = {"LayerName": "shared", "VersionNumber": 1, "StatementId": "a"}
    aws.add_layer_version_permission(**permission, Action="lambda:GetLayerVersion", Principal="*")
    assert "a" in aws.get_layer_version_policy(LayerName="shared", VersionNumber=1)["Policy"]
    aws.remove_layer_version_permission(**permission)
    assert [one["LayerName"] for one in aws.list_layers()["Layers"]] == ["shared"]
    aws.update_function_configuration(FunctionName="orders", Layers=[made["LayerVersionArn"]])
    aws.delete_layer_version(LayerName="shared", VersionNumber=1)
    assert aws.list_layer_versions(LayerName="shared")["LayerVersions"] == []
    layers = aws.get_function_configuration(FunctionName="orders")["Layers"]
    assert [one["Arn"] for one in layers] == [made["LayerVersionArn"]]


def test_lists_are_paged_as_botocore_pages_them(aws: Any) -> None:
    for number in range(5):
        aws.publish_layer_version(LayerName=f"l{number}", Content={"ZipFile": _archive()})
    pages = list(aws.get_paginator("list_layers").paginate(PaginationConfig={"PageSize": 2}))
    assert [len(found["Layers"]) for found in pages] == [2, 2, 1]


def test_what_breaks_the_model_is_refused_before_it_gets_here(aws: Any) -> None:
    for call, request in (
        (aws.add_permission, {"StatementId": "a b", "Action": "lambda:InvokeFunction", "Principal": "*"}),
        (aws.create_function_url_config, {"AuthType": "NONE", "Cors": {"MaxAge": 86_401}}),
        (aws.put_function_event_invoke_config, {"MaximumRetryAttempts": 3}),
        (aws.put_function_recursion_config, {"RecursiveLoop": "Maybe"}),
    ):
        with pytest.raises(ClientError, match="validation error detected") as refusal:
            call(FunctionName="orders", **request)
        assert refusal.value.response["Error"]["Code"] == "ValidationException"
