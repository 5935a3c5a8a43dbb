"""Copying a function's deployed ZIP into a bucket, under the name that its content gives it."""

from __future__ import annotations

import tempfile
from pathlib import Path

from planton_build.deploy.code_location import fetch_code
from planton_build.deploy.life.target import Target
from planton_build.deploy.observed import ObservedFunction
from planton_build.errors import DeployRefused
from planton_build.manifest.code_source import S3Source
from planton_build.publish.s3 import publish


def copy_code(target: Target, observed: ObservedFunction, bucket: str, prefix: str) -> S3Source | None:
    """Copy the code of a ZIP function to `<prefix>/<name>/<sha256>.zip`, and return where that is.

    None for an image. The bytes are verified by the digest that Lambda tells, so the function that is
    deployed from the copy has the code that it has. Raises DeployRefused when Lambda gives other bytes or
    none, AwsUnreachable, and what publishing raises.
    """
    if observed.package == "Image":
        return None
    with tempfile.TemporaryDirectory(prefix="planton-code-") as folder:
        path = Path(folder) / "code.zip"
        found = fetch_code(target.name, target.aws, target.region, path)
        if found != observed.code_sha256:
            raise DeployRefused(
                f"the code of {target.name} has the SHA-256 {found}, where Lambda says "
                f"{observed.code_sha256}",
                hint="somebody is deploying it; adopt it again",
            )
        done = publish(
            path,
            sha256=found,
            size=path.stat().st_size,
            bucket=bucket,
            prefix=prefix,
            function_name=target.name,
            region=target.region,
            aws=target.aws,
        )
    return done.source
