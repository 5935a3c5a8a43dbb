"""Execution environments of the alias that are kept ready."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from planton_build.deploy.aspects.aspect import UNMANAGED, Answer, Call, Phase, Scope, Unmanaged
from planton_build.deploy.aspects.reading import NOT_FOUND, ask, number, text
from planton_build.deploy.change import Change
from planton_build.deploy.desired import DesiredFunction
from planton_build.errors import ConfigInvalid, FunctionFailed
from planton_build.publish.aws_errors import clean
from planton_build.settings.model import OFF

_ABSENT: Final = frozenset({NOT_FOUND, "ProvisionedConcurrencyConfigNotFoundException"})


@dataclass(frozen=True, slots=True)
class Provisioned:
    """How many environments are asked for. `failure` is why Lambda could not make them ready, or ""."""

    executions: int
    failure: str = ""


class ProvisionedConcurrencyAspect:
    """Provisioned concurrency of the alias. One that failed counts as different, and is asked for again."""

    name: ClassVar[str] = "provisioned_concurrency"
    phase: ClassVar[Phase] = Phase.SERVING
    at_creation: ClassVar[bool] = False

    def wanted(self, desired: DesiredFunction) -> Provisioned | Unmanaged | None:
        """Return the number. Raises ConfigInvalid without an alias, because `$LATEST` cannot have any."""
        wanted = desired.settings.provisioned_concurrency
        if wanted is None:
            return UNMANAGED
        if wanted is OFF:
            return None if desired.settings.alias else UNMANAGED
        if not desired.settings.alias:
            raise ConfigInvalid(
                f"{desired.name} has provisioned concurrency but no alias, and Lambda provides it for "
                "published versions only",
                hint='add `alias = "live"` to its [deploy] table',
            )
        return Provisioned(wanted)

    def observe(self, scope: Scope, wanted: Provisioned | None) -> Provisioned | None:  # noqa: ARG002
        """Read what is asked for now."""
        answer = ask(scope, "reading the provisioned concurrency of", lambda: _read(scope), absent=_ABSENT)
        executions = number(answer or {}, "RequestedProvisionedConcurrentExecutions")
        return Provisioned(executions, _failure(answer or {})) if executions is not None else None

    def changes(self, before: Provisioned | None, after: Provisioned | None) -> list[Change]:
        """Return the difference."""
        return [Change(self.name, _shown(before), _shown(after))] if before != after else []

    def calls(self, scope: Scope, before: Provisioned | None, after: Provisioned | None) -> Sequence[Call]:
        """Return the call that asks for it, ended when it is ready; or the one that gives it up."""
        if before == after:
            return []
        client = scope.aws.lambda_(scope.region)
        if after is None:
            return [
                Call(
                    "DeleteProvisionedConcurrencyConfig",
                    "removing the provisioned concurrency of",
                    lambda: client.delete_provisioned_concurrency_config(**scope.qualified),
                    _ABSENT,
                )
            ]
        return [
            Call(
                "PutProvisionedConcurrencyConfig",
                "providing concurrency for",
                lambda: client.put_provisioned_concurrency_config(
                    **scope.qualified, ProvisionedConcurrentExecutions=after.executions
                ),
                # What had failed before is asked for again by an undo, but not waited for.
                settled=None if after.failure else lambda: _ready(scope),
            )
        ]


def _read(scope: Scope) -> Answer:
    return scope.aws.lambda_(scope.region).get_provisioned_concurrency_config(**scope.qualified)


def _failure(answer: Answer) -> str:
    if text(answer, "Status") != "FAILED":
        return ""
    return clean(text(answer, "StatusReason")) or "Lambda gives no reason"


def _ready(scope: Scope) -> bool:
    """Tell whether the environments are ready. Raises FunctionFailed when they will not be."""
    answer = ask(scope, "reading the provisioned concurrency of", lambda: _read(scope), absent=_ABSENT) or {}
    if failure := _failure(answer):
        raise FunctionFailed(
            f"the provisioned concurrency of {scope.name}:{scope.qualifier} failed ({failure})",
            hint="the function must start without an error, within the limits of the account; see its log",
        )
    return text(answer, "Status") == "READY"


def _shown(state: Provisioned | None) -> str | None:
    if state is None:
        return None
    return f"{state.executions} (failed: {state.failure})" if state.failure else str(state.executions)
