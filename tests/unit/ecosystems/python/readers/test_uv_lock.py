"""A `uv.lock` that the real uv wrote, exported by the real uv."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from planton_build.ecosystems.python.inputs import find_input
from planton_build.ecosystems.python.lock import Lock
from planton_build.ecosystems.python.readers.uv_lock import read_uv_lock
from planton_build.ecosystems.python.settings import IndexSettings
from planton_build.ecosystems.python.uv_command import run_uv
from planton_build.errors import DependencyInputInvalid, LockOutdated, ResolutionFailed
from planton_build.project.function import FunctionProject

Make = Callable[..., FunctionProject]
FIXTURE = Path(__file__).parents[1] / "fixtures" / "uv"

HTTP = "certifi==2026.10.18 h11==0.16.0 httpcore==1.0.9 httpx==0.28.1 idna==3.20 typing-extensions==4.16.0"
NEW = f"{HTTP} anyio==4.16.0 click==8.5.1 h2==4.4.1 hpack==4.2.0 hyperframe==6.1.0"
OLD = f"{HTTP} anyio==4.12.1 click==8.1.8 exceptiongroup==1.3.1 h2==4.3.0 hpack==4.1.0 hyperframe==6.1.0"
ALL = "defusedxml==0.7.1 itsdangerous==2.2.0"


def read(project: FunctionProject) -> Lock:
    dependencies = find_input(project)
    assert dependencies is not None
    # Neither an interpreter nor a network is there to be found.
    return read_uv_lock(dependencies, project.target, {"HOME": os.environ.get("HOME", "/"), "PATH": ""})


@pytest.fixture
def copy(tmp_path: Path, function: Make) -> Make:
    """Copy the fixture, and replace text in its files."""

    def make(*changes: tuple[str, str, str], **options: object) -> FunctionProject:
        source = tmp_path / "source"
        shutil.copytree(FIXTURE, source)
        for name, old, new in changes:
            text = (source / name).read_text()
            assert old in text
            (source / name).write_text(text.replace(old, new))
        return function(**options)

    return make


@pytest.mark.parametrize(
    ("runtime", "architecture", "extras", "groups", "expected"),
    [
        ("python3.13", "arm64", (), (), f"{NEW} blinker==1.9.0 zipp==4.1.2"),
        ("python3.13", "x86_64", (), (), f"{NEW} zipp==4.1.2"),
        ("python3.11", "x86_64", ("all",), (), f"{NEW} {ALL} zipp==3.19.2"),
        (
            "python3.13",
            "x86_64",
            ("xml",),
            ("prod",),
            f"{NEW} defusedxml==0.7.1 more-itertools==11.2.1 sniffio==1.3.1 zipp==4.1.2",
        ),
        ("python3.9", "x86_64", ("all",), (), f"{OLD} defusedxml==0.7.1 zipp==3.19.2"),
    ],
)
def test_the_packages_are_those_of_the_target(
    function: Make,
    runtime: str,
    architecture: str,
    extras: tuple[str, ...],
    groups: tuple[str, ...],
    expected: str,
) -> None:
    project = function(
        runtime=runtime, architecture=architecture, source=FIXTURE, extras=extras, groups=groups
    )
    lock = read(project)
    assert {f"{one.name}=={one.version}" for one in lock.packages} == set(expected.split())
    assert all(one.hashes for one in lock.packages)
    assert [(one.folder, one.extras) for one in lock.local] == [
        (FIXTURE, extras),
        (FIXTURE / "libs" / "shared", ()),
    ]


def test_a_project_without_a_build_system_does_not_go_in_itself(copy: Make) -> None:
    project = copy(("pyproject.toml", "[build-system]", "[tool.other]"))
    assert [one.folder.name for one in read(project).local] == ["shared"]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (("anyio>=4", "anyio>=4.1"), "anyio"),
        (("httpx[http2]", "httpx"), "httpx"),
        (('"blinker >=1.6', '"blinked >=1.6'), "blinked, blinker"),
        (("platform_machine == 'aarch64'", "platform_machine == 'arm64'"), "blinker"),
        (("more-itertools>=10", "more-itertools"), "more-itertools"),
        (("sniffio>=1.3", "sniffio>=1.4"), "sniffio"),
        (('xml = ["defusedxml>=0.7"]', 'xml = ["defusedxml>=0.8"]'), "defusedxml"),
    ],
)
def test_a_lock_of_another_state_of_the_project_is_outdated(
    copy: Make, change: tuple[str, str], named: str
) -> None:
    project = copy(("pyproject.toml", *change), extras=("xml",), groups=("prod",))
    with pytest.raises(LockOutdated, match=rf"uv\.lock does not match its pyproject\.toml: {named} changed"):
        read(project)


@pytest.mark.parametrize(
    "change",
    [
        ("anyio>=4", "AnyIO >= 4"),
        ("colorama>=0.4; sys_platform == 'win32'", "colorama>=0.5; sys_platform == 'win32'"),
        ('dev = ["iniconfig"]', 'dev = ["iniconfig>=2"]'),
    ],
)
def test_changes_that_do_not_concern_the_target_do_not_matter(copy: Make, change: tuple[str, str]) -> None:
    assert read(copy(("pyproject.toml", *change)))


def test_another_projects_lock_is_outdated(copy: Make) -> None:
    with pytest.raises(LockOutdated, match="does not know the project bills"):
        read(copy(("pyproject.toml", 'name = "orders"', 'name = "bills"')))


def test_a_package_from_version_control_is_refused_by_name(copy: Make) -> None:
    git = 'source = { git = "https://index.example/sniffio?rev=1#' + "0" * 40 + '" }\n'
    text = (FIXTURE / "uv.lock").read_text()
    start = text.index("source", text.index('name = "sniffio"\nversion'))
    end = text.index("[[package]]", start)
    project = copy(("uv.lock", text[start:end], f"{git}\n"), groups=("prod",))
    with pytest.raises(DependencyInputInvalid, match=r"^uv\.lock: sniffio comes from a URL"):
        read(project)


@pytest.mark.parametrize("chosen", [{"extras": ("nope",)}, {"groups": ("nope",)}])
def test_an_extra_or_group_that_does_not_exist_is_refused(function: Make, chosen: dict[str, object]) -> None:
    with pytest.raises(DependencyInputInvalid, match="`nope` is not defined"):
        read(function(source=FIXTURE, **chosen))


def test_a_lock_that_uv_cannot_read_is_refused(copy: Make) -> None:
    with pytest.raises(DependencyInputInvalid, match=r"uv\.lock cannot be read by uv"):
        read(copy(("uv.lock", "version = 1\n", "version = 99\n")))


def test_a_project_for_other_pythons_is_refused(function: Make) -> None:
    with pytest.raises(ResolutionFailed, match=r"requires Python >=3\.9,<4\.0, but python3\.8"):
        read(function(runtime="python3.8", source=FIXTURE))


def test_a_member_of_a_workspace_gets_its_own_dependencies(
    tmp_path: Path, function: Make, index_server: Any, wheel_maker: Any
) -> None:
    index_server.serve(*(wheel_maker(name) for name in ("one", "two", "three")))
    project = '[project]\nname = "{}"\nversion = "1"\nrequires-python = ">=3.9"\ndependencies = [{}]\n'
    workspace = '[tool.uv.workspace]\nmembers = ["source", "b"]\n'
    (tmp_path / "pyproject.toml").write_text(project.format("root", '"three"') + workspace)
    (tmp_path / "b").mkdir()
    library = project.format("b", '"two"') + '[build-system]\nrequires = ["hatchling"]\n'
    (tmp_path / "b" / "pyproject.toml").write_text(library)
    own = project.format("orders", '"one", "b"') + "[tool.uv.sources]\nb = { workspace = true }\n"
    made = function({"pyproject.toml": own})
    settings = IndexSettings(index_server.simple, proxy="")
    answer = run_uv(["lock"], folder=tmp_path, environment=os.environ, settings=settings)
    assert answer.returncode == 0, answer.explanation
    lock = read(made)
    assert [one.name for one in lock.packages] == ["one", "two"]
    assert [one.folder for one in lock.local] == [tmp_path / "b"]
