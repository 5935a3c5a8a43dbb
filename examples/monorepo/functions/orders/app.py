"""Say when an order arrives: so many working days after it was placed."""

from datetime import datetime

from dateutil.rrule import DAILY, FR, MO, TH, TU, WE, rrule
from pydantic import BaseModel, Field


class Order(BaseModel):
    number: int = Field(gt=0)
    placed: datetime
    working_days: int = Field(default=3, ge=1, le=30)


def handler(event: dict, context: object) -> dict:
    order = Order.model_validate(event)
    days = rrule(DAILY, dtstart=order.placed, byweekday=(MO, TU, WE, TH, FR))
    *_, arrives = days.xafter(order.placed, count=order.working_days)
    return {"number": order.number, "arrives": f"{arrives:%A, %d %B %Y}"}
