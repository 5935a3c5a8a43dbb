"""`Job`: what runs in a container, with its files and limits; `Outcome`: what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from planton_build.sandbox.files import EPOCH, Input

MEMORY = 4 << 30
"""Bytes a build may use unless configured: what the compilers of large extensions need."""
SECONDS = 3600
"""Seconds a build may take unless configured; emulated compilers are ten times slower."""
BUILDER = 1000
"""User and group id of the unprivileged user that builds run as (base_images/python/Dockerfile)."""
WORK = "/build"
IN, OUT = "/build/in", "/build/out"
"""Where inputs are and results must be left, inside the container."""
SECRETS = "/build/.secrets"
"""Where secret files are: readable by the build alone, in the container's own layer, gone with it."""
TOOLS = "/opt/planton/bin/python"
"""The interpreter with the pinned tools: that of the runtime, in a virtual environment."""
PYTHON = "/var/lang/bin/python3"
"""The runtime's interpreter in Amazon's images."""
ENVIRONMENT: Mapping[str, str] = {
    "HOME": "/home/builder",
    "USER": "builder",
    "LOGNAME": "builder",
    "LANG": "C.UTF-8",
    "TZ": "UTC",
    "TMPDIR": "/tmp",  # noqa: S108 - of the container
    "PYTHONHASHSEED": "0",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "PIP_NO_INPUT": "1",
    "PIP_CONFIG_FILE": "/dev/null",
    "SOURCE_DATE_EPOCH": str(EPOCH),
}
"""All variables of a job besides the image's own: nothing of the host's gets in."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a container may use: `memory` in bytes (and no swap), `seconds` of wall time."""

    memory: int = MEMORY
    seconds: int = SECONDS


@dataclass(frozen=True, slots=True)
class Job:
    """One command in a container of its own.

    `what` says for messages what is done, such as `building crcmod 1.7`. `image` is an image's ID. `secrets`
    become files in `SECRETS` that only the build's user reads. `network` gives it the engine's bridge
    network; otherwise it has none but loopback. With `output` the files below that folder are copied out,
    also after a failure when `output_on_failure` is set.
    """

    what: str
    image: str
    machine: str
    command: Sequence[str]
    inputs: Sequence[Input] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    network: bool = False
    limits: Limits = field(default_factory=Limits)
    user: int = BUILDER
    workdir: str = WORK
    output: str | None = OUT
    output_on_failure: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a job ended: the command's exit code, all it wrote that still fits, and the files it left."""

    exit_code: int
    log: str
    seconds: float
    files: Sequence[Path] = ()
