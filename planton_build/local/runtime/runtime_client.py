"""The four functions of awslambdaric's compiled `runtime_client`, over `http.client`.

The compiled module exists for Linux only and for one Python each. It is a thin layer over four HTTP requests,
so this one takes its place everywhere: the artifact then runs in the same way on each host and interpreter.
https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
"""

from __future__ import annotations

import http.client
import os

_PREFIX = "/2018-06-01/runtime/invocation"
_user_agent = ""


def initialize_client(user_agent: str) -> None:
    """Remember how requests introduce themselves."""
    global _user_agent
    _user_agent = user_agent


def next() -> tuple[bytes, dict[str, str | int | None]]:  # noqa: A001  # awslambdaric calls it so
    """Wait for an invocation. Return its payload and its headers."""
    status, body, headers = _request("GET", f"{_PREFIX}/next", None, {})
    if status != http.client.OK:
        raise RuntimeError("Failed to get next")
    names = ("Aws-Request-Id", "Trace-Id", "Invoked-Function-Arn", "Client-Context", "Cognito-Identity")
    found: dict[str, str | int | None] = {
        f"Lambda-Runtime-{name}": headers.get(f"Lambda-Runtime-{name}") for name in names
    }
    found["Lambda-Runtime-Deadline-Ms"] = int(headers["Lambda-Runtime-Deadline-Ms"])
    found["Content-Type"] = headers.get("Content-Type")
    return body, found


def post_invocation_result(
    request_id: str, body: bytes, content_type: str, invocation_id: str | None = None
) -> None:
    """Hand in what the handler returned."""
    del invocation_id  # only Lambda Managed Instances give one
    status, _, _ = _request("POST", f"{_PREFIX}/{request_id}/response", body, {"Content-Type": content_type})
    if status != http.client.ACCEPTED:
        raise RuntimeError("Failed to post invocation response")


def post_error(request_id: str, error: str, xray_fault: str, invocation_id: str | None = None) -> None:
    """Hand in what the handler raised, as JSON. There is no X-Ray here."""
    del xray_fault, invocation_id
    status, _, _ = _request(
        "POST", f"{_PREFIX}/{request_id}/error", error.encode(), {"Content-Type": "application/json"}
    )
    if status != http.client.ACCEPTED:
        raise RuntimeError("Failed to post invocation error")


def _request(
    method: str, path: str, body: bytes | None, headers: dict[str, str]
) -> tuple[int, bytes, http.client.HTTPMessage]:
    connection = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
    try:
        connection.request(method, path, body, {"User-Agent": _user_agent, **headers})
        response = connection.getresponse()
        return response.status, response.read(), response.headers
    finally:
        connection.close()
