"""One week in a table, the best day marked, as Markdown."""

from jinja2 import Environment, StrictUndefined
from tabulate import tabulate

PAGE = Environment(undefined=StrictUndefined).from_string("## Week {{ week }}\n\n{{ table }}\n")


def handler(event: dict, context: object) -> str:
    best = max(event["days"], key=event["days"].get)
    rows = [(f"**{day}**" if day == best else day, amount) for day, amount in event["days"].items()]
    return PAGE.render(week=event["week"], table=tabulate(rows, headers=("day", "sales"), tablefmt="github"))
