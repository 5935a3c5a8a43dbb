"""What is measured: each function here is one comparison, and returns its figures."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median

import zip_writer
from counting_proxy import counting
from functions import Function, change, copy_example, functions_of
from measure import Contender, Figures, side_by_side
from tools import Planton, UvAndZip, chalice, environment, forget, sam

EXAMPLE_OF = {"large": "analytics", "small": "price-tag", "project": "http-api", "many": "monorepo"}
"""The examples by the names that the tables use."""


@dataclass(frozen=True)
class Result:
    """One table: the first row is the one that the others are compared with."""

    key: str
    title: str
    figures: Sequence[Figures]
    facts: Sequence[str] = field(default_factory=tuple)


@dataclass(frozen=True)
class Bench:
    """What all comparisons share: where they work, how often they run, and whether slow peers join."""

    work: Path
    rounds: int
    peers: bool

    @property
    def planton(self) -> Planton:
        """Return our tool."""
        return Planton(self.work)

    @property
    def uv(self) -> UvAndZip:
        """Return the script that it is compared with."""
        return UvAndZip(self.work)

    def functions(self, size: str, tool: str) -> tuple[Path, list[Function]]:
        """Return the folder and the functions of an example, a fresh copy for each tool."""
        folder = self.work / tool / EXAMPLE_OF[size]
        forget(folder)
        copy_example(EXAMPLE_OF[size], folder.parent)
        return folder, functions_of(folder, self.planton.program, self.planton.environment)

    def compare(
        self,
        key: str,
        title: str,
        contenders: Sequence[Contender],
        *,
        rounds: int | None = None,
        warm_ups: int = 1,
    ) -> Result:
        """Run contenders side by side."""
        runs = side_by_side(contenders, rounds or self.rounds, warm_ups=warm_ups)
        return Result(key, title, [Figures.of(name, found) for name, found in runs.items()])


def nothing() -> None:
    """Leave everything as the run before left it."""


def cold(bench: Bench) -> Result:
    """Compare a first build of the large function: no caches, everything comes from the index."""
    folder, _ = bench.functions("large", "planton")
    _, functions = bench.functions("large", "uv")
    contenders = [
        bench.planton.builds(folder, bench.planton.forget_everything),
        bench.uv.builds(functions, bench.uv.forget_everything),
    ]
    title = "Large, first build: empty caches, wheels from the package index"
    return bench.compare("large_cold", title, contenders, rounds=3, warm_ups=0)


def one(bench: Bench, size: str, what: str, *, changed: bool, peers: bool = False) -> Result:
    """Compare builds of one function, after a change of one line or of nothing."""
    folder, (ours,) = bench.functions(size, "planton")
    _, (theirs,) = bench.functions(size, "uv")

    def before(source: Path) -> Callable[[], None]:
        return (lambda: change(source)) if changed else nothing

    contenders = [
        bench.planton.builds(folder, before(ours.source)),
        bench.uv.builds([theirs], before(theirs.source)),
    ]
    if peers:
        for make in (chalice, sam):
            contender, source = make(bench.work, theirs, theirs.pins)
            contenders.append(replace(contender, before=before(source)))
    state = "one line changed" if changed else "nothing to do"
    key = f"{size}_{'change' if changed else 'no_op'}"
    return bench.compare(key, f"{size.capitalize()}, {state}: {what}", contenders)


def many_anew(bench: Bench) -> Result:
    """Compare building twelve functions when only the wheels are there."""
    folder, _ = bench.functions("many", "planton")
    _, functions = bench.functions("many", "uv")
    contenders = [
        bench.planton.builds(folder, bench.planton.forget_artifacts),
        bench.uv.builds(functions, bench.uv.forget_trees),
    ]
    return bench.compare("many_anew", "Many, all anew: twelve functions, wheels in the caches", contenders)


def many_no_op(bench: Bench) -> Result:
    """Compare building twelve functions when nothing has changed."""
    folder, _ = bench.functions("many", "planton")
    _, functions = bench.functions("many", "uv")
    contenders = [bench.planton.builds(folder, nothing), bench.uv.builds(functions, nothing)]
    return bench.compare("many_no_op", "Many, nothing to do: twelve functions", contenders)


def publishing(bench: Bench) -> Result:
    """Measure what publishing adds to a build with nothing to do, and count its requests."""
    planton = bench.planton
    folder, functions = bench.functions("many", "planton")
    deploy = str(Path(planton.program).with_name("planton-deploy"))

    def local(*arguments: str) -> bytes:
        command = [deploy, "local", *arguments]
        return subprocess.run(command, env=planton.environment, check=True, stdout=subprocess.PIPE).stdout

    endpoint = json.loads(local("start", "--json"))["endpoint"]
    try:
        first = [planton.program, "build", str(folder), "--local", "--quiet"]
        subprocess.run(first, env=planton.environment, check=True)
        with counting(endpoint) as (counted, counts):
            through = environment(
                **{name: planton.environment[name] for name in ("PLANTON_CACHE_DIR", "PLANTON_STATE_DIR")},
                AWS_ENDPOINT_URL=counted,
                AWS_ACCESS_KEY_ID="123456789012",
                AWS_SECRET_ACCESS_KEY="local",
                AWS_CONFIG_FILE="/dev/null",
                AWS_SHARED_CREDENTIALS_FILE="/dev/null",
            )
            command = [planton.program, "build", str(folder), "--quiet"]
            subprocess.run(command, env=through, check=True)
            requests = " and ".join(f"{count} {method}" for method, count in sorted(counts.items()))
            contenders = [
                planton.builds(folder, nothing),
                Contender("planton-build, publishing", command, folder, through),
            ]
            result = bench.compare(
                "publish_no_op", "Many, nothing to do, with publishing to a local S3", contenders
            )
    finally:
        local("stop", "--quiet")
    facts = [f"Requests of one run for {len(functions)} functions: {requests}."]
    return Result(result.key, result.title, result.figures, facts)


def writing(bench: Bench) -> Result:
    """Measure the ZIP writer alone on the large function's members."""
    written, seconds, peak = zip_writer.measured(bench.work / "wheels", rounds=bench.rounds + 1)
    del seconds[0]  # the warm-up
    figures = Figures("write_zip", median(seconds), min(seconds), max(seconds), None, peak)
    fact = f"{written.files:,} files, {written.unzipped_size:,} bytes unzipped, {written.size:,} zipped."
    return Result("zip_writer", "The ZIP writer alone, on the large function", [figures], [fact])
