"""The commands of packages: made to run with the Python of a Lambda runtime."""

from __future__ import annotations

import configparser
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from planton_build.archive.compress import member_from_bytes
from planton_build.archive.contents import read_member
from planton_build.archive.member import EXECUTABLE, Member
from planton_build.cache import Store
from planton_build.errors import WheelInvalid
from planton_build.runtimes.target import Target

_PYTHON = "/var/lang/bin/python{}.{}"
"""Where the interpreter is in every Python runtime and base image of Lambda."""
_GROUPS = ("console_scripts", "gui_scripts")
_REFERENCE = re.compile(r"([\w.]+)\s*:\s*([\w.]+)\s*(?:\[.*\])?")
"""An object reference of the entry points specification; extras are obsolete and ignored."""
_PLACEHOLDER = re.compile(rb"^#!python[^\r\n]*(\r?\n|$)")
"""The first line that an installer replaces (PyPA specification "Binary distribution format")."""
_COMMAND = """\
#!{python}
import sys
from {module} import {first}
if __name__ == "__main__":
    sys.exit({function}())
"""


def script_members(
    files: Iterable[Member], scripts: Sequence[Member], target: Target, store: Store
) -> list[Member]:
    """Return the members of `bin/` for one wheel: its scripts, and a command for each entry point.

    As in pip, an entry point takes the place of a script of the same name.

    Args:
        files: the wheel's other members, among them `entry_points.txt`.
        scripts: the wheel's own scripts.
        target: what runs them.
        store: keeps what has to be rewritten.

    Raises:
        WheelInvalid: an entry point is malformed.
    """
    python = _PYTHON.format(*target.version)
    found = {member.path: _script(member, python, store) for member in scripts}
    for member in files:
        folder, _, name = member.path.rpartition("/")
        if name == "entry_points.txt" and folder.endswith(".dist-info") and "/" not in folder:
            for command, reference in _entry_points(member):
                content = _command(member.origin, command, reference, python)
                path = f"bin/{command}"
                found[path] = member_from_bytes(
                    content, archive_path=path, executable=True, origin=member.origin, store=store
                )
    return list(found.values())


def _script(member: Member, python: str, store: Store) -> Member:
    """Return a script with its placeholder replaced; one without stays as it is in the wheel."""
    content = read_member(member)
    line = _PLACEHOLDER.match(content)
    if line is None:
        return replace(member, mode=EXECUTABLE)
    content = b"#!" + python.encode() + b"\n" + content[line.end() :]
    return member_from_bytes(
        content, archive_path=member.path, executable=True, origin=member.origin, store=store
    )


def _entry_points(member: Member) -> Iterator[tuple[str, str]]:
    parser = configparser.ConfigParser(delimiters=("=",), interpolation=None, strict=False)
    # Keep the case of names: the documented way, which the stubs do not know.
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    try:
        parser.read_string(read_member(member).decode("utf-8"))
    except (configparser.Error, UnicodeDecodeError) as error:
        raise WheelInvalid(f"entry_points.txt of {member.origin} cannot be read") from error
    for group in _GROUPS:
        if parser.has_section(group):
            yield from parser.items(group)


def _command(origin: str, command: str, reference: str, python: str) -> bytes:
    parsed = _REFERENCE.fullmatch(reference.strip())
    if parsed is None or "/" in command or command in {"", ".", ".."}:
        raise WheelInvalid(f"{origin} has an entry point that is not valid: {command[:80]!r}")
    module, function = parsed.groups()
    first = function.partition(".")[0]
    return _COMMAND.format(python=python, module=module, first=first, function=function).encode()
