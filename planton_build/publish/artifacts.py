"""Publishing what a run has built: every artifact to its function's region, side by side."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from planton_build.artifact import Artifact, ImageArtifact
from planton_build.audit.size import human
from planton_build.events import Listener, StepAdvanced, StepFinished, StepStarted
from planton_build.manifest.code_source import CodeSource
from planton_build.manifest.document import Manifest
from planton_build.parallel import each
from planton_build.pipeline import Built
from planton_build.publish.aws import Aws
from planton_build.publish.s3 import publish

if TYPE_CHECKING:
    from planton_build.registry.registries import Registries


def publish_all(
    results: Sequence[Built],
    aws_of: Callable[[Manifest], Aws],
    listener: Listener,
    *,
    registries: Registries,
    jobs: int,
) -> list[CodeSource]:
    """Upload or push every artifact that is not there yet; return the code sources in the order of `results`.

    `aws_of` gives the AWS of a function. Every project must have a bucket, or a repository for its image. All
    failures are reported together.
    """

    relatives = _repositories(results)

    def one(built: Built) -> CodeSource:
        started = time.perf_counter()
        project, artifact = built.project, built.artifact
        listener(StepStarted(project.name, "publish", artifact.size, "bytes"))
        aws = aws_of(project.manifest)
        if isinstance(artifact, ImageArtifact):
            source, detail = _pushed(built, artifact, aws, registries, relatives, listener)
        else:
            source, detail = _uploaded(built, artifact, aws, listener)
        listener(StepFinished(project.name, "publish", detail, time.perf_counter() - started))
        return source

    return each(results, one, jobs=jobs)


def _uploaded(built: Built, artifact: Artifact, aws: Aws, listener: Listener) -> tuple[CodeSource, str]:
    project = built.project
    published = publish(
        artifact.path,
        sha256=artifact.sha256,
        size=artifact.size,
        bucket=project.options.bucket or "",
        prefix=project.options.prefix,
        function_name=project.name,
        region=project.manifest.model.spec.region or None,
        aws=aws,
        progress=lambda amount: listener(StepAdvanced(project.name, "publish", amount)),
    )
    return published.source, "uploaded" if published.uploaded else "already there"


def _pushed(
    built: Built,
    artifact: ImageArtifact,
    aws: Aws,
    registries: Registries,
    relatives: Sequence[str],
    listener: Listener,
) -> tuple[CodeSource, str]:
    from planton_build.imaging.sources import with_layers_located
    from planton_build.publish.images import publish_image

    project = built.project
    published = publish_image(
        with_layers_located(artifact.image, registries),
        function_name=project.name,
        repository=project.options.repository or "",
        create=project.options.create_repository,
        region=project.manifest.model.spec.region or None,
        aws=aws,
        registries=registries,
        listener=listener,
        relatives=[artifact.base.partition("@")[0], *relatives],
    )
    sent = f"{human(published.uploaded_bytes)} pushed"
    return published.source, "already there" if published.reused else sent


def _repositories(results: Sequence[Built]) -> list[str]:
    """Return the repositories that the images of a run go to: they tend to share layers."""
    images = [built.project for built in results if built.project.is_image]
    if len(images) < 2:
        return []
    from planton_build.publish.images import full_name

    return sorted({full_name(one.options.repository or "", one.name) for one in images})
