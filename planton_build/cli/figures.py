"""Times, durations and sizes, as people write and read them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import click

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_DURATION = re.compile(r"(\d{1,9})\s*([smhdw])")
_MAX_SECONDS = 10 * 365 * 86_400


class Duration(click.ParamType):  # type: ignore[type-arg]  # generic in new releases of click only
    """A duration such as `30s`, `10m`, `12h`, `7d` or `2w`; the value is a timedelta."""

    name = "duration"

    def convert(
        self, value: str | timedelta, param: click.Parameter | None, ctx: click.Context | None
    ) -> timedelta:
        """Return the duration, or end the command with what is wrong."""
        if isinstance(value, timedelta):
            return value
        found = _DURATION.fullmatch(value.strip().lower())
        seconds = int(found[1]) * _UNITS[found[2]] if found else None
        if seconds is None or seconds > _MAX_SECONDS:
            self.fail(f"{value!r} is no duration; write it as 30s, 10m, 12h, 7d or 2w", param, ctx)
        return timedelta(seconds=seconds)


class Since(Duration):
    """A moment in the past: a duration before now, or a time such as `2026-11-25T16:00`; the value is UTC."""

    name = "time"

    def convert(  # type: ignore[override]
        self, value: str | datetime, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """Return the moment, or end the command with what is wrong. A time without a zone is UTC."""
        if isinstance(value, datetime):
            return value
        try:
            moment = datetime.fromisoformat(value.strip())
        except ValueError:
            return datetime.now(UTC) - super().convert(value, param, ctx)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def size(count: int) -> str:
    """Return a size in bytes for people, in powers of 1000."""
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("KB", 10**3)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count} B"


def share(part: float) -> str:
    """Return a share (0 to 1) of traffic as a percentage."""
    return f"{part * 100:.4g} %"


def short(digest: str | None) -> str:
    """Return the start of a digest (hex), which names the code for people and for `rollback --to`."""
    return digest[:12] if digest else "?"


def moment(text: str) -> str:
    """Return one of Lambda's times to the minute, in UTC; what is no time is shown as it is."""
    from planton_build.deploy.life.versions import modified_at

    found = modified_at(text)
    return found.strftime("%Y-%m-%d %H:%M") if found else text


def count(number: int, thing: str) -> str:
    """Return a number of things in words, such as `1 version` or `3 versions`."""
    return f"{number} {thing}{'' if number == 1 else 's'}"
