"""The handler behind an API Gateway HTTP API: validate an order, look up the stock, answer JSON."""

import base64
import json
import logging
import os
from importlib.metadata import version

import httpx
from pydantic import ValidationError

from http_api.orders import Order

logging.getLogger().setLevel(os.environ.get("LOG_LEVEL", "INFO"))
logger = logging.getLogger(__name__)
client = httpx.Client(timeout=3)  # made once: warm invocations reuse its connections


def answer(status: int, body: object) -> dict:
    return {
        "statusCode": status,
        "headers": {"content-type": "application/json"},
        "body": json.dumps(body, default=str),
    }


def body_of(event: dict) -> bytes:
    body = event.get("body") or ""
    return base64.b64decode(body) if event.get("isBase64Encoded") else body.encode()


def out_of_stock(order: Order) -> list[str]:
    """Return the SKUs of which there are too few. Without a stock service, everything is there."""
    url = os.environ.get("STOCK_URL")
    if not url:
        return []
    response = client.get(url, params={"sku": [line.sku for line in order.lines]})
    stock = response.raise_for_status().json()
    return [line.sku for line in order.lines if stock.get(line.sku, 0) < line.quantity]


def handler(event: dict, context: object) -> dict:
    if event["rawPath"] == "/version":
        return answer(200, {"version": version("http-api")})
    try:
        order = Order.model_validate_json(body_of(event))
    except ValidationError as error:
        return answer(422, error.errors(include_url=False, include_input=False, include_context=False))
    try:
        missing = out_of_stock(order)
    except httpx.HTTPError as error:
        logger.error("the stock service failed: %s", error)
        return answer(503, {"error": "the stock is unknown"})
    if missing:
        return answer(409, {"error": "out of stock", "skus": missing})
    logger.info("order of %s over %s", order.customer, order.total)
    return answer(201, {"customer": order.customer, "total": order.total})
