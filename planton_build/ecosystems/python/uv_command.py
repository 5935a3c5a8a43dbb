"""Running uv: a clean environment, index settings that stay out of argv, and messages made fit to show."""

from __future__ import annotations

import math
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from planton_build.ecosystems.python.settings import IndexSettings
from planton_build.errors import ToolFailed

_TIMEOUT = 900.0
"""Seconds until a resolution counts as hung. The largest one measured, with all files to hash, took 30 s."""

_INHERITED = frozenset(
    {"PATH", "HOME", "USERPROFILE", "SYSTEMROOT", "COMSPEC", "PATHEXT", "TEMP", "TMP", "TMPDIR", "APPDATA"}
    | {"LOCALAPPDATA", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS", "NETRC", "NO_PROXY"}
    | {"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR", "UV_CACHE_DIR"}
)
"""What uv inherits: where things are, and how to reach the network. No other `UV_*`, so that no personal
setting changes a lock. Proxy variables count in lower case too."""

_NOISE = re.compile(
    r"^(warning:|WARNING|Using (CPython|PyPy|Python) |Resolved |Resolving |Audited |\s*Updating )"
)
_CREDENTIALS = re.compile(r"(://)[^/\s'\"`]*@")
_QUERY = re.compile(r"(https?://[^\s?'\"`]+)\?[^\s'\"`)]+")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a run of uv gave. `explanation` is its error text with secrets and private paths removed."""

    returncode: int
    output: str = field(repr=False)
    explanation: str = ""


def uv_binary() -> str:
    """Return the path of the uv that is installed with this tool.

    Raises:
        ToolFailed: it is missing.
    """
    try:
        import uv

        return os.fsdecode(uv.find_uv_bin())
    except (ImportError, FileNotFoundError) as error:
        raise ToolFailed("uv is not installed", hint="install it: pip install uv") from error


def run_uv(
    arguments: Sequence[str],
    *,
    folder: Path,
    environment: Mapping[str, str],
    settings: IndexSettings | None = None,
    extra: Mapping[str, str] | None = None,
    private: Sequence[Path] = (),
) -> Answer:
    """Run uv and wait for it.

    Args:
        arguments: what follows `uv`; never a secret, because every user of the host can read it.
        folder: the working directory.
        environment: the caller's environment, of which only the parts in `_INHERITED` are passed on.
        settings: indexes, proxies and certificates to use; they go through the child's environment.
        extra: further variables for uv.
        private: folders whose paths are removed from messages.

    Raises:
        ToolFailed: uv cannot be started or does not end.
    """
    variables = {name: value for name, value in environment.items() if name.upper() in _INHERITED}
    variables |= {
        "UV_PYTHON_DOWNLOADS": "never",
        "UV_NO_PROGRESS": "1",
        "NO_COLOR": "1",
        "UV_NO_SYSTEM_CONFIG": "1",
    }
    variables |= _index_variables(settings) if settings else {}
    variables |= extra or {}
    try:
        done = subprocess.run(
            [uv_binary(), *arguments, "--no-config", "--color", "never"],
            cwd=folder,
            env=variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ToolFailed(f"uv did not end within {_TIMEOUT:.0f} seconds", hint="try again") from error
    except OSError as error:
        raise ToolFailed(f"uv cannot be started: {error.strerror}") from error
    explanation = cleaned(done.stderr.decode("utf-8", "replace"), settings, (folder, *private))
    return Answer(done.returncode, done.stdout.decode("utf-8", "replace"), explanation)


def _index_variables(settings: IndexSettings) -> dict[str, str]:
    """Return the variables that give uv the indexes pip would use.

    `unsafe-best-match` is pip's rule: the best version of all indexes counts, not the first index that knows
    the package. Folders that do not exist are left out, because pip only warns of them while uv fails.
    """
    found = {
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "UV_HTTP_TIMEOUT": str(max(1, math.ceil(settings.timeout))),
    }
    if not settings.no_index:
        found["UV_DEFAULT_INDEX"] = settings.index_url
        found["UV_INDEX"] = " ".join(_quoted(url) for url in settings.extra_index_urls if _exists(url))
    found["UV_FIND_LINKS"] = ",".join(
        _quoted(_as_url(place)).replace(",", "%2C") for place in settings.find_links if _exists(place)
    )
    found["UV_INSECURE_HOST"] = " ".join(settings.trusted_hosts)
    if settings.cert is not None:
        found["SSL_CERT_DIR" if settings.cert.is_dir() else "SSL_CERT_FILE"] = str(settings.cert)
    else:
        # pip trusts the system's store by default; the second name is the one of older uv.
        found |= {"UV_SYSTEM_CERTS": "true", "UV_NATIVE_TLS": "true"}
    if settings.client_cert is not None:
        found["SSL_CLIENT_CERT"] = str(settings.client_cert)
    if settings.proxy is not None:
        names = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
        found |= {variant: settings.proxy for name in names for variant in (name, name.lower())}
    if settings.keyring and shutil.which("keyring"):
        found["UV_KEYRING_PROVIDER"] = "subprocess"
    return {name: value for name, value in found.items() if value or name.upper().endswith("_PROXY")}


def local_path(place: str) -> Path | None:
    """Return the path that an index or find-links place means, or None for one on the network."""
    parts = urlsplit(place)
    if parts.scheme == "file":
        return Path(url2pathname(unquote(parts.path)) if os.name == "nt" else unquote(parts.path))
    return None if "://" in place else Path(place)


def _exists(place: str) -> bool:
    path = local_path(place)
    return path is None or path.exists()


def _as_url(place: str) -> str:
    return place if "://" in place or place.startswith("file:") else Path(place).absolute().as_uri()


def _quoted(url: str) -> str:
    return url.replace(" ", "%20")


def cleaned(text: str, settings: IndexSettings | None, private: Sequence[Path]) -> str:
    """Return uv's messages without progress lines, credentials and the paths of private folders."""
    lines = [line.rstrip() for line in text.splitlines() if line.strip() and not _NOISE.match(line)]
    clean = "\n".join(lines)
    for secret in sorted(_secrets(settings) if settings else (), key=len, reverse=True):
        clean = clean.replace(secret, "***")
    clean = _QUERY.sub(r"\1", _CREDENTIALS.sub(r"\1***@", clean))
    for folder in sorted(
        {str(folder) for folder in private} | {str(f.resolve()) for f in private}, reverse=True
    ):
        clean = clean.replace(f"{folder}{os.sep}", "").replace(folder, ".")
    return clean.replace(sys.prefix, "<python>")


def _secrets(settings: IndexSettings) -> Iterator[str]:
    """Give the passwords and tokens of all URLs, as written and decoded."""
    proxy = (settings.proxy,) if settings.proxy else ()
    for url in (settings.index_url, *settings.extra_index_urls, *settings.find_links, *proxy):
        user, _, password = urlsplit(url).netloc.rpartition("@")[0].partition(":")
        for secret in (password, unquote(password), *((user, unquote(user)) if not password else ())):
            if len(secret) > 3:
                yield secret
