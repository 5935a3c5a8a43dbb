"""The variables of a function's process: those that Lambda sets, and the manifest's."""

from __future__ import annotations

from planton_build.project.function import FunctionProject
from planton_build.sandbox.job import ENVIRONMENT

DEFAULT_MEMORY, DEFAULT_TIMEOUT = 128, 3
"""What Lambda gives a function that asks for nothing: MB and seconds (CreateFunction)."""
ACCOUNT_REGION = "us-east-1"
"""The region of a function whose manifest names none; only for the function's eyes."""
UNSET = frozenset(ENVIRONMENT)
"""What the sandbox sets for builds, and Lambda does not."""


def memory_mb(project: FunctionProject) -> int:
    """Return the function's memory in MB."""
    return max(DEFAULT_MEMORY, project.manifest.model.spec.memory_mb)


def timeout_seconds(project: FunctionProject) -> int:
    """Return what one invocation may take, in seconds."""
    return project.manifest.model.spec.timeout_seconds or DEFAULT_TIMEOUT


def function_environment(project: FunctionProject) -> dict[str, str]:
    """Return the variables that come over those of the runtime's image.

    First what a function may replace, then its own, then what Lambda reserves
    (https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html). The credentials are words in
    the place of credentials: there is nothing that they could open, and no network to try them.
    """
    spec = project.manifest.model.spec
    region = spec.region or ACCOUNT_REGION
    memory = str(memory_mb(project))
    replaceable = {"LANG": "en_US.UTF-8", "HOME": "/tmp"}  # noqa: S108 - in the container
    reserved = {
        "_HANDLER": project.handler,
        "_X_AMZN_TRACE_ID": "",
        "AWS_ACCESS_KEY_ID": "verify",
        "AWS_SECRET_ACCESS_KEY": "verify",
        "AWS_SESSION_TOKEN": "verify",
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "AWS_EXECUTION_ENV": f"AWS_Lambda_{project.target.runtime}",
        "AWS_LAMBDA_FUNCTION_NAME": project.name,
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": memory,
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{project.name}",
        "AWS_LAMBDA_LOG_STREAM_NAME": "verify/[$LATEST]",
        "LAMBDA_TASK_ROOT": "/var/task",
        "LAMBDA_RUNTIME_DIR": "/var/runtime",
        "TZ": ":UTC",
    }
    return {**replaceable, **spec.environment, **reserved}
