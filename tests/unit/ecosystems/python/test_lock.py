"""Lock files: their names, their text, and that nothing but a whole lock is read."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planton_build.ecosystems.python.inputs import DependencyInput
from planton_build.ecosystems.python.lock import (
    LocalProject,
    Lock,
    LockedPackage,
    lock_path,
    read_lock,
    render,
)
from planton_build.errors import DependencyInputInvalid, PlantonError
from planton_build.runtimes.catalog import target_for
from planton_build.runtimes.target import Target

TARGET = target_for("python3.13", "arm64")
DIGEST = "d" * 64
A, B = "a" * 64, "b" * 64


def an_input(path: str, *, extras: tuple[str, ...] = (), groups: tuple[str, ...] = ()) -> DependencyInput:
    return DependencyInput("pyproject", Path(path), DIGEST, False, extras, groups)


@pytest.mark.parametrize(
    ("path", "extras", "groups", "name"),
    [
        ("requirements.txt", (), (), "requirements.python3.13-arm64.lock"),
        ("requirements.in", (), (), "requirements.python3.13-arm64.lock"),
        ("requirements-dev.txt", (), (), "requirements-dev.python3.13-arm64.lock"),
        ("deps.v2", (), (), "deps.v2.python3.13-arm64.lock"),
        ("pyproject.toml", ("a", "b"), ("g",), "pyproject.extra-a.extra-b.group-g.python3.13-arm64.lock"),
    ],
)
def test_a_lock_stands_beside_its_input(
    path: str, extras: tuple[str, ...], groups: tuple[str, ...], name: str
) -> None:
    assert lock_path(an_input(f"/p/{path}", extras=extras, groups=groups), TARGET) == Path("/p") / name


def test_many_extras_give_a_short_name_of_their_own() -> None:
    many = tuple(f"extra{number}" for number in range(30))
    one, other = (
        lock_path(an_input("/p/pyproject.toml", extras=extras), TARGET) for extras in (many, many[1:])
    )
    assert one != other
    assert len(one.name) < 100


def a_lock(folder: Path) -> Lock:
    return Lock(
        TARGET,
        (
            LockedPackage("two", "2.0+local", frozenset({B, A})),
            LockedPackage("one", "1!1.0rc1", frozenset({A})),
        ),
        (LocalProject(folder / "libs" / "shared", ("cli", "api")), LocalProject(folder)),
    )


def test_the_text_is_exactly_this(tmp_path: Path) -> None:
    assert render(a_lock(tmp_path), DIGEST, beside=tmp_path) == (
        "# Made by planton-build: the exact packages for one runtime and architecture. Commit this file.\n"
        "# Refresh after a change of its inputs: planton-build lock\n"
        "# Take newer versions:                  planton-build lock --upgrade\n"
        "# target: python3.13-arm64\n"
        f"# inputs: sha256:{DIGEST}\n"
        "# local: .\n"
        "# local: ./libs/shared[api,cli]\n"
        "\n"
        "one==1!1.0rc1 \\\n"
        f"    --hash=sha256:{A}\n"
        "two==2.0+local \\\n"
        f"    --hash=sha256:{A} \\\n"
        f"    --hash=sha256:{B}\n"
    )


def test_what_is_rendered_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "requirements.python3.13-arm64.lock"
    path.write_bytes(render(a_lock(tmp_path), DIGEST, beside=tmp_path).replace("\n", "\r\n").encode())
    lock, inputs = read_lock(path, TARGET)
    assert inputs == DIGEST
    assert [package.name for package in lock.packages] == ["one", "two"]
    assert set(lock.packages) == set(a_lock(tmp_path).packages)
    assert {project.folder for project in lock.local} == {tmp_path, tmp_path / "libs" / "shared"}
    assert lock.source == path


names = st.from_regex(r"[a-z0-9]+(-[a-z0-9]+)*", fullmatch=True)
digests = st.binary(max_size=4).map(lambda seed: hashlib.sha256(seed).hexdigest())
packages = st.builds(
    LockedPackage,
    names,
    st.from_regex(
        r"([0-9]!)?[0-9]+(\.[0-9]+)*((a|b|rc)[0-9])?(\.post[0-9])?(\.dev[0-9])?(\+[a-z0-9]+)?", fullmatch=True
    ),
    st.frozensets(digests, min_size=1, max_size=3),
)
folders = st.text(
    st.characters(exclude_characters="/\\\0", exclude_categories=["C", "Z"]), min_size=1
).filter(lambda name: name not in {".", ".."})
local = st.builds(
    LocalProject,
    st.lists(folders, max_size=3).map(lambda parts: Path("/p/a", *parts)) | st.just(Path("/p")),
    st.frozensets(names, max_size=2).map(lambda extras: tuple(sorted(extras))),
)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(packages, unique_by=lambda package: package.name),
    st.lists(local, unique_by=lambda one: one.folder),
)
def test_every_lock_survives_being_written_and_read(
    tmp_path_factory: pytest.TempPathFactory, packages: list[LockedPackage], local: list[LocalProject]
) -> None:
    lock = Lock(TARGET, tuple(packages), tuple(local))
    text = render(lock, DIGEST, beside=Path("/p/a"))
    assert text == render(
        Lock(TARGET, tuple(reversed(packages)), tuple(reversed(local))), DIGEST, beside=Path("/p/a")
    )
    assert "# local: /" not in text
    path = tmp_path_factory.getbasetemp() / "round.lock"
    path.write_text(text, encoding="utf-8")
    found, _ = read_lock(path, TARGET)
    assert set(found.packages) == set(packages)

    def relative(projects: Iterable[LocalProject], base: Path) -> set[tuple[str, tuple[str, ...]]]:
        return {(os.path.relpath(project.folder, base), project.extras) for project in projects}

    assert relative(found.local, path.parent) == relative(local, Path("/p/a"))


def test_brackets_in_a_folders_name_are_not_taken_for_extras(tmp_path: Path) -> None:
    projects = (LocalProject(tmp_path / "a[b]"), LocalProject(tmp_path / "c[d]", ("e",)))
    path = tmp_path / "some.lock"
    path.write_text(render(Lock(TARGET, (), projects), DIGEST, beside=tmp_path))
    assert read_lock(path, TARGET)[0].local == projects


def test_a_folder_whose_name_would_break_the_file_is_refused(tmp_path: Path) -> None:
    lock = Lock(TARGET, (), (LocalProject(tmp_path / "a\n# inputs: sha256:0"),))
    with pytest.raises(DependencyInputInvalid, match="rename"):
        try:
            render(lock, DIGEST, beside=tmp_path)
        except DependencyInputInvalid as error:
            raise DependencyInputInvalid(f"{error.message}: {error.hint}") from error


HEAD = f"# target: python3.13-arm64\n# inputs: sha256:{DIGEST}\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no `# target:`"),
        (f"# inputs: sha256:{DIGEST}\n", "no `# target:`"),
        ("# target: python3.13-arm64\n", "no `# target:`"),
        (HEAD.replace("arm64", "x86_64"), "made for python3.13-x86_64, not for python3.13-arm64"),
        (f"{HEAD}one==1\n", r":3: a lock holds"),
        (f"{HEAD}one>=1 --hash=sha256:{A}\n", r":3: a lock holds"),
        (f"{HEAD}One==1 --hash=sha256:{A}\n", r":3: a lock holds"),
        (f"{HEAD}one==1.* --hash=sha256:{A}\n", r":3: a lock holds"),
        (f"{HEAD}one==1 ; os_name=='nt' --hash=sha256:{A}\n", r":3: a lock holds"),
        (f"{HEAD}one==1 --hash=sha256:{A}\n\none==2 --hash=sha256:{B}\n", r":5: a lock holds"),
        (f"{HEAD}<<<<<<< ours\none==1 --hash=sha256:{A}\n=======\n>>>>>>> theirs\n", ":3: .*merge conflict"),
        (f"{HEAD}--index-url https://index.example/simple\n", "option lines"),
        (f"{HEAD}-r other.txt\n", "does not exist"),
        (f"{HEAD}one @ https://index.example/one.whl\n", "URL"),
    ],
)
def test_what_is_not_a_whole_lock_for_the_target_is_refused(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "some.lock"
    path.write_text(text)
    with pytest.raises(DependencyInputInvalid, match=says):
        read_lock(path, TARGET)


@settings(deadline=None, max_examples=60)
@given(st.text(max_size=200) | st.text(max_size=100).map(HEAD.__add__))
def test_no_file_makes_reading_a_lock_crash(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz.lock"
    path.write_text(text, encoding="utf-8", errors="replace")
    try:
        read_lock(path, TARGET)
    except PlantonError:
        pass


def test_pip_installs_from_a_lock_with_hashes(
    tmp_path: Path, shelf: Callable[..., Path], intel: Target
) -> None:
    folder = shelf("one", "1.0")
    wheel = next(folder.iterdir())
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    lock = Lock(intel, (LockedPackage("one", "1.0", frozenset({digest})),), (LocalProject(tmp_path),))
    path = tmp_path / "some.lock"
    path.write_text(render(lock, DIGEST, beside=tmp_path))
    command = [
        sys.executable,
        "-m",
        "pip",
        "--isolated",
        "install",
        "--require-hashes",
        "-r",
        str(path),
        "--no-index",
    ]
    command += ["--find-links", str(folder), "--target", str(tmp_path / "site")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "site" / "one" / "__init__.py").exists()
