"""Invoking a deployed function in AWS, with the end of its log."""

from __future__ import annotations

import base64
from dataclasses import dataclass

from planton_build.errors import DeployRefused, FunctionUnknown
from planton_build.publish.aws import Aws
from planton_build.publish.aws_errors import explained


@dataclass(frozen=True, slots=True)
class Answer:
    """What a function answered: its payload, the last 4 KB of its log, and Lambda's word for a failure."""

    payload: bytes
    log: str
    error: str | None


def invoke_deployed(name: str, payload: bytes, aws: Aws, region: str | None) -> Answer:
    """Invoke a function in AWS and wait for its answer.

    Raises:
        FunctionUnknown: no function of that name is deployed.
        PlantonError: AWS refused the call.
    """
    client = aws.lambda_(aws.region(region))
    with explained(f"invoking {name}", otherwise=DeployRefused):
        try:
            answer = client.invoke(FunctionName=name, Payload=payload, LogType="Tail")
        except client.exceptions.ResourceNotFoundException as error:
            raise FunctionUnknown(
                f"no function {name} is deployed in {client.meta.region_name}",
                hint="deploy it first, or name its region with --region",
            ) from error
    log = base64.b64decode(answer.get("LogResult", "")).decode(errors="replace")
    return Answer(answer["Payload"].read(), log, answer.get("FunctionError"))
