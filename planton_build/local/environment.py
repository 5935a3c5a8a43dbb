"""The command line and the environment of a function's process: Lambda's, and nothing of this host's."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from planton_build.local.function import RunnableFunction
from planton_build.local.interpreters import Interpreter
from planton_build.local.runtime import bootstrap
from planton_build.local.server import LocalAws

if TYPE_CHECKING:
    from planton_build.local.image import RunnableImage

_RUNTIME = Path(bootstrap.__file__).parent


def command(
    interpreter: Interpreter, function: RunnableFunction, task: Path, wheels: Iterable[Path]
) -> list[str]:
    """Return the command that serves `function`, unpacked in `task`. `bootstrap` says what its parts mean."""
    layout = {
        "task": str(task),
        "runtime": [str(wheel) for wheel in wheels],
        "preinstalled": _sdk_folders(),
    }
    script = _RUNTIME / "bootstrap.py"
    return [str(interpreter.path), "-S", "-B", str(script), function.handler, json.dumps(layout)]


def _sdk_folders() -> list[str]:
    """Return the folders that the tool's own boto3 and its dependencies are installed in."""
    found: dict[str, None] = {}
    for name in bootstrap.PREINSTALLED:
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.origin:
            file = Path(spec.origin)
            found[str(file.parent.parent if spec.submodule_search_locations else file.parent)] = None
    return list(found)


def environment(function: RunnableFunction, root: Path, api: str, local: LocalAws) -> dict[str, str]:
    """Return all variables of the process.

    First what a function may replace, then its own, then what Lambda reserves
    (https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html). HOME and TMPDIR are not
    Lambda's: they keep the function away from this user's files, `~/.aws` above all.
    """
    task = root / "var" / "task"
    replaceable = {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "LD_LIBRARY_PATH": f"{task}{os.pathsep}{task / 'lib'}",
        "LANG": "en_US.UTF-8",
        "HOME": str(root / "home"),
        "TMPDIR": str(root / "tmp"),
        "AWS_ENDPOINT_URL": local.endpoint,
    }
    if sys.platform == "win32":  # Python does not start without it
        replaceable |= {"SYSTEMROOT": os.environ.get("SYSTEMROOT", ""), "TEMP": replaceable["TMPDIR"]}
    reserved = {
        "_HANDLER": function.handler,
        "_X_AMZN_TRACE_ID": "",
        "AWS_EXECUTION_ENV": f"AWS_Lambda_{function.runtime}",
        "AWS_LAMBDA_RUNTIME_API": api,
        "LAMBDA_TASK_ROOT": str(task),
        "LAMBDA_RUNTIME_DIR": str(_RUNTIME),
        **_of_the_function(function, local),
    }
    return {**replaceable, **function.environment, **reserved}


def image_environment(function: RunnableImage, endpoint: str | None, local: LocalAws) -> dict[str, str]:
    """Return the variables that come over those of a function's image; its emulator adds others.

    `endpoint` is where the function reaches the local AWS, if it does.
    """
    replaceable = {"HOME": "/tmp"}  # noqa: S108 - in the container
    if endpoint is not None:
        replaceable["AWS_ENDPOINT_URL"] = endpoint
    variables = {**replaceable, **function.environment, **_of_the_function(function, local)}
    # The sign, to the images' entrypoint, that Lambda is there and no emulator is needed.
    variables.pop("AWS_LAMBDA_RUNTIME_API", None)
    return variables


def _of_the_function(function: RunnableFunction | RunnableImage, local: LocalAws) -> dict[str, str]:
    """Return what Lambda reserves and tells each function, whatever its code is."""
    key, secret = local.credentials(function.account)
    return {
        "AWS_ACCESS_KEY_ID": key,
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_SESSION_TOKEN": "local",
        "AWS_REGION": function.region,
        "AWS_DEFAULT_REGION": function.region,
        "AWS_LAMBDA_FUNCTION_NAME": function.name,
        "AWS_LAMBDA_FUNCTION_VERSION": function.version,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_mb),
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{function.name}",
        "AWS_LAMBDA_LOG_STREAM_NAME": f"local/[{function.version}]",
        "TZ": ":UTC",
    }
