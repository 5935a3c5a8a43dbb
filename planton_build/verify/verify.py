"""Run a built function as Lambda would: its bytes, read-only, without network, on the runtime's interpreter.

What differs from Lambda: attached layers are not there, the credentials are not real, and an architecture
that the engine's machine must emulate is slower and takes more memory.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from planton_build.archive.reader import read_zip
from planton_build.archive.unpack import LIMITS, unpack
from planton_build.artifact import Artifact
from planton_build.errors import (
    ContainerOutOfMemory,
    ContainerTimeout,
    ImageMismatch,
    PlantonError,
    VerifyFailed,
)
from planton_build.events import Listener, Note, StepFinished, StepStarted, ignore
from planton_build.pipeline import Built
from planton_build.project.function import FunctionProject
from planton_build.sandbox.job import BUILDER, IN, OUT, PYTHON, SECRETS, Job, Limits, Outcome
from planton_build.verify.environment import UNSET, function_environment, memory_mb, timeout_seconds
from planton_build.verify.failures import Code, import_failure, invocation_failure
from planton_build.verify.report import (
    ImportReport,
    Invocation,
    ModuleImport,
    PackageImport,
    Verification,
    read_import,
    read_invocation,
)

if TYPE_CHECKING:
    from planton_build.sandbox.container import Sandbox

TASK = "/var/task"
"""`LAMBDA_TASK_ROOT`: where Lambda unpacks a function."""
EMULATION_MEMORY = 512 << 20
"""Bytes beyond the function's memory for the emulator of a processor, which keeps what it has translated."""
EMULATION_SLOWNESS = 10
"""By what factor an emulated function may take longer than its timeout: imports take 5 to 8 times."""
_STEP = "verify"
_SCRIPTS = ("import_handler.py", "invoke_emulator.py")


def verify(
    built: Built,
    *,
    sandbox: Sandbox,
    image: str,
    event: bytes | None = None,
    limits: Limits | None = None,
    listener: Listener = ignore,
) -> Verification:
    """Import the handler of a built function in its runtime's container, and invoke it if there is an event.

    Args:
        built: the function, with its artifact.
        sandbox: runs the container.
        image: the ID of the runtime's image, or of the build image, which contains the runtime; of a function
            that runs from an image, its own.
        event: JSON for one invocation through the Runtime Interface Emulator of the image.
        limits: `seconds` is what all of it may take; the memory is the function's own.
        listener: is told the progress, and what of the manifest is not there in the container.

    Raises:
        VerifyFailed: the handler cannot be imported, or is no function.
        InvocationFailed: the handler was imported, and the invocation raised, ended or ran out of time.
        ContainerOutOfMemory: the function's memory is not enough.
        ContainerTimeout: it took longer than `limits` allow.
        ImageMismatch: the image is for another architecture, or has no emulator.
        PlantonError: the engine failed (see `Sandbox.run`), or the artifact is damaged.
    """
    project = built.project
    listener(StepStarted(project.name, _STEP))
    for layer in project.manifest.model.spec.layer_arns:
        listener(Note(project.name, f"the layer {layer.value or 'of valueFrom'} is not there", "warning"))
    run = _Run(built, sandbox, image, event, (limits or Limits()).seconds)
    with tempfile.TemporaryDirectory(prefix="planton-verify-") as name:
        verification = run.verified(Path(name))
    detail = f"imported in {verification.import_seconds:.2f} s"
    listener(StepFinished(project.name, _STEP, detail, verification.import_seconds))
    return verification


@dataclass(frozen=True, slots=True)
class _Run:
    """One run of one function; `seconds` is what the container may take."""

    built: Built
    sandbox: Sandbox
    image: str
    event: bytes | None
    seconds: int

    @property
    def project(self) -> FunctionProject:
        return self.built.project

    @property
    def zipped(self) -> bool:
        return isinstance(self.built.artifact, Artifact)

    @property
    def emulated(self) -> bool:
        return self.project.target.machine != self.sandbox.engine.machine

    @property
    def memory(self) -> int:
        return memory_mb(self.project) << 20

    def verified(self, folder: Path) -> Verification:
        task, left, empty = (folder / name for name in ("task", "left", "empty"))
        for one in (task, left, empty):
            one.mkdir()
        archive = self.built.artifact.path
        if self.zipped:
            unpack(archive, read_zip(archive, limits=LIMITS), task)
        try:
            outcome = self.sandbox.run(self._job(task, empty), left)
        except (ContainerOutOfMemory, ContainerTimeout) as error:
            raise self._beyond_limits(error) from error
        report = read_import(left)
        if report is None:
            raise VerifyFailed(
                f"{self.project.name} could not be verified: {_last_line(outcome.log)}",
                hint="the image's interpreter must be that of the runtime",
            )
        if report.stage != "done":
            raise import_failure(self.project, report, self._code(task))
        return self._verification(report, self._invocation(left), outcome)

    def _job(self, task: Path, empty: Path) -> Job:
        from planton_build.sandbox.files import Input

        inside = resources.files("planton_build.verify.inside")
        inputs = [Input(f"{IN}/{name}", inside.joinpath(name).read_bytes()) for name in _SCRIPTS]
        inputs += [Input(OUT, empty, owner=BUILDER)]
        if self.zipped:
            inputs += [Input(TASK, task)]
        command = [PYTHON, f"{IN}/{_SCRIPTS[0]}", f"{SECRETS}/request.json", OUT]
        return Job(
            what=f"verifying {self.project.name}",
            image=self.image,
            machine=self.project.target.machine,
            command=command if self.event is None else [*command, f"{IN}/{_SCRIPTS[1]}"],
            inputs=inputs,
            # The manifest's variables may be secrets: not for `docker inspect`.
            secrets={"request.json": json.dumps(self._request()).encode()},
            limits=Limits(self.memory + (EMULATION_MEMORY if self.emulated else 0), self.seconds),
            workdir=TASK,
            output_on_failure=True,
        )

    def _request(self) -> dict[str, object]:
        seconds = timeout_seconds(self.project) * (EMULATION_SLOWNESS if self.emulated else 1)
        environment = function_environment(self.project)
        if self.event is not None:
            environment["AWS_LAMBDA_FUNCTION_TIMEOUT"] = str(seconds)
        return {
            "handler": self.project.handler,
            "environment": environment,
            "without": sorted(UNSET),
            "event": self.event.decode() if self.event is not None else None,
            "seconds": seconds,
        }

    def _code(self, task: Path) -> Code:
        return Code(task, [share.name for share in self.built.artifact.packages if share.version])

    def _invocation(self, left: Path) -> Invocation | None:
        if self.event is None:
            return None
        report = read_invocation(left)
        if report is None or report.failure == "no_answer":
            raise VerifyFailed(
                f"the Runtime Interface Emulator gave no answer for {self.project.name}",
                hint="the log above may say why; another image can be named with --runtime-image",
            )
        if report.failure == "no_emulator":
            raise ImageMismatch(
                "the image has no /lambda-entrypoint.sh to start the Runtime Interface Emulator",
                hint="name one of Lambda's images with --runtime-image, such as "
                f"public.ecr.aws/lambda/python:{'{}.{}'.format(*self.project.target.version)}",
            )
        payload = (left / "payload").read_bytes()
        if failure := invocation_failure(self.project, payload, report.status, report.requests):
            raise failure
        return Invocation(payload, report.seconds, report.peak_memory)

    def _verification(
        self, report: ImportReport, invocation: Invocation | None, outcome: Outcome
    ) -> Verification:
        return Verification(
            function=self.project.name,
            target=self.project.target.name,
            image=self.image,
            emulated=self.emulated,
            import_seconds=report.seconds,
            modules=report.imports.count,
            packages=tuple(PackageImport(one.name, one.own, one.modules) for one in report.imports.packages),
            slowest=tuple(ModuleImport(one.name, one.own, one.total) for one in report.imports.modules),
            peak_memory=report.peak_memory,
            memory_limit=self.memory,
            invocation=invocation,
            log=outcome.log,
        )

    def _beyond_limits(self, error: PlantonError) -> PlantonError:
        """Say a limit of the sandbox in the words of the manifest."""
        manifest = self.project.manifest
        memory = isinstance(error, ContainerOutOfMemory)
        position = manifest.position("spec", "memory_mb" if memory else "handler")
        line = position.line if position else None
        if memory:
            message = f"{self.project.name} needs more than its {memory_mb(self.project)} MB of memory"
            return ContainerOutOfMemory(message, hint="raise spec.memoryMb", file=manifest.path, line=line)
        hint = (
            "import less when the module is loaded; more time is allowed with container-timeout in "
            "planton.toml, and more memory with spec.memoryMb"
        )
        return ContainerTimeout(error.message, hint=hint, file=manifest.path, line=line)


def _last_line(log: str) -> str:
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "it said nothing"
