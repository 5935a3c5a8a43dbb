"""What a command loads: a build with nothing to do answers at once because it imports little.

Every case runs in an interpreter of its own, for what is imported here stays imported.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = frozenset(
    {"boto3", "botocore", "docker", "flask", "httpx", "moto", "pip", "requests", "rich", "unearth", "uv"}
)
"""Packages of 0.1 s and more, each needed by some step that a build with nothing to do has not."""
REPORT = "import json, sys; print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
MANIFEST = """\
apiVersion: aws.planton.dev/v1
kind: AwsLambda
metadata: {name: quick}
spec:
  region: eu-west-1
  functionName: quick
  roleArn: {value: "arn:aws:iam::123456789012:role/quick"}
  runtime: python3.13
  handler: app.handler
"""


def packages_after(script: str, folder: Path) -> set[str]:
    """Run a script; return the top-level packages that were imported at its end."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PLANTON_")}
    done = subprocess.run(
        [sys.executable, "-c", f"{script}\n{REPORT}"],
        cwd=folder,
        env={**environment, "PLANTON_CACHE_DIR": str(folder.with_name("store"))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def command(module: str, *arguments: str) -> str:
    return (
        f"from planton_build.cli.{module} import main\n"
        f"try:\n    main({list(arguments)!r})\n"
        "except SystemExit as end:\n    assert not end.code, end.code"
    )


@pytest.fixture
def function(tmp_path: Path) -> Path:
    folder = tmp_path / "quick"
    folder.mkdir()
    (folder / "lambda.yaml").write_text(MANIFEST)
    (folder / "app.py").write_text("def handler(event, context):\n    return event\n")
    return folder


def test_a_build_with_nothing_to_do_imports_nothing_heavy(function: Path) -> None:
    build = command("build", "build", "--no-publish", "--quiet")
    packages_after(build, function)

    imported = packages_after(build, function)

    assert not imported & HEAVY
    assert not imported & {"deflate", "filelock", "packaging", "tenacity"}  # for locks, wheels and uploads
    assert {"planton_build", "pydantic", "yaml"} <= imported  # it did read the manifest


@pytest.mark.parametrize("module", ["build", "deploy"])
def test_version_and_help_do_not_load_what_a_build_needs(module: str, tmp_path: Path) -> None:
    for argument in ("--version", "--help"):
        imported = packages_after(command(module, argument), tmp_path)

        assert not imported & (HEAVY | {"pydantic", "yaml", "packaging"})


@pytest.mark.parametrize("module", ["build", "deploy"])
def test_importing_a_command_imports_nothing_heavy(module: str, tmp_path: Path) -> None:
    assert not packages_after(f"import planton_build.cli.{module}", tmp_path) & HEAVY
