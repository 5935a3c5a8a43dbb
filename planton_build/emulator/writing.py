"""Answers and refusals of a REST-JSON service, written by the service model."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from planton_build.emulator.operations import Document
from planton_build.emulator.refusal import Refusal

Headers = list[tuple[str, str]]
_JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer: status, headers, body."""

    status: int
    headers: Headers = field(default_factory=list)
    body: bytes = b""


def write_answer(operation: Any, document: Document | None) -> Answer:
    """Return the answer with the members of `document` that the model knows. None values are left out."""
    members = {name: value for name, value in (document or {}).items() if value is not None}
    status = int(operation.http.get("responseCode", 200))
    shape = operation.output_shape
    if shape is None:
        return Answer(status, _identity())
    headers, body = _identity(), {}
    payload: Any = None
    for name, member in shape.members.items():
        if name not in members:
            continue
        place, key = member.serialization.get("location"), member.serialization.get("name", name)
        if name == shape.serialization.get("payload"):
            payload = members[name]
        elif place == "statusCode":
            status = int(members[name])
        elif place == "header":
            headers.append((key, str(members[name])))
        else:
            body[key] = _written(member, members[name])
    if "payload" in shape.serialization:
        content = payload if isinstance(payload, bytes) else json.dumps(payload or {}).encode()
        return Answer(status, [*headers, ("content-type", _JSON)], content if payload is not None else b"")
    if status == 204:
        return Answer(status, headers)
    return Answer(status, [*headers, ("content-type", _JSON)], json.dumps(body).encode())


def write_refusal(refusal: Refusal, shape: Any = None) -> Answer:
    """Return the answer of an error; `shape` is its shape in the model, where it has one."""
    members = dict(refusal.members)
    headers = [*_identity(), ("x-amzn-errortype", refusal.code), ("content-type", _JSON)]
    for name, member in shape.members.items() if shape is not None else ():
        if member.serialization.get("location") == "header" and name in members:
            headers.append((member.serialization.get("name", name), str(members.pop(name))))
    members.setdefault("Type", "User" if refusal.status < 500 else "Service")
    # Clients look for both; which one AWS writes differs from error to error.
    body = {**members, "Message": refusal.message, "message": refusal.message}
    return Answer(refusal.status, headers, json.dumps(body).encode())


def _identity() -> Headers:
    return [("x-amzn-requestid", str(uuid.uuid4()))]


def _written(shape: Any, value: Any) -> Any:
    """Return a value as JSON has it, by its shape; members that the shape does not know are left out."""
    kind = shape.type_name
    if kind == "structure" and isinstance(value, Mapping):
        return {
            member.serialization.get("name", name): _written(member, value[name])
            for name, member in shape.members.items()
            if value.get(name) is not None
        }
    if kind == "list":
        return [_written(shape.member, one) for one in value]
    if kind == "map":
        return {key: _written(shape.value, one) for key, one in value.items()}
    if kind == "blob" and isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if kind == "timestamp":
        return _moment(value)
    return value


def _moment(value: object) -> object:
    """Return a time in seconds since 1970, which is how the protocol writes those of bodies."""
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    return value
