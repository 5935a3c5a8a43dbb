"""From what pip said in a container to the error that fits, in the package's own words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from planton_build.ecosystems.python.pip_tools.compile_request import CompileRequest
from planton_build.errors import (
    CompileFailed,
    IndexUnreachable,
    LocalProjectFailed,
    PlantonError,
    ResolutionFailed,
    ToolFailed,
)
from planton_build.runtimes.target import Target

_MAX_LINES = 30
_MAX_LENGTH = 4000
_SHOWN_VERSIONS = 8
_OFFERED = re.compile(r"\(from versions: ([^)]*)\)")
_IGNORED = re.compile(r"Ignored the following [^\n]*?: ([^\n]*)")
_NOISE = re.compile(r"^(ResolutionImpossible: |To fix this you could try|\d\. (loosen|remove) |\[notice\]|$)")
_UNKNOWN = re.compile(r"No matching distribution found for ([A-Za-z0-9][\w.-]*)")
_FRAME = re.compile(r'^\s+File "([^"]*)", line')
_PLUMBING = ("/opt/planton/", "/build/in/", "/pip-build-env-", "<frozen ", "<string>")
"""Where the frames of a traceback are that say nothing about the package."""
_PLACE = re.compile(r"(?:file://)?/build/local/(\d+-\d+)(?!\d)")
_INPUT = re.compile(r"(?:-[rc] )?/build/in/\d+/(requirements\.in|constraints\.txt)(?: \(line \d+\))?")


def failure(report: Mapping[str, str], request: CompileRequest, target: Target) -> PlantonError:
    """Return the error to raise for a failed resolution.

    Args:
        report: `kind`, `subject` and `text` from `inside/pip_session.py`, without secrets.
        request: what was asked.
        target: what was resolved for.
    """
    path, kind = request.path, report["kind"]
    told = _told(report["text"], request)
    if kind == "unreachable":
        return unreachable(report, path)
    if kind == "build":
        return _build_failure(report, request, target)
    if kind == "conflict":
        hint = "relax one of the requirements named above"
        if "(from versions: none)" in told and (unknown := sorted(set(_UNKNOWN.findall(told)))):
            hint = f"check the spelling of {', '.join(unknown)} and the configured indexes"
        elif "different Python" in told or "Requires-Python" in told or "requires-python" in told:
            python = ".".join(map(str, target.version))
            hint = f"choose versions that support Python {python}, or another runtime"
        return ResolutionFailed(
            f"{path.name} cannot be resolved for {target.name}\n{told}", hint=hint, file=path
        )
    return ToolFailed(
        f"{path.name} cannot be resolved for {target.name}: pip-compile failed\n{told}", file=path
    )


def unreachable(report: Mapping[str, str], path: Path | None = None) -> IndexUnreachable:
    """Return the error for an index that cannot be read from within the container."""
    subject = report["subject"]
    where = f" ({subject})" if subject else ""
    hint = "check the network of containers, the index URL and its certificate in pip's configuration"
    if re.search(r"\b(401|403|407)\b", report["text"]):
        hint = "give pip credentials in the index URL or in ~/.netrc; a keyring is not asked by a container"
    reason = _bounded(report["text"].splitlines())
    return IndexUnreachable(
        f"a package index cannot be read from the build container{where}: {reason}",
        hint=hint,
        file=path,
    )


def broken(what: str, log: str) -> ToolFailed:
    """Return the error for a run that left no report."""
    return ToolFailed(
        f"{what} ended without a result\n{_bounded(own_words(log))}".rstrip(),
        hint="the toolchain image may be damaged: remove it (`docker image ls`) so that it is made again",
    )


def _build_failure(report: Mapping[str, str], request: CompileRequest, target: Target) -> PlantonError:
    words = _bounded(own_words(report["text"]))
    folders = {place: folder for folder, place in request.local.items()}
    subject = report["subject"]
    for place, folder in folders.items():
        if f"{place}" in f"{subject} {report['text']}" or subject == folder.name:
            return LocalProjectFailed(
                f"the dependencies of the local project {folder.name} cannot be read: its build failed\n"
                f"{words}",
                hint="correct its build, or state its dependencies in [project] of its pyproject.toml",
                file=folder,
            )
    return CompileFailed(
        f"the dependencies of {subject} cannot be read from its sources on {target.name}\n{words}",
        hint="install what it misses with system-packages in planton.toml, or require a version with wheels",
        file=request.path,
    )


def own_words(output: str) -> list[str]:
    """Return the last lines of a build's output, without the frames of the tools that ran it."""
    kept: list[str] = []
    skipping = False
    for line in output.splitlines():
        frame = _FRAME.match(line)
        if frame is not None:
            skipping = any(place in frame[1] for place in _PLUMBING)
        elif not line.startswith("    "):
            skipping = False
        if not skipping and line.strip():
            kept.append(line.rstrip())
    return kept[-_MAX_LINES:]


def _told(text: str, request: CompileRequest) -> str:
    """Return pip's explanation in terms of the user's files."""
    names = {place.rpartition("/")[2]: folder.name for folder, place in request.local.items()}
    text = _PLACE.sub(lambda match: names.get(match[1], match[1]), text)
    text = _INPUT.sub(request.path.name, text)
    return brief(text)


def brief(text: str) -> str:
    """Return what pip said without its advice, its lists of versions cut to the newest."""
    text = _OFFERED.sub(lambda match: f"(from versions: {_newest(match[1])})", text)
    text = _IGNORED.sub(lambda match: match[0].replace(match[1], _newest(match[1], "; ")), text)
    lines = [line.removeprefix("ERROR: ").rstrip() for line in text.splitlines()]
    return _bounded(list(dict.fromkeys(line for line in lines if not _NOISE.match(line.strip()))))


def _newest(listed: str, separator: str = ", ") -> str:
    versions = listed.split(separator)
    more = len(versions) - _SHOWN_VERSIONS
    return listed if more <= 0 else separator.join([f"{more} older", *versions[-_SHOWN_VERSIONS:]])


def _bounded(lines: list[str]) -> str:
    text = "\n".join(lines[:_MAX_LINES])
    if len(lines) > _MAX_LINES:
        text += f"\n... {len(lines) - _MAX_LINES} more lines"
    return text if len(text) <= _MAX_LENGTH else f"{text[:_MAX_LENGTH]} ..."
