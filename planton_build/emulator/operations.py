"""The operations of Lambda's API that are served, by name. Modules of operations add theirs on import."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

from planton_build.emulator.state import Region

Document: TypeAlias = dict[str, Any]
"""Members of a request or an answer, named as in the service model; blobs are bytes."""
Operation: TypeAlias = Callable[[Region, Document], "Document | None"]
"""Takes a request that fits the service model, and returns the members of the answer, or raises Refusal."""

OPERATIONS: dict[str, Operation] = {}
_Found = TypeVar("_Found", bound=Operation)


def operation(name: str) -> Callable[[_Found], _Found]:
    """Register a function as an operation of the API, such as `GetFunction`."""

    def register(function: _Found) -> _Found:
        if name in OPERATIONS:
            raise ValueError(f"two functions serve {name}")
        OPERATIONS[name] = function
        return function

    return register


def load_operations() -> None:
    """Import all modules of operations, so that they are registered."""
    import importlib
    import pkgutil

    import planton_build.emulator

    for module in pkgutil.iter_modules(planton_build.emulator.__path__):
        importlib.import_module(f"planton_build.emulator.{module.name}")
