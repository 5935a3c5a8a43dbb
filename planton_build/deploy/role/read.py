"""What a role is in IAM: who may take it, and every statement of its policies. Any key may be missing."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from planton_build.deploy.role.statement import statements_of, texts
from planton_build.errors import AccessDenied, DeployRefused
from planton_build.publish.aws import Aws
from planton_build.publish.aws_errors import error_code, explained

if TYPE_CHECKING:
    from mypy_boto3_iam import IAMClient

ROLE_ARN = re.compile(
    r"arn:aws[a-zA-Z-]*:iam::(?P<account>\d{12}):role(?P<path>/(?:[\x21-\x7e]{1,510}/)?)(?P<name>[\w+=,.@-]{1,64})",
    re.ASCII,
)
"""A role's ARN (IAM API Reference, `CreateRole`: RoleName and Path)."""
_MAX_POLICIES = 60
"""Policies read of one role. IAM attaches 25 at most, and its 10 KB hold few inline ones ("IAM quotas")."""
_MAX_PAGES = 20


@dataclass(frozen=True, slots=True)
class Granted:
    """A policy of a role: its name, and its statements as IAM has them."""

    policy: str
    statements: tuple[Mapping[str, Any], ...] = field(hash=False)


@dataclass(frozen=True, slots=True)
class ObservedRole:
    """A role as far as IAM tells it.

    `policies` are inline and attached ones. `untold` says what could not be read, for people; then a right
    that was not seen may be there all the same. `bounded` tells that a permissions boundary takes away from
    what the policies give.
    """

    name: str
    arn: str
    trust: Mapping[str, Any] = field(hash=False)
    policies: tuple[Granted, ...]
    untold: tuple[str, ...] = ()
    boundary: str = ""

    @property
    def taken_by_lambda(self) -> bool:
        """Tell whether the trust policy lets Lambda take the role, conditions aside."""
        return any(_trusts_lambda(one) for one in statements_of(self.trust))


def read_role(arn: str, aws: Aws, region: str | None) -> ObservedRole | None:
    """Read a role and its policies; None when there is none of that ARN.

    What the caller may not read is said in `untold`. Raises CredentialsMissing, AwsUnreachable or
    DeployRefused; AccessDenied only when not even the role itself may be read.
    """
    match = ROLE_ARN.fullmatch(arn)
    if match is None:
        return None
    client, name = aws.iam(region), match["name"]
    found = find_role(client, name)
    if found is None or found.get("Arn") != arn:
        return None
    untold: list[str] = []
    policies = [*_inline(client, name, untold), *_attached(client, name, untold)]
    boundary = found.get("PermissionsBoundary")
    return ObservedRole(
        name,
        arn,
        document_of(found.get("AssumeRolePolicyDocument")),
        tuple(policies),
        tuple(dict.fromkeys(untold)),
        str(boundary.get("PermissionsBoundaryArn") or "") if isinstance(boundary, Mapping) else "",
    )


def find_role(client: IAMClient, name: str) -> Mapping[str, Any] | None:
    """Return IAM's answer about a role, None when there is none of that name. Raises as `explained`."""
    from botocore.exceptions import ClientError

    with explained(f"reading the role {name}", otherwise=DeployRefused, resource=name):
        try:
            answer: Mapping[str, Any] = client.get_role(RoleName=name)
        except ClientError as error:
            if error_code(error) == "NoSuchEntity":
                return None
            raise
    found = answer.get("Role")
    return found if isinstance(found, Mapping) else {}


def document_of(value: object) -> Mapping[str, Any]:
    """Return a policy document, which the SDK decodes and some emulators leave as encoded text."""
    if isinstance(value, str):
        try:
            value = json.loads(unquote(value))
        except (ValueError, RecursionError):
            return {}
    return value if isinstance(value, Mapping) else {}


def _inline(client: IAMClient, name: str, untold: list[str]) -> Iterator[Granted]:
    for policy in _listed(client.list_role_policies, "PolicyNames", name, untold):
        if isinstance(policy, str) and (found := _inline_one(client, name, policy, untold)) is not None:
            yield found


def _inline_one(client: IAMClient, name: str, policy: str, untold: list[str]) -> Granted | None:
    answer = _told(
        f"the policy {policy} of the role {name}",
        untold,
        lambda: client.get_role_policy(RoleName=name, PolicyName=policy),
    )
    return None if answer is None else _granted(policy, answer.get("PolicyDocument"))


def _attached(client: IAMClient, name: str, untold: list[str]) -> Iterator[Granted]:
    for policy in _listed(client.list_attached_role_policies, "AttachedPolicies", name, untold):
        arn = policy.get("PolicyArn") if isinstance(policy, Mapping) else None
        if isinstance(arn, str) and (found := _attached_one(client, arn, untold)) is not None:
            yield found


def _attached_one(client: IAMClient, arn: str, untold: list[str]) -> Granted | None:
    name = arn.rpartition("/")[2] or arn

    def read() -> Mapping[str, Any]:
        policy: Any = client.get_policy(PolicyArn=arn).get("Policy") or {}
        version = str(policy.get("DefaultVersionId") or "")
        return client.get_policy_version(PolicyArn=arn, VersionId=version)

    answer = _told(f"the policy {name}", untold, read)
    version = None if answer is None else answer.get("PolicyVersion")
    return _granted(name, version.get("Document")) if isinstance(version, Mapping) else None


def _granted(policy: str, document: object) -> Granted:
    return Granted(policy, tuple(statements_of(document_of(document))))


def _listed(call: Callable[..., Any], key: str, name: str, untold: list[str]) -> list[Any]:
    """Return all items of a paged list."""
    found: list[Any] = []
    marker: dict[str, Any] = {}
    for _ in range(_MAX_PAGES):
        page = _told(
            f"which policies the role {name} has",
            untold,
            lambda marker=marker: call(RoleName=name, **marker),  # type: ignore[misc]
        )
        if page is None:
            return found
        items = page.get(key)
        found += items if isinstance(items, list) else []
        if not page.get("IsTruncated") or not page.get("Marker") or len(found) > _MAX_POLICIES:
            break
        marker = {"Marker": page["Marker"]}
    if len(found) > _MAX_POLICIES:
        untold.append(f"more than {_MAX_POLICIES} policies of the role {name}")
    return found[:_MAX_POLICIES]


def _told(what: str, untold: list[str], call: Callable[[], Any]) -> Any:
    """Return the answer of a call, or None, remembering what is not known then, when IAM does not tell."""
    from botocore.exceptions import ClientError

    try:
        with explained(f"reading {what}", otherwise=DeployRefused, resource=what):
            try:
                return call()
            except ClientError as error:
                if error_code(error) != "NoSuchEntity":
                    raise
                return None  # deleted meanwhile
    except AccessDenied:
        untold.append(what)
        return None


def _trusts_lambda(statement: Mapping[str, Any]) -> bool:
    if statement.get("Effect") != "Allow":
        return False
    actions = [action.lower() for action in texts(statement.get("Action"))]
    if not any(action in ("*", "sts:*", "sts:assumerole") for action in actions):
        return False
    principal = statement.get("Principal")
    if principal == "*":
        return True
    services = texts(principal.get("Service")) if isinstance(principal, Mapping) else ()
    return "lambda.amazonaws.com" in services
