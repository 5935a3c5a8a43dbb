"""What becomes of asynchronous events: retries, age, destinations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Final

from planton_build.deploy.aspects.aspect import UNMANAGED, Answer, Call, Phase, Scope, Unmanaged
from planton_build.deploy.aspects.reading import ABSENT, ask, mapping, number, text
from planton_build.deploy.change import Change
from planton_build.deploy.desired import DesiredFunction
from planton_build.settings.model import OFF, AsyncInvocation

_LAMBDAS_OWN: Final = AsyncInvocation()


class AsynchronousAspect:
    """The configuration for asynchronous invocations of what serves."""

    name: ClassVar[str] = "asynchronous"
    phase: ClassVar[Phase] = Phase.SERVING
    at_creation: ClassVar[bool] = False

    def wanted(self, desired: DesiredFunction) -> AsyncInvocation | Unmanaged | None:
        """Return what is configured, None where it is switched off."""
        wanted = desired.settings.asynchronous
        if wanted is None:
            return UNMANAGED
        return None if wanted is OFF else wanted

    def observe(self, scope: Scope, wanted: AsyncInvocation | None) -> AsyncInvocation | None:  # noqa: ARG002
        """Read the configuration; what it leaves out has Lambda's own value."""
        client = scope.aws.lambda_(scope.region)
        answer = ask(
            scope,
            "reading the asynchronous invocation of",
            lambda: client.get_function_event_invoke_config(**scope.qualified),
        )
        if answer is None:
            return None
        retries, age = number(answer, "MaximumRetryAttempts"), number(answer, "MaximumEventAgeInSeconds")
        destinations = mapping(answer, "DestinationConfig")
        return AsyncInvocation(
            retries=_LAMBDAS_OWN.retries if retries is None else retries,
            max_age=_LAMBDAS_OWN.max_age if age is None else age,
            on_success=_destination(destinations, "OnSuccess"),
            on_failure=_destination(destinations, "OnFailure"),
        )

    def changes(self, before: AsyncInvocation | None, after: AsyncInvocation | None) -> list[Change]:
        """Return one difference for each property, or one for the whole."""
        if after is None:
            return [Change(self.name, "configured", None)] if before else []
        old, new = _shown(before), _shown(after)
        return [
            Change(f"{self.name}.{key}", old.get(key), new.get(key))
            for key in new
            if old.get(key) != new.get(key)
        ]

    def calls(
        self, scope: Scope, before: AsyncInvocation | None, after: AsyncInvocation | None
    ) -> Sequence[Call]:
        """Return the one call that sets all of it anew, or removes it."""
        if before == after:
            return []
        client = scope.aws.lambda_(scope.region)
        if after is None:
            return [
                Call(
                    "DeleteFunctionEventInvokeConfig",
                    "removing the asynchronous invocation of",
                    lambda: client.delete_function_event_invoke_config(**scope.qualified),
                    ABSENT,
                )
            ]
        request: Any = {
            **scope.qualified,
            "MaximumRetryAttempts": after.retries,
            "MaximumEventAgeInSeconds": after.max_age,
            **_destinations(after),
        }
        return [
            Call(
                "PutFunctionEventInvokeConfig",
                "configuring the asynchronous invocation of",
                lambda: client.put_function_event_invoke_config(**request),
            )
        ]


def _destination(destinations: Answer, key: str) -> str:
    return text(mapping(destinations, key), "Destination")


def _destinations(state: AsyncInvocation) -> dict[str, Any]:
    """Return the destinations; Put replaces everything, so one that is left out is removed."""
    named = {"OnSuccess": state.on_success, "OnFailure": state.on_failure}
    config = {key: {"Destination": arn} for key, arn in named.items() if arn}
    return {"DestinationConfig": config} if config else {}


def _shown(state: AsyncInvocation | None) -> dict[str, str | None]:
    if state is None:
        return {}
    return {
        "retries": str(state.retries),
        "max_age": f"{state.max_age} s",
        "on_success": state.on_success or None,
        "on_failure": state.on_failure or None,
    }
