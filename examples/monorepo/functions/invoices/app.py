"""Write an invoice as text."""

from decimal import Decimal

from jinja2 import Environment, StrictUndefined
from tabulate import tabulate

PAGE = Environment(undefined=StrictUndefined).from_string(
    "Invoice {{ number }} for {{ customer }}\n\n{{ table }}\n\nTo be paid: {{ total }}\n"
)


def handler(event: dict, context: object) -> str:
    rows = [(line["text"], line["quantity"], Decimal(line["price"])) for line in event["lines"]]
    priced = [(*row, row[1] * row[2]) for row in rows]
    table = tabulate(priced, headers=("item", "quantity", "price", "sum"), floatfmt=".2f")
    total = sum(quantity * price for _, quantity, price in rows)
    return PAGE.render(number=event["number"], customer=event["customer"], table=table, total=total)
