"""The emulator on a port, once for all tests, and clients of it that retry nothing; and Lambda without HTTP.

`emulator` and `client` are for what goes over the wire, `here` is for the operations alone.
"""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import boto3.session
import pytest
from botocore.config import Config

from planton_build.emulator.model import api
from planton_build.emulator.operations import OPERATIONS, load_operations
from planton_build.emulator.refusal import Refusal, invalid
from planton_build.emulator.serve import Emulator, serve
from planton_build.emulator.state import Behaviour, Code, Function, Region, Version
from planton_build.emulator.validation import check

ACCOUNT = "123456789012"
REGION = "eu-west-1"
BESIDE_THE_MODEL = {"ValidationException", "AccessDeniedException", "RequestEntityTooLargeException"}
TRUST = (
    '{"Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole",'
    ' "Principal": {"Service": "lambda.amazonaws.com"}}]}'
)


@pytest.fixture(autouse=True)
def no_ambient_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture(scope="session")
def served() -> Iterator[Emulator]:
    with serve() as emulator:
        yield emulator


@pytest.fixture
def emulator(served: Emulator) -> Emulator:
    """The emulator as at its beginning."""
    served.reset()
    return served


@pytest.fixture
def client(served: Emulator) -> Callable[..., Any]:
    """Return the client of a service, an account and a region; made once, for it takes long."""
    return lambda service, account=ACCOUNT, region=REGION: _client(served.url, service, account, region)


@lru_cache(maxsize=64)
def _client(url: str, service: str, account: str, region: str) -> Any:
    session = boto3.session.Session(account, "secret", region_name=region)
    config = Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}, proxies={})
    return session.client(service, endpoint_url=url, config=config)


@pytest.fixture
def role(emulator: Emulator, client: Callable[..., Any]) -> str:
    """A role that Lambda may assume."""
    made = client("iam").create_role(RoleName="worker", AssumeRolePolicyDocument=TRUST)
    return str(made["Role"]["Arn"])


@pytest.fixture
def bucket(emulator: Emulator, client: Callable[..., Any]) -> str:
    client("s3").create_bucket(Bucket="artifacts", CreateBucketConfiguration={"LocationConstraint": REGION})
    return "artifacts"


@dataclass
class SmallWorld:
    """Other services as Lambda sees them. `there` has what exists; a kind that is not in it is unknown."""

    objects: dict[tuple[str, str, str | None], bytes] = field(default_factory=dict)
    there: dict[str, set[str]] = field(default_factory=dict)
    visibility: dict[str, int] = field(default_factory=dict)

    def read_object(
        self, account: str, region: str, bucket: str, key: str, version: str | None
    ) -> Callable[[], bytes]:
        if (bucket, key, version) not in self.objects:
            raise invalid("Error occurred while GetObject. S3 Error Code: NoSuchKey.")
        content = self.objects[bucket, key, version]
        return lambda: content

    def image_digest(self, account: str, region: str, uri: str) -> str:
        return "0" * 64

    def check_role(self, account: str, role: str) -> None:
        return None

    def log(self, account: str, region: str, group: str, stream: str, text: str) -> None:
        return None

    def exists(self, account: str, region: str, kind: str, identifier: str) -> bool | None:
        return identifier in self.there[kind] if kind in self.there else None

    def visibility_timeout(self, account: str, region: str, queue: str) -> int | None:
        return self.visibility.get(queue)


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@dataclass
class Here:
    """A Region to call operations of directly."""

    region: Region
    world: SmallWorld
    clock: Clock

    @property
    def behaviour(self) -> Behaviour:
        return self.region.behaviour

    def call(self, operation: str, **request: Any) -> dict[str, Any]:
        """Call an operation, and see that request and answer fit the service model."""
        model = api("lambda").operation(operation)
        check(model, request)
        answer = OPERATIONS[operation](self.region, request) or {}
        if model.output_shape is None:
            assert answer == {}
        else:
            assert set(answer) <= set(model.output_shape.members)
            if operation != "GetFunctionCodeSigningConfig":  # AWS answers it without what the model requires
                assert set(answer) >= set(model.output_shape.required_members)
        return answer

    def refused(self, operation: str, **request: Any) -> Refusal:
        """Call an operation that must be refused, and return the refusal, whose code is one of Lambda's."""
        with pytest.raises(Refusal) as refusal:
            OPERATIONS[operation](self.region, request)
        code = refusal.value.code
        assert code in BESIDE_THE_MODEL or api("lambda").error(code) is not None
        return refusal.value

    def add(self, name: str, *versions: str, package: str = "Zip", **aliases: str) -> Function:
        """Put a function there, with versions by number and aliases by name."""
        arn = self.region.arn(name)
        function = Function(name, arn, self._version(arn, "$LATEST", package))
        for number in versions:
            function.versions[number] = self._version(f"{arn}:{number}", number, package)
        for alias, number in aliases.items():
            function.aliases[alias] = {
                "AliasArn": f"{arn}:{alias}",
                "Name": alias,
                "FunctionVersion": number,
                "RevisionId": f"revision of {alias}",
            }
        self.region.functions[name] = function
        return function

    def _version(self, arn: str, number: str, package: str) -> Version:
        configuration = {
            "FunctionArn": arn,
            "Version": number,
            "Timeout": 3,
            "State": "Active",
            "RevisionId": f"revision of {number}",
        }
        return Version(configuration, Code(package, "0" * 64, 100 if package == "Zip" else 0, 300))


def _no_runner(function: Function, version: str, event: bytes) -> tuple[bytes, str, str | None]:
    raise AssertionError("nothing is invoked here")


@pytest.fixture
def here() -> Here:
    load_operations()
    world, clock = SmallWorld(), Clock()
    return Here(Region(ACCOUNT, REGION, world, Behaviour(now=clock), _no_runner), world, clock)


@pytest.fixture
def archive() -> bytes:
    """A ZIP with one member of 5 bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        made.writestr("python/a.py", "a = 1")
    return buffer.getvalue()
