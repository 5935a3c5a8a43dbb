"""`planton-build` as a process: what it builds, writes and says."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from planton_build.cli.schema import BuildOut, ErrorsOut

KEYS = [
    *("manifest", "function_name", "package_type", "runtime", "architecture", "artifact", "sha256"),
    *("code_sha256", "tree_digest", "size", "unzipped_size", "files", "packages", "bytecode", "code_source"),
    *("cached", "seconds"),
]


def files_below(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_without_a_path_the_current_folder_is_built(bench: Any) -> None:
    bench.function("orders")
    bench.function("invoices")
    outcome = bench.build("--no-publish", cwd=bench.folder / "orders")
    lines = outcome.out.splitlines()
    assert len(lines) == 2
    assert lines[0].split() == [
        "function", "target", "packages", "size", "unzipped", "sha256", "state", "seconds",
    ]  # fmt: skip
    assert lines[1].startswith("orders ")


def test_several_paths_are_built_together_each_once(bench: Any) -> None:
    for name in ("orders", "invoices", "returns"):
        bench.function(name)
    outcome = bench.build("--no-publish", "--json", "orders", "invoices/lambda.yaml", "orders/lambda.yaml")
    assert [one["function_name"] for one in outcome.json["functions"]] == ["invoices", "orders"]


def test_json_is_the_contract_and_true(bench: Any) -> None:
    bench.wheel("alpha", "2.1", requires=["beta"])
    bench.wheel("beta")
    bench.function("orders", "alpha")
    first = bench.build("--no-publish", "--json").json
    BuildOut.model_validate(first)
    (function,) = first["functions"]
    assert list(function) == KEYS
    artifact = Path(function["artifact"])
    content = artifact.read_bytes()
    digest = hashlib.sha256(content)
    assert function["sha256"] == digest.hexdigest()
    assert function["code_sha256"] == base64.b64encode(digest.digest()).decode()
    assert function["size"] == len(content)
    with zipfile.ZipFile(artifact) as archive:
        entries = archive.infolist()
    assert function["files"] == len(entries)
    assert function["unzipped_size"] == sum(entry.file_size for entry in entries)
    assert [list(package) for package in function["packages"]] == [
        ["name", "version", "size", "unzipped_size"]
    ] * 2
    assert [(p["name"], p["version"]) for p in function["packages"]] == [("alpha", "2.1"), ("beta", "1.0")]
    told = {name: function[name] for name in ("manifest", "package_type", "runtime", "architecture")}
    assert told == {
        "manifest": "orders/lambda.yaml",
        "package_type": "Zip",
        "runtime": "python3.13",
        "architecture": "arm64",
    }
    assert (function["code_source"], function["cached"]) == (None, False)
    (again,) = bench.build("--no-publish", "--json").json["functions"]
    assert again["cached"] is True
    assert {**again, "cached": False, "seconds": 0} == {**function, "seconds": 0}


def test_json_names_the_code_source_that_was_written(local_bench: Any) -> None:
    manifest = local_bench.function("orders")
    before = manifest.read_text()
    outcome = local_bench.build("--local", "--bucket", "acme-artifacts", "--prefix", "team/a", "--json").json
    BuildOut.model_validate(outcome)
    (function,) = outcome["functions"]
    assert function["code_source"] == {
        "s3": {
            "bucket": "acme-artifacts",
            "key": f"team/a/orders/{function['sha256']}.zip",
            "object_version": None,
        },
        "image_uri": None,
    }
    written = manifest.read_text()
    added = [line for line in written.splitlines() if line not in before.splitlines()]
    assert [line.strip() for line in added] == [
        "codeSourceType: CODE_SOURCE_TYPE_S3",
        "s3:",
        "bucket: acme-artifacts",
        f"key: team/a/orders/{function['sha256']}.zip",
    ]
    assert [line for line in written.splitlines() if line not in added] == before.splitlines()
    local_bench.build("--local", "--bucket", "acme-artifacts", "--prefix", "team/a")
    assert manifest.read_text() == written


def test_an_error_with_json_is_an_object_on_stdout_alone(bench: Any) -> None:
    bench.function("orders", handler="ap.handler")
    outcome = bench.build("--no-publish", "--json", expect=44)
    assert outcome.err == ""
    ErrorsOut.model_validate(outcome.json)
    (error,) = outcome.json["errors"]
    assert list(error) == ["code", "message", "file", "line", "column", "hint"]
    assert (error["code"], error["file"], error["line"]) == ("handler_missing", "orders/lambda.yaml", 10)
    assert "did you mean app.handler?" in error["hint"]


def test_all_functions_that_fail_are_reported_and_nothing_is_written(local_bench: Any) -> None:
    good = local_bench.function("orders")
    local_bench.function("broken", handler="ap.handler")
    local_bench.function("empty", "nothing-of-this-name")
    before = files_below(local_bench.folder)
    outcome = local_bench.build("--local", "--json", "--bucket", "acme-artifacts", expect=None)
    assert outcome.code in (31, 44)
    assert {error["code"] for error in outcome.json["errors"]} == {"handler_missing", "resolution_failed"}
    assert files_below(local_bench.folder) == before
    assert good.exists()


def test_check_exits_10_and_writes_nothing_until_all_is_up_to_date(local_bench: Any) -> None:
    local_bench.function("orders")
    before = files_below(local_bench.folder)
    outcome = local_bench.build("--check", "--bucket", "acme-artifacts", expect=10)
    assert "would change orders/lambda.yaml" in outcome.out
    assert files_below(local_bench.folder) == before
    local_bench.build("--local", "--bucket", "acme-artifacts")
    after = files_below(local_bench.folder)
    assert after != before
    assert "would change" not in local_bench.build("--check").out
    assert files_below(local_bench.folder) == after
    (local_bench.folder / "orders" / "app.py").write_text("def handler(event, context): ...\n")
    assert "would change orders/lambda.yaml" in local_bench.build("--check", expect=10).out


@pytest.mark.parametrize("count", [1, 2])
def test_check_exits_10_for_a_missing_or_stale_lock(bench: Any, count: int) -> None:
    bench.wheel("alpha")
    bench.wheel("beta")
    for number in range(count):
        bench.function(f"orders-{number}", "alpha")
    before = files_below(bench.folder)
    missing = bench.build("--check", "--bucket", "acme-artifacts", expect=10)
    assert missing.err.count("error[lock_outdated]") == count
    assert "is missing" in missing.err
    assert files_below(bench.folder) == before
    bench.build("lock")
    for number in range(count):
        (bench.folder / f"orders-{number}" / "requirements.txt").write_text("alpha\nbeta\n")
    before = files_below(bench.folder)
    stale = bench.build("--check", "--bucket", "acme-artifacts", expect=10)
    assert stale.err.count("is outdated") == count
    assert files_below(bench.folder) == before


def test_check_does_not_hide_a_real_error_behind_a_stale_lock(bench: Any) -> None:
    bench.wheel("alpha")
    bench.function("orders", "alpha")
    bench.function("broken", handler="ap.handler")
    outcome = bench.build("--check", "--bucket", "acme-artifacts", expect=None)
    assert outcome.code not in (0, 10)
    assert "error[handler_missing]" in outcome.err


def test_dry_run_prints_a_diff_and_writes_nothing(bench: Any, tmp_path: Path) -> None:
    manifest = bench.function("orders")
    before = files_below(bench.folder)
    outcome = bench.build("--dry-run", "--bucket", "acme-artifacts")
    diff, _, _ = outcome.out.partition("function ")
    assert diff.startswith("--- a/")
    assert "+  codeSourceType: CODE_SOURCE_TYPE_S3\n" in diff
    assert "+    bucket: acme-artifacts\n" in diff
    assert not [line for line in diff.splitlines()[2:] if line.startswith("-")]
    assert files_below(bench.folder) == before
    assert manifest.name in diff.splitlines()[0]


def test_dry_run_when_nothing_would_change_prints_no_diff(local_bench: Any) -> None:
    local_bench.function("orders")
    local_bench.build("--local")
    assert "+++" not in local_bench.build("--dry-run").out


def test_locked_refuses_to_make_a_lock_and_takes_one_that_fits(bench: Any) -> None:
    bench.wheel("alpha")
    bench.function("orders", "alpha")
    outcome = bench.build("--no-publish", "--locked", expect=32)
    assert "run `planton-build lock` and commit the lock" in outcome.err
    assert [p.name for p in (bench.folder / "orders").glob("*.lock")] == []
    bench.build("--no-publish")
    bench.build("--no-publish", "--locked")


def test_output_gets_a_copy_per_function(bench: Any) -> None:
    bench.function("orders")
    bench.function("invoices")
    outcome = bench.build("--no-publish", "--json", "--output", "out/zips").json
    found = files_below(bench.folder / "out" / "zips")
    wanted = {f"{one['function_name']}.zip": one["sha256"] for one in outcome["functions"]}
    zips = {name: content for name, content in found.items() if name.endswith(".zip")}
    assert {name: hashlib.sha256(content).hexdigest() for name, content in zips.items()} == wanted


def test_a_copy_in_the_source_folder_does_not_get_into_the_next_build(bench: Any) -> None:
    bench.function("orders")
    folder = bench.folder / "orders"
    first = bench.build("--no-publish", "--json", "--output", "dist", cwd=folder).json["functions"][0]
    assert (folder / "dist" / "orders.zip").is_file()
    again = bench.build("--no-publish", "--json", "--output", "dist", cwd=folder).json["functions"][0]
    without = bench.build("--no-publish", "--json", cwd=folder).json["functions"][0]
    assert first["sha256"] == again["sha256"] == without["sha256"]


def test_a_copy_that_the_next_build_would_package_is_refused(bench: Any) -> None:
    bench.function("orders")
    folder = bench.folder / "orders"
    outcome = bench.build("--no-publish", "--output", ".", cwd=folder, expect=25)
    assert "the next build would package" in outcome.err
    assert not (folder / "orders.zip").exists()


def test_functions_of_one_name_in_two_regions_do_not_overwrite_each_other(bench: Any) -> None:
    bench.function("orders", folder="eu")
    bench.function("orders", folder="us", region="us-east-1", app="def handler(e, c): ...\n")
    outcome = bench.build("--no-publish", "--output", "out", expect=25)
    assert "out/orders.zip" in outcome.err
    assert not (bench.folder / "out" / "orders.zip").exists()


@pytest.mark.parametrize(("size", "code"), [("1kB", 43), ("1 MiB", 0), ("much", 25)])
def test_a_budget_for_the_size_is_kept(bench: Any, size: str, code: int) -> None:
    bench.wheel("alpha", size=5000)
    bench.function("orders", "alpha")
    outcome = bench.build("--no-publish", "--max-size", size, expect=code)
    assert ("over the budget of 1,000" in outcome.err) == (code == 43)
    again = bench.build("--no-publish", "--max-size", size, expect=code)  # from the store, too
    assert again.err == outcome.err


def test_flags_win_over_variables_over_files(bench: Any) -> None:
    bench.function("orders")
    bench.function("invoices")
    (bench.folder / "planton.toml").write_text(
        'bucket = "from-file"\nprefix = "files"\n[function.invoices]\nbucket = "from-table"\n'
    )
    variable = {"PLANTON_BUCKET": "from-variable"}

    def buckets(*arguments: str, env: dict[str, str] | None = None) -> dict[str, tuple[str, str]]:
        found = bench.build("--dry-run", "--json", *arguments, env=env).json["functions"]
        sources = {one["function_name"]: one["code_source"]["s3"] for one in found}
        return {name: (s3["bucket"], s3["key"].partition("/")[0]) for name, s3 in sources.items()}

    assert buckets() == {"orders": ("from-file", "files"), "invoices": ("from-table", "files")}
    assert set(buckets(env=variable).values()) == {("from-variable", "files")}
    flags = ("--bucket", "from-flag", "--prefix", "flags")
    assert set(buckets(*flags, env=variable).values()) == {("from-flag", "flags")}


def test_without_a_bucket_the_error_comes_before_the_work_and_once(bench: Any) -> None:
    bench.function("orders")
    bench.function("invoices")
    outcome = bench.build(expect=51)
    assert outcome.err.count("error[bucket_unknown]") == 2
    assert "pass --bucket NAME" in outcome.err
    assert not bench.cache.exists()


def test_a_wrong_bucket_name_is_refused_before_the_work(bench: Any) -> None:
    bench.function("orders")
    outcome = bench.build("--bucket", "Not A Bucket", expect=25)
    assert "error[config_invalid]" in outcome.err
    assert not bench.cache.exists()


def test_one_job_and_eight_give_the_same(bench: Any) -> None:
    bench.wheel("alpha", requires=["beta"])
    bench.wheel("beta")
    for number in range(6):
        bench.function(f"f{number}", "alpha", app=f"N = {number}\ndef handler(event, context): ...\n")

    def shas(jobs: str) -> list[tuple[str, str]]:
        env = {"PLANTON_CACHE_DIR": str(bench.root / f"cache-{jobs}")}
        found = bench.build("--no-publish", "--json", "--jobs", jobs, env=env).json["functions"]
        return [(one["function_name"], one["sha256"]) for one in found]

    one = shas("1")
    assert [name for name, _ in one] == [f"f{number}" for number in range(6)]
    assert shas("8") == one
    assert len({sha256 for _, sha256 in one}) == 6


def test_two_functions_in_one_file_move_together(local_bench: Any) -> None:
    first = local_bench.function("orders", folder="both")
    second = local_bench.function("returns", folder="elsewhere", handler="app.other")
    first.write_text(first.read_text() + "---\n" + second.read_text())
    second.unlink()
    outcome = local_bench.build("--local", "--json").json["functions"]
    text = first.read_text()
    assert [one["function_name"] for one in outcome] == ["orders", "returns"]
    for one in outcome:
        assert text.count(f"key: {one['function_name']}/{one['sha256']}.zip") == 1


IMPORTED = """
import json, sys
from planton_build.cli.build import main
try:
    main(sys.argv[1:])
except SystemExit as ended:
    assert not ended.code, ended.code
slow = {"boto3", "botocore", "docker", "rich", "httpx", "httpx2", "moto", "uv", "unearth", "pip", "requests"}
print(json.dumps(sorted(slow & set(sys.modules))), file=sys.stderr)
"""


def test_a_build_with_nothing_to_do_imports_nothing_slow(bench: Any) -> None:
    bench.wheel("alpha")
    bench.function("orders", "alpha")
    bench.build("--no-publish")

    def imported(*arguments: str) -> list[str]:
        done = subprocess.run(
            [sys.executable, "-c", IMPORTED, *arguments],
            cwd=bench.folder, env=bench.environment, capture_output=True, text=True, check=True,
        )  # fmt: skip
        found: list[str] = json.loads(done.stderr.splitlines()[-1])
        return found

    assert imported("--no-publish") == []
    assert imported("--no-publish", "--locked", "--json") == []
    assert imported("lock", "--check") == []
    (bench.folder / "orders" / "requirements.txt").write_text("alpha>=1\n")
    assert "uv" in imported("--no-publish")  # so that this test can fail
