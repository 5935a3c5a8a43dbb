"""boto3 clients of the local AWS, which take neither endpoint nor credentials from anywhere else."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from planton_build.errors import LocalServerFailed
from planton_build.local.server import DEFAULT_ACCOUNT, LocalAws
from planton_build.publish.aws import isolated_session


@contextlib.contextmanager
def answering() -> Iterator[None]:
    """Turn a local AWS that went away into `LocalServerFailed`."""
    from botocore.exceptions import ConnectionError as NotConnected
    from botocore.exceptions import HTTPClientError

    try:
        yield
    except (HTTPClientError, NotConnected) as error:
        raise LocalServerFailed(
            f"the local AWS stopped answering: {error}", hint="Run the command again; it starts a new one."
        ) from error


@lru_cache(maxsize=64)
def local_client(local: LocalAws, service: str, region: str, account: str = DEFAULT_ACCOUNT) -> Any:
    """Return the client of `service` that acts in `region` and in `account` (twelve digits)."""
    import boto3.session
    from botocore.config import Config

    key, secret = local.credentials(account)
    session: Any = boto3.session.Session(key, secret, region_name=region, botocore_session=isolated_session())
    return session.client(
        service,
        endpoint_url=local.endpoint,
        # Path style, because names like BUCKET.127.0.0.1 do not resolve; and no proxy is asked for loopback.
        config=Config(s3={"addressing_style": "path"}, proxies={}, retries={"total_max_attempts": 2}),
    )
