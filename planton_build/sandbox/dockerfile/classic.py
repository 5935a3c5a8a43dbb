"""A build by an engine's classic builder, or by Podman: through the Docker API, without any command.

It knows no secrets and no mounts. It takes the context as a tar, the Dockerfile in it.
"""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from planton_build.errors import ContainerTimeout, DockerfileFailed, EngineUnavailable, PlantonError
from planton_build.interrupts import undone_on_interrupt
from planton_build.sandbox.dockerfile.context import Context, write_context_tar
from planton_build.sandbox.dockerfile.failures import SHOWN_LINES, Failure
from planton_build.sandbox.dockerfile.ignore import NAME as IGNORE
from planton_build.sandbox.dockerfile.order import WHAT, Log, Order
from planton_build.sandbox.engine import Engine, engine_errors

DOCKERFILE = ".planton-build.Dockerfile"
"""The Dockerfile in the context: told apart from the user's own, which `COPY` may copy."""
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_STEP = re.compile(r"STEP (\d+)(?:/\d+)? ?: ?(.*)", re.IGNORECASE)
_OWN_LINES = (" ---> ", "Removing intermediate container ", "Successfully ", "[Warning] ")
_BUILDKITS = re.compile(r"--(mount|security|network)=|<<")
_RUNNING = " ---> Running in "
_LOG = "look into the engine's own log; restarting it often helps"
_HINT = "install docker's plugin buildx on this machine, with an engine that has BuildKit (Docker 18.09 on)"


def check_classic(order: Order) -> None:
    """Refuse what only BuildKit can do.

    Raises:
        DockerfileFailed: the build needs secrets, mounts or heredocs.
    """
    if order.secrets:
        raise DockerfileFailed(
            "the build has secrets, and neither this engine nor a docker command here has BuildKit, "
            "without which they would get into the image",
            hint=_HINT,
            file=order.dockerfile.path,
        )
    for one in order.dockerfile.instructions:
        if one.name in ("RUN", "COPY", "ADD") and (found := _BUILDKITS.match(one.words.lstrip())) is not None:
            raise DockerfileFailed(
                f"{one.name} {found[0]} needs BuildKit, which this engine or the docker command here lacks",
                hint=_HINT,
                file=order.dockerfile.path,
                line=one.line,
            )


def build_with_api(
    engine: Engine, order: Order, text: str, tag: str, folder: Path, values: dict[str, str], log: Log
) -> None:
    """Build the Dockerfile `text` to an image `tag` on the engine; `folder` is empty, for temporary files.

    Raises:
        DockerfileFailed: a command failed, or the Dockerfile means nothing to the builder.
        ContainerTimeout: it took longer than it may.
        EngineUnavailable: the engine fails.
    """
    archive = folder / "context.tar"
    with archive.open("wb") as stream:
        write_context_tar(order.context, stream, [(DOCKERFILE, text.encode()), _ignoring(order.context)])
    build = _Build(engine, order, log)
    timer = threading.Timer(order.seconds, build.expire)
    timer.daemon = True
    timer.start()
    try:
        with (
            archive.open("rb") as stream,
            engine_errors(WHAT),
            _malformed(order),
            undone_on_interrupt(build.stop),
        ):
            answers = engine.api.build(
                fileobj=stream,
                custom_context=True,
                dockerfile=DOCKERFILE,
                tag=tag,
                rm=True,
                forcerm=True,
                nocache=order.fresh,
                platform=order.platform,
                target=order.choices.stage or "",
                buildargs=values,
                decode=True,
            )
            # Closed before its end, it makes the engine end what runs and remove its container.
            with contextlib.closing(answers):
                build.follow(answers)
    finally:
        timer.cancel()


def _ignoring(context: Context) -> tuple[str, bytes]:
    """Return the `.dockerignore` by which the engine leaves out our Dockerfile, as docker's command does."""
    own = next((entry for entry in context.entries if entry.name == IGNORE), None)
    before = own.path.read_bytes() + b"\n" if own is not None else IGNORE.encode() + b"\n"
    return IGNORE, before + DOCKERFILE.encode() + b"\n"


@contextlib.contextmanager
def _malformed(order: Order) -> Iterator[None]:
    """Tell an engine's refusal to read the Dockerfile from a failure of its own."""
    import docker

    try:
        yield
    except docker.errors.APIError as error:
        reason = " ".join(str(error.explanation).split())
        if error.status_code is None or not 400 <= error.status_code < 500 or "ockerfile" not in reason:
            raise
        raise Failure("", [], [reason]).error(order.dockerfile, reason) from error


class _Build:
    """A build under way: what the builder says, and how to stop it."""

    def __init__(self, engine: Engine, order: Order, log: Log) -> None:
        self._engine, self._order, self._log = engine, order, log
        self._step = ""
        self._said: list[str] = []
        self._container: str | None = None
        self._stopped = self._expired = False

    def follow(self, answers: Iterable[dict[str, Any]]) -> None:
        """Take what the builder says, to its end. Raises what `build_with_api` raises."""
        for line, error in _whole_lines(answers):
            if self._expired:
                raise ContainerTimeout(
                    f"{WHAT} took longer than {self._order.seconds:.0f} s and was ended",
                    hint="allow more with container-timeout in planton.toml (or PLANTON_CONTAINER_TIMEOUT)",
                )
            if self._stopped:
                raise DockerfileFailed(f"{WHAT} was interrupted")
            if error is not None:
                raise self._failure(error)
            self._take(_COLOUR.sub("", line).rstrip())

    def expire(self) -> None:
        """End the build because its time is over."""
        self._expired = True
        self.stop()

    def stop(self) -> None:
        """End the build: without its container the builder gives up."""
        import docker
        import requests

        self._stopped = True
        if self._container is not None:
            with contextlib.suppress(docker.errors.DockerException, requests.exceptions.RequestException):
                self._engine.api.remove_container(self._container, force=True, v=True)

    def _take(self, line: str) -> None:
        if (found := _STEP.fullmatch(line)) is not None:
            self._step, self._said, self._container = found[2], [], None
            self._log(self._step)
        elif line.startswith(_RUNNING):
            self._container = line.removeprefix(_RUNNING)
            if self._stopped:
                self.stop()
        elif line and not line.startswith(_OWN_LINES):
            self._said = [*self._said[1 - SHOWN_LINES :], line]
            self._log(line)

    def _failure(self, error: str) -> PlantonError:
        if not self._step and "dockerfile" not in error.lower():
            return EngineUnavailable(f"the container engine failed while {WHAT}: {error}", hint=_LOG)
        return Failure(self._step, self._said, [error]).error(self._order.dockerfile, error)


def _whole_lines(answers: Iterable[dict[str, Any]]) -> Iterator[tuple[str, str | None]]:
    """Yield lines, and the builder's error: a program's output comes in pieces, as it was written."""
    rest = ""
    for answer in answers:
        if "error" in answer:
            yield rest, None
            yield "", str(answer["error"])
            return
        *whole, rest = (rest + str(answer.get("stream", ""))).split("\n")
        yield from ((line, None) for line in whole)
        rest = rest[-4096:]
    yield rest, None
