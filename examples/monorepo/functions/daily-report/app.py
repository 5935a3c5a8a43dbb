"""Daily-report: one day in numbers."""

from jinja2 import Template
from tabulate import tabulate

PAGE = Template("{{ title }}\n\n{{ table }}\n")


def handler(event, context):
    table = tabulate(event["rows"], headers="keys")
    return {"service": "daily-report", "text": PAGE.render(title=event.get("title", "daily-report"), table=table)}
