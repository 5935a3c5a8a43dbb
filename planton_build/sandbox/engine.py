"""`Engine`: Docker or Podman through the Docker API, wherever the docker command would look for it."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from planton_build.errors import ContainerDiskFull, EngineUnavailable

ANSWER_SECONDS = 60
"""Seconds an engine may take for one answer; streams of output have no such limit."""
_ENOSPC = "no space left on device"
_MACHINES = {"amd64": "x86_64", "x86_64": "x86_64", "arm64": "aarch64", "aarch64": "aarch64"}


@dataclass(frozen=True, slots=True)
class Engine:
    """A connection to a container engine. `api` is docker's low-level client.

    `machine` is the architecture it runs without emulation, as `uname -m` writes it; `endpoint` its address,
    for messages.
    """

    api: Any
    machine: str
    version: str
    endpoint: str

    def close(self) -> None:
        """Close all connections."""
        self.api.close()


def connect(environment: Mapping[str, str]) -> Engine:
    """Return the engine that the docker command would use, or else Podman.

    The order is docker's: `DOCKER_HOST`, the context named by `DOCKER_CONTEXT` or chosen with
    `docker context use`, the default socket; then `CONTAINER_HOST` and Podman's sockets.

    Raises:
        EngineUnavailable: none answers; the message has what was tried.
    """
    import docker
    import requests

    tried = []
    for endpoint, parameters in _endpoints(environment):
        options = {
            **parameters,
            "base_url": endpoint,
            "timeout": ANSWER_SECONDS,
            "use_ssh_client": endpoint.startswith("ssh://"),
        }
        try:
            version = _version(options)
        except (docker.errors.DockerException, requests.exceptions.RequestException, OSError) as error:
            tried.append(f"{endpoint} ({_reason(error)})")
            continue
        api = docker.APIClient(version=str(version["ApiVersion"]), **options)
        machine = _MACHINES.get(str(version.get("Arch", "")), str(version.get("Arch", "")))
        return Engine(api, machine, str(version.get("Version", "")), endpoint)
    raise EngineUnavailable(
        f"no container engine answers: {'; '.join(tried) or 'no socket of Docker or Podman is there'}",
        hint="start Docker or Podman, or set DOCKER_HOST to one that runs; "
        "`planton-build doctor` shows what is found",
    )


def _version(options: dict[str, Any]) -> dict[str, Any]:
    """Return what an engine says of itself. Where none answers, docker's client leaves a socket open."""
    import docker

    endpoint = str(options["base_url"])
    if endpoint.startswith("unix://"):
        with contextlib.closing(socket.socket(socket.AF_UNIX)) as probe:
            probe.connect(endpoint.removeprefix("unix://"))

    client = docker.APIClient(version=docker.constants.MINIMUM_DOCKER_API_VERSION, **options)
    try:
        answer: dict[str, Any] = client.version(api_version=False)
    finally:
        client.close()
    return answer


@contextlib.contextmanager
def engine_errors(doing: str) -> Iterator[None]:
    """Turn a failure of the engine itself into EngineUnavailable or ContainerDiskFull.

    `doing` completes "the container engine failed while ...".
    """
    import docker
    import requests
    import urllib3

    try:
        yield
    except docker.errors.DockerException as error:
        raise engine_failure(error, doing) from error
    except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError, ConnectionError) as error:
        raise EngineUnavailable(
            f"the container engine stopped answering while {doing}: {_reason(error)}",
            hint="start the engine again and repeat the command; "
            "`planton-build doctor --clean` removes what the engine kept",
        ) from error


def engine_failure(error: Exception, doing: str) -> EngineUnavailable | ContainerDiskFull:
    """Return the error for an answer of the engine that says no."""
    reason = _reason(error)
    if _ENOSPC in reason.lower():
        return ContainerDiskFull(
            f"the container engine's disk is full: it failed while {doing}",
            hint="free some space there, for example with `docker system df` and `docker image prune`",
        )
    return EngineUnavailable(
        f"the container engine failed while {doing}: {reason}",
        hint="see the engine's own log; `planton-build doctor` shows which engine is used",
    )


def _reason(error: Exception) -> str:
    """Return an error in one line, without Python's wrapping of wrapped errors."""
    explanation = getattr(error, "explanation", None)
    if explanation:
        return " ".join(str(explanation).split())
    text = " ".join(str(error).split())
    for words in ("Permission denied", "No such file or directory", "Connection refused", "timed out"):
        if words.lower() in text.lower():
            return words.lower()
    return text[:300] or type(error).__name__


def _endpoints(environment: Mapping[str, str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the addresses to try, with the client's options for each."""
    import docker

    if environment.get("DOCKER_HOST"):
        parameters = docker.utils.kwargs_from_env(environment=dict(environment))
        yield parameters.pop("base_url", environment["DOCKER_HOST"]), parameters
        return
    context = _context(environment)
    if context is not None:
        yield context
        return
    runtime = environment.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}" if os.name == "posix" else ""
    sockets = ["/var/run/docker.sock", f"{runtime}/docker.sock", f"{runtime}/podman/podman.sock"]
    for place in (*sockets, "/run/podman/podman.sock"):
        if Path(place).exists():
            yield f"unix://{place}", {}
    if environment.get("CONTAINER_HOST"):
        yield environment["CONTAINER_HOST"], {}
    if os.name == "nt":
        yield "npipe:////./pipe/docker_engine", {}


def _context(environment: Mapping[str, str]) -> tuple[str, dict[str, Any]] | None:
    """Return the address of docker's chosen context, or None for the default one.

    Raises:
        EngineUnavailable: the context is not known, or names no engine.
    """
    from docker.context import ContextAPI
    from docker.errors import DockerException

    name = environment.get("DOCKER_CONTEXT")
    try:
        context = ContextAPI.get_context(name) if name else ContextAPI.get_current_context()
        endpoint = context.endpoints.get("docker", {}) if context is not None else {}
    except (DockerException, OSError, ValueError) as error:
        raise EngineUnavailable(
            f"docker's context {name or 'in use'} cannot be read: {_reason(error)}",
            hint="see `docker context ls`, or set DOCKER_HOST",
        ) from error
    if context is None and name:
        raise EngineUnavailable(f"docker knows no context {name!r}", hint="see `docker context ls`")
    if context is None or context.name == "default" or not endpoint.get("Host"):
        return None
    options = {"tls": context.TLSConfig} if getattr(context, "TLSConfig", None) else {}
    return str(endpoint["Host"]), options
