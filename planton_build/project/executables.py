"""Executable bits where the file system does not keep them: from git's index."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from planton_build.errors import ToolFailed
from planton_build.project.repository import repository_root, trusts_file_modes

_EXECUTABLE = b"100755"
"""Git's mode of an executable file (git-fast-import(1), the modes of a tree)."""
_TIMEOUT = 60.0
"""Seconds for one `git ls-files`; it takes milliseconds."""


def executables_in_index(source: Path) -> frozenset[str] | None:
    """Return the paths below `source` that git records as executable, or None where the file system knows.

    The index is asked on Windows, and where git found that the file system keeps no such bits
    (`core.fileMode=false`). Files that git does not track are not executable there. Outside of a repository
    on Windows nothing is.

    Raises ToolFailed when git is needed and missing, or refuses.
    """
    root = repository_root(source)
    if root is None:
        return frozenset() if os.name == "nt" else None
    if os.name != "nt" and trusts_file_modes(root):
        return None
    return _tracked_executables(source)


def _tracked_executables(source: Path) -> frozenset[str]:
    # A file system monitor named in the repository's configuration would be a program that git runs.
    command = ["git", "-c", "core.fsmonitor=false", "ls-files", "--stage", "-z", "--", "."]
    try:
        done = subprocess.run(command, cwd=source, capture_output=True, check=False, timeout=_TIMEOUT)
    except FileNotFoundError as error:
        raise ToolFailed(
            f"git is needed for the executable bits of {source.name}, and is not installed",
            hint="install git: this file system keeps no executable bits, so git's index is read for them",
        ) from error
    except subprocess.TimeoutExpired as error:
        raise ToolFailed(f"git ls-files did not answer within {_TIMEOUT:.0f} seconds", file=source) from error
    if done.returncode != 0:
        reason = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise ToolFailed(
            f"git cannot list the files of {source.name}: {reason[0] if reason else 'no reason given'}",
            hint="this file system keeps no executable bits, so git's index is read for them",
            file=source,
        )
    entries = (record.partition(b"\t") for record in done.stdout.split(b"\0") if record)
    return frozenset(
        path.decode("utf-8", "surrogateescape") for head, _, path in entries if head.startswith(_EXECUTABLE)
    )
