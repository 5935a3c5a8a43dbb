"""List what is for sale at a time."""

from datetime import datetime
from decimal import Decimal

from dateutil.parser import isoparse
from pydantic import BaseModel


class Product(BaseModel):
    sku: str
    price: Decimal
    since: datetime


PRODUCTS = [
    Product(sku="tea", price=Decimal("4.50"), since=isoparse("2024-03-01T00:00Z")),
    Product(sku="pot", price=Decimal("24.00"), since=isoparse("2025-10-15T00:00Z")),
    Product(sku="advent-box", price=Decimal("39.00"), since=isoparse("2026-12-01T00:00Z")),
]


def handler(event: dict, context: object) -> list:
    now = isoparse(event["at"])
    offered = [product for product in PRODUCTS if product.since <= now]
    return [product.model_dump(mode="json", include={"sku", "price"}) for product in offered]
