"""What goes wrong with containers, each tried for real: the message of the docs, its exit code, nothing left.

`ground` and `engine` see to the last: no container, no volume, no temporary file, whatever happened.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

pytestmark = [
    pytest.mark.engine("docker"),
    pytest.mark.network,  # once, for the tools of the build image
    pytest.mark.xdist_group("containers"),
]

WAIT = "print('waiting', flush=True); time.sleep(120)"
"""A build that is under way until somebody ends it."""
STAND_IN = "planton-standin/build-python3.11:latest-x86_64"
LOCK = "requirements.python3.11-x86_64.lock"
BROKEN_C = """\
#include <stddef.h>

int twice(int number) {
    return nmber * 2;
}
"""
COMPILE = "subprocess.run(['cc', '-c', 'twice.c'], check=True)"


def wait_for(condition: Callable[[], Any], process: subprocess.Popen[bytes]) -> None:
    """Wait until something is so while a command runs."""
    deadline = time.monotonic() + 60
    while not condition():
        if process.poll() is not None:
            out, err = process.communicate()
            pytest.fail(f"it has ended: {process.returncode}\n{(out + err).decode()}")
        if time.monotonic() > deadline:
            process.kill()
            out, err = process.communicate()
            pytest.fail(f"it does not come to that\n{(out + err).decode()}")
        time.sleep(0.02)


def said(engine: Any, word: str) -> bool:
    """Tell whether a container that runs now has written a word."""
    logs = [engine.docker("logs", one, check=False) for one in engine.running()]
    return any(word in log.stdout + log.stderr for log in logs)


def assert_it_builds_now(ground: Any) -> None:
    """Mend the sdist and build it: what went wrong before does no harm."""
    ground.sdist("crc")
    ground.forget()
    assert "built" in ground.build().out


def test_every_message_of_the_page_is_seen(messages: Any) -> None:
    seen = re.findall(r'documented\(\s*"([a-z -]+)"', Path(__file__).read_text(encoding="utf-8"))
    assert set(seen) == set(messages)


# The engine.


def test_no_engine(ground: Any, documented: Any) -> None:
    ground.sdist("crc")
    ground.function("crc")
    failed = ground.build(env={"DOCKER_HOST": "unix:///run/nowhere/docker.sock"}, expect=80)
    documented("no engine", failed.err)


def test_an_engine_that_stops_in_the_middle_of_a_build(ground: Any, engine: Any, documented: Any) -> None:
    ground.sdist("crc", WAIT)
    ground.function("crc")
    process = ground.start("--no-publish")
    wait_for(lambda: said(engine, "waiting"), process)
    engine.end(signal.SIGKILL)
    try:
        failed = ground.ended(process, expect=80)
    finally:
        started = engine.start()
    assert started
    documented("engine stopped", failed.err)
    # A killed engine cannot remove anything. It says so when it is back, and the next run removes it.
    assert len(engine.left()["containers"]) == 1
    assert len(ground.ended(ground.start("doctor", "--json")).json["strays"]) == 1
    assert_it_builds_now(ground)
    assert engine.left()["containers"] == []


def test_doctor_removes_what_an_engine_kept(ground: Any, engine: Any) -> None:
    ground.sdist("crc", WAIT)
    ground.function("crc")
    process = ground.start("--no-publish")
    wait_for(lambda: said(engine, "waiting"), process)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert len(engine.running()) == 1
    cleaned = ground.ended(ground.start("doctor", "--clean"))
    assert "removed 1 containers" in cleaned.out
    shutil.rmtree(ground.cache / "v1" / "staging")  # nobody can tidy up after `kill -9`: see `cache prune`


def test_a_container_that_is_killed_from_outside(ground: Any, engine: Any, documented: Any) -> None:
    ground.sdist("crc", WAIT)
    ground.function("crc")
    process = ground.start("--no-publish")
    wait_for(lambda: said(engine, "waiting"), process)
    engine.docker("kill", *engine.running())
    documented("killed from outside", ground.ended(process, expect=80).err)


# Images.


@pytest.fixture
def image(engine: Any) -> Iterator[Callable[[bytes], str]]:
    """Return a function that makes an image with this interpreter, which its label says is for x86_64."""
    names: list[str] = []

    def make(interpreter: bytes) -> str:
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w") as archive:
            entry = tarfile.TarInfo("var/lang/bin/python3")
            entry.size, entry.mode = len(interpreter), 0o755
            archive.addfile(entry, io.BytesIO(interpreter))
        names.append(f"planton-test/image-{len(names)}:latest")
        command = ["docker", "--host", engine.address, "import", "-", names[-1]]
        subprocess.run(command, input=stream.getvalue(), capture_output=True, check=True)
        return names[-1]

    yield make
    for name in names:
        engine.docker("rmi", name)


def elf(*, machine: int, padding: int = 0) -> bytes:
    """Return the header of a program for Linux. `padding` fills bytes that no program uses."""
    identity = b"\x7fELF\x02\x01\x01" + bytes(1) + bytes([padding] * 8)
    return identity + (2).to_bytes(2, "little") + machine.to_bytes(2, "little") + bytes(200)


def test_an_image_of_another_architecture(ground: Any, image: Any, documented: Any) -> None:
    ground.sdist("crc")
    ground.function("crc")
    name = image(elf(machine=183))
    failed = ground.build(env={"PLANTON_BUILD_IMAGE": name}, expect=82)
    documented("wrong architecture", failed.err.replace(name, "mirror.example/build:latest"))


def test_an_image_without_an_interpreter(ground: Any, image: Any) -> None:
    ground.sdist("crc")
    ground.function("crc")
    failed = ground.build(env={"PLANTON_BUILD_IMAGE": image(b"#!/bin/sh\n")}, expect=82)
    assert "is no program" in failed.err


def test_no_emulation(ground: Any, image: Any, documented: Any) -> None:
    # Handlers of binfmt_misc are the whole machine's, and other tests need them. A program with padding that
    # is not zero is one that no handler takes: the kernel answers as it does where none is registered.
    ground.sdist("crc")
    ground.function("crc", architecture="ARM64")
    failed = ground.build(env={"PLANTON_BUILD_IMAGE": image(elf(machine=183, padding=1))}, expect=83)
    documented("no emulation", failed.err)


def test_an_image_that_is_nowhere(ground: Any, documented: Any) -> None:
    ground.sdist("crc")
    ground.function("crc")
    failed = ground.build(env={"PLANTON_BUILD_IMAGE": "build:latest"}, expect=81)
    documented("no image", failed.err)


# What is built.


def test_a_compiler_error(ground: Any, documented: Any) -> None:
    ground.sdist("crc", COMPILE, twice_c=BROKEN_C)
    ground.function("crc")
    documented("compiler error", ground.build(expect=84).err)


def test_a_command_that_fails(ground: Any, documented: Any) -> None:
    ground.function(commands=["cat assets.txt"])
    documented("command", ground.build(expect=88).err)


def test_out_of_memory(ground: Any, documented: Any) -> None:
    ground.sdist("crc", "block = bytearray(1 << 30); block[:] = b'x' * len(block)")
    ground.function("crc", **{"container-memory": "128 MiB"})
    documented("out of memory", ground.build(expect=85).err)


def test_out_of_memory_in_a_process_of_the_build(ground: Any) -> None:
    # Here it is the compiler that is killed, and the backend that reports its end.
    hog = "subprocess.run([sys.executable, '-c', 'bytearray(1 << 30)'], check=True)"
    ground.sdist("crc", hog)
    ground.function("crc", **{"container-memory": "128 MiB"})
    assert "crc 1.0 needed more than 128 MiB of memory" in ground.build(expect=85).err


def test_a_build_that_takes_too_long(ground: Any, documented: Any) -> None:
    ground.sdist("crc", WAIT)
    ground.function("crc", **{"container-timeout": 3})
    documented("time limit", ground.build(expect=86).err)


# Indexes.


NOWHERE = "https://192.0.2.1/simple"
"""An address that belongs to nobody (RFC 5737)."""


def test_an_index_that_cannot_be_reached(ground: Any, documented: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        closed = f"127.0.0.1:{server.getsockname()[1]}"
    ground.function("crc")
    failed = ground.build(env={"PIP_INDEX_URL": f"http://{closed}/simple"}, expect=34)
    documented("index unreachable", failed.err.replace(closed, "mirror.example"))


def test_an_index_that_cannot_be_reached_from_a_container(ground: Any, documented: Any) -> None:
    ground.function("crc")
    failed = ground.build("--container", "always", env={"PIP_INDEX_URL": NOWHERE}, expect=34)
    documented("index unreachable from a container", failed.err)


@pytest.mark.parametrize("mode", ["auto", "always"])
def test_a_file_of_other_bytes_than_locked(ground: Any, documented: Any, mode: str) -> None:
    ground.sdist("crc")
    ground.function("crc")
    ground.build("--container", mode)
    locked = set(re.findall("hash=sha256:([0-9a-f]{64})", (ground.folder / LOCK).read_text()))
    shutil.rmtree(ground.cache)
    ground.sdist("crc", "other = 1")
    ground.page("crc", *locked)  # an index that is not honest
    failed = ground.build("--container", mode, "--locked", expect=35)
    if mode == "auto":
        documented("hash mismatch", failed.err)


# Disks.


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MB."""
    place = tmp_path / "small"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)], check=True)
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.fixture
def full(engine: Any) -> Iterator[Callable[[int], None]]:
    """Return a function that leaves the engine so many KB of its disk."""
    before = shutil.disk_usage(engine.disk).total
    yield lambda room: engine.resize(f"{(engine.used() >> 10) + room}k")
    engine.resize(str(before))


def test_the_engines_disk_is_full(ground: Any, full: Any, documented: Any) -> None:
    ground.sdist("crc", "open('big.bin', 'wb').write(bytes(100 << 20))")
    ground.function("crc")
    full(20_000)
    documented("disk full", ground.build(expect=87).err)


@pytest.mark.parametrize("room", [4, 40, 400])
def test_the_engines_disk_is_full_before_anything_runs(ground: Any, full: Any, room: int) -> None:
    path = ground.sdist("crc", padding=os.urandom(1 << 20).hex())
    assert path.stat().st_size > 400_000
    ground.function("crc")
    full(room)
    assert "disk" in ground.build(expect=87).err


def test_the_disk_of_the_cache_is_full(ground: Any, small_disk: Path, documented: Any) -> None:
    ground.environment["PLANTON_CACHE_DIR"] = str(small_disk / "cache")
    ground.sdist("crc", "content['noise.bin'] = os.urandom(9 << 20)")
    ground.function("crc")
    failed = ground.build(expect=45)
    documented("cache full", failed.err.replace(str(small_disk), "/small"))


# Interruptions.

SIGNALS = {"Ctrl-C": (signal.SIGINT, 130), "SIGTERM": (signal.SIGTERM, 143)}


@pytest.mark.parametrize("name", SIGNALS)
def test_an_interrupted_build_removes_its_container(ground: Any, engine: Any, name: str) -> None:
    number, code = SIGNALS[name]
    ground.sdist("crc", WAIT)
    ground.function("crc")
    process = ground.start("--no-publish")
    wait_for(lambda: said(engine, "waiting"), process)
    os.killpg(process.pid, number)
    ended = ground.ended(process, expect=code)
    assert ended.out == ""
    assert "error" not in ended.err


def test_the_impatient_press_ctrl_c_many_times(ground: Any, engine: Any) -> None:
    ground.sdist("crc", WAIT)
    ground.function("crc")
    process = ground.start("--no-publish")
    wait_for(lambda: said(engine, "waiting"), process)
    while process.poll() is None:
        os.killpg(process.pid, signal.SIGINT)
        time.sleep(0.03)
    out, err = process.communicate(timeout=60)
    assert b"Traceback" not in err, err.decode()
    # When all is said and Python is shutting down, it ends by the signal itself: 130 for a shell, too.
    assert process.returncode in (130, -signal.SIGINT), (out + err).decode()


@pytest.mark.parametrize("moment", range(8))
def test_ctrl_c_at_any_moment_of_a_build(ground: Any, engine: Any, moment: int) -> None:
    ground.sdist("crc", "time.sleep(0.5)")
    ground.function("crc")
    process = ground.start("--no-publish")
    wait_for((ground.cache / "v1").exists, process)
    time.sleep(moment * 0.2)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert b"Traceback" not in err, err.decode()
    assert process.returncode in (0, 130, -signal.SIGINT), err.decode()


@dataclass
class SlowRoad:
    """A way to the engine on which a new container's answer, and the request to remove one, take a second."""

    address: str
    creating: threading.Event = field(default_factory=threading.Event)
    removing: threading.Event = field(default_factory=threading.Event)

    def pass_on(self, source: socket.socket, goal: socket.socket, creating: list[bool]) -> None:
        """Pass on what one side of a connection says; `creating` is what its other side knows, too."""
        with contextlib.suppress(OSError, ValueError):
            while piece := source.recv(1 << 16):
                if b"/containers/create" in piece:
                    creating.append(True)
                if creating and piece.startswith(b"HTTP/1.1 201"):
                    self.creating.set()
                    time.sleep(1)
                if piece.startswith(b"DELETE ") and self.creating.is_set():
                    self.removing.set()
                    time.sleep(1)
                    readable, _, _ = select.select([source], [], [], 0)
                    if readable and not source.recv(1, socket.MSG_PEEK):
                        break  # who asked has hung up: the engine never hears of it
                goal.sendall(piece)
        with contextlib.suppress(OSError, ValueError):
            goal.shutdown(socket.SHUT_WR)

    def serve(self, server: socket.socket, engine: str, opened: contextlib.ExitStack) -> None:
        """Connect whoever comes with the engine, until the server is closed."""
        with contextlib.suppress(OSError):
            while True:
                client, there = server.accept()[0], socket.socket(socket.AF_UNIX)
                opened.enter_context(client)
                opened.enter_context(there)
                there.connect(engine)
                creating: list[bool] = []
                for pair in ((client, there), (there, client)):
                    threading.Thread(target=self.pass_on, args=(*pair, creating), daemon=True).start()


@pytest.fixture
def slow_road(engine: Any, tmp_path: Path) -> Iterator[SlowRoad]:
    path = str(tmp_path / "slow.sock")
    road = SlowRoad(f"unix://{path}")
    with contextlib.ExitStack() as opened, socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()
        arguments = (server, str(engine.root / "docker.sock"), opened)
        thread = threading.Thread(target=road.serve, args=arguments, daemon=True)
        thread.start()
        yield road
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.mark.parametrize("again", [False, True], ids=["once", "and again while it removes"])
def test_ctrl_c_while_the_engine_makes_a_container(ground: Any, slow_road: SlowRoad, again: bool) -> None:
    ground.sdist("crc")
    ground.function("crc")
    process = ground.start("--no-publish", env={"DOCKER_HOST": slow_road.address})
    wait_for(slow_road.creating.is_set, process)
    os.killpg(process.pid, signal.SIGINT)
    if again:
        wait_for(slow_road.removing.is_set, process)
        os.killpg(process.pid, signal.SIGINT)
    ground.ended(process, expect=130)


def test_two_functions_that_build_side_by_side_are_both_interrupted(ground: Any, engine: Any) -> None:
    ground.sdist("crc", WAIT)
    ground.sdist("sum", WAIT)
    ground.function("crc")
    other = ground.folder / "other"
    shutil.copytree(ground.folder, other)
    (other / "requirements.txt").write_text("sum\n")
    manifest = other / "lambda.yaml"
    manifest.write_text(manifest.read_text().replace("orders", "other"))
    process = ground.start("--no-publish")
    wait_for(lambda: len(engine.running()) == 2, process)
    os.killpg(process.pid, signal.SIGINT)
    ground.ended(process, expect=130)


def test_ctrl_c_while_the_build_image_is_made(ground: Any, engine: Any) -> None:
    # Another label makes another base image, into which the tools are yet to be installed.
    base = "planton-test/base:latest"
    engine.docker("build", "--tag", base, "-", input=f"FROM {STAND_IN}\nLABEL another=1\n")
    images = engine.docker("images", "--quiet").stdout
    ground.sdist("crc")
    ground.function("crc")
    shutil.copytree(engine.root / "tools", ground.cache)
    process = ground.start("--no-publish", env={"PLANTON_BUILD_IMAGE": base})
    wait_for(lambda: engine.docker("ps", "--quiet").stdout, process)
    os.killpg(process.pid, signal.SIGINT)
    ground.ended(process, expect=130)
    wait_for_quiet(engine)
    # What its builder has finished is kept by the engine, and taken up by the next run.
    ground.build(env={"PLANTON_BUILD_IMAGE": base})
    made = set(engine.docker("images", "--quiet").stdout.split()) - set(images.split())
    engine.docker("rmi", "--force", *made)
    engine.docker("rmi", base)


def wait_for_quiet(engine: Any) -> None:
    """Wait until no container is left: the engine's own builder tidies up after itself, in its own time."""
    deadline = time.monotonic() + 20
    while engine.left()["containers"] and time.monotonic() < deadline:
        time.sleep(0.05)


def test_what_kill_9_leaves_is_removed_by_the_next_run(ground: Any, engine: Any) -> None:
    ground.sdist("crc", WAIT)
    ground.function("crc")
    process = ground.start("--no-publish")
    wait_for(lambda: said(engine, "waiting"), process)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert len(engine.running()) == 1
    shutil.rmtree(ground.cache / "v1" / "staging")  # nobody can tidy up after `kill -9`: see `cache prune`
    assert_it_builds_now(ground)
    assert engine.left()["containers"] == []


def test_a_failure_is_repaired_by_the_next_run(ground: Any) -> None:
    ground.sdist("crc", "sys.exit('not today')")
    ground.function("crc")
    assert "not today" in ground.build(expect=84).err
    assert_it_builds_now(ground)
