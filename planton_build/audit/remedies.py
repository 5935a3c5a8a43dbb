"""What to do about native code that does not load: the hints of the audit, in one place."""

from __future__ import annotations

from planton_build.runtimes.target import Target

_KNOWN = {
    "libGL.so.1": "of OpenCV take opencv-python-headless, which needs no display",
    "libpq.so.5": "of psycopg take the package with its own library: psycopg2-binary, or psycopg[binary]",
    "libmysqlclient.so.21": "take a driver in pure Python, such as pymysql",
    "libodbc.so.2": "bring unixODBC with system-packages, or in a layer",
}
"""Libraries whose absence on Lambda is well known, and what helps."""


def rebuild(package: str, target: Target) -> str:
    """Return how to get a build of a package, or of the function's own file, that fits the target."""
    if not package:
        return f"build the file in the build container of {target.name}"
    glibc = "_".join(map(str, target.glibc))
    return (
        f"take a release of {package} with a wheel for manylinux_{glibc} or older, or have it built in the "
        f"container of {target.runtime}: --container always"
    )


def for_glibc(package: str, target: Target) -> str:
    """Return the remedy for a file that needs a newer glibc."""
    newer = "; or move the function to a runtime on Amazon Linux 2023, which has 2.34"
    return rebuild(package, target) + (newer if target.system == "al2" else "")


def for_machine(package: str, target: Target) -> str:
    """Return the remedy for a file of another machine or platform."""
    other = "ARM64" if target.architecture == "x86_64" else "X86_64"
    if not package:
        return f"build it for Linux on {target.machine}, or set spec.architecture to {other} if that is meant"
    return (
        f"{package} was installed or built for another platform: lock and build for {target.name}, "
        f"or set spec.architecture to {other} if that is meant"
    )


def for_python(package: str, version: str) -> str:
    """Return the remedy for an extension module of another Python."""
    what = package or "the module"
    return f"install or build {what} for Python {version}, or set spec.runtime to the Python it was built for"


def for_library(library: str, package: str, target: Target) -> str:
    """Return the remedy for a library that is nowhere."""
    name = library.rpartition("/")[2]
    if "musl" in name or name == "libc.so":
        return f"it was built for Alpine Linux (musl), and Lambda has glibc: {rebuild(package, target)}"
    if name in _KNOWN:
        return _KNOWN[name]
    if not package:
        return f"put {name} into the function's lib/ folder, or attach a layer that has it"
    return (
        f"take a wheel of {package} that brings {name}, add the library with system-packages, put it into "
        "the function's lib/ folder, or attach a layer that has it; if the package does without, allow it: "
        f"--allow '{name}=why'"
    )
