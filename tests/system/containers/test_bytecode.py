"""Bytecode from the target's interpreter: everywhere the same, compiled once, valid whatever the source."""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from planton_build.archive.compress import member_from_bytes, member_from_file
from planton_build.archive.contents import read_member
from planton_build.archive.member import Member
from planton_build.artifact import bytecode_of
from planton_build.cache import Store
from planton_build.ecosystems.python.building.bytecode import bytecode_members
from planton_build.errors import EngineUnavailable, ImageMismatch
from planton_build.events import Event, StepFinished
from planton_build.runtimes.catalog import target_for
from planton_build.sandbox.build_image import BuildImage, ImagePin
from planton_build.sandbox.container import Sandbox
from planton_build.sandbox.engine import Engine, connect
from planton_build.sandbox.files import Input
from planton_build.sandbox.job import PYTHON, Job, Limits

pytestmark = [
    pytest.mark.engine("docker"),
    pytest.mark.xdist_group("containers"),
]

TRICKY = """
KINDS = {None, "alpha", "beta", ..., b"x", 1.5, (2, "gamma")}
def kind(value, path="os", open=open, sys="sys", marshal="marshal", compile_one="compile_one"):
    "What the compiling process knows by name: interned there, and counted."
    if value in {None, ..., "alpha", "beta", "gamma", 3, b"x", ("delta", None)}:
        return "x86_64", "aarch64", "linux", 257, 1 << 70, path
    return f"{value!r:>10}", "posix", "utf-8", "__main__"
class Same:
    path = "os"
    def compile_one(self): return "compile_one", lambda: ("os", "path", "alpha")
"""
PYTHON_2 = "print 'no longer'\n"


@pytest.fixture(scope="module")
def engine(require_engine: Callable[[str, bool, str], None]) -> Iterator[Engine]:
    try:
        found = connect(os.environ)
    except EngineUnavailable as error:
        require_engine("docker", False, str(error))
        raise
    yield found
    found.close()


@pytest.fixture(scope="module")
def image(engine: Engine, require_engine: Callable[[str, bool, str], None]) -> Callable[[str], BuildImage]:
    import docker

    def found(architecture: str) -> BuildImage:
        name = f"planton-standin/build-python3.11:latest-{architecture}"
        try:
            identity = str(engine.api.inspect_image(name)["Id"])
        except docker.errors.NotFound:
            require_engine(name, False, "not loaded; as root: tests/standins/make")
            raise
        return BuildImage(identity, ImagePin(name, identity), "")

    return found


class Room:
    """Compiles with a store of its own, and counts how often a container was asked for."""

    def __init__(self, engine: Engine, image: Callable[[str], BuildImage], folder: Path) -> None:
        self.sandbox = Sandbox(engine, lambda what, line: None)
        self.folder, self.asked = folder, 0
        self.events: list[Event] = []
        self._image = image

    def store(self, name: str = "store") -> Store:
        return Store(self.folder / name)

    def compile(
        self,
        *groups: Sequence[Member],
        architecture: str = "x86_64",
        store: str = "store",
        runtime: str = "python3.11",
    ) -> list[list[Member]]:
        def opened() -> Sandbox:
            self.asked += 1
            return self.sandbox

        built = self._image(architecture)
        return bytecode_members(
            groups,
            target_for(runtime, architecture),  # type: ignore[arg-type]
            self.store(store),
            sandbox=opened,
            image=lambda: built,
            pin=built.base,
            limits=Limits(),
            listener=self.events.append,
            function="orders",
        )

    def sources(self, origin: str = "", **files: str) -> list[Member]:
        return [
            member_from_bytes(
                text.encode(), archive_path=f"{name}.py", executable=False, origin=origin, store=self.store()
            )
            for name, text in files.items()
        ]


@pytest.fixture
def room(engine: Engine, image: Callable[[str], BuildImage], tmp_path: Path) -> Room:
    return Room(engine, image, tmp_path)


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> list[Member]:
    """A real package of some size, as members."""
    store = Store(tmp_path_factory.mktemp("package"))
    distribution = importlib.metadata.distribution("click")
    files = [file for file in distribution.files or [] if file.suffix == ".py"]
    return [
        member_from_file(
            Path(str(distribution.locate_file(file))),
            archive_path=file.as_posix(),
            executable=False,
            origin="click",
            store=store,
        )
        for file in files
    ]


def digests(group: Sequence[Member]) -> list[tuple[str, str, int]]:
    return [(member.path, member.sha256, member.compressed_size) for member in group]


def test_bytecode_is_the_same_twice_and_on_both_architectures(room: Room, package: list[Member]) -> None:
    own = room.sources(tricky=TRICKY, other="import os\n")

    first = room.compile(package, own, store="first")
    again = room.compile(package, own, store="again")
    foreign = room.compile(package, own, store="foreign", architecture="arm64")

    assert [digests(group) for group in first] == [digests(group) for group in again]
    assert [digests(group) for group in first] == [digests(group) for group in foreign]
    assert len(first[0]) == len(package) > 10
    assert [read_member(member) for member in first[1]] == [read_member(member) for member in foreign[1]]


def test_bytecode_does_not_depend_on_what_is_compiled_along_with_it(
    room: Room, package: list[Member]
) -> None:
    own = room.sources(tricky=TRICKY)
    neighbour = room.sources("aaa", aaa='alpha = beta = gamma = delta = "alpha", "beta", "compile_one"\n')

    alone = room.compile(own, store="alone")
    crowd = room.compile(neighbour, package, own, store="crowd")

    assert digests(alone[0]) == digests(crowd[2])


def test_what_was_compiled_once_needs_no_container(room: Room, package: list[Member]) -> None:
    made = room.compile(package, room.sources(app="import os\n"))
    assert room.asked == 1

    assert room.compile(package, room.sources(app="import os\n")) == made
    assert room.asked == 1

    changed = room.compile(package, room.sources(app="import sys\n"))
    assert room.asked == 2
    assert changed[0] == made[0]
    assert changed[1] != made[1]
    finished = [event.detail for event in room.events if isinstance(event, StepFinished)]
    assert finished[1] == "1 files compiled"


def test_members_belong_where_python_looks_for_them_and_to_their_package(room: Room) -> None:
    (group,) = room.compile(room.sources("kind", app="import os\n"))

    (member,) = group
    assert (member.path, member.origin) == ("__pycache__/app.cpython-311.pyc", "kind")
    assert read_member(member)[4:8] == b"\x01\0\0\0"  # PEP 552: by hash, unchecked
    assert b"/var/task/app.py" in read_member(member)
    assert bytecode_of(group).unzipped_size == len(read_member(member))


def test_files_that_do_not_compile_are_left_out_and_counted(room: Room) -> None:
    own = room.sources(app="import os\n", old=PYTHON_2, null="a = '\0'\n", deep="(" * 5000 + ")" * 5000)

    (group,) = room.compile(own)

    assert [member.path for member in group] == ["__pycache__/app.cpython-311.pyc"]
    (finished,) = [event.detail for event in room.events if isinstance(event, StepFinished)]
    assert finished == "4 files compiled, 3 do not compile"
    assert room.compile(own) == [group]
    assert room.asked == 1


def test_a_damaged_result_is_made_anew(room: Room) -> None:
    own = room.sources(app="import os\n")
    (made,) = room.compile(own)
    made[0].file.write_bytes(b"damaged")

    assert room.compile(own) == [made]
    assert room.asked == 2
    assert b"/var/task/app.py" in read_member(made[0])


def test_another_image_compiles_anew(room: Room) -> None:
    own = room.sources(app="import os\n")
    room.compile(own)
    other = replace(room._image("x86_64"), base=ImagePin("other", "sha256:0"))
    room._image = lambda architecture: other

    room.compile(own)

    assert room.asked == 2


def test_an_interpreter_of_another_version_is_refused(room: Room) -> None:
    with pytest.raises(ImageMismatch, match="makes cpython-311 bytecode, not cpython-313"):
        room.compile(room.sources(app="import os\n"), runtime="python3.13")


def test_the_bytecode_is_taken_whatever_date_and_content_the_source_has(room: Room, tmp_path: Path) -> None:
    ((made,),) = room.compile(room.sources(app="print('compiled', __file__, end='')\n"))
    other = b"print('from source', end='')\n"

    outcome = room.sandbox.run(
        Job(
            "importing",
            room._image("x86_64").id,
            "x86_64",
            [PYTHON, "-c", "import app"],
            inputs=[Input(f"/var/task/{made.path}", read_member(made)), Input("/var/task/app.py", other)],
            workdir="/var/task",
            output=None,
        )
    )

    assert outcome.log == "compiled /var/task/app.py"
