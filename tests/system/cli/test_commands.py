"""`planton-build check`, `lock` and `cache` as processes."""

from __future__ import annotations

import os
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest

LOCK = "requirements.python3.13-arm64.lock"


# check


def test_check_measures_our_own_artifact_as_the_build_did(bench: Any) -> None:
    bench.wheel("alpha", "2.0", size=5000)
    bench.function("orders", "alpha")
    (built,) = bench.build("--no-publish", "--json", "--output", "out").json["functions"]
    (checked,) = bench.build("check", "out/orders.zip", "--json").json["artifacts"]
    for key in ("sha256", "code_sha256", "tree_digest", "size", "unzipped_size", "files"):
        assert checked[key] == built[key], key
    assert [p for p in checked["packages"] if p["version"]] == built["packages"]
    assert checked["artifact"] == "out/orders.zip"
    assert checked["limit"] == 262_144_000
    assert checked["largest"][0]["path"] == "alpha/__init__.py"
    (of_the_manifest,) = bench.build("check", "orders", "--json").json["artifacts"]
    assert of_the_manifest == {**checked, "artifact": "orders"}


def test_check_shows_people_sizes_packages_and_files(bench: Any) -> None:
    bench.wheel("alpha", "2.0", size=5000)
    bench.function("orders", "alpha")
    out = bench.build("check").out
    for shown in ("orders\n", "of 262,144,000 bytes unzipped", "alpha 2.0", "(sources)", "largest files"):
        assert shown in out


def test_check_takes_a_zip_of_another_tool(bench: Any) -> None:
    path = bench.folder / "foreign.ZIP"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("app.py", "x = 1\n" * 100)
        archive.writestr("requests/__init__.py", "")
        archive.writestr("requests-2.0.dist-info/METADATA", "Name: requests\n")
    (checked,) = bench.build("check", path, "--json").json["artifacts"]
    assert checked["files"] == 3
    assert {(p["name"], p["version"]) for p in checked["packages"]} == {
        ("(sources)", ""),
        ("requests", "2.0"),
    }


@pytest.mark.parametrize("kind", ["missing", "empty", "text", "cut", "damaged", "folder", "escaping"])
def test_check_explains_a_broken_zip(bench: Any, kind: str) -> None:
    path = bench.folder / "broken.zip"
    if kind == "folder":
        path.mkdir()
    elif kind != "missing":
        name = "../escape.py" if kind == "escaping" else "app.py"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
            archive.writestr(name, b"0123456789" * 100)
        whole = path.read_bytes()
        contents = {
            "empty": b"",
            "text": b"not a ZIP\n" * 50,
            "cut": whole[:-40],
            "damaged": whole.replace(b"0123456789", b"9876543210", 1),
            "escaping": whole,
        }
        path.write_bytes(contents[kind])
    outcome = bench.build("check", path, "--json", expect=41)
    assert outcome.json["errors"][0]["code"] == "archive_invalid"
    assert outcome.err == ""


def test_check_reports_every_archive_that_is_too_large(bench: Any) -> None:
    for name in ("one", "two", "three"):
        with zipfile.ZipFile(bench.folder / f"{name}.zip", "w") as archive:
            archive.writestr("app.py", b"x" * (100 if name == "three" else 5000))
    outcome = bench.build("check", "one.zip", "two.zip", "three.zip", "--max-size", "1kB", expect=43)
    assert outcome.err.count("error[size_budget_exceeded]") == 2
    assert "one.zip: " in outcome.err
    assert "two.zip: " in outcome.err
    assert outcome.out.count("bytes unzipped") == 3  # the sizes are shown all the same


# lock


def locked(bench: Any, name: str = "orders") -> list[str]:
    lines = (bench.folder / name / LOCK).read_text().splitlines()
    return [line.split()[0] for line in lines if "==" in line and not line.startswith("#")]


def test_lock_makes_keeps_and_upgrades(bench: Any) -> None:
    bench.wheel("alpha", "1.0", requires=["beta"])
    bench.wheel("beta", "1.0")
    bench.function("orders", "alpha")
    first = bench.build("lock", "--json").json["locks"]
    assert first == [
        {
            "function_name": "orders",
            "lock": f"orders/{LOCK}",
            "image_lock": None,
            "state": "created",
            "packages": 2,
        }
    ]
    assert locked(bench) == ["alpha==1.0", "beta==1.0"]
    content = (bench.folder / "orders" / LOCK).read_bytes()
    bench.wheel("alpha", "2.0", requires=["beta"])
    bench.wheel("beta", "2.0")
    assert bench.build("lock", "--json").json["locks"][0]["state"] == "up to date"
    assert (bench.folder / "orders" / LOCK).read_bytes() == content
    bench.build("lock", "--upgrade-package", "beta")
    assert locked(bench) == ["alpha==1.0", "beta==2.0"]
    assert bench.build("lock", "--upgrade", "--json").json["locks"][0]["state"] == "updated"
    assert locked(bench) == ["alpha==2.0", "beta==2.0"]


def test_lock_check_exits_10_and_writes_nothing(bench: Any) -> None:
    bench.wheel("alpha")
    bench.function("orders", "alpha")
    bench.function("invoices", "alpha")
    bench.function("plain")
    outcome = bench.build("lock", "--check", expect=10)
    assert outcome.err.count("error[lock_outdated]") == 2
    assert not list(bench.folder.rglob("*.lock"))
    bench.build("lock")
    assert bench.build("lock", "--check").err == ""
    (bench.folder / "orders" / "requirements.txt").write_text("alpha>=1\n")
    outcome = bench.build("lock", "--check", "--json", expect=10)
    assert [error["file"] for error in outcome.json["errors"]] == [f"orders/{LOCK}"]


@pytest.mark.parametrize("option", [("--upgrade",), ("--upgrade-package", "alpha")])
def test_lock_check_and_upgrade_exclude_each_other(bench: Any, option: tuple[str, ...]) -> None:
    outcome = bench.build("lock", "--check", *option, expect=2)
    assert "--check" in outcome.err


def test_lock_of_something_that_does_not_exist_names_it(bench: Any) -> None:
    bench.function("orders", "no-such-package")
    outcome = bench.build("lock", expect=31)
    assert "no-such-package" in outcome.err
    assert not list(bench.folder.rglob("*.lock"))


def test_functions_that_share_an_input_share_its_lock(bench: Any) -> None:
    bench.wheel("alpha")
    for name in ("orders", "invoices"):
        bench.function(name)
    (bench.folder / "requirements.txt").write_text("alpha\n")
    (bench.folder / "planton.toml").write_text('dependencies = "requirements.txt"\n')
    rows = bench.build("lock", "--json").json["locks"]
    assert {row["lock"] for row in rows} == {LOCK}
    assert [path.name for path in bench.folder.rglob("*.lock")] == [LOCK]


# cache


def test_cache_path_is_what_the_variable_says(bench: Any) -> None:
    assert bench.build("cache", "path").out == f"{bench.cache}\n"
    assert bench.build("cache", "path", "--json").json == {"path": str(bench.cache)}
    moved = bench.build("cache", "path", env={"PLANTON_CACHE_DIR": "relative"})
    assert moved.out == f"{bench.folder / 'relative'}\n"


def test_prune_removes_what_is_old_and_the_next_build_brings_it_back(bench: Any) -> None:
    bench.wheel("alpha")
    bench.function("orders", "alpha")
    first = bench.build("--no-publish", "--json").json["functions"][0]
    assert bench.build("cache", "prune", "--json").json == {"removed": 0, "bytes": 0}
    old = time.time() - 31 * 86_400
    files = [path for path in bench.cache.rglob("*") if path.is_file()]
    for path in files:
        os.utime(path, (old, old))
    size = sum(path.stat().st_size for path in files)
    assert bench.build("cache", "prune", "--json").json == {"removed": len(files), "bytes": size}
    assert not Path(first["artifact"]).exists()
    again = bench.build("--no-publish", "--json").json["functions"][0]
    assert (again["sha256"], again["cached"]) == (first["sha256"], False)


@pytest.mark.parametrize("left", ["staging/tmpabc", "artifacts/ab/.abc.x.planton-tmp", "parts/abc.part"])
def test_prune_removes_what_a_killed_run_left_after_a_day(bench: Any, left: str) -> None:
    path = bench.cache / "v1" / left
    path.parent.mkdir(parents=True)
    path.write_bytes(b"half")
    assert bench.build("cache", "prune").out == "removed 0 entries, 0 B\n"
    young = time.time() - 3600  # a build may still be writing it
    os.utime(path, (young, young))
    assert bench.build("cache", "prune").out == "removed 0 entries, 0 B\n"
    old = time.time() - 25 * 3600
    os.utime(path, (old, old))
    assert bench.build("cache", "prune").out == "removed 1 entries, 4 B\n"
    assert not path.exists()


def test_prune_of_a_cache_that_does_not_exist_is_nothing(bench: Any) -> None:
    assert bench.build("cache", "prune").out == "removed 0 entries, 0 B\n"
    assert not bench.cache.exists()


@pytest.mark.parametrize("kind", ["artifacts", "wheels", "deflated", "members"])
def test_a_damaged_entry_is_made_again(bench: Any, kind: str) -> None:
    bench.wheel("alpha")
    bench.function("orders", "alpha")
    first = bench.build("--no-publish", "--json").json["functions"][0]["sha256"]
    for path in list((bench.cache / "v1" / kind).rglob("*")):
        if path.is_file():
            path.write_bytes(b"damaged" + path.read_bytes()[7:])
    if kind != "artifacts":  # so that the others are needed
        for folder in ("builds", "artifacts"):
            for path in (bench.cache / "v1" / folder).rglob("*"):
                if path.is_file():
                    path.unlink()
    again = bench.build("--no-publish", "--json").json["functions"][0]
    assert (again["sha256"], again["cached"]) == (first, False)
