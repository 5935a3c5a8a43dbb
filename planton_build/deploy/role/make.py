"""Make a function's role, or lead it to what the configuration needs. Safe to run again, and to kill.

The role belongs to whoever made it: of one that exists, only the inline policy `planton-FUNCTION` is written.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from planton_build.deploy.role.read import document_of, find_role
from planton_build.deploy.role.statement import RolePolicy, canonical
from planton_build.errors import ConfigInvalid, DeployConflict, DeployRefused
from planton_build.publish.aws import Aws
from planton_build.publish.aws_errors import error_code, explained

if TYPE_CHECKING:
    from mypy_boto3_iam import IAMClient

Action: TypeAlias = Literal["created", "updated", "unchanged"]

MAX_INLINE = 10_240
"""Characters of all inline policies of a role, white space aside ("IAM and AWS STS quotas")."""


@dataclass(frozen=True, slots=True)
class WantedRole:
    """A role to be: its name and path, whose it is, and what it may do. `boundary` is an ARN or ""."""

    name: str
    path: str
    function: str
    policy: RolePolicy
    boundary: str = ""
    arn: str = ""
    """The ARN that the manifest names; "" when it names none."""

    @property
    def policy_name(self) -> str:
        """Return the name of the one policy that is written."""
        return f"planton-{self.function}"


@dataclass(frozen=True, slots=True)
class MadeRole:
    """A role that is there now. `difference` is what became of its policy, as lines of a unified diff."""

    arn: str
    action: Action
    difference: tuple[str, ...] = ()
    calls: int = 0


def make_role(wanted: WantedRole, aws: Aws, region: str | None) -> MadeRole:
    """Create a role, or update the policy in it that is ours; nothing is written where nothing differs.

    Raises ConfigInvalid when the policy is larger than IAM takes, DeployRefused when the role that is there
    cannot be the function's (another path, not for Lambda) or IAM refuses, DeployConflict when somebody
    else makes it at this moment, AccessDenied, CredentialsMissing or AwsUnreachable.
    """
    _check_size(wanted)
    client = aws.iam(region)
    found = find_role(client, wanted.name)
    created = found is None
    calls = 0
    if found is None:
        found, calls = _create(client, wanted), 1
    _check_ours(wanted, found)
    if not created and wanted.boundary and _boundary(found) != wanted.boundary:
        with explained(f"setting the permissions boundary of {wanted.name}", otherwise=DeployRefused):
            client.put_role_permissions_boundary(RoleName=wanted.name, PermissionsBoundary=wanted.boundary)
        calls += 1
    before = None if created else _policy(client, wanted)
    if before != wanted.policy.document:
        with explained(
            f"writing the policy {wanted.policy_name} of the role {wanted.name}",
            otherwise=DeployRefused,
            resource=wanted.name,
        ):
            client.put_role_policy(
                RoleName=wanted.name,
                PolicyName=wanted.policy_name,
                PolicyDocument=_compact(wanted.policy.document),
            )
        calls += 1
    action: Action = "created" if created else "updated" if calls else "unchanged"
    return MadeRole(str(found.get("Arn") or ""), action, difference(before, wanted.policy.document), calls)


def difference(before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> tuple[str, ...]:
    """Return how a policy document changes, as lines of a unified diff; () when it does not."""
    old = [] if before is None else canonical(before).splitlines()
    return tuple(difflib.unified_diff(old, canonical(after).splitlines(), "now", "wanted", lineterm="", n=2))


def _create(client: IAMClient, wanted: WantedRole) -> Mapping[str, Any]:
    from botocore.exceptions import ClientError

    options: Any = {"PermissionsBoundary": wanted.boundary} if wanted.boundary else {}
    with explained(f"creating the role {wanted.name}", otherwise=DeployRefused, resource=wanted.name):
        try:
            answer: Mapping[str, Any] = client.create_role(
                RoleName=wanted.name,
                Path=wanted.path,
                AssumeRolePolicyDocument=_compact(wanted.policy.trust),
                Description=f"what the function {wanted.function} may do; made by planton-deploy role",
                **options,
            )
        except ClientError as error:
            if error_code(error) != "EntityAlreadyExists":
                raise
            # An answer that was lost, or somebody else at the same time: what is there is judged as ever.
            answer = {"Role": find_role(client, wanted.name)}
    found = answer.get("Role")
    if not isinstance(found, Mapping):
        raise DeployConflict(
            f"the role {wanted.name} was there while it was created, and is gone",
            hint="somebody else makes and deletes it; run the command again",
        )
    return found


def _check_ours(wanted: WantedRole, found: Mapping[str, Any]) -> None:
    arn = str(found.get("Arn") or "")
    if wanted.arn and arn != wanted.arn:
        raise DeployRefused(
            f"the role {wanted.arn} cannot be made beside {arn or 'another of that name'}",
            hint="role names are unique in an account, whatever their path; correct `spec.roleArn`",
        )
    from planton_build.deploy.role.read import ObservedRole

    trust = document_of(found.get("AssumeRolePolicyDocument"))
    if trust and not ObservedRole(wanted.name, arn, trust, ()).taken_by_lambda:
        raise DeployRefused(
            f"the role {wanted.name} is there, and not for Lambda: its trust policy does not let "
            "lambda.amazonaws.com take it",
            hint="choose another name with --name, or change the trust policy of the role yourself",
        )


def _policy(client: IAMClient, wanted: WantedRole) -> Mapping[str, Any] | None:
    from botocore.exceptions import ClientError

    with explained(
        f"reading the policy {wanted.policy_name} of the role {wanted.name}",
        otherwise=DeployRefused,
        resource=wanted.name,
    ):
        try:
            answer: Mapping[str, Any] = client.get_role_policy(
                RoleName=wanted.name, PolicyName=wanted.policy_name
            )
        except ClientError as error:
            if error_code(error) == "NoSuchEntity":
                return None
            raise
    return document_of(answer.get("PolicyDocument"))


def _boundary(found: Mapping[str, Any]) -> str:
    boundary = found.get("PermissionsBoundary")
    return str(boundary.get("PermissionsBoundaryArn") or "") if isinstance(boundary, Mapping) else ""


def _check_size(wanted: WantedRole) -> None:
    size = len("".join(_compact(wanted.policy.document).split()))
    if size > MAX_INLINE:
        raise ConfigInvalid(
            f"the policy of {wanted.function} has {size:,} characters, and IAM takes "
            f"{MAX_INLINE:,} in a role",
            hint="put some of `[deploy.role] statements` into a managed policy of your own",
        )


def _compact(document: object) -> str:
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False)
