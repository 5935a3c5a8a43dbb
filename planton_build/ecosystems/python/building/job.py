"""One attempt at a wheel: what goes into the container for it, and where the results wait on this host."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from planton_build.ecosystems.python.building.build_lock import LockedBuild
from planton_build.ecosystems.python.building.system import BuildSystem
from planton_build.ecosystems.python.wheelhouse import WheelFile
from planton_build.runtimes.libraries import libraries_of
from planton_build.runtimes.target import Target
from planton_build.sandbox.files import Input
from planton_build.sandbox.job import IN, TOOLS, Job, Limits

if TYPE_CHECKING:
    from planton_build.ecosystems.python.building.sdist import Sdist
    from planton_build.ecosystems.python.building.source import ProjectSource

    Source: TypeAlias = Sdist | ProjectSource


@dataclass(frozen=True, slots=True)
class BuildRequest:
    """What to build, with which requirements.

    `wheels` are those of `build.requires`. With `ask` the backend is asked whether it needs more. `key` is
    what the wheel will be known by.
    """

    source: Source
    system: BuildSystem
    build: LockedBuild
    wheels: Sequence[WheelFile]
    ask: bool
    key: str


def job_of(request: BuildRequest, image: str, target: Target, limits: Limits | None, staging: Path) -> Job:
    """Return the job that runs `inside/build_wheel.py` in an image (by ID).

    Raises:
        LocalProjectFailed: a project's files cannot be copied into `staging`, or have changed.
    """
    return Job(
        f"building {request.source.label}",
        image,
        target.machine,
        (TOOLS, "-I", f"{IN}/build_wheel.py"),
        inputs=[*_inputs(request, target), *request.source.inputs(staging)],
        limits=limits or Limits(),
    )


def _inputs(request: BuildRequest, target: Target) -> list[Input]:
    """Return all that a build gets besides its sources."""
    job = {
        "source": request.source.input_name,
        "backend": request.system.backend,
        "backend_path": request.system.backend_path,
        "asked": request.build.asked,
        "ask": request.ask,
        "libraries": sorted(libraries_of(target).sure),
    }
    pins = (f"{one.name}=={one.version} --hash=sha256:{one.sha256}\n" for one in request.wheels)
    scripts = resources.files("planton_build.ecosystems.python.building.inside")
    return [
        Input(f"{IN}/job.json", json.dumps(job).encode()),
        Input(f"{IN}/requirements.txt", "".join(sorted(pins)).encode()),
        Input(f"{IN}/build_wheel.py", (scripts / "build_wheel.py").read_bytes()),
        Input(f"{IN}/planton_sorted_listing.py", (scripts / "sorted_listing.py").read_bytes()),
        Input(f"{IN}/planton_sorted_listing.pth", b"import planton_sorted_listing\n"),
        *(Input(f"{IN}/wheels/{one.filename}", one.path) for one in request.wheels),
    ]
