"""Where packages come from: the settings pip would use, read once, with secrets that never show."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit, urlunsplit

from planton_build.errors import ConfigInvalid, ToolFailed

_ASK_PIP = """
import json, os
from pip._internal.commands import create_command
options, _ = create_command("install").parse_args([])
bundle = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
no_proxy_env = getattr(options, "no_proxy_env", False)
json.dump({
    "index_url": options.index_url,
    "extra_index_urls": options.extra_index_urls or [],
    "find_links": options.find_links or [],
    "no_index": bool(options.no_index),
    "trusted_hosts": options.trusted_hosts or [],
    "cert": options.cert or bundle,
    "client_cert": options.client_cert,
    "proxy": "" if no_proxy_env and not options.proxy else options.proxy,
    "timeout": options.timeout,
    "keyring": getattr(options, "keyring_provider", "auto") != "disabled",
}, __import__("sys").stdout)
"""
"""Asks pip's own option parser, which merges defaults, the global, user, site and `PIP_CONFIG_FILE` files and
`PIP_*` in pip's order. `pip config list` would not do: it sorts by file name, so that precedence is lost, and
it does not tell defaults. pip-tools reads pip's options in the same way."""

_PIP_TIMEOUT = 60.0
"""Seconds; the answer takes 0.3 s on a quick disk."""


@dataclass(frozen=True, slots=True)
class IndexSettings:
    """pip's index options. URLs may hold credentials, so the `repr` leaves them out.

    `cert` and `client_cert` are PEM files (`cert` may be a folder of them). `proxy` is None for what the
    environment says and "" for no proxy at all. `timeout` is in seconds.
    """

    index_url: str = field(repr=False)
    extra_index_urls: tuple[str, ...] = field(default=(), repr=False)
    find_links: tuple[str, ...] = field(default=(), repr=False)
    no_index: bool = False
    trusted_hosts: tuple[str, ...] = ()
    cert: Path | None = None
    client_cert: Path | None = None
    proxy: str | None = field(default=None, repr=False)
    timeout: float = 15.0
    keyring: bool = True

    @property
    def index_urls(self) -> tuple[str, ...]:
        """Return the indexes to ask, in order; none when `no_index` is set."""
        return () if self.no_index else (self.index_url, *self.extra_index_urls)


class Overrides(Protocol):
    """Index options that stand in a requirements or lock file."""

    def applied_to(self, settings: IndexSettings) -> IndexSettings:
        """Return `settings` with these options merged over them, as pip does."""
        ...


def read_pip_settings(overrides: Overrides | None = None) -> IndexSettings:
    """Return the index settings that `pip install` would use here, with `overrides` merged over them.

    Starts one Python process, so call it only when the network is about to be needed.

    Raises:
        ConfigInvalid: pip refuses its own configuration.
        ToolFailed: pip is missing or answers something else.
    """
    import subprocess  # this module is imported by builds that have nothing to do

    try:
        answer = subprocess.run(
            [sys.executable, "-c", _ASK_PIP],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=_PIP_TIMEOUT,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ToolFailed(f"pip cannot be asked for its settings: {type(error).__name__}") from error
    if answer.returncode != 0:
        raise _refusal(answer.stderr)
    try:
        settings = _settings(json.loads(answer.stdout))
    except (ValueError, KeyError, TypeError) as error:
        raise ToolFailed("pip answered with settings that cannot be read") from error
    return overrides.applied_to(settings) if overrides is not None else settings


def redacted(url: str) -> str:
    """Return `url` without credentials, query and fragment, for messages."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _settings(answer: dict[str, Any]) -> IndexSettings:
    return IndexSettings(
        index_url=str(answer["index_url"]),
        extra_index_urls=tuple(map(str, answer["extra_index_urls"])),
        find_links=tuple(map(str, answer["find_links"])),
        no_index=bool(answer["no_index"]),
        trusted_hosts=tuple(map(str, answer["trusted_hosts"])),
        cert=Path(answer["cert"]) if answer["cert"] else None,
        client_cert=Path(answer["client_cert"]) if answer["client_cert"] else None,
        proxy=answer["proxy"],
        timeout=float(answer["timeout"]),
        keyring=bool(answer["keyring"]),
    )


def _refusal(stderr: str) -> ConfigInvalid | ToolFailed:
    """Tell a broken configuration from a broken pip. A line with a URL is not shown: it may be secret."""
    if "ModuleNotFoundError" in stderr or "ImportError" in stderr:
        return ToolFailed("pip is not usable in this Python", hint=f"run: {sys.executable} -m ensurepip")
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    reason = lines[-1] if lines and "://" not in lines[-1] else "it gives no reason that can be shown"
    return ConfigInvalid(
        f"pip refuses its own configuration: {reason}",
        hint="run `pip config debug` and correct the file or the PIP_* variable it names",
    )
