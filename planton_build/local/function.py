"""`RunnableFunction`: a function as the local AWS has it deployed, with its code on disk."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from planton_build.errors import ArtifactNotRunnable, FunctionUnknown
from planton_build.files import CHUNK
from planton_build.local.clients import answering, local_client
from planton_build.local.server import DEFAULT_ACCOUNT, LocalAws
from planton_build.manifest.code_source import S3Source

MAX_ZIP = 262_144_000
"""Most bytes of a ZIP that are read: none that unpacks to less than Lambda's limit is larger."""


@dataclass(frozen=True, slots=True)
class RunnableFunction:
    """A deployed function. `artifact` is its ZIP, whose SHA-256 has been compared; `timeout` is in
    seconds."""

    name: str
    arn: str
    version: str
    runtime: str
    handler: str
    region: str
    memory_mb: int
    timeout: int
    environment: Mapping[str, str]
    layers: tuple[str, ...]
    artifact: Path

    @property
    def account(self) -> str:
        """Return the account that the function is in."""
        return self.arn.split(":")[4]


def fetch_function(
    local: LocalAws,
    name: str,
    *,
    code: S3Source,
    region: str,
    folder: Path,
    account: str = DEFAULT_ACCOUNT,
    qualifier: str | None = None,
) -> RunnableFunction:
    """Read a function's configuration and code from the local AWS. The ZIP is put into `folder`.

    `code` is the manifest's code source: GetFunction does not tell the bucket. It must be what is
    deployed. `qualifier` is a version or an alias.

    Raises `FunctionUnknown`; `ArtifactNotRunnable` for code in S3 that is gone or is not the code that was
    deployed, and for a function that is deployed as an image.
    """
    artifact = folder / "artifact.zip"
    with answering():
        configuration = deployed(local, name, region, account, qualifier)["Configuration"]
        digest = _download(local, code, region, account, artifact)
    if base64.b64encode(digest).decode() != configuration["CodeSha256"]:
        raise ArtifactNotRunnable(
            f"s3://{code.bucket}/{code.key} is not the code that {name} is deployed with",
            hint="Deploy the function to the local AWS again, then invoke it.",
        )
    return RunnableFunction(
        name=configuration["FunctionName"],
        arn=configuration["FunctionArn"],
        version=configuration.get("Version", "$LATEST"),
        runtime=configuration.get("Runtime") or "",
        handler=configuration.get("Handler") or "",
        region=region,
        memory_mb=configuration.get("MemorySize", 128),
        timeout=configuration.get("Timeout", 3),
        environment=configuration.get("Environment", {}).get("Variables", {}),
        layers=tuple(layer["Arn"] for layer in configuration.get("Layers", ())),
        artifact=artifact,
    )


def deployed(
    local: LocalAws, name: str, region: str, account: str = DEFAULT_ACCOUNT, qualifier: str | None = None
) -> Any:
    """Return what GetFunction of the local AWS says of a function. Raises `FunctionUnknown`."""
    client = local_client(local, "lambda", region, account)
    chosen = {"Qualifier": qualifier} if qualifier else {}
    try:
        return client.get_function(FunctionName=name, **chosen)
    except client.exceptions.ResourceNotFoundException as error:
        which = f"{name}:{qualifier}" if qualifier else name
        raise FunctionUnknown(
            f"no function {which} is deployed to the local AWS in {region}",
            hint="Deploy it first, with --local. What the local AWS holds is gone when it was stopped.",
        ) from error


def _download(local: LocalAws, code: S3Source, region: str, account: str, artifact: Path) -> bytes:
    """Write the object to `artifact` and return its SHA-256."""
    client = local_client(local, "s3", region, account)
    version = {"VersionId": code.object_version} if code.object_version else {}
    where = f"s3://{code.bucket}/{code.key}"
    digest, size = hashlib.sha256(), 0
    try:
        body = client.get_object(Bucket=code.bucket, Key=code.key, **version)["Body"]
    except client.exceptions.ClientError as error:
        raise ArtifactNotRunnable(
            f"the function's code {where} cannot be read from the local AWS: {error}",
            hint="Build and publish it with --local, then deploy it again.",
        ) from error
    with artifact.open("wb") as file, body:
        for piece in body.iter_chunks(CHUNK):
            size += len(piece)
            if size > MAX_ZIP:
                raise ArtifactNotRunnable(f"{where} has more than {MAX_ZIP:,} bytes")
            digest.update(piece)
            file.write(piece)
    return digest.digest()
