"""Run an image as Lambda would run a function: one event, through the emulator that the image brings.

The container has Lambda's limits: its memory and no swap, a root that is read-only but for /tmp, no rights,
an unprivileged user whatever the image says. What differs: /tmp counts as memory, the image's network is the
engine's own, and each invocation is a cold start.
"""

from __future__ import annotations

import contextlib
import http.client
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from planton_build.errors import ArtifactNotRunnable, EmulationMissing, EngineUnavailable
from planton_build.oci.image import Image
from planton_build.oci.media_types import ARCHITECTURES
from planton_build.sandbox.disposable import removed_after
from planton_build.sandbox.emulator_log import EmulatorLog
from planton_build.sandbox.engine import Engine, engine_errors
from planton_build.sandbox.loading import present_image
from planton_build.sandbox.strays import labels_of_this_process

ENTRYPOINT = "/lambda-entrypoint.sh"
"""What Lambda's own images start with: the emulator, unless AWS_LAMBDA_RUNTIME_API says that Lambda is
there."""
EMULATOR = "/usr/local/bin/aws-lambda-rie"
"""Where the AWS Lambda guide puts the emulator into other images ("Using an alternative base image")."""
EMULATION_MEMORY = 512 << 20
"""Bytes beyond the function's memory for the emulator of a processor."""
EMULATION_SLOWNESS = 10
"""By what factor a function may take longer on an emulated processor."""
MAX_ANSWER = 8 << 20
"""Bytes of an answer that are read, and one more where there are more; Lambda takes 6 MB."""

_PORT = 8080
_PATH = "/2015-03-31/functions/function/invocations"
_USER = "993:990"
"""User and group of functions in Lambda (`sbx_user1051`)."""
_TMP_BYTES = 512 << 20
"""`EphemeralStorage` of a function that asks for none."""
_PROCESSES = _OPEN_FILES = 1024
"""What a function may have of each (Lambda quotas)."""
_START_SECONDS = 60.0
"""How long the emulator may take to listen."""
_INIT_SECONDS = 10.0
"""What Lambda gives the init phase beyond the function's own timeout."""
_MARGIN_SECONDS = 5.0
_SHOWN = 300
_KILLED = b"signal: killed"
_NOT_HERE = ("no such file", "not found", "permission denied", "exec format error")


@dataclass(frozen=True, slots=True)
class Service:
    """An image to be run once. `what` says for messages what is done, such as `invoking orders`.

    `memory` is the function's, in bytes, `seconds` its timeout. `pull_from` is the image's name with digest
    in a registry of this machine, where the engine may fetch it by itself and leave out what it has.
    """

    what: str
    image: Image
    memory: int
    seconds: float
    environment: Mapping[str, str] = field(repr=False)
    pull_from: str | None = None


@dataclass(frozen=True, slots=True)
class Served:
    """What came of an event: the emulator's answer, or none (`status` 0) when it was ended after `seconds`.

    `requests` are the ids of the invocations that the emulator has begun. `init_ms` is what it says of the
    init phase, `total_ms` the time until the answer. `seconds` is the timeout that was in force.
    """

    status: int
    payload: bytes
    requests: tuple[str, ...]
    log: str
    init_ms: float
    total_ms: float
    seconds: float
    out_of_memory: bool


def serve_once(
    engine: Engine, service: Service, event: bytes, *, on_log: Callable[[str], None] = lambda _: None
) -> Served:
    """Give an event to the function in an image, and return what came of it.

    `on_log` gets the function's log in pieces while it runs, from another thread. The image stays on the
    engine, without a tag: `docker image prune` removes it.

    Raises:
        ArtifactNotRunnable: the image brings no emulator, or does not start.
        EmulationMissing: the engine cannot run the image's architecture.
        EngineUnavailable, ContainerDiskFull: the engine fails, or is on another machine.
        ImageMismatch, ImageUnavailable: the image's layers are not to be had.
    """
    if not _is_near(engine):
        raise EngineUnavailable(
            f"the container engine at {engine.endpoint} is on another machine, and a function in an image is "
            "only invoked on this one",
            hint="start Docker or Podman here, and unset DOCKER_HOST",
        )
    return _Run(engine, service, on_log).answered(event)


def is_emulated(engine: Engine, image: Image) -> bool:
    """Tell whether the engine's machine has to emulate the processor that an image is for."""
    return image.settings.architecture != ARCHITECTURES.get(engine.machine, engine.machine)


def host_address(engine: Engine) -> str | None:
    """Return the address by which a function's container reaches the engine's machine, if it is known."""
    import docker

    with engine_errors("looking at the network of containers"):
        try:
            network = engine.api.inspect_network("bridge")
        except docker.errors.NotFound:
            return None
    addresses = [one.get("Gateway") for one in (network.get("IPAM") or {}).get("Config") or ()]
    return next((str(one) for one in addresses if one and ":" not in one), None)


def _is_near(engine: Engine) -> bool:
    """Tell whether a port that the engine publishes on loopback is one of this machine."""
    parts = urlsplit(engine.endpoint)
    return parts.scheme in {"unix", "npipe", "http+unix"} or parts.hostname in {"127.0.0.1", "localhost"}


class _Run:
    """One event for one image."""

    def __init__(self, engine: Engine, service: Service, on_log: Callable[[str], None]) -> None:
        self._engine = engine
        self._service = service
        self._settings = service.image.settings
        self._emulated = is_emulated(engine, service.image)
        self._seconds = service.seconds * (EMULATION_SLOWNESS if self._emulated else 1)
        self._log = EmulatorLog(on_log)

    def answered(self, event: bytes) -> Served:
        service = self._service
        image = present_image(self._engine, service.image, pull_from=service.pull_from)
        command = self._command(image)
        with (
            removed_after(
                self._engine, "invoke", lambda name: self._create(name, image, command)
            ) as container,
            self._log.of(self._engine, container),
        ):
            self._start(container)
            self._wait_until_it_listens(container)
            began = time.monotonic()
            status, payload = self._post(container, event)
            total = (time.monotonic() - began) * 1000
            self._kill(container)
            self._log.read_to_end()
            state = self._state(container)
        return Served(
            status=status,
            payload=payload,
            requests=tuple(self._log.requests),
            log=self._log.text,
            init_ms=min(self._log.init_ms, total),
            total_ms=total,
            seconds=self._seconds,
            out_of_memory=bool(state.get("OOMKilled")) and (status == 0 or _KILLED in payload),
        )

    def _command(self, image: str) -> list[str]:
        """Return the command that starts the emulator, and by it the function."""
        entrypoint, command = list(self._settings.entrypoint), list(self._settings.command)
        if entrypoint[:1] == [ENTRYPOINT]:
            return entrypoint + command
        with removed_after(self._engine, "invoke", lambda name: self._create(name, image, ["/"])) as probe:
            if (entrypoint or command) and self._has(probe, EMULATOR):
                return [EMULATOR, *entrypoint, *command]
        raise ArtifactNotRunnable(
            f"{self._service.what} is not possible here: the image brings no Runtime Interface Emulator",
            hint=f"build it on one of Lambda's images, whose entrypoint is {ENTRYPOINT}, or put the emulator "
            f"into it as {EMULATOR}",
        )

    def _has(self, container: str, path: str) -> bool:
        """Tell whether there is a file in a container, which has not been started."""
        import docker

        with engine_errors("looking for the emulator in an image"):
            try:
                pieces, _ = self._engine.api.get_archive(container, path)
            except docker.errors.NotFound:
                return False
            pieces.close()  # nothing of it is read
            return True

    def _create(self, name: str, image: str, command: Sequence[str]) -> None:
        api = self._engine.api
        memory = self._service.memory + (EMULATION_MEMORY if self._emulated else 0)
        with engine_errors(f"creating the container for {self._service.what}"):
            host = api.create_host_config(
                port_bindings={_PORT: ("127.0.0.1",)},
                mem_limit=memory,
                memswap_limit=memory,
                read_only=True,
                tmpfs={"/tmp": f"rw,exec,mode=1777,size={_TMP_BYTES}"},  # noqa: S108 - in the container
                cap_drop=["ALL"],
                security_opt=["no-new-privileges"],
                pids_limit=_PROCESSES,
                ulimits=[{"Name": "nofile", "Soft": _OPEN_FILES, "Hard": _OPEN_FILES}],
                auto_remove=False,
                log_config={"type": "json-file", "config": {"max-size": "16m"}},
            )
            api.create_container(
                image,
                entrypoint=list(command),
                command=[],
                user=_USER,
                ports=[_PORT],
                # The emulator counts whole seconds.
                environment={
                    **self._service.environment,
                    "AWS_LAMBDA_FUNCTION_TIMEOUT": str(max(1, round(self._seconds))),
                },
                labels=labels_of_this_process(),
                host_config=host,
                use_config_proxy=False,
                name=name,
            )

    def _start(self, container: str) -> None:
        import docker

        with engine_errors(self._service.what):
            try:
                self._engine.api.start(container)
            except docker.errors.APIError as error:
                words = " ".join(str(error.explanation).split())
                if not any(one in words.lower() for one in _NOT_HERE):
                    raise
                raise self._does_not_start(words) from error

    def _wait_until_it_listens(self, container: str) -> None:
        deadline = time.monotonic() + _START_SECONDS
        port = self._port(container)
        while not _answers(port):
            state = self._state(container)
            if not state.get("Running") or time.monotonic() > deadline:
                self._kill(container)
                self._log.read_to_end()
                raise self._does_not_start(self._log.last_words(), state)
            time.sleep(0.02)

    def _does_not_start(self, words: str, state: Mapping[str, Any] | None = None) -> Exception:
        if "exec format error" in words.lower():
            return EmulationMissing(
                f"the engine's machine is {self._engine.machine} and cannot run "
                f"{self._settings.architecture} programs: exec format error",
                hint="set up emulation there, for example with Debian's qemu-user-static and binfmt-support "
                "or Docker Desktop",
            )
        state = state or {}
        how = f"it ended with exit code {state.get('ExitCode')}" if state.get("Status") == "exited" else ""
        if state.get("OOMKilled"):
            how = "its memory is not enough; raise spec.memoryMb"
        detail = "; ".join(part for part in (how, words[:_SHOWN]) if part) or "its emulator does not listen"
        return ArtifactNotRunnable(
            f"{self._service.what} is not possible: the image does not start: {detail}",
            hint="its entrypoint and command must start the function: `docker run` shows what it does",
        )

    def _port(self, container: str) -> int:
        with engine_errors("asking for the port of a container"):
            found = self._engine.api.port(container, _PORT)
        if not found:
            state = self._state(container)
            if not state.get("Running"):
                self._log.read_to_end()
                raise self._does_not_start(self._log.last_words(), state)
            raise EngineUnavailable(
                "the container engine gives its containers no port on this machine",
                hint="its default network, `bridge`, must be there: see `docker network ls`",
            )
        return int(found[0]["HostPort"])

    def _post(self, container: str, event: bytes) -> tuple[int, bytes]:
        """Send the event; the status is 0 when the emulator did not answer."""
        init = _INIT_SECONDS * (EMULATION_SLOWNESS if self._emulated else 1)
        connection = http.client.HTTPConnection("127.0.0.1", self._port(container))
        expired = threading.Timer(self._seconds + init + _MARGIN_SECONDS, self._kill, [container])
        expired.daemon = True
        expired.start()
        try:
            connection.request("POST", _PATH, event, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            return answer.status, answer.read(MAX_ANSWER + 1)
        except (OSError, http.client.HTTPException):
            return 0, b""
        finally:
            expired.cancel()
            connection.close()

    def _state(self, container: str) -> Mapping[str, Any]:
        with engine_errors(f"asking how {self._service.what} goes"):
            state: Mapping[str, Any] = self._engine.api.inspect_container(container)["State"]
        return state

    def _kill(self, container: str) -> None:
        import docker
        import requests

        # It may have ended meanwhile; a lost engine is told by whoever asks it next.
        with contextlib.suppress(docker.errors.DockerException, requests.exceptions.RequestException):
            self._engine.api.kill(container)


def _answers(port: int) -> bool:
    """Tell whether an HTTP server is there. The engine itself takes connections before the emulator does."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_MARGIN_SECONDS)
    try:
        connection.request("GET", "/")
        connection.getresponse().read(1)
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
    return True
