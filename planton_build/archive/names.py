"""Which paths and link targets may stand in an archive.

The functions return what is wrong as a phrase that completes "the path ...", or None when all is well, so
that each caller can raise the error class that fits where the name came from.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

LAYER_ROOT = "/opt"
"""Where Lambda mounts layers: the one absolute folder that links in a function's ZIP may point into."""

_PART_BYTES = 255
"""NAME_MAX of Linux file systems: Lambda unpacks the archive onto one."""
_PATH_BYTES = 4_000
"""PATH_MAX of Linux is 4,096 with the final NUL; this leaves room for `/var/task/` and the like."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_DRIVE = re.compile(r"[A-Za-z]:")


def path_fault(path: str) -> str | None:
    """Return why `path` must not name a file of an archive, or None.

    A good path is relative, has `/` between its parts, no `.`, `..` or empty part, no backslash, no drive
    letter, no control character, and fits a Linux file system.
    """
    if not path:
        return "is empty"
    fault = _text_fault(path)
    if fault is not None:
        return fault
    if path.startswith("/"):
        return "is absolute"
    if _DRIVE.match(path):
        return "begins with a drive letter"
    for part in path.split("/"):
        if part in {"", ".", ".."}:
            return f"has the part {part!r}"
        if len(part) > _PART_BYTES // 4 and len(part.encode()) > _PART_BYTES:
            return f"has a part longer than {_PART_BYTES} bytes"
    return None


def link_fault(path: str, target: str, *, absolute_roots: Iterable[str] = ()) -> str | None:
    """Return why the symlink at `path` must not point to `target`, or None.

    A relative target must stay inside the archive. It may have `..` only as its first parts: those climb
    through real folders (an archive has nothing below a link), so judging each link alone is enough however
    links are chained. An absolute target must be below one of `absolute_roots`, without any `..`.
    """
    if not target:
        return "has an empty target"
    fault = _text_fault(target)
    if fault is not None:
        return f"has a target that {fault}"
    parts = [part for part in target.split("/") if part not in {"", "."}]
    if target.startswith("/"):
        if ".." not in parts and any(_below(parts, root) for root in absolute_roots):
            return None
        return f"points to {target!r}, outside of the archive"
    climbs = next((index for index, part in enumerate(parts) if part != ".."), len(parts))
    if ".." in parts[climbs:]:
        return f"has the target {target!r} with '..' after a name"
    if climbs > path.count("/"):
        return f"points to {target!r}, outside of the archive"
    return None


def parents_of(path: str) -> Iterator[str]:
    """Yield the folders above `path`, the nearest first: `a/b`, then `a`, for `a/b/c`."""
    end = path.rfind("/")
    while end > 0:
        yield path[:end]
        end = path.rfind("/", 0, end)


def conflicts(files: Iterable[str], folders: Iterable[str] = ()) -> Iterator[tuple[str, str]]:
    """Yield pairs `(file, other)` where `file` would also have to be a folder: `a` with `a/b` or with `a/`.

    Each file is named at most once, with the least of the others, in the order of the names.
    """
    names = frozenset(files)
    found: dict[str, str] = {}
    seen: set[str] = set()
    for path in sorted(names):
        for parent in parents_of(path):
            if parent in seen:
                break
            seen.add(parent)
            if parent in names:
                found.setdefault(parent, path)
    for folder in sorted(folders):
        for candidate in (folder, *parents_of(folder)):
            if candidate in names:
                found.setdefault(candidate, f"{folder}/")
    yield from sorted(found.items())


def _below(parts: list[str], root: str) -> bool:
    top = root.strip("/").split("/")
    return parts[: len(top)] == top


def _text_fault(text: str) -> str | None:
    """Return what is wrong with the characters of a path or target, or None."""
    if _CONTROL.search(text):
        return "has a control character"
    if "\\" in text:
        return "has a backslash"
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        return "is not valid Unicode"
    return f"is longer than {_PATH_BYTES} bytes" if size > _PATH_BYTES else None
