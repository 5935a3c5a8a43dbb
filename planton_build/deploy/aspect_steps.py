"""Leading an aspect from one state to another, call by call."""

from __future__ import annotations

import time
from typing import Any

from planton_build.deploy.aspects.aspect import Aspect, Call, Phase, Scope
from planton_build.deploy.refusals import Refusal
from planton_build.deploy.run import Run
from planton_build.errors import DeployConflict, DeployTimeout


def lead(run: Run, aspect: Aspect[Any], scope: Scope, before: object, after: object) -> None:
    """Make the calls that lead an aspect from `before` to `after`, each with its wait.

    Lambda says "exists" also when an earlier try of a call arrived and its answer was lost. Then the aspect
    is read again, and what is left to do is done.

    Raises what `Run.send` raises, and FunctionFailed or DeployTimeout for a change that does not end well.
    """
    calls = list(aspect.calls(scope, before, after))
    while calls:
        calls = _take(run, aspect, scope, calls, after)
    if run.seen is not None and aspect.phase is Phase.FUNCTION:
        run.refresh()


def _take(run: Run, aspect: Aspect[Any], scope: Scope, calls: list[Call], after: object) -> list[Call]:
    """Make the first call, and return those that are left."""
    call, *rest = calls

    def reached(refusal: Refusal) -> bool:
        nonlocal rest
        if refusal is not Refusal.EXISTS:
            run.settle(ours=False)
            return False
        rest = list(aspect.calls(scope, aspect.observe(scope, after), after))
        return len(rest) < len(calls)

    run.send(call.doing, lambda: _sent(call), reached=reached, done_codes=call.done_codes, hidden=call.hidden)
    if call.settled is not None:
        _wait(run, call)
    return rest


def _sent(call: Call) -> dict[str, Any]:
    answer = call.send()
    return answer if isinstance(answer, dict) else {}


def _wait(run: Run, call: Call) -> None:
    """Poll until what was called for is done."""
    settled = call.settled
    started, pause = time.monotonic(), run.patience.poll / 8
    while settled is not None and not settled():
        if (waited := time.monotonic() - started) > run.patience.settle:
            raise DeployTimeout(
                f"AWS has been {call.doing} the function {run.name} for {waited:.0f} s",
                hint="AWS goes on by itself; deploy again later to see the outcome",
            )
        pause = min(run.patience.poll, pause * 2)
        time.sleep(pause)


def lead_back(
    run: Run, aspect: Aspect[Any], scope: Scope, before: object, after: object, *, whole: bool = True
) -> bool:
    """Lead an aspect from `after` back to `before`; tell whether there was anything to do.

    It is read in the terms of `after`: only that says what of it was managed. Unless it was led there as a
    `whole`, it may be anywhere in between.

    Raises DeployConflict when it is not as it was led, or not as it was in the end, and as `lead`.
    """
    now = aspect.observe(scope, after)
    if now == before:
        return False
    if whole and now != after:
        raise DeployConflict("somebody else changed it meanwhile", hint="look at it in AWS")
    lead(run, aspect, scope, now, before)
    if aspect.observe(scope, after) != before:
        raise DeployConflict(
            f"{aspect.name.replace('_', ' ')} of {run.name} is not as it was", hint="look at it in AWS"
        )
    return True
