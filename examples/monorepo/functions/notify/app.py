"""Tell the team's chat about something."""

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
def tell(text: str) -> int:
    response = requests.post(os.environ["CHAT_URL"], json={"text": text}, timeout=5)
    response.raise_for_status()
    return response.status_code


def handler(event: dict, context: object) -> dict:
    return {"status": tell(f"{event['level'].upper()}: {event['text']}")}
