"""What pip-compile is asked for, and what becomes of its answers; the runs themselves are system tests."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from planton_build.ecosystems.python import pip_tools
from planton_build.ecosystems.python.inputs import find_input
from planton_build.ecosystems.python.pip_tools.compile_request import (
    CompileRequest,
    compile_request_for,
    on_host,
)
from planton_build.ecosystems.python.pip_tools.failures import failure, own_words, unreachable
from planton_build.ecosystems.python.pip_tools.index_access import IndexAccess
from planton_build.ecosystems.python.pip_tools.resolver import _attempts, reports_of
from planton_build.errors import (
    CompileFailed,
    DependencyInputInvalid,
    IndexUnreachable,
    LocalProjectFailed,
    PlantonError,
    ResolutionFailed,
    ToolFailed,
)
from planton_build.project.function import FunctionProject
from planton_build.runtimes.catalog import target_for

Make = Callable[..., FunctionProject]
PROJECT = '[project]\nname = "shop"\nversion = "1"\n'
BUILT = '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'


def request(project: FunctionProject, environment: Mapping[str, str] | None = None) -> CompileRequest:
    dependencies = find_input(project, variables=environment or {})
    assert dependencies is not None
    return compile_request_for(dependencies, project.target, environment or {})


def test_requirements_are_read_here(function: Make) -> None:
    files = {
        "requirements.txt": (
            "-r more.txt\n-c bounds.txt\n--pre\n--no-binary psycopg2\nOne[b,a]>=1 ; python_version>'3'\n"
        ),
        "more.txt": "two==2  # pinned\n",
        "bounds.txt": "three<4\n",
    }
    found = request(function(files))
    assert found.lines == ["--pre", "--no-binary psycopg2", "two==2", 'One[a,b]>=1; python_version > "3"']
    assert found.constraints == ["three<4"]
    assert found.local == {}


def test_index_options_do_not_reach_the_lines(function: Make) -> None:
    text = "--extra-index-url https://u:${PASSWORD}@pypi.example.com/simple\none\n"
    assert request(function({"requirements.txt": text}), {"PASSWORD": "secret-word"}).lines == ["one"]


def test_local_folders_go_in_with_extras_and_markers(function: Make) -> None:
    files = {
        "requirements.txt": './libs/a[x] ; sys_platform == "linux"\n./libs/b\n',
        "libs/a/pyproject.toml": PROJECT,
        "libs/b/setup.py": "",
    }
    project = function(files)
    found = request(project)
    libs = project.options.source / "libs"
    assert found.local == {libs / "a": "/build/local/0-0", libs / "b": "/build/local/0-1"}
    assert found.lines == ['/build/local/0-0[x] ; sys_platform == "linux"', "/build/local/0-1"]
    assert found.extras == {libs / "a": ("x",), libs / "b": ()}


def test_static_projects_become_lines(function: Make) -> None:
    text = (
        PROJECT + 'dependencies = ["one>=1"]\n'
        '[project.optional-dependencies]\nApi_X = ["two", "shop[more]"]\nmore = ["three"]\nno = ["four"]\n'
        '[dependency-groups]\njobs = ["five", {include-group = "base"}]\nbase = ["six"]\n'
        '[tool.uv]\nconstraint-dependencies = ["seven<7"]\n'
    )
    project = function({"pyproject.toml": text}, extras=("api-x",), groups=("jobs",))
    found = request(project)
    assert sorted(found.lines) == ["five", "one>=1", "six", "three", "two"]
    assert found.constraints == ["seven<7"]
    assert (found.own, found.left_out, found.local) == (None, project.options.source, {})


def test_a_dynamic_project_goes_in_itself(function: Make) -> None:
    text = PROJECT + 'dynamic = ["dependencies"]\n' + BUILT
    project = function({"pyproject.toml": text})
    found = request(project)
    assert found.lines == ["/build/local/0-0"]
    assert found.local == {project.options.source: "/build/local/0-0"}
    assert found.own is not None
    assert found.own.folder == project.options.source


def test_path_sources_are_followed_wherever_they_are(function: Make) -> None:
    source = '[tool.uv.sources]\nhelper = {{ path = "{0}" }}\n'
    files = {
        "pyproject.toml": PROJECT + 'dependencies = ["helper"]\n' + source.format("libs/helper"),
        "libs/helper/pyproject.toml": (PROJECT + '[tool.uv.sources]\ndeep = { path = "../deep" }\n').replace(
            "shop", "helper"
        ),
        "libs/deep/pyproject.toml": PROJECT.replace("shop", "deep"),
    }
    project = function(files)
    found = request(project)
    libs = project.options.source / "libs"
    assert set(found.local) == {libs / "helper", libs / "deep"}
    assert found.constraints == [
        f"deep @ file://{found.local[libs / 'deep']}",
        f"helper @ file://{found.local[libs / 'helper']}",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('dependencies = ["a"]\n[tool.uv]\noverride-dependencies = ["a==1"]\n', "override-dependencies"),
        ('dependencies = ["a"]\n[tool.uv]\nexclude-dependencies = ["a"]\n', "exclude-dependencies"),
        ('dependencies = ["a"]\n[tool.uv]\nresolution = "lowest"\n', "resolution"),
        ('dependencies = ["a @ https://example.com/a.whl"]\n', "version control"),
        (
            'dependencies = ["a"]\n[tool.uv.sources]\na = { git = "https://example.com/a" }\n',
            r"\[tool.uv.sources\]",
        ),
        ('dependencies = ["a"]\n[tool.uv.sources]\na = { path = "gone" }\n', "not a folder"),
        ('dependencies = ["a b c"]\n', "not a requirement"),
    ],
)
def test_what_pip_cannot_do_is_refused(function: Make, text: str, said: str) -> None:
    with pytest.raises(DependencyInputInvalid, match=said):
        request(function({"pyproject.toml": PROJECT + text}))


def test_groups_that_are_missing_or_circular_are_refused(function: Make) -> None:
    text = PROJECT + '[dependency-groups]\na = [{include-group = "b"}]\nb = [{include-group = "a"}]\n'
    with pytest.raises(DependencyInputInvalid, match="includes itself"):
        request(function({"pyproject.toml": text}, groups=("a",)))
    with pytest.raises(DependencyInputInvalid, match="does not exist"):
        request(function({"pyproject.toml": text}, groups=("c",)))


def test_a_local_project_for_another_python_is_refused(function: Make) -> None:
    files = {"requirements.txt": "./lib\n", "lib/pyproject.toml": PROJECT + 'requires-python = ">=3.14"\n'}
    with pytest.raises(ResolutionFailed, match=r"requires Python >=3\.14"):
        request(function(files))


def test_folders_of_the_container_are_mapped_back(tmp_path: Path) -> None:
    asked = CompileRequest(tmp_path / "requirements.txt")
    folders = [tmp_path / f"lib {number}" for number in range(11)]
    places = [asked.place(folder) for folder in folders]
    text = "".join(f"lib{number} @ file://{place}\n" for number, place in enumerate(places))
    lines = on_host(text, asked).splitlines()
    assert lines[1] == f"lib1 @ file://{tmp_path}/lib%201"
    assert lines[10] == f"lib10 @ file://{tmp_path}/lib%2010"


def test_uvs_platforms_come_first_then_the_exact_glibc_then_sdists() -> None:
    assert _attempts(target_for("python3.11", "arm64")) == [
        ((2, 17), "--only-binary=:all:"),
        ((2, 26), "--only-binary=:all:"),
        ((2, 26), "--prefer-binary"),
    ]
    assert _attempts(target_for("python3.13", "arm64")) == [
        ((2, 34), "--only-binary=:all:"),
        ((2, 34), "--prefer-binary"),
    ]


@pytest.mark.parametrize("text", ["", "[1]", "null", '[{"kind": "ok"}]', "[" * 100_000])
def test_a_report_that_cannot_be_read_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "report.json").write_text(text)
    assert reports_of(tmp_path / "report.json", IndexAccess()) is None


class TestFailures:
    def failed(self, kind: str, text: str, subject: str = "", folder: Path | None = None) -> PlantonError:
        asked = CompileRequest(Path("/repo/requirements.txt"))
        if folder is not None:
            asked.place(folder)
        report = {"kind": kind, "text": text, "subject": subject}
        return failure(report, asked, target_for("python3.11", "arm64"))

    def test_conflicts_are_told_in_the_users_terms(self) -> None:
        found = self.failed(
            "conflict",
            "Cannot install -r /build/in/0/requirements.in (line 1) and b==2 because these package versions "
            "have conflicting dependencies.\nThe conflict is caused by:\n    The user requested a<1\n"
            "    b 2 depends on a>=1\n\nTo fix this you could try to:\n1. loosen the range of versions\n"
            "ResolutionImpossible: for help visit https://pip.example/x",
        )
        assert isinstance(found, ResolutionFailed)
        assert found.message == (
            "requirements.txt cannot be resolved for python3.11-arm64\n"
            "Cannot install requirements.txt and b==2 because these package versions have conflicting "
            "dependencies.\n"
            "The conflict is caused by:\n    The user requested a<1\n    b 2 depends on a>=1"
        )

    def test_unknown_packages_are_named(self) -> None:
        text = (
            "ERROR: Could not find a version that satisfies the requirement nonesuch (from versions: none)\n"
            "No matching distribution found for nonesuch"
        )
        found = self.failed("conflict", text)
        assert isinstance(found, ResolutionFailed)
        assert "nonesuch" in (found.hint or "")

    def test_long_lists_of_versions_are_cut_to_the_newest(self) -> None:
        versions = ", ".join(f"1.{number}" for number in range(300))
        found = self.failed("conflict", f"Could not find x (from versions: {versions})")
        assert "(from versions: 292 older, 1.292, 1.293," in found.message
        assert len(found.message) < 400

    def test_a_build_failure_is_told_by_the_package_itself(self) -> None:
        output = (
            "Traceback (most recent call last):\n"
            '  File "/opt/planton/lib/python3.11/site-packages/pyproject_hooks/_in_process.py", line 389\n'
            "    main()\n    ~~~~^^\n"
            '  File "/tmp/pip-install-x/demo/setup.py", line 3, in <module>\n'
            '    raise RuntimeError("pg_config is missing")\n'
            "RuntimeError: pg_config is missing\n"
        )
        found = self.failed("build", output, "demo")
        assert isinstance(found, CompileFailed)
        assert "RuntimeError: pg_config is missing" in found.message
        assert "setup.py" in found.message
        assert "pyproject_hooks" not in found.message
        assert "main()" not in found.message

    def test_a_local_projects_failure_names_its_folder(self, tmp_path: Path) -> None:
        found = self.failed("build", "oh no", "file:///build/local/0-0", folder=tmp_path / "shared")
        assert isinstance(found, LocalProjectFailed)
        assert "local project shared" in found.message

    def test_missing_credentials_are_hinted_at(self) -> None:
        found = unreachable(
            {"subject": "https://pypi.example.com/simple/a/", "text": "401 Client Error", "kind": ""}
        )
        assert isinstance(found, IndexUnreachable)
        assert "https://pypi.example.com/simple/a/" in found.message
        assert "netrc" in (found.hint or "")

    def test_anything_else_is_the_tools_failure(self) -> None:
        assert isinstance(self.failed("other", "AttributeError: x"), ToolFailed)

    def test_only_the_last_lines_of_a_build_are_shown(self) -> None:
        lines = own_words("\n".join(f"gcc line {number}" for number in range(500)))
        assert lines[-1] == "gcc line 499"
        assert len(lines) == 30


def test_what_the_scripts_write_is_redacted_at_its_source(tmp_path: Path) -> None:
    (tmp_path / "hidden.json").write_text('["secret-word", "c2VjcmV0"]')
    program = (
        "import sys, pathlib; sys.path.insert(0, sys.argv[1]); import pip_session\n"
        "pip_session.HIDDEN = pathlib.Path(sys.argv[2]); sys.stdout = pip_session.Redacted(sys.stdout)\n"
        "print('a secret-word and c2VjcmV0')\n"
        "found = {'kind': 'build', 'subject': 'x', 'text': 'its secret-word'}\n"
        "print(pip_session.Progress(sys.stdout).report(found)['text'])\n"
    )
    inside = Path(pip_tools.__file__).with_name("inside")
    arguments = [sys.executable, "-B", "-c", program, str(inside), str(tmp_path / "hidden.json")]
    answer = subprocess.run(arguments, capture_output=True, text=True, check=True)
    assert answer.stdout == "a **** and ****\nits ****\n"
