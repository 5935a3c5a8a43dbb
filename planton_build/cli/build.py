"""`planton-build`: build, lock and check functions, publish them, and write their code source back."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from planton_build import __version__
from planton_build.cli import report
from planton_build.cli.cache import cache
from planton_build.cli.check import check
from planton_build.cli.commands import (
    DefaultCommandGroup,
    aws_options,
    completion_command,
    output_options,
    paths_argument,
    show_warnings,
    with_console,
)
from planton_build.cli.console import Console, shown_path
from planton_build.cli.doctor import doctor
from planton_build.cli.images import images
from planton_build.cli.lock import lock
from planton_build.cli.verify import verify
from planton_build.cli.workshop import build_options, only_outdated, open_workshop, projects_below
from planton_build.errors import (
    EXIT_CHANGES,
    BucketUnknown,
    LockOutdated,
    PlantonError,
    RepositoryUnknown,
    SeveralErrors,
)

if TYPE_CHECKING:
    from planton_build.cli.aws import Accounts
    from planton_build.ecosystems.python.locking import LockMode
    from planton_build.manifest.code_source import CodeSource
    from planton_build.pipeline import Built, Workshop
    from planton_build.project.function import FunctionProject
    from planton_build.registry.registries import Registries

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


@main.command(
    "build",
    short_help="Build, publish and write back (the default).",
    epilog="Example: planton-build functions/ --bucket acme-lambda-artifacts",
)
@paths_argument
@click.option("--no-publish", is_flag=True, help="Build and check only: no upload, no write-back.")
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    help="Copy <function>.zip, or the image, into this folder.",
)
@click.option(
    "--image-as",
    type=click.Choice(["oci", "docker-archive"]),
    default="oci",
    help="What --output makes of an image: a layout <function>.oci, or <function>.tar for `docker load`.",
)
@click.option("--check", is_flag=True, help="Write nothing; exit 10 if a manifest or lock would change.")
@click.option("--dry-run", is_flag=True, help="Write nothing; print what would change in the manifests.")
@click.option("--locked", is_flag=True, help="Refuse to build when a lock is missing or outdated.")
@build_options
@aws_options
@output_options
@with_console
def build(console: Console, paths: tuple[Path, ...], **options: Any) -> int:
    """Build every function below PATH (default: the current folder).

    A build makes a deterministic ZIP or container image, as the manifest's code_source_type says, checks it,
    uploads it to S3 or pushes it to ECR under its SHA-256, and writes the code source into the manifest. What
    was built before is not built again.
    """
    from planton_build.cli.prediction import predicted
    from planton_build.cli.registries import open_registries
    from planton_build.pipeline import build_all

    projects = projects_below(paths, options)
    show_warnings(console, [project.manifest for project in projects])
    publishing = not options["no_publish"]
    reading_only = options["check"] or options["dry_run"]
    if publishing:
        projects = _with_places(projects, local=options["local"])
    mode: LockMode = "check" if reading_only else "frozen" if options["locked"] else "build"
    accounts = functools.cache(lambda: _accounts(options))
    registries = open_registries(accounts, local=options["local"])
    try:
        workshop = open_workshop(console, options["jobs"], mode, registries)
        results = build_all(projects, workshop)
    except (LockOutdated, SeveralErrors) as error:
        if not (options["check"] and only_outdated(error)):
            raise
        console.error(error)
        return EXIT_CHANGES
    console.stop_progress()
    if options["output"]:
        from planton_build.cli.output import copy_artifacts

        copy_artifacts(results, options["output"], registries, image_as=options["image_as"])
    sources: dict[str, CodeSource] = {}
    code = 0
    calling = publishing and not reading_only
    _check_with_layers(results, workshop, accounts() if calling and not options["local"] else None)
    if publishing:
        if calling:
            sources = _published(console, results, accounts(), registries, options["jobs"])
        else:
            sources = predicted(results)
        code = _write_back(console, results, sources, check=options["check"], dry_run=options["dry_run"])
    if not options["dry_run"] or console.as_json:  # a diff alone can be piped on
        _report(console, results, sources)
    return code


def _with_places(projects: Sequence[FunctionProject], *, local: bool) -> list[FunctionProject]:
    """Give every project a bucket or a repository, or say before any work that one is missing."""
    from dataclasses import replace

    from planton_build.cli.aws import LOCAL_BUCKET, LOCAL_REPOSITORY

    ready: list[FunctionProject] = []
    errors: list[PlantonError] = []
    for project in projects:
        options = project.options
        if options.repository if project.is_image else options.bucket:
            ready.append(project)
        elif local:
            place = {"repository": LOCAL_REPOSITORY} if project.is_image else {"bucket": LOCAL_BUCKET}
            # Both options are texts; mypy looks at every field of the class.
            ready.append(replace(project, options=replace(options, **place)))  # type: ignore[arg-type]
        else:
            errors.append(_no_repository(project) if project.is_image else _no_bucket(project))
    if errors:
        raise errors[0] if len(errors) == 1 else SeveralErrors(errors)
    return ready


def _no_bucket(project: FunctionProject) -> BucketUnknown:
    return BucketUnknown(
        f"{project.name} has no bucket to be published to",
        hint='pass --bucket NAME, set PLANTON_BUCKET, or bucket = "NAME" in planton.toml; '
        "--no-publish builds without publishing, and --local uses an AWS of this machine",
        file=project.manifest.path,
    )


def _no_repository(project: FunctionProject) -> RepositoryUnknown:
    return RepositoryUnknown(
        f"{project.name} has no repository to be pushed to",
        hint='pass --repository NAME, set PLANTON_REPOSITORY, or repository = "acme/{function}" in '
        "planton.toml; --no-publish builds without pushing, and --local uses a registry of this machine",
        file=project.manifest.path,
    )


def _accounts(options: dict[str, Any]) -> Accounts:
    from planton_build.cli.aws import Accounts

    return Accounts(local=options["local"], region=options["region"], profile=options["profile"])


def _check_with_layers(results: Sequence[Built], workshop: Workshop, accounts: Accounts | None) -> None:
    """Count attached layers in the limit: all of them with AWS at hand, else those measured before."""
    # Lambda attaches none to an image, and the limit of ZIPs is not that of images.
    attached = [built for built in results if built.project.manifest.model.spec.layer_arns]
    if not attached:
        return
    from planton_build.parallel import each
    from planton_build.publish.layers import check_with_layers

    def check(built: Built) -> None:
        aws = accounts.of(built.project.manifest) if accounts else None
        check_with_layers(built, aws, workshop.store, workshop.listener)

    each(attached, check, jobs=workshop.jobs)


def _published(
    console: Console,
    results: Sequence[Built],
    accounts: Accounts,
    registries: Registries,
    jobs: int | None,
) -> dict[str, CodeSource]:
    from planton_build.publish.artifacts import publish_all

    accounts.prepare([(built.project.manifest, built.project.options.bucket) for built in results])
    sources = publish_all(
        results,
        accounts.of,
        console.listen,
        registries=registries,
        jobs=jobs or 8,
    )
    console.stop_progress()
    return {report.artifact_key(built): source for built, source in zip(results, sources, strict=True)}


def _write_back(
    console: Console,
    results: Sequence[Built],
    sources: dict[str, CodeSource],
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


def _report(console: Console, results: Sequence[Built], sources: dict[str, CodeSource]) -> None:
    if console.as_json:
        console.json(report.builds_json(results, sources))
    else:
        report.show_builds(console, results)
    console.summary(report.markdown(results))


for _command in (lock, check, verify, cache, images, doctor, completion_command("planton-build")):
    main.add_command(_command)
