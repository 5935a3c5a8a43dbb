"""What `planton-deploy invoke` does in AWS and locally, and how the answer is shown."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from planton_build.cli.commands import state_folder
from planton_build.cli.console import Console
from planton_build.errors import ConfigInvalid, FunctionUnknown, InvocationFailed, PlantonError

if TYPE_CHECKING:
    from planton_build.local.invoke import Invocation
    from planton_build.manifest.document import Manifest
    from planton_build.publish.aws import Aws


def event_of(payload: str) -> bytes:
    """Return the event of `--payload`: JSON text, or `@FILE`.

    Raises:
        ConfigInvalid: the file cannot be read, or the text is not JSON.
    """
    try:
        text = Path(payload[1:]).read_text(encoding="utf-8") if payload.startswith("@") else payload
        json.loads(text, parse_constant=_no_json)
    except OSError as error:
        raise ConfigInvalid(f"--payload {payload}: {error.strerror}", hint="name a readable file") from error
    except ValueError as error:
        raise ConfigInvalid(
            f"--payload is not JSON: {error}", hint="""quote it for the shell, such as '{"a": 1}'"""
        ) from error
    return text.encode()


def _no_json(name: str) -> object:
    raise ValueError(f"{name} is no JSON value")  # though Python writes and reads it


def run_deployed(
    console: Console,
    name: str,
    event: bytes,
    region: str | None,
    profile: str | None,
    qualifier: str = "",
) -> PlantonError | None:
    """Invoke a function in AWS and show the answer; return what went wrong inside it."""
    from planton_build.publish.aws import Aws, AwsSettings

    return _through_api(
        console, name, event, Aws(AwsSettings(region=region, profile=profile)), qualifier, region
    )


def _through_api(
    console: Console, name: str, event: bytes, aws: Aws, qualifier: str, region: str | None
) -> PlantonError | None:
    from planton_build.deploy.invocation import invoke_deployed

    answer = invoke_deployed(name, event, aws, region, qualifier=qualifier)
    if console.as_json:
        console.json(
            {
                "function_name": name,
                "payload": _json_or_text(answer.payload),
                "log": answer.log,
                "error": answer.error,
            }
        )
    else:
        console.err.write(answer.log)
        console.result(answer.payload.decode(errors="replace"))
    if answer.error is None:
        return None
    return InvocationFailed(f"{name} failed ({answer.error})", hint="the log above says why")


def run_local(
    console: Console,
    name: str,
    event: bytes,
    paths: Sequence[Path],
    *,
    qualifier: str = "",
    any_python: bool = False,
) -> PlantonError | None:
    """Run a function that is deployed to the embedded AWS; return what went wrong inside it."""
    from planton_build.cli.aws import Accounts
    from planton_build.local.prepare import region_of
    from planton_build.manifest.model import CodeSourceType

    manifest = _manifest_of(name, paths)
    if qualifier:
        # A version has its own code, which is not the manifest's: the local AWS itself runs it.
        accounts = Accounts(local=True, region=None, profile=None)
        return _through_api(console, name, event, accounts.of(manifest), qualifier, region_of(manifest))
    if manifest.model.spec.code_source_type is CodeSourceType.IMAGE:
        outcome = _from_image(console, manifest, event)
    else:
        outcome = _from_zip(console, manifest, event, any_python=any_python)
    if console.as_json:
        console.json(
            {
                "function_name": name,
                "payload": _json_or_text(outcome.payload),
                "log": outcome.log,
                "error": outcome.error.type or "Error" if outcome.error else None,
                "init_ms": round(outcome.init_ms, 1),
                "duration_ms": round(outcome.duration_ms, 1),
                "max_memory_bytes": outcome.max_memory_bytes,
            }
        )
    else:
        console.result(outcome.payload.decode(errors="replace"))
    try:
        outcome.raise_for_error()
    except InvocationFailed as error:
        return error
    return None


def _from_zip(console: Console, manifest: Manifest, event: bytes, *, any_python: bool) -> Invocation:
    """Run a function's ZIP on a Python of this machine."""
    from planton_build.local.function import fetch_function
    from planton_build.local.invoke import invoke
    from planton_build.local.prepare import account_of, region_of
    from planton_build.local.server import ensure_server
    from planton_build.manifest.code_source import S3Source
    from planton_build.manifest.model import S3Code

    spec, state = manifest.model.spec, state_folder()
    local = ensure_server(state, start=False)
    code = spec.s3 or S3Code()
    with tempfile.TemporaryDirectory(prefix="planton-artifact-") as folder:
        function = fetch_function(
            local,
            spec.function_name,
            code=S3Source(code.bucket, code.key, code.object_version or None),
            region=region_of(manifest),
            folder=Path(folder),
            account=account_of(manifest),
        )
        return invoke(
            function,
            event,
            local=local,
            state=state,
            any_python=any_python,
            on_log=console.log,
            listen=console.listen,
        )


def _from_image(console: Console, manifest: Manifest, event: bytes) -> Invocation:
    """Run a function's image on the container engine of this machine."""
    from planton_build.local.image import fetched_image
    from planton_build.local.invoke_image import invoke_image
    from planton_build.local.prepare import account_of, region_of
    from planton_build.local.registry import local_registries
    from planton_build.local.server import ensure_server
    from planton_build.manifest.code_source import ImageSource
    from planton_build.manifest.model import Architecture

    spec = manifest.model.spec
    local = ensure_server(state_folder(), start=False)
    with fetched_image(
        local,
        spec.function_name,
        code=ImageSource(spec.image_uri),
        architecture="arm64" if spec.architecture is Architecture.ARM64 else "x86_64",
        region=region_of(manifest),
        served_by=local_registries(local, os.environ),
        account=account_of(manifest),
    ) as function:
        return invoke_image(
            function,
            event,
            local=local,
            environment=os.environ,
            on_log=console.log,
            listen=console.listen,
        )


def _json_or_text(payload: bytes) -> object:
    try:
        return json.loads(payload)
    except ValueError:
        return payload.decode(errors="replace")


def _manifest_of(name: str, paths: Sequence[Path]) -> Manifest:
    from planton_build.manifest.load import read_manifests, require_deployable
    from planton_build.project.discovery import find_manifests

    known: list[str] = []
    for path in find_manifests(list(paths) or [Path()]):
        for manifest in read_manifests(path):
            if manifest.model.spec.function_name == name:
                require_deployable(manifest)
                return manifest
            known.append(manifest.model.spec.function_name)
    raise FunctionUnknown(
        f"no manifest here describes a function {name}",
        hint=f"known here: {', '.join(sorted(known)) or 'none'}; --manifest PATH looks elsewhere",
    )
