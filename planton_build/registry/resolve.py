"""From an image's tag to the digest of its manifest for one architecture, without an engine."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from planton_build.errors import ImageUnavailable
from planton_build.registry.login import docker_login
from planton_build.registry.pull import Repository
from planton_build.registry.reference import parse_reference
from planton_build.registry.session import SECONDS, Session


@dataclass(frozen=True, slots=True)
class ResolvedImage:
    """A manifest for one architecture. `name` has no tag; `NAME@DIGEST` is what an engine pulls."""

    name: str
    digest: str
    media_type: str


def resolve(
    reference: str,
    *,
    machine: str,
    certificates: Path | None = None,
    config: Path | None = None,
    seconds: float = SECONDS,
) -> ResolvedImage:
    """Return the manifest that a name stands for now, on one architecture.

    Args:
        reference: the image's name with tag or digest; without both the tag is `latest`.
        machine: `x86_64` or `aarch64`.
        certificates: a PEM file, or a folder of them, instead of the system's.
        config: docker's configuration with logins, `~/.docker/config.json` by default.
        seconds: how long the registry may take for one answer.

    Raises:
        ImageUnavailable: the registry cannot be reached, refuses, or has no such image.
        ImageMismatch: there is no image for the machine, or the registry's bytes do not have their digest.
        ImageInvalid: the registry's documents are malformed, or not those of an image.
    """
    parsed = parse_reference(reference)
    if parsed.host is None:
        raise ImageUnavailable(
            f"{reference} has no registry in its name: it can only be on the container engine",
            hint="name the registry, as in public.ecr.aws/sam/...",
        )
    login = docker_login(parsed.host, config)
    with Session(parsed.host, login=login, certificates=certificates, seconds=seconds) as session:
        repository = Repository(session, parsed.repository)
        named = parsed.digest or parsed.tag or "latest"
        media_type, content = repository.manifest_for(named, architecture=machine)
    return ResolvedImage(parsed.name, f"sha256:{hashlib.sha256(content).hexdigest()}", media_type)
