"""Resolving with the real uv, mostly from a folder of tiny wheels."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from planton_build.ecosystems.python.inputs import find_input
from planton_build.ecosystems.python.lock import Lock
from planton_build.ecosystems.python.resolver import Upgrade, UvResolver
from planton_build.ecosystems.python.settings import IndexSettings, read_pip_settings
from planton_build.errors import (
    ContainerRequired,
    DependencyInputInvalid,
    IndexUnreachable,
    LocalProjectFailed,
    NoFittingWheel,
    ResolutionFailed,
)
from planton_build.project.function import FunctionProject

Make = Callable[..., FunctionProject]
Shelf = Callable[..., Path]

RESOLVER = UvResolver(dict(os.environ), retries=0)


def resolve(
    project: FunctionProject,
    settings: IndexSettings,
    *,
    pins: Mapping[str, str] | None = None,
    upgrade: Upgrade | None = None,
    resolver: UvResolver = RESOLVER,
) -> Lock:
    dependencies = find_input(project, variables=resolver.environment)
    assert dependencies is not None
    return resolver.resolve(dependencies, project.target, settings, pins=pins or {}, upgrade=upgrade)


def pins(lock: Lock) -> dict[str, str]:
    return {package.name: package.version for package in lock.packages}


def test_dependencies_are_followed_and_hashed(function: Make, shelf: Shelf, offline: IndexSettings) -> None:
    shelf("one", "1.0", "Two_x>=2")
    folder = shelf("two_x", "2.1")
    lock = resolve(function({"requirements.txt": "one\n"}), offline)
    assert pins(lock) == {"one": "1.0", "two-x": "2.1"}
    digests = {hashlib.sha256(wheel.read_bytes()).hexdigest() for wheel in folder.iterdir()}
    assert {digest for package in lock.packages for digest in package.hashes} == digests


@pytest.mark.parametrize(
    ("runtime", "architecture", "names"),
    [
        ("python3.13", "arm64", {"arm", "new", "tux"}),
        ("python3.13", "x86_64", {"new", "tux"}),
        ("python3.10", "arm64", {"arm", "tux"}),
    ],
)
def test_markers_are_evaluated_for_the_target(
    function: Make, shelf: Shelf, offline: IndexSettings, runtime: str, architecture: str, names: set[str]
) -> None:
    for name in ("arm", "new", "tux", "win"):
        shelf(name, "1.0")
    text = (
        'arm; platform_machine == "aarch64"\nnew; python_version >= "3.13"\n'
        'win; sys_platform == "win32"\ntux; platform_system == "Linux"\n'
    )
    lock = resolve(function({"requirements.txt": text}, runtime=runtime, architecture=architecture), offline)
    assert set(pins(lock)) == names


def test_wheels_are_chosen_for_the_target(function: Make, shelf: Shelf, offline: IndexSettings) -> None:
    shelf("one", "1.0", tag="cp313-cp313-manylinux_2_17_aarch64")
    shelf("one", "2.0", tag="cp313-cp313-manylinux_2_17_x86_64")
    shelf("one", "3.0", tag="cp313-cp313-manylinux_2_34_aarch64")
    shelf("one", "4.0", tag="cp313-cp313-manylinux_2_35_aarch64")
    shelf("one", "5.0", tag=f"cp3{sys.version_info.minor}-cp3{sys.version_info.minor}-linux_x86_64")
    files = {"requirements.txt": "one"}
    assert pins(resolve(function(files), offline)) == {"one": "3.0"}
    assert pins(resolve(function(files, architecture="x86_64"), offline)) == {"one": "2.0"}


class TestAmazonLinux2:
    """glibc 2.26, for which uv has no platform."""

    def test_versions_whose_wheels_need_a_newer_glibc_are_excluded(
        self, function: Make, shelf: Shelf, offline: IndexSettings
    ) -> None:
        for version, glibc in (("1.0", "2_24"), ("2.0", "2_26"), ("3.0", "2_27"), ("4.0", "2_28")):
            shelf("one", version, "two", tag=f"cp311-cp311-manylinux_{glibc}_x86_64")
        shelf("two", "1.0", tag="py3-none-any")
        shelf("two", "2.0", tag="py3-none-manylinux_2_28_x86_64")
        project = function({"requirements.txt": "one"}, runtime="python3.11", architecture="x86_64")
        assert pins(resolve(project, offline)) == {"one": "2.0", "two": "1.0"}

    def test_a_package_for_newer_systems_only_is_refused_with_its_name(
        self, function: Make, shelf: Shelf, offline: IndexSettings
    ) -> None:
        shelf("one", "4.0", tag="cp311-cp311-manylinux_2_28_x86_64")
        project = function({"requirements.txt": "one"}, runtime="python3.11", architecture="x86_64")
        with pytest.raises(NoFittingWheel, match=r"one==4\.0 has no wheel for python3\.11-x86_64"):
            resolve(project, offline)

    def test_the_lower_platform_is_enough_for_most(
        self, function: Make, shelf: Shelf, offline: IndexSettings
    ) -> None:
        shelf("one", "1.0", tag="cp311-cp311-manylinux2014_aarch64")
        shelf("one", "2.0", tag="cp311-cp311-manylinux_2_28_aarch64")

        def never(*_: Any) -> Any:
            raise AssertionError

        project = function({"requirements.txt": "one"}, runtime="python3.11")
        resolver = replace(RESOLVER, fitness=never)
        assert pins(resolve(project, offline, resolver=resolver)) == {"one": "1.0"}


def test_locked_versions_are_kept_unless_an_upgrade_is_asked_for(
    function: Make, shelf: Shelf, offline: IndexSettings
) -> None:
    for name in ("one", "two_x"):
        for version in ("1.0", "2.0"):
            shelf(name, version)
    project = function({"requirements.txt": "one\ntwo-x\n"})
    before = {"one": "1.0", "two-x": "1.0", "gone": "9"}
    assert pins(resolve(project, offline, pins=before)) == {"one": "1.0", "two-x": "1.0"}
    some = Upgrade(packages=frozenset({"Two_X"}))
    assert pins(resolve(project, offline, pins=before, upgrade=some)) == {"one": "1.0", "two-x": "2.0"}
    everything = Upgrade(everything=True)
    assert pins(resolve(project, offline, pins=before, upgrade=everything)) == {"one": "2.0", "two-x": "2.0"}
    function({"requirements.txt": "one>1\ntwo-x\n"})
    assert pins(resolve(project, offline, pins=before)) == {"one": "2.0", "two-x": "1.0"}


def test_constraints_and_pre_releases_are_honoured(
    function: Make, shelf: Shelf, offline: IndexSettings
) -> None:
    for version in ("1.0", "2.0", "3.0rc1"):
        shelf("one", version)
    assert pins(
        resolve(function({"requirements.txt": "one\n-c b.txt", "b.txt": "one<2\ntwo==9"}), offline)
    ) == {"one": "1.0"}
    assert pins(resolve(function({"requirements.txt": "one"}), offline)) == {"one": "2.0"}
    assert pins(resolve(function({"requirements.txt": "--pre\none"}), offline)) == {"one": "3.0rc1"}


LIBRARY = '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'


def library(name: str, dependencies: str, rest: str = "") -> str:
    return f'{LIBRARY}[project]\nname = "{name}"\nversion = "1"\ndependencies = [{dependencies}]\n{rest}'


def test_local_projects_bring_their_dependencies(
    function: Make, shelf: Shelf, offline: IndexSettings
) -> None:
    for name in ("one", "two", "three"):
        shelf(name, "1.0")
    project = function(
        {
            "requirements.txt": "-e ./libs/first[more]\n./libs/my lib ; python_version > '3'\n"
            "./libs/off ; os_name == 'nt'",
            "libs/first/pyproject.toml": library(
                "first", '"one"', '[project.optional-dependencies]\nmore = ["two"]\n'
            ),
            "libs/my lib/pyproject.toml": library("second", '"three"'),
            "libs/off/pyproject.toml": library("off", '"missing"'),
        }
    )
    lock = resolve(project, offline)
    assert pins(lock) == {"one": "1.0", "two": "1.0", "three": "1.0"}
    libs = project.options.source / "libs"
    assert [(one.folder, one.extras) for one in lock.local] == [
        (libs / "first", ("more",)),
        (libs / "my lib", ()),
    ]


@pytest.mark.parametrize(
    ("head", "goes_in"), [(LIBRARY, True), ("", False), (LIBRARY + "[tool.uv]\npackage = false\n", False)]
)
def test_a_project_goes_in_itself_when_it_has_a_build_system(
    function: Make, shelf: Shelf, offline: IndexSettings, head: str, goes_in: bool
) -> None:
    for name in ("one", "two", "three", "four"):
        shelf(name, "1.0")
    text = (
        f'{head}[project]\nname = "orders"\nversion = "1"\ndependencies = ["one"]\n'
        '[project.optional-dependencies]\nx = ["two"]\ny = ["four"]\n'
        '[dependency-groups]\nprod = ["three"]\ndev = ["four"]\n'
    )
    project = function({"pyproject.toml": text}, extras=("x",), groups=("prod",))
    lock = resolve(project, offline)
    assert set(pins(lock)) == {"one", "two", "three"}
    expected = [(project.options.source, ("x",))] if goes_in else []
    assert [(one.folder, one.extras) for one in lock.local] == expected


def test_settings_of_the_project_that_decide_versions_count(
    function: Make, shelf: Shelf, offline: IndexSettings
) -> None:
    for name in ("one", "two"):
        for version in ("1.0", "2.0"):
            shelf(name, version)
    shelf("three", "1.0", "two==1.0")
    text = (
        '[project]\nname = "orders"\nversion = "1"\ndependencies = ["one", "three", "lib"]\n[tool.uv]\n'
        'constraint-dependencies = ["one<2"]\noverride-dependencies = ["two==2.0"]\ncache-dir = "./cache"\n'
        '[tool.uv.sources]\nlib = { path = "lib" }\n'
    )
    project = function({"pyproject.toml": text, "lib/pyproject.toml": library("lib", "")})
    lock = resolve(project, offline)
    assert pins(lock) == {"one": "1.0", "two": "2.0", "three": "1.0"}
    assert [one.folder for one in lock.local] == [project.options.source / "lib"]
    assert not (project.options.source / "cache").exists()


def test_a_project_for_another_python_is_refused(
    function: Make, offline: IndexSettings, shelf: Shelf
) -> None:
    shelf("one", "1.0")
    text = '[project]\nname = "orders"\nversion = "1"\nrequires-python = ">=3.14"\ndependencies = ["one"]\n'
    with pytest.raises(ResolutionFailed, match=r"requires Python >=3\.14, but python3\.13 has 3\.13"):
        resolve(function({"pyproject.toml": text}), offline)


def test_dynamic_dependencies_are_built_for_local_projects_only(
    function: Make, shelf: Shelf, offline: IndexSettings
) -> None:
    shelf("one", "1.0")
    backend = (
        "import os\ndef get_requires_for_build_wheel(c=None): return []\n"
        "def prepare_metadata_for_build_wheel(folder, c=None):\n"
        "    os.mkdir(os.path.join(folder, 'lib-1.dist-info'))\n"
        "    text = 'Metadata-Version: 2.1\\nName: lib\\nVersion: 1\\nRequires-Dist: one\\n'\n"
        "    open(os.path.join(folder, 'lib-1.dist-info', 'METADATA'), 'w').write(text)\n"
        "    return 'lib-1.dist-info'\ndef build_wheel(*a, **k): raise SystemExit('not needed')\n"
    )
    text = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    text += '[project]\nname = "lib"\nversion = "1"\ndynamic = ["dependencies"]\n'
    files = {"requirements.txt": "./lib", "lib/pyproject.toml": text, "lib/backend.py": backend}
    lock = resolve(function(files), offline)
    assert (pins(lock), len(lock.local)) == ({"one": "1.0"}, 1)
    broken = {**files, "lib/backend.py": "raise RuntimeError('kaputt')"}
    with pytest.raises(LocalProjectFailed, match=r"(?s)local project lib .*kaputt") as caught:
        resolve(function(broken), offline)
    assert "planton-resolve-" not in str(caught.value)


class TestFailures:
    """Each says what is wrong, with the package's name."""

    def test_a_conflict_has_uvs_explanation(
        self, function: Make, shelf: Shelf, offline: IndexSettings
    ) -> None:
        shelf("one", "1.0", "two<2")
        shelf("two", "2.0")
        with pytest.raises(
            ResolutionFailed, match=r"requirements\.txt cannot be resolved for python3\.13-arm64"
        ) as caught:
            resolve(function({"requirements.txt": "one\n"}), offline)
        assert "depend on two<2" in str(caught.value)
        assert "/tmp" not in str(caught.value)

    def test_an_unknown_package_points_to_spelling_and_indexes(
        self, function: Make, shelf: Shelf, offline: IndexSettings
    ) -> None:
        shelf("one", "1.0")
        with pytest.raises(ResolutionFailed) as caught:
            resolve(function({"requirements.txt": "onne"}), offline)
        assert caught.value.hint == "check the spelling of onne and the configured indexes"

    def test_a_package_for_a_newer_python_points_to_the_runtime(
        self, function: Make, shelf: Shelf, offline: IndexSettings
    ) -> None:
        shelf("one", "1.0", python=">=3.14")
        with pytest.raises(ResolutionFailed) as caught:
            resolve(function({"requirements.txt": "one"}), offline)
        assert "support Python 3.13" in str(caught.value.hint)

    def test_wheels_for_other_systems_do_not_fit(
        self, function: Make, shelf: Shelf, offline: IndexSettings
    ) -> None:
        shelf("one", "1.0", "two")
        shelf("two", "1.0", tag="cp313-cp313-macosx_11_0_arm64")
        with pytest.raises(NoFittingWheel, match=r"two==1\.0 .* offer wheels for cp313-cp313-macosx"):
            resolve(function({"requirements.txt": "one"}), offline)

    def test_sources_alone_need_a_container(
        self, function: Make, shelf: Shelf, offline: IndexSettings
    ) -> None:
        folder = shelf("one", "1.0", "two")
        (folder / "two-1.0.tar.gz").write_bytes(b"never unpacked")
        with pytest.raises(
            ContainerRequired, match=r"no wheel of two loads on .*the index has sources only"
        ) as caught:
            resolve(function({"requirements.txt": "one"}), offline)
        assert "--no-build" not in str(caught.value)

    def test_asking_for_a_build_needs_a_container(self, function: Make, offline: IndexSettings) -> None:
        with pytest.raises(ContainerRequired, match="asks for one to be built"):
            resolve(function({"requirements.txt": "one\n--no-binary one"}), offline)

    def test_a_malformed_requirement_has_its_line(self, function: Make, offline: IndexSettings) -> None:
        with pytest.raises(DependencyInputInvalid, match=r"base\.txt:2: one two is not a requirement"):
            resolve(function({"requirements.txt": "-r base.txt", "base.txt": "# x\none two"}), offline)

    def test_an_extra_that_is_not_defined_is_named(
        self, function: Make, offline: IndexSettings, shelf: Shelf
    ) -> None:
        shelf("one", "1.0")
        text = '[project]\nname = "orders"\nversion = "1"\ndependencies = ["one"]\n'
        with pytest.raises(ResolutionFailed, match="nope"):
            resolve(function({"pyproject.toml": text}, extras=("nope",)), offline)

    def test_a_source_by_url_is_refused(self, function: Make, offline: IndexSettings) -> None:
        text = (
            '[project]\nname = "orders"\nversion = "1"\ndependencies = ["one"]\n'
            '[tool.uv.sources]\none = { url = "http://127.0.0.1:9/one-1.0-py3-none-any.whl" }\n'
        )
        with pytest.raises(DependencyInputInvalid, match="one comes from a URL"):
            resolve(function({"pyproject.toml": text}), offline)


class TestIndexes:
    """An index on this host, so that uv really speaks HTTP."""

    def settings(self, url: str) -> IndexSettings:
        return IndexSettings(url, proxy="")

    def test_all_indexes_count_and_missing_folders_do_not(
        self, function: Make, index_server: Any, another_server: Any, wheel_maker: Any, tmp_path: Path
    ) -> None:
        index_server.serve(wheel_maker("one", "2.0"), wheel_maker("two", "1.0"))
        another_server.serve(wheel_maker("one", "1.0"), wheel_maker("two", "2.0"))
        settings = replace(
            self.settings(index_server.simple),
            extra_index_urls=(f"file://{tmp_path}/gone/simple", another_server.simple),
            find_links=(str(tmp_path / "gone"),),
        )
        lock = resolve(function({"requirements.txt": "one\ntwo"}), settings)
        assert pins(lock) == {"one": "2.0", "two": "2.0"}
        assert all(package.hashes for package in lock.packages)

    def test_credentials_reach_the_index_and_no_message(
        self, function: Make, index_server: Any, wheel_maker: Any, reply: Any
    ) -> None:
        index_server.serve(wheel_maker("one", "1.0"))
        url = index_server.simple.replace("//", "//user:op%21en-sesame@")
        text = "--index-url ${INDEX}\none\n"
        resolver = UvResolver({**os.environ, "INDEX": url}, retries=0)
        settings = self.settings("https://index.example/simple")
        assert pins(resolve(function({"requirements.txt": text}), settings, resolver=resolver)) == {
            "one": "1.0"
        }
        assert any("Authorization" in request.headers for request in index_server.requests)
        index_server.routes["/simple/one/"] = reply(b"", 500)
        with pytest.raises(IndexUnreachable) as caught:
            resolve(function({"requirements.txt": text}), settings, resolver=resolver)
        assert "sesame" not in f"{caught.value}{caught.value.findings}"

    @pytest.mark.parametrize("status", [401, 403])
    def test_refused_credentials_are_not_taken_for_an_unknown_package(
        self, function: Make, index_server: Any, reply: Any, status: int
    ) -> None:
        index_server.routes["/simple/one/"] = reply(b"", status)
        with pytest.raises(IndexUnreachable, match=f"{status}|credentials"):
            resolve(function({"requirements.txt": "one"}), self.settings(index_server.simple))

    def test_an_index_that_is_down_is_named(self, function: Make) -> None:
        with pytest.raises(IndexUnreachable, match=r"127\.0\.0\.1:9"):
            resolve(function({"requirements.txt": "one"}), self.settings("http://127.0.0.1:9/simple"))

    def test_personal_settings_of_uv_change_nothing(
        self, function: Make, shelf: Shelf, offline: IndexSettings, tmp_path: Path
    ) -> None:
        for version in ("1.0", "2.0"):
            shelf("one", version)
        (tmp_path / "home" / "uv").mkdir(parents=True)
        (tmp_path / "home" / "uv" / "uv.toml").write_text('resolution = "lowest"\n')
        files = {"requirements.txt": "one", "uv.toml": 'resolution = "lowest"\n'}
        environment = {**os.environ, "UV_RESOLUTION": "lowest", "XDG_CONFIG_HOME": str(tmp_path / "home")}
        environment |= {"UV_CONSTRAINT": "/nowhere", "UV_NO_INDEX": "0", "UV_PYTHON": "3.99"}
        resolver = UvResolver(environment, retries=0)
        assert pins(resolve(function(files), offline, resolver=resolver)) == {"one": "2.0"}


@pytest.mark.network
@pytest.mark.parametrize("architecture", ["x86_64", "arm64"])
@pytest.mark.parametrize(("runtime", "extra"), [("python3.13", {"click"}), ("python3.11", set())])
def test_real_packages_resolve_for_both_architectures(
    function: Make, runtime: str, extra: set[str], architecture: str
) -> None:
    text = 'requests\npyarrow\nclick; python_version >= "3.13"\niniconfig; platform_machine == "aarch64"\n'
    project = function({"requirements.txt": text}, runtime=runtime, architecture=architecture)
    found = pins(resolve(project, read_pip_settings()))
    common = {"requests", "urllib3", "idna", "certifi", "charset-normalizer", "pyarrow"}
    assert set(found) == common | extra | ({"iniconfig"} if architecture == "arm64" else set())
    if runtime == "python3.11":
        # Since 21 its wheels need glibc 2.28.
        assert int(found["pyarrow"].split(".")[0]) <= 20
