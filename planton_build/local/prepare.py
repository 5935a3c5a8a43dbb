"""Give the local AWS what an account would already have: the bucket, the roles, the layers that manifests
name.

What else a manifest can name needs nothing: the local AWS does not look up subnets, security groups and KMS
keys (`Behaviour.strict_world`).
"""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import urlsplit

from planton_build.errors import Finding, LocalServerFailed, NotDeployable
from planton_build.local.child import LAYERS_PATH
from planton_build.local.clients import answering, local_client
from planton_build.local.registry import ServedBy
from planton_build.local.server import DEFAULT_ACCOUNT, DEFAULT_REGION, LocalAws
from planton_build.manifest.document import Manifest
from planton_build.manifest.model import S3Code
from planton_build.registry.pull import Repository
from planton_build.registry.reference import parse_reference
from planton_build.registry.session import Session

_ROLE = re.compile(
    r"arn:aws[a-zA-Z-]*:iam::(?P<account>\d{12}):role(?P<path>/(?:[\x21-\x7e]+/)?)(?P<name>[\w+=,.@-]+)"
)
_LAYER = re.compile(r"arn:aws[a-zA-Z-]*:lambda:[a-z0-9-]+:\d{12}:layer:[A-Za-z0-9_-]+:\d+")
_ASSUMED_BY_LAMBDA = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
        ],
    }
)
_ANSWER_SECONDS = 30.0


RoleOf: TypeAlias = Callable[[Manifest], "str | None"]
"""Gives the ARN of a function's role; None when it is not known."""


def literal_role(manifest: Manifest) -> str | None:
    """Return the role that a manifest names by its ARN; None for a reference."""
    role = manifest.model.spec.role_arn
    return role.value if role else None


def account_of(manifest: Manifest, role_of: RoleOf = literal_role) -> str:
    """Return the account a function belongs to: that of its role, or the usual one when the role is no ARN.

    All calls for the function have to be made with `LocalAws.credentials` of this account.
    """
    match = _ROLE.fullmatch(role_of(manifest) or "")
    return match["account"] if match else DEFAULT_ACCOUNT


def region_of(manifest: Manifest) -> str:
    """Return the region of a function in the local AWS."""
    return manifest.model.spec.region or DEFAULT_REGION


def prepare(
    manifests: Iterable[Manifest],
    local: LocalAws,
    *,
    bucket: str | None = None,
    role_of: RoleOf = literal_role,
) -> None:
    """Create what `manifests` name and the local AWS lacks. Does nothing the second time.

    The bucket is created in the region of the first function. Raises `NotDeployable` for two roles of one
    name in different paths, which no account can have.
    """
    with answering():
        for manifest in manifests:
            account, region = account_of(manifest, role_of), region_of(manifest)
            if bucket:
                _ensure_bucket(local, bucket, region, account)
            _ensure_role(local, manifest, role_of(manifest) or "", region, account)
            for layer in manifest.model.spec.layer_arns:
                if layer.value and _LAYER.fullmatch(layer.value):
                    _register_layer(local, layer.value, region, account)


def require_code(
    manifests: Iterable[Manifest],
    local: LocalAws,
    *,
    served_by: ServedBy = lambda _host: None,
    role_of: RoleOf = literal_role,
) -> None:
    """Refuse functions whose code is not in the local S3 or registry, all of them at once.

    That is so after the local AWS was stopped: what it held is gone, and the manifest still names it. An
    image is looked for where `served_by` says that its registry is; of other registries nothing is known.

    Raises NotDeployable, with all functions it is true of; and what `local_registries` and the registry
    raise.
    """
    findings = []
    with answering():
        for manifest in manifests:
            missing = _missing(manifest, local, served_by, account_of(manifest, role_of))
            if missing is None:
                continue
            position = manifest.position("spec", *missing.place)
            findings.append(
                Finding(
                    NotDeployable.code,
                    f"the local AWS has no {missing.what}: what it held is gone when it stops",
                    manifest.path,
                    position.line if position else None,
                    position.column if position else None,
                    f"run planton-build --local, which {missing.again} again",
                )
            )
    if findings:
        raise NotDeployable(findings[0].message, findings=findings)


@dataclass(frozen=True, slots=True)
class _Missing:
    """Code that is not there: its name, where the manifest has that, and what a build does about it."""

    what: str
    place: tuple[str, ...]
    again: str


def _missing(manifest: Manifest, local: LocalAws, served_by: ServedBy, account: str) -> _Missing | None:
    spec = manifest.model.spec
    code = spec.s3
    if code is not None:
        if not _has_object(local, code, region_of(manifest), account):
            return _Missing(f"s3://{code.bucket}/{code.key}", ("s3", "key"), "uploads it")
    elif spec.image_uri and not _has_image(spec.image_uri, served_by):
        return _Missing(f"image {spec.image_uri}", ("image_uri",), "pushes it")
    return None


def _has_image(uri: str, served_by: ServedBy) -> bool:
    name = parse_reference(uri)
    address = served_by(name.host) if name.host else None
    if name.host is None or address is None:
        return True
    with Session(name.host, base_url=address) as session:
        return (
            Repository(session, name.repository).has_manifest(name.digest or name.tag or "latest") is not None
        )


def _has_object(local: LocalAws, code: S3Code, region: str, account: str) -> bool:
    s3 = local_client(local, "s3", region, account)
    version = {"VersionId": code.object_version} if code.object_version else {}
    try:
        s3.head_object(Bucket=code.bucket, Key=code.key, **version)
    except s3.exceptions.ClientError as error:
        if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") == http.client.NOT_FOUND:
            return False
        raise
    return True


def _ensure_bucket(local: LocalAws, bucket: str, region: str, account: str) -> None:
    """Create the bucket unless it exists. In moto, as in AWS, names are shared by all accounts."""
    s3 = local_client(local, "s3", region, account)
    # us-east-1 is the one region that must not be named as a location constraint.
    elsewhere = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    try:
        s3.create_bucket(Bucket=bucket, **elsewhere)
    except (s3.exceptions.BucketAlreadyOwnedByYou, s3.exceptions.BucketAlreadyExists):
        pass


def _ensure_role(local: LocalAws, manifest: Manifest, role: str, region: str, account: str) -> None:
    """Create the function's role: CreateFunction refuses an ARN that IAM does not have."""
    match = _ROLE.fullmatch(role)
    if match is None:
        return
    # IAM of another partition (aws-cn) is reached through a region of it.
    iam = local_client(local, "iam", region, account)
    try:
        iam.create_role(
            RoleName=match["name"], Path=match["path"], AssumeRolePolicyDocument=_ASSUMED_BY_LAMBDA
        )
    except iam.exceptions.EntityAlreadyExistsException:
        existing = iam.get_role(RoleName=match["name"])["Role"]["Arn"]
        if existing != role:
            position = manifest.position("spec", "role_arn")
            raise NotDeployable(
                f"the role {role} cannot exist beside {existing}",
                hint="Role names are unique in an account, whatever their path.",
                file=manifest.path,
                line=position.line if position else None,
                column=position.column if position else None,
            ) from None


def _register_layer(local: LocalAws, arn: str, region: str, account: str) -> None:
    """Make the layer version exist, without content: CreateFunction refuses an unknown one."""
    connection = http.client.HTTPConnection(
        "127.0.0.1", urlsplit(local.endpoint).port, timeout=_ANSWER_SECONDS
    )
    try:
        connection.request(
            "POST", LAYERS_PATH, json.dumps({"arn": arn, "account": account, "region": region})
        )
        response = connection.getresponse()
        answer = response.read(1000).decode("utf-8", "replace")
    except (OSError, http.client.HTTPException) as error:
        raise LocalServerFailed(f"the local AWS stopped answering: {error}") from error
    finally:
        connection.close()
    if response.status != http.client.OK:
        raise LocalServerFailed(f"the local AWS could not register the layer {arn}: {answer}")
