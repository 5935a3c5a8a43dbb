"""`PipToolsResolver`: resolves with pip-compile inside the target's build container.

There the target's own interpreter computes the metadata of sdists. As long as wheels are enough, the result
is that of `UvResolver`: wheels only, of the same platforms, with markers judged by the target's row in
`runtimes.toml`. Only when that fails may sdists take part, and then an older version with wheels still wins
over a newer sdist (`--prefer-binary`).
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from planton_build.ecosystems.python.inputs import DependencyInput
from planton_build.ecosystems.python.lock import Lock
from planton_build.ecosystems.python.pip_tools import failures
from planton_build.ecosystems.python.pip_tools.compile_request import (
    CompileRequest,
    compile_request_for,
    on_host,
)
from planton_build.ecosystems.python.pip_tools.index_access import IndexAccess, index_access
from planton_build.ecosystems.python.project_files import copy_project, project_files
from planton_build.ecosystems.python.resolver import UV_GLIBC_MINORS, Upgrade
from planton_build.ecosystems.python.settings import IndexSettings
from planton_build.ecosystems.python.uv_request import Request, read_output
from planton_build.errors import PlantonError
from planton_build.runtimes.target import Target
from planton_build.sandbox.build_image import BuildImage
from planton_build.sandbox.container import Sandbox
from planton_build.sandbox.files import Input
from planton_build.sandbox.job import IN, TOOLS, Job, Limits

_OUTPUT_LIMIT = 64 << 20
"""Bytes of one result of pip-compile: many times what a thousand packages need."""


@dataclass(frozen=True, slots=True)
class PipToolsResolver:
    """Implements `resolver.Resolver`.

    `sandbox` and `image` give the container engine and the target's build image; they are asked only when
    something must be resolved. `environment` is the caller's environment: values of `${NAME}` in requirements
    files, netrc and proxies; none of it gets into the container as such.
    """

    sandbox: Callable[[], Sandbox]
    image: Callable[[], BuildImage]
    limits: Limits = field(default_factory=Limits)
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ), repr=False)

    def resolve(
        self,
        dependencies: DependencyInput,
        target: Target,
        settings: IndexSettings,
        *,
        pins: Mapping[str, str],
        upgrade: Upgrade | None = None,
    ) -> Lock:
        """Resolve as `Resolver.resolve` says. The hashes may be those of sdists.

        Raises:
            CompileFailed: the metadata of a package's sdist cannot be made.
            PlantonError: what `Resolver.resolve` and `Sandbox.run` raise.
        """
        settings = dependencies.index_options.applied_to(settings)
        (found,) = self.resolve_several([(dependencies, pins)], target, settings, upgrade=upgrade)
        if isinstance(found, PlantonError):
            raise found
        return found

    def resolve_several(
        self,
        inputs: Sequence[tuple[DependencyInput, Mapping[str, str]]],
        target: Target,
        settings: IndexSettings,
        *,
        upgrade: Upgrade | None = None,
    ) -> list[Lock | PlantonError]:
        """Resolve inputs, each with the pins to keep, one after another in one container.

        `settings` count for all; options inside the inputs must be merged already.

        Returns:
            For each input its lock, or why there is none.

        Raises:
            PlantonError: what an input cannot be read for, or the container cannot be run for.
        """
        requests = [
            compile_request_for(dependencies, target, self.environment, number=number)
            for number, (dependencies, _) in enumerate(inputs)
        ]
        access = index_access(settings, self.environment)
        kept = [(upgrade or Upgrade()).kept(pins) for _, pins in inputs]
        with tempfile.TemporaryDirectory(prefix="planton-compile-") as temporary:
            folder = Path(temporary)
            job = self._job(requests, kept, target, access, folder / "in")
            outcome = self.sandbox().run(job, folder / "out")
            reports = reports_of(folder / "out" / "report.json", access)
            if reports is None or len(reports) != len(requests):
                raise failures.broken(job.what, access.redact(outcome.log))
            return [
                _read(folder / "out" / f"{request.number}.txt", request, target)
                if report["kind"] == "ok"
                else failures.failure(report, request, target)
                for request, report in zip(requests, reports, strict=True)
            ]

    def _job(
        self,
        requests: Sequence[CompileRequest],
        kept: Sequence[Mapping[str, str]],
        target: Target,
        access: IndexAccess,
        scratch: Path,
    ) -> Job:
        numbers = [str(one.number) for one in requests]
        inputs = script_inputs(
            "compile_requirements", "index_state", target=target, sets=numbers, attempts=_attempts(target)
        )
        for request, pins in zip(requests, kept, strict=True):
            for place, lines in (
                ("requirements.in", request.lines),
                ("constraints.txt", request.constraints),
                ("pins.txt", [f"{name}=={version}" for name, version in sorted(pins.items())]),
            ):
                text = "".join(f"{line}\n" for line in lines)
                inputs.append(Input(f"{IN}/{request.number}/{place}", text.encode()))
            for folder, place in request.local.items():
                copy = scratch / Path(place).name
                copy.mkdir(parents=True)
                copy_project(project_files(folder), copy)
                inputs.append(Input(f"{IN}/local/{copy.name}", copy))
        names = sorted({request.path.name for request in requests})
        return Job(
            what=f"resolving {', '.join(names[:3])} for {target.name}",
            image=self.image().id,
            machine=target.machine,
            command=(TOOLS, f"{IN}/compile_requirements.py"),
            inputs=(*inputs, *access.inputs),
            environment=access.environment,
            secrets=access.secrets,
            network=True,
            limits=self.limits,
        )


def _attempts(target: Target) -> list[tuple[tuple[int, int], str]]:
    """Return glibc and option of pip for each try: first as `UvResolver`, which knows few platforms."""
    major, newest = target.glibc
    known = max((one for one in UV_GLIBC_MINORS if one <= newest), default=UV_GLIBC_MINORS[0])
    wheels = dict.fromkeys([(major, known), target.glibc])
    return [*((glibc, "--only-binary=:all:") for glibc in wheels), (target.glibc, "--prefer-binary")]


def script_inputs(*scripts: str, target: Target, **request: object) -> list[Input]:
    """Return scripts of `inside/` that work with pip, what all of them import, and their request."""
    from planton_build.runtimes.tags import marker_environment

    markers = marker_environment(target)
    told = {"glibc": target.glibc, "python": markers["python_full_version"], "markers": markers}
    inside = Path(__file__).with_name("inside")
    return [
        *(
            Input(f"{IN}/{name}.py", (inside / f"{name}.py").read_bytes())
            for name in (*scripts, "pip_session")
        ),
        Input(f"{IN}/request.json", json.dumps({"target": told, **request}).encode()),
    ]


def reports_of(path: Path, access: IndexAccess) -> list[dict[str, str]] | None:
    """Return what a script reported: a list of `kind`, `subject` and `text`; None when it left none."""
    try:
        found: Any = json.loads(access.redact(_text(path)))
    except (OSError, ValueError, RecursionError):
        return None
    found = found if isinstance(found, list) else [found]
    names = ("kind", "subject", "text")
    if not all(isinstance(one, dict) and all(isinstance(one.get(n), str) for n in names) for one in found):
        return None
    return [{name: one[name] for name in names} for one in found]


def _text(path: Path) -> str:
    with path.open("rb") as stream:
        return stream.read(_OUTPUT_LIMIT).decode("utf-8", "replace")


def _read(path: Path, request: CompileRequest, target: Target) -> Lock:
    try:
        text = _text(path)
    except OSError:
        raise failures.broken(f"resolving {request.path.name}", "pip-compile wrote no lock") from None
    form = Request(request.path, request.path.parent, (), own=request.own, extras=request.extras)
    lock = read_output(on_host(text, request), form, target)
    return replace(lock, local=tuple(one for one in lock.local if one.folder != request.left_out))
