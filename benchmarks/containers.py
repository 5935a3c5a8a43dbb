"""`--container always` beside `auto`: what it costs to do everything in the target's build container.

    python benchmarks/containers.py --image NAME [--rounds 3] [--examples image-processor analytics]

NAME is the build image, in which `{runtime}` and `{architecture}` stand for the target's. The build images
are made before anything is measured. Measured are whole processes: the first build with an empty cache, with
the lock at hand and without (which resolves), and a build with nothing to do.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

from functions import copy_example
from measure import Contender, Figures, run, side_by_side

MODES = ("auto", "always")
STEPS = ("locked, empty cache", "resolving, empty cache", "nothing to do")


def main() -> None:
    """Measure and print a table."""
    arguments = _arguments()
    print("| function | target | step | auto | always |\n| --- | --- | --- | ---: | ---: |")
    with tempfile.TemporaryDirectory(prefix="planton-bench-") as name:
        for example in arguments.examples:
            for architecture in arguments.architectures:
                place = Path(name, f"{example}-{architecture}")
                for step in STEPS:
                    figures = _measured(example, architecture, step, place, arguments)
                    shown = " | ".join(f"{one.median:.2f} s" for one in figures)
                    print(f"| `{example}` | python3.11, {architecture} | {step} | {shown} |", flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--image", required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--examples", nargs="+", default=["image-processor", "analytics"])
    parser.add_argument("--architectures", nargs="+", default=["x86_64", "arm64"])
    return parser.parse_args()


def _measured(
    example: str, architecture: str, step: str, place: Path, arguments: argparse.Namespace
) -> list[Figures]:
    contenders = [
        _contender(example, architecture, step, place / step.replace(" ", "-") / mode, mode, arguments)
        for mode in MODES
    ]
    for contender in contenders:  # images, and for a build with nothing to do the build before it
        contender.before()
        run(contender.command, contender.folder, contender.environment)
    runs = side_by_side(contenders, arguments.rounds, warm_ups=0)
    return [Figures.of(mode, runs[mode]) for mode in MODES]


def _contender(
    example: str, architecture: str, step: str, place: Path, mode: str, arguments: argparse.Namespace
) -> Contender:
    place.mkdir(parents=True)
    folder = copy_example(example, place)
    manifest = folder / "lambda.yaml"
    text = manifest.read_text(encoding="utf-8")
    manifest.write_text(
        re.sub(r"architecture: \w+", f"architecture: {architecture.upper()}", text), encoding="utf-8"
    )
    cache = place / "cache"
    environment = _environment(cache, arguments.image)
    if step == STEPS[1] and (folder / "requirements.in").exists():
        environment["PLANTON_DEPENDENCIES"] = "requirements.in"  # its compiled form is a lock already
    command = [str(Path(sys.executable).with_name("planton-build")), "--no-publish", "--container", mode]
    if step == STEPS[0]:
        run([*command[:1], "lock"], folder, environment)  # on the host: both have the same lock

    def empty() -> None:
        shutil.rmtree(cache, ignore_errors=True)

    def unlocked() -> None:
        empty()
        for lock in folder.glob("*.lock"):
            lock.unlink()

    before = {STEPS[0]: empty, STEPS[1]: unlocked, STEPS[2]: lambda: None}[step]
    return Contender(mode, command, folder, environment, before)


def _environment(cache: Path, image: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PLANTON_")}
    return {**kept, "PLANTON_CACHE_DIR": str(cache), "PLANTON_BUILD_IMAGE": image, "CI": "true"}


if __name__ == "__main__":
    main()
