from __future__ import annotations

import base64
import hashlib
import io
import json
import zipfile
from typing import Any

from planton_build.emulator.layers import DIRECT_LIMIT, layer_version


def _publish(here: Any, content: bytes, name: str = "shared", **request: Any) -> Any:
    return here.call("PublishLayerVersion", LayerName=name, Content={"ZipFile": content}, **request)


def test_every_call_makes_a_version_and_numbers_are_not_used_again(here: Any, archive: bytes) -> None:
    first, second = _publish(here, archive), _publish(here, archive)
    assert (first["Version"], second["Version"]) == (1, 2)
    arn = "arn:aws:lambda:eu-west-1:123456789012:layer:shared"
    assert (first["LayerArn"], second["LayerVersionArn"]) == (arn, f"{arn}:2")
    assert first["Content"]["CodeSha256"] == base64.b64encode(hashlib.sha256(archive).digest()).decode()
    assert first["Content"]["CodeSize"] == len(archive)
    assert not [name for name in first if name.startswith("_")]
    here.call("DeleteLayerVersion", LayerName="shared", VersionNumber=2)
    here.call("DeleteLayerVersion", LayerName="shared", VersionNumber=2)
    here.call("DeleteLayerVersion", LayerName="shared", VersionNumber=1)
    assert here.call("ListLayers") == {"Layers": []}
    assert _publish(here, archive)["Version"] == 3


def test_a_version_is_found_by_number_and_by_arn(here: Any, archive: bytes) -> None:
    made = _publish(here, archive, CompatibleRuntimes=["python3.12"], Description="shared")
    by_number = here.call("GetLayerVersion", LayerName="shared", VersionNumber=1)
    by_layer_arn = here.call("GetLayerVersion", LayerName=made["LayerArn"], VersionNumber=1)
    assert by_number == by_layer_arn == here.call("GetLayerVersionByArn", Arn=made["LayerVersionArn"]) == made
    for operation, request in (
        ("GetLayerVersion", {"LayerName": "shared", "VersionNumber": 2}),
        ("GetLayerVersion", {"LayerName": "gone", "VersionNumber": 1}),
        ("GetLayerVersionByArn", {"Arn": f"{made['LayerArn']}:2"}),
    ):
        assert here.refused(operation, **request).status == 404
    refusal = here.refused("GetLayerVersion", LayerName="shared", VersionNumber=0)
    assert refusal.message == "Layer Version Cannot be less than 1"


def test_layers_of_other_accounts_are_found_by_their_arn_and_not_listed(here: Any) -> None:
    arn = "arn:aws:lambda:eu-west-1:210987654321:layer:theirs"
    document = {"LayerVersionArn": f"{arn}:4", "Version": 4, "Content": {"CodeSize": 7}}
    here.region.layers[arn] = {4: document}
    assert here.call("GetLayerVersionByArn", Arn=f"{arn}:4") == document
    assert here.call("ListLayers") == {"Layers": []}
    assert here.call("GetAccountSettings")["AccountUsage"]["TotalCodeSize"] == 0


def test_code_comes_from_s3_by_version(here: Any, archive: bytes) -> None:
    here.world.objects["bucket", "key", "v1"] = archive
    made = here.call(
        "PublishLayerVersion",
        LayerName="shared",
        Content={"S3Bucket": "bucket", "S3Key": "key", "S3ObjectVersion": "v1"},
    )
    found = layer_version(here.region, made["LayerVersionArn"])
    assert found is not None and found["_unzipped"] == 5 and found["_read"]() == archive
    for content in (
        {"S3Bucket": "bucket", "S3Key": "key"},
        {"S3Bucket": "bucket"},
        {},
        {"ZipFile": archive, "S3Bucket": "bucket"},
        {"S3Bucket": "bucket", "S3Key": "key", "S3ObjectStorageMode": "REFERENCE"},
    ):
        refusal = here.refused("PublishLayerVersion", LayerName="shared", Content=content)
        assert refusal.code == "InvalidParameterValueException"


def test_only_zips_of_a_size_are_taken(here: Any) -> None:
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as made:
        for number in range(4):
            with made.open(f"zeros{number}", "w") as member:
                for _ in range(63):
                    member.write(bytes(1 << 20))
    for content, words in (
        (b"no zip", "Could not unzip uploaded file."),
        (bytes(DIRECT_LIMIT + 1), "Zipped size must be smaller than 52428800 bytes"),
        (bomb.getvalue(), "Unzipped size must be smaller than 262144000 bytes"),
    ):
        refusal = here.refused("PublishLayerVersion", LayerName="shared", Content={"ZipFile": content})
        assert words in refusal.message
        assert refusal.status == (413 if words.startswith("Zipped") else 400)
    assert here.region.layers == {} and here.region.layer_numbers == {}


def test_storage_is_limited(here: Any, archive: bytes) -> None:
    here.behaviour.code_size_limit = len(archive) + 1
    _publish(here, archive)
    refusal = here.refused("PublishLayerVersion", LayerName="shared", Content={"ZipFile": archive})
    assert refusal.code == "CodeStorageExceededException"


def test_lists_are_of_what_fits_the_newest_first_and_paged(here: Any, archive: bytes) -> None:
    for number in range(11):
        _publish(here, archive, CompatibleRuntimes=["python3.12" if number % 2 else "python3.11"])
    _publish(here, archive, "other", CompatibleArchitectures=["arm64"])
    first = here.call("ListLayerVersions", LayerName="shared", MaxItems=4)
    assert [one["Version"] for one in first["LayerVersions"]] == [11, 10, 9, 8]
    assert "Content" not in first["LayerVersions"][0]
    second = here.call("ListLayerVersions", LayerName="shared", MaxItems=4, Marker=first["NextMarker"])
    assert [one["Version"] for one in second["LayerVersions"]] == [7, 6, 5, 4]
    layers = here.call("ListLayers", CompatibleRuntime="python3.12")["Layers"]
    assert [(one["LayerName"], one["LatestMatchingVersion"]["Version"]) for one in layers] == [("shared", 10)]
    layers = here.call("ListLayers", CompatibleArchitecture="arm64")["Layers"]
    assert [one["LayerName"] for one in layers] == ["other"]


def test_others_may_be_allowed_to_use_a_version(here: Any, archive: bytes) -> None:
    made = _publish(here, archive)
    usual = {"LayerName": "shared", "VersionNumber": 1, "StatementId": "a"}
    wanted = {**usual, "Action": "lambda:GetLayerVersion", "Principal": "210987654321"}
    added = here.call("AddLayerVersionPermission", **wanted)
    policy = here.call("GetLayerVersionPolicy", LayerName="shared", VersionNumber=1)
    assert added["RevisionId"] == policy["RevisionId"]
    statement = {
        "Sid": "a",
        "Effect": "Allow",
        "Principal": {"AWS": "arn:aws:iam::210987654321:root"},
        "Action": "lambda:GetLayerVersion",
        "Resource": made["LayerVersionArn"],
    }
    assert json.loads(policy["Policy"])["Statement"] == [json.loads(added["Statement"])] == [statement]
    assert here.refused("AddLayerVersionPermission", **wanted).status == 409
    assert here.refused("RemoveLayerVersionPermission", **usual, RevisionId="old").status == 412
    here.call("RemoveLayerVersionPermission", **usual, RevisionId=policy["RevisionId"])
    assert here.refused("RemoveLayerVersionPermission", **usual).status == 404
    assert here.refused("GetLayerVersionPolicy", LayerName="shared", VersionNumber=1).status == 404
    refusal = here.refused("AddLayerVersionPermission", **{**wanted, "VersionNumber": 9})
    assert refusal.message == f"Layer version {made['LayerArn']}:9 does not exist."


def test_an_organisation_is_allowed_together_with_everybody(here: Any, archive: bytes) -> None:
    _publish(here, archive)
    wanted = {
        "LayerName": "shared",
        "VersionNumber": 1,
        "StatementId": "a",
        "Action": "lambda:GetLayerVersion",
        "OrganizationId": "o-1234567890",
    }
    assert here.refused("AddLayerVersionPermission", **wanted, Principal="210987654321").status == 400
    added = here.call("AddLayerVersionPermission", **wanted, Principal="*")
    assert json.loads(added["Statement"])["Condition"] == {
        "StringEquals": {"aws:PrincipalOrgID": "o-1234567890"}
    }
