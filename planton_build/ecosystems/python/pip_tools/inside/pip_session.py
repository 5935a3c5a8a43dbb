"""What pip is told in a build container beyond its options. Imported by the scripts that lie beside it there.

The versions of pip and pip-tools are pinned with the image, so that their internals may be used: pip has no
option for another glibc or patch release than its interpreter's, and it skips an index that fails.
"""

from __future__ import annotations

import io
import json
import logging
import re
import shutil
import sys
import types
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, TextIO

HIDDEN = Path("/build/.secrets/hidden.json")
ABSENT = (404, 410)
"""Answers by which an index says that it does not know a package; any other failure counts."""

_FRAME = re.compile(r"\\?\[(\d+ lines of output|end of output)\]")


def hidden() -> list[str]:
    """Return the texts that must not be shown, the longest first."""
    found: list[str] = json.loads(HIDDEN.read_text("utf-8")) if HIDDEN.exists() else []
    return found


class Redacted(io.TextIOBase):
    """A text stream that writes without the secrets of the index access."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._hidden = hidden()

    def clean(self, text: str) -> str:
        """Return `text` without secrets."""
        for secret in self._hidden:
            text = text.replace(secret, "****")
        return text

    def write(self, text: str) -> int:
        """Write at once: somebody may be watching."""
        self._stream.write(self.clean(text))
        self._stream.flush()
        return len(text)

    def writable(self) -> bool:
        """Tell that it can be written to."""
        return True

    def fileno(self) -> int:
        """Return the descriptor of the stream below."""
        return self._stream.fileno()


class Progress(logging.Handler):
    """Writes what pip does, one line each, and keeps what explains a failure.

    `unreachable` holds what could not be read: pairs of URL and reason.
    """

    noise = ("Location ", "Using cached ", "Requirement already ", "Looking in ")

    def __init__(self, stream: Redacted) -> None:
        super().__init__(logging.INFO)
        self._output = stream
        self._said: list[str] = []
        self.unreachable: list[tuple[str, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Take a message of pip."""
        text = record.getMessage().strip()
        if record.levelno >= logging.ERROR or text.startswith("The conflict is caused by"):
            self._said.append(text)
        elif text and not text.startswith(self.noise):
            self._output.write(text + "\n")

    def forget(self) -> None:
        """Begin anew."""
        del self._said[:], self.unreachable[:]

    def report(self, found: dict[str, str]) -> dict[str, str]:
        """Return how a run ended: what `explained` found, with what pip said meanwhile."""
        if self.unreachable:
            url, reason = self.unreachable[0]
            found = {"kind": "unreachable", "subject": url, "text": reason}
        elif found["kind"] not in ("ok", "build"):
            found["text"] = "\n".join(filter(None, [*self._said, found["text"]]))
        return {name: self._output.clean(text) for name, text in found.items()}


def prepare(target: Mapping[str, Any]) -> Progress:
    """Make pip of this process resolve for `target` and return the handler of its messages.

    `target` holds `glibc` (major, minor), `python` (X.Y.Z) and `markers`, the environment of PEP 508 markers.
    """
    output = Redacted(sys.stdout)
    sys.stdout, sys.stderr = output, Redacted(sys.stderr)
    believe_glibc(target["glibc"])
    _believe_python(tuple(int(part) for part in target["python"].split(".")[:3]), target["markers"])
    progress = Progress(output)
    _notice_failures(progress.unreachable)
    logger = logging.getLogger("pip")
    logger.setLevel(logging.INFO)
    logger.addHandler(progress)
    logger.propagate = False
    return progress


def copied(source: str, target: str) -> None:
    """Copy a file so that it can be changed, and executed if it could be."""
    shutil.copyfile(source, target)
    Path(target).chmod(0o755 if Path(source).stat().st_mode & 0o100 else 0o644)


def believe_glibc(newest: Sequence[int]) -> None:
    """Take no wheel for a newer glibc than `newest`, (major, minor) (PEP 600, `manylinux_compatible`)."""
    # One module, changed in place: pip keeps what it imported.
    module: Any = sys.modules.setdefault("_manylinux", types.ModuleType("_manylinux"))
    module.manylinux_compatible = lambda major, minor, _: (major, minor) <= tuple(newest)


def _believe_python(version: tuple[int, ...], markers: Mapping[str, str]) -> None:
    """Judge markers and Requires-Python as the host does: an image's patch release must not change a lock."""
    from pip._internal.models.target_python import TargetPython
    from pip._internal.resolution.resolvelib.candidates import RequiresPythonCandidate
    from pip._vendor.packaging import markers as evaluated

    evaluated.default_environment = lambda: dict(markers)
    finding, required = TargetPython.__init__, RequiresPythonCandidate.__init__

    def finds(self: Any, *positional: Any, **named: Any) -> None:
        finding(self, *positional, **named)
        self.py_version_info = version

    TargetPython.__init__ = finds
    RequiresPythonCandidate.__init__ = lambda self, _=None: required(self, version)


def _notice_failures(unreachable: list[tuple[str, str]]) -> None:
    """Record every index page that cannot be read; pip itself would go on without it."""
    from pip._internal.index import collector

    original = collector._handle_get_simple_fail

    def noticed(link: Any, reason: Any, meth: Any = None) -> None:
        status = getattr(getattr(reason, "response", None), "status_code", None)
        if status not in ABSENT:
            unreachable.append((without_credentials(link.url), str(reason)[:500]))
        original(link, reason, meth)

    collector._handle_get_simple_fail = noticed


def without_credentials(url: str) -> str:
    """Return a URL as it may be shown."""
    parts = urlsplit(url)
    return parts.scheme + "://" + parts.netloc.rpartition("@")[2] + parts.path


def explained(error: BaseException) -> dict[str, str]:
    """Return what an exception of pip means: `kind`, the package or step as `subject`, its words as `text`.

    Kinds: `build` (a package's metadata cannot be made), `conflict`, `unreachable`, `other`.
    """
    import pip._internal.exceptions as known

    chain: list[Any] = []
    cause: BaseException | None = error
    while cause is not None and cause not in chain:
        chain.append(cause)
        cause = cause.__cause__ or cause.__context__
    names = [one.package_name for one in chain if getattr(one, "package_name", None)]
    # As `told>=1 from https://...`; of a folder there is only its URL.
    details = [str(one.context) for one in chain if type(one).__name__ == "MetadataGenerationFailed"]
    names += [detail.partition(" from ")[0] for detail in details]
    for one in chain:
        if isinstance(one, known.InstallationSubprocessError):
            subject = names[0] if names else one.command_description
            return {"kind": "build", "subject": subject, "text": _output_of(one)}
    first = chain[0]
    text, name = str(first), type(first).__name__
    if any(isinstance(one, known.NetworkConnectionError) for one in chain) or "HTTP error" in text:
        return {"kind": "unreachable", "subject": "", "text": text}
    if (
        isinstance(first, (known.DistributionNotFound, known.UnsupportedPythonVersion))
        or name == "NoCandidateFound"
    ):
        return {"kind": "conflict", "subject": "", "text": text}
    if not isinstance(first, known.PipError) and not type(first).__module__.startswith("piptools."):
        text = name + ": " + text
    return {"kind": "other", "subject": "", "text": text}


def _output_of(error: Any) -> str:
    """Return what a failed program wrote; pip keeps it as text for its terminal, framed."""
    lines = getattr(error.context, "plain", str(error.context or error)).splitlines()
    return "\n".join(line for line in lines if not _FRAME.match(line))
