"""Where results of invocations may be sent."""

from __future__ import annotations

from collections.abc import Mapping

from planton_build.emulator.lookup import Address, find_function
from planton_build.emulator.refusal import invalid
from planton_build.emulator.state import Function, Region

_KINDS = {"sqs": "queue", "sns": "topic", "events": "bus", "s3": "bucket"}
"""What to ask the world for, by the service in a destination's ARN."""


def check_destination(
    region: Region, function: Function, side: str, arn: str, given: Mapping[str, str]
) -> None:
    """Raise Refusal unless results of a function can be sent to `arn`.

    `side` is `OnSuccess` or `OnFailure`; `given` has the ARNs of both sides, for the message.
    """
    service = (arn.split(":") + [""] * 3)[2]
    if service == "lambda":
        _check_function(region, function, arn)
    elif service not in _KINDS or (service == "s3" and side != "OnFailure"):
        success, failure = (
            f"{name}(destination={given[name]})" if given.get(name) else "null"
            for name in ("OnSuccess", "OnFailure")
        )
        raise invalid(
            f"The provided destination config DestinationConfig(onSuccess={success}, onFailure={failure}) "
            "is invalid."
        )
    elif missing(region, _KINDS[service], arn):
        raise invalid(f"The destination ARN {arn} is invalid.")


def missing(region: Region, kind: str, arn: str) -> bool:
    """Tell whether the world knows that a resource is not there. It is not asked where it is not strict."""
    if not region.behaviour.strict_world:
        return False
    return region.world.exists(region.account, region.region, kind, arn) is False


def _check_function(region: Region, function: Function, arn: str) -> None:
    parts = arn.split(":")
    where = Address(parts[6] if len(parts) > 6 else "", parts[7] if len(parts) > 7 else "")
    if where.name == function.name and parts[:6] == function.arn.split(":")[:6]:
        raise invalid("You can't specify the function as a destination for itself.")
    if parts[3:5] == [region.region, region.account] and find_function(region, where.name) is None:
        raise invalid(f"The destination ARN {arn} is invalid.")
