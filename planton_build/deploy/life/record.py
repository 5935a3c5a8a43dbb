"""`BuildRecord`: what a published version was built from, in the one place AWS has for it: its description.

    planton: git=7a56fba4…+dirty lock=ab12cd34ef56 at=2026-11-25T16:40:12Z by=ci%40acme note=nightly build

Only what is known is written. A description that is no record is somebody else's, and is shown as it is.
"""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote

from planton_build.errors import PlantonError
from planton_build.files import sha256_of
from planton_build.manifest.document import Manifest

MAX_DESCRIPTION: Final = 256
"""Characters of a version's description. AWS Lambda API, PublishVersion: Description."""
LOCK_DIGITS: Final = 12
"""Hex digits kept of a lock's SHA-256: enough to tell a project's locks apart."""
MAX_WHO: Final = 64
"""Characters kept of who deployed."""

_PREFIX: Final = "planton:"
_RECORD = re.compile(
    r"planton:"
    r"(?: git=(?P<commit>[0-9a-f]{7,64})?(?P<dirty>\+dirty)?)?"
    r"(?: lock=(?P<lock>[0-9a-f]{12}))?"
    r"(?: at=(?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ))?"
    r"(?: by=(?P<who>[!-~]{1,192}))?"
    r"(?: note=(?P<note>\S.*))?"
)
_COMMIT = re.compile(r"[0-9a-f]{7,64}")
_TIME: Final = "%Y-%m-%dT%H:%M:%SZ"
_GIT_SECONDS: Final = 10.0
"""For one `git status`; it takes milliseconds, and a record is not worth waiting for."""
_HEAD: Final = b"# branch.oid "
_KEPT_ASCII: Final = "-_.@/+:"


@dataclass(frozen=True, slots=True)
class BuildRecord:
    """What a version was built from. What is not known is "", or None.

    `commit` is git's, in hex; `dirty` tells that files had changed since it. `lock` is the start of the
    SHA-256 (hex) of the file that holds the dependencies. `time` is in UTC, to the second. `who` is a name of
    a person or of a CI's user, `note` free text.
    """

    commit: str = ""
    dirty: bool = False
    lock: str = ""
    time: datetime | None = None
    who: str = ""
    note: str = ""


def render(record: BuildRecord) -> str:
    """Return a record as the description of a version: one line of at most 256 characters.

    What does not fit is cut from the end: of `who` after 64 characters, then of the note. What is no commit
    or no digest is left out.
    """
    parts = [_PREFIX]
    commit = record.commit if _COMMIT.fullmatch(record.commit) else ""
    if commit or record.dirty:
        parts.append(f"git={commit}{'+dirty' if record.dirty else ''}")
    if re.fullmatch(r"[0-9a-f]{12,}", record.lock):
        parts.append(f"lock={record.lock[:LOCK_DIGITS]}")
    if record.time is not None:
        parts.append(f"at={record.time.astimezone(UTC).strftime(_TIME)}")
    if who := _who(record.who):
        parts.append(f"by={who}")
    text = " ".join(parts)
    note = _cut(_one_line(record.note), MAX_DESCRIPTION - len(text) - len(" note="))
    return f"{text} note={note}" if note else text


def parse(text: str) -> BuildRecord | None:
    """Return the record in a version's description, or None when it is no record."""
    found = _RECORD.fullmatch(text) if len(text) <= MAX_DESCRIPTION else None
    if found is None or text == _PREFIX:
        return None
    time = None
    if found["time"]:
        try:
            time = datetime.strptime(found["time"], _TIME).replace(tzinfo=UTC)
        except ValueError:
            return None
    return BuildRecord(
        found["commit"] or "",
        bool(found["dirty"]),
        found["lock"] or "",
        time,
        unquote(found["who"] or ""),
        found["note"] or "",
    )


def build_record_for(
    manifest: Manifest, *, time: datetime | None = None, who: str = "", note: str = ""
) -> BuildRecord:
    """Return the record of what a manifest's folder holds now; runs git, and raises nothing.

    `time` and `who` are the caller's: nothing here reads the clock or the environment. Without git or a
    repository there is no commit. The manifest's own changes do not make it dirty, because a build writes
    the code source into it.
    """
    commit, dirty = _git_state(manifest.path)
    return BuildRecord(commit, dirty, _lock_digest(manifest), time, who, note)


def _who(who: str) -> str:
    """Return a name in printable ASCII without spaces, never longer than 128 characters, nor half a code."""
    name = _one_line(who)[:MAX_WHO]
    while len(encoded := quote(name.rstrip(), safe=_KEPT_ASCII)) > 2 * MAX_WHO:
        name = name[:-1]
    return encoded


def _one_line(text: str) -> str:
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def _cut(text: str, length: int) -> str:
    """Return the start of a text that Lambda measures as `length`, which counts some letters twice."""
    encoded = text.encode("utf-16-le", "ignore")[: 2 * max(length, 0)]
    return encoded.decode("utf-16-le", "ignore").strip()


def _git_state(path: Path) -> tuple[str, bool]:
    """Return the commit that a file's folder is at, and whether other files below it have changed since."""
    # A file system monitor named in the repository's configuration would be a program that git runs.
    command = ["git", "-c", "core.fsmonitor=false", "status", "--porcelain=v2", "--branch"]
    command += ["--untracked-files=normal", "-z", "--", ".", f":(exclude,literal){path.name}"]
    # What git would be told by variables, such as another repository (GIT_DIR), is about something else.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        done = subprocess.run(
            command,
            cwd=path.parent,
            env={**environment, "LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=_GIT_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired):
        return "", False
    if done.returncode != 0:
        return "", False
    entries = [entry for entry in done.stdout.split(b"\0") if entry]
    head = next((entry for entry in entries if entry.startswith(_HEAD)), b"")
    commit = head.removeprefix(_HEAD).decode("ascii", "replace")
    changed = any(not entry.startswith(b"# ") for entry in entries)
    return (commit, changed) if _COMMIT.fullmatch(commit) else ("", False)


def _lock_digest(manifest: Manifest) -> str:
    """Return the digest of the file that a function's packages come from, or "" when there is none."""
    from planton_build.ecosystems.python.inputs import find_input
    from planton_build.ecosystems.python.lock import lock_path
    from planton_build.manifest.model import Architecture
    from planton_build.project.function import FunctionProject
    from planton_build.project.layers import options_for
    from planton_build.runtimes.catalog import target_for

    spec = manifest.model.spec
    try:
        options = options_for(manifest, flags={}, environment={})
        runtime = spec.runtime or options.runtime or ""
        target = target_for(runtime, "arm64" if spec.architecture is Architecture.ARM64 else "x86_64")
        found = find_input(FunctionProject(manifest, target, options))
        if found is None:
            return ""
        own = lock_path(found, target)
        return sha256_of(own if own.is_file() else found.path)[:LOCK_DIGITS]
    except (PlantonError, OSError):
        return ""  # a record says what is known; the build is where a wrong file is reported
