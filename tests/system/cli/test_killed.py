"""`kill -9` at any moment: the manifest is the old or the new one, and the next run is right."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from planton_build.cache import Store

KILLS = int(os.environ.get("PLANTON_KILLS", "100"))
"""How many runs are killed; the variable asks for a longer search."""
SEED = int(os.environ.get("PLANTON_KILLS_SEED", "20"))
NAMES = [f"package{letter}" for letter in "abcde"]
LOCK = "requirements.python3.13-arm64.lock"
COMMAND = ("--local", "--bucket", "acme-artifacts", "--prefix")


class Ground:
    """One function, what it looks like before a run, and what the run has to make of it."""

    def __init__(self, bench: Any, root: Path) -> None:
        self.bench = bench
        self.folder = root / "work" / "orders"
        shutil.copytree(bench.folder / "orders", self.folder)
        self.manifest = self.folder / "lambda.yaml"
        self.lock = self.folder / LOCK
        self.before = self.manifest.read_bytes()
        self.env = {"PLANTON_CACHE_DIR": str(root / "cache"), "TMPDIR": str(root / "tmp")}
        self.store = Store(root / "cache")
        (root / "tmp").mkdir()
        self.prefix = "first"
        started = time.perf_counter()
        self.sha256 = self.run()
        self.seconds = time.perf_counter() - started
        self.after, self.locked = self.manifest.read_bytes(), self.lock.read_bytes()
        assert self.before != self.after

    def run(self, *, publish: bool = True) -> str:
        arguments = (*COMMAND, self.prefix) if publish else ("--no-publish",)
        done = self.bench.build(*arguments, "--json", cwd=self.folder, env=self.env)
        sha256: str = done.json["functions"][0]["sha256"]
        return sha256

    def reset(self, number: int, *, fresh: bool) -> None:
        """Put the function back, under another prefix, so that there is something to upload again."""
        self.prefix = f"round-{number}"
        self.manifest.write_bytes(self.before)
        if fresh:
            shutil.rmtree(self.store.root, ignore_errors=True)
            self.lock.unlink(missing_ok=True)

    def killed_after(self, seconds: float) -> bool:
        """Start a run and kill it and all that it started; tell whether it was still running."""
        process = self.bench.start("planton-build", *COMMAND, self.prefix, cwd=self.folder, env=self.env)
        time.sleep(seconds)
        running = process.poll() is None
        if running:
            with contextlib.suppress(ProcessLookupError, PermissionError):  # it has just ended
                os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return running

    def faults(self, *, publish: bool) -> list[str]:
        """Return what is wrong after a kill, and after the next run, which may go on to publish."""
        wanted = self.after.replace(b"key: first/", f"key: {self.prefix}/".encode())
        found = [] if self.manifest.read_bytes() in (self.before, wanted) else ["the manifest is neither"]
        if self.lock.exists() and self.lock.read_bytes() != self.locked:
            found.append("the lock is another")
        found += self._damaged()
        if self.run(publish=publish) != self.sha256:
            found.append("the next run gave another SHA-256")
        if self.lock.read_bytes() != self.locked or (publish and self.manifest.read_bytes() != wanted):
            found.append("the next run wrote another manifest or lock")
        return found + self._damaged()

    def _damaged(self) -> list[str]:
        blobs = [(kind, path) for kind in ("wheels", "artifacts") for path in self.blobs(kind)]
        return [f"{kind}: {path.name}" for kind, path in blobs if not self.store.intact(kind, path.name)]  # type: ignore[arg-type]

    def blobs(self, kind: str) -> list[Path]:
        return [path for path in (self.store.root / kind).rglob("*") if path.is_file()]


@pytest.fixture
def origin(local_bench: Any) -> Any:
    for name in NAMES:
        local_bench.wheel(name, requires=NAMES[:1] if name != NAMES[0] else (), size=20_000)
    local_bench.function("orders", *NAMES)
    (local_bench.folder / "orders" / "noise.bin").write_bytes(random.Random(1).randbytes(300_000))
    return local_bench


def rounds(origin: Any, root: Path, seed: int, count: int) -> tuple[int, int, list[str], Ground]:
    """Kill `count` runs; return how many were hit in the middle, how many before write-back, and faults."""
    ground, chance = Ground(origin, root), random.Random(seed)
    spans = {True: ground.seconds, False: ground.seconds}
    hit = early = 0
    faults: list[str] = []
    for number in range(count):
        # A third begins with nothing; the others go on with what earlier runs have left.
        fresh = number % 3 == 0
        ground.reset(number, fresh=fresh)
        moment = chance.uniform(0.0, spans[fresh])
        running = ground.killed_after(moment)
        # How long a run takes depends on what else the machine does: follow it.
        spans[fresh] = spans[fresh] * 1.05 if running else moment
        hit += running
        early += ground.manifest.read_bytes() == ground.before
        found = ground.faults(publish=number % 4 == 0)
        faults += [f"round {number} of seed {seed}, at {moment:.3f} s: {fault}" for fault in found]
    return hit, early, faults, ground


def test_a_run_that_is_killed_does_no_harm(origin: Any, tmp_path: Path) -> None:
    halves = [(SEED, KILLS // 2), (SEED + 1, KILLS - KILLS // 2)]
    with ThreadPoolExecutor(2) as executor:
        results = list(executor.map(lambda half: rounds(origin, tmp_path / str(half[0]), *half), halves))
    hit, early = sum(one[0] for one in results), sum(one[1] for one in results)
    summary = f"{KILLS} kills, {hit} of them in the middle of a run, {early} before the write-back"
    faults = [fault for one in results for fault in one[2]]
    assert not faults, "\n".join([summary, *faults])
    assert hit >= KILLS // 2, summary
    assert early >= KILLS // 10, summary
    for _, _, _, ground in results:
        leftovers_go(ground)


def leftovers_go(ground: Ground) -> None:
    """What killed runs left in the store is gone after a prune of a day later, and no entry with it."""
    entries = {path for kind in ("wheels", "artifacts", "deflated") for path in ground.blobs(kind)}
    left = [
        path
        for path in ground.blobs(".")
        if path.parent.name == "staging" or path.suffix in (".planton-tmp", ".part")
    ]
    for path in left:
        os.utime(path, (time.time() - 2 * 86_400,) * 2)
    ground.bench.build("cache", "prune", env=ground.env)
    remaining = set(ground.blobs("."))
    assert remaining.isdisjoint(left)
    assert {path for path in entries if path not in left} <= remaining


def test_what_a_killed_write_left_beside_the_manifest_is_not_packaged(bench: Any) -> None:
    manifest = bench.function("orders")
    first = bench.build("--no-publish", "--json").json["functions"][0]["sha256"]
    script = (
        "import os, pathlib, signal, sys\n"
        "from planton_build.files import replacing\n"
        "with replacing(pathlib.Path(sys.argv[1])) as staged:\n"
        "    staged.write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(manifest)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert len(list(manifest.parent.iterdir())) == 3
    assert bench.build("--no-publish", "--json").json["functions"][0]["sha256"] == first
