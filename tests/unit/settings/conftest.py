from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from planton_build.errors import ConfigInvalid, Finding
from planton_build.manifest.document import Manifest
from planton_build.manifest.load import read_manifests
from planton_build.settings.model import DeploySettings
from planton_build.settings.read import settings_for

ROLE = "arn:aws:iam::123456789012:role/run"
ZIP = {"runtime": "python3.13", "handler": "app.handler"}
IMAGE = {"codeSourceType": "CODE_SOURCE_TYPE_IMAGE"}


@pytest.fixture
def manifest_at() -> Callable[..., Manifest]:
    """Write a manifest and read it."""

    def make(path: Path, name: str = "orders", **spec: Any) -> Manifest:
        code = {} if "codeSourceType" in spec else ZIP
        values = {
            "region": "eu-west-1",
            "functionName": name,
            "roleArn": f"{{value: {ROLE}}}",
            **code,
            **spec,
        }
        lines = ["apiVersion: aws.planton.dev/v1", "kind: AwsLambda", "metadata:", f"  name: {name}", "spec:"]
        lines += [f"  {key}: {value}" for key, value in values.items()]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        (found,) = read_manifests(path)
        return found

    return make


@pytest.fixture
def settings(tmp_path: Path, manifest_at: Callable[..., Manifest]) -> Callable[..., DeploySettings]:
    """Write a `planton.toml` beside a manifest, and return the settings of its function."""

    def make(text: str, **spec: Any) -> DeploySettings:
        (tmp_path / ".git").mkdir(exist_ok=True)
        (tmp_path / "planton.toml").write_text(text, encoding="utf-8")
        return settings_for(manifest_at(tmp_path / "lambda.yaml", **spec))

    return make


@pytest.fixture
def mistakes(settings: Callable[..., DeploySettings]) -> Callable[..., list[Finding]]:
    """Return what is wrong with a `planton.toml`."""

    def make(text: str, **spec: Any) -> list[Finding]:
        with pytest.raises(ConfigInvalid) as caught:
            settings(text, **spec)
        return list(caught.value.findings)

    return make
