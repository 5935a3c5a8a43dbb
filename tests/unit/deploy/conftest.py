from __future__ import annotations

import hashlib
import importlib.util
import io
import os
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from planton_build.deploy.apply import Applied
from planton_build.deploy.functions import Deployment, apply_all, plan_all
from planton_build.deploy.patience import Patience
from planton_build.emulator.serve import Emulator, serve
from planton_build.manifest.document import Manifest
from planton_build.manifest.load import read_manifests
from planton_build.publish.aws import Aws, AwsSettings

REGION = "eu-west-1"
BUCKET = "artifacts"
TRUST = (
    '{"Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole",'
    ' "Principal": {"Service": "lambda.amazonaws.com"}}]}'
)


def _front_module() -> ModuleType:
    path = Path(__file__).parent / "front.py"
    spec = importlib.util.spec_from_file_location("planton_tests_front", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def no_ambient_aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "no-config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "no-credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture(scope="session")
def served() -> Iterator[Emulator]:
    with serve() as served:
        yield served


@pytest.fixture(scope="session")
def clients(served: Emulator) -> Aws:
    """Clients are made once: it takes longer than most tests."""
    return Aws(AwsSettings(REGION, None, served.url, "testing", "testing"))


@pytest.fixture
def endpoint(served: Emulator) -> str:
    return served.url


@pytest.fixture
def front(served: Emulator) -> Any:
    """The emulator as at its beginning; subnets, keys and images that manifests name need not exist."""
    served.reset()
    served.behaviour.strict_world = False
    return _front_module().Front(served)


@pytest.fixture
def aws(front: Any, clients: Aws) -> Aws:
    """An account with a bucket and a role `worker`."""
    place = {"LocationConstraint": REGION}
    clients.s3().create_bucket(Bucket=BUCKET, CreateBucketConfiguration=place)
    clients.iam().create_role(RoleName="worker", AssumeRolePolicyDocument=TRUST)
    return clients


@pytest.fixture
def pack() -> Callable[[bytes], bytes]:
    """Return a ZIP with a module of this content."""

    def packed(content: bytes) -> bytes:
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as archive:
            archive.writestr(zipfile.ZipInfo("app.py"), content)
        return stream.getvalue()

    return packed


@pytest.fixture
def upload(aws: Aws, pack: Callable[[bytes], bytes]) -> Callable[[bytes], str]:
    """Put a ZIP with this content under the key that its digest gives, and return the key."""

    def put(content: bytes) -> str:
        body = pack(content)
        key = f"render/{hashlib.sha256(body).hexdigest()}.zip"
        aws.s3().put_object(Bucket=BUCKET, Key=key, Body=body)
        return key

    return put


@pytest.fixture
def key(upload: Callable[[bytes], str]) -> str:
    return upload(b"one")


@pytest.fixture
def manifest(tmp_path: Path) -> Callable[..., Manifest]:
    """Write a manifest with spec fields, in YAML, in place of the usual ones; None leaves one out."""

    def write(name: str = "render", *, dialect: str = "aws.planton.dev/v1", **fields: str | None) -> Manifest:
        spec = {
            "region": REGION,
            "functionName": name,
            "roleArn": "{value: 'arn:aws:iam::123456789012:role/worker'}",
            "codeSourceType": "CODE_SOURCE_TYPE_S3",
            "runtime": "python3.13",
            "handler": "app.handler",
            "s3": f"{{bucket: {BUCKET}, key: render/{'0' * 64}.zip}}",
        } | fields
        if (key := spec.pop("key", None)) is not None:
            spec["s3"] = f"{{bucket: {BUCKET}, key: {key}}}"
        lines = [f"  {field}: {value}" for field, value in spec.items() if value is not None]
        head = f"apiVersion: {dialect}\nkind: AwsLambda\nmetadata: {{name: {name}}}\nspec:\n"
        path = tmp_path / f"{name}.yaml"
        path.write_text(head + "\n".join(lines) + "\n")
        return read_manifests(path)[0]

    return write


@pytest.fixture
def plan_of(aws: Aws) -> Callable[[Manifest], Deployment]:
    return lambda manifest: plan_all([manifest], lambda _: aws)[0]


@pytest.fixture
def patience() -> Patience:
    return Patience(settle=20, propagation=20, network=20, appear=20, poll=0.01)


@pytest.fixture
def deploy(
    front: Any, plan_of: Callable[[Manifest], Deployment], patience: Patience
) -> Callable[..., Applied]:
    """Plan and apply one manifest, and forget the calls of before."""

    def run(manifest: Manifest, **options: Any) -> Applied:
        front.calls.clear()
        return apply_all([plan_of(manifest)], patience=patience, **options)[0]

    return run


@pytest.fixture
def deployed(aws: Aws) -> Callable[..., dict[str, Any]]:
    """Return the configuration of a function in AWS."""
    return lambda name="render": dict(aws.lambda_().get_function_configuration(FunctionName=name))
