"""Images by mode: what is pushed and written, and what not; ZIP and image in turns; newcomers' mistakes."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

MISTAKES = Path(__file__).parents[2] / "projects" / "image-mistakes"
TAG = "lambda/python:{runtime}-{architecture}"


def files_of(folder: Path) -> dict[str, bytes]:
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


# Modes.


def test_check_tells_that_a_manifest_would_change_and_pushes_nothing(
    yard: Any, registry: Any, repository: str
) -> None:
    manifest = yard.function()
    before = files_of(yard.folder)
    outcome = yard.build("--repository", repository, "--check", expect=10)
    assert "would change" in outcome.out + outcome.err
    assert files_of(yard.folder) == before
    assert registry.repositories() == []
    assert registry.asked(r"/acme/") == []
    yard.build("--repository", repository)
    yard.build("--repository", repository, "--check")
    (manifest.parent / "app.py").write_text("def handler(event, context): ...\n")
    yard.build("--repository", repository, "--check", expect=10)


def test_dry_run_prints_the_digest_that_a_run_then_writes(yard: Any, registry: Any, repository: str) -> None:
    manifest = yard.function()
    before = files_of(yard.folder)
    diff = yard.build("--repository", repository, "--dry-run").out
    (added,) = re.findall(r"^\+ +imageUri: (\S+)$", diff, re.MULTILINE)
    told = yard.build("--repository", repository, "--dry-run", "--json").function["code_source"]["image_uri"]
    assert files_of(yard.folder) == before
    assert registry.repositories() == []
    yard.build("--repository", repository)
    assert f"imageUri: {added}\n" in manifest.read_text()
    assert told == added


def test_no_publish_makes_the_image_that_is_pushed_later(yard: Any, registry: Any, repository: str) -> None:
    yard.function()
    before = files_of(yard.folder)
    built = yard.build("--no-publish", "--json").function
    assert built["code_source"] is None
    assert files_of(yard.folder) == before
    assert registry.asked(r"/acme/") == []
    pushed = yard.build("--repository", repository, "--json").function
    assert (pushed["sha256"], pushed["cached"]) == (built["sha256"], True)
    registry.manifest("acme/orders", f"sha256:{built['sha256']}")


def test_locks_are_made_by_lock_and_required_by_locked_and_check(
    yard: Any, registry: Any, repository: str
) -> None:
    digest = registry.put(yard.root / "base", "lambda/python:python3.13-x86_64")
    manifest = yard.function(options={"base-image": f"{registry.host}/{TAG}"})
    lock = manifest.parent / "images.lock"
    assert yard.build("--repository", repository, "--locked", "--json", expect=32).error == "lock_outdated"
    yard.build("lock", "--check", expect=10)
    yard.build("--repository", repository, "--check", expect=10)
    assert not lock.exists()
    (row,) = yard.build("lock", "--json").json["locks"]
    assert row["image_lock"].endswith("images.lock")
    assert f'x86_64 = "{digest}"' in lock.read_text()
    yard.build("lock", "--check")
    yard.build("--repository", repository, "--locked")

    lock.write_text(lock.read_text().replace("python:python3.13", "python:python3.12"))
    yard.build("--repository", repository, "--locked", expect=32)
    for text in ("<<<<<<< ours\n" + lock.read_text(), '["a"]\nx86_64 = "sha256:12"\n', "\0"):
        lock.write_text(text)
        outcome = yard.build("--repository", repository, "--json", expect=30)
        assert outcome.error == "dependency_input_invalid"
        assert outcome.json["errors"][0]["file"].endswith("images.lock")
        assert lock.read_text() == text


@pytest.mark.parametrize("form", ["oci", "docker-archive"])
def test_output_has_the_image_without_any_registry(yard: Any, runs: Any, form: str) -> None:
    yard.wheel("tables")
    yard.function("Orders", "tables")
    function = yard.build("--no-publish", "--output", "out", "--image-as", form, "--json").function
    if form == "oci":
        where = f"oci:{yard.folder}/out/Orders.oci:{function['sha256'][:12]}"
        index = json.loads((yard.folder / "out/Orders.oci/index.json").read_text())
        assert [one["digest"] for one in index["manifests"]] == [f"sha256:{function['sha256']}"]
    else:
        where = f"docker-archive:{yard.folder}/out/Orders.tar"
    shown = json.loads(runs("skopeo", "inspect", where))
    assert (shown["Architecture"], len(shown["Layers"])) == ("amd64", 3)
    # A second time writes the same, and nothing of it is packaged.
    before = files_of(yard.folder / "out")
    again = yard.build("--no-publish", "--output", "out", "--image-as", form, "--json").function
    assert again["sha256"] == function["sha256"]
    assert files_of(yard.folder / "out") == before


# ZIP and image.


def test_one_line_turns_an_image_into_a_zip_and_back(yard: Any, registry: Any, repository: str) -> None:
    yard.wheel("tables")
    manifest = yard.function("orders", "tables")
    first = yard.build("--repository", repository, "--json").function
    image = manifest.read_text()
    manifest.write_text(image.replace("_TYPE_IMAGE", "_TYPE_S3"))
    outcome = yard.build("--bucket", "acme-artifacts", "--dry-run", "--json")
    assert outcome.function["code_source"]["image_uri"] is None
    outcome = yard.build("--bucket", "acme-artifacts", "--dry-run")
    assert re.search(r"^- +imageUri: ", outcome.out, re.MULTILINE)
    assert re.search(r"^\+ +bucket: acme-artifacts$", outcome.out, re.MULTILINE)

    # As if it had been published to S3, for which no AWS is here.
    zipped = re.sub(r"  imageUri: .*\n", "  s3:\n    bucket: acme-artifacts\n    key: a/b.zip\n", image)
    manifest.write_text(zipped)
    again = yard.build("--repository", repository, "--json").function
    assert again["sha256"] == first["sha256"]
    assert manifest.read_text() == image


# Mistakes.


def test_without_a_repository_the_error_comes_before_the_work(yard: Any) -> None:
    yard.function(options={"base-image": "127.0.0.1:1/never/asked:1"})
    outcome = yard.build("--json", expect=91)
    assert outcome.error == "repository_unknown"
    assert "--repository" in outcome.json["errors"][0]["hint"]
    assert not yard.cache.exists()


@pytest.mark.parametrize(
    ("name", "code", "exit_code"),
    [
        ("layers", "manifest_invalid", 22),
        ("no-handler", "config_invalid", 25),
        ("handler-elsewhere", "handler_missing", 44),
        ("repository-in-capitals", "config_invalid", 25),
        ("unknown-compression", "config_invalid", 25),
    ],
)
def test_a_mistake_is_explained(yard: Any, name: str, code: str, exit_code: int) -> None:
    shutil.copytree(MISTAKES / name, yard.folder / name)
    before = files_of(yard.folder)
    outcome = yard.build("--json", env={"PLANTON_BASE_IMAGE": f"oci:{yard.root}/base"}, expect=exit_code)
    assert outcome.error == code
    assert outcome.json["errors"][0]["file"].startswith(name)
    assert files_of(yard.folder) == before


def test_every_mistake_is_tried() -> None:
    (mark,) = test_a_mistake_is_explained.pytestmark  # type: ignore[attr-defined]
    assert {path.name for path in MISTAKES.iterdir()} == {row[0] for row in mark.args[1]}


def test_a_functions_name_in_capitals_gives_a_repository_in_small_letters(
    yard: Any, registry: Any, repository: str
) -> None:
    manifest = yard.function("OrdersV2")
    yard.build("--repository", repository)
    assert registry.repositories() == ["acme/ordersv2"]
    assert f"imageUri: {registry.host}/acme/ordersv2@sha256:" in manifest.read_text()


def test_an_image_over_its_budget_is_not_pushed(yard: Any, registry: Any, repository: str) -> None:
    yard.wheel("tables", noise=200_000)
    yard.function("orders", "tables")
    outcome = yard.build("--repository", repository, "--max-size", "100KB", "--json", expect=43)
    assert outcome.error == "size_budget_exceeded"
    assert "tables" in outcome.out
    assert registry.repositories() == []
    yard.build("--repository", repository, "--max-size", "1MB")
    assert yard.build("--repository", repository, "--max-size", "100KB", "--json", expect=43).error


def test_a_registry_that_is_not_ecr_is_remarked_upon(yard: Any, registry: Any, repository: str) -> None:
    yard.function()
    assert "ECR" in yard.build("--repository", repository).err


def test_one_function_that_fails_keeps_the_others_from_the_registry(
    yard: Any, registry: Any, repository: str
) -> None:
    good = yard.function("good")
    yard.function("bad", handler="missing.handler")
    before = good.read_bytes()
    yard.build("--repository", repository, expect=44)
    assert good.read_bytes() == before
    assert registry.repositories() == []
