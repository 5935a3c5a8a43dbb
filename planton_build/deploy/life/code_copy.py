"""Copying a function's deployed ZIP into a bucket, under the name that its content gives it."""

from __future__ import annotations

import hashlib
import tempfile
import urllib.error
import urllib.request
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from planton_build.deploy.life.target import Target, not_deployed, read, text
from planton_build.deploy.observed import ObservedFunction
from planton_build.errors import AwsUnreachable, DeployRefused
from planton_build.files import CHUNK
from planton_build.manifest.code_source import S3Source
from planton_build.publish.aws import AwsSettings
from planton_build.publish.aws_errors import clean
from planton_build.publish.s3 import publish

_SECONDS: Final = 60.0
"""Without a byte arriving."""
_MAX_BYTES: Final = 300 << 20
"""Larger than any ZIP that Lambda takes (250 MB unzipped, AWS Lambda quotas)."""


def copy_code(target: Target, observed: ObservedFunction, bucket: str, prefix: str) -> S3Source | None:
    """Copy the code of a ZIP function to `<prefix>/<name>/<sha256>.zip`, and return where that is.

    None for an image. The bytes are verified by the digest that Lambda tells, so the function that is
    deployed from the copy has the code that it has. Raises DeployRefused when Lambda gives other bytes or
    none, AwsUnreachable, and what publishing raises.
    """
    if observed.package == "Image":
        return None
    client = target.client
    answer = read(target, "reading the code of", client.get_function, FunctionName=target.name)
    if answer is None:
        raise not_deployed(target)
    code = answer.get("Code")
    location = text(code, "Location") if isinstance(code, dict) else ""
    if not location.startswith(("https://", "http://")) or observed.code_sha256 is None:
        raise DeployRefused(
            f"Lambda does not say where the code of {target.name} can be read",
            hint="adopt it without --bucket, and build it from its sources",
        )
    with tempfile.TemporaryDirectory(prefix="planton-code-") as folder:
        path = Path(folder) / "code.zip"
        found = _fetch(target, _reachable(location, target.aws.settings), path)
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


def _reachable(location: str, settings: AwsSettings) -> str:
    """Return where the code is fetched: an emulator shows AWS's own host for what it serves itself."""
    if not settings.isolated or settings.endpoint_url is None:
        return location
    found = urlsplit(location)
    return settings.endpoint_url.rstrip("/") + found.path + (f"?{found.query}" if found.query else "")


def _fetch(target: Target, location: str, path: Path) -> str:
    """Download the code and return its SHA-256 (hex). The location is a credential, so no text holds it."""
    # A proxy of the environment is for the world outside, not for an endpoint of this machine.
    proxies = urllib.request.ProxyHandler({} if target.aws.settings.isolated else None)
    opener = urllib.request.build_opener(proxies)
    digest, size = hashlib.sha256(), 0
    try:
        with opener.open(location, timeout=_SECONDS) as answer, path.open("wb") as file:
            while piece := answer.read(CHUNK):
                size += len(piece)
                if size > _MAX_BYTES:
                    raise DeployRefused(f"the code of {target.name} is larger than any that Lambda takes")
                digest.update(piece)
                file.write(piece)
    except urllib.error.HTTPError as error:
        raise DeployRefused(
            f"reading the code of {target.name} failed; S3 answered {error.code} {clean(str(error.reason))}",
            hint="adopt it again: the place is valid for ten minutes only",
        ) from None
    except OSError as error:
        # URLError is one; its own text is the reason alone.
        raise AwsUnreachable(
            f"AWS cannot be reached while reading the code of {target.name}: {clean(str(error))}",
            hint="check the network and the proxy settings",
        ) from None
    return digest.hexdigest()
