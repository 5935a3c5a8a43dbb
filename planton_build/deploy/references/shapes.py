"""What a value must look like for the field it is meant for."""

from __future__ import annotations

import re
from dataclasses import dataclass

from planton_build.manifest.nodes import short


@dataclass(frozen=True, slots=True)
class Shape:
    """The pattern of a field's values, its name for people, and an example."""

    pattern: re.Pattern[str]
    name: str
    example: str


_PARTITION = r"arn:aws[a-zA-Z-]*"
SHAPES = {
    "role_arn": Shape(
        re.compile(rf"{_PARTITION}:iam::\d{{12}}:role/[a-zA-Z0-9+=,.@_/-]{{1,576}}"),
        "the ARN of a role",
        "arn:aws:iam::123456789012:role/worker",
    ),
    "subnets": Shape(re.compile(r"subnet-[0-9a-z]{1,64}"), "the id of a subnet", "subnet-0a1b2c3d4e5f60001"),
    "security_groups": Shape(
        re.compile(r"sg-[0-9a-zA-Z]{1,64}"), "the id of a security group", "sg-0a1b2c3d4e5f60001"
    ),
    "layer_arns": Shape(
        re.compile(rf"{_PARTITION}:lambda:[a-z0-9-]+:\d{{12}}:layer:[a-zA-Z0-9_-]{{1,140}}:[0-9]{{1,10}}"),
        "the ARN of a layer's version",
        "arn:aws:lambda:eu-west-1:123456789012:layer:fonts:4",
    ),
    "kms_key_arn": Shape(
        re.compile(rf"{_PARTITION}:kms:[a-z0-9-]+:\d{{12}}:(?:key|alias)/[a-zA-Z0-9:/_-]{{1,250}}"),
        "the ARN of a KMS key",
        "arn:aws:kms:eu-west-1:123456789012:key/00000000-0000-0000-0000-000000000000",
    ),
}
"""The fields that take references: Lambda's own patterns (CreateFunction: `Role`, `SubnetIds`, ...), a little
narrower: a layer has a version, a KMS key is a key or an alias."""
LIST_FIELDS = frozenset({"subnets", "security_groups", "layer_arns"})
"""The fields that are lists, where a path may mean several values."""
_IDENTIFIER = re.compile(rf"{_PARTITION}:[a-z0-9-]+:[a-z0-9-]*:\d{{0,12}}:\S+|[a-z]{{1,12}}-[0-9a-f]{{8,17}}")
"""What can be shown of a value that nobody knows anything about: ARNs and ids of resources."""


def misfit(field: str, value: str, *, secret: bool) -> str | None:
    """Return what is wrong with a value for a field, or None. A value that may be a secret is not shown."""
    shape = SHAPES.get(field)
    if shape is None or shape.pattern.fullmatch(value):
        return None
    shown = _IDENTIFIER.fullmatch(value) is not None and ":secretsmanager:" not in value and not secret
    what = short(value) if shown else f"a text of {len(value)} characters"
    return f"{what} is not {shape.name}, such as {shape.example}"
