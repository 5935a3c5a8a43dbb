from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from planton_build.emulator.refusal import Refusal
from planton_build.emulator.registered_layers import register_layer_version
from planton_build.emulator.runtime_dates import check_runtime_dates

ROLE = "arn:aws:iam::123456789012:role/worker"
IMAGE = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/orders:v1"
QUEUE = "arn:aws:sqs:eu-west-1:123456789012:dead"
KEY = "arn:aws:kms:eu-west-1:123456789012:key/1"
POINT = "arn:aws:elasticfilesystem:eu-west-1:123456789012:access-point/fsap-0123456789abcdef0"
NETWORK = {"SubnetIds": ["subnet-1"], "SecurityGroupIds": ["sg-1"]}


@pytest.fixture
def lam(here: Any, archive: bytes) -> Any:
    """Lambda with the function `orders`."""
    here.call(
        "CreateFunction",
        FunctionName="orders",
        Role=ROLE,
        Runtime="python3.12",
        Handler="app.handler",
        Code={"ZipFile": archive},
    )
    return here


def _update(here: Any, **settings: Any) -> Any:
    here.call("UpdateFunctionConfiguration", FunctionName="orders", **settings)
    return here.call("GetFunctionConfiguration", FunctionName="orders")


def _refused(here: Any, **settings: Any) -> str:
    refusal = here.refused("UpdateFunctionConfiguration", FunctionName="orders", **settings)
    assert refusal.status in {400, 403}
    return str(refusal.message)


@pytest.mark.parametrize(
    ("setting", "shown"),
    [
        ({"Role": f"{ROLE}2"}, None),
        ({"Handler": "b.c"}, None),
        ({"Runtime": "python3.13"}, None),
        ({"Description": "d"}, None),
        ({"Timeout": 900}, None),
        ({"MemorySize": 10_240}, None),
        ({"EphemeralStorage": {"Size": 10_240}}, None),
        ({"TracingConfig": {"Mode": "Active"}}, None),
        ({"KMSKeyArn": KEY}, None),
        ({"DeadLetterConfig": {"TargetArn": QUEUE}}, None),
        ({"Environment": {"Variables": {"AB": "c"}}}, None),
        (
            {"VpcConfig": NETWORK},
            {"VpcConfig": {**NETWORK, "VpcId": "vpc-00ab24d0c0e2fa1c7", "Ipv6AllowedForDualStack": False}},
        ),
        (
            {"SnapStart": {"ApplyOn": "PublishedVersions"}},
            {"SnapStart": {"ApplyOn": "PublishedVersions", "OptimizationStatus": "Off"}},
        ),
        (
            {"LoggingConfig": {"LogFormat": "JSON"}},
            {
                "LoggingConfig": {
                    "LogFormat": "JSON",
                    "LogGroup": "/aws/lambda/orders",
                    "ApplicationLogLevel": "INFO",
                    "SystemLogLevel": "INFO",
                }
            },
        ),
    ],
)
def test_every_setting_reads_back_as_it_was_set(lam: Any, setting: Any, shown: Any) -> None:
    found = _update(lam, **setting)
    expected = shown or setting
    found = {name: found[name] for name in expected}
    if "VpcConfig" in found:
        assert found["VpcConfig"].pop("VpcId").startswith("vpc-")
        expected["VpcConfig"].pop("VpcId")
    assert found == expected


@pytest.mark.parametrize(
    ("setting", "cleared"),
    [
        ({"Environment": {"Variables": {"AB": "c"}}}, {"Environment": {}}),
        ({"Environment": {"Variables": {"AB": "c"}}}, {"Environment": {"Variables": {}}}),
        ({"DeadLetterConfig": {"TargetArn": QUEUE}}, {"DeadLetterConfig": {"TargetArn": ""}}),
        ({"DeadLetterConfig": {"TargetArn": QUEUE}}, {"DeadLetterConfig": {}}),
        ({"KMSKeyArn": KEY}, {"KMSKeyArn": ""}),
    ],
)
def test_empty_values_clear(lam: Any, setting: Any, cleared: Any) -> None:
    before = _update(lam)
    changed = _update(lam, **setting)
    assert changed["ConfigSha256"] != before["ConfigSha256"]
    after = _update(lam, **cleared)
    assert next(iter(setting)) not in after
    assert after["ConfigSha256"] == before["ConfigSha256"]


def test_what_a_request_does_not_have_stays(lam: Any) -> None:
    _update(lam, Environment={"Variables": {"AB": "c"}}, Description="d")
    found = _update(lam, Timeout=5)
    assert (found["Environment"], found["Description"]) == ({"Variables": {"AB": "c"}}, "d")


def test_a_network_has_subnets_and_groups_or_neither(lam: Any) -> None:
    text = "SubnetIds and SecurityIds must coexist or be both empty list."
    assert _refused(lam, VpcConfig={"SubnetIds": ["subnet-1"]}) == text
    _update(lam, VpcConfig=NETWORK)
    assert _update(lam, VpcConfig={"Ipv6AllowedForDualStack": True})["VpcConfig"]["SubnetIds"] == ["subnet-1"]
    detached = {"SubnetIds": [], "SecurityGroupIds": [], "Ipv6AllowedForDualStack": False}
    assert _update(lam, VpcConfig=detached)["VpcConfig"] == {**detached, "VpcId": ""}


def test_log_levels_are_jsons(lam: Any) -> None:
    text = 'LogLevel is not supported when LogFormat is set to "Text".'
    assert _refused(lam, LoggingConfig={"ApplicationLogLevel": "WARN"}).startswith(text)
    assert _refused(lam, LoggingConfig={"LogFormat": "Text", "SystemLogLevel": "WARN"}).startswith(text)
    _update(lam, LoggingConfig={"LogFormat": "JSON", "SystemLogLevel": "WARN", "LogGroup": "mine"})
    assert _update(lam, LoggingConfig={"LogFormat": "JSON"})["LoggingConfig"]["SystemLogLevel"] == "WARN"
    back = _update(lam, LoggingConfig={"LogFormat": "Text"})["LoggingConfig"]
    assert back == {"LogFormat": "Text", "LogGroup": "mine"}


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (
            {"Timeout": 901},
            "'Timeout' value failed to satisfy constraint: Member must have value less than or equal to 900",
        ),
        ({"MemorySize": 10_241}, "'MemorySize' value failed"),
        ({"EphemeralStorage": {"Size": 10_241}}, "'EphemeralStorage' value failed"),
        ({"Handler": ""}, "Runtime and Handler are mandatory parameters"),
        ({"ImageConfig": {"Command": ["a"]}}, "ImageConfig is only supported"),
        ({"Runtime": "python3.6"}, "The runtime parameter of python3.6 is no longer supported"),
        (
            {"DeadLetterConfig": {"TargetArn": "arn:aws:s3:::b"}},
            "The dead letter target arn:aws:s3:::b is no",
        ),
        (
            {"FileSystemConfigs": [{"Arn": POINT, "LocalMountPath": "/mnt/a"}]},
            "Function must be configured to",
        ),
    ],
)
def test_what_breaks_a_rule_is_refused(lam: Any, setting: Any, message: str) -> None:
    assert _refused(lam, **setting).startswith(message)


def test_variables_are_measured_as_json_and_some_names_are_lambdas(lam: Any) -> None:
    # {"AB":"…"} has nine characters around the value.
    assert _update(lam, Environment={"Variables": {"AB": "x" * (4096 - 9)}})
    text = _refused(lam, Environment={"Variables": {"AB": "x" * (4096 - 8)}})
    assert "exceeded the 4KB limit. String measured: {" in text
    assert _update(lam, Environment={"Variables": {"AB": "ü" * 2043}})
    assert "4KB" in _refused(lam, Environment={"Variables": {"AB": "ü" * 2048}})
    text = _refused(lam, Environment={"Variables": {"AWS_REGION": "x", "AB": "y", "_HANDLER": "z"}})
    assert text.endswith("Reserved keys used in this request: AWS_REGION, _HANDLER")


def test_images_have_no_runtime_handler_or_layers_but_an_image_configuration(here: Any) -> None:
    image = {"FunctionName": "orders", "Role": ROLE, "PackageType": "Image", "Code": {"ImageUri": IMAGE}}
    assert "not supported" in here.refused("CreateFunction", **image, Runtime="python3.12").message
    assert "not supported" in here.refused("CreateFunction", **image, Handler="a.b").message
    configuration = {"Command": ["a"], "EntryPoint": [], "WorkingDirectory": "/w"}
    created = here.call("CreateFunction", **image, ImageConfig=configuration)
    assert created["ImageConfigResponse"] == {"ImageConfig": {"Command": ["a"], "WorkingDirectory": "/w"}}
    assert "ImageConfigResponse" not in _update(here, ImageConfig={})
    snap = here.refused(
        "UpdateFunctionConfiguration", FunctionName="orders", SnapStart={"ApplyOn": "PublishedVersions"}
    )
    assert "is not supported for SnapStart" in snap.message


@pytest.mark.parametrize(
    ("runtime", "supported"),
    [("python3.12", True), ("python3.11", False), ("nodejs22.x", False), ("java21", True), ("dotnet8", True)],
)
def test_snap_start_is_for_some_runtimes(lam: Any, runtime: str, supported: bool) -> None:
    request = {"Runtime": runtime, "SnapStart": {"ApplyOn": "PublishedVersions"}}
    if supported:
        assert _update(lam, **request)["Runtime"] == runtime
    else:
        assert _refused(lam, **request) == f"{runtime} is not supported for SnapStart enabled functions."


def test_snap_start_goes_with_little_storage_and_no_file_system(lam: Any) -> None:
    _update(lam, VpcConfig=NETWORK, SnapStart={"ApplyOn": "PublishedVersions"})
    assert "SnapStart" in _refused(lam, EphemeralStorage={"Size": 513})
    assert "SnapStart" in _refused(lam, FileSystemConfigs=[{"Arn": POINT, "LocalMountPath": "/mnt/a"}])
    assert "SnapStart" in _refused(lam, Runtime="python3.11")
    _update(lam, SnapStart={"ApplyOn": "None"})
    assert _update(lam, FileSystemConfigs=[{"Arn": POINT, "LocalMountPath": "/mnt/a"}])["FileSystemConfigs"]
    assert "Function must be configured" in _refused(lam, VpcConfig={"SubnetIds": [], "SecurityGroupIds": []})
    assert "FileSystemConfigs" not in _update(lam, FileSystemConfigs=[])


@pytest.mark.parametrize(
    ("kind", "setting", "word"),
    [
        ("queue", {"DeadLetterConfig": {"TargetArn": QUEUE}}, "does not exist"),
        ("subnet", {"VpcConfig": NETWORK}, "InvalidSubnetID.NotFound"),
        ("security_group", {"VpcConfig": NETWORK}, "InvalidGroup.NotFound"),
        ("key", {"KMSKeyArn": KEY}, "KMS key is invalid for CreateGrant"),
    ],
)
def test_what_is_named_must_be_there_where_the_world_is_strict(
    lam: Any, kind: str, setting: Any, word: str
) -> None:
    lam.world.there[kind] = set()
    assert word in _refused(lam, **setting)
    lam.behaviour.strict_world = False
    assert _update(lam, **setting)


def test_layers_exist_are_five_and_of_different_layers(lam: Any, archive: bytes) -> None:
    arns = [
        lam.call("PublishLayerVersion", LayerName=name, Content={"ZipFile": archive})["LayerVersionArn"]
        for name in ("a", "a", "b", "c", "d", "e")
    ]
    found = _update(lam, Layers=arns[1:])
    assert found["Layers"] == [{"Arn": arn, "CodeSize": len(archive)} for arn in arns[1:]]
    assert "Layers" not in _update(lam, Layers=[])
    assert _refused(lam, Layers=arns) == "Cannot reference more than 5 layers."
    assert _refused(lam, Layers=arns[:2]).startswith("Two different versions of the same layer")
    missing = arns[0].rpartition(":")[0] + ":9"
    assert _refused(lam, Layers=[missing]) == f"Layer version {missing} does not exist."
    abroad = arns[0].replace("eu-west-1", "eu-west-2")
    assert "Layers are expected to be in region eu-west-1." in _refused(lam, Layers=[abroad])
    foreign = arns[0].replace("123456789012", "999999999999")
    assert "no resource-based policy allows the lambda:GetLayerVersion action" in _refused(
        lam, Layers=[foreign]
    )


def test_layers_of_other_accounts_are_taken_when_they_are_known_and_of_the_region(lam: Any) -> None:
    near, far = (f"arn:aws:lambda:eu-west-{number}:999999999999:layer:shared:3" for number in (1, 2))
    for arn in (near, far):
        register_layer_version(lam.region, arn)
    assert _update(lam, Layers=[near])["Layers"] == [{"Arn": near, "CodeSize": 0}]
    assert "no resource-based policy allows" in _refused(lam, Layers=[far])


def test_a_zip_has_runtime_and_handler(here: Any, archive: bytes) -> None:
    request = {"FunctionName": "orders", "Role": ROLE, "Code": {"ZipFile": archive}}
    for more in ({}, {"Runtime": "python3.12"}, {"Handler": "a.b"}):
        assert "mandatory parameters" in here.refused("CreateFunction", **request, **more).message


def test_runtimes_are_blocked_for_new_functions_first() -> None:
    day = dt.date(2027, 8, 1)
    check_runtime_dates("python3.11", creating=False, today=day)
    with pytest.raises(Refusal):
        check_runtime_dates("python3.11", creating=True, today=day)
    with pytest.raises(Refusal):
        check_runtime_dates("python3.11", creating=False, today=dt.date(2027, 8, 31))
    check_runtime_dates("python3.14", creating=True, today=day)
