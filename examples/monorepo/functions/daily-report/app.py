"""One day in numbers, as text."""

from jinja2 import Environment, StrictUndefined
from tabulate import tabulate

PAGE = Environment(undefined=StrictUndefined).from_string(
    "Sales of {{ date }}\n\n{{ table }}\n\nTotal: {{ '%.2f' % total }}\n"
)


def handler(event: dict, context: object) -> str:
    table = tabulate(event["sales"], headers="keys", floatfmt=".2f")
    return PAGE.render(date=event["date"], table=table, total=sum(row["amount"] for row in event["sales"]))
