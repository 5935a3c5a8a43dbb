"""The main job on an embedded AWS: build, publish, deploy and invoke `examples/price-tag`.

Needs no account and no Docker. Works on a copy in a temporary folder, with its own cache and its own
local AWS, and leaves nothing behind. Exits with the code of the first command that fails.
"""

import difflib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

EXAMPLE = Path(__file__).resolve().parent / "price-tag"
SCRIPTS = Path(sys.executable).parent
COLOUR = not os.environ.get("NO_COLOR") and bool(os.environ.get("FORCE_COLOR") or sys.stdout.isatty())


def say(text: str, style: str = "36") -> None:
    """Say what comes next."""
    print(f"\n\033[{style}m{text}\033[0m" if COLOUR else f"\n{text}", flush=True)


def run(*command: str, folder: Path) -> None:
    """Show a command, and run it as the user would."""
    subprocess.run(ready(command), cwd=folder, check=True)


def answer_of(*command: str, folder: Path) -> str:
    """Show a command, run it, and return what it answers."""
    return subprocess.run(
        ready(command), cwd=folder, check=True, stdout=subprocess.PIPE, encoding="utf-8"
    ).stdout


def ready(command: tuple[str, ...]) -> list[str]:
    """Show a command, and find its program: beside this Python, as in a virtual environment, or on PATH."""
    shown = f"$ {' '.join(command)}"
    print(f"\033[1m{shown}\033[0m" if COLOUR else shown, flush=True)
    program = shutil.which(command[0], path=os.pathsep.join([str(SCRIPTS), os.environ.get("PATH", "")]))
    if program is None:
        sys.exit(f"{command[0]} is not installed here: python -m pip install '.[local]'")
    return [program, *command[1:]]


def show_difference(before: str, after: str) -> None:
    """Show what the build wrote into the manifest."""
    for line in difflib.unified_diff(before.splitlines(), after.splitlines(), n=2, lineterm=""):
        if not line.startswith(("---", "+++", "@@")):
            print(f"  \033[32m{line}\033[0m" if COLOUR and line.startswith("+") else f"  {line}", flush=True)


@contextmanager
def workplace() -> Iterator[Path]:
    """Give a copy of the example, and in the end remove it, the cache and the local AWS."""
    with tempfile.TemporaryDirectory(prefix="planton-demo-") as name:
        os.environ["PLANTON_STATE_DIR"] = str(Path(name, "state"))
        os.environ.setdefault("PLANTON_CACHE_DIR", str(Path(name, "cache")))
        folder = Path(shutil.copytree(EXAMPLE, Path(name, "price-tag")))
        try:
            yield folder
        finally:
            # A second Ctrl-C must not leave the local AWS running.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            say("5. Clean up: stop the local AWS, and remove the temporary folder.")
            with suppress(subprocess.CalledProcessError):
                run("planton-deploy", "local", "stop", folder=folder)


def demo(folder: Path) -> None:
    """Do the main job, step by step."""
    manifest = folder / "lambda.yaml"
    before = manifest.read_text(encoding="utf-8")
    say("1. Build price-tag for python3.13 on arm64, whatever this machine is, and publish it to S3.")
    run("planton-build", "--local", folder=folder)
    say("   What the build changed in lambda.yaml: the code source, and nothing else.")
    show_difference(before, manifest.read_text(encoding="utf-8"))
    say("2. Deploy it: what differs from AWS is shown, then done.")
    run("planton-deploy", "--local", folder=folder)
    say("3. Do both again: nothing is built, nothing is uploaded, nothing is deployed.")
    run("planton-build", "--local", folder=folder)
    run("planton-deploy", "--local", folder=folder)
    say("4. Run the deployed code on this machine, with the event of event.json.")
    event = ("--payload", "@event.json")
    answer = answer_of(
        "planton-deploy", "invoke", "price-tag", "--local", "--any-python", *event, folder=folder
    )
    say(f"   The deployed function answers: {answer.strip()}", style="1;32")


def main() -> None:
    """Run the demo; a closed terminal and SIGTERM clean up as Ctrl-C does."""
    for name in ("SIGHUP", "SIGTERM"):
        if hasattr(signal, name) and signal.getsignal(getattr(signal, name)) is not signal.SIG_IGN:
            signal.signal(getattr(signal, name), signal.default_int_handler)
    for name in [name for name in os.environ if name.startswith("PLANTON_") and name != "PLANTON_CACHE_DIR"]:
        del os.environ[name]  # settings that are meant for this user's own functions
    try:
        with workplace() as folder:
            demo(folder)
    except KeyboardInterrupt:
        sys.exit(130)
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode)


if __name__ == "__main__":
    main()
