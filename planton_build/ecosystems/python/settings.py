"""Where packages come from: the settings pip would use, read once, with secrets that never show."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class IndexSettings:
    """pip's index options. URLs may hold credentials, so the `repr` leaves them out.

    `cert` and `client_cert` are PEM files. `timeout` is in seconds.
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
