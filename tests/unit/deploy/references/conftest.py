"""Manifests that refer, sources to look in, and moto's server for those that ask AWS."""

from __future__ import annotations

import importlib.util
import os
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from moto.server import ThreadedMotoServer

from planton_build.deploy.references.resolver import References, Resolved
from planton_build.manifest.document import Manifest
from planton_build.manifest.load import read_manifests
from planton_build.manifest.model import StringValueOrRef
from planton_build.publish.aws import Aws, AwsSettings
from planton_build.settings.model import ReferenceSource

REGION = "eu-west-1"
ROLE = "arn:aws:iam::123456789012:role/worker"


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """A folder that is a git repository, as far as it is looked at."""
    folder = tmp_path / "repo"
    (folder / ".git").mkdir(parents=True)
    return folder


@pytest.fixture
def refer(repo: Path) -> Callable[..., Manifest]:
    """Write a manifest whose spec has these fields, in YAML; without any, its role is a reference."""

    def write(
        *, dialect: str = "aws.planton.dev/v1", env: str = "", name: str = "render", **fields: str
    ) -> Manifest:
        spec = {
            "functionName": name,
            "roleArn": "{valueFrom: {name: worker}}",
            "codeSourceType": "CODE_SOURCE_TYPE_S3",
            "runtime": "python3.13",
            "handler": "app.handler",
        } | fields
        if dialect == "aws.planton.dev/v1":
            spec.setdefault("region", REGION)
        lines = [f"  {field}: {value}" for field, value in spec.items()]
        metadata = f"{{name: {name}{', env: ' + env if env else ''}}}"
        head = f"apiVersion: {dialect}\nkind: AwsLambda\nmetadata: {metadata}\nspec:\n"
        path = repo / f"{name}.yaml"
        path.write_text(head + "\n".join(lines) + "\n")
        return read_manifests(path)[0]

    return write


@pytest.fixture
def resource(repo: Path) -> Callable[..., Path]:
    """Write a document of a kind with outputs, in YAML."""

    def write(
        outputs: str = f"role_arn: {ROLE}",
        *,
        kind: str = "AwsIamRole",
        name: str = "worker",
        env: str = "",
        file: str = "roles/role.yaml",
    ) -> Path:
        metadata = f"  name: {name}\n" + (f"  env: {env}\n" if env else "")
        path = repo / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            f"apiVersion: aws.planton.dev/v1\nkind: {kind}\nmetadata:\n{metadata}status:\n"
            f"  outputs:\n    {outputs}\n"
        )
        return path

    return write


@pytest.fixture
def source(repo: Path) -> Callable[..., ReferenceSource]:
    """Make a source as it stands in `planton.toml` of the repository."""

    def make(type_: str, *, kinds: tuple[str, ...] = (), env: str = "", **options: Any) -> ReferenceSource:
        return ReferenceSource(type_, {**options, "folder": str(repo)}, kinds, env, "planton.toml:7")

    return make


def value_of(manifest: Manifest, field: str, index: int | None) -> StringValueOrRef:
    value = getattr(manifest.model.spec, field)
    return value if index is None else value[index]


@pytest.fixture
def resolve() -> Callable[..., Resolved]:
    """Resolve one reference of a manifest, its role by default."""

    def run(
        manifest: Manifest,
        *sources: ReferenceSource,
        field: str = "role_arn",
        index: int | None = None,
        aws: Callable[[], tuple[Aws, str]] | None = None,
    ) -> Resolved:
        ref = value_of(manifest, field, index).value_from
        assert ref is not None
        return References(sources, aws=aws).resolve(manifest, field, index, ref)

    return run


@pytest.fixture(scope="session")
def moto_url() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="session")
def moto_clients(moto_url: str) -> Aws:
    return Aws(AwsSettings(REGION, None, moto_url, "testing", "testing"))


@pytest.fixture
def aws(moto_url: str, moto_clients: Aws) -> Aws:
    """An empty account."""
    urllib.request.urlopen(urllib.request.Request(f"{moto_url}/moto-api/reset", method="POST")).close()
    return moto_clients


@pytest.fixture
def cloud(aws: Aws) -> Callable[[], tuple[Aws, str]]:
    return lambda: (aws, REGION)


@pytest.fixture
def stack(aws: Aws) -> Callable[..., None]:
    """Create a stack in CloudFormation: its outputs by name, each a text, or a text and its export."""
    if importlib.util.find_spec("openapi_spec_validator") is None:
        reason = "moto's CloudFormation needs openapi-spec-validator"
        if os.environ.get("PLANTON_REQUIRE_ENGINES"):
            pytest.fail(reason)
        pytest.skip(reason)

    def create(name: str, region: str = REGION, **outputs: str | tuple[str, str]) -> None:
        import json

        table: dict[str, Any] = {}
        for key, value in outputs.items():
            text, export = value if isinstance(value, tuple) else (value, None)
            table[key] = {"Value": text} | ({"Export": {"Name": export}} if export else {})
        parameter = {"Name": f"/stacks/{name}", "Type": "String", "Value": "x"}
        template = {
            "Resources": {"One": {"Type": "AWS::SSM::Parameter", "Properties": parameter}},
            "Outputs": table,
        }
        client = aws.client("cloudformation", region)
        client.create_stack(StackName=name, TemplateBody=json.dumps(template))

    return create
