"""Errors in the protocols of other services than Lambda, for faults on command."""

from __future__ import annotations

import json
from xml.sax.saxutils import escape

from planton_build.emulator.refusal import Refusal
from planton_build.emulator.services import Asked
from planton_build.emulator.writing import Answer, write_refusal

_TEXT, _MAP = 3, 5
"""Major types of CBOR (RFC 8949, section 3.1)."""


def refuse(asked: Asked, refusal: Refusal, shape: object = None) -> Answer:
    """Return the answer of an error in the protocol that the request came in."""
    code, message = refusal.code, refusal.message
    if asked.headers.get("smithy-protocol") == "rpc-v2-cbor":
        body = _head(_MAP, 2) + b"".join(map(_cbor, ("__type", code, "message", message)))
        headers = [("content-type", "application/cbor"), ("smithy-protocol", "rpc-v2-cbor")]
        return Answer(refusal.status, [*headers, ("x-amzn-query-error", f"{code};Sender")], body)
    if asked.service == "s3":
        text = f"<Error><Code>{escape(code)}</Code><Message>{escape(message)}</Message></Error>"
        return Answer(refusal.status, [("content-type", "application/xml")], text.encode())
    if asked.headers["content-type"].startswith("application/x-www-form-urlencoded"):
        inner = f"<Type>Sender</Type><Code>{escape(code)}</Code><Message>{escape(message)}</Message>"
        text = f"<ErrorResponse><Error>{inner}</Error><RequestId>0</RequestId></ErrorResponse>"
        return Answer(refusal.status, [("content-type", "text/xml")], text.encode())
    if target := asked.headers.get("x-amz-target"):
        body = json.dumps({"__type": code, "message": message, "Message": message}).encode()
        version = "1.0" if "DynamoDB" in target else "1.1"
        return Answer(refusal.status, [("content-type", f"application/x-amz-json-{version}")], body)
    return write_refusal(refusal, shape)


def _cbor(text: str) -> bytes:
    encoded = text.encode()
    return _head(_TEXT, len(encoded)) + encoded


def _head(major: int, size: int) -> bytes:
    """Return what comes before a value of CBOR: its major type and its size, in as few bytes as may be."""
    if size < 24:
        return bytes([major << 5 | size])
    if size < 1 << 8:
        return bytes([major << 5 | 24, size])
    return bytes([major << 5 | 25]) + size.to_bytes(2, "big")
