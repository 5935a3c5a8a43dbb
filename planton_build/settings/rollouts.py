"""How traffic moves to a new version, with the event it must answer first."""

from __future__ import annotations

import json
import os
import stat
from itertools import pairwise
from pathlib import Path

from planton_build.settings.model import Rollout
from planton_build.settings.table import Table
from planton_build.settings.values import MAX_NUMBER, Check, Wrong, json_text, list_of, number, shown, text

MAX_EVENT_BYTES = 6 * 1024 * 1024
"""Invoke's largest payload when its answer is waited for (6 MB, which Lambda counts in powers of two)."""
_MOST_STEPS = 99
_MOST_SECONDS = 86_400


def rollout_of(table: Table, folder: Path) -> Rollout:
    """Return a rollout; a path in it is relative to `folder`."""
    found = Rollout(
        smoke_event=table.get("smoke-event", _smoke_event(folder), None),
        steps=table.get("steps", _steps, ()),
        step_seconds=table.get("step-seconds", number(1, _MOST_SECONDS, "seconds"), 60),
        max_errors=table.get("max-errors", number(0, MAX_NUMBER), 0),
    )
    for key in ("step-seconds", "max-errors"):
        if key in table and "steps" not in table:
            table.fault(key, "goes with steps only", "add steps, such as steps = [10, 50]")
    table.close()
    return found


def _steps(value: object) -> tuple[int, ...]:
    found = list_of(number(1, 99), _MOST_STEPS, "percentages")(value)
    if any(one >= other for one, other in pairwise(found)):
        raise Wrong(
            "must rise from each step to the next", "write them as steps = [10, 50]; 100 comes by itself"
        )
    return found


def _smoke_event(folder: Path) -> Check[bytes | None]:
    def check(value: object) -> bytes | None:
        if isinstance(value, dict | list):
            return json_text(value, MAX_EVENT_BYTES).encode()
        if isinstance(value, str):
            return _event_in(Path(os.path.normpath(folder / text(value))), value)
        raise Wrong(f"must be a file with JSON, or the event as a table, not {shown(value)}")

    return check


def _event_in(path: Path, written: str) -> bytes:
    name = shown(written)
    try:
        regular = stat.S_ISREG(path.stat().st_mode)
        raw = _start_of(path) if regular else b""
    except FileNotFoundError as error:
        raise Wrong(
            f"names the file {name}, which does not exist", "the path is relative to the file it stands in"
        ) from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no path"
        raise Wrong(f"names the file {name}, which cannot be read: {reason}") from error
    if not regular:
        raise Wrong(f"names {name}, which is not a file")
    if len(raw) > MAX_EVENT_BYTES:
        raise Wrong(f"names the file {name}, which is larger than {MAX_EVENT_BYTES:,} bytes")
    raw = raw.removeprefix(b"\xef\xbb\xbf")
    try:
        json.loads(raw.decode("utf-8"), parse_constant=_no_constant)
    except UnicodeDecodeError as error:
        raise Wrong(f"names the file {name}, which is not UTF-8 text") from error
    except json.JSONDecodeError as error:
        raise Wrong(f"names the file {name}, which is not valid JSON in line {error.lineno}") from error
    except (ValueError, RecursionError) as error:
        raise Wrong(f"names the file {name}, which is not valid JSON") from error
    return raw


def _start_of(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(MAX_EVENT_BYTES + 1)


def _no_constant(name: str) -> None:
    raise ValueError(name)
