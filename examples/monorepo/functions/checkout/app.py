"""Checkout: start a checkout."""

from dateutil.parser import isoparse
from pydantic import BaseModel, Field


class Request(BaseModel):
    cart: list[str] = Field(min_length=1)
    at: str = "2026-11-23T00:00:00Z"


def handler(event, context):
    request = Request.model_validate(event)
    return {"service": "checkout", "count": len(request.cart), "weekday": isoparse(request.at).strftime("%A")}
