"""The values of a role: statements with their reasons, and the documents that IAM takes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

VERSION = "2012-10-17"
"""The policy language's version; the only one besides that of 2008 (IAM User Guide, "Version")."""

_PARTITIONS = (
    ("cn-", "aws-cn"),
    ("us-gov-", "aws-us-gov"),
    ("us-isob-", "aws-iso-b"),
    ("us-isof-", "aws-iso-f"),
    ("us-iso-", "aws-iso"),
    ("eu-isoe-", "aws-iso-e"),
    ("eusc-", "aws-eusc"),
)
"""Beginnings of regions outside of the partition `aws` (botocore's `partitions.json`)."""


def partition_of(region: str) -> str:
    """Return the partition that a region's ARNs begin with."""
    return next((name for start, name in _PARTITIONS if region.startswith(start)), "aws")


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement of a policy: what may be done with what, and for which reason.

    `document` is the statement as IAM takes it, canonical; a statement of the user keeps its own keys.
    `derived` tells that it follows from the configuration, so that it can be said to be missing.
    """

    sid: str
    reason: str
    document: Mapping[str, Any] = field(hash=False)
    derived: bool = True

    @property
    def actions(self) -> tuple[str, ...]:
        """Return the actions, () for a statement with NotAction."""
        return texts(self.document.get("Action"))

    @property
    def resources(self) -> tuple[str, ...]:
        """Return the resources, () for a statement with NotResource."""
        return texts(self.document.get("Resource"))

    @property
    def allows(self) -> bool:
        """Tell whether it gives rights; otherwise it takes them."""
        return self.document.get("Effect") == "Allow"


def statement(
    sid: str,
    reason: str,
    actions: tuple[str, ...],
    resources: tuple[str, ...],
    *,
    condition: Mapping[str, Any] | None = None,
    effect: str = "Allow",
) -> Statement:
    """Return a derived statement in its canonical form: lists sorted and without repetitions."""
    document: dict[str, Any] = {
        "Sid": sid,
        "Effect": effect,
        "Action": _listed(actions),
        "Resource": _listed(resources),
    }
    if condition:
        document["Condition"] = condition
    return Statement(sid, reason, document)


@dataclass(frozen=True, slots=True)
class RolePolicy:
    """What a function's role may do, and who may take the role.

    `notes` are needs that the configuration does not tell in full, for people.
    """

    statements: tuple[Statement, ...]
    trust: Mapping[str, Any] = field(hash=False)
    notes: tuple[str, ...] = ()

    @property
    def document(self) -> dict[str, Any]:
        """Return the policy document."""
        return {"Version": VERSION, "Statement": [dict(one.document) for one in self.statements]}

    @property
    def text(self) -> str:
        """Return the policy document as text for people: the same bytes for the same configuration."""
        return canonical(self.document)


def trust_policy() -> dict[str, Any]:
    """Return the policy by which Lambda, and nobody else, may take a role.

    The service's name is the same in all partitions (botocore's `endpoints.json`, IAM User Guide).
    """
    return {
        "Version": VERSION,
        "Statement": [
            {
                "Sid": "LambdaMayTakeThisRole",
                "Effect": "Allow",
                "Principal": {"Service": "lambda.amazonaws.com"},
                "Action": "sts:AssumeRole",
            }
        ],
    }


def canonical(document: object) -> str:
    """Return a document as text, indented, keys in their own order."""
    return json.dumps(document, indent=2, ensure_ascii=False)


def statements_of(document: object) -> list[Mapping[str, Any]]:
    """Return the statements of a policy document, whoever wrote it; what is none is left out."""
    found = document.get("Statement") if isinstance(document, Mapping) else None
    listed = [found] if isinstance(found, Mapping) else found if isinstance(found, list) else []
    return [one for one in listed if isinstance(one, Mapping)]


def texts(value: object) -> tuple[str, ...]:
    """Return a text or a list of texts, as policies write both."""
    if isinstance(value, str):
        return (value,)
    return tuple(one for one in value if isinstance(one, str)) if isinstance(value, list | tuple) else ()


def _listed(values: tuple[str, ...]) -> str | list[str]:
    found = sorted(set(values))
    return found[0] if len(found) == 1 else found
