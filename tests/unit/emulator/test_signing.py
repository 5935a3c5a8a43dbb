from __future__ import annotations

from typing import Any

PROFILE = "arn:aws:signer:eu-west-1:123456789012:/signing-profiles/planton/AbCdEfGhIj"
PUBLISHERS = {"SigningProfileVersionArns": [PROFILE]}


def _create(here: Any, **request: Any) -> Any:
    return here.call("CreateCodeSigningConfig", AllowedPublishers=PUBLISHERS, **request)["CodeSigningConfig"]


def test_a_configuration_is_made_changed_and_deleted(here: Any) -> None:
    made = _create(here, Description="of orders")
    arn = made["CodeSigningConfigArn"]
    assert len(made["CodeSigningConfigId"]) == len("csc-") + 17
    assert made["CodeSigningPolicies"] == {"UntrustedArtifactOnDeployment": "Warn"}
    here.call(
        "UpdateCodeSigningConfig",
        CodeSigningConfigArn=arn,
        CodeSigningPolicies={"UntrustedArtifactOnDeployment": "Enforce"},
    )
    found = here.call("GetCodeSigningConfig", CodeSigningConfigArn=arn)["CodeSigningConfig"]
    assert found["Description"] == "of orders" and found["AllowedPublishers"] == PUBLISHERS
    assert found["CodeSigningPolicies"] == {"UntrustedArtifactOnDeployment": "Enforce"}
    here.call("DeleteCodeSigningConfig", CodeSigningConfigArn=arn)
    refusal = here.refused("GetCodeSigningConfig", CodeSigningConfigArn=arn)
    assert refusal.status == 404
    assert refusal.message == f"The Lambda code signing configuration {arn} can not be found."


def test_a_function_uses_a_configuration_that_exists(here: Any) -> None:
    function = here.add("orders")
    arn = _create(here)["CodeSigningConfigArn"]
    assert here.call("GetFunctionCodeSigningConfig", FunctionName="orders") == {}
    here.call("PutFunctionCodeSigningConfig", FunctionName="orders", CodeSigningConfigArn=arn)
    assert here.call("GetFunctionCodeSigningConfig", FunctionName="orders") == {
        "CodeSigningConfigArn": arn,
        "FunctionName": "orders",
    }
    listed = here.call("ListFunctionsByCodeSigningConfig", CodeSigningConfigArn=arn)
    assert listed == {"FunctionArns": [function.arn]}
    assert here.refused("DeleteCodeSigningConfig", CodeSigningConfigArn=arn).status == 409
    here.call("DeleteFunctionCodeSigningConfig", FunctionName="orders")
    here.call("DeleteCodeSigningConfig", CodeSigningConfigArn=arn)
    refusal = here.refused("PutFunctionCodeSigningConfig", FunctionName="orders", CodeSigningConfigArn=arn)
    assert (refusal.code, refusal.status) == ("CodeSigningConfigNotFoundException", 404)


def test_images_are_not_signed_this_way(here: Any) -> None:
    here.add("picture", package="Image")
    arn = _create(here)["CodeSigningConfigArn"]
    for operation, request in (
        ("PutFunctionCodeSigningConfig", {"CodeSigningConfigArn": arn}),
        ("GetFunctionCodeSigningConfig", {}),
        ("DeleteFunctionCodeSigningConfig", {}),
    ):
        refusal = here.refused(operation, FunctionName="picture", **request)
        assert refusal.message == (
            "Code signing is not supported for functions created with container images."
        )


def test_configurations_are_listed_in_pages(here: Any) -> None:
    made = {_create(here)["CodeSigningConfigId"] for _ in range(3)}
    first = here.call("ListCodeSigningConfigs", MaxItems=2)
    rest = here.call("ListCodeSigningConfigs", MaxItems=2, Marker=first["NextMarker"])
    assert "NextMarker" not in rest
    listed = first["CodeSigningConfigs"] + rest["CodeSigningConfigs"]
    assert {one["CodeSigningConfigId"] for one in listed} == made and len(listed) == 3
