"""Invoices: invoices as text."""

from jinja2 import Template
from tabulate import tabulate

PAGE = Template("{{ title }}\n\n{{ table }}\n")


def handler(event, context):
    table = tabulate(event["rows"], headers="keys")
    return {"service": "invoices", "text": PAGE.render(title=event.get("title", "invoices"), table=table)}
