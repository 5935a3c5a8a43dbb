"""What the commands say, and where: pipes, terminals, CI, help and completion."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

ESCAPE = "\x1b["
BUILD_COMMANDS = [(), ("build",), ("lock",), ("check",), ("cache",), ("cache", "path"), ("cache", "prune")]
DEPLOY_COMMANDS = [
    *((), ("apply",), ("plan",), ("rollback",), ("status",), ("versions",), ("drift",), ("invoke",)),
    *(("logs",), ("role",), ("adopt",), ("prune",), ("destroy",), ("local",)),
    *(("local", "start"), ("local", "status"), ("local", "stop")),
]


def test_a_pipe_gets_the_result_alone_without_colour(bench: Any) -> None:
    bench.wheel("alpha")
    bench.function("orders", "alpha")
    first = bench.build("--no-publish")  # resolves, fetches and builds
    second = bench.build("--no-publish")
    for outcome in (first, second):
        assert outcome.err == ""
        assert "\x1b" not in outcome.out


def test_quiet_says_nothing_but_errors(bench: Any) -> None:
    bench.function("orders")
    outcome = bench.build("--no-publish", "--quiet")
    assert (outcome.out, outcome.err) == ("", "")
    outcome = bench.build("--quiet", expect=51)
    assert outcome.out == ""
    assert "error[bucket_unknown]" in outcome.err


@pytest.mark.parametrize(
    ("variables", "coloured"),
    [
        ({}, False),
        ({"FORCE_COLOR": "1"}, True),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
        ({"NO_COLOR": "", "FORCE_COLOR": "1"}, True),
    ],
)
def test_no_color_and_force_color_decide(bench: Any, variables: dict[str, str], coloured: bool) -> None:
    bench.function("orders", handler="ap.handler")
    outcome = bench.build("--no-publish", env=variables, expect=44)
    assert (ESCAPE in outcome.err) == coloured


def on_a_terminal(bench: Any, *arguments: str, **variables: str) -> str:
    """Run planton-build on a pseudo terminal and return what a person would see there."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [*bench.command("planton-build"), *arguments],
        cwd=bench.folder,
        env={**bench.environment, "TERM": "xterm-256color", **variables},
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
    )
    os.close(slave)
    seen = b""
    with contextlib.suppress(OSError):  # Linux answers EIO when the last writer is gone
        while piece := os.read(master, 65536):
            seen += piece
    os.close(master)
    assert process.wait(timeout=60) == 0, seen
    return seen.decode()


def test_a_terminal_shows_progress_and_is_left_as_it_was(bench: Any) -> None:
    bench.wheel("alpha")
    bench.function("orders", "alpha")
    seen = on_a_terminal(bench, "--no-publish")
    assert "\x1b[?25l" in seen  # the cursor is hidden while bars are drawn
    assert seen.rindex("\x1b[?25h") > seen.rindex("\x1b[?25l")
    assert ESCAPE in seen.splitlines()[-2]  # a coloured table at the end
    assert seen.splitlines()[-1].startswith("orders ")


@pytest.mark.parametrize("variables", [{"TERM": "dumb"}, {"CI": "true"}])
def test_no_bars_where_nobody_watches_them(bench: Any, variables: dict[str, str]) -> None:
    bench.wheel("alpha")
    bench.function("orders", "alpha")
    assert "\x1b[?25l" not in on_a_terminal(bench, "--no-publish", **variables)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_an_old_encoding_of_the_terminal_is_no_reason_to_fail(bench: Any, encoding: str) -> None:
    bench.function("orders", app="# é\ndef handler(event, context): ...\n")
    (bench.folder / "orders" / "données→.txt").write_text("x")
    variables = {"PYTHONIOENCODING": encoding}
    process = bench.start("planton-build", "check", env=variables)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert b"orders" in out
    process = bench.start("planton-build", "check", "--json", env=variables)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "données→.txt" in str(json.loads(out.decode(encoding)))


def test_a_reader_that_goes_away_gives_no_traceback(bench: Any) -> None:
    bench.function("orders")
    bench.build("--no-publish")
    process = bench.start("planton-build", "--no-publish", "--json")
    process.stdout.close()
    assert b"Traceback" not in process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=60) != 0


def test_github_gets_annotations_on_the_line(bench: Any, tmp_path: Path) -> None:
    bench.function("orders", handler="ap.handler")
    summary = tmp_path / "summary.md"
    variables = {
        "GITHUB_ACTIONS": "true",
        "GITHUB_WORKSPACE": str(bench.folder),
        "GITHUB_STEP_SUMMARY": str(summary),
    }
    outcome = bench.build("--no-publish", env=variables, expect=44)
    (line,) = [line for line in outcome.err.splitlines() if line.startswith("::")]
    assert line.startswith(
        "::error file=orders/lambda.yaml,line=10,col=12,title=handler_missing::handler 'ap."
    )
    inside = bench.build("--no-publish", env=variables, cwd=bench.folder / "orders", expect=44)
    assert "::error file=orders/lambda.yaml,line=10" in inside.err


def test_github_gets_a_summary_of_each_run(bench: Any, tmp_path: Path) -> None:
    bench.function("orders")
    summary = tmp_path / "summary.md"
    variables = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(summary)}
    for _ in range(2):
        bench.build("--no-publish", env=variables)
    text = summary.read_text()
    assert text.count("### planton-build\n") == 2
    assert text.count("| orders | python3.13-arm64 |") == 2
    assert bench.build("--no-publish", env={"GITHUB_STEP_SUMMARY": str(summary)}).code == 0
    assert summary.read_text() == text


def test_a_summary_that_cannot_be_written_is_a_warning(bench: Any, tmp_path: Path) -> None:
    bench.function("orders")
    variables = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(tmp_path)}
    outcome = bench.build("--no-publish", env=variables)
    assert "warning: the job summary cannot be written" in outcome.err


@pytest.mark.parametrize(
    ("program", "command"),
    [("planton-build", one) for one in BUILD_COMMANDS] + [("planton-deploy", one) for one in DEPLOY_COMMANDS],
    ids=lambda value: value if isinstance(value, str) else "-".join(value) or "group",
)
def test_help_of_every_command_shows_an_example(bench: Any, program: str, command: tuple[str, ...]) -> None:
    outcome = bench.run(program, *command, "--help")
    assert re.search(rf"Example: .*{program} ", outcome.out), outcome.out


@pytest.mark.parametrize("program", ["planton-build", "planton-deploy"])
def test_the_version_is_told_and_every_command_is_listed(bench: Any, program: str) -> None:
    from planton_build import __version__

    assert bench.run(program, "--version").out == f"{program}, version {__version__}\n"
    commands = BUILD_COMMANDS if program == "planton-build" else DEPLOY_COMMANDS
    listed = bench.run(program, "--help").out
    for command in commands:
        assert not command or re.search(rf"^  {command[0]} ", listed, re.MULTILINE)


@pytest.mark.parametrize("program", ["planton-build", "planton-deploy"])
@pytest.mark.parametrize(
    "arguments", [("--no-such-option",), ("build", "--jobs", "0"), ("completion", "tcsh")]
)
def test_a_wrong_use_exits_2_and_names_help(bench: Any, program: str, arguments: tuple[str, ...]) -> None:
    if program == "planton-deploy" and arguments[0] == "build":
        arguments = ("invoke",)
    outcome = bench.run(program, *arguments, expect=2)
    assert "Try '" in outcome.err


@pytest.mark.parametrize("program", ["planton-build", "planton-deploy"])
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_shell_takes_the_completion_script(bench: Any, program: str, shell: str) -> None:
    script = bench.run(program, "completion", shell).out
    assert f"_{program.replace('-', '_').upper()}_COMPLETE={shell}_complete" in script
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed; its script was made and looked at")
    options = {"bash": ["--norc"], "zsh": ["-f"], "fish": ["--no-config"]}[shell]
    check = {
        "bash": f"complete -p {program}",
        "zsh": 'compdef() { echo "compdef $*"; }',
        "fish": f"complete -C '{program} '",
    }[shell]
    lines = [check, script] if shell == "zsh" else [script, check]
    done = subprocess.run(
        [shell, *options, "-c", "\n".join(lines)], env=bench.environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


def test_completion_knows_commands_options_and_paths(bench: Any) -> None:
    if shutil.which("bash") is None:
        pytest.skip("bash is not installed")

    def completed(*words: str) -> set[str]:
        variables = {
            "_PLANTON_BUILD_COMPLETE": "bash_complete",
            "COMP_WORDS": " ".join(["planton-build", *words]),
            "COMP_CWORD": str(len(words)),
        }
        outcome = bench.build(env=variables)
        return {line.rpartition(",")[2].strip() for line in outcome.out.splitlines()}

    assert {"build", "lock", "check", "cache", "completion"} <= completed("")
    assert {"--no-publish", "--locked", "--bucket"} <= completed("build", "--")
    assert {"--no-publish", "--locked"} <= completed("--")
