"""Reading a function's deployed ZIP where Lambda says that it is, for ten minutes."""

from __future__ import annotations

import hashlib
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from planton_build.errors import AwsUnreachable, DeployRefused, FunctionUnknown
from planton_build.files import CHUNK
from planton_build.publish.aws import Aws, AwsSettings
from planton_build.publish.aws_errors import clean, error_code, explained

MAX_DIRECT_BYTES: Final = 52_428_800
"""Largest ZIP that a call to Lambda itself takes (AWS Lambda quotas: 50 MB, zipped, for direct upload)."""
_SECONDS: Final = 60.0
"""Without a byte arriving."""
_MAX_BYTES: Final = 300 << 20
"""Larger than any ZIP that Lambda takes (250 MB unzipped, AWS Lambda quotas)."""


def fetch_code(name: str, aws: Aws, region: str | None, path: Path, *, qualifier: str = "") -> str:
    """Download the ZIP of a function, or of a version, to a file, and return its SHA-256 (hex).

    Raises FunctionUnknown, DeployRefused when Lambda does not say where it is or S3 does not give it,
    AwsUnreachable, AccessDenied or CredentialsMissing.
    """
    location = _location(name, aws, region, qualifier)
    if not location.startswith(("https://", "http://")):
        raise DeployRefused(
            f"Lambda does not say where the code of {name} can be read",
            hint="build it from its sources",
        )
    return _download(name, _reachable(location, aws.settings), path, isolated=aws.settings.isolated)


def _location(name: str, aws: Aws, region: str | None, qualifier: str) -> str:
    from botocore.exceptions import ClientError

    client, chosen = aws.lambda_(region), {"Qualifier": qualifier} if qualifier else {}
    request: Any = {"FunctionName": name, **chosen}
    with explained(f"reading the code of {name}", otherwise=DeployRefused, resource=name):
        try:
            answer: Mapping[str, Any] = client.get_function(**request)
        except ClientError as error:
            if error_code(error) == "ResourceNotFoundException":
                raise FunctionUnknown(
                    f"no function {name} is deployed in {client.meta.region_name}", hint="deploy it first"
                ) from error
            raise
    code = answer.get("Code")
    found = code.get("Location") if isinstance(code, Mapping) else None
    return found if isinstance(found, str) else ""


def _reachable(location: str, settings: AwsSettings) -> str:
    """Return where the code is fetched: an emulator shows AWS's own host for what it serves itself."""
    if not settings.isolated or settings.endpoint_url is None:
        return location
    found = urlsplit(location)
    return settings.endpoint_url.rstrip("/") + found.path + (f"?{found.query}" if found.query else "")


def _download(name: str, location: str, path: Path, *, isolated: bool) -> str:
    """Download the code. The location is a credential, so no text holds it."""
    # A proxy of the environment is for the world outside, not for an endpoint of this machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({} if isolated else None))
    digest, size = hashlib.sha256(), 0
    try:
        with opener.open(location, timeout=_SECONDS) as answer, path.open("wb") as file:
            while piece := answer.read(CHUNK):
                size += len(piece)
                if size > _MAX_BYTES:
                    raise DeployRefused(f"the code of {name} is larger than any that Lambda takes")
                digest.update(piece)
                file.write(piece)
    except urllib.error.HTTPError as error:
        raise DeployRefused(
            f"reading the code of {name} failed; S3 answered {error.code} {clean(str(error.reason))}",
            hint="try it again: the place is valid for ten minutes only",
        ) from None
    except OSError as error:
        # URLError is one; its own text is the reason alone.
        raise AwsUnreachable(
            f"AWS cannot be reached while reading the code of {name}: {clean(str(error))}",
            hint="check the network and the proxy settings",
        ) from None
    return digest.hexdigest()
