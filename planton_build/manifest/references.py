"""The dialects of the `AwsLambda` kind, and what a `valueFrom` means without its `kind` or `fieldPath`."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Dialect(StrEnum):
    """The `apiVersion` of a manifest: one schema under three names, as upstream was renamed twice."""

    PROJECT_PLANTON = "aws.project-planton.org/v1"
    OPENMCF = "aws.openmcf.org/v1"
    PLANTON = "aws.planton.dev/v1"


class DefaultReference(NamedTuple):
    """What a reference points to if it does not say so. "" means: no default, the manifest has to say it."""

    kind: str
    field_path: str


_NO_DEFAULT = DefaultReference("", "")
_COMMON = {
    "role_arn": DefaultReference("AwsIamRole", "status.outputs.role_arn"),
    "security_groups": DefaultReference("AwsSecurityGroup", "status.outputs.security_group_id"),
    "kms_key_arn": DefaultReference("AwsKmsKey", "status.outputs.key_arn"),
}
_SUBNETS = {
    Dialect.PROJECT_PLANTON: DefaultReference("AwsVpc", ""),
    # This dialect's default moved from a VPC without a path over a VPC's private subnets to a subnet, under
    # one apiVersion. The kind that was valid longest stays; the path must be written, so none is guessed.
    Dialect.OPENMCF: DefaultReference("AwsVpc", ""),
    Dialect.PLANTON: DefaultReference("AwsSubnet", "status.outputs.subnet_id"),
}

KIND_NUMBERS = {
    204: "AwsEcrRepo",
    208: "AwsIamRole",
    209: "AwsLambda",
    213: "AwsS3Bucket",
    215: "AwsSecurityGroup",
    216: "AwsVpc",
    219: "AwsKmsKey",
    224: "AwsS3ObjectSet",
    284: "AwsSubnet",
}
"""Upstream's `CloudResourceKind` numbers of the kinds that a Lambda function's references can mean."""


def defaults_for(dialect: Dialect | str, field: str) -> DefaultReference:
    """Return the kind and the path that a reference in a field of the spec assumes.

    `dialect` is an `apiVersion`, `field` a snake_case field such as `role_arn`. Fields without a default,
    such as `layer_arns`, give two empty strings. Raises ValueError for an unknown dialect.
    """
    known = Dialect(dialect)
    return _SUBNETS[known] if field == "subnets" else _COMMON.get(field, _NO_DEFAULT)
