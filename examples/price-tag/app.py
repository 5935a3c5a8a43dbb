"""Format a price and a date the way a country writes them."""

import os
from datetime import date
from decimal import Decimal

from babel.dates import format_date
from babel.numbers import format_currency


def handler(event: dict, context: object) -> dict:
    locale = event.get("locale") or os.environ["DEFAULT_LOCALE"]
    print(f"formatting for {locale}")
    return {
        "price": format_currency(Decimal(event["price"]), event["currency"], locale=locale),
        "date": format_date(date.fromisoformat(event["date"]), format="long", locale=locale),
    }
