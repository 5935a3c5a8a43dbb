"""What to say of a build that failed: the instruction, its place, and the last words of its program."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from planton_build.errors import ContainerDiskFull, DockerfileFailed, PlantonError
from planton_build.sandbox.dockerfile.parse import Dockerfile, Instruction

SHOWN_LINES = 15
_NOISE = re.compile(r"^(-+|\s*>.*|)$")
_EXIT_CODE = re.compile(r"(?:exit code: |returned a non-zero code: )(\d+)")

_PARSE_ERROR = re.compile(r"dockerfile parse error (?:on )?line (\d+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Failure:
    """The instruction that failed, as the builder writes it; what its program `said` last; what the builder
    `told` at the end; and the line, from 1, if the builder knows it."""

    step: str
    said: Sequence[str]
    told: Sequence[str]
    line: int | None = None

    def error(self, dockerfile: Dockerfile, ended: str) -> PlantonError:
        """Return the error. `ended` says how the build ended if nothing else does."""
        told = [line for line in self.told if not _NOISE.match(line)]
        shown = list(self.said)[-SHOWN_LINES:]
        reason = told[-1] if told else ended
        if "no space left on device" in "\n".join([*shown, *told]).lower():
            return ContainerDiskFull(
                "the container engine's disk is full: the build of the Dockerfile stopped",
                hint="free some space there, for example with `docker system df` and `docker builder prune`",
            )
        line = self.line or line_of(dockerfile, self.step)
        if line is None and (place := _PARSE_ERROR.search(reason)) is not None:
            line = int(place[1])
        code = _EXIT_CODE.search("\n".join(told))
        if self.step:
            ended = f"exit code {code[1]}" if code is not None else reason[:1000]
            message = f"{self.step[:200]} failed: {ended}" + "".join(f"\n  {one}" for one in shown)
        else:
            message = f"the Dockerfile cannot be built: {reason[:1000]}"
        return DockerfileFailed(message, hint=_hint(message), file=dockerfile.path, line=line)


def line_of(dockerfile: Dockerfile, step: str) -> int | None:
    """Return where the instruction is that a builder writes as `step`, which may be cut off."""
    wanted = _squeezed(step.removesuffix("..."))
    if not wanted:
        return None
    found = [one for one in dockerfile.instructions if _squeezed(_written(one)).startswith(wanted)]
    return found[0].line if len(found) == 1 else None


def _written(instruction: Instruction) -> str:
    return f"{instruction.name} {instruction.words}"


def _squeezed(text: str) -> str:
    return "".join(text.split()).lower()


def _hint(message: str) -> str:
    lowered = message.lower()
    if "exec format error" in lowered:
        return (
            "the engine's machine cannot run programs of that architecture: set up emulation there, for "
            "example with Debian's qemu-user-static and binfmt-support"
        )
    if "secret" in lowered and ("not found" in lowered or "unsupported" in lowered):
        return "name the file of each secret in docker-secrets"
    if "failed to compute cache key" in lowered or "no such file" in lowered or "not found" in lowered:
        return "is the file in the source folder, and does .dockerignore keep it out?"
    return "run `docker build` in the source folder to see all of its output"
