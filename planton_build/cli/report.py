"""What a build looks like when it is done: the table, the JSON object, the job summary, the size picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from planton_build.artifact import AnyArtifact, Artifact, ImageArtifact
from planton_build.audit.size import DIRECT_UPLOAD_LIMIT, UNZIPPED_LIMIT, human
from planton_build.cli.console import Console, shown_path
from planton_build.manifest.code_source import CodeSource, ImageSource

if TYPE_CHECKING:  # --version, --help and completion answer without what a build needs: a third of the time
    from planton_build.cli.schema import CodeSourceOut
    from planton_build.pipeline import Built

_COLUMNS = ("function", "target", "packages", "size", "unzipped", "sha256", "state", "seconds")
_FIGURES = (2, 3, 4, 7)
_BAR = 40
_PACKAGES_SHOWN = 20


def _rows(results: Sequence[Built]) -> list[tuple[str, ...]]:
    return [
        (
            built.project.name,
            built.project.target.name,
            str(sum(1 for share in built.artifact.packages if share.version)),
            human(built.artifact.size),
            human(built.artifact.unzipped_size),
            built.artifact.sha256[:12],
            "cached" if built.cached else "built",
            f"{built.seconds:.2f}",
        )
        for built in results
    ]


def show_builds(console: Console, results: Sequence[Built]) -> None:
    """Write the summary table."""
    console.table(_COLUMNS, _rows(results), right=_FIGURES)
    for built in results:
        if built.project.options.bytecode:
            console.print(f"{built.project.name}: {_bytecode(built.artifact)}")


def _bytecode(artifact: AnyArtifact) -> str:
    """Say what bytecode costs in size."""
    cost = artifact.bytecode
    sizes = f"{human(cost.unzipped_size)} unzipped, {human(cost.size)} zipped"
    return f"bytecode in {cost.files:,} files adds {sizes}"


def markdown(results: Sequence[Built]) -> str:
    """Return the summary as Markdown for a CI job's summary page."""
    lines = ["### planton-build", "", "| " + " | ".join(_COLUMNS) + " |", "|" + " --- |" * len(_COLUMNS)]
    lines += ["| " + " | ".join(row) + " |" for row in _rows(results)]
    return "\n".join(lines) + "\n\n"


def builds_json(results: Sequence[Built], sources: Mapping[str, CodeSource]) -> dict[str, object]:
    """Return `--json` of a build: the contract of docs/json.md."""
    from planton_build.cli.schema import BuildOut, BytecodeOut, FunctionOut, PackageOut

    functions = []
    for built in results:
        artifact, target = built.artifact, built.project.target
        source = sources.get(artifact_key(built))
        functions.append(
            FunctionOut(
                manifest=shown_path(built.project.manifest.path),
                function_name=built.project.name,
                package_type="Image" if isinstance(artifact, ImageArtifact) else "Zip",
                runtime=target.runtime,
                architecture=target.architecture,
                artifact=str(artifact.path),
                sha256=artifact.sha256,
                code_sha256=artifact.code_sha256,
                tree_digest=artifact.tree_digest,
                size=artifact.size,
                unzipped_size=artifact.unzipped_size,
                files=artifact.files,
                packages=[
                    PackageOut(
                        name=share.name,
                        version=share.version,
                        size=share.size,
                        unzipped_size=share.unzipped_size,
                    )
                    for share in artifact.packages
                    if share.version
                ],
                bytecode=BytecodeOut(**asdict(artifact.bytecode)),
                code_source=_code_source_json(source),
                cached=built.cached,
                seconds=round(built.seconds, 3),
            )
        )
    return BuildOut(functions=functions).model_dump()


def _code_source_json(source: CodeSource | None) -> CodeSourceOut | None:
    from planton_build.cli.schema import CodeSourceOut, S3Out

    if source is None:
        return None
    if isinstance(source, ImageSource):
        return CodeSourceOut(s3=None, image_uri=source.image_uri)
    s3 = S3Out(bucket=source.bucket, key=source.key, object_version=source.object_version or None)
    return CodeSourceOut(s3=s3, image_uri=None)


def artifact_key(built: Built) -> str:
    """Return what identifies a function within one run: its manifest's file and document."""
    return f"{built.project.manifest.path}#{built.project.manifest.index}"


def show_sizes(console: Console, title: str, artifact: Artifact) -> None:
    """Write who takes how much of an artifact, and how much room Lambda's limit leaves."""
    share = artifact.unzipped_size / UNZIPPED_LIMIT
    filled = min(_BAR, round(share * _BAR))
    console.print(console.styled(title, "bold"))
    bar = "█" * filled + "░" * (_BAR - filled)
    console.print(f"  {bar} {share:.1%} of {UNZIPPED_LIMIT:,} bytes unzipped")
    over = "" if artifact.size <= DIRECT_UPLOAD_LIMIT else " (over 50 MiB: can only be deployed through S3)"
    console.print(
        f"  {artifact.files} files, {human(artifact.unzipped_size)}, ZIP {human(artifact.size)}{over}"
    )
    if artifact.bytecode.files:
        console.print(f"  {_bytecode(artifact)}")
    console.print(f"  sha256 {artifact.sha256}")
    console.print(f"  tree   {artifact.tree_digest}")
    rows = [
        (
            f"{package.name} {package.version}".strip(),
            str(package.files),
            f"{package.unzipped_size:,}",
            f"{package.unzipped_size / max(1, artifact.unzipped_size):.1%}",
            f"{package.size:,}",
        )
        for package in artifact.packages[:_PACKAGES_SHOWN]
    ]
    console.print()
    console.table(("package", "files", "unzipped", "share", "zipped"), rows, right=(1, 2, 3, 4))
    if (hidden := len(artifact.packages) - _PACKAGES_SHOWN) > 0:
        console.print(f"and {hidden} smaller packages")
    console.print()
    files = [(file.path, f"{file.size:,}") for file in artifact.largest]
    console.table(("largest files", "unzipped"), files, right=(1,))
    console.print()


def sizes_json(title: str, artifact: Artifact) -> dict[str, object]:
    """Return `--json` of one artifact of `planton-build check`."""
    return {
        "artifact": title,
        "sha256": artifact.sha256,
        "code_sha256": artifact.code_sha256,
        "tree_digest": artifact.tree_digest,
        "size": artifact.size,
        "unzipped_size": artifact.unzipped_size,
        "limit": UNZIPPED_LIMIT,
        "files": artifact.files,
        "packages": [
            {
                "name": package.name,
                "version": package.version,
                "size": package.size,
                "unzipped_size": package.unzipped_size,
            }
            for package in artifact.packages
        ],
        "largest": [{"path": file.path, "size": file.size} for file in artifact.largest],
    }
