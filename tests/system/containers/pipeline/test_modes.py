"""Modes of containers: the same bytes from each where each can build, and a refusal where one cannot."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.xdist_group("containers"), pytest.mark.network]

MODES = ("auto", "always", "never")


def built_anew(site: Any, folder: Path, mode: str) -> tuple[str, dict[str, bytes]]:
    """Lock and build with a cache of its own; return the artifact's SHA-256 and the locks."""
    for lock in folder.glob("*.lock"):
        lock.unlink()
    function = site.build(folder, "--container", mode, cache=f"cache-{mode}").function
    assert not function["cached"]
    return function["sha256"], locks_of(folder)


def locks_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.lock")}


def test_wheels_give_the_same_bytes_and_lock_in_every_mode(site: Any, nowhere: dict[str, str]) -> None:
    folder = site.function("plain", {"requirements.txt": "markupsafe\nidna>=3\n"})
    made = {mode: built_anew(site, folder, mode) for mode in MODES}
    assert len({sha256 for sha256, _ in made.values()}) == 1
    lock = "requirements.python3.11-x86_64.lock"
    assert made["auto"][1] == made["never"][1] == {lock: made["always"][1][lock]}
    # What was fetched in a container is in the cache as if it had been fetched here.
    again = site.build(folder, "--locked", "--container", "never", cache="cache-always", env=nowhere)
    assert again.function["sha256"] == made["auto"][0]


def test_wheels_for_arm64_give_the_same_bytes_and_lock_in_every_mode(site: Any, repository: Path) -> None:
    folder = site.root / "work" / "image-processor"
    shutil.copytree(repository / "examples" / "image-processor", folder)
    committed = locks_of(folder)
    (name,) = committed
    asked = [line for line in committed[name].decode().splitlines() if "==" in line]
    (folder / "requirements.txt").write_text("".join(f"{line.split()[0]}\n" for line in asked))
    made = {mode: built_anew(site, folder, mode) for mode in MODES}
    assert len({sha256 for sha256, _ in made.values()}) == 1
    assert made["auto"][1] == made["never"][1] == {name: made["always"][1][name]}


def test_without_containers_a_package_that_needs_one_is_refused(site: Any, nowhere: dict[str, str]) -> None:
    folder = site.function("sums", {"requirements.txt": "crcmod==1.7\n"})
    refused = site.run(folder, "--no-publish", "--container", "never", env=nowhere, expect=38)
    assert "error[container_required]" in refused.err
    assert "crcmod" in refused.err.splitlines()[0]
    assert "python3.11-x86_64" in refused.err
    assert locks_of(folder) == {}


def test_a_machine_without_an_engine_is_told_what_needs_it(site: Any, nowhere: dict[str, str]) -> None:
    folder = site.function("sums", {"requirements.txt": "crcmod==1.7\n"})
    refused = site.run(folder, "--no-publish", env=nowhere, expect=80)
    assert "crcmod" in refused.err
    assert "tcp://127.0.0.1:1" in refused.err
    assert "doctor" in refused.err


def test_the_mode_of_the_environment_and_of_the_file_hold(site: Any, nowhere: dict[str, str]) -> None:
    folder = site.function("sums", {"requirements.txt": "crcmod==1.7\n"})
    site.run(folder, "--no-publish", env={**nowhere, "PLANTON_CONTAINER": "never"}, expect=38)
    (folder / "planton.toml").write_text('[function.sums]\ncontainer = "never"\n')
    site.run(folder, "--no-publish", env=nowhere, expect=38)


def test_locking_in_a_container_pins_the_image_it_was_done_in(site: Any) -> None:
    folder = site.function("plain", {"requirements.txt": "idna>=3\n"})
    site.run(folder, "lock", "--container", "always")
    (pins,) = folder.glob("*.build.lock")
    assert "sha256:" in pins.read_text()
