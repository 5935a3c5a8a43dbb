"""Which role a manifest wants. A role comes before the code, so neither code nor role need be there yet."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from planton_build.deploy.desired import DesiredFunction, desired_state
from planton_build.deploy.role.make import WantedRole
from planton_build.deploy.role.policy import role_policy
from planton_build.deploy.role.read import ROLE_ARN
from planton_build.errors import ConfigInvalid
from planton_build.manifest.document import Manifest
from planton_build.manifest.model import CodeSourceType, S3Code, StringValueOrRef
from planton_build.settings.model import NO_SETTINGS, DeploySettings

if TYPE_CHECKING:
    from planton_build.deploy.references.resolver import References

MAX_NAME = 64
"""Characters of a role's name (IAM API Reference, `CreateRole`)."""
_SOMETHING = StringValueOrRef(value="-")


def literal_role(manifest: Manifest) -> str:
    """Return the role's ARN that a manifest names itself, "" when it refers to one or has none."""
    role = manifest.model.spec.role_arn
    return role.value if role is not None and role.value and ROLE_ARN.fullmatch(role.value) else ""


def account_in(manifest: Manifest) -> str:
    """Return the account of the role that a manifest names itself, "" when it does not."""
    match = ROLE_ARN.fullmatch(literal_role(manifest))
    return match["account"] if match else ""


def configured(
    manifest: Manifest, settings: DeploySettings = NO_SETTINGS, references: References | None = None
) -> DesiredFunction:
    """Return what decides the rights of a function, though code or role may be missing yet.

    Only the key of the environment needs its value; of subnets it counts that there are some. Raises what
    `desired_state` raises.
    """
    spec = manifest.model.spec
    image = spec.code_source_type is CodeSourceType.IMAGE
    known = spec.model_copy(
        update={
            "role_arn": _SOMETHING,
            "subnets": tuple(_SOMETHING for _ in spec.subnets),
            "security_groups": (),
            "layer_arns": (),
            "code_source_type": CodeSourceType.IMAGE if image else CodeSourceType.S3,
            "s3": None if image else S3Code(bucket="-", key="-"),
            "image_uri": "-" if image else "",
        }
    )
    desired = desired_state(
        replace(manifest, model=manifest.model.model_copy(update={"spec": known})), settings, references
    )
    return replace(desired, role=literal_role(manifest))


def wanted_role(
    manifest: Manifest, desired: DesiredFunction, account: str, region: str, *, name: str = ""
) -> WantedRole:
    """Return the role of a function: named by `name`, else as the manifest names it, else FUNCTION-role.

    Raises ConfigInvalid when that name is longer than IAM takes.
    """
    settings, arn = desired.settings.role, literal_role(manifest)
    match = ROLE_ARN.fullmatch(arn) if not name else None
    chosen = match["name"] if match else name or f"{desired.name}-role"
    if len(chosen) > MAX_NAME:
        raise ConfigInvalid(
            f"the role's name {chosen} has {len(chosen)} characters, and IAM takes {MAX_NAME}",
            hint="choose another one with --name",
        )
    return WantedRole(
        name=chosen,
        path=match["path"] if match else settings.path,
        function=desired.name,
        policy=role_policy(desired, account, region),
        boundary=settings.permissions_boundary,
        arn=arn if match else "",
    )
