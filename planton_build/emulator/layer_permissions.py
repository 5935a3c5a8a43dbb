"""Who else may use a version of a layer."""

from __future__ import annotations

import json
import re
from typing import Any

from planton_build.emulator.layers import layer_arn, layer_versions
from planton_build.emulator.operations import Document, operation
from planton_build.emulator.policies import check_size, policy_text, statement_exists
from planton_build.emulator.refusal import invalid, not_found, precondition
from planton_build.emulator.state import Region, new_revision


@operation("AddLayerVersionPermission")
def add_layer_version_permission(region: Region, request: Document) -> Document:
    """Add a statement to the policy of a version. The policy has a RevisionId of its own."""
    version = _existing(region, request)
    statements: dict[str, dict[str, Any]] = version.get("_policy", {})
    identifier = str(request["StatementId"])
    if identifier in statements:
        raise statement_exists(identifier)
    _check_revision(version, request)
    statement = _statement(region, str(version["LayerVersionArn"]), request)
    changed = {**statements, identifier: statement}
    check_size(changed)
    version["_policy"] = changed
    version["_policy_revision"] = new_revision()
    return {
        "Statement": json.dumps(statement, separators=(",", ":")),
        "RevisionId": version["_policy_revision"],
    }


@operation("GetLayerVersionPolicy")
def get_layer_version_policy(region: Region, request: Document) -> Document:
    """Show the policy of a version."""
    version = _existing(region, request)
    if not version.get("_policy"):
        raise not_found("No policy is associated with the given resource.")
    return {"Policy": policy_text(version["_policy"]), "RevisionId": version["_policy_revision"]}


@operation("RemoveLayerVersionPermission")
def remove_layer_version_permission(region: Region, request: Document) -> None:
    """Remove a statement."""
    version = _existing(region, request)
    _check_revision(version, request)
    identifier = str(request["StatementId"])
    if identifier not in version.get("_policy", {}):
        raise not_found(f"Statement {identifier} is not found in resource policy.")
    del version["_policy"][identifier]
    version["_policy_revision"] = new_revision()


def _existing(region: Region, request: Document) -> dict[str, Any]:
    name, number = str(request["LayerName"]), int(request["VersionNumber"])
    found = layer_versions(region, name).get(number)
    if found is None:
        arn = name if name.startswith("arn:") else layer_arn(region, name)
        raise not_found(f"Layer version {arn}:{number} does not exist.")
    return found


def _check_revision(version: dict[str, Any], request: Document) -> None:
    wanted = request.get("RevisionId")
    if wanted and wanted != version.get("_policy_revision"):
        raise precondition(
            "The Revision Id provided does not match the latest Revision Id. "
            "Call the GetLayerPolicy API to retrieve the latest Revision Id"
        )


def _statement(region: Region, arn: str, request: Document) -> dict[str, Any]:
    principal: str | dict[str, str] = str(request["Principal"])
    organization = request.get("OrganizationId")
    if organization and principal != "*":
        raise invalid("OrganizationId can only be specified when the principal is *.")
    if re.fullmatch(r"\d{12}", str(principal)):
        principal = {"AWS": f"arn:{region.partition}:iam::{principal}:root"}
    elif principal != "*":
        principal = {"AWS": str(principal)}
    condition = {"StringEquals": {"aws:PrincipalOrgID": organization}}
    return {
        "Sid": request["StatementId"],
        "Effect": "Allow",
        "Principal": principal,
        "Action": request["Action"],
        "Resource": arn,
        **({"Condition": condition} if organization else {}),
    }
