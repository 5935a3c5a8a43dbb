"""Customers: look up customers."""

from dateutil.parser import isoparse
from pydantic import BaseModel, Field


class Request(BaseModel):
    ids: list[str] = Field(min_length=1)
    at: str = "2026-11-23T00:00:00Z"


def handler(event, context):
    request = Request.model_validate(event)
    return {"service": "customers", "count": len(request.ids), "weekday": isoparse(request.at).strftime("%A")}
