from __future__ import annotations

from typing import Any


def _put(here: Any, qualifier: str, count: int = 5) -> Any:
    return here.call(
        "PutProvisionedConcurrencyConfig",
        FunctionName="orders",
        Qualifier=qualifier,
        ProvisionedConcurrentExecutions=count,
    )


def _put_refused(here: Any, qualifier: str, count: int = 5) -> Any:
    return here.refused(
        "PutProvisionedConcurrencyConfig",
        FunctionName="orders",
        Qualifier=qualifier,
        ProvisionedConcurrentExecutions=count,
    )


def _get(here: Any, qualifier: str) -> Any:
    return here.call("GetProvisionedConcurrencyConfig", FunctionName="orders", Qualifier=qualifier)


def test_an_allocation_takes_reads_and_is_ready_then(here: Any) -> None:
    here.add("orders", "1", live="1")
    here.behaviour.provisioning_reads = 2
    answer = _put(here, "live")
    assert answer["Status"] == "IN_PROGRESS"
    assert answer["RequestedProvisionedConcurrentExecutions"] == 5
    assert answer["AllocatedProvisionedConcurrentExecutions"] == 0
    assert [_get(here, "live")["Status"] for _ in range(3)] == ["IN_PROGRESS", "IN_PROGRESS", "READY"]
    ready = _get(here, "live")
    assert ready["AllocatedProvisionedConcurrentExecutions"] == 5
    assert ready["AvailableProvisionedConcurrentExecutions"] == 5
    assert not [name for name in ready if name.startswith("_")]


def test_an_allocation_fails_on_command_and_once(here: Any) -> None:
    here.add("orders", "1", live="1")
    here.behaviour.failures["orders:provisioned"] = ("FunctionError", "FUNCTION_ERROR_INIT_FAILURE")
    _put(here, "live")
    failed = _get(here, "live")
    assert (failed["Status"], failed["StatusReason"]) == ("FAILED", "FUNCTION_ERROR_INIT_FAILURE")
    assert failed["AvailableProvisionedConcurrentExecutions"] == 0
    _put(here, "live")
    again = _get(here, "live")
    assert again["Status"] == "READY" and "StatusReason" not in again


def test_an_alias_that_has_moved_is_provisioned_anew(here: Any) -> None:
    function = here.add("orders", "1", "2", live="1")
    _put(here, "live")
    assert _get(here, "live")["Status"] == "READY"
    here.behaviour.provisioning_reads = 1
    function.aliases["live"]["FunctionVersion"] = "2"
    assert [_get(here, "live")["Status"] for _ in range(2)] == ["IN_PROGRESS", "READY"]


def test_an_alias_that_has_moved_away_from_a_failure_tells_no_reason(here: Any) -> None:
    function = here.add("orders", "1", "2", live="1")
    here.behaviour.failures["orders:provisioned"] = ("FunctionError", "FUNCTION_ERROR_INIT_FAILURE")
    _put(here, "live")
    assert _get(here, "live")["Status"] == "FAILED"
    function.aliases["live"]["FunctionVersion"] = "2"
    found = _get(here, "live")
    assert found["Status"] == "READY" and "StatusReason" not in found


def test_an_alias_and_its_version_are_not_both_provisioned(here: Any) -> None:
    function = here.add("orders", "1", "2", live="1", test="2")
    _put(here, "live")
    refusal = _put_refused(here, "1")
    assert (refusal.code, refusal.message) == (
        "ResourceConflictException",
        "Version is pointed by a Provisioned Concurrency alias",
    )
    _put(here, "2")
    assert "already Provisioned version" in _put_refused(here, "test").message
    here.call("DeleteProvisionedConcurrencyConfig", FunctionName="orders", Qualifier="2")
    function.aliases["test"]["FunctionVersion"] = "1"
    assert "already Provisioned version" in _put_refused(here, "test").message


def test_only_what_is_published_and_at_rest_is_provisioned(here: Any) -> None:
    function = here.add("orders", "1", "2", "3", live="1", newest="$LATEST")
    assert "unpublished function versions" in _put_refused(here, "$LATEST").message
    assert "unpublished function versions" in _put_refused(here, "newest").message
    assert _put_refused(here, "4").status == _put_refused(here, "other").status == 404
    function.aliases["live"]["RoutingConfig"] = {"AdditionalVersionWeights": {"2": 0.1}}
    assert _put_refused(here, "live").message == (
        "Alias with weights can not be used with Provisioned Concurrency"
    )
    function.versions["2"].configuration["State"] = "Pending"
    assert _put_refused(here, "2").code == "ResourceConflictException"
    function.versions["3"].configuration["SnapStart"] = {"ApplyOn": "PublishedVersions"}
    assert "SnapStart" in _put_refused(here, "3").message


def test_no_more_is_provisioned_than_reserved(here: Any) -> None:
    here.add("orders", "1", "2")
    here.call("PutFunctionConcurrency", FunctionName="orders", ReservedConcurrentExecutions=10)
    _put(here, "1", 6)
    _put(here, "1", 7)  # replaces what was asked for
    assert "should not be greater than the reservedConcurrentExecution" in _put_refused(here, "2", 4).message
    _put(here, "2", 3)


def test_no_more_is_provisioned_than_the_account_has(here: Any) -> None:
    here.add("orders", "1")
    assert "below its minimum value of [100]" in _put_refused(here, "1", 901).message
    assert "greater than account's unreserved concurrency [1000]" in _put_refused(here, "1", 1001).message
    _put(here, "1", 900)


def test_what_is_not_provisioned_is_told_with_an_error_of_its_own(here: Any) -> None:
    here.add("orders", "1", live="1")
    refusal = here.refused("GetProvisionedConcurrencyConfig", FunctionName="orders", Qualifier="live")
    assert (refusal.code, refusal.status) == ("ProvisionedConcurrencyConfigNotFoundException", 404)
    here.call("DeleteProvisionedConcurrencyConfig", FunctionName="orders", Qualifier="live")
    refusal = here.refused("GetProvisionedConcurrencyConfig", FunctionName="orders", Qualifier="$LATEST")
    assert "must be an alias or a published version" in refusal.message


def test_all_of_a_function_are_listed_and_deleted_one_by_one(here: Any) -> None:
    here.add("orders", "1", "2", live="1")
    _put(here, "live")
    _put(here, "2")
    listed = here.call("ListProvisionedConcurrencyConfigs", FunctionName="orders", MaxItems=1)
    assert listed["ProvisionedConcurrencyConfigs"][0]["FunctionArn"].endswith(":orders:2")
    more = here.call("ListProvisionedConcurrencyConfigs", FunctionName="orders", Marker=listed["NextMarker"])
    assert [one["FunctionArn"].rpartition(":")[2] for one in more["ProvisionedConcurrencyConfigs"]] == [
        "live"
    ]
    here.call("DeleteProvisionedConcurrencyConfig", FunctionName="orders", Qualifier="2")
    left = here.call("ListProvisionedConcurrencyConfigs", FunctionName="orders")
    assert len(left["ProvisionedConcurrencyConfigs"]) == 1
