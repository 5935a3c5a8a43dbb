"""From what a container reports to an error that names the file, the package, and what to do."""

from __future__ import annotations

import difflib
import errno
import json
import re
import signal
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from planton_build.errors import InvocationFailed, VerifyFailed
from planton_build.project.function import FunctionProject
from planton_build.verify.report import ErrorIn, ImportReport

_TASK = "/var/task/"
_FRAMES_SHOWN = 6
_LIBRARY = re.compile(r"([\w.+-]+\.so[\w.]*): cannot open shared object file")
_VERSION = re.compile(r"(/\S+): version `([\w.]+)' not found(?: \(required by ([^)]+)\))?")
_SYMBOL = re.compile(r"(/\S+): undefined symbol: (\w+)")
_NETWORK = frozenset({"gaierror", "URLError", "ConnectError", "EndpointConnectionError", "ConnectionError"})
_ERROR_KEYS = {"errorMessage", "errorType", "requestId", "stackTrace"}
"""What awslambdaric answers when the handler raises (`make_error` of its bootstrap)."""
_TIMED_OUT = re.compile(rb"Task timed out after [\d.]+ seconds")


@dataclass(frozen=True, slots=True)
class Code:
    """A function's files, unpacked below `folder`, and its packages' names: tells who brought a file."""

    folder: Path
    packages: Sequence[str]

    def package_of(self, path: str) -> str | None:
        """Return the package that brought a file of /var/task, or None for the function's own."""
        parts = PurePosixPath(path.removeprefix(_TASK)).parts
        if not path.startswith(_TASK) or not parts:
            return None
        first = parts[0].removesuffix(".libs")
        stem = first.partition(".")[0]
        if (found := _normal(stem)) in self.packages:
            return found
        for listing in sorted(self.folder.glob("*.dist-info/top_level.txt")):
            with suppress(OSError):
                if stem in listing.read_text(encoding="utf-8", errors="replace").split():
                    return _normal(listing.parent.name.rpartition("-")[0].partition("-")[0])
        return None

    def named(self, path: str) -> str:
        """Return a file as a message names it: relative, with the package that brought it."""
        package = self.package_of(path)
        return f"{path.removeprefix(_TASK)}{f' of {package}' if package else ''}"


def import_failure(project: FunctionProject, report: ImportReport, code: Code) -> VerifyFailed:
    """Return the error for a handler that could not be imported, or is not there."""
    handler = project.handler
    if report.stage == "handler":
        return _no_handler(project, report)
    if not report.errors:
        return _ended(project, report)
    native = next((found for one in reversed(report.errors) if (found := _native(one, code))), None)
    message, hint = native or _explained(report.errors, code, handler)
    trace = _trace(report.errors[0], code)
    file, line = _own_place(project, report.errors[0], code)
    return VerifyFailed(f"{handler} cannot be imported: {message}{trace}", hint=hint, file=file, line=line)


def invocation_failure(
    project: FunctionProject, payload: bytes, status: int, requests: Sequence[str]
) -> InvocationFailed | None:
    """Return the error for an answer that says that the function failed, or None.

    A handler may return an object like an error's, so the request's id must be in it.
    """
    if _TIMED_OUT.fullmatch(payload):
        return InvocationFailed(
            f"{project.name} timed out: {payload.decode()}",
            hint="spec.timeoutSeconds is the limit; remember that there is no network in the container",
        )
    answer: Any = None
    with suppress(ValueError):
        answer = json.loads(payload)
    raised = isinstance(answer, dict) and set(answer) == _ERROR_KEYS and answer["requestId"] in requests
    if status == 200 and not raised:
        return None
    if not isinstance(answer, dict):
        return InvocationFailed(f"{project.name} failed: {payload[:300].decode(errors='replace')}")
    kind, message, stack = (answer.get(name) for name in ("errorType", "errorMessage", "stackTrace"))
    frames = [" ".join(str(frame).split()) for frame in stack] if isinstance(stack, list) else []
    trace = "".join(f"\n  {frame[:300]}" for frame in frames[-_FRAMES_SHOWN:])
    hint = "see the log above" if raised else "the process ended: a crash, an exit, or not enough memory"
    return InvocationFailed(f"{project.name} failed: {kind}: {str(message)[:2000]}{trace}", hint=hint)


def _no_handler(project: FunctionProject, report: ImportReport) -> VerifyFailed:
    module, _, name = project.handler.rpartition(".")
    position = project.manifest.position("spec", "handler")
    close = difflib.get_close_matches(name, report.names, n=1)
    said = f"has no function {name}" if report.missing else f"has a {name} that cannot be called"
    hint = f"did you mean {module}.{close[0]}?" if close else "check spec.handler: it is module.function"
    return VerifyFailed(
        f"the module {module} {said}",
        hint=hint,
        file=project.manifest.path,
        line=position.line if position else None,
        column=position.column if position else None,
    )


def _ended(project: FunctionProject, report: ImportReport) -> VerifyFailed:
    """Return the error for a process that ended without a word."""
    handler, path = project.handler, project.manifest.path
    if report.exit_code < 0:
        name = str(-report.exit_code)
        with suppress(ValueError):
            name = signal.Signals(-report.exit_code).name
        hint = "native code crashed: try another version of the package whose import was under way"
        return VerifyFailed(
            f"the process crashed ({name}) while {handler} was imported", hint=hint, file=path
        )
    return VerifyFailed(
        f"the process ended with exit code {report.exit_code} while {handler} was imported",
        file=path,
        hint="a module must not end the process when it is imported; the log above may say more",
    )


def _native(error: ErrorIn, code: Code) -> tuple[str, str] | None:
    """Explain what the dynamic linker says."""
    text, origin = error.message, error.path or ""
    if found := _VERSION.search(text):
        needed, by = found[2], found[3] or origin or found[1]
        hint = (
            f"{code.package_of(by) or 'this file'} was built for a newer system than the runtime's; take a "
            "version with a wheel for it, or let it be built in the build container (--container always)"
        )
        return f"{code.named(by)} needs {needed}, which the runtime does not have", hint
    if found := _LIBRARY.search(text):
        by = f"{code.named(origin)} needs" if origin else "a native module needs"
        hint = (
            'name the system package that has it in system-packages = ["..."] of planton.toml, so that it is '
            "copied into the artifact; or attach a layer that has it"
        )
        return f"{by} the library {found[1]}, which is neither in the artifact nor in the runtime", hint
    if found := _SYMBOL.search(text):
        hint = (
            "the file was built against another version of a library, or of Python: build it for the target"
        )
        return f"{code.named(found[1])} needs the symbol {found[2]}, which nothing has", hint
    if "invalid ELF header" in text or "wrong ELF class" in text:
        hint = (
            "it was built for another system: let the target's wheel be chosen, or build it in the container"
        )
        return text, hint
    return None


def _explained(errors: Sequence[ErrorIn], code: Code, handler: str) -> tuple[str, str]:
    """Return message and hint for an exception that the linker is not to blame for."""
    outer, root = errors[0], errors[-1]
    missing = next((one for one in reversed(errors) if one.type == "ModuleNotFoundError" and one.name), None)
    if missing is not None and missing.name is not None:
        return _missing_module(missing, missing.name, code, handler)
    said = f"{outer.type}: {outer.message[:2000]}"
    if root.errno in (errno.EROFS, errno.EACCES) and (root.filename or "").startswith("/var/task"):
        return said, "/var/task cannot be written in Lambda; /tmp can"
    if any(kind in _NETWORK for one in errors for kind in one.kinds):
        return said, (
            "there is no network in the container: call other services in the handler, not when the module "
            "is imported"
        )
    if outer.type == "SystemExit":
        return said, "a module must not end the process when it is imported"
    if outer.type == "KeyError" and any("environ" in frame[3] for frame in outer.frames):
        return said, f"set {outer.message} in spec.environment"
    return said, "it raises when it is imported; Lambda would fail in the same way"


def _missing_module(error: ErrorIn, name: str, code: Code, handler: str) -> tuple[str, str]:
    top, place = name.partition(".")[0], _last_frame(error)
    module = handler.rpartition(".")[0].replace("/", ".")
    if name == module or module.startswith(f"{name}."):
        return f"the artifact has no module {name}", "check spec.handler, the source folder and exclude"
    by = f"{code.named(place[0])} (line {place[1]}) imports" if place else "it imports"
    package = code.package_of(place[0]) if place else None
    if top != name and (code.folder / top).exists():
        hint = f"{top} is there, but not this part of it: is it another version, or left out by an exclude?"
    elif package:
        hint = f"{package} needs it without saying so: add the package that has {top} to the dependencies"
    else:
        hint = f"add the package that has {top} to the function's dependencies"
    return f"{by} {name}, which is neither in the artifact nor in the runtime", hint


def _last_frame(error: ErrorIn) -> tuple[str, int] | None:
    found = [(file, line) for file, line, _, _ in error.frames if file.startswith(_TASK)]
    return found[-1] if found else None


def _trace(error: ErrorIn, code: Code) -> str:
    """Return the frames of the user's own code, or where there are none, those of the packages."""
    inside = [frame for frame in error.frames if frame[0].startswith(_TASK)]
    own = [frame for frame in inside if code.package_of(frame[0]) is None] or inside
    return "".join(
        f"\n  {code.named(file)}:{line}{f' in {function}' if function else ''}: {text.strip()[:200]}"
        for file, line, function, text in own[-_FRAMES_SHOWN:]
    )


def _own_place(project: FunctionProject, error: ErrorIn, code: Code) -> tuple[Path, int | None]:
    """Return the place in the user's sources that is nearest to the failure, or the manifest."""
    for file, line, _, _ in reversed(error.frames):
        if file.startswith(_TASK) and code.package_of(file) is None:
            source = project.options.source / file.removeprefix(_TASK)
            if ".." not in PurePosixPath(file).parts and source.is_file():
                return source, line
    return project.manifest.path, None


def _normal(name: str) -> str:
    """Return a package's name in its normal form (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()
