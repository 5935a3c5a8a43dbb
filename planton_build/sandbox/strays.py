"""Containers that a killed process left behind: told by their labels, removed by the next run or `doctor`."""

from __future__ import annotations

import os
import platform
import time
from dataclasses import dataclass
from pathlib import Path

from planton_build.sandbox.engine import Engine, engine_errors

LABEL = "dev.planton.build"
"""On every container and image that this tool makes."""
_HOST, _PROCESS = f"{LABEL}.host", f"{LABEL}.process"
FOREIGN_SECONDS = 86_400
"""Age at which a container of another host counts as left behind: no build takes a day."""


@dataclass(frozen=True, slots=True)
class Stray:
    """A container that nobody waits for. `created` is in seconds since 1970."""

    id: str
    image: str
    state: str
    created: int


def labels_of_this_process() -> dict[str, str]:
    """Return the labels by which a later run tells whether the maker of a container is still there."""
    return {LABEL: "container", _HOST: platform.node(), _PROCESS: _process(os.getpid())}


def strays(engine: Engine) -> list[Stray]:
    """Return our containers whose process has ended, or that are a day old and of another host.

    Raises:
        EngineUnavailable: the engine does not answer.
    """
    with engine_errors("listing containers"):
        found = engine.api.containers(all=True, filters={"label": f"{LABEL}=container"})
    return [
        Stray(str(one["Id"]), str(one["Image"]), str(one["State"]), int(one["Created"]))
        for one in found
        if _is_left(one.get("Labels") or {}, int(one["Created"]))
    ]


def remove_strays(engine: Engine) -> list[Stray]:
    """Remove what `strays` finds and return it. Raises as it does."""
    import docker

    found = strays(engine)
    for stray in found:
        with engine_errors("removing a container that was left behind"):
            try:
                engine.api.remove_container(stray.id, force=True, v=True)
            except docker.errors.NotFound:
                continue  # another run was quicker
            except docker.errors.APIError as error:
                if error.status_code != 409:  # "removal of container ... is already in progress"
                    raise
    return found


def _is_left(labels: dict[str, str], created: int) -> bool:
    if labels.get(_HOST) != platform.node():
        return time.time() - created > FOREIGN_SECONDS
    process = labels.get(_PROCESS, "")
    number = process.partition(":")[0]
    return not number.isdecimal() or not _runs(int(number)) or _process(int(number)) != process


def _process(pid: int) -> str:
    """Return what names a process, also after its number is used again: with its start time on Linux."""
    try:
        # Field 22 of proc(5) stat; the second field, in brackets, may hold anything.
        started = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        started = ""
    return f"{pid}:{started}"


def _runs(pid: int) -> bool:
    if os.name != "posix":
        return True  # asking by signal would end the process there; a day later it counts as foreign
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
