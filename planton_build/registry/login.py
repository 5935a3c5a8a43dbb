"""Logins of `docker login` that stand in docker's configuration file itself."""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass, field
from pathlib import Path

from planton_build.errors import ImageUnavailable

_LIMIT = 1 << 20
"""Bytes of a configuration file."""
_HUB = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io"})


@dataclass(frozen=True, slots=True)
class Login:
    """User and password for a registry; `basic` is the value of `Authorization`, and shows nowhere."""

    basic: str = field(repr=False)


def docker_config(path: Path) -> dict[str, Login]:
    """Return the logins of a docker configuration by host (with port).

    Only `auths` with `auth` are read: credential stores and helpers are programs of their own. No file means
    no login. Raises ImageUnavailable when there is a file that cannot be read.
    """
    try:
        with path.open("rb") as stream:
            document = json.loads(stream.read(_LIMIT))
        entries = document.get("auths", {})
        found: dict[str, Login] = {}
        for key, entry in entries.items():
            # An entry without a login, or with one that is not readable, is for other programs.
            if (login := _login(entry)) is not None:
                host = key.removeprefix("https://").removeprefix("http://").partition("/")[0]
                found.update(dict.fromkeys(_HUB if host in _HUB else {host}, login))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise ImageUnavailable(
            f"docker's configuration cannot be read: {type(error).__name__}",
            hint="correct it, or move it away and run `docker login` again",
            file=path,
        ) from error
    return found


def _login(entry: object) -> Login | None:
    encoded = entry.get("auth") if isinstance(entry, dict) else None
    if not isinstance(encoded, str) or not encoded:
        return None
    try:
        plain = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return None
    return Login(f"Basic {base64.b64encode(plain).decode()}") if b":" in plain else None
