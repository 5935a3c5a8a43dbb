"""The account's limits, and what it uses of them in a region."""

from __future__ import annotations

from planton_build.emulator.concurrency import unreserved
from planton_build.emulator.layers import layers_size
from planton_build.emulator.operations import Document, operation
from planton_build.emulator.state import Region

CODE_SIZE_ZIPPED = 52_428_800
"""Bytes of a ZIP sent in a request."""
CODE_SIZE_UNZIPPED = 262_144_000
"""Bytes that a function and its layers may unpack to."""


def code_size(region: Region) -> int:
    """Return the bytes of code that Lambda keeps: ZIPs of all versions, and layers. Images are ECR's."""
    functions = sum(
        version.code.size
        for function in region.functions.values()
        for version in (function.latest, *function.versions.values())
        if version.code.package != "Image"
    )
    return functions + layers_size(region)


@operation("GetAccountSettings")
def get_account_settings(region: Region, request: Document) -> Document:  # noqa: ARG001
    """Show limits and usage."""
    return {
        "AccountLimit": {
            "TotalCodeSize": region.behaviour.code_size_limit,
            "CodeSizeUnzipped": CODE_SIZE_UNZIPPED,
            "CodeSizeZipped": CODE_SIZE_ZIPPED,
            "ConcurrentExecutions": region.behaviour.concurrency_limit,
            "UnreservedConcurrentExecutions": unreserved(region),
        },
        "AccountUsage": {"TotalCodeSize": code_size(region), "FunctionCount": len(region.functions)},
    }
