"""`planton-build`: build, lock and check functions, publish them, and write their code source back."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from planton_build import __version__
from planton_build.cli import report
from planton_build.cli.commands import (
    DefaultCommandGroup,
    aws_options,
    cache_folder,
    completion_command,
    output_options,
    paths_argument,
    show_warnings,
    with_console,
)
from planton_build.cli.console import Console, shown_path
from planton_build.errors import EXIT_CHANGES, BucketUnknown, LockOutdated, PlantonError, SeveralErrors

if TYPE_CHECKING:
    from planton_build.artifact import Artifact
    from planton_build.cli.aws import Accounts
    from planton_build.ecosystems.python.locking import LockMode
    from planton_build.manifest.code_source import S3Source
    from planton_build.pipeline import Built, Workshop
    from planton_build.project.function import FunctionProject

_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


@click.group(
    cls=DefaultCommandGroup,
    context_settings=_CONTEXT,
    epilog="Example: planton-build functions/ --bucket acme-lambda-artifacts",
)
@click.version_option(__version__, prog_name="planton-build")
def main() -> None:
    """Build AWS Lambda functions from AwsLambda manifests, publish them, and write back where they are.

    Without a command, `build` is meant: `planton-build functions/` builds everything below that folder.
    """


def build_options(command: Any) -> Any:
    """Add the options that choose what goes into an artifact."""
    for option in (
        click.option("--jobs", type=click.IntRange(1), help="Functions built side by side."),
        click.option("--max-size", help='Budget for the unzipped size, such as 200MB or "150 MiB".'),
        click.option("--prefix", help="Folder of the artifacts in the bucket."),
        click.option("--bucket", help="S3 bucket for the artifacts, in the function's region."),
    ):
        command = option(command)
    return command


@main.command(
    "build",
    short_help="Build, publish and write back (the default).",
    epilog="Example: planton-build functions/ --bucket acme-lambda-artifacts",
)
@paths_argument
@click.option("--no-publish", is_flag=True, help="Build and check only: no upload, no write-back.")
@click.option("--output", type=click.Path(path_type=Path, file_okay=False), help="Copy <function>.zip here.")
@click.option("--check", is_flag=True, help="Write nothing; exit 10 if a manifest or lock would change.")
@click.option("--dry-run", is_flag=True, help="Write nothing; print what would change in the manifests.")
@click.option("--locked", is_flag=True, help="Refuse to build when a lock is missing or outdated.")
@build_options
@aws_options
@output_options
@with_console
def build(console: Console, paths: tuple[Path, ...], **options: Any) -> int:
    """Build every function below PATH (default: the current folder).

    A build makes a deterministic ZIP, checks it, uploads it to S3 under its SHA-256, and writes the code
    source into the manifest. What was built before is not built again.
    """
    from planton_build.pipeline import build_all

    projects = _projects(paths, options)
    show_warnings(console, [project.manifest for project in projects])
    publishing = not options["no_publish"]
    reading_only = options["check"] or options["dry_run"]
    if publishing:
        projects = _with_buckets(projects, local=options["local"])
    mode: LockMode = "check" if reading_only else "frozen" if options["locked"] else "build"
    try:
        workshop = _workshop(console, options["jobs"], mode)
        results = build_all(projects, workshop)
    except (LockOutdated, SeveralErrors) as error:
        if not (options["check"] and _only_outdated(error)):
            raise
        console.error(error)
        return EXIT_CHANGES
    console.stop_progress()
    if options["output"]:
        from planton_build.cli.output import copy_artifacts

        copy_artifacts(results, options["output"])
    sources: dict[str, S3Source] = {}
    code = 0
    accounts = _accounts(options) if publishing and not reading_only else None
    _check_with_layers(results, workshop, None if options["local"] else accounts)
    if publishing:
        sources = _published(console, results, accounts, options) if accounts else _predicted(results)
        code = _write_back(console, results, sources, check=options["check"], dry_run=options["dry_run"])
    _report(console, results, sources)
    return code


def _projects(paths: Sequence[Path], options: dict[str, Any]) -> list[FunctionProject]:
    from planton_build.project.discovery import load_projects

    names = ("bucket", "prefix", "max_size")
    flags = {name: options[name] for name in names if options.get(name) is not None}
    return load_projects(list(paths) or [Path()], flags=flags, environment=os.environ)


def _with_buckets(projects: Sequence[FunctionProject], *, local: bool) -> list[FunctionProject]:
    """Give every project a bucket, or say before any work that one is missing."""
    from dataclasses import replace

    from planton_build.cli.aws import LOCAL_BUCKET

    ready, errors = [], []
    for project in projects:
        if project.options.bucket:
            ready.append(project)
        elif local:
            ready.append(replace(project, options=replace(project.options, bucket=LOCAL_BUCKET)))
        else:
            errors.append(
                BucketUnknown(
                    f"{project.name} has no bucket to be published to",
                    hint='pass --bucket NAME, set PLANTON_BUCKET, or bucket = "NAME" in planton.toml; '
                    "--no-publish builds without publishing, and --local uses an AWS of this machine",
                    file=project.manifest.path,
                )
            )
    if errors:
        raise errors[0] if len(errors) == 1 else SeveralErrors(errors)
    return ready


def _workshop(console: Console, jobs: int | None, mode: LockMode, **lock_options: Any) -> Workshop:
    from planton_build.cache import Store
    from planton_build.ecosystems.catalog import ecosystems
    from planton_build.pipeline import Workshop

    count = jobs or min(8, (os.cpu_count() or 2) + 2)
    store = Store(cache_folder())
    made = ecosystems(
        store, mode=mode, jobs=count, listener=console.listen, environment=os.environ, **lock_options
    )
    return Workshop(store, made, console.listen, count)


def _only_outdated(error: PlantonError) -> bool:
    """Tell whether nothing but missing or outdated locks is wrong."""
    several = error.errors if isinstance(error, SeveralErrors) else (error,)
    return all(isinstance(one, LockOutdated) for one in several)


def _predicted(results: Sequence[Built]) -> dict[str, S3Source]:
    """Return the code sources a publish would give, without asking AWS."""
    from planton_build.manifest.code_source import S3Source
    from planton_build.publish.keys import object_key

    sources = {}
    for built in results:
        options = built.project.options
        key = object_key(options.prefix, built.project.name, built.artifact.sha256)
        now = built.project.manifest.model.spec.s3
        same = now is not None and (now.bucket, now.key) == (options.bucket, key)
        version = now.object_version or None if now is not None and same else None
        sources[report.artifact_key(built)] = S3Source(str(options.bucket), key, version)
    return sources


def _accounts(options: dict[str, Any]) -> Accounts:
    from planton_build.cli.aws import Accounts

    return Accounts(local=options["local"], region=options["region"], profile=options["profile"])


def _check_with_layers(results: Sequence[Built], workshop: Workshop, accounts: Accounts | None) -> None:
    """Count attached layers in the limit: all of them with AWS at hand, else those measured before."""
    if not any(built.project.manifest.model.spec.layer_arns for built in results):
        return
    from planton_build.parallel import each
    from planton_build.publish.layers import check_with_layers

    def check(built: Built) -> None:
        aws = accounts.of(built.project.manifest) if accounts else None
        check_with_layers(built, aws, workshop.store, workshop.listener)

    each(results, check, jobs=workshop.jobs)


def _published(
    console: Console, results: Sequence[Built], accounts: Accounts, options: dict[str, Any]
) -> dict[str, S3Source]:
    from planton_build.publish.artifacts import publish_all

    accounts.prepare([(built.project.manifest, built.project.options.bucket) for built in results])
    sources = publish_all(results, accounts.of, console.listen, jobs=options["jobs"] or 8)
    console.stop_progress()
    return {report.artifact_key(built): source for built, source in zip(results, sources, strict=True)}


def _write_back(
    console: Console,
    results: Sequence[Built],
    sources: dict[str, S3Source],
    *,
    check: bool,
    dry_run: bool,
) -> int:
    from planton_build.manifest.writeback import write_back

    changes = [(built.project.manifest, sources[report.artifact_key(built)]) for built in results]
    outcomes = write_back(changes, apply=not (check or dry_run))
    changed = [outcome for outcome in outcomes if outcome.changed]
    if dry_run and not console.as_json:
        for outcome in changed:
            console.result(outcome.diff)
    if check:
        for outcome in changed:
            console.print(f"would change {shown_path(outcome.path)}")
    return EXIT_CHANGES if check and changed else 0


def _report(console: Console, results: Sequence[Built], sources: dict[str, S3Source]) -> None:
    if console.as_json:
        console.json(report.builds_json(results, sources))
    else:
        report.show_builds(console, results)
    console.summary(report.markdown(results))


@main.command(
    "lock",
    short_help="Write or verify the locks.",
    epilog="Example: planton-build lock functions/ --upgrade-package pydantic",
)
@paths_argument
@click.option("--check", is_flag=True, help="Write nothing; exit 10 when a lock is missing or outdated.")
@click.option("--upgrade", is_flag=True, help="Take the newest versions instead of keeping the locked ones.")
@click.option(
    "--upgrade-package", "upgrade_packages", multiple=True, metavar="NAME", help="Upgrade only these."
)
@click.option("--jobs", type=click.IntRange(1), help="Functions locked side by side.")
@output_options
@with_console
def lock(
    console: Console,
    paths: tuple[Path, ...],
    check: bool,
    upgrade: bool,
    upgrade_packages: tuple[str, ...],
    jobs: int | None,
) -> int:
    """Lock the dependencies of every function below PATH, per runtime and architecture, with hashes."""
    from planton_build import pipeline
    from planton_build.parallel import each

    if check and (upgrade or upgrade_packages):
        raise click.UsageError("--check writes nothing, so it does not go with --upgrade")
    mode: LockMode = "check" if check else "write"
    workshop = _workshop(console, jobs, mode, upgrade=upgrade, upgrade_packages=upgrade_packages)

    def locked(project: FunctionProject) -> tuple[str, str, str, int]:
        dependencies = pipeline.lock(project, workshop)
        path = shown_path(dependencies.lock_path) if dependencies.lock_path else ""
        return project.name, path, dependencies.state, dependencies.package_count

    try:
        rows = each(_projects(paths, {}), locked, jobs=workshop.jobs)
    except (LockOutdated, SeveralErrors) as error:
        if not (check and _only_outdated(error)):
            raise
        console.error(error)
        return EXIT_CHANGES
    if console.as_json:
        console.json(
            {
                "locks": [
                    {"function_name": name, "lock": path or None, "state": state, "packages": count}
                    for name, path, state, count in rows
                ]
            }
        )
    shown = [(name, path or "-", state, str(count)) for name, path, state, count in rows]
    console.table(("function", "lock", "state", "packages"), shown, right=(3,))
    return 0


@main.command(
    "check",
    short_help="Show sizes and hold artifacts against Lambda's limits.",
    epilog="Example: planton-build check build/thumbnailer.zip --max-size 200MB",
)
@paths_argument
@build_options
@output_options
@with_console
def check(console: Console, paths: tuple[Path, ...], **options: Any) -> int:
    """Check ZIPs (any ZIP) or the functions below a folder: size by package, largest files, limits."""
    from planton_build.audit.archive import artifact_of
    from planton_build.audit.size import SizeReport, check_size
    from planton_build.parallel import each
    from planton_build.pipeline import build_all
    from planton_build.project.config import parse_size

    budget = parse_size(options["max_size"]) if options["max_size"] else None
    archives = [path for path in paths if path.suffix.lower() == ".zip"]
    places = [path for path in paths if path not in archives]
    found = [(shown_path(path), path, artifact) for path in archives for artifact in [artifact_of(path)]]
    if places or not archives:
        projects = _projects(places, options)
        results = build_all(projects, _workshop(console, options["jobs"], "build"))
        found += [(built.project.name, built.project.manifest.path, built.artifact) for built in results]
    console.stop_progress()
    for title, _, artifact in found:
        report.show_sizes(console, title, artifact)

    def check_one(one: tuple[str, Path, Artifact]) -> None:
        _, file, artifact = one
        sizes = SizeReport(artifact.unzipped_size, artifact.packages, artifact.largest)
        check_size(sizes, max_size=budget, file=file)

    each(found, check_one, jobs=1)
    if console.as_json:
        console.json({"artifacts": [report.sizes_json(title, artifact) for title, _, artifact in found]})
    return 0


@main.group(
    "cache",
    short_help="Show or shrink the store of wheels and artifacts.",
    epilog="Example: planton-build cache prune",
)
def cache() -> None:
    """The content-addressed store: wheels, compressed sources, artifacts."""


@cache.command(
    "path", short_help="Print where the store is.", epilog='Example: du -sh "$(planton-build cache path)"'
)
@output_options
@with_console
def cache_path(console: Console) -> None:
    """Print the store's folder (set it with PLANTON_CACHE_DIR)."""
    if console.as_json:
        console.json({"path": str(cache_folder())})
    else:
        console.result(str(cache_folder()))


@cache.command(
    "prune", short_help="Remove old entries.", epilog="Example: planton-build cache prune --days 30"
)
@click.option("--days", type=click.FloatRange(0), default=30, show_default=True, help="Age of what goes.")
@output_options
@with_console
def cache_prune(console: Console, days: float) -> None:
    """Remove entries that were written more than DAYS days ago; what is needed comes back by itself."""
    from planton_build.audit.size import human
    from planton_build.cache import Store

    count, size = Store(cache_folder()).prune(older_than=days * 86_400)
    if console.as_json:
        console.json({"removed": count, "bytes": size})
    else:
        console.print(f"removed {count} entries, {human(size)}")


main.add_command(completion_command("planton-build"))
