"""The names of artifacts in S3: they end in the SHA-256 of the content, and can be told without asking S3."""

from __future__ import annotations

import re

from planton_build.errors import ConfigInvalid

MAX_KEY_BYTES = 1024
"""Longest object key, in bytes of UTF-8 (S3 user guide, "Object key naming guidelines")."""

_NAMED_BY_DIGEST = re.compile(r"(?:.*/)?([0-9a-f]{64})\.zip", re.DOTALL)


def object_key(prefix: str, function_name: str, sha256: str) -> str:
    """Return the key of an artifact: `<prefix>/<function_name>/<sha256>.zip`, with `sha256` in hex.

    Slashes at the ends of `prefix` and doubled ones do not count; an empty prefix is none.
    Raises ConfigInvalid when the key is not one that every S3 client can write.
    """
    parts = [part for part in prefix.split("/") if part]
    if any(part in (".", "..") for part in parts) or not prefix.isprintable():
        raise ConfigInvalid(
            f"the prefix {prefix!r} cannot be part of an S3 key",
            hint="use letters, digits, hyphens and single slashes",
        )
    key = "/".join((*parts, function_name, f"{sha256}.zip"))
    if len(key.encode()) > MAX_KEY_BYTES:
        raise ConfigInvalid(
            f"the S3 key of {function_name} would have {len(key.encode())} bytes; S3 takes {MAX_KEY_BYTES}",
            hint="use a shorter prefix",
        )
    return key


def digest_in_key(key: str) -> str | None:
    """Return the SHA-256 (hex) that a key made by `object_key` promises, or None for other keys."""
    found = _NAMED_BY_DIGEST.fullmatch(key)
    return found[1] if found else None
