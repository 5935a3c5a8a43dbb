"""Would the image start? Entrypoint, handler, and whether everybody may read the function's files."""

from __future__ import annotations

import difflib
import posixpath
import stat
from collections.abc import Collection, Iterator

from planton_build.audit.findings import AuditFinding
from planton_build.audit.image.documents import finding
from planton_build.audit.image.place import LAMBDA_ENTRYPOINT, Places
from planton_build.audit.image.tree import Tree
from planton_build.oci.documents import ImageConfig

_ABSOLUTE = 'write its full path, in brackets: ENTRYPOINT ["/usr/bin/python3", "-m", "awslambdaric"]'
_USER = "and Lambda runs functions as an unprivileged user"
_HANDLER = 256
"""Characters of a handler; Lambda's API takes 128."""
_DEEP = 3
"""Folders below the function's in which a module of a similar name is looked for."""


def start_findings(tree: Tree, settings: ImageConfig, places: Places) -> Iterator[AuditFinding]:
    """Yield what keeps the image from being started."""
    words = (*settings.entrypoint, *settings.command)
    if not words or not words[0]:
        hint = "set ENTRYPOINT and CMD in the Dockerfile, or build on one of Lambda's base images"
        yield finding("entrypoint", "entrypoint", "the image has neither an entrypoint nor a command", hint)
        return
    word, program = words[0], started(tree, settings, places)
    shown = ascii(word[:200])
    if program is None:
        where = (
            "does not exist in the image" if word.startswith("/") else "is in no folder of the image's PATH"
        )
        hint = "name a program that is in the image" if word.startswith("/") else _ABSOLUTE
        yield finding("entrypoint", word[:200], f"the entrypoint {shown} {where}", hint)
        return
    entry = tree.files[program].entry
    if entry.kind not in "fh":
        yield finding("entrypoint", word[:200], f"the entrypoint {shown} is no file", "name a program")
        return
    if not entry.mode & stat.S_IXOTH:
        message = f"the entrypoint {shown} may not be run by everybody (mode {entry.mode:04o})"
        yield finding("entrypoint", word[:200], message, "make it executable: chmod 755")
    interpreter = tree.script(program)
    if interpreter is not None and tree.find(interpreter) is None:
        message = f"the entrypoint {shown} is run by {interpreter[:200]!a}, which does not exist in the image"
        yield finding("entrypoint", word[:200], message, "add it, or name another interpreter after #!")
    if not word.startswith("/"):
        message = (
            f"the entrypoint {shown} is no full path, which Lambda's guide asks for; PATH leads to /{program}"
        )
        yield finding("entrypoint", word[:200], message, level="note")
    elif word.strip("/") != program:
        message = f"the entrypoint {shown} is or passes a link, to /{program}; Lambda's guide asks for a file"
        yield finding("entrypoint", word[:200], message, level="note")


def started(tree: Tree, settings: ImageConfig, places: Places) -> str | None:
    """Return the path of what the image starts, links followed, or None when it is not there."""
    word = next(iter((*settings.entrypoint, *settings.command)), "")
    if word.startswith("/"):
        return tree.find(word)
    if "/" in word:
        return tree.find(f"{settings.working_dir}/{word}")
    tried = (tree.find(f"{folder}/{word}") for folder in places.path) if word else ()
    return next((found for found in tried if found is not None), None)


def permission_findings(tree: Tree, places: Places) -> Iterator[AuditFinding]:
    """Yield the files of the function that Lambda's unprivileged user could not read."""
    for path, seen in tree.files.items():
        mode, kind = seen.entry.mode, seen.entry.kind
        above = path == places.task or places.task.startswith(f"{path}/")
        if not (above or path.startswith(f"{places.task}/")):
            continue
        if kind == "d" and not mode & stat.S_IXOTH:
            message = f"the folder /{path} may not be entered by everybody (mode {mode:04o}), {_USER}"
        elif kind in "fh" and not mode & stat.S_IROTH:
            message = f"/{path} may not be read by everybody (mode {mode:04o}), {_USER}"
        else:
            continue
        hint = "copy it with COPY --chmod=755, or chmod -R a+rX before it is copied"
        yield finding("permissions", path, message, hint, group=kind)


def handler_findings(
    tree: Tree, settings: ImageConfig, places: Places, family: str | None, handler: str | None
) -> Iterator[AuditFinding]:
    """Yield what is wrong with the handler, where the entrypoint is one that takes Python's.

    `family` is that of the runtime, if it is known. `handler` is what the function calls; None for what the
    image's command says.
    """
    if not _takes_python_handler(tree, settings, family):
        return
    words = (handler,) if handler else settings.command
    if len(words) != 1:
        said = f"has {len(words)} words" if words else "is empty"
        message = (
            f"the image's command {said}, and its entrypoint takes one: the handler, such as app.handler"
        )
        yield finding("handler", "command", message, 'set it: CMD ["app.handler"]')
        return
    module, _, function = words[0].rpartition(".")
    if not module or not function or len(words[0]) > _HANDLER:
        message = f"the handler {words[0][:200]!a} does not name a function in a module"
        yield finding(
            "handler", words[0][:200], message, "write it as module.function, for example app.handler"
        )
        return
    stem = module.replace(".", "/")
    native = {posixpath.dirname(path) + "/" + _stem(path) for path in tree.files if path.endswith(".so")}
    if not any(_has_module(tree, native, f"{folder}/{stem}") for folder in _searched(tree, places)):
        yield _missing(tree, places, words[0], stem, function)


def _takes_python_handler(tree: Tree, settings: ImageConfig, family: str | None) -> bool:
    if settings.entrypoint[-2:] == ("-m", "awslambdaric"):
        return True
    if settings.entrypoint != (LAMBDA_ENTRYPOINT,):
        return False
    # Where base images have the language of their runtime; their system may have a Python of its own.
    return (
        family == "python" if family else any(path.startswith("var/lang/bin/python3") for path in tree.files)
    )


def _searched(tree: Tree, places: Places) -> list[str]:
    """Return the folders that Python imports from: the function's, and those of packages."""
    packages = {
        f"{path.partition(f'/{name}/')[0]}/{name}"
        for path in tree.files
        for name in ("site-packages", "dist-packages")
        if f"/{name}/" in path
    }
    return [*(folder.rstrip("/") for folder in places.own), "var/runtime", "opt/python", *sorted(packages)]


def _stem(path: str) -> str:
    return posixpath.basename(path).partition(".")[0]


def _has_module(tree: Tree, native: Collection[str], stem: str) -> bool:
    """Tell whether there is a module; `native` are the stems of those that are native code."""
    ends = (".py", "/__init__.py", ".pyc")
    return stem in native or any(tree.find(f"{stem}{end}") is not None for end in ends)


def _missing(tree: Tree, places: Places, handler: str, stem: str, function: str) -> AuditFinding:
    root = f"{places.task}/"
    modules = [
        path.removeprefix(root).removesuffix(".py").replace("/", ".")
        for path in tree.files
        if path.startswith(root) and path.endswith(".py") and path.count("/") < root.count("/") + _DEEP
    ]
    close = difflib.get_close_matches(stem.replace("/", "."), modules[:1_000], n=1, cutoff=0.6)
    suggestion = f"did you mean {close[0]}.{function}? " if close else ""
    return finding(
        "handler",
        handler,
        f"the handler {handler[:200]!a} needs /{root}{stem}.py, and the image has no such module",
        f"{suggestion}check CMD and what is copied into /{places.task}",
    )
