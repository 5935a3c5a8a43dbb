"""Invoking a deployed function in AWS, with the end of its log."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

from planton_build.errors import DeployRefused, FunctionUnknown
from planton_build.publish.aws import Aws
from planton_build.publish.aws_errors import explained


@dataclass(frozen=True, slots=True)
class Answer:
    """What a function answered: its payload, the last 4 KB of its log, and Lambda's word for a failure."""

    payload: bytes
    log: str
    error: str | None


def invoke_deployed(
    name: str, payload: bytes, aws: Aws, region: str | None, *, qualifier: str = ""
) -> Answer:
    """Invoke a function in AWS and wait for its answer. `qualifier` is a version or an alias.

    Raises:
        FunctionUnknown: no function of that name is deployed.
        PlantonError: AWS refused the call.
    """
    client = aws.invoker(aws.region(region))
    with explained(f"invoking {name}", otherwise=DeployRefused):
        try:
            chosen: Any = {"Qualifier": qualifier} if qualifier else {}
            answer = client.invoke(FunctionName=name, Payload=payload, LogType="Tail", **chosen)
        except client.exceptions.ResourceNotFoundException as error:
            which = f"{name}:{qualifier}" if qualifier else name
            raise FunctionUnknown(
                f"no function {which} is deployed in {client.meta.region_name}",
                hint="deploy it first, or name its region with --region",
            ) from error
    return Answer(answer["Payload"].read(), _log(answer.get("LogResult")), answer.get("FunctionError"))


def _log(encoded: object) -> str:
    """Return the end of the log; "" where it is no Base64."""
    try:
        return base64.b64decode(encoded if isinstance(encoded, str) else "").decode(errors="replace")
    except ValueError:
        return ""
