"""`planton-deploy`: plan and apply manifests, invoke functions, and run the embedded AWS."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from planton_build import __version__
from planton_build.cli.commands import (
    DefaultCommandGroup,
    aws_options,
    completion_command,
    output_options,
    paths_argument,
    show_warnings,
    state_folder,
    with_console,
)
from planton_build.cli.console import Console
from planton_build.errors import EXIT_CHANGES, PlantonError, SeveralErrors

if TYPE_CHECKING:
    from planton_build.cli.aws import Accounts
    from planton_build.deploy.functions import Deployment
    from planton_build.manifest.document import Manifest

_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
_SIGNS = {"create": "+", "update": "~", "replace": "-/+"}
_STYLES = {"create": "green", "update": "yellow", "replace": "red"}


class DeployGroup(DefaultCommandGroup):
    """`planton-deploy PATH` means `planton-deploy apply PATH`."""

    default = "apply"


@click.group(
    cls=DeployGroup,
    context_settings=_CONTEXT,
    epilog="Example: planton-deploy functions/ --region eu-west-1",
)
@click.version_option(__version__, prog_name="planton-deploy")
def main() -> None:
    """Deploy AwsLambda manifests: the manifest says what should be, AWS says what is.

    Without a command, `apply` is meant: `planton-deploy functions/` deploys everything below that folder.
    """


@main.command(
    "apply",
    short_help="Create or update functions (the default).",
    epilog="Example: planton-deploy functions/ --region eu-west-1",
)
@paths_argument
@click.option(
    "--replace",
    is_flag=True,
    help="Delete and create anew a function that changes between ZIP and image; `plan` says what is lost.",
)
@aws_options
@output_options
@with_console
def apply(console: Console, paths: tuple[Path, ...], replace: bool, **aws: Any) -> None:
    """Create or update every function below PATH (default: the current folder), and wait until it is ready.

    Configuration and code are compared with AWS first; where nothing differs, nothing is called.
    """
    from planton_build.cli.aws import Accounts
    from planton_build.deploy.functions import apply_all

    accounts = Accounts(**aws)
    deployments = _planned(console, paths, accounts)
    applied = apply_all(deployments, console.listen, replacing=replace, base_url_of=accounts.registry)
    console.stop_progress()
    if console.as_json:
        results = zip(deployments, applied, strict=True)
        console.json(
            {
                "functions": [
                    _json(one) | {"changed": done.changed, "calls": done.calls} for one, done in results
                ]
            }
        )
    changed = sum(1 for done in applied if done.changed)
    console.print(f"{changed} deployed, {len(applied) - changed} unchanged")
    console.summary(_markdown(deployments))


@main.command(
    "plan",
    short_help="Show what apply would do; exit 10 when something would change.",
    epilog="Example: planton-deploy plan functions/ --json",
)
@paths_argument
@aws_options
@output_options
@with_console
def plan(console: Console, paths: tuple[Path, ...], **aws: Any) -> int:
    """Compare every function below PATH with AWS and show the difference. Nothing is changed."""
    from planton_build.cli.aws import Accounts

    deployments = _planned(console, paths, Accounts(**aws))
    if console.as_json:
        console.json({"functions": [_json(deployment) for deployment in deployments]})
    console.summary(_markdown(deployments))
    waiting = sum(1 for deployment in deployments if not deployment.plan.empty)
    console.print(f"{waiting} to deploy, {len(deployments) - waiting} unchanged")
    return EXIT_CHANGES if waiting else 0


def _planned(console: Console, paths: Sequence[Path], accounts: Accounts) -> list[Deployment]:
    """Plan every function below some paths and show what would change."""
    from planton_build.deploy.functions import plan_all

    manifests = _manifests(paths, accounts)
    show_warnings(console, manifests)
    deployments = plan_all(manifests, accounts.of)
    for deployment in deployments:
        _show(console, deployment)
    return deployments


def _manifests(paths: Sequence[Path], accounts: Accounts) -> list[Manifest]:
    """Read every manifest, all errors at once; a local AWS is given what an account would have."""
    from planton_build.errors import NoFunctionFound
    from planton_build.manifest.load import read_manifests, require_deployable
    from planton_build.project.discovery import find_manifests

    manifests: list[Manifest] = []
    errors: list[PlantonError] = []
    for path in find_manifests(list(paths) or [Path()]):
        try:
            found = read_manifests(path)
            for manifest in found:
                require_deployable(manifest)
            manifests += found
        except PlantonError as error:
            errors.append(error)
    if errors:
        raise errors[0] if len(errors) == 1 else SeveralErrors(errors)
    if not manifests:
        raise NoFunctionFound("no AwsLambda manifest is in these files", hint="check `kind:` and the path")
    buckets = [(manifest, manifest.model.spec.s3) for manifest in manifests]
    accounts.prepare([(manifest, code.bucket if code else None) for manifest, code in buckets])
    accounts.require_code(manifests)
    return manifests


def _verb(deployment: Deployment) -> str:
    if deployment.plan.empty:
        return "unchanged"
    if deployment.plan.replaces:
        return "replace"
    return "create" if deployment.plan.observed is None else "update"


def _show(console: Console, deployment: Deployment) -> None:
    verb = _verb(deployment)
    sign = _SIGNS.get(verb, "=")
    style = _STYLES.get(verb, "dim")
    console.print(
        console.styled(f"{sign} {deployment.plan.desired.name} ({deployment.region}): {verb}", style)
    )
    for change in deployment.plan.changes:
        before = "" if change.before is None else f"{change.before} → "
        console.print(f"    {change.field}: {before}{'(none)' if change.after is None else change.after}")
    for note in deployment.plan.notes:
        console.print(f"    note: {note}")


def _json(deployment: Deployment) -> dict[str, object]:
    return {
        "function_name": deployment.plan.desired.name,
        "region": deployment.region,
        "action": _verb(deployment),
        "changes": [
            {"field": change.field, "before": change.before, "after": change.after, "secret": change.secret}
            for change in deployment.plan.changes
        ],
        "notes": list(deployment.plan.notes),
    }


def _markdown(deployments: Sequence[Deployment]) -> str:
    lines = [
        "### planton-deploy",
        "",
        "| function | region | action | changes |",
        "| --- | --- | --- | --- |",
    ]
    lines += [
        f"| {one.plan.desired.name} | {one.region} | {_verb(one)} | "
        f"{', '.join(change.field for change in one.plan.changes)} |"
        for one in deployments
    ]
    return "\n".join(lines) + "\n\n"


@main.command(
    "invoke",
    short_help="Run a deployed function once.",
    epilog="""Example: planton-deploy invoke price-tag --local --payload '{"price": "12.5"}'""",
)
@click.argument("name")
@click.option("--payload", default="{}", show_default=True, help="The event, as JSON; @FILE reads a file.")
@click.option(
    "--manifest",
    "paths",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Where to look for NAME's manifest.",
)
@click.option("--any-python", is_flag=True, help="With --local: run pure Python with another Python version.")
@aws_options
@output_options
@with_console
def invoke(
    console: Console,
    name: str,
    payload: str,
    paths: tuple[Path, ...],
    any_python: bool,
    local: bool,
    region: str | None,
    profile: str | None,
) -> int:
    """Run the deployed function NAME once, and print its answer (stdout) and its log (stderr).

    With --local, what the embedded AWS holds runs on this machine: a ZIP through the Runtime API, an image in
    the container engine.
    """
    from planton_build.cli.invocation import event_of, run_deployed, run_local

    event = event_of(payload)
    if local:
        error = run_local(console, name, event, paths, any_python=any_python)
    else:
        error = run_deployed(console, name, event, region, profile)
    if error is None:
        return 0
    if not console.as_json:
        console.error(error)
    return error.exit_code


@main.group(
    "local", short_help="The embedded AWS of this machine.", epilog="Example: planton-deploy local status"
)
def local_group() -> None:
    """Start, stop and look at the embedded AWS that --local uses."""


@local_group.command("start", epilog="Example: planton-deploy local start")
@output_options
@with_console
def local_start(console: Console) -> None:
    """Start the embedded AWS unless it runs, and print its endpoint."""
    from planton_build.local.server import ensure_server

    running = ensure_server(state_folder())
    if console.as_json:
        console.json({"endpoint": running.endpoint, "pid": running.pid})
    else:
        console.result(running.endpoint)


@local_group.command("status", epilog="Example: planton-deploy local status")
@output_options
@with_console
def local_status(console: Console) -> None:
    """Say whether the embedded AWS runs, and where."""
    from planton_build.local.server import status

    running = status(state_folder())
    if console.as_json:
        console.json(
            {"endpoint": running.endpoint if running else None, "pid": running.pid if running else None}
        )
    else:
        console.result(f"running at {running.endpoint} (process {running.pid})" if running else "not running")


@local_group.command("stop", epilog="Example: planton-deploy local stop")
@output_options
@with_console
def local_stop(console: Console) -> None:
    """Stop the embedded AWS. What it held is gone, and nothing is left behind."""
    from planton_build.local.server import stop_server

    stopped = stop_server(state_folder())
    if console.as_json:
        console.json({"stopped": stopped})
    else:
        console.print("stopped" if stopped else "was not running")


main.add_command(completion_command("planton-deploy"))
