"""An API Gateway (HTTP API) handler: validate an order, look up the stock, answer JSON."""

import json
import os
from decimal import Decimal
from importlib.metadata import version

import httpx
from pydantic import BaseModel, Field, ValidationError


class Line(BaseModel):
    sku: str = Field(min_length=1)
    quantity: int = Field(gt=0)
    unit_price: Decimal = Field(ge=0, decimal_places=2)


class Order(BaseModel):
    customer: str
    lines: list[Line] = Field(min_length=1)

    @property
    def total(self) -> Decimal:
        return sum((line.quantity * line.unit_price for line in self.lines), Decimal(0))


def answer(status: int, body: object) -> dict:
    return {
        "statusCode": status,
        "headers": {"content-type": "application/json"},
        "body": json.dumps(body, default=str),
    }


def in_stock(order: Order) -> bool:
    url = os.environ.get("STOCK_URL")
    if not url:
        return True
    response = httpx.get(url, params={"sku": [line.sku for line in order.lines]}, timeout=5)
    return response.raise_for_status().json()["available"]


def handler(event, context):
    if event.get("rawPath", "/") == "/version":
        return answer(200, {"version": version("http-api")})
    try:
        order = Order.model_validate_json(event.get("body") or "{}")
    except ValidationError as error:
        return answer(422, error.errors(include_url=False, include_input=False))
    if not in_stock(order):
        return answer(409, {"error": "out of stock"})
    return answer(201, {"customer": order.customer, "total": order.total})
