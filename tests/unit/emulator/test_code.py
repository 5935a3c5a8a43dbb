from __future__ import annotations

import io
import zipfile
from typing import Any

import pytest

from planton_build.emulator import code
from planton_build.emulator.refusal import Refusal

ROLE = "arn:aws:iam::123456789012:role/worker"
IMAGE = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/team/orders:v1"


def _create(here: Any, source: dict[str, Any], **settings: Any) -> Any:
    zipped = {"Runtime": "python3.12", "Handler": "app.handler"}
    request = {"FunctionName": "orders", "Role": ROLE, "Code": source, **(settings or zipped)}
    return here.call("CreateFunction", **request)


def _refused(here: Any, source: dict[str, Any], **settings: Any) -> Refusal:
    with pytest.raises(Refusal) as refusal:
        _create(here, source, **settings)
    return refusal.value


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({}, "Please provide a source for function code."),
        ({"S3Bucket": "artifacts"}, "Please provide a source for function code."),
        (
            {"ZipFile": b"x", "S3Bucket": "artifacts", "S3Key": "k"},
            "Please do not provide other FunctionCode parameters when providing a ZipFile.",
        ),
        ({"ImageUri": IMAGE}, "Please don't provide ImageUri when creating a function with packageType Zip."),
        (
            {"ZipFile": b"not a zip"},
            "Could not unzip uploaded file. Please check your file, then try to upload again.",
        ),
    ],
)
def test_what_is_no_source_of_a_zip_is_refused(here: Any, source: dict[str, Any], message: str) -> None:
    assert _refused(here, source).message == message
    assert here.region.functions == {}


def test_a_direct_zip_has_a_limit_of_its_own(
    here: Any, monkeypatch: pytest.MonkeyPatch, archive: bytes
) -> None:
    monkeypatch.setattr(code, "CODE_SIZE_ZIPPED", len(archive) - 1)
    refusal = _refused(here, {"ZipFile": archive})
    assert (refusal.code, refusal.status) == ("RequestEntityTooLargeException", 413)
    here.world.objects["artifacts", "k", None] = archive
    assert _create(here, {"S3Bucket": "artifacts", "S3Key": "k"})["CodeSize"] == len(archive)


def test_a_zip_must_unpack_to_less_than_the_limit_its_layers_included(here: Any, archive: bytes) -> None:
    layer = here.call("PublishLayerVersion", LayerName="big", Content={"ZipFile": archive})
    here.region.layers["big"][1]["_unzipped"] = 262_143_990
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("a", bytes(10))
    combined = (
        "Function code combined with layers exceeds the maximum allowed size of 262144000 bytes. "
        "The actual size is 262144000 bytes."
    )
    arn = layer["LayerVersionArn"]
    zipped = {"Runtime": "python3.12", "Handler": "a.b"}
    assert _refused(here, {"ZipFile": buffer.getvalue()}, **zipped, Layers=[arn]).message == combined
    _create(here, {"ZipFile": buffer.getvalue()})
    request = {"FunctionName": "orders", "Layers": [arn]}
    assert here.refused("UpdateFunctionConfiguration", **request).message == combined
    here.region.layers["big"][1]["_unzipped"] -= 1
    assert len(here.call("UpdateFunctionConfiguration", **request)["Layers"]) == 1
    here.region.layers.clear()
    here.region.functions["orders"].latest.configuration["_unzipped_layers"] += 1
    refusal = here.refused("UpdateFunctionCode", FunctionName="orders", ZipFile=buffer.getvalue())
    assert refusal.message == "Unzipped size must be smaller than 10 bytes"


def test_the_storage_of_the_account_is_limited(here: Any, archive: bytes) -> None:
    here.behaviour.code_size_limit = len(archive)
    _create(here, {"ZipFile": archive})
    refusal = here.refused("UpdateFunctionCode", FunctionName="orders", ZipFile=archive)
    assert refusal.code == "CodeStorageExceededException"


def test_code_comes_from_the_version_of_the_object_that_was_asked_for(here: Any, archive: bytes) -> None:
    here.world.objects["artifacts", "k", "old"] = archive
    here.world.objects["artifacts", "k", None] = b"not a zip"
    refusal = _refused(here, {"S3Bucket": "artifacts", "S3Key": "k"})
    assert refusal.message.startswith("Could not unzip")
    _create(here, {"S3Bucket": "artifacts", "S3Key": "k", "S3ObjectVersion": "old"})
    stored = here.region.functions["orders"].latest.code.read
    assert stored() == archive
    missing = {"FunctionName": "orders", "S3Bucket": "artifacts", "S3Key": "other"}
    assert "NoSuchKey" in here.refused("UpdateFunctionCode", **missing).message


def test_code_that_is_only_referenced_is_shown_with_its_object(here: Any, archive: bytes) -> None:
    here.world.objects["artifacts", "k", "v"] = archive
    source = {"S3Bucket": "artifacts", "S3Key": "k", "S3ObjectStorageMode": "REFERENCE"}
    assert "S3ObjectVersion" in _refused(here, source).message
    here.behaviour.code_size_limit = 0
    _create(here, {**source, "S3ObjectVersion": "v"})
    shown = here.call("GetFunction", FunctionName="orders")["Code"]
    assert shown["ResolvedS3Object"] == {"S3Bucket": "artifacts", "S3Key": "k", "S3ObjectVersion": "v"}


def test_an_image_is_resolved_to_its_digest(here: Any) -> None:
    created = _create(here, {"ImageUri": IMAGE}, PackageType="Image")
    assert (created["CodeSha256"], created["CodeSize"]) == ("0" * 64, 0)
    assert "RuntimeVersionConfig" not in created
    assert here.call("GetFunction", FunctionName="orders")["Code"] == {
        "RepositoryType": "ECR",
        "ImageUri": IMAGE,
        "ResolvedImageUri": f"{IMAGE.removesuffix(':v1')}@sha256:{'0' * 64}",
    }


@pytest.mark.parametrize(
    ("uri", "resolved"),
    [
        ("host:5000/a/b@sha256:" + "1" * 64, "host:5000/a/b"),
        ("host:5000/b:v2", "host:5000/b"),
        ("host/b", "host/b"),
    ],
)
def test_a_resolved_image_has_no_tag(uri: str, resolved: str) -> None:
    shown = code.location_answer(code.Code("Image", "2" * 64, 0, 0, image_uri=uri))
    assert shown["ResolvedImageUri"] == f"{resolved}@sha256:{'2' * 64}"


def test_zips_stay_zips_and_images_images(here: Any, archive: bytes) -> None:
    _create(here, {"ImageUri": IMAGE}, PackageType="Image")
    refusal = here.refused("UpdateFunctionCode", FunctionName="orders", ZipFile=archive)
    assert refusal.message == "Please provide ImageUri when updating a function with packageType Image."
    here.call("DeleteFunction", FunctionName="orders")
    _create(here, {"ZipFile": archive})
    refusal = here.refused("UpdateFunctionCode", FunctionName="orders", ImageUri=IMAGE)
    assert refusal.message == "Please don't provide ImageUri when updating a function with packageType Zip."


def test_a_signed_zip_is_taken_where_signatures_are_enforced(here: Any) -> None:
    arn = "arn:aws:lambda:eu-west-1:123456789012:code-signing-config:csc-0123456789abcdefg"
    policies = {"UntrustedArtifactOnDeployment": "Enforce"}
    here.region.code_signing_configs[arn] = {"CodeSigningPolicies": policies}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        made.writestr("META-INF/aws_signer_signature_v1.0.SF", "signature")
    request = {"CodeSigningConfigArn": arn, "Runtime": "python3.12", "Handler": "a.b"}
    assert _create(here, {"ZipFile": buffer.getvalue()}, **request)["State"] == "Pending"
