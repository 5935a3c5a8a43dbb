"""Published versions: made from `$LATEST`, numbered, never changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from planton_build.emulator.answers import page, shown, stamp
from planton_build.emulator.configuration import digest
from planton_build.emulator.lookup import LATEST, Address, address, function_at
from planton_build.emulator.operations import Document, operation
from planton_build.emulator.refusal import invalid, precondition
from planton_build.emulator.state import Function, Region, Version, new_revision
from planton_build.emulator.transitions import begin_version, check_changeable, settle

_NOT_LISTED = frozenset(
    {
        "State", "StateReason", "StateReasonCode", "LastUpdateStatus", "LastUpdateStatusReason",
        "LastUpdateStatusReasonCode", "RuntimeVersionConfig",
    }
)  # fmt: skip


@operation("PublishVersion")
def publish_version(region: Region, request: Document) -> Document:
    """Publish `$LATEST`, or return the last version when nothing has changed since."""
    function = function_at(region, Address(address(region, request).name))
    check_changeable(region, function)
    latest = function.latest.configuration
    check_revision(latest, request)
    wanted = request.get("CodeSha256")
    if wanted and wanted != latest["CodeSha256"]:
        raise invalid(
            f"CodeSHA256 ({wanted}) is different from current CodeSHA256 in $LATEST "
            f"({latest['CodeSha256']}). Please try again with the CodeSHA256 in $LATEST."
        )
    version = publish(region, function, request.get("Description"))
    return version_answer(function, version, str(version.configuration["Version"]))


@operation("ListVersionsByFunction")
def list_versions_by_function(region: Region, request: Document) -> Document:
    """List `$LATEST` and the versions, the oldest first."""
    function = function_at(region, address(region, request))
    every = {LATEST: function.latest, **function.versions}
    numbers, marker = page(every, lambda one: f"{one.removeprefix(LATEST):0>20}", request)
    return {"Versions": [list_answer(function, every[number], number) for number in numbers], **marker}


def publish(
    region: Region, function: Function, description: str | None, *, with_latest: bool = False
) -> Version:
    """Return a new version of `$LATEST`, or the last one when it was made of the same code and settings.

    `description` is the version's own; None keeps that of the function. `with_latest` is for the call that
    also brings the code. Publishing gives `$LATEST` a new RevisionId.
    """
    latest = function.latest
    source = f"{latest.configuration['ConfigSha256']} {latest.configuration['CodeSha256']}"
    last = function.versions.get(str(function.next_version - 1))
    if last is not None and last.source == source:
        settle(region.behaviour, last)
        return last
    number = str(function.next_version)
    function.next_version += 1
    apply_on = latest.configuration["SnapStart"]["ApplyOn"]
    configuration = {
        **latest.configuration,
        "Version": number,
        "FunctionArn": f"{function.arn}:{number}",
        "RevisionId": new_revision(),
        "LastModified": stamp(),
        "SnapStart": {
            "ApplyOn": apply_on,
            "OptimizationStatus": "On" if apply_on == "PublishedVersions" else "Off",
        },
    }
    if description is not None:
        configuration["Description"] = description
    configuration["ConfigSha256"] = digest(configuration)
    version = Version(configuration, latest.code, source=source)
    function.versions[number] = version
    begin_version(region, function, version, with_latest=with_latest)
    latest.configuration["RevisionId"] = new_revision()
    return version


def check_revision(document: Mapping[str, Any], request: Document) -> None:
    """Raise Refusal (412) when a request was made for another revision than that of a document."""
    if request.get("RevisionId") and request["RevisionId"] != document["RevisionId"]:
        raise precondition(
            "The Revision Id provided does not match the latest Revision Id. "
            "Call the GetFunction/GetAlias API to retrieve the latest Revision Id"
        )


def version_answer(function: Function, version: Version, qualifier: str = "") -> Document:
    """Return FunctionConfiguration of a version that was asked for by a qualifier, "" for none."""
    arn = f"{function.arn}:{qualifier}" if qualifier else function.arn
    return {**shown(version.configuration), "FunctionArn": arn}


def list_answer(function: Function, version: Version, qualifier: str) -> Document:
    """Return what lists show of a version: nothing of its state."""
    answer = version_answer(function, version, qualifier)
    return {name: value for name, value in answer.items() if name not in _NOT_LISTED}


def aliases_of(function: Function, number: str) -> list[str]:
    """Return the names of the aliases that send requests to a version."""
    return [
        name
        for name, alias in function.aliases.items()
        if number == alias["FunctionVersion"]
        or number in ((alias.get("RoutingConfig") or {}).get("AdditionalVersionWeights") or {})
    ]


def drop_qualifier(function: Function, qualifier: str) -> None:
    """Forget what hangs on a version or an alias that is deleted."""
    for things in (
        function.policies,
        function.policy_revisions,
        function.urls,
        function.event_invokes,
        function.provisioned,
        function.runtime_management,
    ):
        things.pop(qualifier, None)
