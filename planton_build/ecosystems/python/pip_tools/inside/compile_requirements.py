"""Runs pip-compile in a container: /build/in/request.json says what, /build/out gets locks and a report.

Several sets are resolved one after another, so that they share the interpreter's start and what was fetched.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planton_build.ecosystems.python.pip_tools.inside import index_state, pip_session
else:  # they lie beside this script where it runs
    import index_state
    import pip_session

IN, OUT, LOCAL = Path("/build/in"), Path("/build/out"), Path("/build/local")
CACHE = "/tmp/planton-pip"
OPTIONS = [
    *("--quiet", "--generate-hashes", "--allow-unsafe", "--strip-extras", "--no-annotate", "--no-header"),
    *("--no-emit-options", "--no-emit-index-url", "--no-emit-trusted-host", "--no-emit-find-links"),
    *("--resolver", "backtracking", "--cache-dir", CACHE, "--no-config"),
]


def main() -> None:
    """Resolve all sets and report how each ended."""
    request = json.loads((IN / "request.json").read_text("utf-8"))
    progress = pip_session.prepare(request["target"])
    index_state.keep()
    if (IN / "local").is_dir():
        # Backends write beside the sources, which are read-only where they came in.
        shutil.copytree(str(IN / "local"), str(LOCAL), symlinks=True, copy_function=pip_session.copied)
    attempts = request["attempts"]
    reports = [compiled(one, attempts, progress) for one in request["sets"]]
    (OUT / "report.json").write_text(json.dumps(reports), "utf-8")


def compiled(
    one: str, attempts: Sequence[tuple[Sequence[int], str]], progress: pip_session.Progress
) -> dict[str, str]:
    """Compile one set, in several ways until one succeeds; return how the last ended."""
    report = {"kind": "other", "subject": "", "text": "there is nothing to try"}
    for glibc, option in attempts:
        pip_session.believe_glibc(glibc)
        report = attempted(one, option, progress)
        if report["kind"] in ("ok", "unreachable"):
            break
    return report


def attempted(one: str, option: str, progress: pip_session.Progress) -> dict[str, str]:
    """Run pip-compile; return how it ended: `kind`, and for failures `subject` and `text`."""
    from piptools.scripts.compile import cli

    progress.forget()
    folder, output = IN / one, OUT / (one + ".txt")
    shutil.copyfile(str(folder / "pins.txt"), str(output))
    arguments = [str(folder / "requirements.in"), "-o", str(output), "-c", str(folder / "constraints.txt")]
    report = {"kind": "ok", "subject": "", "text": ""}
    try:
        cli.main([*OPTIONS, "--pip-args", option, *arguments], prog_name="pip-compile", standalone_mode=False)
    except SystemExit as end:
        report["kind"] = "other" if end.code else "ok"
    except Exception as error:  # of pip, which has many; each is told apart and reported
        report = pip_session.explained(error)
    return progress.report(report)


if __name__ == "__main__":
    main()
