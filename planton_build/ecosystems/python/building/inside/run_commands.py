"""Run a function's commands, one after the other, each in a shell of its own: run_commands.py LIST FOLDER.

LIST is a JSON array of command lines. The first that fails ends it all.
"""

from __future__ import annotations

import json
import subprocess
import sys


def main() -> None:
    """Run all commands in the folder."""
    listing, folder = sys.argv[1:]
    with open(listing, encoding="utf-8") as stream:
        commands = json.load(stream)
    for command in commands:
        print("+ " + command, flush=True)
        done = subprocess.run(["/bin/sh", "-euc", command], cwd=folder, check=False)
        if done.returncode != 0:
            print("planton-build: failed: the command `%s` (exit code %d)" % (command, done.returncode))
            sys.exit(1)


if __name__ == "__main__":
    main()
