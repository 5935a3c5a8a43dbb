"""The builder's decisions. What really builds in containers is in tests/system/containers/test_sdists.py."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import tarfile
import threading
import zipfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

import pytest
from packaging.utils import parse_wheel_filename

from planton_build.cache import Store
from planton_build.ecosystems.python.building.build_lock import BuildLock, LockedBuild
from planton_build.ecosystems.python.building.canonical_wheel import keep_canonical
from planton_build.ecosystems.python.building.result import accepted, failure, fits, unfinished
from planton_build.ecosystems.python.building.sdist import Sdist
from planton_build.ecosystems.python.building.source import ProjectSource
from planton_build.ecosystems.python.building.wheel_builder import WheelBuilder
from planton_build.ecosystems.python.lock import LockedPackage
from planton_build.ecosystems.python.project_files import digest_of, project_files
from planton_build.ecosystems.python.wheel_layout import read_wheel
from planton_build.ecosystems.python.wheelhouse import WheelFile
from planton_build.errors import CompileFailed, LocalProjectFailed, LockOutdated
from planton_build.runtimes.catalog import target_for
from planton_build.sandbox.build_image import BuildImage, ImagePin
from planton_build.sandbox.container import Sandbox
from planton_build.sandbox.job import Job, Outcome

TARGET = target_for("python3.13", "arm64")
IMAGE = BuildImage("sha256:1", ImagePin("base", f"sha256:{'1' * 64}"), "2" * 64, ("zlib-devel=1",))


def wheel_bytes(name: str, files: Mapping[str, bytes], *, level: int = 6, reverse: bool = False) -> bytes:
    """Return a valid wheel, packed in one of the ways a backend may pack it."""
    info = "{}-{}.dist-info".format(*name.split("-")[:2])
    project, version = name.split("-")[:2]
    every = {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {project}\nVersion: {version}\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: false\n",
        **files,
    }
    rows = io.StringIO()
    for path, content in sorted(every.items(), reverse=reverse):
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")
        csv.writer(rows).writerow((path, f"sha256={digest}", len(content)))
    every[f"{info}/RECORD"] = f"{rows.getvalue()}{info}/RECORD,,\n".encode()
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=level) as archive:
        for path, content in sorted(every.items(), reverse=reverse):
            entry = zipfile.ZipInfo(path, (1999 + level, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = (0o100755 if path.endswith(".so") else 0o100600) << 16
            archive.writestr(entry, content)
    return stream.getvalue()


@dataclass
class Backend:
    """A `Sandbox` that leaves prepared files, and remembers its jobs."""

    files: Mapping[str, bytes]
    asks: list[bytes] = field(default_factory=list)
    jobs: list[Job] = field(default_factory=list)
    waiting: threading.Barrier | None = None

    def run(self, job: Job, into: Path) -> Outcome:
        self.jobs.append(job)
        if self.waiting is not None:
            self.waiting.wait(timeout=30)
        into.mkdir()
        left = {"asked.json": self.asks.pop(0)} if self.asks else self.files
        for name, content in left.items():
            (into / name).write_bytes(content)
        return Outcome(0, "", 0.1, sorted(into.iterdir()))


@dataclass
class Shelf:
    """A `Supply` that has what it was given, and remembers what it was asked for."""

    files: Mapping[str, WheelFile | Sdist] = field(default_factory=dict)
    asked: list[list[str]] = field(default_factory=list)

    def resolve(self, requirements: Sequence[str]) -> Sequence[LockedPackage]:
        self.asked.append(list(requirements))
        found = [self.files[one] for one in requirements if one in self.files]
        return [LockedPackage(one.name, one.version, frozenset({one.sha256})) for one in found]

    def fetch(self, packages: Sequence[LockedPackage]) -> Sequence[WheelFile | Sdist]:
        return [self.files[one.name] for one in packages]


def sdist(folder: Path, name: str = "fast", requires: str = "") -> Sdist:
    stream = io.BytesIO()
    text = f'[build-system]\nrequires = [{requires}]\nbuild-backend = "backend"\n'.encode()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        entry = tarfile.TarInfo(f"{name}-1.0/pyproject.toml")
        entry.size = len(text)
        archive.addfile(entry, io.BytesIO(text))
    path = folder / f"{name}.tar.gz"
    path.write_bytes(stream.getvalue())
    return Sdist(name, "1.0", f"{name}-1.0.tar.gz", hashlib.sha256(path.read_bytes()).hexdigest(), path)


FILENAME = "fast-1.0-cp313-cp313-linux_aarch64.whl"
WHEEL = wheel_bytes(FILENAME, {"fast.so": b"native" * 100})


def builder(store: Path, backend: Backend, shelf: Shelf | None = None) -> WheelBuilder:
    sandbox = cast("Sandbox", backend)
    return WheelBuilder(Store(store), TARGET, lambda: IMAGE, lambda: sandbox, shelf or Shelf())


def recorded(builds: Mapping[str, LockedBuild]) -> BuildLock:
    return BuildLock(TARGET, IMAGE.base, IMAGE.toolchain, IMAGE.system_packages, builds)


def test_a_thing_is_built_once(tmp_path: Path) -> None:
    backend = Backend({FILENAME: WHEEL})
    one = builder(tmp_path / "store", backend)
    source = sdist(tmp_path)
    first, second = one.build(source), one.build(source)
    assert first.made
    assert not second.made
    assert first.wheel == second.wheel
    assert len(backend.jobs) == 1


def test_a_damaged_wheel_is_built_again(tmp_path: Path) -> None:
    backend = Backend({FILENAME: WHEEL})
    one = builder(tmp_path / "store", backend)
    built = one.build(sdist(tmp_path))
    built.wheel.path.write_bytes(b"damaged")
    again = one.build(sdist(tmp_path))
    assert again.made
    assert hashlib.sha256(again.wheel.path.read_bytes()).hexdigest() == built.wheel.sha256


def test_two_functions_that_need_it_at_the_same_time_share_one_build(tmp_path: Path) -> None:
    backend = Backend({FILENAME: WHEEL})
    builders = [builder(tmp_path / "store", backend) for _ in range(2)]
    started = threading.Event()
    run = backend.run

    def slow(job: Job, into: Path) -> Outcome:
        started.set()
        second_is_waiting.wait(timeout=30)
        return run(job, into)

    second_is_waiting = threading.Event()
    backend.run = slow  # type: ignore[method-assign]
    source = sdist(tmp_path)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(builders[0].build, source)
        started.wait(timeout=30)
        second = pool.submit(builders[1].build, source)
        threading.Timer(0.2, second_is_waiting.set).start()
        assert first.result().wheel == second.result().wheel
    assert len(backend.jobs) == 1


def test_whatever_decides_the_bytes_leads_to_another_build(tmp_path: Path) -> None:
    backend = Backend({FILENAME: WHEEL})
    tool = WheelFile("tool", "1", "tool-1-py3-none-any.whl", "3" * 64, tmp_path / "tool")
    one = builder(tmp_path / "store", backend, Shelf({"tool": tool}))
    source = sdist(tmp_path, requires='"tool"')
    images = [
        replace(IMAGE, toolchain="4" * 64),
        replace(IMAGE, system_packages=()),
        replace(IMAGE, base=replace(IMAGE.base, digest=f"sha256:{'5' * 64}")),
        replace(IMAGE, id="another engine", base=replace(IMAGE.base, name="another registry")),
    ]
    one.build(source)
    made = [replace(one, image=lambda image=image: image).build(source).made for image in images]  # type: ignore[misc]
    assert made == [True, True, True, False]
    newer = Shelf({"tool": replace(tool, sha256="6" * 64)})
    assert replace(one, supply=newer).build(source).made
    assert replace(one, target=target_for("python3.13", "arm64")).build(source).made is False


def test_requirements_that_the_backend_names_are_resolved_with_the_others(tmp_path: Path) -> None:
    backend = Backend({FILENAME: WHEEL}, asks=[b'["numpy>=2"]'])
    shelf = Shelf()
    built = builder(tmp_path / "store", backend, shelf).build(sdist(tmp_path, requires='"tool"'))
    assert shelf.asked == [["tool"], ["numpy>=2", "tool"]]
    assert built.builds["fast==1.0"].asked == ("numpy>=2", "tool")
    assert len(backend.jobs) == 2


def test_a_backend_that_never_has_enough_is_refused(tmp_path: Path) -> None:
    backend = Backend({}, asks=[f'["more{n}"]'.encode() for n in range(20)])
    with pytest.raises(CompileFailed, match="never stops asking"):
        builder(tmp_path / "store", backend).build(sdist(tmp_path))


def test_things_that_need_each_other_for_their_build_are_refused(tmp_path: Path) -> None:
    hen = sdist(tmp_path, "hen", '"egg"')
    shelf = Shelf({"hen": hen, "egg": sdist(tmp_path, "egg", '"hen"')})
    with pytest.raises(CompileFailed, match=r"hen==1.0 needs egg==1.0 needs hen==1.0"):
        builder(tmp_path / "store", Backend({}), shelf).build(hen)


def test_a_record_of_another_sdist_does_not_count(tmp_path: Path) -> None:
    backend = Backend({FILENAME: WHEEL})
    source = sdist(tmp_path)
    one = builder(tmp_path / "store", backend)
    other = recorded({"fast==1.0": LockedBuild(("old",), (), "9" * 64)})
    built = replace(one, recorded=other).build(source)
    assert built.builds["fast==1.0"] == LockedBuild((), (), source.sha256)


def project(folder: Path, requires: str = "") -> ProjectSource:
    folder.mkdir(exist_ok=True)
    text = f'[build-system]\nrequires = [{requires}]\nbuild-backend = "backend"\n'
    (folder / "pyproject.toml").write_text(text)
    files = project_files(folder)
    return ProjectSource("./fast", folder, files, digest_of(files))


def test_a_project_that_requires_more_than_is_recorded_is_resolved_anew(tmp_path: Path) -> None:
    class Frozen(Shelf):
        def resolve(self, requirements: Sequence[str]) -> Sequence[LockedPackage]:
            raise LockOutdated(f"not locked: {requirements}")

    one = builder(tmp_path / "store", Backend({FILENAME: WHEEL}), Frozen())
    one = replace(one, recorded=recorded({"./fast": LockedBuild(("tool",), ())}))
    assert one.build(project(tmp_path / "fast", '"tool"')).made
    with pytest.raises(LockOutdated, match="more"):
        one.build(project(tmp_path / "fast", '"tool", "more"'))


def test_a_project_that_changes_meanwhile_is_not_built(tmp_path: Path) -> None:
    source = project(tmp_path / "fast")
    (tmp_path / "fast/pyproject.toml").write_text("[build-system]\nrequires = []\n")
    one = builder(tmp_path / "store", Backend({FILENAME: WHEEL}))
    with pytest.raises(LocalProjectFailed, match="was changed"):
        one.build(source)
    assert list((tmp_path / "store/v1/staging").iterdir()) == []


def test_a_build_gets_what_it_needs_and_nothing_else(tmp_path: Path) -> None:
    backend = Backend({FILENAME: WHEEL})
    builder(tmp_path / "store", backend).build(sdist(tmp_path))
    (job,) = backend.jobs
    assert {one.path for one in job.inputs} == {
        "/build/in/build_wheel.py",
        "/build/in/job.json",
        "/build/in/requirements.txt",
        "/build/in/planton_sorted_listing.py",
        "/build/in/planton_sorted_listing.pth",
        "/build/in/fast-1.0.tar.gz",
    }
    assert not job.network
    assert not job.secrets
    assert not job.environment
    assert job.machine == "aarch64"


@pytest.mark.parametrize(
    ("filename", "message"),
    [
        ("fast-1.0-cp313-cp313-linux_x86_64.whl", "does not load on python3.13-arm64"),
        ("fast-1.0-cp313-cp313-manylinux_2_17_x86_64.whl", "does not load"),
        ("fast-1.0-cp313-cp313-musllinux_1_2_aarch64.whl", "does not load"),
        ("fast-1.0-cp312-cp312-linux_aarch64.whl", "does not load"),
        ("fast-1.1-cp313-cp313-linux_aarch64.whl", "another package or version"),
        ("slow-1.0-cp313-cp313-linux_aarch64.whl", "another package or version"),
        ("fast.whl", "wrong name"),
    ],
)
def test_a_wheel_that_does_not_fit_is_refused(filename: str, message: str, tmp_path: Path) -> None:
    outcome = Outcome(0, "", 0, [tmp_path / filename])
    with pytest.raises(CompileFailed, match=message):
        accepted(outcome, sdist(tmp_path), TARGET)


@pytest.mark.parametrize("names", [[], ["fast-1.0-py3-none-any.whl", "fast-1.0-1-py3-none-any.whl"]])
def test_anything_but_one_wheel_is_refused(names: list[str], tmp_path: Path) -> None:
    with pytest.raises(CompileFailed, match=f"left {len(names)} wheels"):
        accepted(Outcome(0, "", 0, [tmp_path / name for name in names]), sdist(tmp_path), TARGET)


@pytest.mark.parametrize(
    "tags",
    [
        "cp313-cp313-linux_aarch64",
        "cp313-cp313-manylinux_2_99_aarch64",
        "cp39-abi3-manylinux2014_aarch64",
        "py3-none-any",
        "py2.py3-none-any",
    ],
)
def test_tags_of_the_target_fit_whatever_glibc_they_name(tags: str) -> None:
    assert any(fits(tag, TARGET) for tag in parse_wheel_filename(f"fast-1.0-{tags}.whl")[3])


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"[]",
        b"7",
        b'["a b"]',
        b'["a @ file:///etc"]',
        b"[" * 5000,
        b"[" + b'"a",' * 300 + b'"b"]',
    ],
)
def test_what_a_backend_asks_for_is_not_trusted(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "asked.json").write_bytes(content)
    with pytest.raises(CompileFailed, match="the backend of fast asks for"):
        unfinished(Outcome(0, "", 0, [tmp_path / "asked.json"]), "fast")


@pytest.mark.parametrize(
    ("exit_code", "message"),
    [
        (2, "fast cannot be built for python3.13-arm64 in base: its sources cannot be unpacked:\nline"),
        (4, "fast cannot be built for python3.13-arm64 in base:\nline"),
    ],
)
def test_a_failure_names_package_target_and_image(exit_code: int, message: str) -> None:
    assert failure(Outcome(exit_code, "\nline\n", 0), "fast", TARGET, "base").message == message


def test_the_same_files_give_the_same_wheel_however_they_were_packed(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    files = {"fast.so": b"native" * 1000, "a/b.py": b"x = 1\n", 'a/"quoted", name.py': b""}
    digests = set()
    for number, (level, reverse) in enumerate([(1, False), (9, True)]):
        wheel = tmp_path / f"{number}.whl"
        wheel.write_bytes(wheel_bytes(FILENAME, files, level=level, reverse=reverse))
        digests.add(keep_canonical(wheel, FILENAME, store))
    (digest,) = digests
    tree = read_wheel(store.blob("wheels", digest), filename=FILENAME)
    assert [file.path for file in tree.files if ".dist-info" not in file.path] == sorted(files)
    assert {file.path: oct(file.mode) for file in tree.files}["fast.so"] == "0o100755"
