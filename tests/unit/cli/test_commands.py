from __future__ import annotations

import errno
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from planton_build.cli.build import main as build
from planton_build.cli.commands import DefaultCommandGroup, cache_folder, state_folder, with_console
from planton_build.cli.console import Console
from planton_build.cli.deploy import main as deploy
from planton_build.errors import ConfigInvalid, ResolutionFailed, SeveralErrors


def ended(error: BaseException | int | None) -> int:
    """Run a command that raises or returns this, and give the exit code."""

    @with_console
    def command(console: Console) -> int | None:
        if isinstance(error, BaseException):
            raise error
        return error

    with pytest.raises(SystemExit) as caught:
        command()
    assert isinstance(caught.value.code, int)
    return caught.value.code


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (None, 0),
        (10, 10),
        (ConfigInvalid("wrong"), 25),
        (SeveralErrors([ResolutionFailed("a"), ConfigInvalid("b")]), 31),
        (KeyboardInterrupt(), 130),
        (OSError(errno.ENOSPC, "No space left on device", "/cache/x"), 45),
        (OSError(errno.EROFS, "Read-only file system", "/cache/x"), 45),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), 1),
    ],
)
def test_how_a_command_ends(error: BaseException | int | None, code: int) -> None:
    assert ended(error) == code


@pytest.mark.parametrize(
    "error", [KeyError("bug"), FileNotFoundError(errno.ENOENT, "gone"), BrokenPipeError()]
)
def test_a_bug_keeps_its_traceback(error: Exception) -> None:
    with pytest.raises(type(error)):
        ended(error)


def test_a_full_disk_names_the_file(capsys: pytest.CaptureFixture[str]) -> None:
    ended(OSError(errno.ENOSPC, "No space left on device", "/cache/x"))
    told = capsys.readouterr()
    assert "error[cache_broken]: cannot write /cache/x: No space left on device" in told.err
    assert told.out == ""


@pytest.mark.parametrize(("variable", "folder"), [("CACHE", cache_folder), ("STATE", state_folder)])
def test_where_the_folders_are(
    variable: str, folder: object, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert callable(folder)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(f"PLANTON_{variable}_DIR", "mine")
    assert folder() == tmp_path / "mine"
    monkeypatch.setenv(f"PLANTON_{variable}_DIR", "")
    assert folder().name == "planton"


# The default command


@click.group(cls=DefaultCommandGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option("1.0")
def group() -> None:
    """Say which command was meant."""


@group.command("build")
@click.argument("paths", nargs=-1)
@click.option("--fast", is_flag=True)
def build_command(paths: tuple[str, ...], fast: bool) -> None:
    """Build."""
    click.echo(f"build {list(paths)} {fast}")


@group.command("lock")
def lock_command() -> None:
    """Lock."""
    click.echo("lock")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "build [] False"),
        (["a", "b"], "build ['a', 'b'] False"),
        (["--fast"], "build [] True"),
        (["--fast", "lock"], "build ['lock'] True"),
        (["./lock"], "build ['./lock'] False"),
        (["build", "build"], "build ['build'] False"),
        (["--", "-x"], "build ['-x'] False"),
        (["lock"], "lock"),
    ],
)
def test_the_command_may_be_left_out(arguments: list[str], said: str) -> None:
    outcome = CliRunner().invoke(group, arguments)
    assert outcome.output == f"{said}\n"


@pytest.mark.parametrize("option", ["--help", "-h", "--version"])
def test_options_of_the_group_stay_its_own(option: str) -> None:
    outcome = CliRunner().invoke(group, [option])
    assert outcome.exit_code == 0
    assert "COMMAND [ARGS]..." in outcome.output or "1.0" in outcome.output


@pytest.mark.parametrize("main", [build, deploy])
def test_every_command_has_help_and_every_option_says_what_it_does(main: click.Group) -> None:
    def check(command: click.Command) -> None:
        assert command.help
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, (command.name, parameter.name)
        if isinstance(command, click.Group):
            for inner in command.commands.values():
                check(inner)

    check(main)
