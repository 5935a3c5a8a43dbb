"""The `cache` commands: where the store is, and making it smaller."""

from __future__ import annotations

import click

from planton_build.cli.commands import cache_folder, output_options, with_console
from planton_build.cli.console import Console


@click.group(
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
