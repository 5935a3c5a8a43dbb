from __future__ import annotations

import pytest

from planton_build.audit.naming import extension_of, is_library, speaks_of_another, speaks_of_any


@pytest.mark.parametrize(
    ("path", "stem", "fits"),
    [
        ("p/_x.cpython-311-x86_64-linux-gnu.so", "p/_x", True),
        ("p/_x.cpython-311-aarch64-linux-gnu.so", "p/_x", False),
        ("p/_x.cpython-310-x86_64-linux-gnu.so", "p/_x", False),
        ("p/_x.cpython-311-x86_64-linux-musl.so", "p/_x", False),
        ("p/_x.cpython-313t-x86_64-linux-gnu.so", "p/_x", False),
        ("p/_x.cpython-311-darwin.so", "p/_x", False),
        ("p/_x.cp311-win_amd64.pyd", "p/_x", False),
        ("p/_x.pypy310-pp73-x86_64-linux-gnu.so", "p/_x", False),
        ("p/_x.abi3.so", "p/_x", True),
        ("_x.so", "_x", True),
    ],
)
def test_extension_modules_say_what_they_are_for(path: str, stem: str, fits: bool) -> None:
    found = extension_of(path)
    assert found is not None
    assert (found.stem, found.fits((3, 11), "x86_64")) == (stem, fits)


@pytest.mark.parametrize("path", ["p/libx.so", "p/libx.so.1", "p/x-y.so", "p/x.py", "x.abi3.so.1", "bin/x"])
def test_other_files_are_no_extension_modules(path: str) -> None:
    assert extension_of(path) is None


@pytest.mark.parametrize(
    ("path", "another"),
    [
        ("p/attach_linux_amd64.so", False),
        ("p/attach_linux_arm64.so", True),
        ("p/linux-x86-64/libjni.so", False),
        ("p/darwin/x86_64/lib.so", True),
        ("p/lib-musl/x.so", True),
        ("p/i686/x.so", True),
        ("p/_x.cpython-311-aarch64-linux-gnu.so", False),  # its suffix is the import system's affair
        ("p/warm/alarm.so", False),
    ],
)
def test_paths_may_speak_of_another_platform(path: str, another: bool) -> None:
    assert speaks_of_another(path, "x86_64") is another


def test_paths_may_speak_of_their_own_platform() -> None:
    assert speaks_of_any("p/linux-arm64/tool")
    assert not speaks_of_any("p/_x.cpython-311-aarch64-linux-gnu.so")


def test_libraries_are_known_by_name() -> None:
    assert all(map(is_library, ["a/b.so", "libz.so.1", "libz.so.1.2.3", "libx-1a2b.so.5.0-1"]))
    assert not any(map(is_library, ["bin/tool", "a.sox", "a.so.py/b"]))
