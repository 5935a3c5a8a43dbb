"""`planton-deploy prune`: delete old versions that nothing names."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from planton_build.cli.commands import aws_options, output_options, with_console
from planton_build.cli.console import Console, printable
from planton_build.cli.figures import Duration, count, moment, short, size
from planton_build.cli.targets import Chosen, functions_argument, of_deployed

if TYPE_CHECKING:
    from planton_build.deploy.life.prune import Pruned, Pruning
    from planton_build.deploy.life.target import Target
    from planton_build.deploy.life.versions import PublishedVersion

_JOBS = 4
"""Functions pruned at once. Lambda allows 15 control-plane calls a second in a region."""


@click.command(
    "prune",
    short_help="Delete old versions, never one that anything names.",
    epilog="Example: planton-deploy prune functions/ --keep 10 --dry-run",
)
@functions_argument
@click.option(
    "--keep", type=click.IntRange(min=1), default=5, show_default=True, help="Newest versions that stay."
)
@click.option(
    "--older-than",
    type=Duration(),
    default="7d",
    show_default=True,
    help="Younger versions stay: 12h, 7d, 4w.",
)
@click.option("--dry-run", is_flag=True, help="Show what would be deleted, and delete nothing.")
@aws_options
@output_options
@with_console
def prune(
    console: Console,
    functions: tuple[str, ...],
    keep: int,
    older_than: timedelta,
    dry_run: bool,
    **aws: Any,
) -> None:
    """Delete old published versions of every function below PATH, or named NAME.

    What an alias names, by weight too, stays; so does what has provisioned concurrency, what a policy or an
    event source names by its number, the newest, and the young. This is looked up again right before each
    deletion.
    """
    from planton_build.deploy.life.prune import Policy, plan_pruning
    from planton_build.deploy.life.prune import prune as delete
    from planton_build.deploy.life.target import READ_JOBS
    from planton_build.parallel import each

    targets = Chosen(**aws).find(functions).targets
    now, policy = datetime.now(UTC), Policy(keep, older_than)
    found = of_deployed(targets, lambda target: plan_pruning(target, policy, now), jobs=READ_JOBS)
    plans = [plan for plan in found if plan is not None]
    for plan in plans:
        _show(console, plan, dry_run=dry_run)
    storage = _storage(targets) if any(plan.doomed for plan in plans) else {}
    done = [] if dry_run else each(plans, lambda plan: delete(plan, console.listen), jobs=_JOBS)
    console.stop_progress()
    after = _storage(targets) if storage and not dry_run else {}
    if console.as_json:
        console.json(
            {"functions": [_json(plan, done[i] if done else None) for i, plan in enumerate(plans)]}
            | {"code_storage": {"before": storage or None, "after": after or None}}
        )
        return
    _summary(console, plans, done, dry_run=dry_run)
    for region, before in storage.items():
        now_held = f" → {size(after[region])}" if region in after else ""
        console.print(f"code storage in {region}: {size(before)}{now_held}")


def _show(console: Console, plan: Pruning, *, dry_run: bool) -> None:
    if not plan.doomed:
        return
    verb = "would delete" if dry_run else "deleting"
    console.print(f"{plan.target.name} ({plan.target.region}): {verb} {count(len(plan.doomed), 'version')}")
    for version in plan.doomed:
        console.print(
            printable(
                f"    {version.number}  {short(version.code_sha256)}  {moment(version.last_modified)}  "
                f"{size(version.size)}  {version.origin}"
            ).rstrip()
        )


def _summary(console: Console, plans: list[Pruning], done: list[Pruned], *, dry_run: bool) -> None:
    for one in done:
        for kept in one.spared:
            console.print(f"{one.target.name}: version {kept.version.number} stays: {kept.why}")
    gone = [version for one in (plans if dry_run else ()) for version in one.doomed]
    gone += [version for one in done for version in one.deleted]
    kept_count = sum(len(plan.kept) for plan in plans) + sum(len(one.spared) for one in done)
    verb = "would be deleted" if dry_run else "deleted"
    console.print(f"{count(len(gone), 'version')} {verb} ({size(_total(gone))}), {kept_count} kept")


def _total(versions: list[PublishedVersion]) -> int:
    return sum(version.size for version in versions)


def _storage(targets: list[Target]) -> dict[str, int]:
    """Return how much code each account keeps in each region, where AWS tells it."""
    from planton_build.deploy.life.prune import code_storage

    places = {(id(target.aws), target.region): target for target in targets}
    found = {target.region: code_storage(target) for target in places.values()}
    return {region: held for region, held in found.items() if held is not None}


def _json(plan: Pruning, done: Pruned | None) -> dict[str, object]:
    deleted = done.deleted if done else plan.doomed
    return {
        "function_name": plan.target.name,
        "region": plan.target.region,
        "deleted" if done else "would_delete": [
            {
                "version": version.number,
                "code_sha256": version.code_sha256,
                "last_modified": version.last_modified,
                "size": version.size,
            }
            for version in deleted
        ],
        "kept": [
            {"version": kept.version.number, "why": kept.why}
            for kept in (*plan.kept, *(done.spared if done else ()))
        ],
    }
