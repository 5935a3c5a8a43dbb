"""Sdists and local projects become wheels in a container of the target: the same each time, or a reason."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from planton_build.cache import Store
from planton_build.ecosystems.python.building.build_lock import BuildLock, read_build_lock, render
from planton_build.ecosystems.python.building.containers import Containers
from planton_build.ecosystems.python.building.sdist import Sdist
from planton_build.ecosystems.python.building.source import ProjectSource
from planton_build.ecosystems.python.building.wheel_builder import BuiltWheel, WheelBuilder
from planton_build.ecosystems.python.index import Index
from planton_build.ecosystems.python.inputs import DependencyInput
from planton_build.ecosystems.python.lock import Lock, LockedPackage
from planton_build.ecosystems.python.project_files import digest_of, project_files
from planton_build.ecosystems.python.resolver import UvResolver
from planton_build.ecosystems.python.selection import narrow
from planton_build.ecosystems.python.settings import read_pip_settings
from planton_build.ecosystems.python.wheel import wheel_members
from planton_build.ecosystems.python.wheelhouse import WheelFile, Wheelhouse
from planton_build.errors import CompileFailed, ContainerOutOfMemory, ContainerTimeout, PlantonError
from planton_build.events import Event, StepOutput, ignore
from planton_build.runtimes.catalog import target_for
from planton_build.runtimes.target import Target
from planton_build.sandbox.build_image import BuildImage
from planton_build.sandbox.container import Sandbox
from planton_build.sandbox.job import Limits

pytestmark = [pytest.mark.xdist_group("containers"), pytest.mark.network]

MACHINES = {"x86_64": b"\x3e\x00", "arm64": b"\xb7\x00"}
"""`e_machine` of an ELF header by architecture."""
PYPROJECT = """\
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "sample"
version = "1.0"
"""
SETUP = """\
from glob import glob
from setuptools import Extension, setup

setup(ext_modules=[Extension("sample", glob("src/*.c"), libraries=[LIBRARIES])])
"""
MODULE = """\
#include <Python.h>
HEADERS
static PyObject *built(PyObject *self, PyObject *none) {
    return PyUnicode_FromString(__DATE__ " " __TIME__ " " __FILE__);
}
static PyMethodDef methods[] = {{"built", built, METH_NOARGS, NULL}, {NULL, NULL, 0, NULL}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "sample", NULL, -1, methods};
PyMODINIT_FUNC PyInit_sample(void) { CODE return PyModule_Create(&module); }
"""


@dataclass(frozen=True)
class IndexSupply:
    """`Supply` from the index of this host."""

    store: Store
    target: Target
    index: Index
    asked: list[Sequence[str]]

    def resolve(self, requirements: Sequence[str]) -> Sequence[LockedPackage]:
        self.asked.append(requirements)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder).resolve() / "requirements.in"
            path.write_text("".join(f"{one}\n" for one in requirements))
            source = DependencyInput("requirements", path, "", is_locked=False)
            lock = UvResolver(dict(os.environ)).resolve(source, self.target, read_pip_settings(), pins={})
        return narrow(lock, self.index, sdists=True).packages

    def fetch(self, packages: Sequence[LockedPackage]) -> Sequence[WheelFile | Sdist]:
        house = Wheelhouse(self.store, lambda: self.index, jobs=4, listener=ignore, function="")
        fetched = house.fetch(Lock(self.target, tuple(packages)))
        return [*fetched.wheels, *fetched.sdists]

    def sdist(self, name: str, version: str) -> Sdist:
        offers = self.index.offers(name)
        hashes = frozenset(
            offer.sha256
            for offer in offers
            if offer.sha256 and offer.kind == "sdist" and offer.version == version
        )
        (found,) = self.fetch([LockedPackage(name, version, hashes)])
        assert isinstance(found, Sdist)
        return found


@dataclass(frozen=True)
class Room:
    """A target's build image; `builder` gives a builder for a new cache."""

    target: Target
    image: BuildImage
    sandbox: Sandbox
    index: Index
    output: list[str]

    def builder(self, root: Path) -> WheelBuilder:
        store = Store(root)
        supply = IndexSupply(store, self.target, self.index, [])
        return WheelBuilder(store, self.target, lambda: self.image, lambda: self.sandbox, supply)

    def recorded(self, built: BuiltWheel) -> BuildLock:
        image = self.image
        return BuildLock(self.target, image.base, image.toolchain, image.system_packages, built.builds)


@pytest.fixture(scope="module")
def rooms(
    tmp_path_factory: pytest.TempPathFactory, require_engine: Callable[[str, bool, str], None]
) -> Iterator[Callable[[str], Room]]:
    index, output = Index(read_pip_settings()), list[str]()
    made: dict[str, Room] = {}

    def listen(event: Event) -> None:
        if isinstance(event, StepOutput):
            output.append(event.line)

    store = Store(tmp_path_factory.mktemp("cache"))
    containers = Containers(store, lambda: index, environment=os.environ, listener=listen, jobs=4)

    def room(architecture: str) -> Room:
        if architecture not in made:
            image = f"planton-standin/build-python3.11:latest-{architecture}"
            found = subprocess.run(["docker", "image", "inspect", image], capture_output=True, check=False)
            require_engine("docker", found.returncode == 0, f"there is no {image}; see tests/standins/make")
            target = target_for("python3.11", architecture)  # type: ignore[arg-type]
            opened = containers.open("testing")
            build_image = opened.images.build_image(target, image, digest=None)
            made[architecture] = Room(target, build_image, opened.sandbox, index, output)
        output.clear()
        return made[architecture]

    yield room
    index.close()
    for one in made.values():
        one.sandbox.engine.close()


@pytest.fixture
def native(rooms: Callable[[str], Room]) -> Room:
    return rooms("x86_64")


def project(folder: Path, files: Mapping[str, str]) -> ProjectSource:
    """Return a project of `files`, with a build by setuptools unless they have their own."""
    for path, text in {"pyproject.toml": PYPROJECT, **files}.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return source_of(folder)


def source_of(folder: Path) -> ProjectSource:
    files = project_files(folder)
    return ProjectSource(f"./{folder.name}", folder, files, digest_of(files))


def extension(libraries: str = "", headers: str = "", code: str = "") -> dict[str, str]:
    module = MODULE.replace("HEADERS", headers).replace("CODE", code)
    return {"setup.py": SETUP.replace("LIBRARIES", libraries), "src/sample.c": module}


def sdist_of(top: str, files: Mapping[str, str]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for path, text in files.items():
            entry = tarfile.TarInfo(f"{top}/{path}")
            entry.size = len(text.encode())
            archive.addfile(entry, io.BytesIO(text.encode()))
    return stream.getvalue()


def contents(built: BuiltWheel) -> dict[str, bytes]:
    with zipfile.ZipFile(built.wheel.path) as archive:
        return {entry.filename: archive.read(entry) for entry in archive.infolist()}


def containers_left(room: Room) -> list[object]:
    """Return the containers of this process; other test runs may have theirs."""
    found = room.sandbox.engine.api.containers(all=True, filters={"label": "dev.planton.build=container"})
    mine = f"{os.getpid()}:"
    return [one for one in found if one["Labels"]["dev.planton.build.process"].startswith(mine)]


@pytest.mark.parametrize("architecture", MACHINES)
def test_two_builds_of_an_sdist_on_cold_caches_are_one_file(
    rooms: Callable[[str], Room], architecture: str, tmp_path: Path
) -> None:
    room = rooms(architecture)
    first, second = room.builder(tmp_path / "first"), room.builder(tmp_path / "second")
    built = first.build(first.supply.sdist("crcmod", "1.7"))  # type: ignore[attr-defined]
    again = second.build(second.supply.sdist("crcmod", "1.7"))  # type: ignore[attr-defined]
    assert built.made
    assert again.made
    assert built.wheel.sha256 == again.wheel.sha256
    assert built.wheel.path != again.wheel.path
    (native_code,) = (data for path, data in contents(built).items() if path.endswith(".so"))
    assert native_code[18:20] == MACHINES[architecture]
    assert b".debug_info" not in native_code
    assert any(member.path == "crcmod/crcmod.py" for member in wheel_members(built.wheel, first.store))


def test_a_recorded_build_is_found_without_engine_index_or_archive(native: Room, tmp_path: Path) -> None:
    builder = native.builder(tmp_path / "cache")
    sdist = builder.supply.sdist("crcmod", "1.7")  # type: ignore[attr-defined]
    built = builder.build(sdist)
    path = tmp_path / "requirements.build.lock"
    path.write_text(render(native.recorded(built)))
    recorded = read_build_lock(path, native.target)
    sdist.path.unlink()

    def never() -> object:
        pytest.fail("a container was asked for")

    later = WheelBuilder(builder.store, native.target, never, never, builder.supply, recorded)  # type: ignore[arg-type]
    builder.supply.asked.clear()  # type: ignore[attr-defined]
    again = later.build(sdist)
    assert again.wheel == built.wheel
    assert not again.made
    assert not builder.supply.asked  # type: ignore[attr-defined]


def test_recorded_requirements_build_the_same_wheel_on_another_machine(native: Room, tmp_path: Path) -> None:
    first = native.builder(tmp_path / "first")
    built = first.build(first.supply.sdist("crcmod", "1.7"))  # type: ignore[attr-defined]
    second = native.builder(tmp_path / "second")
    second = replace(second, recorded=native.recorded(built))
    native.output.clear()
    again = second.build(second.supply.sdist("crcmod", "1.7"))  # type: ignore[attr-defined]
    assert again.wheel.sha256 == built.wheel.sha256
    assert second.supply.asked == []  # type: ignore[attr-defined]
    assert not any("asking the backend" in line for line in native.output)


def test_a_project_with_native_code_does_not_depend_on_place_time_or_order(
    native: Room, tmp_path: Path
) -> None:
    more = {f"src/part{n}.c": f"int part{n}(void) {{ return {n}; }}\n" for n in range(8)}
    wheels = []
    for name, names in (("one", list(more)), ("two/below", list(reversed(more)))):
        source = project(tmp_path / name, {**{path: more[path] for path in names}, **extension()})
        wheels.append(native.builder(tmp_path / f"cache-{source.label}").build(source))
    assert wheels[0].wheel.sha256 == wheels[1].wheel.sha256
    (native_code,) = (data for path, data in contents(wheels[0]).items() if path.endswith(".so"))
    assert b"Jan  1 1980 00:00:00 src/sample.c" in native_code


def test_what_only_the_backend_asks_for_is_installed_and_recorded(native: Room, tmp_path: Path) -> None:
    pyproject = PYPROJECT.replace('"setuptools.build_meta"', '"backend"\nbackend-path = ["."]')
    pyproject += '[tool.setuptools]\npy-modules = ["sample"]\n'
    backend = """\
from setuptools.build_meta import *
from setuptools.build_meta import build_wheel as build

def get_requires_for_build_wheel(config_settings=None):
    return ["flit-core>=3", "tomli; python_version < '3'"]

def build_wheel(*arguments):
    import flit_core
    return build(*arguments)
"""
    files = {"pyproject.toml": pyproject, "backend.py": backend, "sample.py": "", "setup.cfg": ""}
    builder = native.builder(tmp_path / "cache")
    built = builder.build(project(tmp_path / "sample", files))
    recorded = built.builds["./sample"]
    assert recorded.asked == ("flit-core>=3", "setuptools>=77")
    assert {"flit-core", "setuptools"} <= {package.name for package in recorded.requires}
    assert len(builder.supply.asked) == 2  # type: ignore[attr-defined]
    builder.store.blob("wheels", built.wheel.sha256).unlink()
    again = builder.build(project(tmp_path / "sample", files))
    assert again.wheel.sha256 == built.wheel.sha256
    assert len(builder.supply.asked) == 3, "the second time all is asked for at once"  # type: ignore[attr-defined]


def test_a_build_requirement_without_a_wheel_is_built_first(native: Room, tmp_path: Path) -> None:
    store = native.builder(tmp_path / "cache").store
    files = {"pyproject.toml": PYPROJECT.replace("sample", "maker"), "maker.py": "A = 7"}
    content = sdist_of("maker-1.0", files)
    sha256 = hashlib.sha256(content).hexdigest()
    maker = Sdist("maker", "1.0", "maker-1.0.tar.gz", sha256, store.keep_bytes("sdists", sha256, content))

    @dataclass(frozen=True)
    class WithMaker(IndexSupply):
        def resolve(self, requirements: Sequence[str]) -> Sequence[LockedPackage]:
            found = IndexSupply.resolve(self, [one for one in requirements if one != "maker"])
            pins = [LockedPackage("maker", "1.0", frozenset({sha256}))]
            return [*found, *(pins if "maker" in requirements else [])]

        def fetch(self, packages: Sequence[LockedPackage]) -> Sequence[WheelFile | Sdist]:
            found = IndexSupply.fetch(self, [one for one in packages if one.name != "maker"])
            return [*found, *([maker] if len(found) < len(packages) else [])]

    builder = native.builder(tmp_path / "cache")
    builder = replace(builder, supply=WithMaker(store, native.target, native.index, []))
    setup = "import maker\nfrom setuptools import setup\nsetup(version=f'{maker.A}.0')"
    pyproject = PYPROJECT.replace('["setuptools>=77"]', '["setuptools>=77", "maker"]')
    pyproject = pyproject.replace('version = "1.0"', 'dynamic = ["version"]')
    built = builder.build(project(tmp_path / "sample", {"setup.py": setup, "pyproject.toml": pyproject}))
    assert built.wheel.version == "7.0"
    assert sorted(built.builds) == ["./sample", "maker==1.0"]
    assert built.builds["maker==1.0"].sdist == sha256


def test_libraries_that_the_runtime_lacks_are_put_into_the_wheel(native: Room, tmp_path: Path) -> None:
    files = extension(
        libraries='"expat", "z"',
        headers="#include <expat.h>\n#include <zlib.h>",
        code="if (!XML_ParserCreate(0) || !zlibVersion()) return NULL;",
    )
    wheels = [
        native.builder(tmp_path / f"cache{n}").build(project(tmp_path / "sample", files)) for n in range(2)
    ]
    assert wheels[0].wheel.sha256 == wheels[1].wheel.sha256
    brought = [path for path in contents(wheels[0]) if path.startswith("sample.libs/")]
    assert [path.partition("-")[0] for path in brought] == ["sample.libs/libexpat"]


def test_a_compiler_error_is_shown_in_the_compilers_words(native: Room, tmp_path: Path) -> None:
    source = source_of(Path(__file__).parents[2] / "projects/compiler-error")
    with pytest.raises(CompileFailed) as caught:
        native.builder(tmp_path).build(source)
    first, *shown = caught.value.message.splitlines()
    assert first == f"compiler-error cannot be built for python3.11-x86_64 in {native.image.base.name}:"
    assert "src/compiler_error.c: In function ‘twice’:" in shown
    assert any(
        "error: ‘nmber’ undeclared" in line and line.startswith("src/compiler_error.c:4:") for line in shown
    )
    assert not any("Traceback" in line or "setuptools" in line or "pip" in line for line in shown)
    assert len(shown) <= 25
    assert containers_left(native) == []


FAILURES: dict[str, tuple[dict[str, str], str, str]] = {
    "header": (
        extension(headers="#include <libpq-fe.h>"),
        "fatal error: libpq-fe.h: No such",
        "header libpq-fe.h: system-packages",
    ),
    "library": (
        extension(libraries='"nowhere"'),
        "cannot find -lnowhere",
        "libnowhere for compiling: system-packages",
    ),
    "module": (
        {"setup.py": "import nothing_like_it"},
        "No module named 'nothing_like_it'",
        "[build-system] requires",
    ),
    "cargo": (
        {"setup.py": "import subprocess\nsubprocess.run(['cargo', 'build'], check=True)"},
        "No such file or directory: 'cargo'",
        'system-packages = ["cargo"]',
    ),
    "exit": (
        {"setup.py": "raise SystemExit('needs a bigger boat')"},
        "needs a bigger boat",
        "take a version",
    ),
    "backend": (
        {"pyproject.toml": PYPROJECT.replace(".build_meta", ".nowhere")},
        "No module named 'setuptools.nowhere'",
        "",
    ),
}


@pytest.mark.parametrize(("files", "shown", "hint"), FAILURES.values(), ids=FAILURES)
def test_failures_are_explained(
    native: Room, tmp_path: Path, files: dict[str, str], shown: str, hint: str
) -> None:
    with pytest.raises(CompileFailed) as caught:
        native.builder(tmp_path / "cache").build(project(tmp_path / "sample", files))
    assert shown in caught.value.message, native.output
    assert hint in str(caught.value.hint)
    assert len(caught.value.message.splitlines()) <= 26


@pytest.mark.parametrize(
    ("code", "limits", "expected"),
    [
        ("held = [b'x' * 1_000_000 for _ in range(400)]", Limits(memory=256 << 20), ContainerOutOfMemory),
        ("import time; time.sleep(600)", Limits(seconds=15), ContainerTimeout),
    ],
    ids=["memory", "time"],
)
def test_a_build_that_goes_too_far_is_ended(
    native: Room, tmp_path: Path, code: str, limits: Limits, expected: type[PlantonError]
) -> None:
    builder = replace(native.builder(tmp_path / "cache"), limits=limits)
    with pytest.raises(expected, match="building sample"):
        builder.build(project(tmp_path / "sample", {"setup.py": code}))
    assert containers_left(native) == []
    assert list((builder.store.root / "staging").iterdir()) == []


def test_a_build_has_no_network_no_root_and_read_only_inputs(native: Room, tmp_path: Path) -> None:
    code = """\
import os, socket
assert os.getuid() == 1000, os.getuid()
try:
    open("/build/in/job.json", "a")
except PermissionError:
    pass
else:
    raise SystemExit("inputs can be written")
try:
    socket.create_connection(("1.1.1.1", 53), 2)
except OSError as error:
    raise SystemExit(f"{error.strerror}, {sorted(n for n in os.environ if 'AWS_' in n and 'KEY' in n)}")
"""
    with pytest.raises(CompileFailed, match=r"Network is unreachable, \[\]"):
        native.builder(tmp_path / "cache").build(project(tmp_path / "sample", {"setup.py": code}))
