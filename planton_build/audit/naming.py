"""What a native file's path says about it: the Python it is for, and the platform its name speaks of."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass

_CPYTHON = re.compile(r"\.cpython-(?P<abi>\d+t?)d?(?:-(?P<triplet>[\w-]+))?\.so")
_PYPY = re.compile(r"\.(?P<abi>(?:pypy|graalpy)\d+)-[\w-]+\.so")
_WINDOWS = re.compile(r"\.cp(?P<abi>\d+t?)-win\w*\.pyd")
_ABI3 = re.compile(r"\.abi3t?\.so")
_WORDS = {
    "x86_64": frozenset({"x86_64", "amd64", "x64", "linux64"}),
    "aarch64": frozenset({"aarch64", "arm64"}),
    "": frozenset(
        {
            *("i386", "i486", "i586", "i686", "x86", "x32", "linux32", "arm", "armv6", "armv6l", "armv7"),
            *("armv7l", "armhf", "armeabi", "ppc64", "ppc64le", "s390x", "riscv64", "loong64", "mips"),
            *("win", "win32", "win64", "windows", "darwin", "macos", "macosx", "osx", "universal2"),
            *("freebsd", "android", "emscripten", "wasm", "musl", "musllinux", "alpine"),
        }
    ),
}
"""Words of paths by the machine they speak of; "" for what no Lambda function runs on."""
_WORD = re.compile(r"x86_64|[a-z0-9]+")


@dataclass(frozen=True, slots=True)
class Extension:
    """An extension module by its file name.

    `stem` is the path without suffix. `abi` is `311`, `313t` or `pypy310`, `abi3`, or "" where nothing is
    said; `triplet` is such as `x86_64-linux-gnu`, or "".
    """

    stem: str
    abi: str
    triplet: str = ""

    def missed(self, version: tuple[int, int]) -> bool:
        """Tell whether a file of another platform stands where the target's own should be.

        Modules for Windows come in several versions in packages that work without them (debugpy), so only
        one of the right version counts.
        """
        return self.triplet != "windows" or self.abi == "{}{}".format(*version)

    def fits(self, version: tuple[int, int], machine: str) -> bool:
        """Tell whether the import system of CPython `version` on Linux takes a file of this name."""
        abi = "{}{}".format(*version)
        return self.abi in {"", "abi3", abi} and self.triplet in {"", f"{machine}-linux-gnu"}


def extension_of(path: str) -> Extension | None:
    """Return what a file name says that import takes for an extension module of some Python, or None.

    `libfoo.so` could be imported too, and is a plain library as good as always.
    """
    folder, name = posixpath.split(path)
    for pattern in (_CPYTHON, _WINDOWS, _ABI3, _PYPY):
        if (match := pattern.search(name)) is None or match.end() != len(name):
            continue
        stem, groups = posixpath.join(folder, name[: match.start()]), match.groupdict()
        triplet = "windows" if pattern is _WINDOWS else groups.get("triplet") or ""
        return Extension(stem, groups.get("abi") or "abi3", triplet)
    stem, suffix = posixpath.splitext(name)
    plain = suffix == ".so" and stem.isidentifier() and not stem.startswith("lib")
    return Extension(posixpath.join(folder, stem), "") if plain else None


def speaks_of_another(path: str, machine: str) -> bool:
    """Tell whether the path says that the file is for another platform than Linux on `machine`.

    Packages that bring builds for several platforms choose by such names. The suffix of an extension module
    says nothing here: import finds only that of its own platform. A path that names both (`darwin/x86_64`)
    is for the other one.
    """
    words = _words(path)
    return any(words & names for of, names in _WORDS.items() if of != machine)


def speaks_of_any(path: str) -> bool:
    """Tell whether the path names a platform, its own or another."""
    return any(_words(path) & names for names in _WORDS.values())


def is_library(path: str) -> bool:
    """Tell whether a path is that of a shared library or extension module: `.so`, or `.so.1.2`."""
    name = posixpath.basename(path)
    return name.endswith(".so") or re.search(r"\.so(?:\.[\w-]+)+$", name) is not None


def _words(path: str) -> set[str]:
    extension = extension_of(path)
    text = (path if extension is None else extension.stem).lower()
    return set(_WORD.findall(text.replace("x86-64", "x86_64")))
