"""A request of a REST-JSON service, read into a document by the service model."""

from __future__ import annotations

import base64
import binascii
import json
from collections import defaultdict
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from planton_build.emulator.model import Found
from planton_build.emulator.operations import Document
from planton_build.emulator.refusal import Refusal

_KINDS: Mapping[str, tuple[type, ...]] = {
    "structure": (dict,),
    "map": (dict,),
    "list": (list,),
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "long": (int,),
    "float": (int, float),
    "double": (int, float),
    "blob": (str,),
    "timestamp": (str, int, float),
}


def read_request(
    operation: Any, found: Found, headers: Mapping[str, str], query: str, body: bytes
) -> Document:
    """Return the members of a request. Members that the model does not know are left out, as AWS does.

    `operation` is botocore's model, `headers` are by name in lower case. Blobs are decoded; timestamps stay
    what they are. Raises Refusal for a body that is no JSON object, and for values of other types.
    """
    shape = operation.input_shape
    if shape is None:
        return {}
    given: defaultdict[str, list[str]] = defaultdict(list)
    for name, text in parse_qsl(query, keep_blank_values=True):
        given[name].append(text)
    payload = shape.serialization.get("payload")
    in_body = _json(body) if _has_body(shape, payload) else {}
    document: Document = {}
    for name, member in shape.members.items():
        place, key = member.serialization.get("location"), member.serialization.get("name", name)
        value: Any = None
        if name == payload:
            value = _payload(member, body)
        elif place == "uri":
            value = _text(member, found.labels.get(key), name)
        elif place == "header":
            value = _text(member, headers.get(key.lower()), name)
        elif place == "querystring" and key in given:
            value = given[key] if member.type_name == "list" else _text(member, given[key][0], name)
        elif place is None and key in in_body:
            value = _typed(member, in_body[key], name)
        if value is not None:
            document[name] = value
    return document


def _has_body(shape: Any, payload: str | None) -> bool:
    return payload is None and any(
        "location" not in member.serialization for member in shape.members.values()
    )


def _json(body: bytes) -> dict[str, Any]:
    if not body:
        return {}
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _unreadable("Could not parse request body into json: Unexpected character") from error
    if not isinstance(found, dict):
        raise _unreadable("Could not parse request body into json: expected an object")
    return found


def _payload(member: Any, body: bytes) -> object:
    """Return a member that is the whole body. An empty structure counts as none."""
    if member.type_name == "blob":
        return body
    return _typed(member, _json(body), member.name) if body else None


def _text(member: Any, text: str | None, name: str) -> object:
    """Return the value of a member that is text on its way: in the path, a header or the query."""
    if text is None or member.type_name in {"string", "timestamp", "list"}:
        return text
    try:
        if member.type_name == "boolean":
            return {"true": True, "false": False}[text.lower()]
        return float(text) if member.type_name in {"float", "double"} else int(text)
    except (ValueError, KeyError):
        raise _wrong(member, name) from None


def _typed(shape: Any, value: Any, path: str) -> Any:
    """Return a value of JSON as its shape has it; None for null."""
    if value is None:
        return None
    if not _is(shape.type_name, value):
        raise _wrong(shape, path)
    if shape.type_name == "structure":
        members = ((name, member.serialization.get("name", name)) for name, member in shape.members.items())
        read: dict[str, Any] = {
            name: _typed(shape.members[name], value[key], f"{path}.{name}")
            for name, key in members
            if key in value
        }
        return {name: found for name, found in read.items() if found is not None}
    if shape.type_name == "list":
        return [_typed(shape.member, one, path) for one in value if one is not None]
    if shape.type_name == "map":
        return {str(key): _typed(shape.value, one, path) for key, one in value.items() if one is not None}
    if shape.type_name == "blob":
        try:
            return base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError) as error:
            raise _unreadable(f"{path} is not valid Base64") from error
    return value


def _is(kind: str, value: object) -> bool:
    """Tell whether a value of JSON is of a kind; a boolean is no number."""
    return isinstance(value, _KINDS[kind]) and (kind == "boolean" or not isinstance(value, bool))


def _wrong(shape: Any, path: str) -> Refusal:
    return _unreadable(f"{path} can not be converted to {shape.type_name.capitalize()}")


def _unreadable(message: str) -> Refusal:
    return Refusal("SerializationException", 400, message)
