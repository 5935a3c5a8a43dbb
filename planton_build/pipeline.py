"""The way of the data, in order: project, lock, packages, members, artifact, checks. As short as the drawing.

Everything that decides an artifact's bytes goes into one key; a build whose key is known is answered from the
store without opening a wheel.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from planton_build import __version__
from planton_build.archive.member import Member
from planton_build.artifact import (
    AnyArtifact,
    Artifact,
    ImageArtifact,
    bytecode_of,
    largest_of,
    shares_of,
)
from planton_build.audit.size import IMAGE_LIMIT, UNZIPPED_LIMIT, SizeReport, check_size
from planton_build.build_records import recorded, remember
from planton_build.cache import Store, key_of
from planton_build.ecosystems.protocol import Dependencies, Ecosystem, Package
from planton_build.errors import RuntimeUnsupported, SourceInvalid
from planton_build.events import Listener, Note, StepAdvanced, StepFinished, StepStarted
from planton_build.files import sha256_of
from planton_build.parallel import each
from planton_build.project.function import FunctionProject
from planton_build.project.patterns import Patterns
from planton_build.project.sources import SourceFile, source_files

if TYPE_CHECKING:
    from planton_build.archive.writer import WrittenZip
    from planton_build.imaging.base import Base
    from planton_build.imaging.imaging import Imaging

_FORMAT = 3
"""Raised whenever the same inputs may give other bytes than before."""


@dataclass(frozen=True, slots=True)
class Built:
    """A function's artifact. `cached` tells that nothing had to be done; `seconds` is wall time."""

    project: FunctionProject
    artifact: AnyArtifact
    lock_path: Path | None
    cached: bool
    seconds: float


@dataclass(frozen=True, slots=True)
class Workshop:
    """What all builds of a run share. `ecosystems` gives a language family's ecosystem by its name, `imaging`
    what makes images; it is called for image functions only."""

    store: Store
    ecosystems: Callable[[str], Ecosystem | None]
    listener: Listener
    imaging: Callable[[], Imaging]
    jobs: int = 2


def build_all(projects: Sequence[FunctionProject], workshop: Workshop) -> list[Built]:
    """Build every project, side by side; all failures are reported together."""
    return each(projects, lambda project: build(project, workshop), jobs=workshop.jobs)


def build(project: FunctionProject, workshop: Workshop) -> Built:
    """Make, or find again, the artifact of one function.

    Raises:
        PlantonError: one of its subclasses, naming what to do.
    """
    started = time.perf_counter()
    if project.is_image and project.options.dockerfile is not None:
        return _from_dockerfile(project, project.options.dockerfile, workshop)
    ecosystem = ecosystem_of(project, workshop)
    dependencies = ecosystem.dependencies(project)
    sources = source_files(project, carried=dependencies.carries_sources)
    contents = [_content_of(file) for file in sources]
    layers = _layers(project, workshop.store)
    beside = [sorted(one) for one in layers] if layers is not None else None
    base = workshop.imaging().base_of(project) if project.is_image else None
    form = workshop.imaging().fingerprint(project, base) if base is not None else None

    def key_now() -> str:
        return _key(project, dependencies.fingerprint, sources, contents, [beside, form])

    key = key_now()
    known = recorded(workshop.store, key, base.reference if base is not None else None)
    if known is None:
        packages = dependencies.packages()
        own = [
            _source_member(file, content, workshop.store)
            for file, content in zip(sources, contents, strict=True)
        ]
        artifact, notes = _assemble(project, dependencies, packages, own, base, workshop)
        # Building may have locked more than there was before, such as the image it was done in.
        remember(workshop.store, key_now(), artifact, notes)
    else:
        artifact, notes = known
    for note in notes:
        workshop.listener(Note(project.name, note))
    _check_size(project, artifact)
    seconds = time.perf_counter() - started
    return Built(project, artifact, dependencies.lock_path, known is not None, seconds)


def _from_dockerfile(project: FunctionProject, dockerfile: Path, workshop: Workshop) -> Built:
    """Let the engine build the Dockerfile, unless the store has the image that came of the same context."""
    started = time.perf_counter()
    recipe = workshop.imaging().recipe(project, dockerfile)
    key = key_of(_FORMAT, __version__, recipe.fingerprint)
    known = recorded(workshop.store, key)
    artifact, notes = known or recipe.built()
    if known is None:
        remember(workshop.store, key, artifact, notes)
    for note in notes:
        workshop.listener(Note(project.name, note))
    _check_size(project, artifact)
    return Built(project, artifact, None, known is not None, time.perf_counter() - started)


def _check_size(project: FunctionProject, artifact: AnyArtifact) -> None:
    check_size(
        SizeReport(artifact.unzipped_size, artifact.packages, artifact.largest),
        max_size=project.options.max_size,
        file=project.manifest.path,
        limit=IMAGE_LIMIT if isinstance(artifact, ImageArtifact) else UNZIPPED_LIMIT,
    )


def lock(project: FunctionProject, workshop: Workshop) -> Dependencies:
    """Read or make a function's locks, as the workshop's mode allows; build only what locking takes."""
    dependencies = ecosystem_of(project, workshop).dependencies(project)
    dependencies.lock_builds()
    return dependencies


def lock_images(project: FunctionProject, workshop: Workshop) -> Path | None:
    """Read or make the lock of the images that a function is built on; return its file if it has one."""
    return workshop.imaging().lock(project) if project.is_image else None


def ecosystem_of(project: FunctionProject, workshop: Workshop) -> Ecosystem:
    """Return the language family that builds a function.

    Raises:
        RuntimeUnsupported: there is none yet.
    """
    ecosystem = workshop.ecosystems(project.target.family)
    if ecosystem is None:
        position = project.manifest.position("spec", "runtime")
        raise RuntimeUnsupported(
            f"{project.target.runtime} is known, but this version builds Python functions only",
            hint="set spec.runtime to a Python runtime, or build this function with its own tools",
            file=project.manifest.path,
            line=position.line if position else None,
        )
    return ecosystem


def _content_of(file: SourceFile) -> str:
    """Return what stands for a source file's content in the key: its SHA-256, or a link's target."""
    if file.link_target is not None:
        return f"-> {file.link_target}"
    try:
        return sha256_of(file.path)
    except OSError as error:
        raise SourceInvalid(
            f"{file.archive_path} cannot be read: {error.strerror}",
            hint="make it readable, or leave it out with exclude; if it was just removed, build again",
            file=file.path,
        ) from error


def _key(
    project: FunctionProject,
    fingerprint: object,
    sources: Sequence[SourceFile],
    contents: Sequence[str],
    beside: object,
) -> str:
    listing = [
        (file.archive_path, file.executable, content) for file, content in zip(sources, contents, strict=True)
    ]
    options = project.options
    return key_of(
        _FORMAT,
        __version__,
        project.target.name,
        fingerprint,
        listing,
        options.scripts,
        options.package_exclude,
        options.bytecode,
        options.commands,
        sorted(options.allow.items()),
        beside,
        project.handler,
    )


def _assemble(
    project: FunctionProject,
    dependencies: Dependencies,
    packages: Sequence[Package],
    own: Sequence[Member],
    base: Base | None,
    workshop: Workshop,
) -> tuple[AnyArtifact, list[str]]:
    """Join packages, sources and what is made of them, check the result, and write it into the store."""
    from planton_build.archive.merge import merge

    groups = [_without(project.options.package_exclude, package.members) for package in packages]
    made = dependencies.generated(groups, own)
    replaced = {member.path for member in made}
    kept = [[member for member in group if member.path not in replaced] for group in (*groups, own)]
    members = merge([*kept, made])
    ecosystem_of(project, workshop).check_handler(project, {member.path for member in members})
    versions = {package.name: package.version for package in packages}
    shares = shares_of(members, versions)
    notes = _audit(project, members, versions, workshop)
    if base is not None:
        return workshop.imaging().assembled(project, base, members, shares, notes)
    largest = largest_of(members)
    # Before the writing: an artifact over the limit is not worth a second of it.
    report = SizeReport(sum(member.size for member in members), shares, largest)
    check_size(report, max_size=project.options.max_size, file=project.manifest.path)
    path, written = _write(project.name, members, workshop)
    artifact = Artifact(
        path=path,
        sha256=written.sha256,
        tree_digest=written.tree_digest,
        size=written.size,
        unzipped_size=written.unzipped_size,
        files=written.files,
        packages=shares,
        largest=largest,
        bytecode=bytecode_of(members),
    )
    return artifact, notes


def _audit(
    project: FunctionProject, members: Sequence[Member], versions: dict[str, str], workshop: Workshop
) -> list[str]:
    """Hold native code and requirements against the target; return what was let pass, and why."""
    from planton_build.audit.content import audit
    from planton_build.audit.findings import raise_for

    layers = _layers(project, workshop.store)
    report = audit(
        members,
        versions,
        project.target,
        store=workshop.store,
        allow=project.options.allow,
        layer_libraries=layers[0] if layers is not None else None,
        layer_packages=layers[1] if layers is not None else None,
        own_system=project.is_image and project.options.base_image is not None,
    )
    raise_for(report, project.manifest.path)
    # What an image is allowed may be about its base, which is looked into later.
    unused = "unused-exception" if project.is_image else ""
    return [note.message for note in report.notes if note.rule != unused]


def _layers(project: FunctionProject, store: Store) -> tuple[frozenset[str], frozenset[str]] | None:
    """Return libraries and packages of attached layers, None when one was never looked into.

    Layers by reference are not known here; publishing looks into the others.
    """
    from planton_build.audit.layers import joined

    attached = project.manifest.model.spec.layer_arns
    arns = [layer.value for layer in attached if layer.value]
    return joined(arns, store) if len(arns) == len(attached) else None


def _source_member(file: SourceFile, content: str, store: Store) -> Member:
    """Compress a source file, and refuse it when it is no longer what the key was made of.

    The artifact would be kept under the key of other sources, and be taken for theirs later.
    """
    from planton_build.archive.compress import member_from_file, member_from_symlink

    if file.link_target is not None:
        return member_from_symlink(file.link_target, archive_path=file.archive_path, origin="", store=store)
    member = member_from_file(
        file.path, archive_path=file.archive_path, executable=file.executable, origin="", store=store
    )
    if member.sha256 != content:
        raise SourceInvalid(
            f"{file.archive_path} was changed while it was being built",
            hint="build again when nothing writes to the sources",
            file=file.path,
        )
    return member


def _without(patterns: Sequence[str], members: Sequence[Member]) -> Sequence[Member]:
    """Leave out members whose archive path matches one of the gitignore-style patterns."""
    if not patterns:
        return members
    excluded = Patterns(patterns)
    return [member for member in members if not excluded.decide_within(member.path)]


def _write(function: str, members: Sequence[Member], workshop: Workshop) -> tuple[Path, WrittenZip]:
    from planton_build.archive.writer import write_zip

    started = time.perf_counter()
    total = sum(member.compressed_size for member in members)
    workshop.listener(StepStarted(function, "write", total, "bytes"))
    with workshop.store.staging() as staged:
        written = write_zip(
            members, staged, advanced=lambda size: workshop.listener(StepAdvanced(function, "write", size))
        )
        path = workshop.store.keep("artifacts", written.sha256, staged)
    workshop.listener(
        StepFinished(function, "write", f"{written.files} files", time.perf_counter() - started)
    )
    return path, written
