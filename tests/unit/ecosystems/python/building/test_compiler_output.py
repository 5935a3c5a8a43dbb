from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planton_build.ecosystems.python.building.compiler_output import MARK, SHOWN_LINES, explain

NOISE = f"""\
{MARK}unpacking the sources
{MARK}installing the build requirements
error: an early one that was overcome
{MARK}building the wheel
running bdist_wheel
running build_ext
gcc -O2 -c src/fast.c -o build/temp/src/fast.o
"""
GCC = """\
In file included from /usr/include/python3.11/Python.h:38,
                 from src/fast.c:1:
src/fast.c: In function 'twice':
src/fast.c:4:12: error: 'nmber' undeclared (first use in this function); did you mean 'number'?
    4 |     return nmber * 2;
      |            ^~~~~
      |            number
src/fast.c:4:12: note: each undeclared identifier is reported only once for each function it appears in
"""
DISTUTILS = """\
Traceback (most recent call last):
  File "/tmp/build/env/lib/python3.11/site-packages/setuptools/_distutils/unix.py", line 185, in _compile
    self.spawn(compiler_so)
distutils.errors.CompileError: command '/usr/bin/gcc' failed with exit code 1
error: command '/usr/bin/gcc' failed with exit code 1
"""


def test_a_compilers_error_is_shown_with_its_context_and_nothing_else() -> None:
    found = explain(NOISE + GCC + "make: *** [all] Error 1\n" + DISTUTILS)
    assert found.lines == tuple(GCC.splitlines()[:-1])


def test_colours_and_progress_bars_are_removed() -> None:
    found = explain(NOISE + "10%\r20%\r\x1b[1msrc/a.c:1:2: \x1b[31merror: \x1b[mno\x07\r\n")
    assert found.lines == ("src/a.c:1:2: error: no",)


def test_paths_are_those_of_the_project() -> None:
    found = explain(NOISE + "/tmp/build/source/fast-1.0/src/a.c:1:2: error: no\n")
    assert found.lines == ("src/a.c:1:2: error: no",)
    found = explain(NOISE + "/tmp/build/project/src/a.c:1:2: error: no\n")
    assert found.lines == ("src/a.c:1:2: error: no",)


def test_an_exception_of_the_project_is_shown_with_its_own_frame() -> None:
    log = """\
Traceback (most recent call last):
  File "/opt/planton/lib/python3.11/site-packages/pyproject_hooks/_in_process.py", line 389, in main
    main()
  File "/tmp/build/env/lib/python3.11/site-packages/setuptools/build_meta.py", line 317, in run_setup
    exec(code, locals())
  File "/tmp/build/source/fast-1.0/tools/version.py", line 7, in read
    raise ValueError(text)
  File "/usr/lib/python3.11/json/decoder.py", line 355, in raw_decode
    raise JSONDecodeError
ValueError: no version in README
"""
    found = explain(NOISE + log)
    assert found.lines == (
        '  File "tools/version.py", line 7, in read',
        "    raise ValueError(text)",
        "ValueError: no version in README",
    )


def test_without_a_known_form_the_last_lines_are_shown() -> None:
    lines = [f"line {number}" for number in range(40)]
    assert explain(NOISE + "\n".join(lines)).lines == tuple(lines[-15:])


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("src/a.c:1:10: fatal error: libpq-fe.h: No such file or directory", "header libpq-fe.h"),
        ("src/a.c:1:10: fatal error: 'ffi.h' file not found", "header ffi.h"),
        ("src/a.c:1:10: fatal error: Python.h: No such file or directory", "public.ecr.aws/sam/build-"),
        ("/usr/bin/ld: cannot find -lxml2: No such file or directory", "libxml2 for compiling"),
        ("Error: pg_config executable not found.", "program pg_config"),
        ("error: command 'swig' failed: No such file or directory", "program swig"),
        ("/bin/sh: 1: cmake: not found", "program cmake"),
        ("FileNotFoundError: [Errno 2] No such file or directory: 'ninja'", "program ninja"),
        ("Cargo, the Rust package manager, is not installed or is not on PATH; see rustup", '["cargo"]'),
        ("FileNotFoundError: [Errno 2] No such file or directory: 'cargo'", '["cargo"]'),
        ("ModuleNotFoundError: No module named 'numpy'", "imports numpy"),
        ("ModuleNotFoundError: No module named 'pkg_resources'", "older than the tools"),
        ("error in fast setup command: use_2to3 is invalid.", "older than the tools"),
        ("LookupError: setuptools-scm was unable to detect version for /tmp/build", "taken from git"),
        ("something else", "take a version with a wheel"),
    ],
)
def test_the_hint_names_what_is_missing(text: str, hint: str) -> None:
    found = explain(f"{NOISE}{text}\n")
    assert hint in found.hint
    assert text in found.lines


RUST = """\
error[E0425]: cannot find value `nmber` in this scope
 --> src/lib.rs:4:5
  |
4 |     nmber * 2
  |     ^^^^^ help: a local variable with a similar name exists: `number`

error: could not compile `fast` (lib) due to 1 previous error
"""
CYTHON = """\
Error compiling Cython file:
------------------------------------------------------------
...
def twice(int number):
    return nmber * 2
           ^
------------------------------------------------------------

fast.pyx:2:11: undeclared name not builtin: nmber
"""
LINKER = """\
/usr/bin/ld: build/temp/fast.o: in function `twice':
fast.c:(.text+0x10): undefined reference to `deflate'
collect2: error: ld returned 1 exit status
"""
CMAKE = """\
CMake Error at CMakeLists.txt:3 (find_package):
  By not providing "FindFoo.cmake" in CMAKE_MODULE_PATH this project has
  asked CMake to find a package configuration file provided by "Foo".
"""


@pytest.mark.parametrize("text", [RUST, LINKER, CMAKE], ids=["rust", "linker", "cmake"])
def test_errors_of_other_tools_are_found(text: str) -> None:
    shown = "\n".join(explain(f"{NOISE}{text}{DISTUTILS}").lines)
    assert all(line in shown for line in text.splitlines()[-2:] if line)
    assert "Traceback" not in shown


def test_cythons_errors_are_found() -> None:
    shown = explain(f"{NOISE}{CYTHON}{DISTUTILS}").lines
    assert "    return nmber * 2" in shown
    assert "fast.pyx:2:11: undeclared name not builtin: nmber" in shown


@given(log=st.text())
def test_any_output_gives_a_bounded_explanation(log: str) -> None:
    found = explain(f"{NOISE}{log}")
    assert len(found.lines) <= SHOWN_LINES
    assert all(len(line) <= 300 and "\n" not in line and "\x1b" not in line for line in found.lines)
    assert found.hint
