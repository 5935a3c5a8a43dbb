from __future__ import annotations

import re
from typing import Any


def _create(here: Any, **request: Any) -> Any:
    return here.call("CreateFunctionUrlConfig", **{"FunctionName": "orders", "AuthType": "NONE", **request})


def test_a_function_and_each_alias_have_one_url(here: Any) -> None:
    function = here.add("orders", "1", live="1")
    whole, alias = _create(here), _create(here, Qualifier="live", AuthType="AWS_IAM")
    assert re.fullmatch(r"https://[a-z0-9]{32}\.lambda-url\.eu-west-1\.on\.aws/", whole["FunctionUrl"])
    assert whole["FunctionUrl"] != alias["FunctionUrl"]
    assert alias["FunctionArn"] == f"{function.arn}:live"
    assert whole["InvokeMode"] == "BUFFERED" and "LastModifiedTime" not in whole
    refusal = here.refused(
        "CreateFunctionUrlConfig", FunctionName="orders", Qualifier="live", AuthType="NONE"
    )
    assert (refusal.code, refusal.status) == ("ResourceConflictException", 409)
    assert "FunctionUrlConfig exists for this Lambda function" in refusal.message
    listed = here.call("ListFunctionUrlConfigs", FunctionName="orders")
    assert [one["FunctionArn"] for one in listed["FunctionUrlConfigs"]] == [
        function.arn,
        f"{function.arn}:live",
    ]


def test_an_update_changes_what_it_has(here: Any) -> None:
    here.add("orders", live="$LATEST")
    created = _create(here, Qualifier="live", Cors={"AllowOrigins": ["*"], "AllowHeaders": []})
    assert created["Cors"] == {"AllowOrigins": ["*"]}
    here.call(
        "UpdateFunctionUrlConfig", FunctionName="orders", Qualifier="live", InvokeMode="RESPONSE_STREAM"
    )
    found = here.call("GetFunctionUrlConfig", FunctionName="orders", Qualifier="live")
    assert (found["InvokeMode"], found["AuthType"]) == ("RESPONSE_STREAM", "NONE")
    assert found["Cors"] == {"AllowOrigins": ["*"]} and found["FunctionUrl"] == created["FunctionUrl"]
    here.call("UpdateFunctionUrlConfig", FunctionName="orders", Qualifier="live", Cors={"MaxAge": 5})
    found = here.call("GetFunctionUrlConfig", FunctionName="orders", Qualifier="live")
    assert found["Cors"] == {"MaxAge": 5}
    here.call("UpdateFunctionUrlConfig", FunctionName="orders", Qualifier="live", Cors={})
    assert "Cors" not in here.call("GetFunctionUrlConfig", FunctionName="orders", Qualifier="live")


def test_urls_are_not_of_versions_nor_of_aliases_that_are_not_there(here: Any) -> None:
    here.add("orders", "1")
    for qualifier, code in (
        ("1", "ValidationException"),
        ("$LATEST", "ValidationException"),
        ("live", "ResourceNotFoundException"),
    ):
        refusal = here.refused(
            "CreateFunctionUrlConfig", FunctionName="orders", Qualifier=qualifier, AuthType="NONE"
        )
        assert refusal.code == code
    assert here.refused("CreateFunctionUrlConfig", FunctionName="bills", AuthType="NONE").status == 404


def test_methods_of_cors_are_those_of_http(here: Any) -> None:
    here.add("orders")
    refusal = here.refused(
        "CreateFunctionUrlConfig", FunctionName="orders", AuthType="NONE", Cors={"AllowMethods": ["FETCH"]}
    )
    assert "cors.allowMethods" in refusal.message


def test_a_deleted_url_is_gone(here: Any) -> None:
    here.add("orders")
    first = _create(here)
    here.call("DeleteFunctionUrlConfig", FunctionName="orders")
    for operation in ("GetFunctionUrlConfig", "DeleteFunctionUrlConfig", "UpdateFunctionUrlConfig"):
        refusal = here.refused(operation, FunctionName="orders")
        assert (refusal.status, refusal.message) == (404, "The resource you requested does not exist.")
    assert _create(here)["FunctionUrl"] != first["FunctionUrl"]
