"""GitHub Actions: annotations on lines of files, and the job summary."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from planton_build.errors import Finding


def active(environment: Mapping[str, str]) -> bool:
    """Tell whether this process runs in a GitHub Actions job."""
    return environment.get("GITHUB_ACTIONS") == "true"


def _escaped(text: str, *, in_property: bool = False) -> str:
    for raw, escape in (("%", "%25"), ("\r", "%0D"), ("\n", "%0A")):
        text = text.replace(raw, escape)
    if in_property:
        text = text.replace(":", "%3A").replace(",", "%2C")
    return text


def _in_repository(file: Path, environment: Mapping[str, str]) -> Path:
    """Return a file's path as GitHub knows it: below the checkout, whatever the working folder is."""
    workspace = environment.get("GITHUB_WORKSPACE")
    absolute = Path(os.path.realpath(file))
    if workspace and absolute.is_relative_to(root := os.path.realpath(workspace)):
        return absolute.relative_to(root)
    return file


def annotation(level: Literal["error", "warning"], finding: Finding, environment: Mapping[str, str]) -> str:
    """Return a workflow command that marks the finding's place in the pull request.

    The form is GitHub's: `::error file=…,line=…,col=…,title=…::message` (GitHub Docs, Workflow commands).
    """
    places: list[tuple[str, object]] = []
    if finding.file is not None:
        places.append(("file", _in_repository(finding.file, environment).as_posix()))
    if finding.line is not None:
        places.append(("line", finding.line))
    if finding.column is not None:
        places.append(("col", finding.column))
    places.append(("title", finding.code))
    properties = ",".join(f"{name}={_escaped(str(value), in_property=True)}" for name, value in places)
    message = finding.message + (f" Hint: {finding.hint}" if finding.hint else "")
    return f"::{level} {properties}::{_escaped(message)}\n"


def append_summary(environment: Mapping[str, str], markdown: str) -> None:
    """Add Markdown to the job summary when the job has one."""
    path = environment.get("GITHUB_STEP_SUMMARY")
    if active(environment) and path:
        with Path(path).open("a", encoding="utf-8") as stream:
            stream.write(markdown)
