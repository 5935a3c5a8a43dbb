"""What Lambda does about a function that goes on calling itself through a queue or topic."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal, TypeAlias

from planton_build.deploy.aspects.aspect import UNMANAGED, Call, Phase, Scope, Unmanaged
from planton_build.deploy.aspects.reading import ask, text
from planton_build.deploy.change import Change
from planton_build.deploy.desired import DesiredFunction

Recursion: TypeAlias = Literal["Allow", "Terminate"]


class RecursionAspect:
    """`RecursiveLoop`. Every function has a value of it; None is only that of a function not there yet."""

    name: ClassVar[str] = "recursion"
    phase: ClassVar[Phase] = Phase.FUNCTION
    at_creation: ClassVar[bool] = False

    def wanted(self, desired: DesiredFunction) -> Recursion | Unmanaged | None:
        """Return the configured value."""
        return desired.settings.recursion or UNMANAGED

    def observe(self, scope: Scope, wanted: Recursion | None) -> Recursion | None:  # noqa: ARG002
        """Read the value; Terminate is Lambda's own choice (GetFunctionRecursionConfig)."""
        client = scope.aws.lambda_(scope.region)
        answer = ask(
            scope,
            "reading the recursion of",
            lambda: client.get_function_recursion_config(FunctionName=scope.name),
        )
        if answer is None:
            return None
        return "Allow" if text(answer, "RecursiveLoop") == "Allow" else "Terminate"

    def changes(self, before: Recursion | None, after: Recursion | None) -> list[Change]:
        """Return the difference."""
        return [Change(self.name, before, after)] if before != after else []

    def calls(self, scope: Scope, before: Recursion | None, after: Recursion | None) -> Sequence[Call]:
        """Return the call that sets it. There is no going back to None: the function goes then."""
        if after is None or before == after:
            return []
        client = scope.aws.lambda_(scope.region)
        return [
            Call(
                "PutFunctionRecursionConfig",
                "setting the recursion of",
                lambda: client.put_function_recursion_config(FunctionName=scope.name, RecursiveLoop=after),
            )
        ]
