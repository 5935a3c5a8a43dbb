from __future__ import annotations

import itertools
import shutil
import subprocess
import sys
from pathlib import Path

import packaging.tags
import pytest
from packaging.markers import Marker
from packaging.specifiers import SpecifierSet
from packaging.utils import parse_wheel_filename

from planton_build.runtimes.catalog import runtimes, target_for
from planton_build.runtimes.tags import marker_environment, wheel_tags

PYTHONS = [row.name for row in runtimes().values() if row.family == "python" and row.system != "al1"]


def rank(target, wheel: str) -> int | None:
    tags = wheel_tags(target)
    _, _, _, wanted = parse_wheel_filename(wheel)
    return min((tags.index(tag) for tag in wanted if tag in tags), default=None)


@pytest.mark.parametrize(
    ("runtime", "architecture", "wheel", "loads"),
    [
        ("python3.13", "arm64", "a-1-cp313-cp313-manylinux_2_34_aarch64.whl", True),
        ("python3.13", "arm64", "a-1-cp313-cp313-manylinux_2_35_aarch64.whl", False),
        ("python3.13", "arm64", "a-1-cp313-cp313-manylinux_2_28_aarch64.whl", True),
        ("python3.11", "arm64", "a-1-cp311-cp311-manylinux_2_28_aarch64.whl", False),
        ("python3.11", "arm64", "a-1-cp311-cp311-manylinux_2_26_aarch64.whl", True),
        ("python3.11", "arm64", "a-1-cp311-cp311-manylinux2014_aarch64.whl", True),
        ("python3.11", "arm64", "a-1-cp311-cp311-manylinux2010_aarch64.whl", False),
        ("python3.11", "arm64", "a-1-cp311-cp311-manylinux_2_16_aarch64.whl", False),
        ("python3.11", "x86_64", "a-1-cp311-cp311-manylinux2010_x86_64.whl", True),
        ("python3.11", "x86_64", "a-1-cp311-cp311-manylinux1_x86_64.whl", True),
        ("python3.11", "x86_64", "a-1-cp311-cp311-manylinux_2_5_x86_64.whl", True),
        ("python3.11", "x86_64", "a-1-cp311-cp311-manylinux_2_4_x86_64.whl", False),
        ("python3.11", "x86_64", "a-1-cp311-cp311-manylinux_2_17_i686.whl", False),
        ("python3.13", "x86_64", "a-1-cp39-abi3-manylinux_2_17_x86_64.whl", True),
        ("python3.13", "x86_64", "a-1-cp314-abi3-manylinux_2_17_x86_64.whl", False),
        ("python3.13", "x86_64", "a-1-cp312-cp312-manylinux_2_17_x86_64.whl", False),
        ("python3.13", "x86_64", "a-1-cp313-cp313t-manylinux_2_17_x86_64.whl", False),
        ("python3.13", "x86_64", "a-1-cp313-cp313-musllinux_1_2_x86_64.whl", False),
        ("python3.13", "x86_64", "a-1-cp313-cp313-macosx_11_0_arm64.whl", False),
        ("python3.13", "x86_64", "a-1-cp313-cp313-win_amd64.whl", False),
        ("python3.13", "arm64", "a-1-cp313-cp313-manylinux_2_17_x86_64.whl", False),
        ("python3.13", "arm64", "a-1-py3-none-manylinux_2_17_aarch64.whl", True),
        ("python3.13", "arm64", "a-1-py2.py3-none-any.whl", True),
        ("python3.13", "arm64", "a-1-py2-none-any.whl", False),
        ("python3.13", "arm64", "a-1-cp313-none-any.whl", True),
        ("python3.13", "arm64", "a-1-cp313-cp313-linux_aarch64.whl", True),
    ],
)
def test_which_wheels_load(runtime, architecture, wheel, loads):
    assert (rank(target_for(runtime, architecture), wheel) is not None) is loads


def test_best_wheel_first():
    target = target_for("python3.12", "x86_64")
    wheels = [
        "a-1-cp312-cp312-manylinux_2_34_x86_64.whl",
        "a-1-cp312-cp312-manylinux_2_17_x86_64.whl",
        "a-1-cp312-cp312-manylinux2014_x86_64.whl",
        "a-1-cp312-cp312-manylinux_2_12_x86_64.whl",
        "a-1-cp312-cp312-manylinux2010_x86_64.whl",
        "a-1-cp312-cp312-manylinux_2_5_x86_64.whl",
        "a-1-cp312-cp312-manylinux1_x86_64.whl",
        "a-1-cp312-cp312-linux_x86_64.whl",
        "a-1-cp312-abi3-manylinux_2_34_x86_64.whl",
        "a-1-cp39-abi3-manylinux_2_34_x86_64.whl",
        "a-1-py3-none-manylinux_2_34_x86_64.whl",
        "a-1-py3-none-any.whl",
    ]
    ranks = [rank(target, wheel) for wheel in wheels]
    assert None not in ranks
    assert ranks == sorted(ranks)


def test_as_many_tags_as_the_real_image_reports():
    # Read with `pip debug` inside the python3.13 image on arm64: 20 platforms times 29, and 16 for `any`.
    assert len(wheel_tags(target_for("python3.13", "arm64"))) == 596


@pytest.mark.parametrize("architecture", ["x86_64", "arm64"])
@pytest.mark.parametrize("runtime", PYTHONS)
def test_tags_have_no_duplicates_and_nothing_foreign(runtime, architecture):
    target = target_for(runtime, architecture)
    tags = wheel_tags(target)
    assert len(set(tags)) == len(tags)
    assert {tag.platform.removesuffix(target.machine)[-1:] for tag in tags if tag.platform != "any"} == {"_"}
    assert not [tag for tag in tags if "musl" in tag.platform]


def test_tags_do_not_depend_on_the_host(monkeypatch):
    def refuse(*_: object, **__: object) -> object:
        raise AssertionError("the host was asked")

    monkeypatch.setattr(packaging.tags, "platform_tags", refuse)
    monkeypatch.setattr(packaging.tags, "_cpython_abis", refuse)
    monkeypatch.setattr(packaging.tags, "interpreter_name", refuse)
    monkeypatch.setattr(packaging.tags, "_get_config_var", refuse)
    wheel_tags.cache_clear()
    for runtime, architecture in itertools.product(PYTHONS, ("x86_64", "arm64")):
        wheel_tags(target_for(runtime, architecture))


def test_platforms_are_those_of_the_real_image():
    # Read with `pip debug` inside the python3.11 image on x86_64.
    platforms = [
        tag.platform.removesuffix("_x86_64")
        for tag in wheel_tags(target_for("python3.11", "x86_64"))
        if (tag.interpreter, tag.abi) == ("cp311", "cp311")
    ]
    assert platforms == [
        *(f"manylinux_2_{minor}" for minor in range(26, 16, -1)),
        "manylinux2014",
        *(f"manylinux_2_{minor}" for minor in range(16, 11, -1)),
        "manylinux2010",
        *(f"manylinux_2_{minor}" for minor in range(11, 4, -1)),
        "manylinux1",
        "linux",
    ]


@pytest.mark.parametrize(
    ("marker", "runtime", "architecture", "holds"),
    [
        ('sys_platform == "linux" and os_name == "posix"', "python3.13", "arm64", True),
        ('platform_machine == "aarch64"', "python3.13", "arm64", True),
        ('platform_machine == "arm64"', "python3.13", "arm64", False),
        ('platform_machine == "x86_64"', "python3.13", "x86_64", True),
        ('python_version >= "3.9"', "python3.10", "x86_64", True),
        ('python_version < "3.11"', "python3.10", "x86_64", True),
        ('python_full_version >= "3.11.4"', "python3.11", "x86_64", True),
        ('python_full_version < "3.11.3"', "python3.11", "x86_64", False),
        ('implementation_name == "cpython"', "python3.12", "x86_64", True),
        ('platform_python_implementation != "PyPy"', "python3.12", "x86_64", True),
        ('platform_system == "Linux"', "python3.12", "x86_64", True),
        ('platform_release == ""', "python3.12", "x86_64", True),
        ('sys_platform == "win32" or sys_platform == "darwin"', "python3.12", "x86_64", False),
    ],
)
def test_markers(marker, runtime, architecture, holds):
    assert Marker(marker).evaluate(marker_environment(target_for(runtime, architecture))) is holds


def test_requires_python_that_excludes_broken_early_releases_is_met():
    full = marker_environment(target_for("python3.9", "arm64"))["python_full_version"]
    assert SpecifierSet(">=3.8,!=3.9.0,!=3.9.1").contains(full)


def test_marker_environment_is_complete():
    from packaging.markers import default_environment

    assert set(marker_environment(target_for("python3.13", "arm64"))) == set(default_environment())


@pytest.mark.parametrize("runtime", ["python3.10", "python3.13"])
def test_uv_evaluates_markers_the_same_way(runtime, tmp_path: Path):
    uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
    if uv is None:
        pytest.skip("uv is not installed")
    target = target_for(runtime, "arm64")
    environment = marker_environment(target)
    markers = [
        'python_full_version >= "3.10.5"',
        'python_full_version < "3.13.1"',
        'platform_machine == "aarch64"',
        'platform_release == ""',
        'platform_system == "Linux" and os_name == "posix"',
        'implementation_name == "cpython"',
        'sys_platform == "darwin"',
    ]
    requirements = []
    for number, marker in enumerate(markers):
        project = tmp_path / f"p{number}"
        project.mkdir()
        (project / "pyproject.toml").write_text(
            f'[project]\nname = "p{number}"\nversion = "1"\n', encoding="utf-8"
        )
        requirements.append(f"p{number} @ {project.as_uri()} ; {marker}\n")
    (tmp_path / "requirements.in").write_text("".join(requirements), encoding="utf-8")
    done = subprocess.run(
        [
            *(uv, "pip", "compile", "--no-header", "--no-annotate", "--offline", "--no-config", "--no-deps"),
            *("--python", sys.executable, "--python-version", environment["python_full_version"]),
            *("--python-platform", "aarch64-manylinux_2_28", "--cache-dir", str(tmp_path / "cache")),
            str(tmp_path / "requirements.in"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    chosen = {line.split(" ")[0] for line in done.stdout.splitlines()}
    assert chosen == {
        f"p{number}" for number, marker in enumerate(markers) if Marker(marker).evaluate(environment)
    }
