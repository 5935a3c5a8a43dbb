"""What both commands share: the default subcommand, common options, and the turn of errors into exits."""

from __future__ import annotations

import errno
import functools
import io
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from planton_build.cli.console import Console
from planton_build.errors import CacheBroken, PlantonError
from planton_build.events import Note
from planton_build.interrupts import undo_all

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from planton_build.manifest.document import Manifest

INTERRUPTED = 130
"""Exit code after Ctrl-C: 128 + SIGINT, as shells report it (POSIX)."""
TERMINATED = 143
"""Exit code after SIGTERM, which CI systems send to end a job: 128 + SIGTERM."""
GRACE_SECONDS = 1.0
"""How long threads have after Ctrl-C to end by themselves, and to remove their temporary files."""


class Terminated(KeyboardInterrupt):
    """The process was asked to end, by SIGTERM instead of Ctrl-C; what follows is the same."""


Command = TypeVar("Command", bound=Callable[..., Any])


class DefaultCommandGroup(click.Group):
    """A group whose first argument may be left out: `planton-build PATH` means `planton-build build PATH`."""

    default = "build"

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Insert the default command unless a known one, `--help` or `--version` comes first."""
        if not args and ctx.resilient_parsing:
            return super().parse_args(ctx, args)  # a shell asks what may come first: see shell_complete
        if not args or (args[0] not in self.commands and args[0] not in ("--help", "-h", "--version")):
            args = [self.default, *args]
        return super().parse_args(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Offer the commands, and what may follow the default one."""
        default = self.commands[self.default]
        inner = default.make_context(self.default, [], parent=ctx, resilient_parsing=True)
        found = super().shell_complete(ctx, incomplete) + default.shell_complete(inner, incomplete)
        if not incomplete.startswith("-"):
            for parameter in default.params:
                if isinstance(parameter, click.Argument):
                    found += parameter.shell_complete(inner, incomplete)
        return list({item.value: item for item in found}.values())

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Show that the command may be left out."""
        formatter.write_usage(ctx.command_path, f"[{self.default}] [OPTIONS] [PATH]... | COMMAND [ARGS]...")


def output_options(command: Command) -> Command:
    """Add `--json` and `--quiet`."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout."),
        click.option("--quiet", "-q", is_flag=True, help="Print nothing but errors and what was asked for."),
    ):
        command = option(command)
    return command


def paths_argument(command: Command) -> Command:
    """Add `[PATH]...`: manifests or folders, the current folder by default."""
    argument = click.argument(
        "paths",
        nargs=-1,
        # Whether it can be read is told by whoever reads it, with its own error.
        type=click.Path(path_type=Path, readable=False),
        metavar="[PATH]...",
        required=False,
    )
    return argument(command)


def aws_options(command: Command) -> Command:
    """Add `--local`, `--region` and `--profile`."""
    for option in (
        click.option("--profile", help="AWS profile; otherwise the SDK's own chain decides."),
        click.option("--region", help="AWS region of functions whose manifest names none."),
        click.option("--local", is_flag=True, help="Use the embedded AWS of this machine; no account."),
    ):
        command = option(command)
    return command


def show_warnings(console: Console, manifests: Sequence[Manifest]) -> None:
    """Tell what is allowed today and likely a mistake, and which runtimes Lambda is about to end."""
    from datetime import UTC, datetime

    from planton_build.runtimes.catalog import lifecycle_note

    for manifest in manifests:
        for warning in manifest.warnings:
            console.listen(Note(manifest.model.spec.function_name, warning.message, "warning"))
    today = datetime.now(UTC).date()
    for runtime in sorted({manifest.model.spec.runtime for manifest in manifests} - {""}):
        if note := lifecycle_note(runtime, today):
            console.listen(Note("", note, "warning"))


def cache_folder() -> Path:
    """Return where the store is: PLANTON_CACHE_DIR, or the platform's cache folder."""
    if configured := os.environ.get("PLANTON_CACHE_DIR"):
        return Path(configured).absolute()
    import platformdirs

    return platformdirs.user_cache_path("planton")


def state_folder() -> Path:
    """Return where the local AWS keeps its state: PLANTON_STATE_DIR, or the platform's state folder."""
    if configured := os.environ.get("PLANTON_STATE_DIR"):
        return Path(configured).absolute()
    import platformdirs

    return platformdirs.user_state_path("planton")


def with_console(command: Callable[..., int | None]) -> Callable[..., None]:
    """Give a command its Console, and turn what it raises or returns into the process's exit code."""

    @functools.wraps(command)
    def run(*args: Any, as_json: bool = False, quiet: bool = False, **options: Any) -> None:
        if isinstance(sys.stdout, io.TextIOWrapper):
            # A name that the terminal's encoding lacks is shown escaped, as Python itself does it on stderr.
            sys.stdout.reconfigure(errors="backslashreplace")
        console = Console(as_json=as_json, quiet=quiet)
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) is not signal.SIG_IGN:  # a shell's background jobs ignore Ctrl-C
                signal.signal(number, _interrupt)
        try:
            code = command(console, *args, **options) or 0
        except PlantonError as error:
            console.error(error)
            code = _exit_code(error)
        except Terminated:
            code = TERMINATED
        except KeyboardInterrupt:
            code = INTERRUPTED
        except OSError as error:
            explained = _explained(error)
            console.error(explained)
            code = explained.exit_code
        finally:
            console.stop_progress()
        if code in (INTERRUPTED, TERMINATED):
            _leave(code)
        sys.exit(code)

    return run


def _interrupt(number: int, _: object) -> None:
    """Begin to end. Who presses Ctrl-C again must not stop what is being undone meanwhile."""
    for one in (signal.SIGINT, signal.SIGTERM):
        signal.signal(one, _go_on)
    raise Terminated if number == signal.SIGTERM else KeyboardInterrupt


def _go_on(*_: object) -> None:
    """Take a signal and do nothing. Unlike SIG_IGN, processes that are started later do not inherit that."""


def _leave(code: int) -> None:
    """Undo what is under way, and end the process though threads still work after `GRACE_SECONDS`.

    Python itself would wait for them, which may be as long as a download. What they write is whole or absent.
    """
    undo_all()
    deadline = time.monotonic() + GRACE_SECONDS
    others = [
        one for one in threading.enumerate() if one is not threading.current_thread() and not one.daemon
    ]
    for thread in others:
        thread.join(max(0.0, deadline - time.monotonic()))
    if any(thread.is_alive() for thread in others):
        undo_all()  # what a thread had just begun when the others were undone
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _explained(error: OSError) -> PlantonError:
    """Return what to say of a failure that the system is to blame for; anything else goes on as it is."""
    name = error.filename or "a file"
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
        return CacheBroken(
            f"cannot write {name}: {error.strerror}",
            hint="free some space, or set PLANTON_CACHE_DIR and TMPDIR to a disk that has some",
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EIO):
        return PlantonError(
            f"{name}: {error.strerror}", hint="make it accessible, then run the command again"
        )
    raise error


def _exit_code(error: PlantonError) -> int:
    first = getattr(error, "errors", None)
    return first[0].exit_code if first else error.exit_code


def completion_command(program: str) -> click.Command:
    """Make the `completion` command of a program."""

    @click.command(
        "completion",
        short_help="Print the shell completion script.",
        epilog=f'Example: eval "$({program} completion bash)"',
    )
    @click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
    @click.pass_context
    def completion(ctx: click.Context, shell: str) -> None:
        """Print the completion script of a shell; evaluate it in your shell's start-up file."""
        from click.shell_completion import get_completion_class

        found = get_completion_class(shell)
        assert found is not None  # noqa: S101  # the choice above lists click's own shells
        root = ctx.find_root().command
        variable = f"_{program.replace('-', '_').upper()}_COMPLETE"
        click.echo(found(root, {}, program, variable).source())

    return completion
