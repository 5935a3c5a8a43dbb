"""Which file a function's dependencies come from, and what its digest depends on."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from planton_build.ecosystems.python.inputs import DependencyInput, find_input
from planton_build.errors import ConfigInvalid, DependencyInputInvalid
from planton_build.project.function import FunctionProject

A = "a" * 64
PROJECT = '[project]\nname = "orders"\nversion = "1"\ndependencies = ["one"]\n'
UV_LOCK = "version = 1\n"
Make = Callable[..., FunctionProject]


def found(project: FunctionProject) -> DependencyInput:
    value = find_input(project)
    assert value is not None
    return value


def test_a_function_without_any_file_has_no_dependencies(function: Make) -> None:
    assert find_input(function()) is None


@pytest.mark.parametrize(
    "files",
    [
        {"requirements.txt": "# nothing yet\n"},
        {"pyproject.toml": '[tool.ruff]\nline-length = 100\n[project]\nname = "orders"\nversion = "1"\n'},
        {"setup.py": "raise SystemExit"},
    ],
)
def test_a_file_that_asks_for_nothing_is_no_input(function: Make, files: dict[str, str]) -> None:
    assert find_input(function(files)) is None


def test_the_order_is_as_documented(function: Make) -> None:
    every = {
        "pylock.toml": 'lock-version = "1.0"\n',
        "uv.lock": UV_LOCK,
        "poetry.lock": "",
        "requirements.in": "one",
        "requirements.txt": f"one==1 --hash=sha256:{A}",
        "pyproject.toml": PROJECT,
    }
    seen = []
    project = function(every)
    for name in every:
        value = found(project)
        seen.append((value.path.name, value.kind, value.is_locked))
        (project.options.source / name).unlink()
    assert seen == [
        ("pylock.toml", "pylock", True),
        ("uv.lock", "uv", True),
        ("poetry.lock", "poetry", True),
        ("requirements.in", "requirements", False),
        ("requirements.txt", "requirements", True),
        ("pyproject.toml", "pyproject", False),
    ]
    assert find_input(project) is None


def test_what_is_configured_wins(function: Make, tmp_path: Path) -> None:
    files = {"requirements.txt": "one", "deps/pylock.prod.toml": 'lock-version = "1.0"', "deps/list": "two"}
    source = tmp_path / "source"
    assert found(function(files, dependencies=source / "deps" / "pylock.prod.toml")).kind == "pylock"
    assert found(function(files, dependencies=source / "deps" / "list")).kind == "requirements"
    assert found(function(files, dependencies=source)).path == source / "requirements.txt"


def test_a_configured_file_that_is_absent_is_the_configurations_fault(function: Make, tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match=r"nowhere\.txt of orders does not exist"):
        find_input(function(dependencies=tmp_path / "nowhere.txt"))


@pytest.mark.parametrize("name", ["uv.lock", "poetry.lock"])
def test_a_lock_without_its_project_is_refused(function: Make, name: str) -> None:
    with pytest.raises(DependencyInputInvalid, match=r"no pyproject\.toml beside it"):
        find_input(function({name: ""}))


def test_extras_of_a_requirements_file_are_the_configurations_fault(function: Make) -> None:
    with pytest.raises(ConfigInvalid, match="no extras or groups"):
        find_input(function({"requirements.txt": "one"}, extras=("a",)))


def test_extras_and_groups_are_normalised_and_sorted(function: Make) -> None:
    value = found(function({"pyproject.toml": PROJECT}, extras=("B_c", "a", "b.C"), groups=("Z",)))
    assert (value.extras, value.groups) == (("a", "b-c"), ("z",))


def test_a_project_with_groups_only_is_an_input_when_one_is_asked_for(function: Make) -> None:
    files = {"pyproject.toml": '[dependency-groups]\nprod = ["one"]\n'}
    assert find_input(function(files)) is None
    assert found(function(files, groups=("prod",))).kind == "pyproject"


def test_a_member_of_a_workspace_uses_the_workspaces_lock(function: Make, tmp_path: Path) -> None:
    (tmp_path / "uv.lock").write_text(UV_LOCK)
    root = tmp_path / "pyproject.toml"
    root.write_text('[tool.uv.workspace]\nmembers = ["sour*"]\n')
    value = found(function({"pyproject.toml": PROJECT}))
    assert (value.path, value.project) == (tmp_path / "uv.lock", tmp_path / "source" / "pyproject.toml")
    root.write_text('[tool.uv.workspace]\nmembers = ["sour*"]\nexclude = ["source"]\n')
    assert found(function()).kind == "pyproject"


def test_a_compiled_requirements_file_is_a_lock_only_if_all_is_hashed(function: Make) -> None:
    pinned = f"one==1 --hash=sha256:{A}\n"
    assert found(function({"requirements.txt": pinned + "-e .\n"})).is_locked
    assert not found(function({"requirements.txt": "one==1\n"})).is_locked
    for rest, line in (("two==2", 2), (f"two>=2 --hash=sha256:{A}", 2), ("\n-r more.txt", 1)):
        with pytest.raises(DependencyInputInvalid, match=rf":{line}: the file requires hashes, but this"):
            find_input(function({"requirements.txt": pinned + rest, "more.txt": "three==3"}))
    with pytest.raises(DependencyInputInvalid, match="has no --hash"):
        find_input(function({"requirements.txt": "--require-hashes\none==1"}))


def digest(function: Make, files: dict[str, str], **options: object) -> str:
    return found(function(files, **options)).digest


def test_the_digest_covers_what_is_included_and_ignores_line_ends(function: Make) -> None:
    files = {"requirements.txt": "-r base.txt\n-c bounds.txt\n", "base.txt": "one\n", "bounds.txt": "one<9\n"}
    before = digest(function, files)
    assert digest(function, {name: text.replace("\n", "\r\n") for name, text in files.items()}) == before
    changed = {digest(function, {**files, name: text + "two\n"}) for name, text in files.items()}
    assert len(changed | {before}) == 4


def test_the_digest_does_not_depend_on_where_the_project_is(function: Make, tmp_path: Path) -> None:
    digests = set()
    for place in ("a", "b"):
        (tmp_path / place / "lib").mkdir(parents=True)
        (tmp_path / place / "lib" / "pyproject.toml").write_text(PROJECT)
        digests.add(digest(function, {"requirements.txt": "./lib"}, source=tmp_path / place))
    assert len(digests) == 1


@pytest.mark.parametrize(
    ("addition", "matters"),
    [
        ("[tool.ruff]\nline-length = 99", False),
        ("[project.scripts]\nrun = 'orders:main'", False),
        ("[project.optional-dependencies]\nx = ['two']", True),
        ("[dependency-groups]\ng = ['two']", True),
        ("[build-system]\nrequires = ['hatchling']", True),
        ("[tool.uv.sources]\none = { index = 'i' }", True),
        ("[tool.uv]\nconstraint-dependencies = ['one<9']", True),
        ("[tool.uv]\nexclude-newer = '2026-01-01'", True),
        ("[tool.uv]\ncache-dir = 'x'", False),
        ("[tool.poetry.dependencies]\none = '^1'", True),
    ],
)
def test_the_digest_of_a_project_covers_only_what_resolution_reads(
    function: Make, addition: str, matters: bool
) -> None:
    before = digest(function, {"pyproject.toml": PROJECT})
    assert (digest(function, {"pyproject.toml": f"{PROJECT}{addition}\n"}) != before) is matters


def test_the_digest_follows_path_dependencies_and_dynamic_ones(function: Make) -> None:
    sources = "\n[tool.uv.sources]\none = { path = '%s' }\n"
    files = {
        "pyproject.toml": PROJECT + sources % "libs/one",
        "libs/one/pyproject.toml": PROJECT + sources % "../two",
        "libs/two/pyproject.toml": '[project]\nname = "two"\nversion = "1"\ndynamic = ["dependencies"]\n'
        "[tool.setuptools.dynamic]\ndependencies = { file = 'deps.txt' }\n" + sources % "../one",
        "libs/two/deps.txt": "three",
        "libs/two/other.txt": "three",
    }
    before = digest(function, files)
    for name, matters in (
        ("libs/two/deps.txt", True),
        ("libs/two/setup.cfg", True),
        ("libs/two/other.txt", False),
    ):
        assert (digest(function, {**files, name: "four"}) != before) is matters, name
        function(files)
        (function().options.source / "libs/two/setup.cfg").unlink(missing_ok=True)


def test_chosen_extras_and_groups_are_part_of_the_digest(function: Make) -> None:
    digests = {
        digest(function, {"pyproject.toml": PROJECT}, **chosen)
        for chosen in ({}, {"extras": ("a",)}, {"groups": ("a",)})
    }
    assert len(digests) == 3


def test_indexes_of_a_project_are_collected(function: Make) -> None:
    text = '\n[[tool.uv.index]]\nurl = "https://a.example"\n'
    text += '[[tool.uv.index]]\nurl = "https://b.example"\ndefault = true\n'
    options = found(function({"pyproject.toml": PROJECT + text})).index_options
    assert (options.index_url, options.extra_index_urls) == ("https://b.example", ("https://a.example",))


def test_broken_toml_is_refused_with_its_line(function: Make) -> None:
    with pytest.raises(DependencyInputInvalid, match=r"pyproject\.toml:2 is not TOML"):
        find_input(function({"pyproject.toml": "[project]\nname = \n"}))


def test_finding_an_input_imports_nothing_heavy() -> None:
    code = (
        "import sys; import planton_build.ecosystems.python.inputs, planton_build.ecosystems.python.locking;"
        "print({'packaging', 'pydantic', 'httpx', 'pip', 'uv', 'unearth', 'subprocess'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
