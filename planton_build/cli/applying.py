"""`planton-deploy plan` and `apply`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from planton_build import __version__
from planton_build.cli.commands import (
    aws_options,
    cache_folder,
    output_options,
    paths_argument,
    with_console,
)
from planton_build.cli.console import Console
from planton_build.cli.plan_markdown import plan_markdown
from planton_build.cli.plan_view import plan_json, show_plan
from planton_build.errors import EXIT_CHANGES, ConfigInvalid

if TYPE_CHECKING:
    from planton_build.cli.aws import Accounts
    from planton_build.cli.plan_view import CodeOf
    from planton_build.deploy.functions import Deployment
    from planton_build.events import Note


def rate_option(command: Any) -> Any:
    """Add `--rate`."""
    option = click.option(
        "--rate",
        type=click.IntRange(1, 100),
        help="Calls a second to Lambda's control plane, at most. [default: 12; Lambda allows 15]",
    )
    return option(command)


@click.command(
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
@click.option(
    "--no-traffic",
    is_flag=True,
    help="Publish and try out new versions, and leave the aliases where they are.",
)
@click.option(
    "--plan",
    "plan_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Apply this saved plan, if AWS and the manifests are still as they were.",
)
@rate_option
@aws_options
@output_options
@with_console
def apply(
    console: Console,
    paths: tuple[Path, ...],
    replace: bool,
    no_traffic: bool,
    plan_file: Path | None,
    **aws: Any,
) -> None:
    """Create or update every function below PATH (default: the current folder), and wait until it is ready.

    Everything is compared with AWS first; where nothing differs, nothing is called. With an alias, a new
    version is published and tried out before the alias moves to it. What fails is undone.
    """
    from planton_build.cli.aws import Accounts
    from planton_build.cli.planning import planned
    from planton_build.deploy.functions import apply_all

    accounts = Accounts(**aws)
    if plan_file is None:
        deployments = planned(console, paths, accounts)
    else:
        deployments = _from_file(console, plan_file, paths, accounts)
    code_of = remembered_code()
    show_plan(console, deployments, code_of=code_of)
    applied = apply_all(
        deployments,
        console.listen,
        replacing=replace,
        moving=not no_traffic,
        base_url_of=accounts.registry,
    )
    console.stop_progress()
    if console.as_json:
        results = zip(deployments, applied, strict=True)
        console.json(
            {
                "functions": [
                    plan_json(one, code_of(one))
                    | {
                        "changed": done.changed,
                        "calls": done.calls,
                        "version": done.version,
                        "moved": done.moved,
                    }
                    for one, done in results
                ]
            }
        )
    for one, done in zip(deployments, applied, strict=True):
        if done.version is not None:
            goes = f"{one.plan.desired.settings.alias} serves it" if done.moved else "no traffic goes to it"
            console.print(f"{done.function}: version {done.version}; {goes}")
    changed = sum(1 for done in applied if done.changed)
    console.print(f"{changed} deployed, {len(applied) - changed} unchanged")
    console.summary(plan_markdown(deployments, code_of=code_of))


def _from_file(console: Console, file: Path, paths: tuple[Path, ...], accounts: Accounts) -> list[Deployment]:
    """Plan anew what a saved plan is for, and see that it is the same."""
    from planton_build.cli.planning import planned
    from planton_build.deploy.saved import check_plan, load_plan

    if paths:
        raise ConfigInvalid("a saved plan names its manifests itself", hint="leave out PATH, or --plan")
    saved = load_plan(file)
    manifests = list(dict.fromkeys(Path(one.manifest) for one in saved.functions))
    deployments = planned(console, manifests, accounts)
    check_plan(saved, deployments, file=file)
    return deployments


@click.command(
    "plan",
    short_help="Show what apply would do; exit 10 when something would change.",
    epilog="Example: planton-deploy plan functions/ --json",
)
@paths_argument
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Save the plan in this file, for `apply --plan`.",
)
@click.option("--markdown", is_flag=True, help="Print the plan as Markdown, for a pull request.")
@rate_option
@aws_options
@output_options
@with_console
def plan(console: Console, paths: tuple[Path, ...], out: Path | None, markdown: bool, **aws: Any) -> int:
    """Compare every function below PATH with AWS and show the difference. Nothing is changed."""
    from planton_build.cli.aws import Accounts
    from planton_build.cli.planning import planned

    accounts = Accounts(**aws)
    deployments = planned(console, paths, accounts)
    code_of = remembered_code()
    if out is not None:
        from planton_build.deploy.saved import save_plan

        save_plan(deployments, out, tool=__version__)
    roles = [] if accounts.local else _role_notes(deployments)
    if console.as_json:
        console.json(
            {
                "functions": [plan_json(one, code_of(one)) for one in deployments],
                "roles": [
                    {"function_name": note.function or None, "message": note.message, "level": note.level}
                    for note in roles
                ],
            }
        )
    elif markdown:
        console.result(plan_markdown(deployments, code_of=code_of))
    else:
        show_plan(console, deployments, code_of=code_of)
        waiting = sum(1 for deployment in deployments if not deployment.plan.empty)
        console.print(f"{waiting} to deploy, {len(deployments) - waiting} unchanged")
    for note in roles:
        console.listen(note)
    console.summary(plan_markdown(deployments, code_of=code_of))
    return EXIT_CHANGES if any(not one.plan.empty for one in deployments) else 0


def _role_notes(deployments: list[Deployment]) -> list[Note]:
    """Say what there is to say about the roles of functions that would change, or share one."""
    from planton_build.deploy.role.notes import role_notes

    return role_notes([(one.plan.desired, one.aws) for one in deployments])


def remembered_code() -> CodeOf:
    """Return what tells how a function's code changes, from what this machine remembers of its builds."""
    from planton_build.build_records import contents_of
    from planton_build.cache import Store
    from planton_build.deploy.code_change import CodeDifference, code_difference

    store = Store(cache_folder())

    def code_of(deployment: Deployment) -> CodeDifference | None:
        desired, observed = deployment.plan.desired, deployment.plan.observed
        digests = (observed.code_sha256 if observed else None, desired.code_sha256)
        if None in digests or digests[0] == digests[1]:
            return None
        before, after = (contents_of(store, digest) for digest in digests if digest)
        return code_difference(before, after)

    return code_of
