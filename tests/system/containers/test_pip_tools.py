"""pip-compile in the build container gives the locks that uv gives on the host, on both architectures."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from planton_build.cache import Store
from planton_build.ecosystems.python.building.containers import Containers
from planton_build.ecosystems.python.index import Index
from planton_build.ecosystems.python.inputs import DependencyInput, find_input
from planton_build.ecosystems.python.lock import Lock, render
from planton_build.ecosystems.python.pip_tools.resolver import PipToolsResolver
from planton_build.ecosystems.python.resolver import Upgrade, UvResolver
from planton_build.ecosystems.python.selection import narrow
from planton_build.ecosystems.python.settings import IndexSettings, read_pip_settings
from planton_build.errors import LocalProjectFailed, PlantonError, ResolutionFailed
from planton_build.manifest.document import Manifest
from planton_build.manifest.model import AwsLambda, AwsLambdaSpec
from planton_build.project.function import BuildOptions, FunctionProject
from planton_build.runtimes.catalog import target_for
from planton_build.runtimes.target import Architecture

pytestmark = pytest.mark.engine("docker")

SETS = {
    "aws": "boto3\nrequests\n",
    "frames": "pandas\n",
    "api": "fastapi\n",
    "crypto": "cryptography\n",
    "async-http": "aiohttp\n",
    "models": "pydantic\n",
    "asyncio-sql": "sqlalchemy[asyncio]\n",
    "server": "uvicorn[standard]\n",
    "old-python": 'importlib-metadata; python_version < "3.12"\nzipp; python_version < "3.9"\n',
    "windows": 'colorama; sys_platform == "win32"\nclick\n',
    "backport": 'tomli; python_version < "3.11"\nexceptiongroup; python_version < "3.12"\n',
    "patch-release": 'async-timeout; python_full_version < "3.11.3"\nidna; python_full_version >= "3.11.3"\n',
    "http2": "httpx[http2]\n",
    "formats": "jsonschema[format]\n",
    "telemetry": "opentelemetry-sdk\nopentelemetry-exporter-otlp-proto-http\n",
    "machine": 'orjson; platform_machine == "aarch64"\nmsgpack; platform_machine == "x86_64"\npyyaml\n',
    "image": "pillow>=10\nnumpy<2.3\n",
    "tools": "aws-lambda-powertools[parser]\nsix\n",
}
"""Requirement sets as people have them: extras, markers for the platform, the version and the machine."""


@dataclass(frozen=True)
class Room:
    """The stand-in's build image and what resolves there."""

    architecture: Architecture
    resolver: PipToolsResolver
    lines: list[str]


@pytest.fixture(scope="module", params=["x86_64", "arm64"])
def room(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    require_engine: Callable[[str, bool, str], None],
) -> Iterator[Room]:
    image = f"planton-standin/build-python3.11:latest-{request.param}"
    found = subprocess.run(["docker", "image", "inspect", image], capture_output=True, check=False)
    require_engine("docker", found.returncode == 0, f"there is no {image}; see tests/standins/make")
    lines: list[str] = []
    index = Index(read_pip_settings())
    containers = Containers(
        Store(tmp_path_factory.mktemp("cache")),
        lambda: index,
        environment=os.environ,
        listener=lambda event: lines.append(getattr(event, "line", "")),
        jobs=4,
    )
    opened = containers.open("resolving")
    target = target_for("python3.11", request.param)
    made = opened.images.build_image(target, image, digest=None)
    environment = {"HOME": str(tmp_path_factory.mktemp("home"))}
    yield Room(
        request.param, PipToolsResolver(lambda: opened.sandbox, lambda: made, environment=environment), lines
    )
    index.close()
    opened.sandbox.engine.close()


@pytest.fixture(scope="module")
def settings() -> IndexSettings:
    """This host's index, without its local folders: what the network's index says is the same for both."""
    return replace(read_pip_settings(), extra_index_urls=(), find_links=())


def write(folder: Path, files: Mapping[str, str]) -> DependencyInput:
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    manifest = Manifest(
        folder / "lambda.yaml", 0, AwsLambda(spec=AwsLambdaSpec(function_name="orders")), {}, "0" * 64
    )
    groups = ("jobs",) if "[dependency-groups]" in files.get("pyproject.toml", "") else ()
    extras = ("api",) if "[project.optional-dependencies]" in files.get("pyproject.toml", "") else ()
    options = BuildOptions(source=folder, extras=extras, groups=groups)
    found = find_input(FunctionProject(manifest, target_for("python3.11", "arm64"), options), variables={})
    assert found is not None
    return found


def pins(lock: Lock) -> dict[str, str]:
    return {package.name: package.version for package in lock.packages}


@pytest.mark.network
def test_both_resolvers_write_the_same_locks(room: Room, settings: IndexSettings, tmp_path: Path) -> None:
    target = target_for("python3.11", room.architecture)
    inputs = [write(tmp_path / name, {"requirements.txt": text}) for name, text in SETS.items()]
    inside = room.resolver.resolve_several([(one, {}) for one in inputs], target, settings)
    host = UvResolver(dict(os.environ))
    index = Index(settings)
    try:
        for name, one, found in zip(SETS, inputs, inside, strict=True):
            assert isinstance(found, Lock), f"{name}: {found}"
            expected = host.resolve(one, target, settings, pins={})
            texts = [
                render(narrow(lock, index), one.digest, beside=one.path.parent) for lock in (found, expected)
            ]
            assert texts[0] == texts[1], name
    finally:
        index.close()


quickly = pytest.mark.parametrize("room", ["x86_64"], indirect=True)
"""Nothing in these tests depends on the architecture."""


@quickly
@pytest.mark.network
def test_an_sdist_gives_its_metadata_to_the_targets_interpreter(
    room: Room, settings: IndexSettings, tmp_path: Path
) -> None:
    target = target_for("python3.11", room.architecture)
    asked = write(tmp_path, {"requirements.txt": "crcmod==1.7\nsix\n"})
    lock = room.resolver.resolve(asked, target, settings, pins={})
    assert pins(lock)["crcmod"] == "1.7"
    narrowed = Index(settings)
    try:
        assert narrow(lock, narrowed, sdists=True).sdists == {"crcmod"}
    finally:
        narrowed.close()


@quickly
@pytest.mark.network
def test_pins_are_kept_unless_an_upgrade_is_asked_for(
    room: Room, settings: IndexSettings, tmp_path: Path
) -> None:
    target = target_for("python3.11", room.architecture)
    asked = write(tmp_path, {"requirements.txt": "six\nidna>=3\n"})
    before = {"six": "1.15.0", "idna": "2.10", "gone": "9"}
    kept = room.resolver.resolve(asked, target, settings, pins=before)
    assert pins(kept)["six"] == "1.15.0"
    assert pins(kept)["idna"] > "3"
    some = Upgrade(packages=frozenset({"Six"}))
    assert pins(room.resolver.resolve(asked, target, settings, pins=before, upgrade=some))["six"] != "1.15.0"


@quickly
@pytest.mark.network
def test_local_projects_groups_and_extras_come_out_as_on_the_host(
    room: Room, settings: IndexSettings, tmp_path: Path
) -> None:
    target = target_for("python3.11", room.architecture)
    build = '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
    files = {
        "pyproject.toml": build
        + '[project]\nname = "shop"\nversion = "1"\ndependencies = ["shared-lib[text]"]\n'
        '[project.optional-dependencies]\napi = ["idna"]\n[dependency-groups]\njobs = ["attrs"]\n'
        '[tool.uv.sources]\nshared-lib = { path = "libs/shared" }\n',
        "libs/shared/pyproject.toml": build + '[project]\nname = "shared-lib"\nversion = "1"\n'
        'dynamic = ["dependencies"]\noptional-dependencies = { text = ["markupsafe"] }\n'
        "[tool.setuptools]\npy-modules = []\n"
        '[tool.setuptools.dynamic]\ndependencies = { file = ["needs.txt"] }\n',
        "libs/shared/needs.txt": "six\n",
    }
    asked = write(tmp_path, files)
    inside = room.resolver.resolve(asked, target, settings, pins={})
    host = UvResolver(dict(os.environ)).resolve(asked, target, settings, pins={})
    assert pins(inside) == pins(host)
    assert set(pins(inside)) == {"attrs", "idna", "markupsafe", "six"}
    assert inside.local == host.local
    assert {one.folder for one in inside.local} == {tmp_path, tmp_path / "libs/shared"}


@quickly
@pytest.mark.network
def test_failures_are_the_packages_own_and_each_its_own(
    room: Room, settings: IndexSettings, tmp_path: Path
) -> None:
    target = target_for("python3.11", room.architecture)
    broken = {
        "requirements.txt": "./lib\n",
        "lib/setup.py": "raise RuntimeError('libfoo.h is missing')\n",
    }
    sets: dict[str, Mapping[str, str]] = {
        "good": {"requirements.txt": "six\n"},
        "conflict": {"requirements.txt": "requests==2.31.0\nidna<2\n"},
        "absent": {"requirements.txt": "six==99.99\n"},
        "local": broken,
    }
    inputs = [(write(tmp_path / name, files), {}) for name, files in sets.items()]
    found = dict(zip(sets, room.resolver.resolve_several(inputs, target, settings), strict=True))
    assert isinstance(found["good"], Lock)
    conflict, absent, local = found["conflict"], found["absent"], found["local"]
    assert isinstance(conflict, ResolutionFailed)
    assert "requests 2.31.0 depends on idna" in conflict.message
    assert isinstance(absent, ResolutionFailed)
    assert "six==99.99" in absent.message
    assert len(absent.message) < 600
    assert isinstance(local, LocalProjectFailed)
    assert "libfoo.h is missing" in local.message
    assert "/opt/planton" not in local.message
    for error in (conflict, absent, local):
        assert isinstance(error, PlantonError)
        assert "/build/" not in error.message


@quickly
@pytest.mark.network
def test_the_folders_of_this_machine_count_inside(room: Room, tmp_path: Path) -> None:
    """With this machine's own settings, local folders and indexes included."""
    target = target_for("python3.11", room.architecture)
    asked = write(tmp_path, {"requirements.txt": "click\nrequests\n"})
    mine = read_pip_settings()
    inside = room.resolver.resolve(asked, target, mine, pins={})
    assert pins(inside) == pins(UvResolver(dict(os.environ)).resolve(asked, target, mine, pins={}))
