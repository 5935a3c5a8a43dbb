from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from planton_build.archive.reader import read_zip
from planton_build.errors import ArtifactNotRunnable
from planton_build.events import Event, Note
from planton_build.local import runnable
from planton_build.local.interpreters import Interpreter
from planton_build.local.runnable import Host, check_runnable, this_host

OWN = f"python3.{sys.version_info[1]}"
LINUX = Host("Linux", "x86_64")


def check(artifact: Path, runtime: str = OWN, **options: object) -> Interpreter:
    return check_runnable(artifact, read_zip(artifact), runtime, **{"host": LINUX, **options})  # type: ignore[arg-type]


@pytest.fixture
def only_3_12(monkeypatch: pytest.MonkeyPatch) -> None:
    found = Interpreter(Path("/python3.12"), (3, 12), "x86_64")
    monkeypatch.setattr(runnable, "find_interpreter", lambda version: found if version == (3, 12) else None)


def test_pure_python_runs_with_the_interpreter_of_its_runtime(make_zip) -> None:
    assert check(make_zip({"app.py": "x = 1"})).version == sys.version_info[:2]


def test_native_code_of_this_host_runs(make_zip, elf: Callable[[str], bytes]) -> None:
    artifact = make_zip({"fast.abi3.so": elf("x86_64"), "bin/tool*": elf("x86_64")})
    assert check(artifact).version == sys.version_info[:2]


def test_native_code_of_another_machine_is_refused_with_file_and_package(make_zip, elf) -> None:
    extension = "numpy/_core.cpython-313-aarch64-linux-gnu.so"
    artifact = make_zip(
        {
            "app.py": "",
            extension: elf("aarch64"),
            "six-1.17.dist-info/RECORD": "six.py,,\n",
            "numpy-2.2.dist-info/RECORD": f"numpy/__init__.py,,\n{extension},sha256=x,9\n",
        }
    )
    with pytest.raises(ArtifactNotRunnable) as caught:
        check(artifact)
    assert caught.value.message == (
        f"{extension} (package numpy) is aarch64 Linux code, and this host is x86_64 Linux"
    )
    assert caught.value.hint == (
        "It runs in AWS, on aarch64 Linux, and in a container: docker run --platform linux/arm64. "
        "Or build it for this host: spec.architecture: X86_64."
    )


@pytest.mark.parametrize("system", ["Darwin", "Windows"])
def test_linux_code_of_the_same_machine_is_refused_on_other_systems(make_zip, elf, system: str) -> None:
    artifact = make_zip({"lib/libfoo.so.1.2": elf("aarch64")})
    shown = {"Darwin": "macOS"}.get(system, system)
    with pytest.raises(ArtifactNotRunnable, match=rf"aarch64 Linux code, and this host is aarch64 {shown}$"):
        check(artifact, host=Host(system, "aarch64"))


def test_an_executable_without_suffix_is_looked_into(make_zip, elf) -> None:
    with pytest.raises(ArtifactNotRunnable, match=r"^vendor/ffmpeg is aarch64"):
        check(make_zip({"vendor/ffmpeg*": elf("aarch64")}))


def test_a_text_file_named_like_a_library_is_no_native_code(make_zip) -> None:
    assert check(make_zip({"libc.so": "/* GNU ld script */"}), host=Host("Darwin", "x86_64"))


@pytest.mark.parametrize("name", ["fast.cpython-313-x86_64-linux-gnu.so", "app.pyc"])
def test_an_artifact_tied_to_an_absent_python_names_the_file(make_zip, elf, only_3_12, name: str) -> None:
    content = elf("x86_64") if name.endswith(".so") else b"code"
    with pytest.raises(ArtifactNotRunnable) as caught:
        check(make_zip({name: content}), "python3.13", any_python=True)
    assert caught.value.message == f"this host has no Python 3.13, and {name} runs on no other"
    assert "uv python install 3.13" in (caught.value.hint or "")


def test_an_untied_artifact_without_its_python_is_refused_and_the_flag_named(make_zip, only_3_12) -> None:
    with pytest.raises(ArtifactNotRunnable, match=r"no Python 3\.14") as caught:
        check(make_zip({"app.py": "", "__pycache__/app.cpython-314.pyc": "x"}), "python3.14")
    assert "--any-python" in (caught.value.hint or "")


def test_any_python_takes_the_nearest_and_says_so(make_zip, only_3_12) -> None:
    heard: list[Event] = []
    found = check(make_zip({"app.py": ""}), "python3.14", any_python=True, function="f", listen=heard.append)
    assert found.version == (3, 12)
    message = "runs with Python 3.12 instead of 3.14 (--any-python): /python3.12"
    assert heard == [Note("f", message, "warning")]


@pytest.mark.parametrize("runtime", ["nodejs22.x", "provided.al2023", "", "python2.7"])
def test_other_languages_are_refused(make_zip, runtime: str) -> None:
    with pytest.raises(ArtifactNotRunnable, match="not invoked locally"):
        check(make_zip({"app.js": ""}), runtime)


def test_a_python_older_than_the_runtime_client_is_refused(make_zip) -> None:
    with pytest.raises(ArtifactNotRunnable, match=r"needs Python 3\.10"):
        check(make_zip({"app.py": ""}), "python3.9")


def test_this_host_speaks_linux_names_of_machines() -> None:
    assert this_host().machine in {"x86_64", "aarch64"}
