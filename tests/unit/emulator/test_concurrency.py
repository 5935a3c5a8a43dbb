from __future__ import annotations

from typing import Any


def test_a_reservation_is_kept_and_shown_and_removed(here: Any) -> None:
    here.add("orders")
    assert here.call("GetFunctionConcurrency", FunctionName="orders") == {}
    here.call("PutFunctionConcurrency", FunctionName="orders", ReservedConcurrentExecutions=0)
    assert here.call("GetFunctionConcurrency", FunctionName="orders") == {"ReservedConcurrentExecutions": 0}
    here.call("DeleteFunctionConcurrency", FunctionName="orders")
    here.call("DeleteFunctionConcurrency", FunctionName="orders")
    assert here.call("GetFunctionConcurrency", FunctionName="orders") == {}


def test_the_account_keeps_100_unreserved(here: Any) -> None:
    here.add("orders")
    here.add("bills")
    here.call("PutFunctionConcurrency", FunctionName="bills", ReservedConcurrentExecutions=600)
    here.call("PutFunctionConcurrency", FunctionName="orders", ReservedConcurrentExecutions=300)
    # What is replaced does not count.
    here.call("PutFunctionConcurrency", FunctionName="orders", ReservedConcurrentExecutions=300)
    refusal = here.refused("PutFunctionConcurrency", FunctionName="orders", ReservedConcurrentExecutions=301)
    assert refusal.message == (
        "Specified ReservedConcurrentExecutions for function decreases account's "
        "UnreservedConcurrentExecution below its minimum value of [100]."
    )
    assert refusal.code == "InvalidParameterValueException"


def test_a_reservation_is_not_lower_than_what_is_provisioned(here: Any) -> None:
    here.add("orders", "1")
    here.call(
        "PutProvisionedConcurrencyConfig",
        FunctionName="orders",
        Qualifier="1",
        ProvisionedConcurrentExecutions=5,
    )
    refusal = here.refused("PutFunctionConcurrency", FunctionName="orders", ReservedConcurrentExecutions=4)
    assert "total provisioned concurrency [5]" in refusal.message


def test_reservations_are_of_functions_and_leave_their_revision(here: Any) -> None:
    function = here.add("orders", live="$LATEST")
    here.call("PutFunctionConcurrency", FunctionName="orders", ReservedConcurrentExecutions=5)
    assert function.latest.configuration["RevisionId"] == "revision of $LATEST"
    refusal = here.refused(
        "PutFunctionConcurrency", FunctionName="orders:live", ReservedConcurrentExecutions=5
    )
    assert "Aliases and versions do not support this operation" in refusal.message


def test_account_settings_tell_what_is_left(here: Any) -> None:
    here.add("orders", "1")
    here.add("bills", "1")
    here.add("picture", package="Image")
    here.call("PutFunctionConcurrency", FunctionName="orders", ReservedConcurrentExecutions=50)
    for name in ("orders", "bills"):
        here.call(
            "PutProvisionedConcurrencyConfig",
            FunctionName=name,
            Qualifier="1",
            ProvisionedConcurrentExecutions=20,
        )
    settings = here.call("GetAccountSettings")
    # Provisioned concurrency comes out of the reservation where there is one.
    assert settings["AccountLimit"]["UnreservedConcurrentExecutions"] == 1000 - 50 - 20
    assert settings["AccountLimit"]["CodeSizeUnzipped"] == 262_144_000
    assert settings["AccountUsage"] == {"TotalCodeSize": 400, "FunctionCount": 3}
