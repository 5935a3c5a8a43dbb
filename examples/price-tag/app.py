"""Format a price and a date for a locale."""

import datetime
import os

from babel.dates import format_date
from babel.numbers import format_currency


def handler(event, context):
    locale = event.get("locale") or os.environ["DEFAULT_LOCALE"]
    day = datetime.date.fromisoformat(event.get("date", "2026-11-23"))
    print(f"formatting for {locale}")
    return {
        "price": format_currency(event.get("price", "1234.5"), event.get("currency", "EUR"), locale=locale),
        "date": format_date(day, format="long", locale=locale),
    }
