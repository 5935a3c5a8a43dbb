"""What a wheel installs: every byte checked against the ZIP and RECORD, every file given its place.

The resulting tree is that of `pip install --target` and `uv pip install --target`, with three differences:
the files in which installers keep their books are left out, so are C headers (pip and uv put them in
different places, and nothing reads them at run time), and scripts are kept apart.
Format: PyPA specifications, "Binary distribution format" and "Recording installed projects".
"""

from __future__ import annotations

import base64
import binascii
import csv
import hashlib
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from planton_build.archive.contents import inspect_entries, read_entry
from planton_build.archive.member import EXECUTABLE
from planton_build.archive.names import conflicts, path_fault
from planton_build.archive.reader import Limits, ZipEntry, read_zip
from planton_build.errors import ArchiveInvalid, WheelInvalid

LIMITS = Limits()
"""What a wheel may claim before it is refused: the defaults hold every wheel a function can use."""

_SIGNATURES = ("RECORD.jws", "RECORD.p7s")
_BOOKS = frozenset({"RECORD", *_SIGNATURES, "INSTALLER", "REQUESTED", "direct_url.json"})
"""Files of `.dist-info` that describe an installation and not the package; RECORD would be wrong."""
_ROOTS = frozenset({"purelib", "platlib", "data"})
"""The keys of `.data` that `--target` installs into the target itself."""
_STRONG = {"sha256": hashlib.sha256, "sha384": hashlib.sha384, "sha512": hashlib.sha512}
"""The algorithms that RECORD may use: sha256 or better."""
_REHASHED = 256 << 20
"""Bytes of a file whose RECORD hash is not SHA-256: it is read a second time, as a whole."""


@dataclass(frozen=True, slots=True)
class InstalledFile:
    """A file and its place: `path` in the artifact, where it is in the wheel, and its SHA-256 (hex)."""

    path: str
    entry: ZipEntry
    sha256: str
    mode: int


@dataclass(frozen=True, slots=True)
class WheelTree:
    """What a wheel installs, sorted by path. `scripts` are the files it puts into `bin/`."""

    files: tuple[InstalledFile, ...]
    scripts: tuple[InstalledFile, ...]


def read_wheel(path: Path, *, filename: str, jobs: int = 1) -> WheelTree:
    """Check a wheel to its last byte and return what it installs.

    Args:
        path: the wheel.
        filename: its real name, which says what is in it; the store names files by hash.
        jobs: threads that inflate and hash.

    Raises:
        WheelInvalid: the wheel is malformed or hostile; the message has the reason.
    """
    try:
        parsed, version, _, _ = parse_wheel_filename(filename)
        name = canonicalize_name(parsed)
    except (InvalidWheelFilename, InvalidVersion) as error:
        raise WheelInvalid(f"{filename!r} is not the name of a wheel") from error
    try:
        listing = read_zip(path, limits=LIMITS)
        inspected = list(inspect_entries(path, listing, jobs=jobs))
    except ArchiveInvalid as error:
        reason = error.message.removeprefix(path.name).lstrip(": ")
        raise WheelInvalid(f"{filename} {reason}", hint=error.hint) from error
    reader = _Reader(path, filename, {entry.path: (entry, digest) for entry, digest in inspected})
    info = reader.dist_info(name, version)
    reader.check_record(info)
    reader.check_metadata(info, name, version)
    return reader.tree(info)


class _Reader:
    """One wheel whose contents are known to be what its ZIP says."""

    def __init__(self, path: Path, filename: str, entries: Mapping[str, tuple[ZipEntry, str]]) -> None:
        self._path = path
        self._filename = filename
        self._entries = entries

    def _refusal(self, reason: str) -> WheelInvalid:
        return WheelInvalid(
            f"{self._filename} is not a valid wheel: {reason}",
            hint="take another version of the package, or tell its authors",
        )

    def _text(self, path: str) -> str:
        if path not in self._entries:
            raise self._refusal(f"it has no {path}")
        try:
            return read_entry(self._path, self._entries[path][0]).decode("utf-8")
        except UnicodeDecodeError as error:
            raise self._refusal(f"{path} is not UTF-8") from error
        except ArchiveInvalid as error:
            raise self._refusal(error.message) from error

    def dist_info(self, name: str, version: Version) -> str:
        """Return the one `.dist-info` folder, which must be named after the wheel."""
        folders = sorted(
            {top for path in self._entries if (top := path.partition("/")[0]).endswith(".dist-info")}
        )
        if len(folders) != 1:
            raise self._refusal(f"it has {len(folders)} .dist-info folders instead of one")
        found, _, written = folders[0].removesuffix(".dist-info").rpartition("-")
        if canonicalize_name(found) != name or _version(written) != version:
            raise self._refusal(f"its metadata are in {folders[0]}")
        return folders[0]

    def check_record(self, info: str) -> None:
        """Compare RECORD with the contents: each names all of the other, with the right hashes."""
        unsigned = {f"{info}/{name}" for name in ("RECORD", *_SIGNATURES)}
        seen: dict[str, tuple[str, str]] = {}
        for path, claim, size in self._record_lines(f"{info}/RECORD"):
            if seen.setdefault(path, (claim, size)) != (claim, size):
                raise self._refusal(f"RECORD contradicts itself about {path}")
        for path in sorted(set(self._entries) - set(seen) - unsigned):
            raise self._refusal(f"{path} is not in RECORD")
        for path, (claim, size) in seen.items():
            if path not in self._entries:
                raise self._refusal(f"RECORD names {path}, which is not there")
            if path in unsigned:
                continue
            entry, digest = self._entries[path]
            if size and size != str(entry.size):
                raise self._refusal(f"{path} has {entry.size:,} bytes and not the {size} that RECORD says")
            if not self._proves(claim, entry, digest):
                raise self._refusal(f"{path} does not have the hash that RECORD says")

    def _record_lines(self, path: str) -> Iterator[tuple[str, str, str]]:
        try:
            for row in csv.reader(io.StringIO(self._text(path)), strict=True):
                if row and not row[0].endswith("/"):
                    file, claim, size = row
                    yield file, claim, size
        except (csv.Error, ValueError) as error:
            raise self._refusal("RECORD is not a list of path, hash and size") from error

    def _proves(self, claim: str, entry: ZipEntry, digest: str) -> bool:
        """Tell whether a claim such as `sha256=…` (URL-safe base64 without padding) holds."""
        algorithm, _, encoded = claim.partition("=")
        if algorithm not in _STRONG:
            raise self._refusal(f"RECORD has no SHA-256 or better for {entry.path}")
        try:
            expected = base64.b64decode(
                encoded.rstrip("=") + "=" * (-len(encoded.rstrip("=")) % 4), b"-_", True
            )
        except (binascii.Error, ValueError):
            return False
        if algorithm == "sha256":
            return expected.hex() == digest
        try:
            content = read_entry(self._path, entry, limit=_REHASHED)
        except ArchiveInvalid as error:
            raise self._refusal(error.message) from error
        return expected == _STRONG[algorithm](content).digest()

    def check_metadata(self, info: str, name: str, version: Version) -> None:
        """Compare METADATA and WHEEL with the wheel's name and the versions of the format we know."""
        from email.parser import HeaderParser

        metadata = HeaderParser().parsestr(self._text(f"{info}/METADATA"))
        found, written = str(metadata.get("Name", "")), str(metadata.get("Version", ""))
        if canonicalize_name(found) != name or _version(written) != version:
            raise self._refusal(f"its METADATA is that of {found[:100]!r} {written[:100]!r}")
        wheel = HeaderParser().parsestr(self._text(f"{info}/WHEEL"))
        wheel_version = str(wheel.get("Wheel-Version", "")).strip()
        if wheel_version.partition(".")[0] != "1":
            raise self._refusal(f"its format has the version {wheel_version[:20]!r}, and only 1 is known")

    def tree(self, info: str) -> WheelTree:
        """Give every file its place. As in pip, a file of `.data` takes the place of one in the root."""
        data = info.removesuffix(".dist-info") + ".data"
        files: dict[str, InstalledFile] = {}
        scripts: dict[str, InstalledFile] = {}
        for path in sorted(self._entries, key=lambda path: path.startswith(f"{data}/")):
            entry, digest = self._entries[path]
            place = self._place(path, entry, info, data)
            if place is None:
                continue
            where, script = place
            fault = path_fault(where)
            if fault is not None:
                raise self._refusal(f"the path {where[:200]!r} {fault}")
            mode = EXECUTABLE if script else entry.member_mode
            (scripts if script else files)[where] = InstalledFile(where, entry, digest, mode)
        for path, other in conflicts([*files, *scripts]):
            raise self._refusal(f"{path} would be a file, and a folder because of {other}")
        return WheelTree(_sorted(files), _sorted(scripts))

    def _place(self, path: str, entry: ZipEntry, info: str, data: str) -> tuple[str, bool] | None:
        """Return where a file goes and whether it is a script, or None when it stays out."""
        top, _, rest = path.partition("/")
        if top == info and rest in _BOOKS:
            return None
        if top != data:
            return path, False
        key, _, below = rest.partition("/")
        if entry.is_symlink:
            raise self._refusal(f"{path} is a symlink, which would point elsewhere after the installation")
        if not below or key not in _ROOTS | {"scripts", "headers"}:
            raise self._refusal(f"{path} is in no folder that the format knows")
        if key == "headers":
            return None
        return (f"bin/{below}", True) if key == "scripts" else (below, False)


def _sorted(files: Mapping[str, InstalledFile]) -> tuple[InstalledFile, ...]:
    return tuple(files[path] for path in sorted(files))


def _version(text: str) -> Version | None:
    try:
        return Version(text)
    except InvalidVersion:
        return None
