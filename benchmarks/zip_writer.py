"""How long the ZIP writer takes for a large function: numpy, pandas and pyarrow for python3.11 on arm64.

    python benchmarks/zip_writer.py FOLDER [--rounds N]

FOLDER keeps the three wheels (66 MB) between runs; they come from the package index that pip is configured
for. Listing and inspecting them is timed apart: a build does that once for each wheel. The peak is that of a
process that does nothing but write.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from planton_build.archive.contents import inspect_entries
from planton_build.archive.member import Member
from planton_build.archive.merge import merge
from planton_build.archive.reader import read_zip
from planton_build.archive.writer import WrittenZip, write_zip

REQUIREMENTS = ("numpy==2.2.6", "pandas==2.3.2", "pyarrow==20.0.0")
PLATFORMS = ("manylinux_2_17_aarch64", "manylinux2014_aarch64")


def fetch(folder: Path) -> list[Path]:
    """Return the wheels, downloaded unless they are there."""
    folder.mkdir(parents=True, exist_ok=True)
    if len(list(folder.glob("*.whl"))) < len(REQUIREMENTS):
        platforms = [argument for platform in PLATFORMS for argument in ("--platform", platform)]
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        command += [*platforms, "--python-version", "3.11", "--dest", str(folder), *REQUIREMENTS]
        subprocess.run(command, check=True)
    return sorted(folder.glob("*.whl"))


def members_of(wheel: Path, jobs: int) -> list[Member]:
    """Return a wheel's files as members."""
    return [
        Member(
            path=entry.path,
            mode=entry.member_mode,
            method=entry.method,
            crc32=entry.crc32,
            size=entry.size,
            compressed_size=entry.compressed_size,
            sha256=sha256,
            origin=wheel.name.split("-", 1)[0],
            file=wheel,
            offset=entry.offset,
        )
        for entry, sha256 in inspect_entries(wheel, read_zip(wheel), jobs=jobs)
    ]


def write_rounds(members: list[Member], rounds: int) -> tuple[WrittenZip, list[float], float]:
    """Return what was written, the seconds of each round, and this process's peak memory in MiB."""
    seconds = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(rounds):
            destination = Path(folder, f"{number}.zip")
            started = time.perf_counter()
            written = write_zip(members, destination)
            seconds.append(time.perf_counter() - started)
            destination.unlink()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return written, seconds, peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def measured(folder: Path, rounds: int) -> tuple[WrittenZip, list[float], float]:
    """Return what `write_rounds` does, measured in a fresh process on the wheels of `folder`."""
    members = merge([members_of(wheel, 2) for wheel in fetch(folder)])
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as fresh:
        return fresh.submit(write_rounds, members, rounds).result()


def main() -> None:
    """Fetch, inspect, write, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    wheels = fetch(options.folder)
    for jobs in (1, 2):
        started = time.perf_counter()
        groups = [members_of(wheel, jobs) for wheel in wheels]
        print(f"list and inspect, {jobs} thread(s): {time.perf_counter() - started:.3f} s")
    started = time.perf_counter()
    members = merge(groups)
    print(f"merge: {time.perf_counter() - started:.3f} s")
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as fresh:
        written, seconds, peak = fresh.submit(write_rounds, members, options.rounds).result()
    print(f"{written.files:,} files, {written.unzipped_size:,} bytes unzipped, {written.size:,} zipped")
    print(f"write: best {min(seconds):.3f} s, median {statistics.median(seconds):.3f} s, peak {peak:.0f} MiB")
    print(f"sha256 {written.sha256}")


if __name__ == "__main__":
    main()
