"""Provisioned concurrency of aliases and versions, which takes time to become ready."""

from __future__ import annotations

from planton_build.emulator.answers import page, short_stamp, shown, waiting
from planton_build.emulator.concurrency import MINIMUM_UNRESERVED, provisioned_total, unreserved
from planton_build.emulator.lookup import LATEST, is_version, resolved, version_at, whole_function
from planton_build.emulator.operations import Document, operation
from planton_build.emulator.refusal import Refusal, conflict, invalid
from planton_build.emulator.state import Function, Region
from planton_build.emulator.transitions import in_state, settle


@operation("PutProvisionedConcurrencyConfig")
def put_provisioned_concurrency_config(region: Region, request: Document) -> Document:
    """Ask for provisioned concurrency. It replaces what was asked for, and is allocated anew."""
    if request.get("Qualifier") == LATEST:
        raise invalid("Provisioned Concurrency Configs cannot be applied to unpublished function versions.")
    function, qualifier = _published(region, request)
    wanted = int(request["ProvisionedConcurrentExecutions"])
    _check_amount(region, function, qualifier, wanted)
    _check_place(region, function, qualifier)
    failure = region.behaviour.failures.pop(f"{function.name}:provisioned", None)
    function.provisioned[qualifier] = {
        "RequestedProvisionedConcurrentExecutions": wanted,
        "LastModified": short_stamp(),
        "_failure": failure[1] if failure else None,
    }
    _begin(region, function, qualifier)
    return _answer(function, qualifier)


@operation("GetProvisionedConcurrencyConfig")
def get_provisioned_concurrency_config(region: Region, request: Document) -> Document:
    """Show how far the allocation has come. Each call counts as one read of it."""
    function, qualifier = _published(region, request)
    if qualifier not in function.provisioned:
        raise Refusal(
            "ProvisionedConcurrencyConfigNotFoundException",
            404,
            "No Provisioned Concurrency Config found for this function",
            {"Type": "User"},
        )
    _advance(region, function, qualifier)
    return _answer(function, qualifier)


@operation("ListProvisionedConcurrencyConfigs")
def list_provisioned_concurrency_configs(region: Region, request: Document) -> Document:
    """List what is asked for, by qualifier. It counts as a read of each."""
    function = whole_function(region, request)
    qualifiers, marker = page(function.provisioned, str, request)
    for qualifier in qualifiers:
        _advance(region, function, qualifier)
    configurations = [
        {"FunctionArn": f"{function.arn}:{qualifier}", **_answer(function, qualifier)}
        for qualifier in qualifiers
    ]
    return {"ProvisionedConcurrencyConfigs": configurations, **marker}


@operation("DeleteProvisionedConcurrencyConfig")
def delete_provisioned_concurrency_config(region: Region, request: Document) -> None:
    """Release the allocation; it is no error when there is none."""
    function, qualifier = _published(region, request)
    function.provisioned.pop(qualifier, None)


def _published(region: Region, request: Document) -> tuple[Function, str]:
    """Return the function and the alias or published version that a request names."""
    function, qualifier = resolved(region, request)
    if qualifier in ("", LATEST):
        raise invalid("The function resource provided must be an alias or a published version.")
    return function, qualifier


def _check_amount(region: Region, function: Function, qualifier: str, wanted: int) -> None:
    """Refuse more than the function's reservation, or than the account can give."""
    total = provisioned_total(function, without=qualifier) + wanted
    if function.reserved is not None:
        if total > function.reserved:
            raise invalid(
                "Requested Provisioned Concurrency should not be greater than the "
                "reservedConcurrentExecution for function"
            )
        return
    left = unreserved(region, without=function.name)
    if wanted > left:
        raise invalid(
            "Specified ConcurrentExecutions for function is greater than account's unreserved concurrency "
            f"[{left}]."
        )
    if left - total < MINIMUM_UNRESERVED:
        raise invalid(
            "Specified ConcurrentExecutions for function decreases account's UnreservedConcurrentExecution "
            f"below its minimum value of [{MINIMUM_UNRESERVED}]."
        )


def _check_place(region: Region, function: Function, qualifier: str) -> None:
    """Refuse an alias of a provisioned version and the reverse, aliases with weights, and other features."""
    version = version_at(function, qualifier)
    alias = function.aliases.get(qualifier)
    if alias is None:
        if any(
            other["FunctionVersion"] == qualifier and name in function.provisioned
            for name, other in function.aliases.items()
        ):
            raise conflict("Version is pointed by a Provisioned Concurrency alias")
    elif alias["FunctionVersion"] == LATEST:
        raise invalid("Provisioned Concurrency Configs cannot be applied to unpublished function versions.")
    elif any(
        _number(function, other) == alias["FunctionVersion"]
        for other in function.provisioned
        if other != qualifier
    ):
        raise conflict(
            "Alias can't be used for Provisioned Concurrency configuration on an already Provisioned version"
        )
    elif (alias.get("RoutingConfig") or {}).get("AdditionalVersionWeights"):
        raise invalid("Alias with weights can not be used with Provisioned Concurrency")
    if (version.configuration.get("SnapStart") or {}).get("ApplyOn") == "PublishedVersions":
        raise invalid("Provisioned Concurrency is not supported for functions with SnapStart enabled.")
    settle(region.behaviour, version)
    state = str(version.configuration.get("State", "Active"))
    if state != "Active":
        raise in_state(state)


def _begin(region: Region, function: Function, qualifier: str) -> None:
    """Start allocating for the version that the qualifier means now."""
    found = function.provisioned[qualifier]
    found["_version"] = _number(function, qualifier)
    found["_waiting"] = waiting(region.behaviour, region.behaviour.provisioning_reads)
    found["Status"] = "IN_PROGRESS"
    found.pop("StatusReason", None)


def _advance(region: Region, function: Function, qualifier: str) -> None:
    """Count a read: the allocation may end with it, or begin anew when the alias has moved."""
    found = function.provisioned[qualifier]
    if found["_version"] != _number(function, qualifier):
        _begin(region, function, qualifier)
    if found["Status"] != "IN_PROGRESS" or not found["_waiting"].over(region.behaviour):
        return
    reason = found.pop("_failure", None)
    found["Status"] = "FAILED" if reason else "READY"
    if reason:
        found["StatusReason"] = reason


def _number(function: Function, qualifier: str) -> str:
    """Return the number of the version that a qualifier means."""
    return qualifier if is_version(qualifier) else str(function.aliases[qualifier]["FunctionVersion"])


def _answer(function: Function, qualifier: str) -> Document:
    """Return the members that every answer about provisioned concurrency has."""
    found = function.provisioned[qualifier]
    given = found["RequestedProvisionedConcurrentExecutions"] if found["Status"] == "READY" else 0
    return {
        **shown(found),
        "AllocatedProvisionedConcurrentExecutions": given,
        "AvailableProvisionedConcurrentExecutions": given,
    }
