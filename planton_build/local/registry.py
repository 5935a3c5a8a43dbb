"""Which address serves the registries of ECR in the local AWS: a stand-in, or one that the user names."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable, Mapping
from typing import TypeAlias
from urllib.parse import urlsplit

from planton_build.errors import ConfigInvalid, LocalServerFailed, LocalUnavailable
from planton_build.local.child import REGISTRY_PATH
from planton_build.local.registry_keeper import START_SECONDS
from planton_build.local.server import LocalAws
from planton_build.publish.ecr import is_ecr

VARIABLE = "PLANTON_LOCAL_REGISTRY"
"""Environment variable with the URL of a registry that is to stand in for ECR."""

ServedBy: TypeAlias = Callable[[str], str | None]
"""Tells which address serves a registry's host in its place; None is the host itself."""

_ANSWER_BYTES = 1 << 16
_MARGIN_SECONDS = 10.0


def local_registries(local: LocalAws, environment: Mapping[str, str]) -> ServedBy:
    """Return what tells the address of the stand-in for every registry of ECR, in all accounts and regions.

    It is asked for, and started, when the first host is: functions that are ZIPs need none. Names of images
    stay what they are in AWS, and so do those of repositories; other registries answer for themselves.

    What is returned raises LocalUnavailable without a registry to use, LocalServerFailed when it does not
    start, and ConfigInvalid for a variable that holds no URL.
    """
    lock = threading.Lock()
    known: list[str] = []

    def served_by(host: str) -> str | None:
        if not is_ecr(host):
            return None
        with lock:
            if not known:
                known.append(_address(local, environment))
            return known[0]

    return served_by


def _address(local: LocalAws, environment: Mapping[str, str]) -> str:
    if named := environment.get(VARIABLE, "").strip():
        return _checked(named)
    return _started(local)


def _checked(url: str) -> str:
    """Return the URL that the user has named. Plain HTTP elsewhere than here is refused by the session."""
    try:
        parts = urlsplit(url)
        fits = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        fits = False
        parts = urlsplit("")
    if not fits or parts.query or parts.fragment or parts.path.strip("/") or "@" in parts.netloc:
        raise ConfigInvalid(
            f"{VARIABLE} is no address of a registry",
            hint="write it as http://127.0.0.1:5000, without a login: it must serve everybody",
        )
    return f"{parts.scheme}://{parts.netloc}"


def _started(local: LocalAws) -> str:
    """Have the local AWS start its registry, unless it runs, and return its address."""
    port, seconds = urlsplit(local.endpoint).port, START_SECONDS + _MARGIN_SECONDS
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=seconds)
    try:
        connection.request("POST", REGISTRY_PATH)
        response = connection.getresponse()
        answer = response.read(_ANSWER_BYTES).decode("utf-8", "replace")
    except (OSError, http.client.HTTPException) as error:
        raise LocalServerFailed(
            f"the local AWS stopped answering: {error}", hint="Run the command again; it starts a new one."
        ) from error
    finally:
        connection.close()
    if response.status == http.client.OK:
        return answer
    if response.status == http.client.NOT_IMPLEMENTED:
        raise LocalUnavailable(
            "there is no image registry on this machine for the local AWS: docker-registry is not installed",
            hint=f"Install it (Debian: apt install docker-registry), or set {VARIABLE} to the URL of a "
            "registry, such as http://127.0.0.1:5000. `planton-build --no-publish --output FOLDER` makes "
            "images without one.",
        )
    if response.status == http.client.NOT_FOUND:
        raise LocalServerFailed(
            "the local AWS that runs is of an older version and has no image registry",
            hint="Run `planton-deploy local stop`, then the command again.",
        )
    raise LocalServerFailed(
        f"the image registry of the local AWS does not start: {answer}",
        hint=f"Another can be named with {VARIABLE}, such as http://127.0.0.1:5000.",
    )
