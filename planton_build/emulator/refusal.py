"""`Refusal`: an error that AWS would answer with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(eq=False, slots=True)
class Refusal(Exception):
    """An error answer: its code (shape name of the service model), HTTP status, message, other members."""

    code: str
    status: int
    message: str
    members: Mapping[str, Any] = field(default_factory=dict)


def invalid(message: str) -> Refusal:
    """Return InvalidParameterValueException (400)."""
    return Refusal("InvalidParameterValueException", 400, message, {"Type": "User"})


def validation(message: str) -> Refusal:
    """Return ValidationException (400): a request that breaks the service model."""
    return Refusal("ValidationException", 400, message)


def conflict(message: str) -> Refusal:
    """Return ResourceConflictException (409)."""
    return Refusal("ResourceConflictException", 409, message, {"Type": "User"})


def not_found(message: str) -> Refusal:
    """Return ResourceNotFoundException (404)."""
    return Refusal("ResourceNotFoundException", 404, message, {"Type": "User"})


def precondition(message: str) -> Refusal:
    """Return PreconditionFailedException (412)."""
    return Refusal("PreconditionFailedException", 412, message, {"Type": "User"})


def throttled(message: str = "Rate exceeded", retry_after: int = 1) -> Refusal:
    """Return TooManyRequestsException (429) with the seconds to wait."""
    return Refusal(
        "TooManyRequestsException",
        429,
        message,
        {"Reason": "CallerRateLimitExceeded", "retryAfterSeconds": str(retry_after)},
    )
