from __future__ import annotations

from typing import Any

RUNTIME = "arn:aws:lambda:eu-west-1::runtime:0123456789abcdef"


def test_runtimes_are_updated_automatically_unless_told_otherwise(here: Any) -> None:
    function = here.add("orders", "1")
    found = here.call("GetRuntimeManagementConfig", FunctionName="orders")
    assert found == {"UpdateRuntimeOn": "Auto", "FunctionArn": f"{function.arn}:$LATEST"}
    here.call(
        "PutRuntimeManagementConfig",
        FunctionName="orders",
        UpdateRuntimeOn="Manual",
        RuntimeVersionArn=RUNTIME,
    )
    found = here.call("GetRuntimeManagementConfig", FunctionName="orders", Qualifier="$LATEST")
    assert (found["UpdateRuntimeOn"], found["RuntimeVersionArn"]) == ("Manual", RUNTIME)
    assert here.call("GetRuntimeManagementConfig", FunctionName="orders:1")["UpdateRuntimeOn"] == "Auto"
    here.call("PutRuntimeManagementConfig", FunctionName="orders", UpdateRuntimeOn="FunctionUpdate")
    found = here.call("GetRuntimeManagementConfig", FunctionName="orders")
    assert found["UpdateRuntimeOn"] == "FunctionUpdate" and "RuntimeVersionArn" not in found


def test_a_version_of_the_runtime_goes_with_manual_updates(here: Any) -> None:
    here.add("orders", live="$LATEST")
    here.add("picture", package="Image")
    for name, request in (
        ("orders", {"UpdateRuntimeOn": "Manual"}),
        ("orders", {"UpdateRuntimeOn": "Auto", "RuntimeVersionArn": RUNTIME}),
        ("orders:live", {"UpdateRuntimeOn": "Auto"}),
        ("picture", {"UpdateRuntimeOn": "Auto"}),
    ):
        refusal = here.refused("PutRuntimeManagementConfig", FunctionName=name, **request)
        assert refusal.code == "InvalidParameterValueException"


def test_recursion_is_ended_unless_allowed(here: Any) -> None:
    here.add("orders")
    assert here.call("GetFunctionRecursionConfig", FunctionName="orders") == {"RecursiveLoop": "Terminate"}
    here.call("PutFunctionRecursionConfig", FunctionName="orders", RecursiveLoop="Allow")
    assert here.call("GetFunctionRecursionConfig", FunctionName="orders") == {"RecursiveLoop": "Allow"}
    assert here.refused("GetFunctionRecursionConfig", FunctionName="gone").status == 404
