"""The bytes of a manifest file as text, read under limits."""

from __future__ import annotations

import hashlib
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from planton_build.errors import Finding, ManifestUnreadable

MAX_BYTES = 1 << 20
"""Largest manifest, in bytes. Kubernetes' API server takes 1.5 MiB per object; manifests are a few KB."""

_FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""YAML 1.1, section 4.1: what is not in c-printable."""
_BOM = "\ufeff"


@dataclass(frozen=True, slots=True)
class SourceText:
    """A manifest file as text, without its byte order mark. `digest` is the SHA-256 (hex) of the bytes."""

    file: Path
    text: str
    bom: bool
    digest: str


def read_source(file: Path) -> SourceText:
    """Read a manifest file, never more than `MAX_BYTES` of it.

    Raises ManifestUnreadable if it is missing, not a regular file, too large, or not text YAML allows.
    """
    try:
        status = file.stat()
        if not stat.S_ISREG(status.st_mode):
            refuse(
                file, "parse.file", "a manifest must be a regular file", hint="Give the path of a YAML file."
            )
        if status.st_size > MAX_BYTES:
            _too_large(file)
        with file.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
    except OSError as error:
        reason = error.strerror or "it cannot be read"
        refuse(
            file,
            "parse.file",
            f"the manifest cannot be read: {reason}",
            hint="Check the path and its permissions.",
        )
    return decode(raw, file)


def decode(raw: bytes, file: Path) -> SourceText:
    """Return the text of a manifest's bytes. `file` is for messages only.

    Raises ManifestUnreadable if the bytes are too many, not UTF-8, or hold a character that YAML forbids.
    """
    if len(raw) > MAX_BYTES:
        _too_large(file)
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        refuse(file, "parse.encoding", "the manifest is UTF-16", 1, 1, "Save it as UTF-8.")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line, column = _line_column(raw[: error.start].decode("utf-8"))
        message = f"the manifest is not UTF-8: byte 0x{raw[error.start]:02x} is not valid here"
        refuse(file, "parse.encoding", message, line, column, "Save it as UTF-8.")
    bom = text.startswith(_BOM)
    text = text[1:] if bom else text
    if (bad := _FORBIDDEN.search(text)) or text.startswith(_BOM):
        position = bad.start() if bad else 0
        line, column = _line_column(text[:position])
        message = f"YAML forbids the character U+{ord(text[position]):04X} here"
        refuse(
            file,
            "parse.character",
            message,
            line,
            column,
            'Remove it, or write it as an escape in a "string".',
        )
    return SourceText(file, text, bom, hashlib.sha256(raw).hexdigest())


def refuse(
    file: Path,
    rule: str,
    message: str,
    line: int | None = None,
    column: int | None = None,
    hint: str | None = None,
) -> NoReturn:
    """Raise ManifestUnreadable with one finding; `rule` is a `parse.*` id, line and column count from 1."""
    finding = Finding(ManifestUnreadable.code, message, file, line, column, hint, rule)
    raise ManifestUnreadable(message, hint=hint, findings=[finding])


def _too_large(file: Path) -> NoReturn:
    message = f"the manifest is larger than {MAX_BYTES} bytes"
    refuse(file, "parse.size", message, hint="Check that this is the right file, or split it.")


def _line_column(before: str) -> tuple[int, int]:
    """Return the place behind `before`, counting from 1."""
    return before.count("\n") + 1, len(before) - before.rfind("\n")
