"""When Lambda moves a function to a new patch of its runtime."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from planton_build.deploy.aspects.aspect import UNMANAGED, Call, Phase, Scope, Unmanaged
from planton_build.deploy.aspects.reading import ask, text
from planton_build.deploy.change import Change
from planton_build.deploy.desired import DesiredFunction
from planton_build.settings.model import RuntimeManagement


class RuntimeManagementAspect:
    """The runtime management of `$LATEST`, which a version takes over when it is published.

    Every function has one; None is only that of a function not there yet.
    """

    name: ClassVar[str] = "runtime_management"
    phase: ClassVar[Phase] = Phase.FUNCTION
    at_creation: ClassVar[bool] = False

    def wanted(self, desired: DesiredFunction) -> RuntimeManagement | Unmanaged | None:
        """Return the configured value."""
        return desired.settings.runtime_management or UNMANAGED

    def observe(self, scope: Scope, wanted: RuntimeManagement | None) -> RuntimeManagement | None:  # noqa: ARG002
        """Read the value; a version counts for Manual alone."""
        client = scope.aws.lambda_(scope.region)
        answer = ask(
            scope,
            "reading the runtime management of",
            lambda: client.get_runtime_management_config(FunctionName=scope.name),
        )
        if answer is None:
            return None
        update: Literal["Auto", "FunctionUpdate", "Manual"]
        match text(answer, "UpdateRuntimeOn"):
            case "Manual":
                return RuntimeManagement("Manual", text(answer, "RuntimeVersionArn"))
            case "FunctionUpdate":
                update = "FunctionUpdate"
            case _:
                update = "Auto"
        return RuntimeManagement(update)

    def changes(self, before: RuntimeManagement | None, after: RuntimeManagement | None) -> list[Change]:
        """Return the difference."""
        return [Change(self.name, _shown(before), _shown(after))] if before != after else []

    def calls(
        self, scope: Scope, before: RuntimeManagement | None, after: RuntimeManagement | None
    ) -> Sequence[Call]:
        """Return the call that sets it. There is no going back to None: the function goes then."""
        if after is None or before == after:
            return []
        client = scope.aws.lambda_(scope.region)
        version: Any = {"RuntimeVersionArn": after.version_arn} if after.version_arn else {}
        return [
            Call(
                "PutRuntimeManagementConfig",
                "setting the runtime management of",
                lambda: client.put_runtime_management_config(
                    FunctionName=scope.name, UpdateRuntimeOn=after.update, **version
                ),
            )
        ]


def _shown(value: RuntimeManagement | None) -> str | None:
    return " ".join(part for part in (value.update, value.version_arn) if part) if value else None
