"""The errors of a deployment that ends badly without a refusal: not allowed, not in time, not working."""

from __future__ import annotations

from planton_build.deploy.observed import ObservedFunction
from planton_build.deploy.plan import Plan
from planton_build.deploy.refusals import state_hint
from planton_build.errors import DeployTimeout, FunctionFailed, ReplacementRequired
from planton_build.publish.aws_errors import clean


def replacement_required(plan: Plan) -> ReplacementRequired:
    """Return the error for a plan that deletes a function, where nobody has allowed that."""
    return ReplacementRequired(
        plan.notes[0],
        hint="`planton-deploy plan` says what is lost with it; pass --replace to delete and create it anew, "
        "or give the function another name",
    )


def timed_out(name: str, seen: ObservedFunction | None, waited: float) -> DeployTimeout:
    """Return the error for a function that did not come to rest in time."""
    state = f"state {seen.state}, update {seen.last_update}" if seen else "not found"
    return DeployTimeout(
        f"Lambda has been busy with the function {name} for {waited:.0f} s ({state})",
        hint="Lambda goes on by itself; deploy again later to see the outcome",
    )


def failed(seen: ObservedFunction) -> FunctionFailed:
    """Return the error for a function, or an update of one, that Lambda could not carry out."""
    code, reason = seen.failure
    what = "the function" if seen.state == "Failed" else "the last update of the function"
    said = ": ".join(part for part in (clean(code), clean(reason)) if part) or "Lambda gives no reason"
    serving = "" if seen.state == "Failed" else "; the code from before goes on serving"
    return FunctionFailed(
        f"{what} {seen.name} failed ({said}){serving}",
        hint=state_hint(code),
    )


def never_gone(seen: ObservedFunction, waited: float) -> DeployTimeout:
    """Return the error for a function whose deletion does not end."""
    return DeployTimeout(
        f"Lambda has been deleting the function {seen.name} for {waited:.0f} s (state {seen.state})",
        hint="deploy again later: the function is created when the old one is gone",
    )
