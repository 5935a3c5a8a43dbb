"""Add up a cart."""

from decimal import Decimal

from pydantic import BaseModel, Field


class Line(BaseModel):
    sku: str
    quantity: int = Field(gt=0)
    unit_price: Decimal = Field(ge=0)


class Cart(BaseModel):
    lines: list[Line] = Field(min_length=1)


def handler(event: dict, context: object) -> dict:
    cart = Cart.model_validate(event)
    total = sum(line.quantity * line.unit_price for line in cart.lines)
    return {"items": sum(line.quantity for line in cart.lines), "total": str(total)}
