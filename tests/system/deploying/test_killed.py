"""The real process, killed or interrupted at a call: the alias serves old or new, and a rerun ends it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from typing import Any

import pytest

from planton_build.errors import DeployConflict, SeveralErrors

SETTINGS = """
[deploy]
alias = "live"
tags = {{ team = "{team}" }}

[deploy.rollout]
smoke-event = {{}}

[deploy.url]
auth = "NONE"
"""
LIMIT_SECONDS = 60


def command(account: Any) -> subprocess.Popen[str]:
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("PLANTON_", "CI"))
    }
    environment |= {
        "AWS_ENDPOINT_URL": account.emulator.url,
        "AWS_ACCESS_KEY_ID": "123456789012",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_REGION": "eu-west-1",
        "HOME": str(account.folder.parent),
    }
    program = "from planton_build.cli.entry import deploy; deploy()"
    return subprocess.Popen(
        [sys.executable, "-c", program, "apply", "."],
        cwd=account.folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def write(account: Any, text: str, name: str = "orders") -> None:
    account.write(
        name,
        key=account.upload(text),
        memoryMb="128" if text == "old" else "256",
        environment=f"{{MODE: '{text}'}}",
        settings=SETTINGS.format(team=text),
    )


def served(account: Any, name: str = "orders") -> Any:
    client = account.aws.lambda_()
    try:
        found = client.get_function_configuration(FunctionName=name, Qualifier="live")
    except client.exceptions.ResourceNotFoundException:
        return None
    return found["CodeSha256"], found["MemorySize"], found["Environment"]["Variables"]["MODE"]


CREATING = ["CreateFunction", "PublishVersion", "CreateAlias", "CreateFunctionUrlConfig"]
UPDATING = ["TagResource", "UpdateFunctionConfiguration", "UpdateFunctionCode", "PublishVersion", "Invoke"]
UPDATING += ["UpdateAlias"]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
@pytest.mark.parametrize(
    ("creating", "operation"),
    [*((True, name) for name in CREATING), *((False, name) for name in UPDATING)],
)
def test_a_process_that_ends_at_a_call_leaves_the_old_or_the_new(
    account: Any, creating: bool, operation: str, number: signal.Signals
) -> None:
    if not creating:
        write(account, "old")
        account.apply()
    write(account, "new")
    old = served(account)
    account.emulator.calls.clear()
    ended = threading.Event()

    def end() -> None:
        ended.set()
        process.send_signal(number)

    account.emulator.faults.after(operation, end)
    process = command(account)
    text, _ = process.communicate(timeout=LIMIT_SECONDS)
    assert ended.is_set(), text
    assert process.returncode == (-signal.SIGKILL if number is signal.SIGKILL else 130), text
    assert "Traceback" not in text
    meanwhile = served(account)
    account.apply()
    assert meanwhile in (old, served(account))
    assert served(account)[1:] == (256, "new")
    account.converged()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_several_functions_that_are_ended_together_all_serve_the_old_or_the_new(
    account: Any, number: signal.Signals
) -> None:
    names = ("a", "b", "c", "d")
    for name in names:
        write(account, "old", name)
    account.apply()
    old = served(account, "a")
    for name in names:
        write(account, "new", name)
    account.emulator.faults.after("UpdateAlias", lambda: process.send_signal(number), nth=2)
    process = command(account)
    text, _ = process.communicate(timeout=LIMIT_SECONDS)
    assert process.returncode == (-signal.SIGKILL if number is signal.SIGKILL else 130), text
    meanwhile = [served(account, name) for name in names]
    for _ in range(5):
        try:
            account.apply()
        except (DeployConflict, SeveralErrors):  # what was on its way when the process ended arrives now
            continue
        break
    new = served(account, "a")
    assert new[1:] == (256, "new")
    assert all(one in (old, new) for one in meanwhile)
    assert new in meanwhile
    account.converged()
