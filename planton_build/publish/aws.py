"""Sessions and clients of the AWS SDK: made late, kept, and safe to use from many threads."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from planton_build import __version__
from planton_build.errors import ConfigInvalid, CredentialsMissing
from planton_build.publish.aws_errors import clean, explained
from planton_build.publish.pace import CALLS_PER_SECOND, AlarmPace, LambdaPace

if TYPE_CHECKING:
    import boto3.session
    import botocore.session
    from mypy_boto3_ecr import ECRClient
    from mypy_boto3_iam import IAMClient
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_s3 import S3Client

_INVOKER = "lambda invocations"
"""Not a service, but a client of its own."""
_UNREAD = {"profile": None, "config_file": os.devnull, "credentials_file": os.devnull}
"""botocore's settings that name the user's own configuration, and what stands in for each."""
_CONNECT_SECONDS = 10
_READ_SECONDS = 60
"""botocore's own default. S3 and Lambda answer a call on an artifact of 250 MB well within it."""
_INVOKE_SECONDS = 910
"""For the answer of a function: the longest timeout of a function is 900 s (AWS Lambda quotas)."""
_POOL = 32
"""Connections kept per client; more than the threads that use one at a time."""


@dataclass(frozen=True, slots=True)
class AwsSettings:
    """What a command was told about AWS. None everywhere leaves all to the SDK's own chain.

    That chain is AWS_PROFILE, AWS_REGION, AWS_ENDPOINT_URL, the shared configuration files, SSO, web
    identity, and container or instance roles. `--local` sets an endpoint and dummy keys.
    `calls_per_second` bounds the calls to Lambda's control plane in one region; None is `CALLS_PER_SECOND`
    for AWS, and no bound for an endpoint with keys of its own.
    """

    region: str | None = None
    profile: str | None = None
    endpoint_url: str | None = None
    access_key_id: str | None = field(default=None, repr=False)
    secret_access_key: str | None = field(default=None, repr=False)
    session_token: str | None = field(default=None, repr=False)
    calls_per_second: int | None = None

    @property
    def isolated(self) -> bool:
        """Tell whether endpoint and keys are given, so that nothing of the user's configuration may count."""
        return self.endpoint_url is not None and self.access_key_id is not None

    @property
    def pace(self) -> int | None:
        """Return how many calls to Lambda's control plane may be made in a second; None is any number."""
        return self.calls_per_second or (None if self.isolated else CALLS_PER_SECOND)


def isolated_session() -> botocore.session.Session:
    """Return a botocore session that reads no profile, neither from AWS_PROFILE nor from the user's files.

    A profile is read, and must exist, even where keys are given.
    """
    import botocore.session

    return botocore.session.Session({name: (None, None, value, None) for name, value in _UNREAD.items()})


class RegionMismatch(Exception):
    """S3 answered that the bucket is in another region than the client. Caught in `publish.s3`."""

    def __init__(self, region: str) -> None:
        super().__init__(region)
        self.region = region


class Aws:
    """The clients of one command. Clients are thread-safe and shared; the session is neither."""

    def __init__(self, settings: AwsSettings | None = None) -> None:
        self.settings = settings or AwsSettings()
        self._lock = threading.RLock()
        self._session: boto3.session.Session | None = None
        self._clients: dict[tuple[str, str], Any] = {}

    def region(self, wanted: str | None = None) -> str:
        """Return `wanted`, or the region of the session.

        Raises CredentialsMissing when there is neither, or when the profile does not exist.
        """
        found = wanted or self._open().region_name
        if not found:
            raise CredentialsMissing(
                "no AWS region is known",
                hint="set `spec.region` in the manifest, pass --region, or set AWS_REGION",
            )
        return found

    def s3(self, region: str | None = None) -> S3Client:
        """Return the S3 client of a region. It raises RegionMismatch instead of following a redirect."""
        client: S3Client = self._client("s3", region)
        return client

    def lambda_(self, region: str | None = None) -> LambdaClient:
        """Return the Lambda client of a region."""
        client: LambdaClient = self._client("lambda", region)
        return client

    def invoker(self, region: str | None = None) -> LambdaClient:
        """Return a Lambda client for invocations: it waits as long as functions run, and never asks twice."""
        client: LambdaClient = self._client(_INVOKER, region)
        return client

    def ecr(self, region: str | None = None) -> ECRClient:
        """Return the ECR client of a region: for its API, not for the registry protocol."""
        client: ECRClient = self._client("ecr", region)
        return client

    def iam(self, region: str | None = None) -> IAMClient:
        """Return the IAM client; the region only chooses the partition."""
        client: IAMClient = self._client("iam", region)
        return client

    def client(self, service: str, region: str | None = None) -> Any:
        """Return the client of another service of a region, such as `logs`."""
        return self._client(service, region)

    def _open(self) -> boto3.session.Session:
        with self._lock:
            if self._session is None:
                import boto3.session

                settings = self.settings
                with explained("opening the AWS session", otherwise=CredentialsMissing):
                    self._session = boto3.session.Session(
                        profile_name=settings.profile,
                        region_name=settings.region,
                        aws_access_key_id=settings.access_key_id,
                        aws_secret_access_key=settings.secret_access_key,
                        aws_session_token=settings.session_token,
                        botocore_session=isolated_session() if settings.isolated else None,
                    )
            return self._session

    def _client(self, service: str, region: str | None) -> Any:
        with self._lock:
            key = (service, self.region(region))
            if key not in self._clients:
                self._clients[key] = self._make(*key)
            return self._clients[key]

    def _make(self, service: str, region: str) -> Any:
        if service == _INVOKER:
            return self._build("lambda", region, path_style=False, once=True)
        path_style = service == "s3" and self.settings.endpoint_url is not None
        client = self._build(service, region, path_style=path_style)
        if pace := self.settings.pace:
            _keep_pace(client, service, pace)
        if service != "s3":
            return client
        if not path_style and urlsplit(client.meta.endpoint_url).hostname == "localhost":
            # An emulator named by AWS_ENDPOINT_URL: `bucket.localhost` resolves on few systems.
            client = self._build(service, region, path_style=True)
        client.meta.events.register("response-received.s3", _refuse_other_region(region))
        return client

    def _build(self, service: str, region: str, *, path_style: bool, once: bool = False) -> Any:
        from botocore.config import Config

        config = Config(
            connect_timeout=_CONNECT_SECONDS,
            read_timeout=_INVOKE_SECONDS if once else _READ_SECONDS,
            max_pool_connections=_POOL,
            retries={"mode": "standard", **({"total_max_attempts": 1} if once else {})},
            user_agent_extra=f"planton-build/{__version__}",
            s3={"addressing_style": "path"} if path_style else None,
            # A proxy of the environment is for the world outside, not for an endpoint of this machine.
            proxies={} if self.settings.isolated else None,
        )
        session: Any = self._open()
        try:
            with explained(f"making the client for {service}", otherwise=ConfigInvalid):
                return session.client(
                    service, region_name=region, endpoint_url=self.settings.endpoint_url, config=config
                )
        except ValueError as error:  # botocore's answer to an endpoint that is no URL
            raise ConfigInvalid(
                f"the AWS endpoint cannot be used: {clean(str(error))}",
                hint="an endpoint is a URL such as http://127.0.0.1:4566",
            ) from None


def _keep_pace(client: Any, service: str, per_second: int) -> None:
    """Bound how often a client calls, for the services whose limits are low."""
    if service not in ("lambda", "cloudwatch"):
        return
    pace = LambdaPace(per_second) if service == "lambda" else AlarmPace()
    client.meta.events.register(f"before-send.{service}", pace.before_send)
    client.meta.events.register(f"response-received.{service}", pace.response_received)


def _refuse_other_region(region: str) -> Any:
    """Return a listener that stops botocore from following S3 into another region.

    Lambda reads an artifact only from its own region, so an answer from elsewhere, even a good one, is a
    mistake to report. botocore would follow the redirect silently.
    """

    def check(response_dict: dict[str, Any] | None = None, **_: object) -> None:
        found = (response_dict or {}).get("headers", {}).get("x-amz-bucket-region")
        if found and found != region:
            raise RegionMismatch(str(found))

    return check
