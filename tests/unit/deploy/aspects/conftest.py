"""A function `render` with the alias `live`, in the emulator, and how the engine treats an aspect's calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from planton_build.deploy.aspects.all import aspect_named
from planton_build.deploy.aspects.aspect import Aspect, Call, Scope
from planton_build.deploy.desired import DesiredFunction
from planton_build.emulator.serve import Emulator, serve
from planton_build.emulator.state import Code, Function, Version
from planton_build.manifest.code_source import S3Source
from planton_build.publish.aws import Aws, AwsSettings
from planton_build.publish.aws_errors import error_code
from planton_build.settings.model import DeploySettings

REGION = "eu-west-1"
ACCOUNT = "123456789012"
ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:render"


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[Emulator, Aws]]:
    with serve() as emulator:
        yield emulator, Aws(AwsSettings(REGION, None, emulator.url, "testing", "testing"))


@pytest.fixture
def emulator(served: tuple[Emulator, Aws]) -> Emulator:
    """An emulator with the function and nothing else."""
    emulator, _ = served
    emulator.reset()
    place_function(emulator)
    return emulator


@pytest.fixture
def clients(emulator: Emulator, served: tuple[Emulator, Aws]) -> Aws:
    return served[1]


def place_function(emulator: Emulator, name: str = "render") -> None:
    arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}"
    configuration = {
        "FunctionName": name,
        "FunctionArn": arn,
        "Runtime": "python3.13",
        "Handler": "app.handler",
        "Role": f"arn:aws:iam::{ACCOUNT}:role/worker",
        "Timeout": 3,
        "MemorySize": 128,
        "PackageType": "Zip",
        "State": "Active",
        "LastUpdateStatus": "Successful",
        "RevisionId": "1",
        "Version": "$LATEST",
    }
    code = Code("Zip", "0" * 64, 10, 10)
    latest, first = Version(dict(configuration), code), Version(configuration | {"Version": "1"}, code)
    alias = {"Name": "live", "AliasArn": f"{arn}:live", "FunctionVersion": "1", "RevisionId": "1"}
    emulator.region().functions[name] = Function(
        name, arn, latest, versions={"1": first}, next_version=2, aliases={"live": alias}
    )


@pytest.fixture
def scope(clients: Aws) -> Scope:
    """What serves is the alias."""
    return Scope("render", "live", ARN, ACCOUNT, REGION, clients)


@pytest.fixture
def bare(scope: Scope) -> Scope:
    """What serves is the function itself."""
    return replace(scope, qualifier="")


def desired_with(alias: str | None = "live", **settings: Any) -> DesiredFunction:
    """Return a function whose `[deploy]` table has these settings."""
    return DesiredFunction(
        name="render",
        region=REGION,
        package="Zip",
        code=S3Source("artifacts", "render/code.zip", None),
        code_sha256=None,
        architecture="x86_64",
        role=f"arn:aws:iam::{ACCOUNT}:role/worker",
        runtime="python3.13",
        handler="app.handler",
        description="",
        memory_mb=128,
        timeout_seconds=20,
        environment={},
        subnets=(),
        security_groups=(),
        layers=(),
        kms_key="",
        reserved_concurrency=None,
        settings=DeploySettings(alias=alias, **settings),
    )


@pytest.fixture
def desired() -> Callable[..., DesiredFunction]:
    return desired_with


def take(calls: Sequence[Call], *, times: int = 1) -> None:
    """Make calls as the engine does: an answer in `done_codes` is good, and `settled` is waited for.

    With more `times`, each call is sent again as after a lost answer.
    """
    for call in calls:
        for _ in range(times):
            try:
                call.send()
            except ClientError as error:
                if error_code(error) not in call.done_codes:
                    raise
        if call.settled is not None:
            assert any(call.settled() for _ in range(20)), f"{call.operation} never settles"


@pytest.fixture
def go() -> Callable[..., None]:
    """Lead an aspect from one state to another."""

    def lead(name: str, scope: Scope, before: object, after: object, *, times: int = 1) -> None:
        aspect: Aspect[Any] = aspect_named(name)
        take(aspect.calls(scope, before, after), times=times)

    return lead
