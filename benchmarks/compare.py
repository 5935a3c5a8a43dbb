"""planton-build beside what a user would pick instead: whole processes, in turn, on this machine.

    python benchmarks/compare.py [--only large_change,...] [--peers] [--json FILE] [--write]

Run it with the Python that planton-build is installed for, with `zip` on the PATH and a package index that
pip and uv find. It works in a temporary folder with caches of its own (--work keeps them), and a machine that
does nothing else gives the best figures. `--peers` adds chalice and SAM, which it installs from the index.
`--write` puts the tables into docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import scenarios
from measure import Figures
from scenarios import Bench, Result

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "benchmarks.md"
BEGIN, END = "<!-- figures: begin (benchmarks/compare.py --write) -->", "<!-- figures: end -->"

SCENARIOS: dict[str, Callable[[Bench], Result]] = {
    "large_cold": scenarios.cold,
    "large_change": lambda bench: scenarios.one(
        bench, "large", "numpy, pandas and pyarrow", changed=True, peers=bench.peers
    ),
    "large_no_op": lambda bench: scenarios.one(
        bench, "large", "numpy, pandas and pyarrow", changed=False, peers=bench.peers
    ),
    "small_change": lambda bench: scenarios.one(bench, "small", "Babel", changed=True),
    "small_no_op": lambda bench: scenarios.one(bench, "small", "Babel", changed=False),
    "project_change": lambda bench: scenarios.one(
        bench, "project", "a pyproject.toml whose backend makes a wheel of the sources", changed=True
    ),
    "project_no_op": lambda bench: scenarios.one(
        bench, "project", "a pyproject.toml whose backend makes a wheel of the sources", changed=False
    ),
    "many_anew": scenarios.many_anew,
    "many_no_op": scenarios.many_no_op,
    "publish_no_op": scenarios.publishing,
    "zip_writer": scenarios.writing,
}


def table(result: Result) -> list[str]:
    """Return a result as Markdown. Ratios are to the first row."""
    lines = [f"### {result.title}", ""]
    lines += ["| | seconds | lowest to highest | ratio | CPU seconds | peak MiB |", "| --- |" + " ---: |" * 5]
    first = result.figures[0].median
    lines += [_row(one, one.median / first) for one in result.figures]
    return [*lines, "", *(line for fact in result.facts for line in (fact, ""))]


def _row(one: Figures, ratio: float) -> str:
    cpu = "" if one.cpu is None else f"{one.cpu:.2f}"
    seconds = f"{one.median:.2f} | {one.low:.2f} to {one.high:.2f}"
    return f"| {one.name} | {seconds} | {ratio:.1f} | {cpu} | {one.peak:.0f} |"


def machine() -> str:
    """Return what the figures were taken on, without naming the host."""
    system = f"{platform.system()} on {platform.machine()}"
    busy = f", load {os.getloadavg()[0]:.1f} at the start" if hasattr(os, "getloadavg") else ""
    return f"{os.cpu_count()} cores, {system}, Python {platform.python_version()}{busy}"


def written(document: str, tables: Sequence[str]) -> str:
    """Return the document with the tables in the place of the old ones."""
    before, _, rest = document.partition(BEGIN)
    _, _, after = rest.partition(END)
    return "\n".join([f"{before}{BEGIN}", "", *tables, END]) + after


def main() -> None:
    """Measure, print, and keep the figures where asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", help=f"comma-separated: {', '.join(SCENARIOS)}")
    parser.add_argument("--rounds", type=int, default=5, help="measured runs of each tool, after a warm-up")
    parser.add_argument("--peers", action="store_true", help="add chalice and SAM to the large function")
    parser.add_argument("--work", type=Path, help="a folder that keeps caches and peers between runs")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write all figures as JSON")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/benchmarks.md")
    options = parser.parse_args()
    chosen = options.only.split(",") if options.only else list(SCENARIOS)
    if unknown := set(chosen) - set(SCENARIOS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    tables = [f"Measured with {options.rounds} runs each on {machine()}.", ""]
    print("\n".join(tables))
    results = []
    with tempfile.TemporaryDirectory(prefix="planton-bench-") as temporary:
        work = (options.work or Path(temporary)).absolute()
        work.mkdir(parents=True, exist_ok=True)
        bench = Bench(work, options.rounds, options.peers)
        for name in chosen:
            result = SCENARIOS[name](bench)
            results.append(result)
            lines = table(result)
            tables += lines
            print("\n".join(lines), flush=True)
    if options.json:
        options.json.write_text(json.dumps([asdict(result) for result in results], indent=2) + "\n")
    if options.write:
        DOCUMENT.write_text(written(DOCUMENT.read_text(encoding="utf-8"), tables), encoding="utf-8")
        print(f"written to {DOCUMENT}", file=sys.stderr)


if __name__ == "__main__":
    main()
