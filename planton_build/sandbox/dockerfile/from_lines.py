"""Which images a Dockerfile names, so that they can be locked, and the Dockerfile with their digests in.

An image is named by `FROM`, by `COPY --from` and by `RUN --mount=from=`; each may name an earlier stage as
well. Only the stages that the wanted one needs count.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from planton_build.errors import DockerfileFailed
from planton_build.oci.media_types import ARCHITECTURES
from planton_build.sandbox.dockerfile.parse import Dockerfile, Instruction

SCRATCH = "scratch"
_VARIABLE = re.compile(r"\\\$|\$(?:(\w+)|\{(\w+)(?:(:?[-+])([^{}]*))?\})")
_FLAG = re.compile(r"--([a-z-]+)(?:=(\S*))?\s+")
_MOUNT_FROM = re.compile(r"(?:^|,)from=([^,]+)")
_ARGUMENT = re.compile(r"(\w+)(?:=(\"[^\"]*\"|'[^']*'|\S*))?")
_LAMBDA = {"amd64": "x86_64", "arm64": "arm64"}


@dataclass(frozen=True, slots=True)
class FromImage:
    """An image that a Dockerfile names: `name` with variables filled in, `architecture` as Lambda calls it.

    `line` is where it is named first, from 1.
    """

    name: str
    architecture: str
    line: int = field(compare=False)

    @property
    def key(self) -> tuple[str, str]:
        """Return what names it among pins."""
        return self.name, self.architecture


@dataclass(frozen=True, slots=True)
class _Use:
    """One place that names an image or a stage. `word` is what stands there; `where` the instruction."""

    word: str
    name: str
    architecture: str
    where: Instruction


@dataclass(slots=True)
class _Stage:
    name: str
    start: _Use
    uses: list[_Use] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Choices:
    """What decides which images are meant: the stage (None: the last), build arguments, the architecture of
    the function and that of the machine which builds (for `$BUILDPLATFORM`)."""

    stage: str | None
    arguments: Mapping[str, str]
    architecture: str
    build_architecture: str = _LAMBDA[ARCHITECTURES.get(platform.machine(), "amd64")]


def images_of(dockerfile: Dockerfile, choices: Choices) -> tuple[FromImage, ...]:
    """Return the images that the wanted stage needs, each once, in the order of their first mention.

    Raises:
        DockerfileFailed: it has no `FROM`, no such stage, or a `FROM` that means nothing.
    """
    found: dict[tuple[str, str], FromImage] = {}
    for use in _external(dockerfile, choices):
        image = FromImage(use.name, use.architecture, use.where.line)
        found.setdefault(image.key, image)
    return tuple(found.values())


def base_of(dockerfile: Dockerfile, choices: Choices) -> FromImage | None:
    """Return the image that the wanted stage is built on, through whatever stages; None for `scratch`.

    Raises as `images_of` does.
    """
    stages = _stages(dockerfile, choices)
    index = _wanted(stages, choices, dockerfile)
    while (below := _stage_index(stages[:index], stages[index].start.name, by_number=False)) is not None:
        index = below
    start = stages[index].start
    return None if start.name == SCRATCH else FromImage(start.name, start.architecture, start.where.line)


def with_pins(dockerfile: Dockerfile, choices: Choices, pins: Mapping[tuple[str, str], str]) -> str:
    """Return the text with other names for images; all else is kept, line for line.

    Args:
        dockerfile: the Dockerfile.
        choices: as for `images_of`.
        pins: what to write instead, by `FromImage.key`: `name@sha256:…`. What is not in it stays.

    Raises:
        DockerfileFailed: as `images_of`, or a name is broken over two lines.
    """
    text = dockerfile.text
    for use in sorted(_external(dockerfile, choices), key=lambda use: use.where.start, reverse=True):
        pin = pins.get((use.name, use.architecture))
        if pin is None:
            continue
        where = use.where
        before = r"(?<![^\s=,])" if where.name != "FROM" else r"(?<=\s)"
        written = text[where.start : where.end]
        keyword = re.match(r"\s*\S+\s", written)
        start = keyword.end() - 1 if keyword else 0
        found = re.compile(rf"{before}{re.escape(use.word)}(?=[\s,]|$)").search(written, start)
        if found is None:
            raise _fault(
                dockerfile, where, f"the image {use.name} is named in a way that cannot be rewritten"
            )
        text = text[: where.start + found.start()] + pin + text[where.start + found.end() :]
    return text


def _external(dockerfile: Dockerfile, choices: Choices) -> Iterator[_Use]:
    """Yield the uses of images, in the text's order, in the stages that the wanted one needs."""
    stages = _stages(dockerfile, choices)
    pending, needed = [_wanted(stages, choices, dockerfile)], set[int]()
    while pending:
        index = pending.pop()
        if index in needed:
            continue
        needed.add(index)
        for use in (stages[index].start, *stages[index].uses):
            below = _stage_index(stages[:index], use.name, by_number=use is not stages[index].start)
            if below is not None:
                pending.append(below)
    for index in sorted(needed):
        for use in (stages[index].start, *stages[index].uses):
            by_number = use is not stages[index].start
            if use.name != SCRATCH and _stage_index(stages[:index], use.name, by_number=by_number) is None:
                yield use


def _stages(dockerfile: Dockerfile, choices: Choices) -> list[_Stage]:
    values = _platform_values(choices)
    stages: list[_Stage] = []
    for instruction in dockerfile.instructions:
        if instruction.name == "FROM":
            stages.append(_stage(dockerfile, instruction, values, choices))
        elif not stages and instruction.name == "ARG":
            for name, value in _ARGUMENT.findall(instruction.words):
                default = _expanded(value.strip("\"'"), values, dockerfile)
                values[name] = choices.arguments.get(name, default)
        elif not stages:
            raise _fault(dockerfile, instruction, f"{instruction.name} stands before the first FROM")
        else:
            stages[-1].uses += _uses(instruction, choices)
    if not stages:
        raise DockerfileFailed(
            f"{dockerfile.path.name} has no FROM",
            hint="its first instruction names the image to build on",
            file=dockerfile.path,
        )
    return stages


def _stage(
    dockerfile: Dockerfile, instruction: Instruction, values: Mapping[str, str], choices: Choices
) -> _Stage:
    words, architecture = instruction.words, choices.architecture
    while (flag := _FLAG.match(words)) is not None:
        if flag[1] == "platform" and flag[2]:
            architecture = _architecture(dockerfile, instruction, _expanded(flag[2], values, dockerfile))
        words = words[flag.end() :]
    parts = words.split()
    if len(parts) not in (1, 3) or (len(parts) == 3 and parts[1].upper() != "AS"):
        raise _fault(dockerfile, instruction, f"FROM {words[:100]} is neither `FROM image` nor `… AS name`")
    name = _expanded(parts[0].strip("\"'"), values, dockerfile)
    if not name:
        raise _fault(
            dockerfile,
            instruction,
            f"FROM {parts[0]} names no image: the variable has no value",
            hint="give the ARG a default, or the value in docker-args",
        )
    stage = parts[2].lower() if len(parts) == 3 else ""
    return _Stage(stage, _Use(parts[0], name, architecture, instruction))


def _uses(instruction: Instruction, choices: Choices) -> Iterator[_Use]:
    """Yield what `--from=` and the mounts of an instruction name."""
    if instruction.name not in ("COPY", "ADD", "RUN"):
        return
    words = instruction.words
    while (flag := _FLAG.match(words)) is not None:
        words, value = words[flag.end() :], flag[2] or ""
        if flag[1] == "from" and value:
            yield _Use(value, value, choices.architecture, instruction)
        elif flag[1] == "mount":
            for found in _MOUNT_FROM.finditer(value):
                yield _Use(found[1], found[1], choices.architecture, instruction)


def _wanted(stages: list[_Stage], choices: Choices, dockerfile: Dockerfile) -> int:
    if choices.stage is None:
        return len(stages) - 1
    found = _stage_index(stages, choices.stage, by_number=True)
    if found is None:
        names = ", ".join(stage.name for stage in stages if stage.name) or "none has a name"
        raise DockerfileFailed(
            f"{dockerfile.path.name} has no stage {choices.stage!r}",
            hint=f"docker-target names one of its stages: {names}",
            file=dockerfile.path,
        )
    return found


def _stage_index(stages: list[_Stage], name: str, *, by_number: bool) -> int | None:
    """Return which of the stages a name means; the last of that name counts."""
    for index in range(len(stages) - 1, -1, -1):
        if stages[index].name and stages[index].name == name.lower():
            return index
    if by_number and name.isdecimal() and len(name) < 5 and int(name) < len(stages):
        return int(name)
    return None


def _expanded(word: str, values: Mapping[str, str], dockerfile: Dockerfile) -> str:
    def value(found: re.Match[str]) -> str:
        if found[0] == "\\$":
            return "$"
        name, operator, word = found[1] or found[2], found[3] or "", found[4] or ""
        known = values.get(name)
        missing = not known if operator.startswith(":") else known is None
        if operator.endswith("-"):
            return word if missing else known or ""
        if operator.endswith("+"):
            return "" if missing else word
        return known or ""

    return _VARIABLE.sub(value, word.replace(dockerfile.escape + "$", "\\$"))


def _platform_values(choices: Choices) -> dict[str, str]:
    """Return the arguments that BuildKit sets by itself, before any ARG."""
    values: dict[str, str] = {}
    for prefix, architecture in (("TARGET", choices.architecture), ("BUILD", choices.build_architecture)):
        name = ARCHITECTURES[architecture]
        values |= {
            f"{prefix}PLATFORM": f"linux/{name}",
            f"{prefix}OS": "linux",
            f"{prefix}ARCH": name,
            f"{prefix}VARIANT": "",
        }
    return values


def _architecture(dockerfile: Dockerfile, instruction: Instruction, wanted: str) -> str:
    system, _, rest = wanted.rpartition("/") if wanted.count("/") < 2 else wanted.partition("/")
    machine = rest.partition("/")[0]
    machine = {"aarch64": "arm64", "x86_64": "amd64"}.get(machine, machine)
    if system not in ("", "linux") or machine not in _LAMBDA:
        raise _fault(
            dockerfile,
            instruction,
            f"FROM --platform={wanted[:60]} is a platform that Lambda does not have",
            hint="leave --platform out: the manifest's architecture is built for",
        )
    return _LAMBDA[machine]


def _fault(
    dockerfile: Dockerfile, instruction: Instruction, message: str, *, hint: str | None = None
) -> DockerfileFailed:
    return DockerfileFailed(message, hint=hint, file=dockerfile.path, line=instruction.line)
