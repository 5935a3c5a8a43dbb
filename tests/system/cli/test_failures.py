"""Ctrl-C, full disks, forbidden files and hostile inputs: an explanation, an exit code, and no traceback."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

PROJECTS = Path(__file__).parents[2] / "projects"
CODES = {
    "alias-bomb": ("manifest_unreadable", 21),
    "bad-toml": ("config_invalid", 25),
    "bare-role-arn": ("manifest_invalid", 22),
    "duplicate-key": ("manifest_unreadable", 21),
    "symlink-out": ("source_invalid", 26),
    "two-code-sources": ("manifest_invalid", 22),
    "unknown-key": ("manifest_invalid", 22),
    "unknown-option": ("config_invalid", 25),
    "wrong-case-enum": ("manifest_invalid", 22),
}
DEPLOY_CODES = {
    "deploy-clashes": ("config_invalid", 25),
    "deploy-limits": ("config_invalid", 25),
}
"""Projects that can be built, and not deployed."""


# Hostile and mistaken inputs.


def test_every_broken_project_is_covered() -> None:
    # Those without a manifest are parts of other tests.
    assert {path.parent.name for path in PROJECTS.glob("*/*.yaml")} == {*CODES, *DEPLOY_CODES}


@pytest.mark.parametrize("name", sorted(DEPLOY_CODES))
def test_a_project_that_cannot_be_deployed_is_explained(bench: Any, name: str) -> None:
    code, exit_code = DEPLOY_CODES[name]
    shutil.copytree(PROJECTS / name, bench.folder, dirs_exist_ok=True)
    outcome = bench.run("planton-deploy", "plan", "--region", "eu-west-1", "--json", expect=exit_code)
    assert len(outcome.json["errors"]) > 3
    for error in outcome.json["errors"]:
        assert error["code"] == code
        assert error["file"]
        assert error["line"]
    assert outcome.err == ""


@pytest.mark.parametrize("name", sorted(CODES))
def test_a_broken_project_is_explained(bench: Any, name: str) -> None:
    code, exit_code = CODES[name]
    shutil.copytree(PROJECTS / name, bench.folder, dirs_exist_ok=True, symlinks=True)
    outcome = bench.build("--no-publish", "--json", expect=exit_code)
    assert {error["code"] for error in outcome.json["errors"]} == {code}
    for error in outcome.json["errors"]:
        assert error["file"]
        assert error["hint"]
    assert outcome.err == ""
    text = bench.build("--no-publish", expect=exit_code)
    assert text.out == ""
    assert text.err.startswith(f"error[{code}]: ")


def test_a_message_cannot_take_over_the_terminal(bench: Any) -> None:
    title = "\\e]0;taken\\a\\e[2J"
    bench.function("orders", handler=f'"{title}x.handler"')
    outcome = bench.build("--no-publish", expect=None)
    assert outcome.code != 0
    assert "\x1b" not in outcome.err
    assert "\x07" not in outcome.err


@pytest.mark.parametrize("name", ["../../escape", "a/b", "..", "orders\\u0000"])
def test_a_function_name_cannot_lead_out_of_the_output_folder(bench: Any, name: str) -> None:
    manifest = bench.function("orders", functionName=f'"{name}"')
    manifest.write_text(manifest.read_text().replace("name: orders", f'name: "{name}"'))
    outcome = bench.build("--no-publish", "--output", "out", expect=None)
    assert outcome.code in (21, 22)
    assert not (bench.folder / "out").exists()
    assert not list(bench.root.rglob("*.zip"))


@pytest.mark.parametrize(
    ("path", "code"),
    [("nowhere", 20), ("nowhere.yaml", 20), ("empty", 20), ("text.yaml", 20), ("/dev/null", 21)],
)
def test_a_path_without_a_function_is_explained(bench: Any, path: str, code: int) -> None:
    (bench.folder / "empty").mkdir()
    (bench.folder / "text.yaml").write_text("hello: world\n")
    outcome = bench.build(path, "--no-publish", expect=code)
    assert outcome.out == ""
    assert "hint: " in outcome.err


def test_a_pipe_as_a_source_file_is_refused_and_not_waited_for(bench: Any) -> None:
    bench.function("orders")
    os.mkfifo(bench.folder / "orders" / "events.pipe")
    outcome = bench.build("--no-publish", expect=26)
    assert "'events.pipe' is neither a file, a folder nor a symlink" in outcome.err


# What the system forbids. Root may read everything, so it gives that up first.


@pytest.fixture
def unprivileged() -> list[str]:
    """What makes a command run without root's right to read and write everything."""
    if os.geteuid() != 0:
        return []
    drop = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search", "--"]
    if shutil.which("setpriv") is None or subprocess.run([*drop, "true"], check=False).returncode != 0:
        pytest.skip("runs as root, and setpriv cannot take root's rights away here")
    return drop


@pytest.mark.parametrize(
    ("file", "code"),
    [
        ("app.py", 26),
        ("lambda.yaml", 21),
        ("requirements.txt", 30),
        ("planton.toml", 25),
        (".lambdaignore", 26),
    ],
)
def test_an_unreadable_file_is_named(bench: Any, unprivileged: list[str], file: str, code: int) -> None:
    bench.wheel("alpha")
    bench.function("orders", "alpha")
    path = bench.folder / "orders" / file
    path.touch()
    path.chmod(0)
    outcome = bench.build("orders/lambda.yaml", "--no-publish", before=unprivileged, expect=code)
    assert file in outcome.err
    assert "permission denied" in outcome.err.lower()


def test_an_unreadable_folder_is_named(bench: Any, unprivileged: list[str]) -> None:
    bench.function("orders")
    folder = bench.folder / "orders" / "assets"
    folder.mkdir()
    folder.chmod(0)
    try:
        outcome = bench.build("orders", "--no-publish", before=unprivileged, expect=26)
        assert "assets" in outcome.err
    finally:
        folder.chmod(0o755)


@pytest.mark.parametrize("where", ["cache", "output", "temporary"])
def test_a_folder_that_cannot_be_written_is_named(bench: Any, unprivileged: list[str], where: str) -> None:
    bench.wheel("alpha")
    bench.function("orders", "alpha")
    closed = bench.root / "closed"
    closed.mkdir(mode=0o555)
    if where == "cache":
        arguments, env, code = (), {"PLANTON_CACHE_DIR": str(closed / "cache")}, 45
    elif where == "temporary":
        arguments, env, code = (), {"TMPDIR": str(closed)}, 0  # Python takes another folder
    else:
        arguments, env, code = ("--output", str(closed / "out")), {}, 25
    outcome = bench.build("--no-publish", *arguments, env=env, before=unprivileged, expect=code)
    if code:
        assert "closed" in outcome.err
        assert "hint: " in outcome.err


def test_a_lock_that_cannot_be_written_is_named(bench: Any, unprivileged: list[str]) -> None:
    bench.wheel("alpha")
    bench.function("orders", "alpha")
    (bench.folder / "orders").chmod(0o555)
    try:
        outcome = bench.build("--no-publish", before=unprivileged, expect=32)
        assert "requirements.python3.13-arm64.lock cannot be written: Permission denied" in outcome.err
    finally:
        (bench.folder / "orders").chmod(0o755)


@pytest.mark.parametrize(
    "depth", [".", "v1", "v1/artifacts", "v1/builds", "v1/deflated", "v1/parts", "v1/staging"]
)
def test_a_file_in_the_place_of_a_cache_folder_is_explained(bench: Any, depth: str) -> None:
    bench.wheel("alpha")
    bench.function("orders", "alpha")
    place = bench.cache / depth
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text("not a folder")
    outcome = bench.build("--no-publish", expect=45)
    assert "error[cache_broken]" in outcome.err


def test_a_manifest_in_a_folder_that_cannot_be_written_is_named(
    local_bench: Any, unprivileged: list[str]
) -> None:
    manifest = local_bench.function("orders")
    before = manifest.read_bytes()
    manifest.parent.chmod(0o555)
    try:
        outcome = local_bench.build("--local", before=unprivileged, expect=28)
        assert "orders/lambda.yaml" in outcome.err
        assert manifest.read_bytes() == before
    finally:
        manifest.parent.chmod(0o755)


# A full disk.


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 192 KB."""
    place = tmp_path / "small"
    place.mkdir()
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root can mount a small file system")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=192k", "tmpfs", str(place)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode != 0:
        pytest.skip(f"a small file system cannot be mounted here: {mounted.stderr.strip()}")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.parametrize("fill", [0, 100, 150, 170, 190], ids=lambda fill: f"{fill}-KB-taken")
def test_a_full_disk_is_explained_and_leaves_nothing_wrong(bench: Any, small_disk: Path, fill: int) -> None:
    bench.wheel("alpha", size=200_000)
    bench.function("orders", "alpha")
    (bench.folder / "orders" / "noise.bin").write_bytes(os.urandom(150_000))
    (small_disk / "taken").write_bytes(bytes(fill * 1000))
    env = {"PLANTON_CACHE_DIR": str(small_disk / "cache")}
    outcome = bench.build("--no-publish", env=env, expect=45)
    assert "error[cache_broken]" in outcome.err
    assert os.strerror(errno.ENOSPC) in outcome.err
    assert "PLANTON_CACHE_DIR" in outcome.err
    whole = bench.build("--no-publish", "--json").json["functions"][0]["sha256"]
    subprocess.run(["mount", "-o", "remount,size=8m", str(small_disk)], check=True)
    assert bench.build("--no-publish", "--json", env=env).json["functions"][0]["sha256"] == whole


# Ctrl-C.


def test_ctrl_c_ends_with_130_and_nothing_else(bench: Any, interrupt: Any) -> None:
    names = [f"package{number}" for number in range(8)]
    for name in names:
        bench.wheel(name, size=100_000)
    for number in range(4):
        bench.function(f"f{number}", *names)
    codes = []
    for number in range(8):
        env = {"PLANTON_CACHE_DIR": str(bench.root / f"cache-{number}")}
        process = bench.start("planton-build", "--no-publish", env=env)
        deadline = time.monotonic() + 60
        while not Path(env["PLANTON_CACHE_DIR"]).exists() and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.005)
        time.sleep(number * 0.05)
        interrupt(process)
        out, err = process.communicate(timeout=30)
        codes.append(process.returncode)
        assert b"Traceback" not in err, err.decode()
        # When all is said and Python is shutting down, it ends by the signal itself: 130 for a shell, too.
        assert process.returncode in (0, 130, -signal.SIGINT), (out + err).decode()
        assert (out == b"") == (process.returncode == 130)
    assert 130 in codes
    bench.build("--no-publish")


def test_ctrl_c_does_not_wait_for_an_index_that_hangs(bench: Any, interrupt: Any) -> None:
    bench.wheel("alpha")
    bench.wheel("beta")
    bench.function("orders", "alpha", "beta")
    bench.build("lock")
    shutil.rmtree(bench.cache, ignore_errors=True)
    with socket.create_server(("127.0.0.1", 0)) as server:
        index = f"http://127.0.0.1:{server.getsockname()[1]}/simple"
        env = {
            "PIP_NO_INDEX": "0",
            "PIP_FIND_LINKS": "",
            "PIP_INDEX_URL": index,
            "PIP_DEFAULT_TIMEOUT": "600",
        }
        process = bench.start("planton-build", "--no-publish", env=env)
        connections = [server.accept()[0] for _ in range(2)]
        interrupt(process)
        _, err = process.communicate(timeout=20)
        for connection in connections:
            connection.close()
    assert process.returncode == 130
    assert err == b""
