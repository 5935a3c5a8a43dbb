"""`RunnableImage`: a function as the local AWS has it deployed, with its image in the local registry."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from planton_build.errors import ArtifactNotRunnable
from planton_build.local.clients import answering
from planton_build.local.function import deployed
from planton_build.local.registry import ServedBy
from planton_build.local.server import DEFAULT_ACCOUNT, LocalAws
from planton_build.manifest.code_source import ImageSource
from planton_build.oci.image import Image
from planton_build.registry.client import is_loopback
from planton_build.registry.pull import Repository
from planton_build.registry.reference import parse_reference
from planton_build.registry.session import Session


@dataclass(frozen=True, slots=True)
class RunnableImage:
    """A deployed function whose code is an image; `timeout` is in seconds.

    `pull_from` is the image's name in a registry of this machine, None when it is elsewhere.
    """

    name: str
    arn: str
    version: str
    region: str
    memory_mb: int
    timeout: int
    environment: Mapping[str, str] = field(repr=False)
    image: Image = field(repr=False)
    pull_from: str | None

    @property
    def account(self) -> str:
        """Return the account that the function is in."""
        return self.arn.split(":")[4]


@contextlib.contextmanager
def fetched_image(
    local: LocalAws,
    name: str,
    *,
    code: ImageSource,
    architecture: str,
    region: str,
    served_by: ServedBy,
    account: str = DEFAULT_ACCOUNT,
    qualifier: str | None = None,
) -> Iterator[RunnableImage]:
    """Give a function's configuration and image; its layers can be read within the block.

    `code` and `architecture` are the manifest's, and must be what is deployed.

    Raises `FunctionUnknown`; `ArtifactNotRunnable` when another image is deployed; what `served_by` raises,
    and ImageUnavailable, ImageMismatch or ImageInvalid for an image that is gone or is not what it should be.
    """
    with answering():
        answer = deployed(local, name, region, account, qualifier)
    if answer.get("Code", {}).get("ImageUri") != code.image_uri:
        raise ArtifactNotRunnable(
            f"{code.image_uri} is not the code that {name} is deployed with",
            hint="Deploy the function to the local AWS again, then invoke it.",
        )
    with opened_image(
        answer["Configuration"],
        code.image_uri,
        architecture=architecture,
        region=region,
        served_by=served_by,
    ) as image:
        yield image


@contextlib.contextmanager
def opened_image(
    configuration: Mapping[str, Any], uri: str, *, architecture: str, region: str, served_by: ServedBy
) -> Iterator[RunnableImage]:
    """Give the image `uri` with a function's configuration; its layers can be read within the block.

    Raises what `served_by` raises, and ImageUnavailable, ImageMismatch or ImageInvalid for an image that is
    gone or is not what it should be.
    """
    reference = parse_reference(uri)
    host = reference.host or ""
    address = served_by(host)
    place = urlsplit(address).netloc if address else host
    with Session(host, base_url=address) as session:
        repository = Repository(session, reference.repository)
        image = repository.image(reference.digest or reference.tag or "latest", architecture=architecture)
        near = is_loopback(urlsplit(session.base).hostname)
        yield RunnableImage(
            name=configuration["FunctionName"],
            arn=configuration["FunctionArn"],
            version=configuration.get("Version", "$LATEST"),
            region=region,
            memory_mb=configuration.get("MemorySize", 128),
            timeout=configuration.get("Timeout", 3),
            environment=configuration.get("Environment", {}).get("Variables", {}),
            image=image,
            pull_from=f"{place}/{reference.repository}@{image.digest}" if near else None,
        )
