"""Publishing what a run has built: every artifact to its function's region, side by side."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from planton_build.events import Listener, StepAdvanced, StepFinished, StepStarted
from planton_build.manifest.code_source import S3Source
from planton_build.manifest.document import Manifest
from planton_build.parallel import each
from planton_build.pipeline import Built
from planton_build.publish.aws import Aws
from planton_build.publish.s3 import publish


def publish_all(
    results: Sequence[Built], aws_of: Callable[[Manifest], Aws], listener: Listener, *, jobs: int
) -> list[S3Source]:
    """Upload every artifact that is not there yet; return the code sources in the order of `results`.

    `aws_of` gives the AWS of a function. Every project must have a bucket. All failures are reported
    together.
    """

    def one(built: Built) -> S3Source:
        started = time.perf_counter()
        project, artifact = built.project, built.artifact
        spec = project.manifest.model.spec
        listener(StepStarted(project.name, "publish", artifact.size, "bytes"))
        published = publish(
            artifact.path,
            sha256=artifact.sha256,
            size=artifact.size,
            bucket=project.options.bucket or "",
            prefix=project.options.prefix,
            function_name=spec.function_name,
            region=spec.region or None,
            aws=aws_of(project.manifest),
            progress=lambda amount: listener(StepAdvanced(project.name, "publish", amount)),
        )
        detail = "uploaded" if published.uploaded else "already there"
        listener(StepFinished(project.name, "publish", detail, time.perf_counter() - started))
        return published.source

    return each(results, one, jobs=jobs)
