"""The values of settings: what each kind may hold, in words that complete "the setting ...".

Every check takes a value as TOML gives it and raises `Wrong` with what is wrong. botocore checks no maxima,
patterns or enums, so all of Lambda's limits stand here: in the model of botocore (`lambda/2015-03-31`) and
in the API reference of the call that is named.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, TypeAlias, TypeVar

from planton_build.settings.model import OFF, Off

T = TypeVar("T")
Check: TypeAlias = Callable[[object], T]

MAX_NUMBER = 2**31 - 1
"""AWS's `Integer`, where nothing else bounds a number."""
_SHOWN = 60

LOG_RETENTION_DAYS = (
    1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653
)  # fmt: skip
"""PutRetentionPolicy, `retentionInDays`."""
ALIAS = re.compile(r"(?![0-9]+$)[a-zA-Z0-9_-]{1,128}")
"""CreateAlias, `Name`."""
LOG_GROUP = re.compile(r"[.\-_/#A-Za-z0-9]{1,512}")
"""`LoggingConfig.LogGroup`."""
MAX_TAGS = 50
"""Tags of one resource (TagResource)."""
_TAG_CHARACTERS = "_.:/=+-@"
"""`TagKey` and `TagValue`, besides letters, numbers and spaces of any script."""


class Wrong(ValueError):
    """What is wrong with a value, as words that follow its key; `hint` says what to do."""

    def __init__(self, words: str, hint: str | None = None) -> None:
        super().__init__(words)
        self.hint = hint


def shown(value: object) -> str:
    """Return a value for a message: of one line, and short."""
    if isinstance(value, int) and value.bit_length() > 64:
        return "a number that long"
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, bool):
        return "true" if value else "false"
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, str) else str(value)
    if not text.isprintable():  # of what commands a terminal
        text = json.dumps(value) if isinstance(value, str) else ascii(text)
        text = text.replace("\x7f", "\\u007f")
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def text(value: object) -> str:
    """Return text that is not empty, without control characters."""
    if not isinstance(value, str):
        raise Wrong(f"must be text, not {shown(value)}")
    if not value.strip():
        raise Wrong("must not be empty")
    if any(unicodedata.category(character) == "Cc" for character in value):
        raise Wrong("must not hold control characters")
    return value


def text_of_at_most(most: int) -> Check[str]:
    """Return a check for text of a length."""

    def check(value: object) -> str:
        found = text(value)
        if len(found) > most:
            raise Wrong(f"must not be longer than {most:,} characters")
        return found

    return check


def lines_of_at_most(most: int) -> Check[str]:
    """Return a check for any text of a length, of several lines or empty too."""

    def check(value: object) -> str:
        if not isinstance(value, str):
            raise Wrong(f"must be text, not {shown(value)}")
        if len(value) > most or "\0" in value:
            raise Wrong(f"must not be longer than {most:,} characters, nor hold a NUL")
        return value

    return check


def matching(pattern: re.Pattern[str], words: str, most: int | None = None) -> Check[str]:
    """Return a check for text of a form; `words` say which, and follow "must be"."""

    def check(value: object) -> str:
        found = text(value)
        if not pattern.fullmatch(found) or (most is not None and len(found) > most):
            raise Wrong(f"must be {words}, not {shown(found)}")
        return found

    return check


def number(low: int, high: int, unit: str = "") -> Check[int]:
    """Return a check for a whole number; `unit` follows it in messages."""
    what = f"a whole number of {unit}" if unit else "a whole number"
    limits = f"at least {low:,}" if high == MAX_NUMBER else f"from {low:,} to {high:,}"

    def check(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise Wrong(f"must be {what} {limits}, not {shown(value)}")
        return value

    return check


def choice(allowed: Sequence[T]) -> Check[T]:
    """Return a check for one of a few texts."""
    names = [shown(item) for item in allowed]
    words = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"

    def check(value: object) -> T:
        for item in allowed:
            if type(item) is type(value) and item == value:
                return item
        raise Wrong(f"must be {words}, not {shown(value)}")

    return check


def switch(value: object) -> bool:
    """Return true or false."""
    if not isinstance(value, bool):
        raise Wrong(f"must be true or false, not {shown(value)}")
    return value


def or_off(check: Check[T]) -> Check[T | Off]:
    """Return a check that takes `false` too, for "remove it"."""

    def checked(value: object) -> T | Off:
        if value is False:
            return OFF
        try:
            return check(value)
        except Wrong as error:
            raise Wrong(f"{error}; false removes it", error.hint) from error

    return checked


def or_none(check: Check[T]) -> Check[T | None]:
    """Return a check that takes `false` too, for "there is none"."""

    def checked(value: object) -> T | None:
        return None if value is False else check(value)

    return checked


def list_of(check: Check[T], most: int, what: str, *, least: int = 0) -> Check[tuple[T, ...]]:
    """Return a check for a list of at most so many; `what` names them."""

    def checked(value: object) -> tuple[T, ...]:
        if not isinstance(value, list):
            raise Wrong(f"must be a list of {what}, not {shown(value)}")
        if not least <= len(value) <= most:
            bound = f"exactly {most}" if least == most else f"at most {most:,}"
            raise Wrong(f"must hold {bound} of {what}, not {len(value):,}")
        found = []
        for index, item in enumerate(value):
            try:
                found.append(check(item))
            except Wrong as error:
                raise Wrong(f"[{index}] {error}", error.hint) from error
        return tuple(found)

    return checked


def log_retention(value: object) -> int | Off:
    """Return a number of days that CloudWatch Logs knows, or OFF for ever."""
    if value is False:
        return OFF
    if isinstance(value, bool) or not isinstance(value, int) or value not in LOG_RETENTION_DAYS:
        days = ", ".join(map(str, LOG_RETENTION_DAYS))
        raise Wrong(f"must be one of {days}, or false", "it counts days; false keeps the logs for ever")
    return value


def tags(value: object) -> dict[str, str]:
    """Return tags as TagResource takes them."""
    if not isinstance(value, dict):
        raise Wrong(f'must be a table, such as tags = {{ team = "billing" }}, not {shown(value)}')
    if len(value) > MAX_TAGS:
        raise Wrong(f"must not hold more than {MAX_TAGS} tags")
    for key, item in value.items():
        if not 1 <= len(key) <= 128 or not _is_tag_text(key):
            raise Wrong(f"holds the key {shown(key)}: 1 to 128 letters, digits, spaces or {_TAG_CHARACTERS}")
        if key.lower().startswith("aws:"):
            raise Wrong(f"holds the key {shown(key)}: those that begin with aws: are AWS's own")
        if not isinstance(item, str):
            raise Wrong(f"gives {shown(key)} a value that is no text", "write numbers in quotes")
        if len(item) > 256 or not _is_tag_text(item):
            raise Wrong(
                f"gives {shown(key)} the value {shown(item)}: at most 256 letters, digits, spaces or "
                f"{_TAG_CHARACTERS}"
            )
    return dict(sorted(value.items()))


def _is_tag_text(value: str) -> bool:
    return all(
        character in _TAG_CHARACTERS or unicodedata.category(character)[0] in "LZN" for character in value
    )


def instant(value: object) -> float:
    """Return seconds since 1970 from a time with its zone, or from such a number."""
    if isinstance(value, datetime) and value.tzinfo is not None:
        seconds = value.timestamp()
    elif isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 2**53:
        seconds = float(value)
    else:
        raise Wrong("must be a time with its zone, such as 2026-11-25T16:00:00Z, or seconds since 1970")
    if seconds < 0:
        raise Wrong("must not be before 1970")
    return seconds


def json_text(value: Any, most: int) -> str:
    """Return a TOML value as compact JSON. Raises Wrong when JSON has no such value, or it is too large."""
    try:
        found = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except TypeError as error:
        raise Wrong("holds a date or time, which JSON has not", "write it as text") from error
    except (ValueError, RecursionError) as error:
        raise Wrong("holds a number that JSON has not, or is nested too deeply") from error
    if len(found.encode()) > most:
        raise Wrong(f"must not be larger than {most:,} bytes as JSON")
    return found
