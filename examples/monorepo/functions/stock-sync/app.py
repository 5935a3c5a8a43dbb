"""Compare our stock with the supplier's."""

import os

import requests
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_exponential

again = retry(
    retry=retry_if_exception_type((requests.ConnectionError, requests.Timeout)),
    stop=stop_after_attempt(3),
    wait=wait_exponential(multiplier=0.1, max=2),
    reraise=True,
)


@again
def levels() -> dict[str, int]:
    response = requests.get(os.environ["SUPPLIER_URL"], timeout=5)
    response.raise_for_status()
    return response.json()


def handler(event: dict, context: object) -> dict:
    ours = event["stock"]
    return {sku: level for sku, level in sorted(levels().items()) if ours.get(sku) != level}
