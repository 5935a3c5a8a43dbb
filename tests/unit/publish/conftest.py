from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from planton_build.publish.aws import Aws, AwsSettings

REGION = "eu-west-1"


def _front_module() -> ModuleType:
    path = Path(__file__).parent / "front.py"
    spec = importlib.util.spec_from_file_location("planton_tests_front", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _registry_module() -> ModuleType:
    """Load the real registry, and the proxy that breaks it, of the tests of the room `registry`."""
    path = Path(__file__).parent.parent / "registry" / "conftest.py"
    spec = importlib.util.spec_from_file_location("planton_tests_registry", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


_registry = _registry_module()
upstream, proxy = _registry.upstream, _registry.proxy


@pytest.fixture
def make_image() -> Any:
    """Make an image of layers that are noise."""
    return _registry.make_image


@pytest.fixture(autouse=True)
def no_ambient_aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "no-config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "no-credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture(scope="session")
def served() -> Iterator[tuple[Any, str]]:
    with _front_module().serve() as served:
        yield served


@pytest.fixture
def endpoint(served: tuple[Any, str]) -> str:
    return served[1]


@pytest.fixture
def front(served: tuple[Any, str]) -> Any:
    front, url = served
    request = urllib.request.Request(f"{url}/moto-api/reset", method="POST")
    urllib.request.urlopen(request).close()
    front.reset()
    return front


@pytest.fixture(scope="session")
def clients(served: tuple[Any, str]) -> Aws:
    """Clients are made once: it takes longer than most tests."""
    return Aws(AwsSettings(REGION, None, served[1], "testing", "testing"))


@pytest.fixture
def aws(front: Any, clients: Aws) -> Aws:
    return clients


@pytest.fixture
def bucket(aws: Aws, front: Any) -> str:
    aws.s3().create_bucket(Bucket="artifacts", CreateBucketConfiguration={"LocationConstraint": REGION})
    front.calls.clear()
    return "artifacts"


@pytest.fixture
def artifact(tmp_path: Path) -> tuple[Path, str, int]:
    """A file with its SHA-256 and its size. What is in it does not matter to S3."""
    content = b"PK" + bytes(range(256)) * 64
    path = tmp_path / "artifact.zip"
    path.write_bytes(content)
    return path, hashlib.sha256(content).hexdigest(), len(content)
