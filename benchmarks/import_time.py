"""Import time with and without bytecode, as Lambda has it: read-only code, an unprivileged user, no network.

    python benchmarks/import_time.py --image NAME [--architecture arm64] [--python 3.11] [--runs 15]

Wheels come from the package index that pip finds, the engine is the one that the docker command would use,
NAME is a build or runtime image for the architecture. Every import is a fresh process; with and without
bytecode alternate, after one import of each that is not counted. An architecture that the engine must emulate
says little about Lambda, and is marked.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from planton_build.archive.contents import read_member
from planton_build.archive.member import Member
from planton_build.archive.merge import merge
from planton_build.artifact import BytecodeSize, bytecode_of
from planton_build.cache import Store
from planton_build.ecosystems.python.building.bytecode import bytecode_members
from planton_build.ecosystems.python.wheel import wheel_members
from planton_build.ecosystems.python.wheelhouse import WheelFile
from planton_build.events import ignore
from planton_build.runtimes.catalog import target_for
from planton_build.runtimes.target import Target
from planton_build.sandbox.build_image import BuildImage, ImagePin
from planton_build.sandbox.container import Sandbox
from planton_build.sandbox.engine import connect
from planton_build.sandbox.files import Input
from planton_build.sandbox.job import PYTHON, Job, Limits

SETS = {"numpy, pandas": ("numpy", "pandas"), "pydantic, httpx": ("pydantic", "httpx")}
WAYS = ("without", "with")
INSIDE = """\
import json, os, subprocess, sys
modules, runs = sys.argv[1], int(sys.argv[2])
timed = "import time; a = time.perf_counter(); import {}; print(time.perf_counter() - a)".format(modules)
figures = {"without": [], "with": []}
for run in range(runs + 1):
    for way, found in figures.items():
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": "/var/task/" + way, "LANG": "C.UTF-8"}
        command = [sys.executable, "-c", timed]
        said = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
        if run:
            found.append(float(said.stdout))
print("FIGURES " + json.dumps(figures))
"""


@dataclass(frozen=True)
class Bench:
    """What all measurements share. `image` and `limits` are those of the container."""

    sandbox: Sandbox
    image: BuildImage
    target: Target
    store: Store
    folder: Path
    runs: int
    limits: Limits


def wheels_of(bench: Bench, names: Sequence[str]) -> list[WheelFile]:
    """Download what a set needs for the target."""
    folder = bench.folder / "wheels" / "-".join(names)
    version, machine = "{}.{}".format(*bench.target.version), bench.target.machine
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--dest", str(folder), *names]
    command += ["--only-binary=:all:", "--implementation=cp", f"--python-version={version}"]
    command += [f"--platform=manylinux2014_{machine}", f"--platform=manylinux_2_17_{machine}"]
    subprocess.run(command, check=True)
    found = []
    for path in sorted(folder.glob("*.whl")):
        name, number = path.name.split("-")[:2]
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        found.append(WheelFile(name.lower().replace("_", "-"), number, path.name, digest, path))
    return found


def unpack(members: Sequence[Member], folder: Path) -> None:
    """Write members below a folder."""
    for one in members:
        path = folder / one.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(read_member(one, limit=262_144_000))


def measure(bench: Bench, title: str, names: Sequence[str]) -> None:
    """Measure one set and print its line."""
    groups = [wheel_members(wheel, bench.store) for wheel in wheels_of(bench, names)]
    bytecode = bytecode_members(
        groups,
        bench.target,
        bench.store,
        sandbox=lambda: bench.sandbox,
        image=lambda: bench.image,
        pin=bench.image.base,
        limits=bench.limits,
        listener=ignore,
        function="benchmark",
    )
    task = bench.folder / "task" / "-".join(names)
    unpack(merge(groups), task / "without")
    made = {one.path for group in bytecode for one in group}
    kept = [[one for one in group if one.path not in made] for group in groups]
    unpack(merge([*kept, *bytecode]), task / "with")
    job = Job(
        "measuring imports",
        bench.image.id,
        bench.target.machine,
        [PYTHON, "/build/in/inside.py", ", ".join(names), str(bench.runs)],
        inputs=[Input("/build/in/inside.py", INSIDE.encode()), Input("/var/task", task)],
        limits=bench.limits,
        output=None,
    )
    outcome = bench.sandbox.run(job)
    line = next((line for line in outcome.log.splitlines() if line.startswith("FIGURES ")), None)
    if line is None:
        sys.exit(f"{title} could not be imported:\n{outcome.log}")
    print(
        row(
            title,
            json.loads(line.removeprefix("FIGURES ")),
            bytecode_of(one for made in bytecode for one in made),
        )
    )


def row(title: str, figures: dict[str, list[float]], size: BytecodeSize) -> str:
    """Return a line of the table."""
    without, compiled = (statistics.median(figures[way]) for way in WAYS)
    spans = " | ".join(
        f"{statistics.median(figures[way]):.2f} s ({min(figures[way]):.2f} to {max(figures[way]):.2f})"
        for way in WAYS
    )
    cost = f"{size.unzipped_size / 1e6:.1f} MB | {size.size / 1e6:.1f} MB"
    return f"| {title} | {spans} | {without / compiled:.1f} | {cost} |"


def _hear_nothing(*_: str) -> None:
    """Hear what jobs write."""


def main() -> None:
    """Measure both sets."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--image", required=True)
    parser.add_argument("--architecture", choices=("x86_64", "arm64"), default="x86_64")
    parser.add_argument("--python", default="3.11")
    parser.add_argument("--runs", type=int, default=15)
    arguments = parser.parse_args()
    engine = connect(os.environ)
    identity = str(engine.api.inspect_image(arguments.image)["Id"])
    target = target_for(f"python{arguments.python}", arguments.architecture)
    with tempfile.TemporaryDirectory(prefix="planton-benchmark-") as name:
        bench = Bench(
            Sandbox(engine, _hear_nothing),
            BuildImage(identity, ImagePin(arguments.image, identity), ""),
            target,
            Store(Path(name, "store")),
            Path(name),
            arguments.runs,
            Limits(),
        )
        emulated = "" if target.machine == engine.machine else ", emulated"
        print(
            f"{target.name}{emulated}, {os.cpu_count()} cores, median of {arguments.runs} fresh processes\n"
        )
        print("| imports | without bytecode | with bytecode | ratio | adds unzipped | adds zipped |")
        print("| --- | ---: | ---: | ---: | ---: | ---: |")
        for title, names in SETS.items():
            measure(bench, title, names)


if __name__ == "__main__":
    main()
