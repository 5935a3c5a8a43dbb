"""An image put together by planton-build, beside `docker build` and `docker push` of the same files.

    python benchmarks/images.py --base NAME [--rounds 3] [--example analytics] [--docker docker]

NAME is an image that the engine has, with Python and a Lambda entrypoint, for x86_64. It is pushed to a
registry of this machine first (Debian's `docker-registry`), and both build on it from there and push to it.
docker copies an installed tree, made before by `uv pip install --target` from the same lock, in one layer and
the sources in another: the quickest Dockerfile there is for it. Measured are whole processes, and the bytes
that each sends to the registry.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from byte_proxy import Traffic, counting_bytes
from functions import change, copy_example
from measure import Figures, Run, run

STEPS = ("first build, empty caches", "nothing to do", "one line changed")
REGISTRY = """\
version: 0.1
log: {{level: error}}
storage: {{filesystem: {{rootdirectory: {root}}}}}
http: {{addr: "127.0.0.1:{port}"}}
"""
DOCKERFILE = """\
FROM {base}
COPY packages/ /var/task/
COPY sources/ /var/task/
CMD ["{handler}"]
"""


@dataclass
class Side:
    """One of the two: how it forgets, builds and pushes, and what goes through its way to the registry."""

    name: str
    traffic: Traffic
    forget: Callable[[], None]
    build: Callable[[], Run]
    change: Callable[[], None]
    runs: dict[str, list[Run]] = field(default_factory=dict)
    sent: dict[str, list[int]] = field(default_factory=dict)

    def measure(self, step: str) -> None:
        """Take one step."""
        before = self.traffic.sent
        self.runs.setdefault(step, []).append(self.build())
        self.sent.setdefault(step, []).append(self.traffic.sent - before)


def main() -> None:
    """Measure and print a table."""
    arguments = _arguments()
    with contextlib.ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="planton-bench-")))
        port = stack.enter_context(_registry(place))
        base = f"127.0.0.1:{port}/base:1"
        for command in (["tag", arguments.base, base], ["push", "-q", base]):
            subprocess.run([arguments.docker, *command], check=True, stdout=subprocess.DEVNULL)
        sides = [
            _planton(place / "planton", base, stack.enter_context(counting_bytes(port)), arguments),
            _docker(place / "docker", base, stack.enter_context(counting_bytes(port)), arguments),
        ]
        for _ in range(arguments.rounds):
            for side in sides:
                side.forget()
                side.measure(STEPS[0])
                side.measure(STEPS[1])
                side.change()
                side.measure(STEPS[2])
        _print(sides)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--base", required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--example", default="analytics")
    parser.add_argument("--docker", default="docker")
    return parser.parse_args()


def _print(sides: list[Side]) -> None:
    print("| step | | seconds | lowest to highest | peak MiB | bytes sent |")
    print("| --- | --- | ---: | ---: | ---: | ---: |")
    for step in STEPS:
        for side in sides:
            figures = Figures.of(side.name, side.runs[step])
            seconds = f"{figures.median:.2f} | {figures.low:.2f} to {figures.high:.2f}"
            sent = sorted(side.sent[step])[len(side.sent[step]) // 2]
            print(f"| {step} | {side.name} | {seconds} | {figures.peak:.0f} | {sent:,} |")


def _planton(place: Path, base: str, traffic: Traffic, arguments: argparse.Namespace) -> Side:
    folder = _function(arguments.example, place)
    cache, manifest = place / "cache", folder / "lambda.yaml"
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PLANTON_")}
    environment = {
        **kept,
        "CI": "true",
        "PLANTON_CACHE_DIR": str(cache),
        "PLANTON_BASE_IMAGE": base,
    }
    program = str(Path(sys.executable).with_name("planton-build"))
    run([program, "lock"], folder, environment)
    before, rounds = manifest.read_text(encoding="utf-8"), itertools.count(1)

    def forget() -> None:
        shutil.rmtree(cache, ignore_errors=True)
        manifest.write_text(before, encoding="utf-8")
        # A repository of its own for each round: the registry has nothing of this image either.
        repository = f"127.0.0.1:{traffic.port}/planton-{next(rounds)}/{{function}}"
        environment["PLANTON_REPOSITORY"] = repository

    source = next(folder.glob("*.py"))
    return Side(
        "planton-build",
        traffic,
        forget,
        lambda: run([program], folder, environment),
        lambda: change(source),
    )


def _docker(place: Path, base: str, traffic: Traffic, arguments: argparse.Namespace) -> Side:
    folder = _function(arguments.example, place)
    sources = folder / "sources"
    sources.mkdir()
    source = Path(shutil.move(next(folder.glob("*.py")), sources))
    subprocess.run(
        [
            *(sys.executable, "-m", "uv", "pip", "install", "-q", "--target", folder / "packages"),
            *("--python-platform", "x86_64-manylinux2014", "--python-version", "3.11", "--link-mode", "copy"),
            *("--no-deps", "-r", folder / "requirements.txt"),
        ],
        check=True,
    )
    handler = re.search(r"handler: (\S+)", (folder / "lambda.yaml").read_text(encoding="utf-8"))
    assert handler is not None
    (folder / "Dockerfile").write_text(DOCKERFILE.format(base=base, handler=handler[1]), encoding="utf-8")
    docker, rounds = arguments.docker, itertools.count(1)
    script = 'set -e; "$0" build -q $2 -t "$1" . ; "$0" push -q "$1"'
    image, options = "", ""

    def forget() -> None:
        # The cache of its steps counts as empty; the base image stays pulled, as on a runner that has been
        # used before.
        nonlocal image, options
        image = f"127.0.0.1:{traffic.port}/docker-{next(rounds)}/{arguments.example}:1"
        options = "--no-cache"

    def build() -> Run:
        nonlocal options
        outcome = run(["bash", "-c", script, docker, image, options], folder, dict(os.environ))
        options = ""
        return outcome

    return Side("docker build + push", traffic, forget, build, lambda: change(source))


def _function(example: str, place: Path) -> Path:
    """Copy an example as an image function for x86_64."""
    place.mkdir()
    folder = copy_example(example, place)
    manifest = folder / "lambda.yaml"
    text = re.sub(r"architecture: \w+", "architecture: X86_64", manifest.read_text(encoding="utf-8"))
    if "code_source_type" not in text:
        text += "  code_source_type: CODE_SOURCE_TYPE_IMAGE\n"
    manifest.write_text(text, encoding="utf-8")
    return folder


@contextlib.contextmanager
def _registry(place: Path) -> Iterator[int]:
    """Run a registry on a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    config = place / "registry.yml"
    config.write_text(REGISTRY.format(root=place / "registry", port=port), encoding="utf-8")
    process = subprocess.Popen(
        ["docker-registry", "serve", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        for _ in range(100):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    main()
