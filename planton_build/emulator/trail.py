"""CloudTrail's LookupEvents, which moto does not have, answered from the log of calls."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any

from planton_build.emulator.calls import Call
from planton_build.emulator.operations import Document
from planton_build.emulator.refusal import Refusal
from planton_build.emulator.services import Asked

USER = "deployer"
"""Who has made all calls: signatures are not verified, so nobody else is known."""
_MOST = 50
"""Events of one answer (https://docs.aws.amazon.com/awscloudtrail/latest/APIReference/API_LookupEvents.html)."""
_SECOND_VERSIONS = frozenset(
    {"AddPermission", "RemovePermission", "GetPolicy", "UpdateFunctionCode", "UpdateFunctionConfiguration"}
)
_UNDATED = frozenset(
    {
        "CreateFunctionUrlConfig",
        "UpdateFunctionUrlConfig",
        "DeleteFunctionUrlConfig",
        "TagResource",
        "UntagResource",
    }
)
_HIDDEN = frozenset({"Environment", "Code", "ZipFile", "Payload"})
"""Members that the trail leaves out of Lambda's requests
(https://docs.aws.amazon.com/lambda/latest/dg/logging-using-cloudtrail.html)."""


def look_up(asked: Asked, calls: Iterable[Call]) -> Document:
    """Return the answer to LookupEvents: the changing calls of an account and region, newest first.

    Raises Refusal for a token that it has not given out.
    """
    request = asked.json
    events = [
        event(call)
        for call in calls
        if call.changing and call.status and (call.account, call.region) == (asked.account, asked.region)
    ]
    chosen = [one for one in reversed(events) if _wanted(one, request)]
    token, size = request.get("NextToken", "0"), request.get("MaxResults") or _MOST
    if not (isinstance(token, str) and token.isdigit() and isinstance(size, int) and 0 < size <= _MOST):
        raise Refusal("InvalidNextTokenException", 400, "Invalid token or number of results")
    start = int(token)
    answer: Document = {"Events": chosen[start : start + size]}
    if start + size < len(chosen):
        answer["NextToken"] = str(start + size)
    return answer


def event(call: Call) -> Document:
    """Return a call as an event of LookupEvents."""
    identity = hashlib.md5(f"{call.at} {call.name}".encode(), usedforsecurity=False).hexdigest()
    name, source = event_name(call), f"{call.service}.amazonaws.com"
    whole: dict[str, Any] = {
        "eventVersion": "1.11",
        "eventName": name,
        "eventSource": source,
        "eventTime": call.moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "awsRegion": call.region,
        "recipientAccountId": call.account,
        "userIdentity": {
            "type": "IAMUser",
            "userName": USER,
            "accountId": call.account,
            "arn": f"arn:aws:iam::{call.account}:user/{USER}",
        },
        "requestParameters": {
            f"{key[:1].lower()}{key[1:]}": value
            for key, value in call.request.items()
            if key not in _HIDDEN and not isinstance(value, bytes)
        },
        "responseElements": None,
    }
    if call.error:
        whole["errorCode"] = call.error
    return {
        "EventId": identity,
        "EventName": name,
        "ReadOnly": "false",
        "EventTime": call.moment.timestamp(),
        "EventSource": source,
        "Username": USER,
        "Resources": _resources(call),
        "CloudTrailEvent": json.dumps(whole, default=str),
    }


def event_name(call: Call) -> str:
    """Return the name of a call in the trail: those of Lambda have the date of their API version."""
    if not call.version or call.operation in _UNDATED:
        return call.operation
    second = "v2" if call.operation in _SECOND_VERSIONS else ""
    return f"{call.operation}{call.version}{second}"


def _resources(call: Call) -> list[Document]:
    name = call.request.get("FunctionName")
    if call.service != "lambda" or not isinstance(name, str):
        return []
    bare = name.partition(":function:")[2] or name
    bare = bare.partition(":")[0]
    arn = f"arn:aws:lambda:{call.region}:{call.account}:function:{bare}"
    return [{"ResourceType": "AWS::Lambda::Function", "ResourceName": one} for one in (bare, arn)]


def _wanted(found: Document, request: Document) -> bool:
    since, until = request.get("StartTime"), request.get("EndTime")
    if isinstance(since, int | float) and found["EventTime"] < since:
        return False
    if isinstance(until, int | float) and found["EventTime"] > until:
        return False
    for attribute in request.get("LookupAttributes") or ():
        key, value = attribute.get("AttributeKey"), attribute.get("AttributeValue")
        if key == "ResourceName":
            fits = any(one["ResourceName"] == value for one in found["Resources"])
        elif key == "ResourceType":
            fits = any(one["ResourceType"] == value for one in found["Resources"])
        else:
            fits = found.get(str(key)) == value
        if not fits:
            return False
    return True
