"""`Sandbox`: one container per job. Copy in, run, stream the output, copy out, remove: whatever happens.

Nothing of the host is mounted, so that a remote engine works as well and no file of root's is left behind.
"""

from __future__ import annotations

import contextlib
import posixpath
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from planton_build.errors import (
    ContainerDiskFull,
    ContainerOutOfMemory,
    ContainerTimeout,
    EmulationMissing,
    EngineUnavailable,
    ImageMismatch,
)
from planton_build.sandbox.disposable import removed_after
from planton_build.sandbox.engine import Engine, engine_errors
from planton_build.sandbox.files import Input, first_file, unpack, write_tar
from planton_build.sandbox.job import ENVIRONMENT, PYTHON, SECRETS, Job, Limits, Outcome
from planton_build.sandbox.strays import labels_of_this_process

_LOG_LIMIT = 4 << 20
"""Bytes of output that are kept for an error's explanation."""
_KILLED = 137
"""Exit code of a process that SIGKILL ended: 128 + 9."""
_PROBE_SECONDS = 60
"""Seconds an emulated interpreter may take to say on what machine it runs; it takes about 2."""
_MACHINES = {62: "x86_64", 183: "aarch64"}
"""`e_machine` of an ELF header (System V gABI: EM_X86_64, EM_AARCH64)."""
_SPOOLED = 64 << 20
_OURS = ("[planton-build]", "error: the backend was ended by signal")
"""How lines of our own programs in containers begin that say nothing about why a limit was reached."""
_PROCESSES = 4096
_OPEN_FILES = 1024
"""Open files of a process: what a function may have (Lambda quotas)."""
_PROBE = (PYTHON, "-c", "import platform; print(platform.machine())")


class Sandbox:
    """Runs jobs on an engine. Safe to use from several threads.

    `log` is told every line of output, after what the job does (`Job.what`), and None when the job has ended.
    """

    def __init__(self, engine: Engine, log: Callable[[str, str | None], None]) -> None:
        self.engine = engine
        self._log = log
        self._checked: dict[str, str] = {}
        self._checking = threading.Lock()

    def run(self, job: Job, into: Path | None = None) -> Outcome:
        """Run a job; copy what it leaves into the folder `into`.

        A command that ends with another exit code than 0 is no error here: the caller knows what it means.

        Raises:
            EngineUnavailable: the engine fails, or stops.
            ImageMismatch: the image is for another architecture than the job.
            EmulationMissing: the engine cannot run the image's architecture.
            ContainerOutOfMemory, ContainerTimeout, ContainerDiskFull: a limit was reached.
            CompileFailed: the job left something that cannot be copied out.
        """
        self.check(job.image, job.machine)
        return self._run(job, into)

    def check(self, image: str, machine: str) -> None:
        """Make sure, once per image, that it is what it says and that the engine can run it.

        The label of an image is not trusted: engines are known to get it wrong. The interpreter's ELF header
        decides. Raises as `run` does.
        """
        with self._checking:
            if image not in self._checked:
                self._checked[image] = self._machine_of(image)
                if self._checked[image] == machine and machine != self.engine.machine:
                    self._probe(image, machine)
        if self._checked[image] != machine:
            raise ImageMismatch(
                f"the image {self._name(image)} is built for {self._checked[image]}, not for {machine}",
                hint="name an image of the function's architecture; with a tag for several architectures, "
                f"pull it again: docker pull --platform linux/{'arm64' if machine == 'aarch64' else 'amd64'}",
            )

    def _probe(self, image: str, machine: str) -> None:
        """Let the image's interpreter say on what machine it runs, instead of hanging in the first build."""
        job = Job(
            "probing", image, machine, _PROBE, limits=Limits(seconds=_PROBE_SECONDS), output=None, user=0
        )
        try:
            outcome = self._run(job, None)
            said = outcome.log.strip()
        except ContainerTimeout:
            said = f"no answer within {_PROBE_SECONDS} s"
        except EngineUnavailable as error:
            if "exec format error" not in error.message.lower():
                raise
            said = "exec format error"
        if said != machine:
            raise EmulationMissing(
                f"the engine's machine is {self.engine.machine} and cannot run {machine} programs: "
                f"{said.splitlines()[-1] if said else 'no answer'}",
                hint="set up emulation there, for example with Debian's qemu-user-static and binfmt-support "
                "or Docker Desktop; or point DOCKER_HOST at a machine of that architecture",
            )

    def read(self, image: str, path: str, *, limit: int) -> bytes:
        """Return the first bytes of a file of an image, at most `limit`, following links. Nothing is started.

        Raises:
            ImageMismatch: the image has no such file.
            EngineUnavailable: the engine fails.
        """
        with self._container(Job(f"reading {path} of an image", image, "", _PROBE, output=None)) as container:
            return self._head_of(container, path, image, limit)

    def _machine_of(self, image: str) -> str:
        """Return the architecture of the image's interpreter, from its file."""
        head = self.read(image, PYTHON, limit=64)
        if head[:4] != b"\x7fELF":
            raise ImageMismatch(
                f"{PYTHON} in the image {self._name(image)} is no program", hint="use a Lambda build image"
            )
        number = int.from_bytes(head[18:20], "little")
        return _MACHINES.get(number, f"ELF machine {number}")

    def _head_of(self, container: str, path: str, image: str, limit: int) -> bytes:
        import docker

        for _ in range(10):
            try:
                with engine_errors("reading a file of an image"):
                    pieces, status = self.engine.api.get_archive(container, path)
            except EngineUnavailable as error:
                if isinstance(error.__cause__, docker.errors.NotFound):
                    raise ImageMismatch(
                        f"the image {self._name(image)} has no {path}",
                        hint="use a Lambda build image such as public.ecr.aws/sam/build-python3.13, "
                        "or one made from it",
                    ) from error
                raise
            target = status.get("linkTarget") or path
            target = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
            with contextlib.closing(pieces):
                if target == path:  # Podman names the file itself where it is no link
                    return first_file(pieces, limit)
            path = target
        raise ImageMismatch(f"{path} in the image {self._name(image)} is a circle of links")

    def _name(self, image: str) -> str:
        with engine_errors("reading an image's name"):
            found = self.engine.api.inspect_image(image)
        return str((found.get("RepoTags") or [image[:19]])[0])

    def _run(self, job: Job, into: Path | None) -> Outcome:
        started = time.monotonic()
        try:
            with self._container(job) as container:
                self._copy_in(container, job)
                log, exit_code = self._started(container, job)
                self._judge(container, job, log, exit_code)
                files: list[Path] = []
                if job.output is not None and into is not None and (exit_code == 0 or job.output_on_failure):
                    with engine_errors(f"copying out what {job.what} left"):
                        pieces, _ = self.engine.api.get_archive(container, job.output)
                        # What is refused is not read to its end: closed here, or the connection stays open.
                        with contextlib.closing(pieces):
                            files = unpack(pieces, into, what=job.what)
        finally:
            self._log(job.what, None)
        return Outcome(exit_code, log, time.monotonic() - started, files)

    def _container(self, job: Job) -> AbstractContextManager[str]:
        """Give the name of a new container, which is removed whatever happens in the block."""

        def kept(message: str) -> None:
            self._log("removing a container", message)

        return removed_after(self.engine, "build", lambda name: self._create(job, name), kept)

    def _create(self, job: Job, name: str) -> None:
        api = self.engine.api
        with engine_errors(f"creating the container for {job.what}"):
            host = api.create_host_config(
                network_mode=None if job.network else "none",
                mem_limit=job.limits.memory,
                memswap_limit=job.limits.memory,
                cap_drop=["ALL"],
                security_opt=["no-new-privileges"],
                pids_limit=_PROCESSES,
                # Said here because Podman's own defaults may be more than a container's host may give.
                ulimits=[{"Name": "nofile", "Soft": _OPEN_FILES, "Hard": _OPEN_FILES}],
                auto_remove=False,
                log_config={"type": "json-file", "config": {"max-size": "16m"}},
            )
            api.create_container(
                job.image,
                command=list(job.command),
                entrypoint=[],
                user=f"{job.user}:{job.user}",
                working_dir=job.workdir,
                environment={**ENVIRONMENT, **job.environment},
                labels=labels_of_this_process(),
                host_config=host,
                use_config_proxy=False,
                name=name,
            )

    def _copy_in(self, container: str, job: Job) -> None:
        secrets = [
            Input(f"{SECRETS}/{name}", content, mode=0o400, owner=job.user)
            for name, content in job.secrets.items()
        ]
        if not job.inputs and not secrets:
            return
        with tempfile.SpooledTemporaryFile(_SPOOLED) as stream:
            write_tar([*job.inputs, *secrets], stream)
            stream.seek(0)
            with engine_errors(f"copying files into the container for {job.what}"):
                self.engine.api.put_archive(container, "/", stream)

    def _started(self, container: str, job: Job) -> tuple[str, int]:
        """Start the command, pass on its output while it runs, and return that with the exit code."""
        api, expired = self.engine.api, threading.Event()

        def expire() -> None:
            expired.set()
            self._kill(container)

        with engine_errors(job.what), contextlib.ExitStack() as stack:
            output = stack.enter_context(_attached(api, container))
            timer = threading.Timer(job.limits.seconds, expire)
            timer.daemon = True
            api.start(container)
            timer.start()
            try:
                log = self._streamed(output, job.what)
                exit_code = int(api.wait(container)["StatusCode"])
            finally:
                timer.cancel()
        if expired.is_set():
            raise ContainerTimeout(
                f"{job.what} took longer than {job.limits.seconds} s and was ended{_last_line(log)}",
                hint="allow more with container-timeout in planton.toml (or PLANTON_CONTAINER_TIMEOUT); an "
                "emulated compiler is many times slower than one on a machine of that architecture",
            )
        return log, exit_code

    def _streamed(self, output: Iterator[bytes], what: str) -> str:
        kept = bytearray()
        line = b""
        for piece in output:
            kept += piece
            if len(kept) > _LOG_LIMIT:
                del kept[: len(kept) - _LOG_LIMIT]
            *whole, line = (line + piece).split(b"\n")
            for one in whole:
                self._log(what, one.decode(errors="replace").rstrip())
            line = line[-4096:]
        return kept.decode(errors="replace")

    def _judge(self, container: str, job: Job, log: str, exit_code: int) -> None:
        """Raise for an end that no program chooses: out of memory, disk full, or an engine that stopped."""
        if exit_code == 0:
            return
        with engine_errors(f"asking how {job.what} ended"):
            state = self.engine.api.inspect_container(container)["State"]
        if state.get("OOMKilled"):
            raise ContainerOutOfMemory(
                f"{job.what} needed more than {job.limits.memory >> 20:,} MiB of memory{_last_line(log)}",
                hint='allow more with container-memory = "8 GiB" in planton.toml '
                "(or PLANTON_CONTAINER_MEMORY)",
            )
        if "no space left on device" in log.lower():
            raise ContainerDiskFull(
                f"the container engine's disk was full while {job.what}{_last_line(log)}",
                hint="free some space there, for example with `docker system df` and `docker image prune`",
            )
        if exit_code == _KILLED:
            raise EngineUnavailable(
                f"the container was killed from outside while {job.what}",
                hint="the engine may have been stopped: start it and run the command again",
            )

    def _kill(self, container: str) -> None:
        import docker
        import requests

        try:
            self.engine.api.kill(container)
        except (docker.errors.DockerException, requests.exceptions.RequestException):
            return  # it has ended meanwhile, or the engine is gone: whoever waits for it is told


@contextlib.contextmanager
def _attached(api: Any, container: str) -> Iterator[Iterator[bytes]]:
    """Give a container's output, both streams together, as it comes. The connection is closed afterwards."""
    from docker.utils.socket import frames_iter

    socket = api.attach_socket(container, {"stdout": 1, "stderr": 1, "stream": 1})
    response = getattr(socket, "_response", None)  # docker-py keeps the answer there, and never closes it
    try:
        yield (piece for _, piece in frames_iter(socket, tty=False))
    finally:
        if response is not None:
            response.close()
        socket.close()


def _last_line(log: str) -> str:
    lines = [line for line in log.splitlines() if line.strip() and not line.startswith(_OURS)]
    return f"; its last words: {lines[-1].strip()[:300]}" if lines else ""
