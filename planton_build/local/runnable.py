"""Can this host run the artifact, and with which interpreter? If not, exactly why.

The artifact runs as it was deployed, so what it was built for has to fit: the native code in it (read from
the ELF headers, not from file names) and the Python minor version that extension modules are tied to.
"""

from __future__ import annotations

import platform
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from planton_build.archive.contents import read_entry
from planton_build.archive.reader import ZipEntry, ZipListing
from planton_build.archive.unpack import beginning
from planton_build.errors import ArtifactNotRunnable
from planton_build.events import Listener, Note, ignore
from planton_build.local.interpreters import Interpreter, find_interpreter
from planton_build.local.runtime_wheels import MINIMUM_PYTHON

NEWEST_PYTHON = (3, 14)
"""The newest minor version that is looked for as a stand-in."""
_ELF_MACHINES = {3: "i386", 40: "arm", 62: "x86_64", 183: "aarch64", 243: "riscv64"}
"""e_machine (System V ABI, ELF header)."""
_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
"""Other systems' names for what Linux calls x86_64 and aarch64."""
_ELF_HEADER = 20
_MAY_BE_NATIVE = re.compile(r"\.so(?:\.[0-9.]+)?$|(?:^|/)bin/[^/]+$")
_TIED_MODULE = re.compile(r"\.cpython-3(\d+)t?-[^/]*\.so$")
_MAX_RECORD = 16 << 20


@dataclass(frozen=True, slots=True)
class Host:
    """This machine: `system` as `platform.system()` has it, `machine` in Linux's words."""

    system: str
    machine: str


def this_host() -> Host:
    """Return the machine the tool runs on."""
    machine = platform.machine().lower()
    return Host(platform.system(), _MACHINES.get(machine, machine))


def check_runnable(
    artifact: Path,
    listing: ZipListing,
    runtime: str,
    *,
    any_python: bool = False,
    function: str = "",
    host: Host | None = None,
    listen: Listener = ignore,
) -> Interpreter:
    """Return the interpreter that runs the ZIP `artifact` here.

    `runtime` is Lambda's name for it, such as `python3.13`. With `any_python`, an artifact that is not tied
    to one minor version may run on another when this host lacks the right one; a `Note` says which.

    Raises `ArtifactNotRunnable`: another language, native code for another machine or system, no such Python.
    """
    version = _python_version(runtime)
    host = host or this_host()
    for entry, machine in _native_code(artifact, listing):
        if host.system != "Linux" or machine != host.machine:
            raise _wrong_machine(artifact, listing, entry, machine, host)
    if found := find_interpreter(version):
        return found
    wanted = f"{version[0]}.{version[1]}"
    tied = next((entry for entry in listing.entries if _is_tied(entry)), None)
    if tied is not None:
        raise ArtifactNotRunnable(
            f"this host has no Python {wanted}, and {_named(artifact, listing, tied)} runs on no other",
            hint=_install_hint(wanted),
        )
    if not any_python:
        raise ArtifactNotRunnable(
            f"this host has no Python {wanted}, which the function is deployed for",
            hint=f"{_install_hint(wanted)} Nothing in the artifact is tied to that version: --any-python "
            "runs it with the nearest one.",
        )
    return _stand_in(version, function, listen)


def _python_version(runtime: str) -> tuple[int, int]:
    match = re.fullmatch(r"python3\.(\d{1,3})", runtime)
    if match is None:
        raise ArtifactNotRunnable(
            f"functions of the runtime {runtime!r} are not invoked locally; Python functions are",
            hint="Invoke it in AWS, or in the AWS base image of that runtime.",
        )
    version = (3, int(match[1]))
    if version < MINIMUM_PYTHON:
        raise ArtifactNotRunnable(
            f"{runtime} is too old to be invoked locally: Lambda's runtime client needs Python "
            f"{MINIMUM_PYTHON[0]}.{MINIMUM_PYTHON[1]}",
            hint="Move the function to a runtime that AWS supports.",
        )
    return version


def _native_code(artifact: Path, listing: ZipListing) -> list[tuple[ZipEntry, str]]:
    """Return the ELF files of the artifact with the machine each is for."""
    found = []
    with artifact.open("rb") as stream:
        for entry in listing.entries:
            suspect = _MAY_BE_NATIVE.search(entry.path) or entry.mode & 0o111
            if not suspect or entry.is_symlink:
                continue
            header = beginning(stream, entry, _ELF_HEADER)
            if len(header) == _ELF_HEADER and header.startswith(b"\x7fELF"):
                # e_ident[EI_DATA] 1 is little-endian; e_machine stands at offset 18 in both classes.
                number = struct.unpack_from("<H" if header[5] == 1 else ">H", header, 18)[0]
                found.append((entry, _ELF_MACHINES.get(number, f"machine {number}")))
    return found


def _is_tied(entry: ZipEntry) -> bool:
    """Tell whether only one minor version loads this file: an extension module or bytecode without its
    source."""
    return bool(_TIED_MODULE.search(entry.path)) or (
        entry.path.endswith(".pyc") and "__pycache__/" not in entry.path
    )


def _wrong_machine(
    artifact: Path, listing: ZipListing, entry: ZipEntry, machine: str, host: Host
) -> ArtifactNotRunnable:
    system = {"Darwin": "macOS"}.get(host.system, host.system)
    run_by = {"x86_64": "X86_64", "aarch64": "ARM64"}.get(host.machine)
    hint = f"It runs in AWS, on {machine} Linux, and in a container: docker run --platform linux/"
    hint += {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)
    if host.system == "Linux" and run_by:
        hint += f". Or build it for this host: spec.architecture: {run_by}"
    return ArtifactNotRunnable(
        f"{_named(artifact, listing, entry)} is {machine} Linux code, "
        f"and this host is {host.machine} {system}",
        hint=hint + ".",
    )


def _named(artifact: Path, listing: ZipListing, entry: ZipEntry) -> str:
    """Return an entry's path with the package that brought it, when a RECORD in the artifact tells."""
    for record in listing.entries:
        folder, _, name = record.path.rpartition("/")
        if name != "RECORD" or not folder.endswith(".dist-info") or record.size > _MAX_RECORD:
            continue
        lines = read_entry(artifact, record, limit=_MAX_RECORD).decode("utf-8", "replace").splitlines()
        if any(line.split(",")[0].strip('"') == entry.path for line in lines):
            return f"{entry.path} (package {folder.rpartition('/')[2].partition('-')[0]})"
    return entry.path


def _install_hint(wanted: str) -> str:
    return f"Install it, for example with: uv python install {wanted}."


def _stand_in(version: tuple[int, int], function: str, listen: Listener) -> Interpreter:
    """Return the interpreter nearest to `version`, the newer of two that are equally near."""
    others: Sequence[tuple[int, int]] = [
        (3, minor) for minor in range(MINIMUM_PYTHON[1], NEWEST_PYTHON[1] + 1) if minor != version[1]
    ]
    for other in sorted(others, key=lambda other: (abs(other[1] - version[1]), -other[1])):
        if found := find_interpreter(other):
            message = f"runs with Python {other[0]}.{other[1]} instead of {version[0]}.{version[1]}"
            listen(Note(function, f"{message} (--any-python): {found.path}", "warning"))
            return found
    raise ArtifactNotRunnable(
        "this host has no Python that could run the function",
        hint=_install_hint(f"{version[0]}.{version[1]}"),
    )
