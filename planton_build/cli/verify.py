"""`planton-build verify`: functions seen running inside their runtime's container, before any publishing."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from planton_build.artifact import ImageArtifact
from planton_build.cli.commands import output_options, paths_argument, with_console
from planton_build.cli.console import Console, shown_path
from planton_build.cli.workshop import build_options, open_workshop, projects_below
from planton_build.errors import ConfigInvalid, PlantonError, SeveralErrors
from planton_build.events import Event, StepOutput

if TYPE_CHECKING:
    from planton_build.cache import Store
    from planton_build.ecosystems.python.building.containers import Opened
    from planton_build.ecosystems.python.index import Index
    from planton_build.pipeline import Built
    from planton_build.verify.report import Verification

_IMPORTS_SHOWN = 8
_LAMBDA_MB = 1 << 20
"""Bytes of the MB in which Lambda counts a function's memory."""
_COLUMNS = ("function", "target", "import", "modules", "peak memory", "of", "invocation")


@click.command(
    "verify",
    short_help="Import or invoke functions inside the runtime's container.",
    epilog="Example: planton-build verify functions/thumbnailer --event events/upload.json",
)
@paths_argument
@click.option(
    "--event",
    type=click.Path(path_type=Path, readable=False),
    metavar="FILE",
    help="Invoke every function with this JSON through the Runtime Interface Emulator.",
)
@click.option(
    "--runtime-image",
    metavar="NAME",
    help="Image to run in, such as public.ecr.aws/lambda/{runtime}; the build image by default.",
)
@build_options
@output_options
@with_console
def verify(console: Console, paths: tuple[Path, ...], **options: Any) -> int:
    """Build the functions below PATH (default: the current folder) and import each one's handler.

    It runs on the target's architecture with the code read-only, without network, and with the function's own
    memory. Reported are import time, peak memory and the slowest imports, or what is missing.
    """
    from planton_build.pipeline import build_all

    event = _event(options["event"]) if options["event"] else None
    projects = projects_below(paths, options)
    workshop = open_workshop(console, options["jobs"], "build")
    results = build_all(projects, workshop)
    log = _Log(console)
    opened = _open(workshop.store, log)
    seen: list[tuple[Built, Verification]] = []
    errors: list[PlantonError] = []
    for built in results:  # one by one: beside another, a function's times would not be its own
        try:
            seen.append((built, _verified(built, opened, options["runtime_image"], event, console)))
        except PlantonError as error:
            errors.append(error)
        log.show(built.project.name)
    console.stop_progress()
    if errors:
        _show(console, seen)
        raise errors[0] if len(errors) == 1 else SeveralErrors(errors)
    if console.as_json:
        console.json(_json(seen))
    _show(console, seen)
    return 0


class _Log:
    """Collects what a function writes while its container runs: a live display leaves no room for it."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._lines: list[str] = []

    def listen(self, event: Event) -> None:
        """Keep a line of a function's, and show that it is there."""
        if isinstance(event, StepOutput) and event.step.startswith("verifying "):
            self._lines.append(event.line)
        self._console.listen(event)

    def show(self, function: str) -> None:
        """Write what was collected."""
        if self._lines:
            self._console.stop_progress()
        for line in self._lines:
            self._console.log(f"{function} | {line}\n")
        self._lines.clear()


def _event(path: Path) -> bytes:
    """Return the event of `--event`.

    Raises:
        ConfigInvalid: the file cannot be read, or is no JSON.
    """
    try:
        content = path.read_bytes()
        json.loads(content)
    except OSError as error:
        raise ConfigInvalid(f"--event {path}: {error.strerror}", hint="name a readable file") from error
    except ValueError as error:
        raise ConfigInvalid(f"--event {path} is not JSON: {error}", hint="Lambda takes JSON only") from error
    return content


def _open(store: Store, log: _Log) -> Opened:
    from planton_build.ecosystems.python.building.containers import Containers

    containers = Containers(store, _no_index, environment=os.environ, listener=log.listen, jobs=1)
    return containers.open("verify runs functions in containers")


def _no_index() -> Index:
    raise AssertionError("functions run in base images, which need no tools to be fetched")


def _verified(
    built: Built, opened: Opened, named: str | None, event: bytes | None, console: Console
) -> Verification:
    from planton_build.sandbox.job import Limits
    from planton_build.sandbox.pins import wanted
    from planton_build.verify.verify import verify as run

    target, options = built.project.target, built.project.options
    limits = Limits(seconds=options.container_timeout)
    if isinstance(built.artifact, ImageArtifact):
        image = _own_image(built, built.artifact, opened)
        return run(
            built, sandbox=opened.sandbox, image=image, event=event, limits=limits, listener=console.listen
        )
    pin = wanted(target, named or options.runtime_image or options.build_image)
    digest = pin.digest or _locked_digest(built, pin.name)
    image, _ = opened.images.base(pin.name, digest, target.machine)
    return run(
        built, sandbox=opened.sandbox, image=image, event=event, limits=limits, listener=console.listen
    )


def _own_image(built: Built, artifact: ImageArtifact, opened: Opened) -> str:
    """Bring the image of a function onto the engine, and return its ID there."""
    from planton_build.cli.registries import aws_registries
    from planton_build.imaging.sources import with_layers_located
    from planton_build.sandbox.loading import present_image

    if built.project.target.family != "python":
        raise ConfigInvalid(
            f"{built.project.name} has no Python runtime: only handlers in Python can be verified",
            hint="set `runtime` and `handler` in planton.toml, or use `planton-deploy invoke --local`",
            file=built.project.manifest.path,
        )
    return present_image(opened.sandbox.engine, with_layers_located(artifact.image, aws_registries()))


def _locked_digest(built: Built, name: str) -> str | None:
    """Return the digest that the function's build lock has for this image: the one that it was built in."""
    from planton_build.ecosystems.python.building.build_lock import read_build_lock
    from planton_build.ecosystems.python.dependencies import build_lock_without_lock
    from planton_build.ecosystems.python.lock import build_lock_path

    project, lock = built.project, built.lock_path
    path = build_lock_path(lock, project.target) if lock is not None else build_lock_without_lock(project)
    if not path.is_file():
        return None
    image = read_build_lock(path, project.target).image
    return image.digest if image.name == name else None


def _show(console: Console, seen: Sequence[tuple[Built, Verification]]) -> None:
    """Write the summary, the slowest imports of each function, and the answers."""
    if not seen or console.as_json:
        return
    console.table(_COLUMNS, [_row(one) for _, one in seen], right=(2, 3, 4, 5, 6))
    for _, one in seen:
        slowest = one.packages[:_IMPORTS_SHOWN]
        if slowest:
            console.print()
            rows = [(part.name, f"{part.own:.3f} s", str(part.modules)) for part in slowest]
            console.table((f"slowest imports of {one.function}", "time", "modules"), rows, right=(1, 2))
    for _, one in seen:
        if one.invocation is not None:
            console.print()
            console.result(one.invocation.payload.decode(errors="replace"))


def _row(one: Verification) -> tuple[str, ...]:
    peak = max(one.peak_memory, one.invocation.peak_memory if one.invocation else 0)
    return (
        one.function,
        f"{one.target}{' (emulated)' if one.emulated else ''}",
        f"{one.import_seconds:.2f} s",
        str(one.modules),
        f"{peak / _LAMBDA_MB:.0f} MB",
        f"{one.memory_limit // _LAMBDA_MB} MB",
        f"{one.invocation.seconds:.2f} s" if one.invocation else "-",
    )


def _json(seen: Sequence[tuple[Built, Verification]]) -> dict[str, object]:
    from planton_build.cli.verify_schema import (
        InvocationOut,
        ModuleImportOut,
        PackageImportOut,
        VerificationOut,
        VerifyOut,
    )

    functions = [
        VerificationOut(
            manifest=shown_path(built.project.manifest.path),
            function_name=one.function,
            runtime=built.project.target.runtime,
            architecture=built.project.target.architecture,
            sha256=built.artifact.sha256,
            image=one.image,
            emulated=one.emulated,
            import_seconds=round(one.import_seconds, 6),
            modules=one.modules,
            packages=[
                PackageImportOut(name=part.name, seconds=round(part.own, 6), modules=part.modules)
                for part in one.packages
            ],
            slowest=[
                ModuleImportOut(
                    name=part.name, seconds=round(part.own, 6), total_seconds=round(part.total, 6)
                )
                for part in one.slowest
            ],
            peak_memory=one.peak_memory,
            memory_limit=one.memory_limit,
            invocation=None
            if one.invocation is None
            else InvocationOut(
                payload=_json_or_text(one.invocation.payload),
                seconds=round(one.invocation.seconds, 6),
                peak_memory=one.invocation.peak_memory,
            ),
            log=one.log,
        )
        for built, one in seen
    ]
    return VerifyOut(functions=functions).model_dump()


def _json_or_text(payload: bytes) -> Any:
    try:
        return json.loads(payload)
    except ValueError:
        return payload.decode(errors="replace")
