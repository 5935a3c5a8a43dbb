"""`scope_of`: where the aspects of a desired function are."""

from __future__ import annotations

from planton_build.deploy.aspects.aspect import Scope
from planton_build.deploy.desired import DesiredFunction
from planton_build.publish.aws import Aws


def scope_of(desired: DesiredFunction, aws: Aws, region: str | None) -> Scope:
    """Return the scope of a function. Its account and partition are those of its role.

    Raises CredentialsMissing when no region is known.
    """
    where = aws.region(region or desired.region or None)
    parts = desired.role.split(":")
    partition, account = (parts[1], parts[4]) if len(parts) > 5 else ("aws", "")
    arn = f"arn:{partition}:lambda:{where}:{account}:function:{desired.name}"
    return Scope(desired.name, desired.settings.alias or "", arn, account, where, aws)
