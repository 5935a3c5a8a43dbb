"""The layers of a function: that they exist and go together, and what they unpack to."""

from __future__ import annotations

from collections.abc import Sequence

from planton_build.emulator.layers import layer_version
from planton_build.emulator.operations import Document
from planton_build.emulator.refusal import Refusal, invalid
from planton_build.emulator.state import Region

LAYER_LIMIT = 5
"""How many layers a function may have."""


def layer_members(region: Region, arns: Sequence[str]) -> tuple[list[Document], int]:
    """Return `FunctionConfiguration.Layers` of layer version ARNs, and what they unpack to in bytes.

    Raises Refusal for too many layers, for two versions of one, and for those that are not there.
    """
    if len(arns) > LAYER_LIMIT:
        raise invalid(f"Cannot reference more than {LAYER_LIMIT} layers.")
    members: list[Document] = []
    unzipped = 0
    for number, arn in enumerate(arns):
        version = _existing(region, arn)
        _check_single(arns[:number], arn)
        size = int((version.get("Content") or {}).get("CodeSize", 0))
        members.append({"Arn": arn, "CodeSize": size})
        unzipped += int(version.get("_unzipped", size))
    return members, unzipped


def _existing(region: Region, arn: str) -> Document:
    parts = arn.split(":")
    where, account = (parts[3], parts[4]) if len(parts) == 8 else (region.region, region.account)
    if account != region.account:
        version = layer_version(region, arn) if where == region.region else None
        if version is None:
            raise _not_allowed(region, arn)
        return version
    if where != region.region:
        raise invalid(
            "Layers are not in the same region as the function. "
            f"Layers are expected to be in region {region.region}."
        )
    version = layer_version(region, arn)
    if version is None:
        raise invalid(f"Layer version {arn} does not exist.")
    return version


def _check_single(before: Sequence[str], arn: str) -> None:
    layer = arn.rpartition(":")[0]
    other = next((one for one in before if one.rpartition(":")[0] == layer), None)
    if other is not None:
        raise invalid(
            "Two different versions of the same layer are not allowed to be referenced in the same function. "
            f"{other} and {arn} are versions of the same layer."
        )


def _not_allowed(region: Region, arn: str) -> Refusal:
    return Refusal(
        "AccessDeniedException",
        403,
        f"User: arn:{region.partition}:iam::{region.account}:root is not authorized to perform: "
        f"lambda:GetLayerVersion on resource: {arn} because no resource-based policy allows the "
        "lambda:GetLayerVersion action",
    )
