"""Split a sum into monthly payments."""

from datetime import date
from decimal import Decimal

from dateutil.relativedelta import relativedelta
from pydantic import BaseModel, Field


class Checkout(BaseModel):
    total: Decimal = Field(gt=0, decimal_places=2)
    payments: int = Field(ge=1, le=12)
    first: date


def handler(event: dict, context: object) -> list:
    checkout = Checkout.model_validate(event)
    each = (checkout.total / checkout.payments).quantize(Decimal("0.01"))
    amounts = [each] * (checkout.payments - 1)
    amounts.append(checkout.total - sum(amounts))  # the last one takes what rounding left
    return [
        {"due": str(checkout.first + relativedelta(months=month)), "amount": str(amount)}
        for month, amount in enumerate(amounts)
    ]
