from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest

from planton_build.emulator.refusal import invalid

ARN = "arn:aws:lambda:eu-west-1:123456789012:function:orders"
ROLE = "arn:aws:iam::123456789012:role/worker"
IN_PROGRESS = f"The operation cannot be performed at this time. An update is in progress for resource: {ARN}"


def _create(here: Any, archive: bytes, **settings: Any) -> Any:
    wanted = {
        "FunctionName": "orders",
        "Role": ROLE,
        "Runtime": "python3.12",
        "Handler": "app.handler",
        "Code": {"ZipFile": archive},
        **settings,
    }
    return here.call("CreateFunction", **{name: value for name, value in wanted.items() if value is not None})


def _get(here: Any, **more: Any) -> Any:
    return here.call("GetFunction", FunctionName="orders", **more)


def _configuration(here: Any, **more: Any) -> Any:
    return here.call("GetFunctionConfiguration", FunctionName="orders", **more)


def test_a_new_function_is_pending_first_and_shows_all_defaults(here: Any, archive: bytes) -> None:
    created = _create(here, archive)
    assert (created["State"], created["StateReasonCode"]) == ("Pending", "Creating")
    assert "LastUpdateStatus" not in created
    found = _configuration(here)
    assert (found["State"], found["LastUpdateStatus"]) == ("Active", "Successful")
    assert "StateReason" not in found
    assert found["RevisionId"] != created["RevisionId"]
    assert found["CodeSha256"] == base64.b64encode(hashlib.sha256(archive).digest()).decode()
    expected = {
        "FunctionArn": ARN,
        "Version": "$LATEST",
        "PackageType": "Zip",
        "Architectures": ["x86_64"],
        "Timeout": 3,
        "MemorySize": 128,
        "Description": "",
        "CodeSize": len(archive),
        "TracingConfig": {"Mode": "PassThrough"},
        "EphemeralStorage": {"Size": 512},
        "SnapStart": {"ApplyOn": "None", "OptimizationStatus": "Off"},
        "LoggingConfig": {"LogFormat": "Text", "LogGroup": "/aws/lambda/orders"},
    }
    assert {name: found[name] for name in expected} == expected
    for absent in ("VpcConfig", "Environment", "DeadLetterConfig", "Layers", "KMSKeyArn"):
        assert absent not in found
    assert not [name for name in found if name.startswith("_")]


def test_a_function_is_created_once(here: Any, archive: bytes) -> None:
    _create(here, archive)
    with pytest.raises(Exception, match="Function already exist: orders") as refused:
        _create(here, archive)
    assert (refused.value.code, refused.value.status) == ("ResourceConflictException", 409)


def test_names_may_be_arns(here: Any, archive: bytes) -> None:
    _create(here, archive, FunctionName=ARN)
    assert here.call("GetFunction", FunctionName="123456789012:function:orders")["Configuration"]
    found = here.call("GetFunctionConfiguration", FunctionName=f"{ARN}:$LATEST")
    assert found["FunctionArn"] == f"{ARN}:$LATEST"


def test_a_name_has_at_most_64_characters_in_an_arn_too(here: Any, archive: bytes) -> None:
    _create(here, archive, FunctionName=ARN.replace("orders", "o" * 64))
    with pytest.raises(Exception, match="Member must have length less than or equal to 64"):
        _create(here, archive, FunctionName=ARN.replace("orders", "o" * 65))


def test_what_is_not_there_is_told_with_its_arn(here: Any, archive: bytes) -> None:
    assert here.refused("GetFunction", FunctionName="orders").message == f"Function not found: {ARN}"
    _create(here, archive)
    for qualifier in ("7", "live"):
        refusal = here.refused("GetFunction", FunctionName="orders", Qualifier=qualifier)
        assert (refusal.status, refusal.message) == (404, f"Function not found: {ARN}:{qualifier}")


def test_get_function_shows_code_tags_and_concurrency_of_the_unqualified_function_only(
    here: Any, archive: bytes
) -> None:
    _create(here, archive, Tags={"team": "a"}, Publish=True)
    assert "Concurrency" not in _get(here)
    here.region.functions["orders"].reserved = 0
    whole = _get(here)
    assert whole["Concurrency"] == {"ReservedConcurrentExecutions": 0}
    assert whole["Tags"] == {"team": "a"}
    assert whole["Code"]["RepositoryType"] == "S3"
    assert whole["Code"]["Location"].startswith(
        "https://awslambda-eu-west-1-tasks.s3.eu-west-1.amazonaws.com/"
    )
    assert "Concurrency" not in _get(here, Qualifier="1")


def test_a_change_lasts_for_the_reads_it_was_told_to_and_refuses_others_meanwhile(
    here: Any, archive: bytes
) -> None:
    here.behaviour.reads = 2
    _create(here, archive)
    assert here.refused("UpdateFunctionConfiguration", FunctionName="orders").message == IN_PROGRESS
    assert here.refused("PublishVersion", FunctionName="orders").message == IN_PROGRESS
    assert [_configuration(here)["State"] for _ in range(3)] == ["Pending", "Pending", "Active"]
    updated = here.call("UpdateFunctionConfiguration", FunctionName="orders", Timeout=9)
    assert (updated["Timeout"], updated["LastUpdateStatus"]) == (9, "InProgress")
    for name, request in (
        ("UpdateFunctionConfiguration", {"Timeout": 4}),
        ("UpdateFunctionCode", {"ZipFile": archive}),
        ("PublishVersion", {}),
    ):
        refusal = here.refused(name, FunctionName="orders", **request)
        assert (refusal.code, refusal.status) == ("ResourceConflictException", 409)
        assert refusal.message == IN_PROGRESS
    read = [_get(here)["Configuration"]["LastUpdateStatus"] for _ in range(3)]
    assert read == ["InProgress", "InProgress", "Successful"]


def test_a_change_lasts_until_its_seconds_are_over(here: Any, archive: bytes) -> None:
    here.behaviour.seconds = 5.0
    _create(here, archive)
    assert _configuration(here)["State"] == "Pending"
    here.clock.seconds = 5.0
    assert _configuration(here)["State"] == "Active"


def test_a_creation_that_fails_tells_why(here: Any, archive: bytes) -> None:
    here.behaviour.failures["orders"] = ("InvalidSubnet", "no such subnet")
    _create(here, archive)
    found = _configuration(here)
    assert (found["State"], found["StateReasonCode"], found["StateReason"]) == (
        "Failed",
        "InvalidSubnet",
        "no such subnet",
    )
    refusal = here.refused("Invoke", FunctionName="orders")
    assert refusal.message.endswith("The function is currently in the following state: Failed")


def test_an_update_that_fails_shows_the_new_and_runs_the_old(here: Any, archive: bytes) -> None:
    _create(here, archive)
    latest = here.region.functions["orders"].latest
    here.behaviour.failures["orders"] = ("ImageDeleted", "gone")
    here.call("UpdateFunctionConfiguration", FunctionName="orders", Timeout=9)
    assert latest.running[0]["Timeout"] == 3
    found = _configuration(here)
    assert (found["Timeout"], found["LastUpdateStatus"], found["State"]) == (9, "Failed", "Active")
    assert (found["LastUpdateStatusReasonCode"], found["LastUpdateStatusReason"]) == ("ImageDeleted", "gone")
    assert latest.running[0]["Timeout"] == 3
    here.call("UpdateFunctionConfiguration", FunctionName="orders", Timeout=10)
    assert latest.running[0]["Timeout"] == 3
    assert _configuration(here)["LastUpdateStatus"] == "Successful"
    assert latest.running[0]["Timeout"] == 10


def test_a_revision_is_good_for_one_change_and_ends_when_that_settles(here: Any, archive: bytes) -> None:
    created = _create(here, archive)["RevisionId"]
    current = _configuration(here)["RevisionId"]
    refusal = here.refused("UpdateFunctionConfiguration", FunctionName="orders", RevisionId=created)
    assert (refusal.code, refusal.status) == ("PreconditionFailedException", 412)
    assert refusal.message.startswith("The Revision Id provided does not match the latest Revision Id.")
    here.call("UpdateFunctionConfiguration", FunctionName="orders", RevisionId=current, Timeout=4)
    stale = here.refused("UpdateFunctionCode", FunctionName="orders", RevisionId=current, ZipFile=archive)
    assert stale.status == 412


def test_a_refused_change_changes_nothing(here: Any, archive: bytes) -> None:
    _create(here, archive)
    before = _configuration(here)
    here.refused("UpdateFunctionConfiguration", FunctionName="orders", Timeout=901, Description="x")
    here.refused("UpdateFunctionCode", FunctionName="orders", ZipFile=b"no zip")
    assert _configuration(here) == before


def test_updates_are_of_the_unpublished_function(here: Any, archive: bytes) -> None:
    _create(here, archive, Publish=True)
    refusal = here.refused("UpdateFunctionConfiguration", FunctionName="orders:1", Timeout=4)
    assert refusal.message.startswith("This operation is permitted on Lambda functions only.")


def test_a_new_function_is_not_found_for_some_reads(here: Any, archive: bytes) -> None:
    here.behaviour.hidden_reads = 2
    _create(here, archive)
    assert here.call("ListFunctions")["Functions"] == []
    assert here.refused("GetFunction", FunctionName="orders").status == 404
    assert here.refused("GetFunctionConfiguration", FunctionName="orders").status == 404
    assert _configuration(here)["State"] == "Active"
    assert len(here.call("ListFunctions")["Functions"]) == 1


def test_a_deletion_is_at_once_or_takes_reads(here: Any, archive: bytes) -> None:
    _create(here, archive)
    assert here.call("DeleteFunction", FunctionName="orders") == {"StatusCode": 204}
    assert here.refused("GetFunction", FunctionName="orders").status == 404
    assert here.refused("DeleteFunction", FunctionName="orders").message == f"Function not found: {ARN}"
    here.behaviour.deletion_reads = 2
    _create(here, archive)
    assert here.call("DeleteFunction", FunctionName="orders") == {"StatusCode": 202}
    assert here.call("DeleteFunction", FunctionName="orders") == {"StatusCode": 202}
    with pytest.raises(Exception, match="in the following state: Deleting") as refused:
        _create(here, archive)
    assert refused.value.status == 409
    assert here.refused("UpdateFunctionConfiguration", FunctionName="orders").status == 409
    assert [_configuration(here)["State"] for _ in range(2)] == ["Deleting", "Deleting"]
    assert _create(here, archive)["State"] == "Pending"


def test_versions_are_deleted_one_by_one_unless_an_alias_names_them(here: Any, archive: bytes) -> None:
    _create(here, archive, Publish=True)
    here.call("UpdateFunctionConfiguration", FunctionName="orders", Timeout=4)
    here.call("PublishVersion", FunctionName="orders")
    routing = {"AdditionalVersionWeights": {"1": 0.5}}
    here.call("CreateAlias", FunctionName="orders", Name="live", FunctionVersion="2", RoutingConfig=routing)
    for number in ("1", "2"):
        refusal = here.refused("DeleteFunction", FunctionName="orders", Qualifier=number)
        assert refusal.status == 409
        assert (
            refusal.message == "Unable to delete version because the following aliases reference it: [live]"
        )
    here.call("UpdateAlias", FunctionName="orders", Name="live", RoutingConfig={})
    here.region.functions["orders"].policies["1"] = {"a": {}}
    assert here.call("DeleteFunction", FunctionName="orders", Qualifier="1") == {"StatusCode": 204}
    assert here.call("DeleteFunction", FunctionName="orders", Qualifier="99") == {"StatusCode": 204}
    assert list(here.region.functions["orders"].versions) == ["2"]
    assert here.region.functions["orders"].policies == {}


@pytest.mark.parametrize(
    ("qualifier", "message"),
    [
        ("$LATEST", "$LATEST version cannot be deleted without deleting the function."),
        ("live", "Deletion of aliases is not currently supported."),
    ],
)
def test_latest_and_aliases_are_no_versions_to_delete(
    here: Any, archive: bytes, qualifier: str, message: str
) -> None:
    _create(here, archive)
    assert here.refused("DeleteFunction", FunctionName="orders", Qualifier=qualifier).message == message


def test_functions_are_listed_page_by_page_without_their_states(here: Any, archive: bytes) -> None:
    for number in range(60):
        _create(here, archive, FunctionName=f"f{number:02}", Publish=number == 0)
    first = here.call("ListFunctions", MaxItems=10_000)
    assert len(first["Functions"]) == 50
    rest = here.call("ListFunctions", Marker=first["NextMarker"])
    assert "NextMarker" not in rest
    names = [one["FunctionName"] for one in (*first["Functions"], *rest["Functions"])]
    assert names == [f"f{number:02}" for number in range(60)]
    assert "State" not in first["Functions"][0]
    every = here.call("ListFunctions", FunctionVersion="ALL", MaxItems=2)["Functions"]
    assert [one["FunctionArn"].rpartition(":function:")[2] for one in every] == ["f00:$LATEST", "f00:1"]


def test_a_role_that_cannot_be_assumed_is_refused(here: Any, archive: bytes) -> None:
    def refuse(account: str, role: str) -> None:
        raise invalid("The role defined for the function cannot be assumed by Lambda.")

    here.world.check_role = refuse
    with pytest.raises(Exception, match="cannot be assumed by Lambda"):
        _create(here, archive)
    assert here.region.functions == {}


def test_a_code_signing_configuration_must_be_there_and_is_kept(here: Any, archive: bytes) -> None:
    missing = "arn:aws:lambda:eu-west-1:123456789012:code-signing-config:csc-0123456789abcdefg"
    with pytest.raises(Exception, match="code signing configuration cannot be found"):
        _create(here, archive, CodeSigningConfigArn=missing)
    profile = "arn:aws:signer:eu-west-1:123456789012:/signing-profiles/p/abc"
    made = here.call(
        "CreateCodeSigningConfig",
        AllowedPublishers={"SigningProfileVersionArns": [profile]},
        CodeSigningPolicies={"UntrustedArtifactOnDeployment": "Enforce"},
    )["CodeSigningConfig"]["CodeSigningConfigArn"]
    with pytest.raises(Exception, match="Check the provided signature for orders") as refused:
        _create(here, archive, CodeSigningConfigArn=made)
    assert refused.value.code == "CodeVerificationFailedException"
    _create(here, archive)
    here.call("PutFunctionCodeSigningConfig", FunctionName="orders", CodeSigningConfigArn=made)
    assert here.refused("UpdateFunctionCode", FunctionName="orders", ZipFile=archive).status == 400


def test_a_code_update_may_publish_or_only_look(here: Any, archive: bytes) -> None:
    _create(here, archive)
    before = _configuration(here)
    here.world.objects["artifacts", "k", "v"] = archive + b" "
    request = {"FunctionName": "orders", "S3Bucket": "artifacts", "S3Key": "k", "S3ObjectVersion": "v"}
    looked = here.call("UpdateFunctionCode", DryRun=True, **request)
    assert looked["CodeSha256"] != before["CodeSha256"]
    assert _configuration(here) == before
    published = here.call("UpdateFunctionCode", Publish=True, Architectures=["arm64"], **request)
    assert (published["Version"], published["FunctionArn"]) == ("1", f"{ARN}:1")
    found = _configuration(here)
    assert (found["CodeSha256"], found["Architectures"]) == (looked["CodeSha256"], ["arm64"])
    assert _configuration(here, Qualifier="1")["CodeSha256"] == looked["CodeSha256"]
