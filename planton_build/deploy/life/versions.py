"""The published versions of a function: what each was built from, and which alias serves it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from planton_build.deploy.life.record import BuildRecord, parse
from planton_build.deploy.life.target import Target, not_deployed, number, pages, text
from planton_build.deploy.observed import code_digest
from planton_build.deploy.traffic import weights_of
from planton_build.errors import VersionUnknown
from planton_build.publish.aws import Aws

LATEST: Final = "$LATEST"
MIN_DIGEST: Final = 8
"""Hex digits of a code digest that name a version."""
MIN_COMMIT: Final = 7
"""Hex digits of a commit that name a version: as many as git itself shows."""

_HEX = re.compile(r"[0-9a-f]+")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MODIFIED: Final = "%Y-%m-%dT%H:%M:%S.%f%z"


@dataclass(frozen=True, slots=True)
class PublishedVersion:
    """A version of a function.

    `code_sha256` is hex, of the ZIP or the image, None when Lambda does not tell it. `record` is what the
    description says when it is ours. `last_modified` is Lambda's own text. `aliases` are the aliases that
    name the version, with the share (0 to 1) of their traffic that it serves. `size` is in bytes, 0 for
    images.
    """

    number: str
    code_sha256: str | None
    description: str
    record: BuildRecord | None
    last_modified: str
    aliases: Mapping[str, float] = field(default_factory=dict)
    size: int = 0
    runtime: str = ""

    @property
    def shown(self) -> str:
        """Return the version's name with its record or description, for people."""
        return f"version {self.number}" + (f" ({self.origin})" if self.origin else "")

    @property
    def origin(self) -> str:
        """Return what it was built from in a few words: the commit, or the description of somebody else."""
        if self.record is None:
            return self.description
        commit = self.record.commit[:12] + ("+dirty" if self.record.dirty else "")
        return " ".join(part for part in (commit, self.record.note) if part)


def list_versions(name: str, aws: Aws, region: str | None) -> list[PublishedVersion]:
    """Return the published versions of a function, the newest first; `$LATEST` is none.

    Raises FunctionUnknown when the function is not deployed, AccessDenied, CredentialsMissing,
    AwsUnreachable or DeployRefused.
    """
    target = Target(name, aws.region(region), aws)
    found = versions_and_latest(target)
    return [version for version in found if version.number != LATEST]


def versions_and_latest(target: Target) -> list[PublishedVersion]:
    """Return the versions of a function, the newest first, and `$LATEST` at the end. Raises as above."""
    client = target.client
    # Lambda lists 50 versions a page at most, whatever is asked for.
    found = list(
        pages(
            target,
            "listing the versions of",
            client.list_versions_by_function,
            "Versions",
            FunctionName=target.name,
        )
    )
    if not found:
        raise not_deployed(target)
    aliases = list_aliases(target)
    versions = [_version(one, _shares(aliases, text(one, "Version"))) for one in found]
    return sorted(versions, key=lambda version: _order(version.number), reverse=True)


def list_aliases(target: Target) -> list[Mapping[str, Any]]:
    """Return Lambda's answers about the aliases of a function. Raises as `list_versions`."""
    client = target.client
    doing = "listing the aliases of"
    return list(pages(target, doing, client.list_aliases, "Aliases", FunctionName=target.name))


def shares_of(alias: Mapping[str, Any]) -> dict[str, float]:
    """Return which versions an alias names, and the share (0 to 1) of its traffic that each serves."""
    weights = weights_of(alias)
    first = text(alias, "FunctionVersion")
    return {first: max(0.0, 1.0 - sum(weights.values()))} | {
        version: share for version, share in weights.items() if version != first
    }


def find_version(versions: Sequence[PublishedVersion], wanted: str) -> PublishedVersion:
    """Return the one version that is meant: by number, code digest, or commit.

    A digest is `sha256:` and any number of hex digits, or at least 8 of them; a commit has at least 7.
    Raises VersionUnknown when none is meant, or several.
    """
    for version in versions:
        if version.number == wanted:
            return version
    prefix = wanted.strip().lower()
    digest = prefix.removeprefix("sha256:")
    is_digest = prefix != digest
    found: list[PublishedVersion] = []
    if _HEX.fullmatch(digest):
        if is_digest or len(digest) >= MIN_DIGEST:
            found = [one for one in versions if (one.code_sha256 or "").startswith(digest)]
        if not is_digest and len(digest) >= MIN_COMMIT:
            commits = [one for one in versions if one.record and one.record.commit.startswith(digest)]
            found += [one for one in commits if one not in found]
    if len(found) == 1:
        return found[0]
    if found:
        raise VersionUnknown(
            f"{wanted} may be any of {len(found)} versions: {_listed(found)}",
            hint="name one by its number",
        )
    raise VersionUnknown(
        f"no published version is {wanted}; there are {_listed(versions) or 'none'}",
        hint=f"name a version by its number, by {MIN_DIGEST} or more digits of its code digest, or by "
        f"{MIN_COMMIT} or more of its commit; `planton-deploy versions` lists them",
    )


def modified_at(last_modified: str) -> datetime | None:
    """Return the time in Lambda's `LastModified`, in UTC, or None when it is none."""
    for form in (_MODIFIED, "%Y-%m-%dT%H:%M:%S%z"):
        try:
            return datetime.strptime(last_modified, form).astimezone(UTC)
        except ValueError:
            continue
    return None


def _version(found: Mapping[str, Any], aliases: Mapping[str, float]) -> PublishedVersion:
    description = text(found, "Description")
    encoded = text(found, "CodeSha256")
    return PublishedVersion(
        number=text(found, "Version"),
        code_sha256=encoded if _SHA256.fullmatch(encoded) else code_digest(encoded),
        description=description,
        record=parse(description),
        last_modified=text(found, "LastModified"),
        aliases=aliases,
        size=number(found, "CodeSize") or 0,
        runtime=text(found, "Runtime"),
    )


def _shares(aliases: Sequence[Mapping[str, Any]], version: str) -> dict[str, float]:
    named = ((text(alias, "Name"), shares_of(alias).get(version)) for alias in aliases)
    return {name: share for name, share in sorted(named) if share is not None}


def _order(version: str) -> int:
    return int(version) if version.isascii() and version.isdigit() else -1


def _listed(versions: Sequence[PublishedVersion], most: int = 10) -> str:
    more = f" and {len(versions) - most} more" if len(versions) > most else ""
    return ", ".join(version.number for version in versions[:most]) + more
