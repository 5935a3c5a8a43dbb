"""`LocalRunner`: runs invocations that reach the local AWS through its API, as `invoke --local` would.

A ZIP runs on a Python of this machine, an image on its container engine. What this machine cannot run is
answered with an error of the function that says so, because the API has no other way to tell. What a
function writes goes to the CloudWatch Logs of the local AWS as well.
"""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from planton_build.emulator.state import Code, Function
from planton_build.errors import ArtifactNotRunnable, PlantonError
from planton_build.events import Event, Listener, Note
from planton_build.local.function import RunnableFunction
from planton_build.local.image import opened_image
from planton_build.local.invoke import Invocation, invoke
from planton_build.local.invoke_image import invoke_image
from planton_build.local.registry_keeper import Keeper
from planton_build.local.server import LocalAws
from planton_build.publish.ecr import is_ecr

NOT_RUN = "Planton.NotRunnable"
"""`errorType` of what this machine cannot run."""
LATEST = "$LATEST"


@dataclass(slots=True)
class LocalRunner:
    """Runs versions of functions. `endpoint` is the local AWS's own, known once it listens."""

    state: Path
    keeper: Keeper
    endpoint: str = field(default="", init=False)

    def __call__(self, function: Function, version: str, event: bytes) -> tuple[bytes, str, str | None]:
        """Return the payload, the log, and `Unhandled` for an invocation that failed, or None."""
        one = function.latest if version == LATEST else function.versions[version]
        configuration, code = one.running
        notes: list[str] = []

        def listen(happened: Event) -> None:
            if isinstance(happened, Note):
                notes.append(f"[{happened.level}] {happened.message}\n")

        try:
            invocation = self._run(configuration, code, version, event, listen)
        except PlantonError as error:
            text = f"{error.message}. {error.hint}" if error.hint else error.message
            payload = json.dumps({"errorType": NOT_RUN, "errorMessage": text}).encode()
            return payload, f"{''.join(notes)}[ERROR] {NOT_RUN}: {text}\n", "Unhandled"
        log = _log(invocation, version, configuration, "".join(notes))
        return invocation.payload, log, "Unhandled" if invocation.error else None

    def _run(
        self, configuration: dict[str, Any], code: Code, version: str, event: bytes, listen: Listener
    ) -> Invocation:
        local = LocalAws(self.endpoint, str(configuration["FunctionArn"]).split(":")[3], os.getpid())
        if code.package == "Image":
            architecture = str((configuration.get("Architectures") or ["x86_64"])[0])
            with opened_image(
                configuration,
                code.image_uri,
                architecture=architecture,
                region=local.region,
                served_by=self._served_by,
            ) as image:
                return invoke_image(image, event, local=local, environment={}, listen=listen)
        if code.read is None:
            raise ArtifactNotRunnable("the local AWS does not have the function's code")
        with tempfile.TemporaryDirectory(prefix="planton-artifact-", ignore_cleanup_errors=True) as folder:
            artifact = Path(folder) / "artifact.zip"
            artifact.write_bytes(code.read())
            function = _runnable(configuration, version, artifact)
            return invoke(
                function, event, local=local, state=self.state.resolve(), any_python=True, listen=listen
            )

    def _served_by(self, host: str) -> str | None:
        """Return where the registry of a host is. Those of AWS are never asked."""
        if not is_ecr(host):
            return None
        if address := self.keeper.serving():
            return address
        raise ArtifactNotRunnable(
            f"the local AWS has no registry that serves {host}",
            hint="Run it with `planton-deploy invoke --local`: that knows PLANTON_LOCAL_REGISTRY.",
        )


def _runnable(configuration: dict[str, Any], version: str, artifact: Path) -> RunnableFunction:
    arn = str(configuration["FunctionArn"])
    return RunnableFunction(
        name=configuration["FunctionName"],
        arn=arn,
        version=version,
        runtime=configuration.get("Runtime") or "",
        handler=configuration.get("Handler") or "",
        region=arn.split(":")[3],
        memory_mb=configuration.get("MemorySize", 128),
        timeout=configuration.get("Timeout", 3),
        environment=(configuration.get("Environment") or {}).get("Variables", {}),
        layers=tuple(layer["Arn"] for layer in configuration.get("Layers", ())),
        artifact=artifact,
    )


def _log(invocation: Invocation, version: str, configuration: dict[str, Any], notes: str) -> str:
    """Return what the function wrote between Lambda's own lines."""
    request, memory = invocation.request_id, configuration.get("MemorySize", 128)
    written = invocation.log if invocation.log.endswith("\n") or not invocation.log else f"{invocation.log}\n"
    used = (invocation.max_memory_bytes or 0) // (1 << 20)
    billed = max(1, round(invocation.duration_ms))
    return (
        f"START RequestId: {request} Version: {version}\n{notes}{written}END RequestId: {request}\n"
        f"REPORT RequestId: {request}\tDuration: {invocation.duration_ms:.2f} ms\t"
        f"Billed Duration: {billed} ms\tMemory Size: {memory} MB\tMax Memory Used: {used} MB\t"
        f"Init Duration: {invocation.init_ms:.2f} ms\n"
    )
