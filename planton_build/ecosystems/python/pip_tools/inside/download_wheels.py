"""Runs `pip download` of locked wheels in a build container: /build/in/requirements.txt into /build/out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from planton_build.ecosystems.python.pip_tools.inside import pip_session
else:
    import pip_session  # lies beside this script where it runs

IN, OUT = Path("/build/in"), Path("/build/out")
OPTIONS = [
    "--require-hashes",
    "--no-deps",
    "--only-binary",
    ":all:",
    "--no-cache-dir",
    "--progress-bar",
    "off",
]


def main() -> None:
    """Download, and leave report.json beside the files."""
    from pip._internal.cli.main import main as pip

    request = json.loads((IN / "request.json").read_text("utf-8"))
    progress = pip_session.prepare(request["target"])
    failed = pip(["download", *OPTIONS, "--dest", str(OUT), "-r", str(IN / "requirements.txt")])
    report = progress.report({"kind": "other" if failed else "ok", "subject": "", "text": ""})
    (OUT / "report.json").write_text(json.dumps(report), "utf-8")


if __name__ == "__main__":
    main()
