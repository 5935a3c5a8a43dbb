"""Hand queued pictures to the image service; SQS delivers again what failed."""

import json
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
def resize(picture: str) -> None:
    requests.post(os.environ["IMAGES_URL"], json={"key": picture}, timeout=5).raise_for_status()


def handler(event: dict, context: object) -> dict:
    failed = []
    for record in event["Records"]:
        try:
            resize(json.loads(record["body"])["key"])
        except requests.RequestException as error:
            print(f"{record['messageId']} failed: {error}")
            failed.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failed}
