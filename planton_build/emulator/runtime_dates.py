"""From when Lambda refuses new functions and updates of a runtime."""

from __future__ import annotations

from datetime import date

from planton_build.emulator.refusal import invalid

_SPRING_2027 = (date(2027, 2, 1), date(2027, 3, 3))
_SUMMER_2027 = (date(2027, 7, 31), date(2027, 8, 31))
_NEVER = (date.min, date.min)
_BLOCKED: dict[str, tuple[date, date]] = {
    **dict.fromkeys(("python3.8", "python3.9", "python3.10"), _SPRING_2027),
    **dict.fromkeys(("nodejs16.x", "nodejs18.x", "nodejs20.x"), _SPRING_2027),
    **dict.fromkeys(("dotnet6", "dotnet8", "ruby3.2", "provided.al2"), _SPRING_2027),
    **dict.fromkeys(("python3.11", "java8.al2", "java11", "java17"), _SUMMER_2027),
    **dict.fromkeys(("python3.7", "nodejs14.x", "ruby2.7"), (date(2024, 1, 9), date(2027, 3, 3))),
    **dict.fromkeys(("java8", "go1.x", "provided"), (date(2024, 2, 8), date(2027, 3, 3))),
    **dict.fromkeys(("python2.7", "python3.6", "ruby2.5"), _NEVER),
    **dict.fromkeys(("nodejs", "nodejs4.3", "nodejs4.3-edge", "nodejs6.10", "nodejs8.10"), _NEVER),
    **dict.fromkeys(("nodejs10.x", "nodejs12.x"), _NEVER),
    **dict.fromkeys(("dotnetcore1.0", "dotnetcore2.0", "dotnetcore2.1", "dotnetcore3.1"), _NEVER),
    "nodejs22.x": (date(2027, 6, 1), date(2027, 7, 1)),
    "ruby3.3": (date(2027, 4, 30), date(2027, 5, 31)),
}
"""Creation and update are refused from these days on: cfn-lint 1.58, `LmbdRuntimeLifecycle.json`. Runtimes
with later dates are left out, which AWS tends to postpone."""


def check_runtime_dates(runtime: str, *, creating: bool, today: date | None = None) -> None:
    """Raise Refusal when Lambda takes no new functions of a runtime any more, or no updates."""
    creation, update = _BLOCKED.get(runtime, (date.max, date.max))
    if (today or date.today()) >= (creation if creating else update):
        raise invalid(
            f"The runtime parameter of {runtime} is no longer supported for creating or updating AWS Lambda "
            "functions. We recommend you use a supported runtime while creating or updating functions."
        )
