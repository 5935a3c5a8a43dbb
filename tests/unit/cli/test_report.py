from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from planton_build.artifact import Artifact, FileSize, PackageShare
from planton_build.audit.size import UNZIPPED_LIMIT
from planton_build.cli import report
from planton_build.cli.schema import BuildOut
from planton_build.manifest.code_source import S3Source
from planton_build.manifest.document import Manifest
from planton_build.manifest.model import AwsLambda, AwsLambdaSpec
from planton_build.pipeline import Built
from planton_build.project.function import BuildOptions, FunctionProject
from planton_build.runtimes.catalog import target_for


def artifact(**changes: Any) -> Artifact:
    values: dict[str, Any] = {
        "path": Path("/cache/artifact"),
        "sha256": "ab" * 32,
        "tree_digest": "cd" * 32,
        "size": 1500,
        "unzipped_size": 4000,
        "files": 3,
        "packages": (
            PackageShare("alpha", "1.0", 1000, 3000, 2),
            PackageShare("(sources)", "", 500, 1000, 1),
        ),
        "largest": (FileSize("alpha/x.py", 2000), FileSize("app.py", 1000)),
    }
    return Artifact(**{**values, **changes})


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Built:
    monkeypatch.chdir(tmp_path)
    model = AwsLambda(spec=AwsLambdaSpec(function_name="orders"))
    manifest = Manifest(tmp_path / "orders" / "lambda.yaml", 0, model, {}, "0" * 64)
    project = FunctionProject(manifest, target_for("python3.13", "arm64"), BuildOptions(source=tmp_path))
    return Built(project, artifact(), None, cached=False, seconds=1.23456)


def test_json_is_the_contract(built: Built) -> None:
    source = S3Source("acme", f"orders/{'ab' * 32}.zip", "v1")
    value = report.builds_json([built], {report.artifact_key(built): source})
    BuildOut.model_validate(json.loads(json.dumps(value)))
    (function,) = value["functions"]  # type: ignore[misc,attr-defined]
    assert function["manifest"] == str(Path("orders/lambda.yaml"))
    assert function["code_source"]["s3"] == {
        "bucket": "acme",
        "key": f"orders/{'ab' * 32}.zip",
        "object_version": "v1",
    }
    assert [package["name"] for package in function["packages"]] == ["alpha"]  # sources are no package
    assert function["seconds"] == 1.235


def test_an_empty_object_version_is_none(built: Built) -> None:
    value = report.builds_json([built], {report.artifact_key(built): S3Source("acme", "k", "")})
    assert value["functions"][0]["code_source"]["s3"]["object_version"] is None  # type: ignore[index]


def test_the_table_and_the_summary_say_the_same(built: Built, console: Callable[..., Any]) -> None:
    made = console()
    report.show_builds(made, [built])
    row = made.out.getvalue().splitlines()[1].split()
    assert row == [
        "orders",
        "python3.13-arm64",
        "1",
        "1.5",
        "kB",
        "4.0",
        "kB",
        "abababababab",
        "built",
        "1.23",
    ]
    lines = report.markdown([built]).splitlines()
    assert lines[0] == "### planton-build"
    cells = "orders | python3.13-arm64 | 1 | 1.5 kB | 4.0 kB | abababababab | built | 1.23"
    assert lines[4] == f"| {cells} |"
    assert len({line.count("|") for line in lines[2:5]}) == 1


@pytest.mark.parametrize(
    ("size", "share", "full"),
    [
        (0, "0.0%", 0),
        (UNZIPPED_LIMIT // 2, "50.0%", 20),
        (UNZIPPED_LIMIT, "100.0%", 40),
        (10**9, "381.5%", 40),
    ],
)
def test_the_picture_of_a_size_stays_in_its_frame(
    console: Callable[..., Any], size: int, share: str, full: int
) -> None:
    made = console()
    report.show_sizes(made, "orders", artifact(unzipped_size=size))
    bar = made.out.getvalue().splitlines()[1]
    assert (bar.count("█"), bar.count("░")) == (full, 40 - full)
    assert f" {share} of 262,144,000 bytes" in bar


def test_only_the_largest_packages_are_listed(console: Callable[..., Any]) -> None:
    many = tuple(PackageShare(f"package-{n:02}", "1", 1, 100 - n, 1) for n in range(25))
    made = console()
    report.show_sizes(made, "orders", artifact(packages=many))
    shown = made.out.getvalue()
    assert "package-19" in shown
    assert "package-20" not in shown
    assert "and 5 smaller packages" in shown


def test_a_zip_that_is_too_large_for_a_request_is_marked(console: Callable[..., Any]) -> None:
    for size, marked in ((52_428_800, False), (52_428_801, True)):
        made = console()
        report.show_sizes(made, "orders", artifact(size=size))
        assert ("can only be deployed through S3" in made.out.getvalue()) == marked


def test_sizes_as_json_are_numbers_in_bytes() -> None:
    value = report.sizes_json("orders", artifact())
    assert json.loads(json.dumps(value)) == value
    assert (value["size"], value["unzipped_size"], value["limit"]) == (1500, 4000, 262_144_000)
