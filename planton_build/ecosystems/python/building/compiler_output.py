"""What a failed build says in its output: the compiler's or the backend's own words, and what to do.

Hundreds of lines are ours, pip's and make's; the reader needs the ten about the mistake.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

SHOWN_LINES = 25
"""The most lines of a build's output that an error repeats."""
MARK = "[planton-build] "
"""How lines of `inside/build_wheel.py` begin: what follows the last one is the step that failed."""
_LINE_LENGTH = 300
_CONTEXT = 4
"""Lines after a compiler's error that belong to it: the source, a caret, a note."""
_BLOCK = 20
"""The same where errors are longer: Cython and CMake."""
_CYTHON_PLACE = re.compile(r"\S+\.p(yx|xd|y):\d+:\d+: ")
_FRAMES = ("-->", "|", "^", "...", "---", "note:")
_ERRORS = 4
"""Errors that are shown: later ones mostly follow from the first."""
_TRACEBACK = "Traceback (most recent call last):"
_ESCAPE = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f]")
_BUILD_FOLDER = re.compile(r"/tmp/build/(source/[^/\s:'\"]+|project|env/lib/[^/]+/site-packages)/")  # noqa: S108
_ERROR = re.compile(
    r"""(?x)
    ^\S[^:]*:\d+(:\d+)?:\s(fatal\ )?error\b:?   # gcc, clang, Cython: file.c:1:2: error: ...
    | ^(\S+:\ )?(fatal\ )?error:\s(?!command\ .*exit\ |subprocess-exited|metadata-gen)  # cc1, rustc
    | ^error\[E\d+\]:                           # rustc
    | ^\S*ld(\.\w+)?:\s.*(cannot\ find|undefined\ reference|error)
    | undefined\ reference\ to
    | ^CMake\ Error\b | ^.*:\d+:\d+:\ ERROR:\ | ^ERROR:\s(?!.*(backend|subprocess))
    | ^Error\ compiling\ Cython\ file
    | :\ (command\ )?not\ found$
    """
)
_INTRODUCTION = re.compile(r"^In file included from |^\s+from |: In (member )?function |: At (global|top)")
_NOISE = re.compile(r"^(error: command .* exit |ERROR: Backend subprocess|make(\[\d+\])?: \*\*\*|\s*$|\*+$)")

_HINTS: Sequence[tuple[str, str]] = (
    (
        r"fatal error: '?Python\.h",
        "use an image for building, such as public.ecr.aws/sam/build-python3.13: it has the headers",
    ),
    (
        r"fatal error: '?([\w+./-]+\.h[hp]*)'?(?: file not found|: No such)",
        'name the system package that has the header {0}: system-packages = ["…"] in planton.toml',
    ),
    (
        r"cannot find -l([\w+.-]+)",
        'name the system package with lib{0} for compiling: system-packages = ["…"] in planton.toml',
    ),
    (
        r"\b(?:cargo|rustc)\b[^\n]*(?:not found|not installed|No such)|: '(?:cargo|rustc)'$|rustup",
        'its sources are Rust: install a compiler with system-packages = ["cargo"] in planton.toml',
    ),
    (
        r"\b(\w+[_-]config)\b[^\n]*(?:not found|No such file|is required|required to build)",
        'name the system package that has the program {0}: system-packages = ["…"] in planton.toml',
    ),
    (
        r"(?:command |directory: )'([^'/]+)'(?: failed: No such|$)|([\w+.-]+): (?:command )?not found$",
        'name the system package that has the program {0}: system-packages = ["…"] in planton.toml',
    ),
    (
        r"use_2to3 is invalid|No module named '(?:pkg_resources|distutils|imp)'",
        "take a newer version of the package: this one is older than the tools that build it",
    ),
    (
        r"ModuleNotFoundError: No module named '([\w.]+)'",
        "its build imports {0}, which [build-system] requires in pyproject.toml must name",
    ),
    (
        r"setuptools[-_]scm|hatch-vcs|vcs_versioning",
        "write the version into pyproject.toml: it is taken from git, which is not part of the build",
    ),
    (
        r"cannot repair|could not be located|auditwheel",
        'name the system package that has the library: system-packages = ["…"] in planton.toml',
    ),
)
"""Patterns of outputs with what to do; `{0}` is the name that the pattern found."""
DEFAULT_HINT = "take a version with a wheel for the target, or correct what the message says"


@dataclass(frozen=True, slots=True)
class Explanation:
    """The lines that say what went wrong, and what to do next."""

    lines: tuple[str, ...]
    hint: str


def explain(log: str) -> Explanation:
    """Return what a failed build says about its failure, at most `SHOWN_LINES` lines."""
    lines = _last_step(log)
    text = "\n".join(lines)
    shown = _errors(lines) or _exception(lines) or _tail(lines)
    return Explanation(tuple(line[:_LINE_LENGTH] for line in shown[:SHOWN_LINES]), _hint(text))


def _last_step(log: str) -> list[str]:
    """Return the output of the step that failed, readable, with paths as in the project."""
    step = log.rpartition(f"\n{MARK}")[2] if f"\n{MARK}" in log else log
    lines = (_ESCAPE.sub("", line.rpartition("\r")[2]) for line in step.replace("\r\n", "\n").split("\n")[1:])
    return [_BUILD_FOLDER.sub("", line).rstrip() for line in lines]


def _errors(lines: Sequence[str]) -> list[str]:
    """Return the compilers' errors with what they say before and after each."""
    found: list[str] = []
    taken = -1
    count = 0
    for index, line in enumerate(lines):
        if index <= taken or not _ERROR.search(line) or _NOISE.search(line):
            continue
        count += 1
        if count > _ERRORS:
            break
        start = index
        while start - 1 > taken and _INTRODUCTION.search(lines[start - 1]):
            start -= 1
        end = _end(lines, index)
        found += [one for one in lines[start:end] if one.strip()]
        taken = end - 1
    return found


def _end(lines: Sequence[str], start: int) -> int:
    """Return where an error ends: what goes on with it is indented, or frames what is."""
    if lines[start].startswith("Error compiling Cython"):
        block = range(start, min(start + _BLOCK, len(lines)))
        return next((index + 1 for index in block if _CYTHON_PLACE.match(lines[index])), block.stop)
    limit = start + 1 + (_BLOCK if lines[start].startswith("CMake Error") else _CONTEXT)
    for index in range(start + 1, min(limit, len(lines))):
        line = lines[index]
        if _ERROR.search(line) or (line and not line[0].isspace() and not line.startswith(_FRAMES)):
            return index
    return min(limit, len(lines))


def _exception(lines: Sequence[str]) -> list[str]:
    """Return the last traceback's frames outside of the tools, and its message."""
    starts = [index for index, line in enumerate(lines) if line.strip() == _TRACEBACK]
    if not starts:
        return []
    block = list(lines[starts[-1] + 1 :])
    end = next((i for i, line in enumerate(block) if line.strip() and not line[0].isspace()), len(block))
    frames, message = block[:end], [line for line in block[end:] if not _NOISE.search(line)]
    own: list[str] = []
    for index, line in enumerate(frames):
        if line.startswith('  File "') and not line.startswith(
            ('  File "/', '  File "<', '  File "setuptools')
        ):
            own = frames[index : index + 2]
    return [*own, *message[: SHOWN_LINES - 2]]


def _tail(lines: Sequence[str]) -> list[str]:
    return [line for line in lines if not _NOISE.search(line)][-15:]


def _hint(text: str) -> str:
    for pattern, hint in _HINTS:
        if found := re.search(pattern, text, re.MULTILINE):
            names = [group for group in found.groups() if group]
            return hint.format(names[0] if names else "")
    return DEFAULT_HINT
