"""How much attached layers take of Lambda's unzipped limit: fetched once per layer version, and looked into.

The service tells a layer's zipped size only, and the limit is on the unzipped one. A layer version never
changes, so what was measured once is kept for good.
"""

from __future__ import annotations

import base64
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from planton_build.audit.layers import known_layer, look_into
from planton_build.audit.size import SizeReport, check_size
from planton_build.cache import Store
from planton_build.errors import ConfigInvalid, HashMismatch, PublishFailed
from planton_build.events import Listener, Note
from planton_build.files import CHUNK, sha256_of
from planton_build.manifest.document import Manifest
from planton_build.pipeline import Built
from planton_build.publish.aws import Aws
from planton_build.publish.aws_errors import explained

MAX_LAYER = 262_144_000
"""Most bytes of a layer's ZIP that are read: one that unzips within Lambda's limit is not larger."""
_SECONDS = 60.0
_VERSION = re.compile(
    r"(?P<layer>arn:[^:]+:lambda:(?P<region>[^:]+):\d{12}:layer:[A-Za-z0-9_-]+):(?P<version>\d+)"
)


def attached_layers(manifest: Manifest) -> tuple[str, ...]:
    """Return the layer version ARNs that a manifest names as literals."""
    return tuple(layer.value for layer in manifest.model.spec.layer_arns if layer.value)


def known_size(arns: Iterable[str], store: Store) -> tuple[int, tuple[str, ...]]:
    """Return the unzipped bytes of the layers that were measured before, and the ARNs of the others."""
    total, unknown = 0, []
    for arn in arns:
        content = known_layer(arn, store)
        if content is not None:
            total += content.size
        else:
            unknown.append(arn)
    return total, tuple(unknown)


def check_with_layers(built: Built, aws: Aws | None, store: Store, listener: Listener) -> None:
    """Hold a function's code and its layers together against Lambda's limit.

    Without `aws`, layers that were never measured are left out of the sum, and a note says so.

    Raises:
        SizeLimitExceeded: they are too large together.
        PlantonError: what `measured_size` raises.
    """
    arns = attached_layers(built.project.manifest)
    if aws is not None:
        layers = measured_size(arns, aws, store)
    else:
        layers, unknown = known_size(arns, store)
        if unknown:
            count = f"{len(unknown)} of {len(arns)} attached layers"
            listener(Note(built.project.name, f"{count} were never measured and do not count in the limit"))
    artifact = built.artifact
    check_size(
        SizeReport(artifact.unzipped_size, artifact.packages, artifact.largest, layers),
        file=built.project.manifest.path,
    )


def measured_size(arns: Iterable[str], aws: Aws, store: Store) -> int:
    """Return the unzipped bytes of all layers, fetching those that were not measured before.

    Raises:
        ConfigInvalid: an ARN is not that of a layer version.
        PublishFailed: a layer cannot be fetched.
        HashMismatch: the bytes are not those that the service announces.
    """
    total, unknown = known_size(arns, store)
    for arn in unknown:
        total += _measure(arn, aws, store)
    return total


def _measure(arn: str, aws: Aws, store: Store) -> int:
    match = _VERSION.fullmatch(arn)
    if match is None:
        raise ConfigInvalid(
            f"{arn!r} is not the ARN of a layer version", hint="it ends in :layer:NAME:VERSION"
        )
    with explained(f"reading the layer {arn}", otherwise=PublishFailed, resource=arn):
        answer = aws.lambda_(match["region"]).get_layer_version(
            LayerName=match["layer"], VersionNumber=int(match["version"])
        )
    content = answer["Content"]
    with store.staging() as staged:
        fetch(content["Location"], staged, arn)
        found = base64.b64encode(bytes.fromhex(sha256_of(staged))).decode()
        if found != content["CodeSha256"]:
            raise HashMismatch(
                f"the layer {arn} arrived with the SHA-256 {found} instead of {content['CodeSha256']}",
                hint="run the build again; if it stays so, something between here and AWS changes bytes",
            )
        return look_into(arn, staged, store).size


def fetch(location: str, destination: Path, arn: str) -> None:
    """Stream the presigned URL of a layer's content into a file; plain HTTP only on this machine.

    Raises:
        PublishFailed: the URL cannot be read, or gives more than a layer may have.
    """
    url = urllib.parse.urlsplit(location)
    if url.scheme != "https" and url.hostname not in {"127.0.0.1", "localhost"}:
        raise PublishFailed(f"the content of the layer {arn} has no address that can be read")
    try:
        with urllib.request.urlopen(location, timeout=_SECONDS) as answer, destination.open("wb") as out:  # noqa: S310 - the scheme was checked
            _copy(answer, out, arn)
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", error)
        raise PublishFailed(
            f"the content of the layer {arn} cannot be fetched: {reason}",
            hint="run the build again, or leave the layers out of the sum with --no-publish",
        ) from error


def _copy(answer: BinaryIO, out: BinaryIO, arn: str) -> None:
    size = 0
    while piece := answer.read(CHUNK):
        size += len(piece)
        if size > MAX_LAYER:
            raise PublishFailed(f"the layer {arn} has more than {MAX_LAYER:,} bytes")
        out.write(piece)
