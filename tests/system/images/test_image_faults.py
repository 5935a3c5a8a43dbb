"""Killed, interrupted, cut off, damaged: a rerun is right, and the registry has whole images alone."""

from __future__ import annotations

import contextlib
import errno
import functools
import http.server
import os
import random
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = [
    pytest.mark.skipif(os.name != "posix", reason="signals of Unix"),
]

KILLS = int(os.environ.get("PLANTON_IMAGE_KILLS", "10"))
"""How many runs are killed; the variable asks for a longer search."""
SEED = int(os.environ.get("PLANTON_KILLS_SEED", "20"))


def whole(registry: Any, repository: str) -> list[str]:
    """Return the digests of all manifests of a repository, having seen that their blobs are there."""
    folder = registry.folder / "data/docker/registry/v2/repositories" / repository / "_manifests"
    digests = [f"sha256:{path.parent.name}" for path in folder.glob("revisions/sha256/*/link")]
    for reference in (*digests, *registry.tags(repository)):
        registry.manifest(repository, reference)
    return digests


def test_a_run_that_is_killed_leaves_whole_images_and_a_rerun_is_right(yard: Any, registry: Any) -> None:
    yard.wheel("tables", noise=2_000_000)
    registry.put(yard.root / "base", "lambda/python:3.13")
    manifest = yard.function(
        "orders", "tables", options={"base-image": f"{registry.host}/lambda/python:3.13"}
    )
    lock = manifest.parent / "images.lock"
    before, chance = manifest.read_bytes(), random.Random(SEED)
    span, hit, sha256 = 1.0, 0, ""
    for number in range(KILLS):
        place = f"{registry.host}/acme/round-{number}"
        if number % 3 == 0:
            shutil.rmtree(yard.cache, ignore_errors=True)
            lock.unlink(missing_ok=True)
        else:  # something to build and to push that is not there yet
            (yard.folder / "orders/data.bin").write_bytes(chance.randbytes(300_000))
            sha256 = ""
        manifest.write_bytes(before)
        process = yard.start("--repository", place)
        moment = chance.uniform(0.3, 1.0) * span
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(moment)
        running = process.poll() is None
        if running:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        hit += running
        span = span * 1.1 if running else span * 0.8
        left = whole(registry, f"acme/round-{number}")
        assert len(left) <= 1
        changed = manifest.read_bytes() != before
        assert not changed or left, "the manifest names an image that is not there"

        function = yard.build("--repository", place, "--json").function
        assert function["sha256"] == (sha256 or function["sha256"])
        sha256 = function["sha256"]
        assert whole(registry, f"acme/round-{number}") == [f"sha256:{sha256}"]
        uri = f"imageUri: {place}@sha256:{sha256}\n"
        assert manifest.read_text().replace(uri, "").split() == before.decode().split()
        assert "x86_64" in lock.read_text()
    assert hit >= KILLS // 2, f"{hit} of {KILLS} were still running"


@pytest.fixture
def deaf() -> Iterator[tuple[str, socket.socket]]:
    """A registry that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)
        yield f"127.0.0.1:{server.getsockname()[1]}", server


def test_ctrl_c_while_pushing_ends_at_once_and_leaves_nothing(yard: Any, registry: Any, deaf: Any) -> None:
    host, server = deaf
    manifest = yard.function()
    before = manifest.read_bytes()
    process = yard.start("--repository", f"{host}/acme/orders")
    connection, _ = server.accept()
    connection.recv(1)
    os.killpg(process.pid, signal.SIGINT)
    outcome = yard.ended(process, expect=130)
    connection.close()
    assert outcome.out == ""
    assert manifest.read_bytes() == before
    assert yard.left() == []
    yard.build("--repository", f"{registry.host}/acme/orders")


def test_ctrl_c_while_a_base_is_fetched_leaves_nothing(yard: Any, registry: Any, deaf: Any) -> None:
    host, server = deaf
    manifest = yard.function(options={"base-image": f"{host}/lambda/python:3.13"})
    process = yard.start("--no-publish")
    connection, _ = server.accept()
    connection.recv(1)
    os.killpg(process.pid, signal.SIGINT)
    yard.ended(process, expect=130)
    connection.close()
    assert yard.left() == []
    assert not (manifest.parent / "images.lock").exists()


def test_a_registry_that_is_down_is_explained_and_the_next_run_goes_on(
    yard: Any, registry: Any, repository: str
) -> None:
    manifest = yard.function()
    before = manifest.read_bytes()
    registry.stop()
    outcome = yard.build("--repository", repository, "--json", expect=93)
    assert outcome.error == "registry_unreachable"
    assert registry.host in outcome.json["errors"][0]["message"]
    assert manifest.read_bytes() == before
    assert yard.left() == []
    registry.start()
    function = yard.build("--repository", repository, "--json").function
    assert function["cached"]
    assert whole(registry, "acme/orders") == [f"sha256:{function['sha256']}"]


def test_a_build_that_changes_nothing_needs_no_base_registry(
    yard: Any, registry: Any, repository: str
) -> None:
    registry.put(yard.root / "base", "lambda/python:3.13")
    manifest = yard.function(options={"base-image": f"{registry.host}/lambda/python:3.13"})
    first = yard.build("--no-publish", "--json").function
    registry.stop()
    again = yard.build("--no-publish", "--json").function
    assert (again["sha256"], again["cached"]) == (first["sha256"], True)
    (manifest.parent / "app.py").write_text("def handler(event, context): ...\n")
    changed = yard.build("--no-publish", "--output", "out", "--json").function
    assert changed["sha256"] != first["sha256"]


@pytest.mark.parametrize("damage", ["another byte", "longer"])
def test_a_damaged_layer_of_the_base_is_found_and_not_kept(
    yard: Any, registry: Any, repository: str, damage: str
) -> None:
    registry.put(yard.root / "base", "lambda/python:3.13")
    (layer,) = registry.layers("lambda/python", "3.13")
    manifest = yard.function(options={"base-image": f"{registry.host}/lambda/python:3.13"})
    before = manifest.read_bytes()
    content = registry.blob(layer).read_bytes()
    middle = len(content) // 2
    damaged = {
        "another byte": content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :],
        "longer": content + b"more",
    }[damage]
    registry.blob(layer).write_bytes(damaged)
    outcome = yard.build("--repository", f"{registry.host}/acme/orders", "--json", expect=82)
    assert outcome.error == "image_mismatch"
    assert registry.repositories() == ["lambda/python"]
    assert manifest.read_bytes() == before
    assert yard.left() == []
    assert not list(yard.cache.rglob(layer.removeprefix("sha256:")))
    registry.blob(layer).write_bytes(content)
    yard.build("--repository", f"{registry.host}/acme/orders", "--locked")


@pytest.mark.parametrize(
    ("which", "damage"),
    [("base", "another byte"), ("own", "another byte"), ("own", "cut off"), ("own", "gone")],
)
def test_a_damaged_layer_in_the_cache_never_reaches_a_registry(
    yard: Any, registry: Any, which: str, damage: str
) -> None:
    registry.put(yard.root / "base", "lambda/python:3.13")
    yard.function(options={"base-image": f"{registry.host}/lambda/python:3.13"})
    first = yard.build("--repository", f"{registry.host}/acme/one", "--json").function
    base, own = registry.layers("acme/one", f"sha256:{first['sha256']}")
    (kept,) = yard.cache.rglob((base if which == "base" else own).removeprefix("sha256:"))
    content = kept.read_bytes()
    if damage == "gone":
        kept.unlink()
    elif damage == "cut off":
        kept.write_bytes(content[:-20])
    else:
        kept.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    outcome = yard.build("--repository", f"{registry.host}/acme/two", "--json", expect=None)
    found = whole(registry, "acme/two")
    if (which, damage) != ("own", "another byte"):  # mounted from where it is whole, or made anew
        assert outcome.code == 0, outcome.out
        assert found == [f"sha256:{first['sha256']}"]
        return
    # It is said, with what to do.
    assert (outcome.code, outcome.error) == (45, "cache_broken")
    assert f"remove {kept}" in outcome.json["errors"][0]["hint"]
    assert found == []
    kept.unlink()
    again = yard.build("--repository", f"{registry.host}/acme/two", "--json").function
    assert again["sha256"] == first["sha256"]


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("mount") is None, reason="only root can mount a disk")
@pytest.mark.parametrize("size", ["500k", "700k"])
def test_a_full_cache_is_explained_and_leaves_nothing_wrong(
    yard: Any, registry: Any, repository: str, tmp_path: Path, size: str
) -> None:
    yard.wheel("tables", noise=400_000)
    manifest = yard.function("orders", "tables")
    before = manifest.read_bytes()
    disk = tmp_path / "disk"  # the wheel takes 400 KB of it, its layer as much, and the sources 64 KB
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(disk)], check=True)
    try:
        env = {"PLANTON_CACHE_DIR": str(disk / "cache")}
        outcome = yard.build("--repository", repository, "--json", env=env, expect=45)
        assert outcome.error == "cache_broken"
        assert os.strerror(errno.ENOSPC) in outcome.out
        assert registry.repositories() == []
        assert manifest.read_bytes() == before
        subprocess.run(["mount", "-o", "remount,size=16m", str(disk)], check=True)
        function = yard.build("--repository", repository, "--json", env=env).function
        assert whole(registry, "acme/orders") == [f"sha256:{function['sha256']}"]
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_cache_that_may_only_be_read_is_explained(yard: Any, registry: Any, repository: str) -> None:
    before: tuple[str, ...] = ()
    if os.geteuid() == 0:
        before = ("setpriv", "--bounding-set", "-dac_override,-dac_read_search", "--")
        if subprocess.run([*before, "true"], check=False).returncode != 0:
            pytest.skip("runs as root, and setpriv cannot take root's rights away here")
    yard.function()
    yard.build("--no-publish")
    folders = [path for path in (yard.cache, *yard.cache.rglob("*")) if path.is_dir()]
    for folder in folders:
        folder.chmod(0o555)
    try:
        # What is there is published; what is not cannot be made.
        function = yard.build("--repository", repository, "--json", before=before).function
        assert function["cached"]
        (yard.folder / "orders/app.py").write_text("def handler(event, context): ...\n")
        outcome = yard.build("--repository", repository, "--json", before=before, expect=45)
        assert outcome.error == "cache_broken"
    finally:
        for folder in folders:
            folder.chmod(0o755)


def test_images_lock_that_cannot_be_written_is_named(yard: Any, registry: Any, repository: str) -> None:
    before: tuple[str, ...] = ()
    if os.geteuid() == 0:
        before = ("setpriv", "--bounding-set", "-dac_override,-dac_read_search", "--")
        if subprocess.run([*before, "true"], check=False).returncode != 0:
            pytest.skip("runs as root, and setpriv cannot take root's rights away here")
    registry.put(yard.root / "base", "lambda/python:3.13")
    manifest = yard.function(options={"base-image": f"{registry.host}/lambda/python:3.13"})
    manifest.parent.chmod(0o555)
    try:
        outcome = yard.build("--no-publish", before=before, expect=32)
        assert "images.lock cannot be written: Permission denied" in outcome.err
        assert yard.left() == []
    finally:
        manifest.parent.chmod(0o755)


@pytest.fixture
def index(yard: Any) -> Iterator[tuple[str, list[Callable[[], None]]]]:
    """Serve the shelf; give its address, and what is to be done when a wheel is fetched."""
    hooks: list[Callable[[], None]] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            while self.path.endswith(".whl") and hooks:
                hooks.pop()()
            super().do_GET()

        def log_message(self, *_: Any) -> None:
            pass

    handler = functools.partial(Handler, directory=yard.root / "shelf")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/", hooks
        finally:
            server.shutdown()
            thread.join()


def test_sources_that_change_while_they_are_built_are_refused(
    yard: Any, registry: Any, repository: str, index: Any
) -> None:
    address, hooks = index
    yard.environment["PIP_FIND_LINKS"] = address
    yard.wheel("tables")
    manifest = yard.function("orders", "tables")
    before = manifest.read_bytes()
    yard.build("lock")
    app = manifest.parent / "app.py"
    hooks.append(lambda: app.write_text("def handler(event, context): ...\n"))
    outcome = yard.build("--repository", repository, "--json", expect=26)
    assert hooks == []
    assert outcome.error == "source_invalid"
    assert "app.py was changed" in outcome.out
    assert (registry.repositories(), manifest.read_bytes(), yard.left()) == ([], before, [])
    function = yard.build("--repository", repository, "--json").function
    shutil.rmtree(yard.cache)
    assert yard.build("--repository", repository, "--json").function["sha256"] == function["sha256"]
