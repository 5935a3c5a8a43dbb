"""The HTTP client of registries, and what is known of HTTP without one."""

from __future__ import annotations

import email.utils
import http.cookiejar
import ipaddress
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from planton_build.errors import ImageUnavailable

if TYPE_CHECKING:
    import httpx2

WAIT_MAX = 60.0
"""Seconds of a `Retry-After` that are waited at most."""


def new_client(certificates: Path | None, seconds: float, direct: str | None) -> httpx2.Client:
    """Return an HTTP client that keeps no cookies; `direct` is a host that no proxy stands before."""
    import httpx2

    verify: Any = True
    if certificates is not None:
        import ssl

        folder = certificates.is_dir()
        try:
            verify = ssl.create_default_context(
                cafile=None if folder else certificates, capath=certificates if folder else None
            )
        except (OSError, ssl.SSLError) as error:
            raise ImageUnavailable(
                f"the certificate file {certificates} cannot be read",
                hint="check `cert` in `pip config list`",
            ) from error
    cookies = http.cookiejar.CookieJar(http.cookiejar.DefaultCookiePolicy(allowed_domains=[]))
    mounts = None if direct is None else {f"all://{f'[{direct}]' if ':' in direct else direct}": None}
    return httpx2.Client(
        verify=verify,
        timeout=seconds,
        follow_redirects=False,
        headers={"User-Agent": "planton-build"},
        cookies=cookies,
        mounts=mounts,
    )


def is_loopback(host: str | None) -> bool:
    """Tell whether a host is this machine itself."""
    if host is None or host == "localhost":
        return host is not None
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def retry_after(value: str) -> float | None:
    """Return the seconds of a `Retry-After`, which is a number or a date; None when it says nothing."""
    if value.isascii() and value.isdigit():
        return min(float(value[:9]), WAIT_MAX)
    try:
        then = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return None
    return min(max(then.timestamp() - time.time(), 0.0), WAIT_MAX)
