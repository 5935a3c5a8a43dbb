"""Resource policies: who may call a function, a version of it or an alias.

A policy has the RevisionId of what it is on, and a change of the policy gives that a new one: seen in answers
of AWS, where both are equal, and where an old RevisionId of the function is refused after a permission.
"""

from __future__ import annotations

import json
import re
from typing import Any

from planton_build.emulator.lookup import (
    LATEST,
    address,
    find_function,
    function_at,
    qualified_arn,
    revision_holder,
    touch,
    version_at,
)
from planton_build.emulator.operations import Document, operation
from planton_build.emulator.refusal import Refusal, conflict, invalid, not_found, precondition
from planton_build.emulator.state import Function, Region

POLICY_LIMIT = 20_480
"""Bytes that a policy may have, as Lambda's quotas have it."""
_ARN_OF_IDENTITY = re.compile(r"arn:aws[a-zA-Z-]*:(?:iam|sts)::\d{12}:.+")
Statement = dict[str, Any]


@operation("AddPermission")
def add_permission(region: Region, request: Document) -> Document:
    """Add a statement to the policy of a function, a version or an alias."""
    where = address(region, request)
    if where.qualifier == LATEST:
        raise invalid("We currently do not support adding policies for $LATEST.")
    function = function_at(region, where)
    version_at(function, where.qualifier)
    _check_revision(function, where.qualifier, request, "GetPolicy")
    identifier = str(request["StatementId"])
    statements = function.policies.get(where.qualifier, {})
    if identifier in statements:
        raise statement_exists(identifier)
    statement = _statement(region, qualified_arn(region, where), request)
    changed = {**statements, identifier: statement}
    check_size(changed)
    function.policies[where.qualifier] = changed
    touch(function, where.qualifier)
    return {"Statement": _json(statement)}


@operation("RemovePermission")
def remove_permission(region: Region, request: Document) -> None:
    """Remove a statement; the policy goes with its last one."""
    where = address(region, request)
    function = find_function(region, where.name)
    if function is None:
        raise not_found(f"No policy found for: {region.arn(where.name)}")
    version_at(function, where.qualifier)
    statements = function.policies.get(where.qualifier)
    if not statements:
        raise not_found("No policy is associated with the given resource.")
    identifier = str(request["StatementId"])
    if identifier not in statements:
        raise not_found(f"Statement {identifier} is not found in resource policy.")
    _check_revision(function, where.qualifier, request, "GetFunction/GetAlias")
    del statements[identifier]
    touch(function, where.qualifier)
    if not statements:
        del function.policies[where.qualifier]


@operation("GetPolicy")
def get_policy(region: Region, request: Document) -> Document:
    """Show the policy of a function, a version or an alias."""
    where = address(region, request)
    function = function_at(region, where)
    statements = function.policies.get("" if where.qualifier == LATEST else where.qualifier)
    if not statements:
        raise not_found("The resource you requested does not exist.")
    return {
        "Policy": policy_text(statements),
        "RevisionId": revision_holder(function, where.qualifier)["RevisionId"],
    }


def policy_text(statements: dict[str, Statement]) -> str:
    """Return a policy as AWS writes it."""
    return _json({"Version": "2012-10-17", "Id": "default", "Statement": list(statements.values())})


def check_size(statements: dict[str, Statement]) -> None:
    """Raise Refusal when a policy would have more bytes than AWS takes."""
    size = len(policy_text(statements).encode())
    if size > POLICY_LIMIT:
        raise Refusal(
            "PolicyLengthExceededException",
            400,
            f"The final policy size ({size}) is bigger than the limit ({POLICY_LIMIT}).",
            {"Type": "User"},
        )


def statement_exists(identifier: str) -> Refusal:
    """Return the refusal of a second statement with the same id."""
    return conflict(
        f"The statement id ({identifier}) provided already exists. Please provide a new statement id, or "
        "remove the existing statement."
    )


def _check_revision(function: Function, qualifier: str, request: Document, calls: str) -> None:
    wanted = request.get("RevisionId")
    if wanted and wanted != revision_holder(function, qualifier).get("RevisionId"):
        raise precondition(
            "The Revision Id provided does not match the latest Revision Id. "
            f"Call the {calls} API to retrieve the latest Revision Id"
        )


def _statement(region: Region, arn: str, request: Document) -> Statement:
    """Return the statement that a request describes, in the shape and order that AWS shows."""
    action = str(request["Action"])
    # The texts of these two are ours: AWS refuses them too, with words that are not on record.
    if request.get("FunctionUrlAuthType") and action != "lambda:InvokeFunctionUrl":
        raise invalid("FunctionUrlAuthType is only supported for lambda:InvokeFunctionUrl action")
    if request.get("InvokedViaFunctionUrl") and action != "lambda:InvokeFunction":
        raise invalid("InvokedViaFunctionUrl is only supported for lambda:InvokeFunction action")
    equals = {
        name: request[member]
        for name, member in (
            ("lambda:FunctionUrlAuthType", "FunctionUrlAuthType"),
            ("aws:PrincipalOrgID", "PrincipalOrgID"),
            ("AWS:SourceAccount", "SourceAccount"),
            ("lambda:EventSourceToken", "EventSourceToken"),
        )
        if request.get(member)
    }
    condition: dict[str, dict[str, Any]] = {}
    if equals:
        condition["StringEquals"] = equals
    if request.get("SourceArn"):
        condition["ArnLike"] = {"AWS:SourceArn": request["SourceArn"]}
    if request.get("InvokedViaFunctionUrl"):
        condition["Bool"] = {"lambda:InvokedViaFunctionUrl": "true"}
    return {
        "Sid": request["StatementId"],
        "Effect": "Allow",
        "Principal": _principal(region, str(request["Principal"])),
        "Action": action,
        "Resource": arn,
        **({"Condition": condition} if condition else {}),
    }


def _principal(region: Region, principal: str) -> str | dict[str, str]:
    """Return the principal of a statement: a service, an account's root, an identity, or everybody."""
    if principal == "*":
        return "*"
    if principal.endswith((".amazonaws.com", ".amazonaws.com.cn", ".amazon.com")):
        return {"Service": principal}
    if re.fullmatch(r"\d{12}", principal):
        return {"AWS": f"arn:{region.partition}:iam::{principal}:root"}
    known = True
    if _ARN_OF_IDENTITY.fullmatch(principal):
        account, resource = principal.split(":", 5)[4:]
        if region.behaviour.strict_world and account == region.account and resource.startswith("role/"):
            known = region.world.exists(region.account, region.region, "role", principal) is not False
        if known:
            return {"AWS": principal}
    raise invalid("The provided principal was invalid. Please check the principal and try again.")


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))
