from __future__ import annotations

from typing import Any

import pytest

QUEUE = "arn:aws:sqs:eu-west-1:123456789012:failed"
TOPIC = "arn:aws:sns:eu-west-1:123456789012:done"


def _put(here: Any, **request: Any) -> Any:
    return here.call("PutFunctionEventInvokeConfig", **{"FunctionName": "orders", **request})


def _refused(here: Any, **request: Any) -> Any:
    return here.refused("PutFunctionEventInvokeConfig", **{"FunctionName": "orders", **request})


def test_put_replaces_and_update_merges(here: Any) -> None:
    function = here.add("orders", live="$LATEST")
    _put(here, Qualifier="live", MaximumRetryAttempts=1, MaximumEventAgeInSeconds=60)
    updated = here.call(
        "UpdateFunctionEventInvokeConfig",
        FunctionName="orders",
        Qualifier="live",
        DestinationConfig={"OnFailure": {"Destination": QUEUE}},
    )
    assert updated["MaximumRetryAttempts"] == 1 and updated["MaximumEventAgeInSeconds"] == 60
    assert updated["DestinationConfig"] == {"OnSuccess": {}, "OnFailure": {"Destination": QUEUE}}
    assert updated["FunctionArn"] == f"{function.arn}:live"
    replaced = _put(here, Qualifier="live", MaximumRetryAttempts=0)
    assert replaced["MaximumRetryAttempts"] == 0 and "MaximumEventAgeInSeconds" not in replaced
    assert replaced["DestinationConfig"] == {"OnSuccess": {}, "OnFailure": {}}
    assert here.call("GetFunctionEventInvokeConfig", FunctionName="orders:live") == replaced


def test_the_unqualified_function_is_latest(here: Any) -> None:
    function = here.add("orders", "1")
    _put(here, MaximumRetryAttempts=1)
    found = here.call("GetFunctionEventInvokeConfig", FunctionName="orders", Qualifier="$LATEST")
    assert found["FunctionArn"] == f"{function.arn}:$LATEST"
    _put(here, Qualifier="1", MaximumRetryAttempts=2)
    listed = here.call("ListFunctionEventInvokeConfigs", FunctionName="orders")
    assert [one["MaximumRetryAttempts"] for one in listed["FunctionEventInvokeConfigs"]] == [1, 2]
    here.call("DeleteFunctionEventInvokeConfig", FunctionName="orders")
    refusal = here.refused("DeleteFunctionEventInvokeConfig", FunctionName="orders")
    assert refusal.status == 404
    assert refusal.message == f"The function {function.arn}:$LATEST doesn't have an EventInvokeConfig"


def test_something_must_be_set_on_something_that_exists(here: Any) -> None:
    here.add("orders")
    assert "at least one of error handling or destination" in _refused(here).message
    for request in ({"FunctionName": "gone"}, {"Qualifier": "live"}, {"Qualifier": "1"}):
        refusal = _refused(here, MaximumRetryAttempts=1, **request)
        assert (refusal.status, refusal.message) == (404, "The function doesn't exist.")
    refusal = here.refused("UpdateFunctionEventInvokeConfig", FunctionName="orders", MaximumRetryAttempts=1)
    assert "doesn't have an EventInvokeConfig" in refusal.message


def test_destinations_exist_in_a_strict_world(here: Any) -> None:
    here.add("orders")
    here.world.there.update(queue={QUEUE}, topic=set())
    _put(here, DestinationConfig={"OnFailure": {"Destination": QUEUE}})
    wanted = {"OnSuccess": {"Destination": TOPIC}}
    assert _refused(here, DestinationConfig=wanted).message == f"The destination ARN {TOPIC} is invalid."
    here.behaviour.strict_world = False
    _put(here, DestinationConfig=wanted)


def test_a_function_is_no_destination_of_itself(here: Any) -> None:
    function, other = here.add("orders"), here.add("bills", live="$LATEST")
    wanted = {"OnSuccess": {"Destination": f"{function.arn}:live"}}
    assert "as a destination for itself" in _refused(here, DestinationConfig=wanted).message
    wanted = {"OnSuccess": {"Destination": other.arn.replace("bills", "gone")}}
    assert "is invalid" in _refused(here, DestinationConfig=wanted).message
    _put(here, DestinationConfig={"OnSuccess": {"Destination": f"{other.arn}:live"}})


@pytest.mark.parametrize(
    ("side", "arn"), [("OnSuccess", "arn:aws:s3:::bucket"), ("OnFailure", "arn:aws:ec2:::a")]
)
def test_other_services_take_no_results(here: Any, side: str, arn: str) -> None:
    here.add("orders")
    refusal = _refused(here, DestinationConfig={side: {"Destination": arn}})
    assert refusal.message.startswith("The provided destination config DestinationConfig(onSuccess=")
    _put(here, DestinationConfig={"OnFailure": {"Destination": "arn:aws:s3:::bucket"}})


def test_an_empty_destination_removes_it(here: Any) -> None:
    here.add("orders")
    _put(here, DestinationConfig={"OnFailure": {"Destination": QUEUE}})
    updated = here.call(
        "UpdateFunctionEventInvokeConfig",
        FunctionName="orders",
        DestinationConfig={"OnFailure": {"Destination": ""}},
    )
    assert updated["DestinationConfig"] == {"OnSuccess": {}, "OnFailure": {}}
