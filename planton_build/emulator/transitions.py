"""Changes that take time: what a function shows meanwhile, and what it becomes at their end."""

from __future__ import annotations

from planton_build.emulator.refusal import Refusal, conflict
from planton_build.emulator.state import Behaviour, Code, Function, Region, Transition, Version, new_revision

CREATING = "The function is being created."
"""AWS says it of updates too."""
_NOT_NOW = "The operation cannot be performed at this time."
_STATE = ("State", "StateReason", "StateReasonCode")
_UPDATE = ("LastUpdateStatus", "LastUpdateStatusReason", "LastUpdateStatusReasonCode")


def begin_creation(region: Region, function: Function) -> None:
    """Make a new function Pending."""
    failure = region.behaviour.failures.pop(function.name, None)
    function.hidden = region.behaviour.hidden_reads
    _pend(region, function.latest, failure)


def begin_version(region: Region, function: Function, version: Version, *, with_latest: bool) -> None:
    """Make a new version Pending for as long as changes take.

    `with_latest` is for a version that is published in the same call as its code: it shares the fate of
    `$LATEST`. A version of a function whose last update failed cannot start either. Without anything to wait
    for, a version is Active at once, unless SnapStart has to take its snapshot.
    """
    failure = region.behaviour.failures.pop(f"{function.name}:version", None)
    latest = function.latest
    if failure is None and with_latest and latest.transition is not None:
        failure = latest.transition.failure
    if failure is None and latest.fallback is not None:
        failure = (
            str(latest.configuration.get("LastUpdateStatusReasonCode", "InternalError")),
            str(latest.configuration.get("LastUpdateStatusReason", "")),
        )
    _pend(region, version, failure)
    snapshot = version.configuration["SnapStart"]["OptimizationStatus"] == "On"
    if not snapshot and not with_latest and failure is None:
        settle(region.behaviour, version)


def begin_update(region: Region, function: Function, configuration: dict[str, object], code: Code) -> None:
    """Give `$LATEST` a new configuration and code. What ran before runs until the update is through."""
    latest = function.latest
    previous = latest.running
    latest.configuration, latest.code = configuration, code
    _show(latest, _UPDATE, "InProgress", ("Creating", CREATING))
    latest.transition = Transition(
        reads=region.behaviour.reads,
        until=region.behaviour.now() + region.behaviour.seconds,
        creation=False,
        failure=region.behaviour.failures.pop(function.name, None),
        previous=previous,
    )


def begin_deletion(region: Region, function: Function) -> bool:
    """Delete a function, at once or after some reads that show it Deleting. Return whether it takes time."""
    if region.behaviour.deletion_reads == 0:
        del region.functions[function.name]
        return False
    if function.deleting is None:
        reads = region.behaviour.deletion_reads
        function.deleting = Transition(reads=reads, until=region.behaviour.now(), creation=False)
        for version in (function.latest, *function.versions.values()):
            version.transition = None
            _show(version, _STATE, "Deleting", None)
    return True


def gone(region: Region, function: Function, *, reading: bool = False) -> bool:
    """Tell whether a function that is being deleted is gone by now. A read counts."""
    if function.deleting is None:
        return False
    if function.deleting.reads > 0:
        function.deleting.reads -= reading
        return False
    region.functions.pop(function.name, None)
    return True


def settle(behaviour: Behaviour, version: Version, *, reading: bool = False) -> None:
    """End the change that a version is in when its time is over. A read counts, and sees what was before."""
    change = version.transition
    if change is None:
        return
    if reading and change.reads > 0:
        change.reads -= 1
        return
    if change.reads > 0 or behaviour.now() < change.until:
        return
    version.transition = None
    version.configuration["RevisionId"] = new_revision()
    if change.creation:
        _show(version, _STATE, "Failed" if change.failure else "Active", change.failure)
        _show(version, _UPDATE, "Failed" if change.failure else "Successful", None)
        return
    _show(version, _UPDATE, "Failed" if change.failure else "Successful", change.failure)
    version.fallback = change.previous if change.failure else None
    if not change.failure:
        _show(version, _STATE, "Active", None)


def check_changeable(region: Region, function: Function) -> None:
    """Raise Refusal (409) while `$LATEST` may not be changed or published."""
    if function.deleting is not None:
        raise in_state("Deleting")
    settle(region.behaviour, function.latest)
    if function.latest.transition is not None:
        raise conflict(f"{_NOT_NOW} An update is in progress for resource: {function.arn}")


def check_invocable(region: Region, function: Function, version: Version) -> None:
    """Raise Refusal (409) when a version has nothing that runs."""
    settle(region.behaviour, version)
    state = "Deleting" if function.deleting is not None else str(version.configuration["State"])
    if state != "Active":
        raise in_state(state)


def in_state(state: str) -> Refusal:
    """Return the refusal (409) of what cannot be done in a state."""
    return conflict(f"{_NOT_NOW} The function is currently in the following state: {state}")


def _pend(region: Region, version: Version, failure: tuple[str, str] | None) -> None:
    for name in _UPDATE:
        version.configuration.pop(name, None)
    _show(version, _STATE, "Pending", ("Creating", CREATING))
    until = region.behaviour.now() + region.behaviour.seconds
    version.transition = Transition(region.behaviour.reads, until, creation=True, failure=failure)


def _show(
    version: Version, members: tuple[str, str, str], value: str, reason: tuple[str, str] | None
) -> None:
    """Set a state and its reason (code, text), or remove the reason of the one before."""
    name, text, code = members
    version.configuration[name] = value
    if reason is None:
        version.configuration.pop(text, None)
        version.configuration.pop(code, None)
    else:
        version.configuration[code], version.configuration[text] = reason
