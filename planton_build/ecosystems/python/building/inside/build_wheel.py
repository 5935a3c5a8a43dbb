"""Builds one wheel, offline: from an sdist or a project, with the locked build requirements that lie beside.

Reads /build/in/job.json; leaves in /build/out the wheel, or `asked.json` when the project's backend asks for
more than is installed. Every line of its own output begins with `[planton-build]`: what follows the last one
is what went wrong. Exit codes: 2 the sources, 3 the build requirements, 4 the backend, 5 the repair.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
import tarfile
import traceback
import venv
import zipfile
from importlib.metadata import distributions
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from typing import Any

IN, OUT = "/build/in", "/build/out"
ROOT = "/tmp/build"
SOURCES, REQUIREMENTS, BACKEND, REPAIR = 2, 3, 4, 5
ENVIRONMENT = ROOT + "/env"
SITE = ("lib", "python{}.{}".format(*sys.version_info[:2]), "site-packages")
FILES_LIMIT, BYTES_LIMIT = 200_000, 2 << 30


def say(step: str) -> None:
    """Begin a step in the output."""
    print("[planton-build] " + step, flush=True)


def main() -> int:
    """Do all of it; return the exit code."""
    with open(IN + "/job.json", encoding="utf-8") as file:
        job = json.load(file)
    os.mkdir(ROOT)
    say("unpacking the sources")
    try:
        source = unpacked(job)
    except (OSError, ValueError, RuntimeError, tarfile.TarError, zipfile.BadZipFile) as error:
        print("error: {}: {}".format(job["source"], error))
        return SOURCES
    say("installing the build requirements")
    python = installed(ENVIRONMENT)
    if python is None:
        return REQUIREMENTS
    try:
        return built(job, source, python)
    except subprocess.CalledProcessError as error:
        if error.returncode < 0:
            print("error: the backend was ended by signal {}".format(-error.returncode))
        return BACKEND


def built(job: dict[str, Any], source: str, python: str) -> int:
    """Ask the backend what it needs, and let it build."""
    from pyproject_hooks import BackendUnavailable, BuildBackendHookCaller

    environment = variables(os.path.dirname(python))

    def run(
        cmd: Sequence[str], cwd: str | None = None, extra_environ: Mapping[str, str] | None = None
    ) -> None:
        subprocess.run(
            cmd,
            cwd=cwd,
            env={**environment, **(extra_environ or {})},
            stdin=subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
            check=True,
        )

    hooks = BuildBackendHookCaller(
        source, job["backend"], backend_path=job["backend_path"] or None, runner=run, python_executable=python
    )
    try:
        if job["ask"]:
            say("asking the backend for its requirements")
            missing = unsatisfied([*job["asked"], *hooks.get_requires_for_build_wheel()], job["asked"])
            if missing:
                with open(OUT + "/asked.json", "w", encoding="utf-8") as file:
                    json.dump(missing, file)
                return 0
        say("building the wheel")
        os.mkdir(ROOT + "/wheel")
        wheel = os.path.join(ROOT, "wheel", os.path.basename(hooks.build_wheel(ROOT + "/wheel")))
    except BackendUnavailable as error:
        print(error.traceback)
        return BACKEND
    if not os.path.isfile(wheel):
        print("error: the backend {} left no wheel".format(job["backend"]))
        return BACKEND
    return repaired(wheel, frozenset(job["libraries"]))


def variables(scripts: str) -> dict[str, str]:
    """Return the environment of the backend: that of the container, and what makes its results the same."""
    found = dict(os.environ)
    found["PATH"] = scripts + os.pathsep + found.get("PATH", os.defpath)
    found["VIRTUAL_ENV"] = os.path.dirname(scripts)
    # Bytecode saves time in each further process, and must not lie among the files that are packed.
    found.pop("PYTHONDONTWRITEBYTECODE", None)
    found["PYTHONPYCACHEPREFIX"] = ROOT + "/bytecode"
    # No debug information: it would be half of the function's size. Unlike CFLAGS this takes the place of
    # nothing that compilers are told otherwise.
    found["LDFLAGS"] = "-Wl,--strip-debug"
    return found


def unpacked(job: dict[str, Any]) -> str:
    """Put the sources where they are built and return the folder."""
    source = IN + "/" + job["source"]
    if os.path.isdir(source):
        place = ROOT + "/project"
        shutil.copytree(source, place, symlinks=True)
        for folder, _, names in os.walk(place):
            for path in [folder, *(os.path.join(folder, name) for name in names)]:
                if not os.path.islink(path):
                    os.chmod(path, 0o755 if os.stat(path).st_mode & 0o100 else 0o644)
        return place
    place = ROOT + "/source"
    os.mkdir(place)
    if source.endswith(".zip"):
        unpack_zip(source, place)
    else:
        unpack_tar(source, place)
    (top,) = os.listdir(place)
    return os.path.join(place, top)


def unpack_tar(source: str, place: str) -> None:
    """Unpack an sdist, taken for hostile. Times stay: make compares them."""
    with tarfile.open(source, "r:gz") as archive:
        size = 0
        for count, entry in enumerate(archive):
            size += entry.size
            inside(place, entry.name, count, size)
            if entry.issym() or entry.islnk():
                beside = os.path.dirname(entry.name) if entry.issym() else ""
                inside(place, os.path.join(beside, entry.linkname), count, size)
            elif not (entry.isfile() or entry.isdir()):
                raise ValueError("{!r} is neither a file, a folder nor a link".format(entry.name))
            entry.mode = 0o755 if entry.isdir() or entry.mode & 0o100 else 0o644
            entry.uid = entry.gid = os.getuid()
            entry.uname = entry.gname = ""
            if hasattr(tarfile, "fully_trusted_filter"):  # everything that matters has been looked at
                archive.extract(entry, place, filter="fully_trusted")
            else:
                archive.extract(entry, place)


def unpack_zip(source: str, place: str) -> None:
    """Unpack an sdist that is a ZIP."""
    with zipfile.ZipFile(source) as archive:
        size = 0
        for count, entry in enumerate(archive.infolist()):
            size += entry.file_size
            path = inside(place, entry.filename, count, size)
            mode = entry.external_attr >> 16
            if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise ValueError("{!r} is neither a file nor a folder".format(entry.filename))
            archive.extract(entry, place)
            os.chmod(path, 0o755 if entry.is_dir() or mode & 0o100 else 0o644)


def inside(place: str, name: str, count: int, size: int) -> str:
    """Return the path of an entry. Refuse one that leads outside, also through links, and bombs."""
    path = os.path.join(place, name)
    if not (os.path.realpath(path) + "/").startswith(place + "/") or name.startswith("/"):
        raise ValueError("{!r} leads out of the archive's folder".format(name))
    if count >= FILES_LIMIT or size > BYTES_LIMIT:
        raise ValueError("it unpacks to too many files or bytes")
    return path


def installed(folder: str) -> str | None:
    """Make an environment of the runtime with the build requirements; return its interpreter."""
    venv.EnvBuilder(symlinks=True, with_pip=False).create(folder)
    python = folder + "/bin/python"
    site = os.path.join(folder, *SITE)
    for name in ("planton_sorted_listing.py", "planton_sorted_listing.pth"):
        shutil.copyfile(IN + "/" + name, os.path.join(site, name))
    if os.path.getsize(IN + "/requirements.txt") == 0:
        return python
    # What `pip --python` runs; to start that first takes twice as long, which emulation makes seconds.
    runner = os.path.join(sys.prefix, *SITE, "pip", "__pip-runner__.py")
    command = [python, runner, "--isolated", "install", "--quiet", "--no-index", "--no-deps"]
    command += ["--no-cache-dir", "--no-compile", "--only-binary", ":all:"]
    command += ["--find-links", IN + "/wheels", "--require-hashes", "-r", IN + "/requirements.txt"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stderr=subprocess.STDOUT, check=False)
    return python if done.returncode == 0 else None


def unsatisfied(requirements: Iterable[str], asked: Collection[str]) -> list[str]:
    """Return the requirements that the installed packages do not satisfy. What was `asked` is resolved."""
    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.utils import canonicalize_name

    found = {
        canonicalize_name(one.metadata["Name"]): one.version
        for one in distributions(path=[os.path.join(ENVIRONMENT, *SITE)])
    }
    missing = set()
    for text in requirements:
        try:
            wanted = Requirement(text)
        except InvalidRequirement:
            missing.add(text)
            continue
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": ""}):
            continue
        version = found.get(canonicalize_name(wanted.name))
        fits = version is not None and wanted.specifier.contains(version, prereleases=True)
        if not fits or ((wanted.extras or wanted.url) and text not in asked):
            missing.add(text)
    return sorted(missing)


def repaired(wheel: str, present: frozenset[str]) -> int:
    """Copy out the wheel, with the shared libraries it needs that the runtime lacks."""
    if not foreign_libraries(wheel, present):
        shutil.copyfile(wheel, os.path.join(OUT, os.path.basename(wheel)))
        return 0
    say("adding the shared libraries it needs")
    try:
        from auditwheel.main import main as auditwheel

        limit_policies(present)
        sys.argv = ["auditwheel", "repair", "-z", "0", "--disable-isa-ext-check", "--plat", "auto"]
        sys.argv += ["--only-plat", "-w", OUT, wheel]
        return REPAIR if auditwheel() else 0
    except SystemExit as error:
        return REPAIR if error.code else 0
    except Exception:  # whatever it is, the host shows it as the reason
        traceback.print_exc()
        return REPAIR


def foreign_libraries(wheel: str, present: frozenset[str]) -> set[str]:
    """Return the shared libraries that files of the wheel need and neither it nor the runtime has."""
    from elftools.common.exceptions import ELFError
    from elftools.elf.elffile import ELFFile

    needed: set[str] = set()
    brought: set[str] = set()
    with zipfile.ZipFile(wheel) as archive:
        for entry in archive.infolist():
            with archive.open(entry) as file:
                if file.read(4) != b"\x7fELF":
                    continue
            with archive.open(entry) as file:
                try:
                    dynamic: Any = ELFFile(file).get_section_by_name(".dynamic")
                except ELFError:
                    continue
                brought.add(os.path.basename(entry.filename))
                needed |= {tag.needed for tag in dynamic.iter_tags("DT_NEEDED")} if dynamic else set()
    return needed - brought - present


def limit_policies(present: frozenset[str]) -> None:
    """Let auditwheel leave out only the libraries that the runtime has: its own lists are of desktop systems.

    The version is pinned with the image, so that its internals may be used: it has no option for this.
    """
    from auditwheel import policy
    from auditwheel.libc import Libc

    with open(str(policy._POLICY_JSON_MAP[Libc.GLIBC]), encoding="utf-8") as file:
        policies = json.load(file)
    for one in policies:
        one["lib_whitelist"] = [name for name in one["lib_whitelist"] if name in present]
    path = type(policy._POLICY_JSON_MAP[Libc.GLIBC])(ROOT + "/policies.json")
    path.write_text(json.dumps(policies), encoding="utf-8")
    policy._POLICY_JSON_MAP[Libc.GLIBC] = path


if __name__ == "__main__":
    sys.exit(main())
