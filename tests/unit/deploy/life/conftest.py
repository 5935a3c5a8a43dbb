"""An emulated AWS with a bucket and a role, and functions deployed there by the tool itself."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from planton_build.deploy.apply import Applied
from planton_build.deploy.functions import Deployment, Inputs, apply_all, plan_all
from planton_build.deploy.life.record import BuildRecord, render
from planton_build.deploy.life.target import Target
from planton_build.deploy.patience import Patience
from planton_build.emulator.serve import Emulator, serve
from planton_build.manifest.document import Manifest
from planton_build.manifest.load import read_manifests
from planton_build.publish.aws import Aws, AwsSettings
from planton_build.settings.read import settings_for

REGION = "eu-west-1"
BUCKET = "artifacts"
ROLE = "arn:aws:iam::123456789012:role/worker"
TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
        ],
    }
)


@pytest.fixture(scope="session")
def running() -> Iterator[Emulator]:
    with serve() as emulator:
        yield emulator


@pytest.fixture(scope="session")
def life_clients(running: Emulator) -> Aws:
    """Clients are made once: it takes longer than most tests."""
    return Aws(AwsSettings(REGION, None, running.url, "123456789012", "testing"))


@pytest.fixture
def cloud(running: Emulator) -> Emulator:
    running.reset()
    return running


@pytest.fixture
def aws(cloud: Emulator, life_clients: Aws) -> Aws:
    place = {"LocationConstraint": REGION}
    life_clients.s3().create_bucket(Bucket=BUCKET, CreateBucketConfiguration=place)  # type: ignore[arg-type]
    life_clients.iam().create_role(RoleName="worker", AssumeRolePolicyDocument=TRUST)
    return life_clients


def zip_of(text: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(zipfile.ZipInfo("app.py"), text)
    return out.getvalue()


@pytest.fixture
def upload(aws: Aws) -> Callable[[str], str]:
    """Put a ZIP with a module of this text under the key that its digest gives, and return the key."""

    def put(text: str) -> str:
        content = zip_of(text)
        key = f"render/{hashlib.sha256(content).hexdigest()}.zip"
        aws.s3().put_object(Bucket=BUCKET, Key=key, Body=content)
        return key

    return put


@pytest.fixture
def manifest(tmp_path: Path) -> Callable[..., Manifest]:
    """Write a manifest with spec fields, in place of the usual ones, and a planton.toml beside it."""

    def write(name: str = "render", *, key: str = "", settings: str | None = None, **fields: str) -> Manifest:
        spec = {
            "region": REGION,
            "functionName": name,
            "roleArn": f"{{value: '{ROLE}'}}",
            "codeSourceType": "CODE_SOURCE_TYPE_S3",
            "runtime": "python3.13",
            "handler": "app.handler",
            **({"s3": f"{{bucket: {BUCKET}, key: {key}}}"} if key else {}),
            **fields,
        }
        folder = tmp_path / "repository" / name
        folder.mkdir(parents=True, exist_ok=True)
        (tmp_path / "repository" / ".git").mkdir(exist_ok=True)
        lines = "".join(f"  {field}: {value}\n" for field, value in spec.items())
        path = folder / "lambda.yaml"
        path.write_text(
            f"apiVersion: aws.planton.dev/v1\nkind: AwsLambda\nmetadata: {{name: {name}}}\nspec:\n{lines}"
        )
        if settings is not None:
            (folder / "planton.toml").write_text(settings)
        return read_manifests(path)[0]

    return write


@pytest.fixture
def plan_of(aws: Aws) -> Callable[..., Deployment]:
    def plan(manifest: Manifest, commit: str = "") -> Deployment:
        record = render(BuildRecord(commit=commit))
        inputs = Inputs(settings_of=settings_for, record_of=lambda _: record)
        return plan_all([manifest], lambda _: aws, inputs)[0]

    return plan


@pytest.fixture
def patience() -> Patience:
    return Patience(settle=20, propagation=20, network=20, appear=20, poll=0.01)


@pytest.fixture
def deploy(plan_of: Callable[..., Deployment], patience: Patience) -> Callable[..., Applied]:
    def run(manifest: Manifest, commit: str = "") -> Applied:
        return apply_all([plan_of(manifest, commit)], patience=patience)[0]

    return run


@pytest.fixture
def target(aws: Aws) -> Callable[..., Target]:
    return lambda name="render", manifest=None: Target(name, REGION, aws, manifest)


@pytest.fixture
def client(aws: Aws) -> Any:
    return aws.lambda_(REGION)
