"""Logins for registries: those of `docker login`, in docker's configuration or with a credential helper."""

from __future__ import annotations

import base64
import binascii
import json
import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from planton_build.errors import ImageUnavailable

_LIMIT = 1 << 20
"""Bytes of a configuration file, and of a helper's answer."""
_HUB = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io"})
_HUB_KEY = "https://index.docker.io/v1/"
"""What Docker Hub is called by helpers."""
_HELPER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_HELPER_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Login:
    """User and password for a registry; `basic` is the value of `Authorization`, and shows nowhere."""

    basic: str = field(repr=False)

    @classmethod
    def of(cls, user: str, password: str) -> Login:
        """Return the login of a user."""
        return cls(f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}")


LoginSource: TypeAlias = Callable[[], Login | None]
"""Gives a login when one is needed; asked again when the last one was refused, for some expire."""


def docker_config(path: Path) -> dict[str, Login]:
    """Return the logins that stand in a docker configuration, by host (with port).

    No file means no login. Raises ImageUnavailable when there is a file that cannot be read.
    """
    return _written(_document(path), path)


def docker_login(host: str, config: Path | None = None) -> LoginSource:
    """Return what gives docker's login for a host.

    The configuration is read now; a credential helper that it names (`credHelpers`, `credsStore`) is run
    when somebody asks. A helper that is missing or has no login means no login.

    Args:
        host: the registry's host, with port.
        config: docker's configuration, `~/.docker/config.json` by default.

    Raises:
        ImageUnavailable: there is a configuration that cannot be read.
    """
    path = config if config is not None else Path.home() / ".docker" / "config.json"
    document = _document(path)
    written = _written(document, path).get(host)
    helpers = document.get("credHelpers")
    helper = helpers.get(host) if isinstance(helpers, dict) else None
    helper = helper or document.get("credsStore")

    def login() -> Login | None:
        if isinstance(helper, str) and _HELPER.fullmatch(helper):
            return _from_helper(helper, _HUB_KEY if host in _HUB else host) or written
        return written

    return login


def _document(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as stream:
            document = json.loads(stream.read(_LIMIT))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise _broken(path, error) from error
    if not isinstance(document, dict):
        raise _broken(path, TypeError())
    return document


def _written(document: dict[str, Any], path: Path) -> dict[str, Login]:
    entries = document.get("auths", {})
    if not isinstance(entries, dict):
        raise _broken(path, TypeError())
    found: dict[str, Login] = {}
    for key, entry in entries.items():
        # An entry without a login, or with one that is not readable, is for other programs.
        if (login := _login(entry)) is not None:
            host = key.removeprefix("https://").removeprefix("http://").partition("/")[0]
            found.update(dict.fromkeys(_HUB if host in _HUB else {host}, login))
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


def _from_helper(name: str, host: str) -> Login | None:
    """Ask a credential helper, by docker's protocol: the host on its input, JSON on its output."""
    try:
        done = subprocess.run(
            [f"docker-credential-{name}", "get"],
            input=host.encode(),
            capture_output=True,
            timeout=_HELPER_SECONDS,
            check=True,
        )
        answer = json.loads(done.stdout[:_LIMIT])
        user, secret = answer["Username"], answer["Secret"]
    except (OSError, subprocess.SubprocessError, ValueError, RecursionError, KeyError, TypeError):
        return None
    # `<token>` stands for an identity token, which is no password.
    known = isinstance(user, str) and isinstance(secret, str) and user and user != "<token>"
    return Login.of(user, secret) if known else None


def _broken(path: Path, error: Exception) -> ImageUnavailable:
    return ImageUnavailable(
        f"docker's configuration cannot be read: {type(error).__name__}",
        hint="correct it, or move it away and run `docker login` again",
        file=path,
    )
