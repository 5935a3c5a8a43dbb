"""`Places`: which paths of an image matter, and where programs and libraries are looked for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from planton_build.audit.image.tree import Tree
from planton_build.oci.documents import ImageConfig

TASK_ROOT = "var/task"
"""Where Lambda's base images have the function, without the first slash."""
LAMBDA_ENTRYPOINT = "/lambda-entrypoint.sh"
"""The entrypoint of Lambda's base images: it takes one word, the handler."""
_FOLDERS = 64
"""Folders of one search path that are looked at."""
_SYSTEM = ("lib", "lib64", "usr/lib", "usr/lib64", "usr/local/lib", "usr/local/lib64")
_TRIPLETS = {"x86_64": "x86_64-linux-gnu", "aarch64": "aarch64-linux-gnu"}
_PACKAGES = re.compile(r"(?:^|/)(?:site|dist)-packages/")
_PYTHON = re.compile(r"python3\.(\d{1,2})")


@dataclass(frozen=True, slots=True)
class Places:
    """What a configuration says of places, all without the first slash.

    `own` are the folders of the function and what it brings; `path` and `libraries` are the folders of
    programs and of shared libraries, in the order in which they are searched.
    """

    task: str
    own: tuple[str, ...]
    path: tuple[str, ...]
    libraries: tuple[str, ...]

    def is_own(self, path: str) -> bool:
        """Tell whether a file is loaded if anything of the function is."""
        return path.startswith(self.own) or _PACKAGES.search(path) is not None

    def pythons(self, tree: Tree) -> Iterator[tuple[int, int]]:
        """Yield the versions of Python that are among the programs."""
        for path in tree.files:
            folder, _, name = path.rpartition("/")
            if (match := _PYTHON.fullmatch(name)) and folder in self.path and tree.find(path) is not None:
                yield 3, int(match[1])


def environment_of(settings: ImageConfig) -> dict[str, str]:
    """Return the environment that a container starts with."""
    pairs = (one.partition("=") for one in settings.environment)
    return {name: value for name, _, value in pairs}


def places_of(settings: ImageConfig, machine: str) -> Places:
    """Return the places of an image for one machine."""
    environment = environment_of(settings)
    task = _folder(environment.get("LAMBDA_TASK_ROOT", "")) or TASK_ROOT
    extra = [settings.working_dir, "/opt", *_search_path(environment, "PYTHONPATH")]
    own = dict.fromkeys(f"{one}/" for one in (task, *map(_folder, extra)) if one)
    path = _search_path(environment, "PATH") or ["/usr/local/bin", "/usr/bin", "/bin"]
    triplet = _TRIPLETS.get(machine, "")
    system = [*_SYSTEM, *(f"{one}/{triplet}" for one in _SYSTEM if triplet)]
    searched = [*_search_path(environment, "LD_LIBRARY_PATH"), *system]
    return Places(
        task,
        tuple(own),
        tuple(dict.fromkeys(map(_folder, path))),
        tuple(dict.fromkeys(filter(None, map(_folder, searched)))),
    )


def _search_path(environment: dict[str, str], name: str) -> list[str]:
    value = environment.get(name, "")
    return value.split(":", _FOLDERS)[:_FOLDERS] if value else []


def _folder(path: str) -> str:
    return "/".join(part for part in path.split("/") if part not in {"", "."})
