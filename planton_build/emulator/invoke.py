"""Invoke: which version runs, what it may be given, what comes back."""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import threading
from dataclasses import dataclass
from datetime import UTC, datetime

from planton_build.emulator.aliases import next_version
from planton_build.emulator.lookup import LATEST, address, function_at, qualified_arn, version_at
from planton_build.emulator.operations import Document, operation
from planton_build.emulator.refusal import Refusal, not_found
from planton_build.emulator.state import Function, Region
from planton_build.emulator.transitions import check_invocable

SYNCHRONOUS_LIMIT = 6_291_456
"""Bytes of the payload of an invocation that is waited for, and of what it returns."""
ASYNCHRONOUS_LIMIT = 1_048_576
"""Bytes of the payload of an event."""
_LOG_TAIL = 4096
"""Bytes of the end of the log that `LogType=Tail` returns."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Target:
    """What an invocation goes to: the number of a version (or `$LATEST`), and where its log is written."""

    function: Function
    version: str
    log_group: str
    log_stream: str


@operation("Invoke")
def invoke(region: Region, request: Document) -> Document:
    """Run a version. No lock is held meanwhile: functions may call Lambda themselves.

    Events are accepted and run on their own; what becomes of them shows in the log alone. They are not
    tried again, and nothing is sent to destinations.
    """
    kind = str(request.get("InvocationType") or "RequestResponse")
    event = bytes(request.get("Payload") or b"")
    _check_payload(kind, event)
    with region.lock:
        target = _target(region, request)
        reserved = target.function.reserved
    if kind == "DryRun":
        return {"StatusCode": 204}
    if kind == "Event":
        if reserved != 0:
            threading.Thread(target=_run_event, args=(region, target, event), daemon=True).start()
        return {"StatusCode": 202}
    if reserved == 0:
        raise _throttled()
    payload, text, error = _run(region, target, event)
    answer: Document = {"StatusCode": 200, "Payload": payload, "ExecutedVersion": target.version}
    if error:
        answer["FunctionError"] = error
    if request.get("LogType") == "Tail":
        answer["LogResult"] = base64.b64encode(text.encode()[-_LOG_TAIL:]).decode()
    return answer


def _target(region: Region, request: Document) -> _Target:
    """Return what an invocation goes to. Raises Refusal when that is not there, or does not run now."""
    where = address(region, request)
    function = function_at(region, where)
    missing = not_found(f"Function not found: {qualified_arn(region, where)}")
    alias = function.aliases.get(where.qualifier)
    number = next_version(alias) if alias is not None else where.qualifier or LATEST
    try:
        version = version_at(function, number)
    except Refusal as refusal:
        raise missing from refusal
    check_invocable(region, function, version)
    configuration, code = version.running
    # One environment for each code, which writes to a stream of its own.
    environment = hashlib.sha256(f"{function.arn} {number} {code.sha256}".encode()).hexdigest()[:32]
    stream = f"{datetime.now(UTC):%Y/%m/%d}/[{number}]{environment}"
    return _Target(function, number, str(configuration["LoggingConfig"]["LogGroup"]), stream)


def _check_payload(kind: str, event: bytes) -> None:
    limit = ASYNCHRONOUS_LIMIT if kind == "Event" else SYNCHRONOUS_LIMIT
    if len(event) > limit:
        text = f"{len(event)} byte payload is too large for the {kind} invocation type (limit {limit} bytes)"
        raise Refusal("RequestTooLargeException", 413, text, {"Type": "User"})
    try:
        json.loads(event or b"{}")
    except (ValueError, RecursionError) as error:
        text = f"Could not parse request body into json: Could not parse payload into json: {error}"
        raise Refusal("InvalidRequestContentException", 400, text, {"Type": "User"}) from error


def _throttled() -> Refusal:
    reason = "ReservedFunctionConcurrentInvocationLimitExceeded"
    return Refusal("TooManyRequestsException", 429, "Rate Exceeded.", {"Reason": reason, "Type": "User"})


def _run(region: Region, target: _Target, event: bytes) -> tuple[bytes, str, str | None]:
    """Run a version and write its log. Return the payload, the log and `FunctionError`."""
    payload, text, error = region.runner(target.function, target.version, event or b"{}")
    if text:
        region.world.log(region.account, region.region, target.log_group, target.log_stream, text)
    if len(payload) > SYNCHRONOUS_LIMIT:
        payload, error = _too_large(len(payload)), "Unhandled"
    return payload, text, error


def _run_event(region: Region, target: _Target, event: bytes) -> None:
    try:
        _run(region, target, event)
    except Exception:  # noqa: BLE001 - nobody waits for it: the log tells
        _log.exception("an event for %s was lost", target.function.name)


def _too_large(size: int) -> bytes:
    """Return what Lambda answers instead of a payload that is too large."""
    text = (
        f"Response payload size ({size} bytes) exceeded maximum allowed payload size "
        f"({SYNCHRONOUS_LIMIT} bytes)."
    )
    return json.dumps({"errorMessage": text, "errorType": "Function.ResponseSizeTooLarge"}).encode()
