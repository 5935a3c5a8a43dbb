"""Manifests for the tests of this folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from planton_build.errors import Finding, PlantonError
from planton_build.manifest.load import read_manifests
from planton_build.manifest.rules import Level

Write = Callable[[str], Path]

D1 = "aws.project-planton.org/v1"
D3 = "aws.planton.dev/v1"


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a text to a manifest file, byte for byte."""

    def write_text(text: str) -> Path:
        path = tmp_path / "manifest.yaml"
        path.write_bytes(text.encode())
        return path

    return write_text


@pytest.fixture
def minimal() -> Callable[..., dict[str, Any]]:
    """Make a deployable document of a dialect; keywords replace or (with None) remove fields of the spec."""

    def document(api_version: str = D1, **spec: Any) -> dict[str, Any]:
        base: dict[str, Any] = {
            "functionName": "invoice-render",
            "roleArn": {"value": "arn:aws:iam::123456789012:role/invoice-render"},
            "runtime": "python3.12",
            "handler": "invoices.app.handler",
            "codeSourceType": "CODE_SOURCE_TYPE_S3",
            "s3": {"bucket": "acme-lambda-artifacts", "key": "invoice-render/2f1c.zip"},
        }
        if api_version == D3:
            base["region"] = "eu-west-1"
        merged = {name: value for name, value in (base | spec).items() if value is not None}
        return {
            "apiVersion": api_version,
            "kind": "AwsLambda",
            "metadata": {"name": "invoice-render"},
            "spec": merged,
        }

    return document


@pytest.fixture
def findings(write: Write) -> Callable[..., tuple[Finding, ...]]:
    """Read a document (a mapping or a text) and return what is wrong with it; nothing if it is valid."""

    def read(document: Any, level: Level = "deployable") -> tuple[Finding, ...]:
        text = document if isinstance(document, str) else yaml.safe_dump(document, sort_keys=False)
        try:
            read_manifests(write(text), level=level)
        except PlantonError as error:
            return error.findings
        return ()

    return read
