"""Which signatures a function's code must have: its code signing configuration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

from planton_build.deploy.aspects.aspect import UNMANAGED, Call, Phase, Scope, Unmanaged
from planton_build.deploy.aspects.reading import NOT_FOUND, ask, text
from planton_build.deploy.change import Change
from planton_build.deploy.desired import DesiredFunction
from planton_build.settings.model import OFF

_ABSENT: Final = frozenset({NOT_FOUND, "CodeSigningConfigNotFoundException"})


class CodeSigningAspect:
    """The ARN of the code signing configuration. Set before new code is sent, so that it counts for it."""

    name: ClassVar[str] = "code_signing"
    phase: ClassVar[Phase] = Phase.FUNCTION
    at_creation: ClassVar[bool] = True

    def wanted(self, desired: DesiredFunction) -> str | Unmanaged | None:
        """Return the ARN. Images have no code signing of this kind, so there is none to remove."""
        wanted = desired.settings.code_signing
        if wanted is None or (wanted is OFF and desired.package == "Image"):
            return UNMANAGED
        return None if wanted is OFF else wanted

    def observe(self, scope: Scope, wanted: str | None) -> str | None:  # noqa: ARG002
        """Read the ARN; Lambda answers without one where there is none."""
        client = scope.aws.lambda_(scope.region)
        answer = ask(
            scope,
            "reading the code signing of",
            lambda: client.get_function_code_signing_config(FunctionName=scope.name),
            absent=_ABSENT,
        )
        return text(answer or {}, "CodeSigningConfigArn") or None

    def changes(self, before: str | None, after: str | None) -> list[Change]:
        """Return the difference."""
        return [Change(self.name, before, after)] if before != after else []

    def calls(self, scope: Scope, before: str | None, after: str | None) -> Sequence[Call]:
        """Return the one call that sets or removes it."""
        client = scope.aws.lambda_(scope.region)
        if before == after:
            return []
        if after is None:
            return [
                Call(
                    "DeleteFunctionCodeSigningConfig",
                    "removing the code signing of",
                    lambda: client.delete_function_code_signing_config(FunctionName=scope.name),
                    _ABSENT,
                )
            ]
        return [
            Call(
                "PutFunctionCodeSigningConfig",
                "setting the code signing of",
                lambda: client.put_function_code_signing_config(
                    FunctionName=scope.name, CodeSigningConfigArn=after
                ),
            )
        ]
