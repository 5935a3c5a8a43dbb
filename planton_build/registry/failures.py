"""What went wrong with a registry, as errors of pulling or of pushing, with the registry's words.

Whatever a registry says is cleaned and cut. URLs are shown by their host alone: the rest may hold secrets.
"""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from planton_build.errors import (
    AccessDenied,
    ImageUnavailable,
    PlantonError,
    PushFailed,
    RegistryUnreachable,
    RepositoryUnknown,
)

WORDS_LIMIT = 64 << 10
"""Bytes of an error's body that are read."""
_SHOWN = 300
_ECR_RIGHTS = (
    "ecr:BatchCheckLayerAvailability, ecr:BatchGetImage, ecr:InitiateLayerUpload, ecr:UploadLayerPart, "
    "ecr:CompleteLayerUpload and ecr:PutImage"
)


@dataclass(frozen=True, slots=True)
class Scope:
    """What a request is about: a repository on a host, to be read or to be written.

    `source` is another repository of the host that a blob is mounted from.
    """

    host: str
    repository: str
    pushing: bool = False
    source: str = ""

    @property
    def name(self) -> str:
        """Return the repository with its host."""
        return f"{self.host}/{self.repository}"

    @property
    def asked(self) -> tuple[str, ...]:
        """Return the scopes of a token, as registries write them."""
        own = f"repository:{self.repository}:pull{',push' if self.pushing else ''}"
        return (own, f"repository:{self.source}:pull") if self.source else (own,)


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that was read whole. Names of headers are in small letters."""

    status: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def errors(self) -> tuple[tuple[str, str], ...]:
        """Return code and message of each error that the registry tells, cleaned and cut."""
        try:
            told = json.loads(self.content)["errors"]
        except (ValueError, RecursionError, KeyError, TypeError):
            return ()
        listed = [error for error in told[:5] if isinstance(error, dict)] if isinstance(told, list) else []
        return tuple((clean(error.get("code")), clean(error.get("message"))) for error in listed)

    @property
    def words(self) -> str:
        """Return what the registry says of a failure, for messages: `HTTP 400: CODE: message`."""
        said = "; ".join(": ".join(filter(None, error)) for error in self.errors)
        return f"HTTP {self.status}{f': {said[:_SHOWN]}' if said else ''}"

    def says(self, *codes: str) -> bool:
        """Tell whether the registry gave one of the codes."""
        return any(code in codes for code, _ in self.errors)


def clean(value: Any) -> str:
    """Return a text of somebody else's, printable and short."""
    text = value if isinstance(value, str) else ""
    return " ".join("".join(c if c.isprintable() else " " for c in text[:_SHOWN]).split())


def host_of(url: str) -> str:
    """Return the host of a URL for messages."""
    try:
        return urllib.parse.urlsplit(url).netloc.rpartition("@")[2][:200] or "the registry"
    except ValueError:
        return "the registry"


def unreachable(scope: Scope, url: str, error: BaseException) -> PlantonError:
    """Return the error for a registry that does not answer, after all attempts."""
    certificate = "CERTIFICATE" in str(error)
    why = "its certificate is not trusted" if certificate else type(error).__name__
    if scope.pushing:
        return RegistryUnreachable(
            f"{scope.name}: {host_of(url)} does not answer ({why})",
            hint="check the network, the proxy and the registry's name; run the command again: what is "
            "there already is not sent twice",
        )
    return ImageUnavailable(
        f"{scope.name} cannot be read: {host_of(url)} does not answer ({why})",
        hint="check the network and the proxy; a build image that the engine has already, under this name, "
        "is taken without its registry",
    )


def insecure(scope: Scope, url: str) -> PlantonError:
    """Return the error for a registry that leads to plain HTTP, or to no HTTP at all."""
    kind = PushFailed if scope.pushing else ImageUnavailable
    return kind(
        f"{scope.name}: the registry leads to {host_of(url)}, not over HTTPS",
        hint="plain HTTP is only taken from this machine; give the registry a certificate",
    )


def nonsense(scope: Scope, what: str) -> PlantonError:
    """Return the error for an answer that breaks the protocol. `what` goes on after the registry's name."""
    kind = PushFailed if scope.pushing else ImageUnavailable
    return kind(
        f"{scope.name}: the registry {what}",
        hint="try again; if it stays so, the registry or a proxy before it is broken",
    )


def refused(scope: Scope, answer: Answer, what: str) -> PlantonError:
    """Return the error for an answer that says no. `what` was asked for, such as `host/name:tag`."""
    return _push_refused(scope, answer, what) if scope.pushing else _pull_refused(scope, answer, what)


def _pull_refused(scope: Scope, answer: Answer, what: str) -> PlantonError:
    if answer.status == 404:
        return ImageUnavailable(
            f"the registry has no image {what}", hint="check the spelling of repository and tag"
        )
    if answer.status in (401, 403):
        return ImageUnavailable(
            f"{scope.host} does not give {what} to this user ({answer.words})",
            hint="run `docker login`, or pull the image with the engine",
        )
    busy = answer.status == 429
    return ImageUnavailable(
        f"{scope.host} answers {answer.words} for {what}{' for now: too many requests' if busy else ''}",
        hint="try again later, or log in with `docker login`" if busy else "try again later",
    )


def _push_refused(scope: Scope, answer: Answer, what: str) -> PlantonError:
    ecr = ".dkr.ecr" in scope.host
    if answer.says("NAME_UNKNOWN") or (answer.status == 404 and not answer.errors):
        return RepositoryUnknown(
            f"{scope.host} has no repository {scope.repository} ({answer.words})",
            hint="create the repository first, or have it created; check spelling, account and region",
        )
    if answer.status in (401, 403):
        right = (
            f"the rights {_ECR_RIGHTS} on the repository" if ecr else "the right to push to the repository"
        )
        return AccessDenied(
            f"{scope.host} does not let this user push {what} ({answer.words})",
            hint=f"the user needs {right}" if ecr else f"run `docker login {scope.host}`; it takes {right}",
        )
    if answer.status in (408, 429) or answer.status >= 500:
        return PushFailed(
            f"{scope.host} answers {answer.words} for {what}, again and again",
            hint="run the command again later: what is there already is not sent twice",
        )
    return PushFailed(
        f"{scope.host} refuses {what} ({answer.words})",
        hint="the registry's words say why; run the command again if the repository was being changed",
    )
