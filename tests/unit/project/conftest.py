from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from planton_build.manifest.load import read_manifests
from planton_build.project.function import BuildOptions, FunctionProject
from planton_build.runtimes.catalog import target_for

Content = str | bytes | None


def manifest_text(name: str = "orders", **spec: Any) -> str:
    values = {
        "region": "eu-west-1",
        "function_name": name,
        "role_arn": {"value": "arn:aws:iam::123456789012:role/run"},
        "runtime": "python3.13",
        "handler": "app.handler",
        **spec,
    }
    lines = [
        "api_version: aws.planton.dev/v1",
        "kind: AwsLambda",
        "metadata:",
        f"  name: {name}",
        "spec:",
    ]
    for key, value in values.items():
        if isinstance(value, Mapping):
            lines += [f"  {key}:", *(f"    {inner}: {item}" for inner, item in value.items())]
        elif value is not None:
            lines.append(f"  {key}: {value}")
    return "\n".join(lines) + "\n"


@pytest.fixture
def manifest() -> Callable[..., str]:
    return manifest_text


@pytest.fixture
def plant(tmp_path: Path) -> Callable[[Mapping[str, Content]], Path]:
    """Make files below a fresh folder; a name that ends in `/` is a folder, `->` makes a symlink."""

    def make(tree: Mapping[str, Content]) -> Path:
        for name, content in tree.items():
            path = tmp_path / name.rstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            if name.endswith("/"):
                path.mkdir(exist_ok=True)
            elif isinstance(content, str) and content.startswith("-> "):
                path.symlink_to(content.removeprefix("-> "))
            elif isinstance(content, bytes):
                path.write_bytes(content)
            else:
                path.write_text(content or "", encoding="utf-8")
        return tmp_path

    return make


@pytest.fixture
def project_of() -> Callable[..., FunctionProject]:
    def make(manifest: Path, *, source: Path | None = None, **options: Any) -> FunctionProject:
        if not manifest.exists():
            manifest.write_text(manifest_text(), encoding="utf-8")
        (found,) = read_manifests(manifest)
        return FunctionProject(
            found,
            target_for("python3.13", "arm64"),
            BuildOptions(source=source or manifest.parent, **options),
        )

    return make
