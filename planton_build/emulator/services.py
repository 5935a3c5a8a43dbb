"""Which service and operation any request is for: for the log of calls, and to make them fail."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from planton_build.emulator.model import Api, Found, api
from planton_build.emulator.operations import Document

DEFAULT_ACCOUNT = "123456789012"
"""moto's account for requests that name none (moto.core.DEFAULT_ACCOUNT_ID)."""
DEFAULT_REGION = "us-east-1"
_SCOPE = re.compile(r"Credential=([^/,\s]+)/\d{8}/([^/,\s]+)/([^/,\s]+)/aws4_request")
_ACCOUNT = re.compile(r"\d{12}")
_LAMBDA_PATH = re.compile(r"/20\d\d-\d\d-\d\d/")
_CBOR_PATH = re.compile(r"/service/[^/]+/operation/(\w+)")
_FORM = "application/x-www-form-urlencoded"
_NAMES = {
    "cloudcontrolapi": "cloudcontrol",
    "elasticfilesystem": "efs",
    "monitoring": "cloudwatch",
    "tagging": "resourcegroupstaggingapi",
}
"""Services that botocore calls otherwise than their credential scope."""
_LARGEST_BODY = 1 << 20
"""Bytes of a body of other services that are looked into."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request: whom it is for, who asks, and its parts. `headers` are by name in lower case."""

    service: str
    operation: str
    account: str
    region: str
    method: str
    path: str
    query: str
    headers: dict[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    labels: dict[str, str] = field(default_factory=dict)

    @property
    def json(self) -> Document:
        """Return the members of a body in JSON, nothing where there is none."""
        if self.body[:1] != b"{" or len(self.body) > _LARGEST_BODY:
            return {}
        try:
            found = json.loads(self.body)
        except (ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}


def read_environ(environ: dict[str, Any], body: bytes) -> Asked:
    """Return what a request of WSGI asks for. An unknown operation is told as verb and path."""
    headers = {
        name[5:].replace("_", "-").lower(): value
        for name, value in environ.items()
        if name.startswith("HTTP_") and isinstance(value, str)
    }
    headers["content-type"] = environ.get("CONTENT_TYPE") or ""
    method = environ["REQUEST_METHOD"]
    path = str(environ.get("REQUEST_URI") or environ.get("PATH_INFO") or "/").partition("?")[0]
    query = environ.get("QUERY_STRING") or ""
    key, region, service = _scope(headers, query)
    if not service:  # an unsigned request, or one of S3 that is signed in its old way
        service = "lambda" if _LAMBDA_PATH.match(path) else "s3"
    found = _operation(service, method, path, query, headers, body)
    return Asked(
        service=_NAMES.get(service, service),
        operation=found.operation if found else f"{method} {path}",
        account=key if _ACCOUNT.fullmatch(key) else DEFAULT_ACCOUNT,
        region=region or DEFAULT_REGION,
        method=method,
        path=path,
        query=query,
        headers=headers,
        body=body,
        labels=found.labels if found else {},
    )


def _scope(headers: dict[str, str], query: str) -> tuple[str, str, str]:
    """Return access key id, region and service of the signature, in a header or in the query."""
    if found := _SCOPE.search(headers.get("authorization", "")):
        return found[1], found[2], found[3].lower()
    given = dict(parse_qsl(query))
    signed = given.get("X-Amz-Credential", "").split("/")
    return (
        (signed[0], signed[2], signed[3].lower())
        if len(signed) == 5
        else (given.get("AWSAccessKeyId", ""), "", "")
    )


def _operation(
    service: str, method: str, path: str, query: str, headers: dict[str, str], body: bytes
) -> Found | None:
    if found := _CBOR_PATH.fullmatch(path):
        return Found(found[1], {})
    if target := headers.get("x-amz-target"):
        return Found(target.rpartition(".")[2], {})
    form = body.decode("utf-8", "replace") if headers["content-type"].startswith(_FORM) else ""
    if action := dict(parse_qsl(form)).get("Action") or dict(parse_qsl(query)).get("Action"):
        return Found(action, {})
    if (known := _rest(_NAMES.get(service, service))) is None:
        return None
    return known.find(method, path, query, list(headers))


def _rest(service: str) -> Api | None:
    from botocore.exceptions import UnknownServiceError

    if not service:
        return None
    try:
        known = api(service)
    except UnknownServiceError:
        return None
    return known if known.protocol.startswith("rest-") else None
