"""Become a Python function's process: arrange the module path as Lambda does, then hand over to awslambdaric.

    python -S -B bootstrap.py HANDLER LAYOUT

LAYOUT is JSON: `task` is the folder of the function's code, `runtime` are the wheels that make up Lambda's
own runtime, `preinstalled` are folders that hold the AWS SDK.

`-S` keeps the site-packages of whatever environment the interpreter belongs to out of sight: a package that
is installed here and missing in the artifact must be missing here as well. The AWS SDK is the exception that
Lambda makes too: it is importable, by name and after everything else, from the tool's own environment.
"""

from __future__ import annotations

import json
import site
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

PREINSTALLED = ("boto3", "botocore", "s3transfer", "jmespath", "urllib3", "dateutil", "six")
"""boto3 and what it needs: all pure Python, so any interpreter can import them from one place."""


class Preinstalled:
    """Finds the AWS SDK, and nothing else, in the folders it is installed in."""

    def __init__(self, folders: Sequence[str]) -> None:
        self._folders = folders

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find a module by its full name; the parts of a package are found by its own path."""
        del path, target
        return PathFinder.find_spec(name, self._folders) if name in PREINSTALLED else None


def main() -> None:
    """Serve invocations until the runtime API ends the process."""
    handler, layout = sys.argv[1], json.loads(sys.argv[2])
    del sys.argv[2:]
    site.setquit()  # `-S` leaves out exit() and quit(), which functions may call
    own, *others = sys.path
    sys.path[:] = [own, *layout["runtime"], *others]
    from awslambdaric.__main__ import main as serve

    # The runtime keeps its own copy; a function that brings a simplejson gets the one it brings.
    for name in [name for name in sys.modules if name.partition(".")[0] == "simplejson"]:
        del sys.modules[name]
    sys.path[:] = [layout["task"], *others, own, *layout["runtime"]]
    sys.meta_path.append(Preinstalled(layout["preinstalled"]))
    serve([sys.argv[0], handler])


if __name__ == "__main__":
    main()
