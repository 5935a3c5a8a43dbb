"""An emulated AWS, and functions with everything that a deployment can set, as files in a folder."""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from planton_build.deploy.apply import Applied
from planton_build.deploy.functions import Deployment, Inputs, apply_all, plan_all
from planton_build.deploy.patience import Patience
from planton_build.emulator.serve import Emulator, serve
from planton_build.events import Event
from planton_build.manifest.document import Manifest
from planton_build.manifest.load import read_manifests
from planton_build.publish.aws import Aws, AwsSettings
from planton_build.settings.read import settings_for

REGION = "eu-west-1"
ACCOUNT = "123456789012"
BUCKET = "artifacts"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/worker"
TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
        ],
    }
)


def zip_of(text: str) -> bytes:
    """A ZIP with one file, the same for the same text."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(zipfile.ZipInfo("app.py"), text)
    return buffer.getvalue()


@dataclass
class Account:
    """An account of the emulated AWS, and the folder that is deployed to it."""

    emulator: Emulator
    aws: Aws
    folder: Path
    patience: Patience = field(
        default_factory=lambda: Patience(settle=5, propagation=5, network=5, appear=1, throttle=5, poll=0.002)
    )
    events: list[Event] = field(default_factory=list)

    def vpc(self) -> dict[str, str]:
        """Fields of the spec for two subnets and a security group of the account."""
        ec2 = self.aws.client("ec2")
        subnets = [one["SubnetId"] for one in ec2.describe_subnets()["Subnets"][:2]]
        group = ec2.describe_security_groups()["SecurityGroups"][0]["GroupId"]
        listed = ", ".join(f"{{value: {subnet}}}" for subnet in sorted(subnets))
        return {"subnets": f"[{listed}]", "securityGroups": f"[{{value: {group}}}]"}

    def key(self) -> dict[str, str]:
        """A field of the spec for a KMS key of the account."""
        arn = self.aws.client("kms").create_key()["KeyMetadata"]["Arn"]
        return {"kmsKeyArn": f"{{value: '{arn}'}}"}

    def upload(self, text: str) -> str:
        """Put code into S3, and return its key."""
        content = zip_of(text)
        key = f"orders/{hashlib.sha256(content).hexdigest()}.zip"
        self.aws.s3().put_object(Bucket=BUCKET, Key=key, Body=content)
        return key

    def write(self, name: str = "orders", *, key: str, settings: str = "", **fields: str | None) -> Path:
        """Write a manifest with spec fields (YAML) besides the usual ones, and planton.toml."""
        spec: dict[str, str | None] = {
            "region": REGION,
            "functionName": name,
            "roleArn": f"{{value: '{ROLE}'}}",
            "codeSourceType": "CODE_SOURCE_TYPE_S3",
            "runtime": "python3.13",
            "handler": "app.handler",
            "s3": f"{{bucket: {BUCKET}, key: {key}}}",
        }
        spec |= fields
        lines = [f"  {field}: {value}" for field, value in spec.items() if value is not None]
        head = f"apiVersion: aws.planton.dev/v1\nkind: AwsLambda\nmetadata: {{name: {name}}}\nspec:\n"
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        path = folder / "lambda.yaml"
        path.write_text(head + "\n".join(lines) + "\n")
        (folder / "planton.toml").write_text(settings)
        return path

    def manifests(self) -> list[Manifest]:
        """Read what is in the folder."""
        return [one for path in sorted(self.folder.glob("*/lambda.yaml")) for one in read_manifests(path)]

    def plan(self) -> list[Deployment]:
        """Plan everything in the folder."""
        return plan_all(self.manifests(), lambda _: self.aws, Inputs(settings_of=settings_for))

    def apply(self, deployments: list[Deployment] | None = None, **options: Any) -> list[Applied]:
        """Apply a plan, a new one if none is given."""
        return apply_all(
            self.plan() if deployments is None else deployments,
            self.events.append,
            patience=self.patience,
            **options,
        )

    def changing(self) -> list[str]:
        """The calls so far that changed something in Lambda and beside it."""
        return [call.operation for call in self.emulator.calls.changing if call.service != "s3"]

    def converged(self) -> None:
        """See that there is nothing to do, and that doing it changes nothing."""
        self.emulator.calls.clear()
        [*plans] = self.plan()
        assert [plan.plan.changes for plan in plans] == [()] * len(plans)
        assert not any(applied.changed for applied in self.apply(plans))
        assert self.changing() == []

    def configuration(self, name: str = "orders", qualifier: str = "") -> dict[str, Any]:
        """What Lambda tells of a function or a version."""
        chosen: Mapping[str, Any] = {"Qualifier": qualifier} if qualifier else {}
        return dict(self.aws.lambda_().get_function_configuration(FunctionName=name, **chosen))


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
    with serve() as emulator:
        yield emulator


@pytest.fixture(scope="session")
def clients(served: Emulator) -> Aws:
    """Clients are made once: it takes longer than most tests."""
    return Aws(AwsSettings(REGION, None, served.url, ACCOUNT, "testing"))


@pytest.fixture
def fresh(served: Emulator, clients: Aws) -> Callable[[Path], Account]:
    """Return what makes the account anew: a bucket, a role, a queue and a topic, and nothing deployed."""

    def make(folder: Path) -> Account:
        served.reset()
        place = {"LocationConstraint": REGION}
        clients.s3().create_bucket(Bucket=BUCKET, CreateBucketConfiguration=place)
        clients.iam().create_role(RoleName="worker", AssumeRolePolicyDocument=TRUST)
        sqs = clients.client("sqs")
        for queue in ("jobs", "dead", "more"):
            sqs.create_queue(QueueName=queue, Attributes={"VisibilityTimeout": "900"})
        clients.client("sns").create_topic(Name="alerts")
        folder.mkdir(exist_ok=True)
        served.calls.clear()
        return Account(served, clients, folder)

    return make


@pytest.fixture
def account(fresh: Callable[[Path], Account], tmp_path: Path) -> Account:
    return fresh(tmp_path / "functions")
