"""Containers that are removed whatever happens while they are used."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from secrets import token_hex

from planton_build.interrupts import undone_on_interrupt
from planton_build.sandbox.engine import Engine

_LATE_SECONDS = 2.0
"""Seconds an engine may take to make a container after Ctrl-C; it takes a tenth of one."""


@contextlib.contextmanager
def removed_after(
    engine: Engine, kind: str, create: Callable[[str], None], kept: Callable[[str], None] | None = None
) -> Iterator[str]:
    """Have a container made under a new name, and remove it whatever happens in the block.

    Its name is `planton-` and `kind` and some digits. `kept` is told what to say of one that cannot be
    removed; it has our label, so that the next run or `doctor` removes it.
    """
    name, made = f"planton-{kind}-{token_hex(8)}", False

    def remove() -> None:
        import docker
        import requests

        try:
            engine.api.remove_container(name, force=True, v=True)
        except docker.errors.NotFound:
            return
        except (docker.errors.DockerException, requests.exceptions.RequestException) as error:
            if kept is not None:  # what is raised already says what went wrong
                kept(f"{name} could not be removed: {error}")

    try:
        create(name)
        made = True
        with undone_on_interrupt(remove):
            yield name
    except KeyboardInterrupt:
        made = made or _appears(engine, name)
        raise
    finally:
        if made:
            remove()


def _appears(engine: Engine, name: str) -> bool:
    """Tell whether a container comes to be: an engine goes on to make it when nobody waits any more."""
    import docker
    import requests

    deadline = time.monotonic() + _LATE_SECONDS
    while time.monotonic() < deadline:
        try:
            engine.api.inspect_container(name)
        except docker.errors.NotFound:
            time.sleep(0.05)
        except (docker.errors.DockerException, requests.exceptions.RequestException):
            break
        else:
            return True
    return False
