"""Lambda's size limits, held against an artifact before anything is uploaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from planton_build.artifact import FileSize, PackageShare
from planton_build.errors import SizeBudgetExceeded, SizeLimitExceeded

UNZIPPED_LIMIT = 262_144_000
"""Bytes that a function's code and its layers may unzip to; the sum must be smaller.

Lambda answers `Unzipped size must be smaller than 262144000 bytes` (AWS Lambda quotas: 250 MB).
"""
IMAGE_LIMIT = 10 << 30
"""Bytes that an image's layers may unpack to, all of them together (AWS Lambda quotas: 10 GB uncompressed,
where a GB of Lambda's is 2^30 bytes)."""
DIRECT_UPLOAD_LIMIT = 52_428_800
"""Bytes of a ZIP sent in the request itself; through S3 there is no such limit (AWS Lambda quotas: 50 MB)."""

_SHOWN = 5


@dataclass(frozen=True, slots=True)
class SizeReport:
    """An artifact's size in bytes, with who brought it. `layers` is the unzipped size of attached layers."""

    unzipped_size: int
    packages: Sequence[PackageShare]
    largest: Sequence[FileSize]
    layers: int = 0


def human(size: int) -> str:
    """Return a size for people: MB of 1,000,000 bytes, with the unit that gives 1 to 999."""
    value = float(size)
    for unit in ("B", "kB", "MB"):
        if round(value, 1) < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.2f} GB"


def _who(report: SizeReport) -> str:
    packages = ", ".join(
        f"{share.name} {human(share.unzipped_size)}" for share in list(report.packages)[:_SHOWN]
    )
    files = ", ".join(f"{file.path} {human(file.size)}" for file in list(report.largest)[:3])
    return f"largest packages: {packages}; largest files: {files}"


def check_size(
    report: SizeReport,
    *,
    max_size: int | None = None,
    file: Path | None = None,
    limit: int = UNZIPPED_LIMIT,
) -> None:
    """Raise when the artifact is over Lambda's limit, or over a budget of `max_size` unzipped bytes.

    `file` is the manifest or the artifact, for the message. `limit` is that of ZIPs or of images.

    Raises:
        SizeLimitExceeded: code and layers together reach Lambda's limit.
        SizeBudgetExceeded: the code alone is over the budget.
    """
    total = report.unzipped_size + report.layers
    if limit == IMAGE_LIMIT and total > limit:
        raise SizeLimitExceeded(
            f"the image unpacks to {total:,} bytes, and Lambda takes {limit:,}: {total - limit:,} bytes too "
            f"many; {_who(report)}",
            hint="leave files out, or build on a smaller base image",
            file=file,
        )
    if limit == UNZIPPED_LIMIT and total >= limit:
        layers = f" with {report.layers:,} bytes of layers" if report.layers else ""
        raise SizeLimitExceeded(
            f"the function unzips to {total:,} bytes{layers}, and Lambda takes less than {UNZIPPED_LIMIT:,}: "
            f"{total - UNZIPPED_LIMIT + 1:,} bytes too many; {_who(report)}",
            hint="drop a package, leave files out with package-exclude (such as pandas/tests/), "
            "or deploy a container image, which may have 10 GB",
            file=file,
        )
    if max_size is not None and report.unzipped_size > max_size:
        raise SizeBudgetExceeded(
            f"the function unzips to {report.unzipped_size:,} bytes, over the budget of {max_size:,}; "
            f"{_who(report)}",
            hint="raise --max-size (or max-size in planton.toml) if the growth is meant",
            file=file,
        )
