"""The option `commands`: what a function's own commands make of its sources, in the build container.

They run in a copy of the source folder, without network. What they leave in `$PLANTON_OUT` goes into the
artifact's root. Results are kept under all they depend on, so that nothing runs twice.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from planton_build.archive.member import EXECUTABLE, SYMLINK, Member
from planton_build.cache import Store, key_of
from planton_build.errors import CommandsFailed
from planton_build.events import Listener, StepFinished, StepStarted

if TYPE_CHECKING:
    from planton_build.ecosystems.python.building.room import BuildRoom

_FORMAT = 2
"""Raised whenever the same commands may run in another way, or the record changes its form."""
_STEP = "commands"
_SOURCES = "/build/source"
_FILE_LIMIT = 512 << 20
"""Bytes of one source file; Lambda takes no more than 250 MB unzipped."""
_SHOWN_LINES = 25
_MARK = "planton-build: failed: "


def command_members(
    sources: Sequence[Member], room: BuildRoom, store: Store, listener: Listener
) -> list[Member]:
    """Return the files that the function's commands make.

    Args:
        sources: the function's own files, which the commands see.
        room: gives the container, and has the function with its commands.
        store: keeps what was made.
        listener: is told when the commands begin and end.

    Raises:
        CommandsFailed: a command ended with another exit code than 0, or made nothing.
        PlantonError: what `BuildRoom` and `Sandbox.run` raise.
    """
    project = room.project
    commands = project.options.commands
    if not commands:
        return []
    reason = f"{project.name} has `commands`, which run in the build container"
    pin = room.pin(reason)
    key = key_of(
        "commands",
        _FORMAT,
        _script().decode(),
        commands,
        pin.digest,
        room.locked.toolchain if room.locked is not None else "",
        room.system_packages(),
        project.target.name,
        [(member.path, member.mode, member.sha256) for member in sources],
    )
    record = store.record("compiled", key)
    if record is not None and (known := _known(record, store)) is not None:
        return known
    started = time.perf_counter()
    listener(StepStarted(project.name, _STEP, len(commands)))
    with tempfile.TemporaryDirectory(prefix="planton-commands-") as name:
        made = _run(sources, room, Path(name), reason, store)
    store.put_record("compiled", key, [_row(member, store) for member in made])
    listener(StepFinished(project.name, _STEP, f"{len(made)} files", time.perf_counter() - started))
    return made


def _run(sources: Sequence[Member], room: BuildRoom, folder: Path, reason: str, store: Store) -> list[Member]:
    import json

    from planton_build.archive.compress import member_from_file
    from planton_build.sandbox.files import Input
    from planton_build.sandbox.job import BUILDER, IN, OUT, PYTHON, Job

    project = room.project
    written, out = folder / "sources", folder / "out"
    _write(sources, written)
    out.mkdir()
    script, listing = f"{IN}/run_commands.py", f"{IN}/commands.json"
    outcome = room.sandbox(reason).run(
        Job(
            what=f"running the commands of {project.name}",
            image=room.image(reason).id,
            machine=project.target.machine,
            command=[PYTHON, "-I", script, listing, _SOURCES],
            inputs=[
                Input(script, _script()),
                Input(listing, json.dumps(project.options.commands).encode()),
                Input(_SOURCES, written, owner=BUILDER),
            ],
            environment={
                "PLANTON_OUT": OUT,
                "PLANTON_RUNTIME": project.target.runtime,
                "PLANTON_ARCHITECTURE": project.target.architecture,
            },
            limits=room.limits,
        ),
        out,
    )
    if outcome.exit_code != 0:
        raise _failure(outcome.log, room)
    if not outcome.files:
        raise CommandsFailed(
            f"the commands of {project.name} left nothing in $PLANTON_OUT",
            hint="let one of them copy its results there, such as: cp -r dist/. $PLANTON_OUT",
            file=project.manifest.path,
        )
    return [
        member_from_file(
            path,
            archive_path=path.relative_to(out).as_posix(),
            executable=bool(path.stat().st_mode & 0o100),
            origin="",
            store=store,
        )
        for path in outcome.files
    ]


def _script() -> bytes:
    inside = resources.files("planton_build.ecosystems.python.building.inside")
    return inside.joinpath("run_commands.py").read_bytes()


def _write(sources: Sequence[Member], folder: Path) -> None:
    """Write the very contents that the key was made of."""
    from planton_build.archive.contents import read_member

    folder.mkdir()
    for member in sources:
        path = folder / member.path
        path.parent.mkdir(parents=True, exist_ok=True)
        content = read_member(member, limit=_FILE_LIMIT)
        if member.mode == SYMLINK:
            path.symlink_to(content.decode())
        else:
            path.write_bytes(content)
            path.chmod(0o755 if member.mode == EXECUTABLE else 0o644)


def _failure(log: str, room: BuildRoom) -> CommandsFailed:
    lines = log.splitlines()
    mark = next((line for line in reversed(lines) if line.startswith(_MARK)), "")
    said = [line for line in lines if not line.startswith(_MARK)][-_SHOWN_LINES:]
    return CommandsFailed(
        f"{mark.removeprefix(_MARK) or 'the commands'} of {room.project.name} failed:\n" + "\n".join(said),
        hint="commands run with `sh`, in a copy of the source folder, without network; what they need must "
        "be in the build image or in system-packages",
        file=room.project.manifest.path,
    )


def _row(member: Member, store: Store) -> list[Any]:
    place = member.file.relative_to(store.root).as_posix()
    facts = [member.path, member.mode, member.method, member.crc32, member.size, member.compressed_size]
    return [*facts, member.sha256, place, member.offset]


def _known(record: list[list[Any]], store: Store) -> list[Member] | None:
    """Return the members of a record, or None when a file of theirs is gone."""
    found = list(_members(record, store))
    return found if all(member.file.exists() for member in found) else None


def _members(record: list[list[Any]], store: Store) -> Iterator[Member]:
    for path, mode, method, crc32, size, compressed_size, sha256, place, offset in record:
        yield Member(path, mode, method, crc32, size, compressed_size, sha256, "", store.root / place, offset)
