"""Reserved concurrency, and what the account has left of it."""

from __future__ import annotations

from planton_build.emulator.lookup import whole_function
from planton_build.emulator.operations import Document, operation
from planton_build.emulator.refusal import invalid
from planton_build.emulator.state import Function, Region

MINIMUM_UNRESERVED = 100
"""What an account must keep for functions without a reservation."""


def provisioned_total(function: Function, without: str = "") -> int:
    """Return the provisioned concurrency of a function, that of one qualifier left out."""
    return sum(
        int(configuration["RequestedProvisionedConcurrentExecutions"])
        for qualifier, configuration in function.provisioned.items()
        if qualifier != without
    )


def unreserved(region: Region, without: str = "") -> int:
    """Return what the account has left for functions without a reservation; one function left out.

    Provisioned concurrency comes out of a function's reservation, or is taken from the account.
    """
    taken = sum(
        function.reserved if function.reserved is not None else provisioned_total(function)
        for function in region.functions.values()
        if function.name != without
    )
    return region.behaviour.concurrency_limit - taken


@operation("PutFunctionConcurrency")
def put_function_concurrency(region: Region, request: Document) -> Document:
    """Reserve concurrency. 0 is kept and shown: the function is off then."""
    function = whole_function(region, request)
    wanted = int(request["ReservedConcurrentExecutions"])
    # What this function has reserved already is replaced, so it does not count.
    if unreserved(region, without=function.name) - wanted < MINIMUM_UNRESERVED:
        raise invalid(
            "Specified ReservedConcurrentExecutions for function decreases account's "
            f"UnreservedConcurrentExecution below its minimum value of [{MINIMUM_UNRESERVED}]."
        )
    provisioned = provisioned_total(function)
    if provisioned > wanted:
        raise invalid(
            f" ReservedConcurrentExecutions  {wanted} should not be lower than function's total provisioned "
            f"concurrency [{provisioned}]."
        )
    function.reserved = wanted
    return {"ReservedConcurrentExecutions": wanted}


@operation("GetFunctionConcurrency")
def get_function_concurrency(region: Region, request: Document) -> Document:
    """Show the reservation; nothing when there is none."""
    function = whole_function(region, request)
    return {} if function.reserved is None else {"ReservedConcurrentExecutions": function.reserved}


@operation("DeleteFunctionConcurrency")
def delete_function_concurrency(region: Region, request: Document) -> None:
    """Remove the reservation; it is no error when there is none."""
    whole_function(region, request).reserved = None
