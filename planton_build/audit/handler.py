"""Does the artifact hold the module that the manifest's handler names?"""

from __future__ import annotations

import difflib
from collections.abc import Collection

from planton_build.errors import HandlerMissing
from planton_build.manifest.document import Manifest


def _candidates(stem: str) -> list[str]:
    return [f"{stem}.py", f"{stem}/__init__.py", f"{stem}.pyc"]


def _missing(manifest: Manifest, message: str, hint: str) -> HandlerMissing:
    position = manifest.position("spec", "handler")
    return HandlerMissing(
        message,
        hint=hint,
        file=manifest.path,
        line=position.line if position else None,
        column=position.column if position else None,
    )


def check_python_handler(manifest: Manifest, handler: str, paths: Collection[str]) -> None:
    """Raise HandlerMissing when `module.function` names a module that is not among the artifact's `paths`.

    A module may be a file, a package or an extension module; Lambda also takes `folder/module.function`.
    """
    module, _, function = handler.rpartition(".")
    if not module or not function:
        raise _missing(
            manifest,
            f"handler {handler!r} does not name a function in a module",
            "write it as module.function, for example app.handler",
        )
    stem = module.replace(".", "/")
    if any(name in paths for name in _candidates(stem)):
        return
    if any(path.startswith(f"{stem}.") and path.endswith(".so") for path in paths):
        return
    modules = sorted(path.removesuffix(".py").replace("/", ".") for path in paths if path.endswith(".py"))
    close = difflib.get_close_matches(module, modules, n=1, cutoff=0.6)
    suggestion = f"did you mean {close[0]}.{function}? " if close else ""
    raise _missing(
        manifest,
        f"handler {handler!r} needs the module {stem}.py or {stem}/__init__.py, and the artifact has neither",
        f"{suggestion}check the handler, the source folder and the include and exclude patterns",
    )
