"""Bytecode that stays valid: unchecked-hash `.pyc` files, compiled by the target's own interpreter.

Lambda's code folder cannot be written, so without them every cold start compiles every module anew. A `.pyc`
of this kind (PEP 552) is taken as it is: no source's date or content can make it invalid. What is compiled is
kept, one file for each group of members, so that a package is compiled once for an interpreter.
"""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from planton_build.archive.member import REGULAR, SYMLINK, Member
from planton_build.archive.names import path_fault
from planton_build.cache import Store, key_of
from planton_build.errors import CompileFailed, ImageMismatch
from planton_build.events import Listener, StepFinished, StepStarted
from planton_build.runtimes.target import Target
from planton_build.sandbox.build_image import BuildImage, ImagePin
from planton_build.sandbox.job import BUILDER, IN, OUT, PYTHON, Job, Limits

if TYPE_CHECKING:
    from planton_build.sandbox.container import Sandbox

TASK = "/var/task"
"""Where Lambda unpacks a function (`LAMBDA_TASK_ROOT`): the path that tracebacks show."""
_FORMAT = 1
"""Raised whenever the record changes its form, or the same files are compiled in another way."""
_STEP = "bytecode"
_SOURCE_LIMIT = 16 << 20
"""Bytes of a source file that is compiled; the largest known one (a table of emoji) has a tenth of it."""
_HEAD = 16
"""Bytes before the marshalled code: magic number, flags, hash of the source (PEP 552)."""
_UNCHECKED = 0b01
_COLUMNS = ("paths", "method", "crc32", "size", "compressed_size", "sha256", "offset")


def bytecode_path(path: str, target: Target) -> str:
    """Return where the bytecode of `path`, which ends with `.py`, belongs (PEP 3147)."""
    folder, slash, name = path.rpartition("/")
    return f"{folder}{slash}__pycache__/{name.removesuffix('.py')}.{_tag(target)}.pyc"


def bytecode_members(
    groups: Sequence[Sequence[Member]],
    target: Target,
    store: Store,
    *,
    sandbox: Callable[[], Sandbox],
    image: Callable[[], BuildImage],
    pin: ImagePin,
    limits: Limits,
    listener: Listener,
    function: str,
) -> list[list[Member]]:
    """Return, for each group of members, the bytecode of its Python files.

    Files that do not compile get none: packages bring templates and tests in other languages' or Python 2's
    syntax. A package may have brought a file of the same name: the one returned here is to take its place.
    What the store lacks is compiled in one job; with nothing to compile, neither `sandbox` nor
    `image` is called.

    Args:
        groups: the members of each package, and of the function's own sources.
        target: the runtime that imports them.
        store: keeps what was compiled.
        sandbox: gives the sandbox.
        image: gives the image whose interpreter compiles: the target's.
        pin: what names that image's base for good.
        limits: of the job.
        listener: is told how many files were compiled.
        function: the function's name, for events.

    Raises:
        ImageMismatch: the image's interpreter is of another version than the target's.
        CompileFailed: the compiling job failed for another reason than a file of its own.
        PlantonError: the engine fails, or a limit is reached (see `Sandbox.run`).
    """
    started = time.perf_counter()
    script = _script()
    sources = [_python_files(group, target) for group in groups]
    keys = [_key(files, target, pin, script) for files in sources]
    known = [_recorded(store, key) if files else [] for key, files in zip(keys, sources, strict=True)]
    missing = [number for number, found in enumerate(known) if found is None]
    total = sum(len(sources[number]) for number in missing)
    if missing:
        listener(StepStarted(function, _STEP, total, "files"))
        with tempfile.TemporaryDirectory(prefix="planton-bytecode-") as name:
            wanted = [source for number in missing for source in sources[number]]
            job = _Compilation(wanted, target, script, Path(name))
            job.run(sandbox(), image(), limits)
            start = 0
            for number in missing:
                end = start + len(sources[number])
                known[number] = _kept(store, keys[number], job.compiled(start, end))
                start = end
    results = [
        [_member(row, store, _origin(group)) for row in found or []]
        for group, found in zip(groups, known, strict=True)
    ]
    if missing:
        skipped = sum(map(len, sources)) - sum(map(len, results))
        detail = f"{total:,} files compiled" + (f", {skipped:,} do not compile" if skipped else "")
        listener(StepFinished(function, _STEP, detail, time.perf_counter() - started))
    return results


def _script() -> bytes:
    inside = resources.files("planton_build.ecosystems.python.building.inside")
    return inside.joinpath("compile_bytecode.py").read_bytes()


def _tag(target: Target) -> str:
    return "cpython-{}{}".format(*target.version)


def _origin(group: Sequence[Member]) -> str:
    return group[0].origin if group else ""


def _python_files(group: Sequence[Member], target: Target) -> list[Member]:
    """Return the files of a group that may be compiled, sorted by path."""
    found = [
        member
        for member in group
        if member.path.endswith(".py")
        and member.mode != SYMLINK
        and member.size <= _SOURCE_LIMIT
        and path_fault(bytecode_path(member.path, target)) is None
    ]
    return sorted(found, key=lambda member: member.path)


def _key(files: Sequence[Member], target: Target, pin: ImagePin, script: bytes) -> str:
    """Return what decides a group's bytecode, and how it is kept.

    The image's digest stands for the interpreter, to the last bit of its standard library.
    """
    from planton_build.archive.compress import COMPRESSOR

    return key_of(
        _FORMAT,
        COMPRESSOR,
        pin.digest,
        target.name,
        hashlib.sha256(script).hexdigest(),
        [(member.path, member.sha256) for member in files],
    )


@dataclass(frozen=True, slots=True)
class _Row:
    """One `.pyc` file in the blob of its group."""

    blob: str
    path: str
    method: int
    crc32: int
    size: int
    compressed_size: int
    sha256: str
    offset: int


def _member(row: _Row, store: Store, origin: str) -> Member:
    return Member(
        path=row.path,
        mode=REGULAR,
        method=row.method,
        crc32=row.crc32,
        size=row.size,
        compressed_size=row.compressed_size,
        sha256=row.sha256,
        origin=origin,
        file=store.blob("deflated", row.blob),
        offset=row.offset,
    )


def _recorded(store: Store, key: str) -> list[_Row] | None:
    """Return what an earlier job made of a group, when it is still there and whole."""
    record: Any = store.record("bytecode", key)
    if record is None:
        return None
    blob = record["blob"]
    if blob and not store.intact("deflated", blob):
        return None
    return [_Row(blob, *row) for row in zip(*(record[name] for name in _COLUMNS), strict=True)]


def _kept(store: Store, key: str, files: Iterable[tuple[str, bytes]]) -> list[_Row]:
    """Compress the bytecode of a group into one blob, and record what is where in it."""
    import deflate

    from planton_build.archive.compress import LEVEL
    from planton_build.archive.member import DEFLATED, STORED

    rows: list[tuple[str, int, int, int, int, str, int]] = []
    whole, offset = hashlib.sha256(), 0
    with store.staging() as staged:
        with staged.open("wb") as out:
            for path, content in files:
                method, payload = DEFLATED, bytes(deflate.deflate_compress(content, LEVEL))
                if len(payload) >= len(content):
                    method, payload = STORED, content
                digest = hashlib.sha256(content).hexdigest()
                crc32 = deflate.crc32(content)
                rows.append((path, method, crc32, len(content), len(payload), digest, offset))
                out.write(payload)
                whole.update(payload)
                offset += len(payload)
        blob = whole.hexdigest() if rows else ""
        if blob:
            store.keep("deflated", blob, staged)
    columns = {name: [row[number] for row in rows] for number, name in enumerate(_COLUMNS)}
    store.put_record("bytecode", key, {"blob": blob, **columns})
    return [_Row(blob, *row) for row in rows]


class _Compilation:
    """One job: files numbered in the order given go in, `.pyc` files of the same numbers come out."""

    def __init__(self, files: Sequence[Member], target: Target, script: bytes, folder: Path) -> None:
        self._files = files
        self._target = target
        self._script = script
        self._sources, self._made, self._empty = (folder / name for name in ("sources", "made", "empty"))

    def run(self, sandbox: Sandbox, image: BuildImage, limits: Limits) -> None:
        """Compile. Raises as `bytecode_members` says."""
        from planton_build.sandbox.files import Input

        for folder in (self._sources, self._made, self._empty):
            folder.mkdir()
        self._write_sources()
        listing = "".join(f"{number} {TASK}/{one.path}\n" for number, one in enumerate(self._files))
        script, names, sources = f"{IN}/compile_bytecode.py", f"{IN}/files", f"{IN}/sources"
        # -I -S: no package of the image's may be loaded; -W: the packages' authors were warned.
        command = [PYTHON, "-I", "-S", "-B", "-W", "ignore"]
        outcome = sandbox.run(
            Job(
                what=f"compiling bytecode for {self._target.name}",
                image=image.id,
                machine=self._target.machine,
                command=[*command, script, _tag(self._target), names, sources, OUT],
                inputs=[
                    Input(script, self._script),
                    Input(names, listing.encode()),
                    Input(sources, self._sources),
                    Input(OUT, self._empty, owner=BUILDER),
                ],
                limits=limits,
            ),
            self._made,
        )
        if outcome.exit_code:
            raise self._failure(outcome.log.strip())

    def _write_sources(self) -> None:
        from planton_build.archive.contents import read_member

        for number, one in enumerate(self._files):
            content = read_member(one, limit=_SOURCE_LIMIT)
            self._sources.joinpath(f"{number}.py").write_bytes(content)

    def compiled(self, start: int, end: int) -> Iterable[tuple[str, bytes]]:
        """Yield archive path and content of the bytecode of some files, without those that do not compile."""
        for number in range(start, end):
            made = self._made / f"{number}.pyc"
            if not made.exists():
                continue
            content = made.read_bytes()
            if len(content) <= _HEAD or int.from_bytes(content[4:8], "little") != _UNCHECKED:
                raise CompileFailed(f"compiling {self._files[number].path} gave no unchecked-hash bytecode")
            yield bytecode_path(self._files[number].path, self._target), content

    def _failure(self, log: str) -> ImageMismatch | CompileFailed:
        last = log.splitlines()[-1][:300] if log else "no word of why"
        if last.startswith("this interpreter makes"):
            return ImageMismatch(
                f"the build image cannot compile bytecode for {self._target.runtime}: {last}",
                hint="name the image of this runtime in build-image",
            )
        return CompileFailed(
            f"the bytecode for {self._target.name} could not be compiled: {last}",
            hint="build again; bytecode = false goes without",
        )
