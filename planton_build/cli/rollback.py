"""`planton-deploy rollback`: let an alias serve an earlier version again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from planton_build.cli.commands import aws_options, output_options, with_console
from planton_build.cli.console import Console, printable
from planton_build.cli.targets import Chosen, functions_argument

if TYPE_CHECKING:
    from planton_build.deploy.life.target import Target
    from planton_build.deploy.rollback import RolledBack


@click.command(
    "rollback",
    short_help="Let an alias serve an earlier version again.",
    epilog="Example: planton-deploy rollback price-tag --to 7a56fba",
)
@functions_argument
@click.option("--to", help="A version's number, or the start of its code digest or of its commit.")
@click.option("--alias", help="The alias to move. [default: that of the [deploy] table]")
@click.option("--no-smoke-test", is_flag=True, help="Do not invoke the earlier version first.")
@aws_options
@output_options
@with_console
def rollback(
    console: Console,
    functions: tuple[str, ...],
    to: str | None,
    alias: str | None,
    no_smoke_test: bool,
    **aws: Any,
) -> None:
    """Move the alias of every function below PATH, or named NAME, to the version before, or to that of --to.

    A version is whole: code, configuration and layers are as they were. It passes its smoke test first, where
    one is configured. `$LATEST` stays, so the next `planton-deploy` goes forward again.
    """
    from planton_build.deploy.functions import APPLY_JOBS
    from planton_build.deploy.rollback import rollback as roll_back
    from planton_build.parallel import each
    from planton_build.settings.model import NO_SETTINGS
    from planton_build.settings.read import settings_for

    targets = Chosen(**aws).find(functions).targets

    def one(target: Target) -> RolledBack:
        settings = settings_for(target.manifest) if target.manifest else NO_SETTINGS
        event = None if no_smoke_test else settings.rollout.smoke_event
        return roll_back(
            target.name,
            alias or settings.alias,
            target.aws,
            target.region,
            to=to,
            smoke_event=event,
            listener=console.listen,
        )

    done = each(targets, one, jobs=APPLY_JOBS)
    console.stop_progress()
    if console.as_json:
        console.json({"functions": [_json(moved) for moved in done]})
    for moved in done:
        what = f"{moved.alias} serves {printable(moved.after.shown)}"
        was = f", not {moved.before} any more" if moved.changed and moved.before != moved.after.number else ""
        console.print(f"{moved.function}: {what}{was if moved.changed else ', as before'}")


def _json(moved: RolledBack) -> dict[str, object]:
    return {
        "function_name": moved.function,
        "alias": moved.alias,
        "before": moved.before,
        "version": moved.after.number,
        "code_sha256": moved.after.code_sha256,
        "changed": moved.changed,
        "calls": moved.calls,
    }
