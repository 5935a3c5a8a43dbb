"""What serves: the alias of a function, the version it names, and whether that is what is desired."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from planton_build.deploy.observed import ObservedFunction, observe
from planton_build.errors import DeployRefused
from planton_build.publish.aws import Aws
from planton_build.publish.aws_errors import error_code, explained

LATEST = "$LATEST"
"""What an alias can name that is no published version: the function as it is being changed."""
_MARK = "planton: serves="
_BEFORE = re.compile(r"planton: serves=([0-9]{1,20}) before=([0-9]{1,20})")


def before_mark(alias: ObservedAlias, version: str) -> str | None:
    """Return the description that notes what an alias serves now, for when it is moved to `version`.

    None where somebody has described it otherwise: that stays.
    """
    if alias.description and not alias.description.startswith(_MARK):
        return None
    return f"{_MARK}{version} before={alias.version}" if alias.version.isdecimal() else ""


@dataclass(frozen=True, slots=True)
class ObservedAlias:
    """An alias as Lambda tells it.

    `weights` are the shares (0 to 1) of further versions. `serving` is the function as of `version`.
    `description` is its own; a deployment writes there what it served before (`before_mark`).
    """

    name: str
    version: str
    weights: Mapping[str, float]
    serving: ObservedFunction
    revision_id: str | None = field(default=None, compare=False)
    description: str = field(default="", compare=False)

    @property
    def former(self) -> str:
        """Return the version that it served before, as the last deployment has noted.

        "" when none has, or when the alias was moved by something else since.
        """
        found = _BEFORE.fullmatch(self.description)
        return found[2] if found and found[1] == self.version else ""

    @property
    def shown(self) -> str:
        """Return what it names, for people."""
        more = [f"{share * 100:.0f} % to {version}" for version, share in sorted(self.weights.items())]
        return ", ".join([f"version {self.version}", *more])


def observe_alias(function: str, alias: str, aws: Aws, region: str | None) -> ObservedAlias | None:
    """Read an alias and the version it names; None when there is no such alias, or no function.

    Raises AccessDenied, CredentialsMissing, AwsUnreachable or DeployRefused.
    """
    found = read_alias(function, alias, aws, region)
    if found is None:
        return None
    version = str(found.get("FunctionVersion") or "")
    serving = observe(function, aws, region, qualifier=version) if version else None
    if serving is None:
        raise DeployRefused(
            f"the alias {alias} of {function} names version {version or '?'}, which is not there",
            hint="somebody is deleting it; deploy again",
        )
    revision, description = found.get("RevisionId"), found.get("Description")
    return ObservedAlias(
        alias,
        version,
        weights_of(found),
        serving,
        revision if isinstance(revision, str) else None,
        description if isinstance(description, str) else "",
    )


def read_alias(function: str, alias: str, aws: Aws, region: str | None) -> Mapping[str, Any] | None:
    """Return Lambda's answer about an alias, None when there is none. Raises as `observe_alias`."""
    from botocore.exceptions import ClientError

    client = aws.lambda_(region)
    with explained(
        f"reading the alias {alias} of {function}", otherwise=DeployRefused, resource=f"{function}:{alias}"
    ):
        try:
            return client.get_alias(FunctionName=function, Name=alias)
        except ClientError as error:
            if error_code(error) == "ResourceNotFoundException":
                return None
            raise


def weights_of(found: Mapping[str, Any]) -> dict[str, float]:
    """Return the shares of further versions in Lambda's answer about an alias."""
    routing = found.get("RoutingConfig")
    weights = routing.get("AdditionalVersionWeights") if isinstance(routing, Mapping) else None
    if not isinstance(weights, Mapping):
        return {}
    return {
        str(version): float(share) for version, share in weights.items() if isinstance(share, int | float)
    }
