"""Where a function differs from what is desired, and how that is shown to people. Pure.

What AWS does not mention is taken as absent, as in Lambda's API.
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from planton_build.deploy.change import MASK, Change
from planton_build.deploy.desired import DesiredFunction
from planton_build.deploy.observed import ObservedFunction
from planton_build.manifest.code_source import S3Source
from planton_build.settings.model import ImageSettings, Logging

CONFIGURATION = (
    "description",
    "role",
    "runtime",
    "handler",
    "memory_mb",
    "timeout_seconds",
    "environment",
    "subnets",
    "security_groups",
    "layers",
    "kms_key",
    "tracing",
    "dead_letter",
    "ephemeral_mb",
    "file_systems",
    "snap_start",
    "logging",
    "image_config",
)
"""The fields that UpdateFunctionConfiguration sets. Architecture is not one: it goes with the code."""

_UNTOLD = frozenset({"environment", "image_uri"})
"""What not every answer about a function tells."""
_BESIDE = frozenset({"arn", "code_sha256", "ipv6"})
"""What is not compared: it is written in more than one way, or goes with something else."""


def differing(desired: DesiredFunction, observed: ObservedFunction) -> tuple[str, ...]:
    """Return the fields of the configuration that are not as desired."""
    return tuple(name for name in CONFIGURATION if not fits(name, desired, observed))


def fits(name: str, desired: DesiredFunction, observed: ObservedFunction) -> bool:
    """Tell whether one field is as desired; one that is not managed is."""
    wanted = getattr(desired, name)
    if wanted is None:
        return True
    found = getattr(observed, name)
    if isinstance(wanted, Logging):
        return bool(_logging(wanted, found) == found)
    return bool(wanted == found)


def _logging(wanted: Logging, found: Logging) -> Logging:
    """Return the wanted logging with the levels that are left to Lambda as they are."""
    if wanted.format != found.format:
        return wanted
    return replace(
        wanted, level=wanted.level or found.level, system_level=wanted.system_level or found.system_level
    )


def moved(expected: ObservedFunction, seen: ObservedFunction) -> tuple[str, ...]:
    """Return in which fields a function is not as expected; what either does not tell counts as unchanged.

    Code is compared by Lambda's own hash, which all answers have; the digest of an image only some tell.
    """
    hashes = (expected.code_hash, seen.code_hash)
    code = () if "" in hashes or hashes[0] == hashes[1] else ("code_sha256",)
    return code + tuple(
        field.name
        for field in fields(expected)
        if field.compare
        and field.name not in _BESIDE
        and (was := getattr(expected, field.name)) != (now := getattr(seen, field.name))
        and not (field.name in _UNTOLD and (was in (None, "") or now in (None, "")))
    )


def fulfilled(name: str, desired: DesiredFunction, seen: ObservedFunction) -> bool:
    """Tell whether a field that `moved` names is managed and as desired."""
    if name in ("code_sha256", "image_uri"):
        return same_code(desired, seen)
    return getattr(desired, name, None) is not None and fits(name, desired, seen)


def serves(desired: DesiredFunction, version: ObservedFunction) -> bool:
    """Tell whether a published version is what is desired. Its description is its own (a build record)."""
    return (
        not version.failed
        and set(differing(desired, version)) <= {"description"}
        and version.architecture == desired.architecture
        and same_code(desired, version)
    )


def configuration_changes(
    name: str, desired: DesiredFunction, observed: ObservedFunction | None
) -> list[Change]:
    """Return the differences of one field; the environment has one for each variable."""
    after = getattr(desired, name)
    before = None if observed is None else getattr(observed, name)
    if after is None:
        return []
    if name != "environment":
        shown = Change(name, _shown(before), _shown(after))
        return [shown] if shown.before != shown.after else []
    if observed is not None and before is None:
        return [Change("environment", "unreadable", MASK, secret=True)]
    old, new = before or {}, after
    return [
        Change(
            f"environment.{key}",
            MASK if key in old else None,
            MASK if key in new else None,
            secret=True,
        )
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key)
    ]


def _shown(value: object) -> str | None:
    match value:
        case None | "" | ():
            return None
        case bool():
            return "on" if value else "off"
        case Logging():
            parts = [value.format, value.level, value.system_level, value.group]
            return ", ".join(part for part in parts if part)
        case ImageSettings():
            return _shown_image(value)
        case tuple():
            return ", ".join(_item(item) for item in value)
        case _:
            return str(value)


def _shown_image(value: ImageSettings) -> str | None:
    parts = {
        "entry point": " ".join(value.entry_point),
        "command": " ".join(value.command),
        "working directory": value.working_directory,
    }
    return ", ".join(f"{name} {text}" for name, text in parts.items() if text) or None


def _item(item: Any) -> str:
    return item if isinstance(item, str) else f"{item.arn} at {item.path}"


def code_changes(desired: DesiredFunction, observed: ObservedFunction, notes: list[str]) -> list[Change]:
    """Return the differences of code and architecture, and note why code is sent that may be there."""
    changes = []
    if desired.architecture != observed.architecture:
        changes.append(Change("architecture", observed.architecture, desired.architecture))
    if same_code(desired, observed):
        return changes
    changes.append(Change("code", observed.code_sha256 or observed.image_uri or None, code_name(desired)))
    if desired.code_sha256 is None:
        notes.append(
            f"{code_name(desired)} does not say which bytes it holds, so the code is sent again each time"
        )
    return changes


def same_code(desired: DesiredFunction, observed: ObservedFunction) -> bool:
    """Tell whether the desired code is known to be deployed."""
    if desired.code_sha256 is None:
        return False
    if isinstance(desired.code, S3Source):
        return desired.code_sha256 == observed.code_sha256
    # Lambda fetches an image again when a function was idle: from another repository it is another code.
    uri, found = desired.code.image_uri, observed.image_uri
    same_place = not found or repository_of(uri) == repository_of(found)
    # An image named by its digest is the same image when it is named the same.
    return uri == found or (same_place and desired.code_sha256 == observed.code_sha256)


def repository_of(uri: str) -> str:
    """Return an image's name without tag and digest. A colon before the last `/` is that of a port."""
    place, slash, name = uri.partition("@")[0].rpartition("/")
    return place + slash + name.partition(":")[0]


def code_name(desired: DesiredFunction) -> str:
    """Return what names the desired code: its digest, or its place."""
    if isinstance(desired.code, S3Source):
        version = f" (version {desired.code.object_version})" if desired.code.object_version else ""
        return desired.code_sha256 or f"s3://{desired.code.bucket}/{desired.code.key}{version}"
    return desired.code.image_uri
