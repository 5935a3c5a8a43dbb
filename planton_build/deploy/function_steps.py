"""The steps that change the function itself: create, configure, send code, reserve, delete."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from planton_build.deploy.desired import DesiredFunction
from planton_build.deploy.differences import code_changes, differing, fits, same_code
from planton_build.deploy.observed import ObservedFunction, code_digest, observe
from planton_build.deploy.refusals import Refusal
from planton_build.deploy.requests import code_request, configuration_request, create_request
from planton_build.deploy.run import Run
from planton_build.errors import DeployConflict, HashMismatch

_CODE = ("code_sha256", "image_uri", "architecture")
"""What UpdateFunctionCode changes."""


def create(run: Run, desired: DesiredFunction) -> None:
    """Create the function, or accept the one that an earlier, unanswered try has created."""
    client, request = run.client, create_request(desired)

    def reached(refusal: Refusal) -> bool:
        if refusal is Refusal.EXISTS:
            _adopt(run, desired)
            return True
        run.wait_gone()  # of the one that had this name
        return False

    # After a deletion, the account is without its function until this has worked.
    doing = "creating anew, after its deletion," if run.deleted else "creating"
    answer = run.send(doing, lambda: client.create_function(**request), reached=reached)
    run.fresh = run.created = True
    if answer is not None:
        run.expect(answer)
        _check_digest(run, desired, answer)


def _adopt(run: Run, desired: DesiredFunction) -> None:
    """Accept a function that exists after all, if it is what was to be created.

    This is what a lost answer to CreateFunction looks like from here.
    """
    run.settle(ours=True, fresh=True)
    seen = run.seen
    if seen is None:  # pragma: no cover - settle raises for a function that is not there
        return
    others = [change.field for change in code_changes(desired, seen, [])]
    run.expected = seen
    fields = [*differing(desired, seen), *others]
    if seen.package != desired.package:
        fields.append("package")
    if fields:
        raise DeployConflict(
            f"the function {run.name} was created by somebody else meanwhile, and differs in "
            + ", ".join(fields),
            hint="deploy again to update it",
        )


def configure(run: Run, desired: DesiredFunction, fields: tuple[str, ...]) -> None:
    """Set fields of the configuration."""
    client, request = run.client, configuration_request(desired, run.seen, fields)
    answer = run.send(
        "configuring",
        lambda: client.update_function_configuration(**{**request, **run.guard}),
        reached=lambda _: run.arrived(lambda seen: all(fits(name, desired, seen) for name in fields), fields),
    )
    run.expect(answer)


def update_code(run: Run, desired: DesiredFunction) -> None:
    """Point the function to its code, and see that Lambda took the bytes that were built."""
    client, request = run.client, code_request(desired)
    answer = run.send(
        "updating the code of",
        lambda: client.update_function_code(**{**request, **run.guard}),
        reached=lambda _: run.arrived(
            lambda seen: same_code(desired, seen) and seen.architecture == desired.architecture, _CODE
        ),
    )
    run.expect(answer)
    if answer is not None:
        _check_digest(run, desired, answer)


def reserve(run: Run, reserved: int | None) -> None:
    """Reserve concurrent executions; None releases what is reserved."""
    client, name = run.client, run.name
    if reserved is None:
        run.send(
            "releasing the reserved concurrency of",
            lambda: client.delete_function_concurrency(FunctionName=name) or {},
            reached=lambda _: run.arrived(),
        )
    else:
        run.send(
            "reserving concurrency for",
            lambda: client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=reserved),
            reached=lambda _: run.arrived(),
        )
    run.refresh()


def reserve_again(run: Run, before: ObservedFunction, ours: int | None) -> bool:
    """Reserve what was reserved before, in place of `ours`; tell whether there was anything to do."""
    seen = observe(run.name, run.aws, run.region, concurrency=True)
    now = seen.reserved_concurrency if seen else before.reserved_concurrency
    if now == before.reserved_concurrency:
        return False
    if now != ours:
        raise DeployConflict("somebody else changed it meanwhile", hint="look at it in AWS")
    reserve(run, before.reserved_concurrency)
    return True


def delete(run: Run) -> None:
    """Delete the function that was planned for, once it is at rest; one that is gone is as good."""
    client, before = run.client, run.seen
    run.settle(ours=False)
    if run.seen != before:
        raise DeployConflict(
            f"somebody else changed the function {run.name} since it was read, so it was not deleted",
            hint="deploy again; the plan is made anew",
        )
    run.send(
        "deleting",
        lambda: client.delete_function(FunctionName=run.name) or {},
        done_codes={"ResourceNotFoundException"},
    )
    run.deleted = True


def restore_configuration(run: Run, before: ObservedFunction, fields: tuple[str, ...]) -> bool:
    """Set fields as they were before; tell whether there was anything to set."""
    run.settle(ours=False)
    changed = tuple(name for name in fields if getattr(run.seen, name) != getattr(before, name))
    # An environment that Lambda could not read cannot be written either.
    changed = tuple(name for name in changed if getattr(before, name) is not None)
    if not changed:
        return False
    # IPv6 too as it was before: it went with a VPC that was detached.
    client, request = run.client, configuration_request(before, before, changed)
    run.send(
        "restoring the configuration of",
        lambda: client.update_function_configuration(**{**request, **run.guard}),
        reached=lambda _: run.arrived(
            lambda seen: all(getattr(seen, name) == getattr(before, name) for name in changed), changed
        ),
    )
    run.settle(ours=True)
    if before.environment is None and "environment" in fields:
        raise DeployConflict(
            "Lambda did not tell the former environment variables, so they are not set again"
        )
    return True


def restore_code(run: Run, before: ObservedFunction, code: Mapping[str, Any]) -> bool:
    """Point the function to `code` (members of UpdateFunctionCode), unless it has the code of before."""
    run.settle(ours=False)
    same = run.seen is not None and (run.seen.code_sha256, run.seen.architecture) == (
        before.code_sha256,
        before.architecture,
    )
    if same:
        return False
    client = run.client
    request: dict[str, Any] = {
        "FunctionName": run.name,
        "Architectures": [before.architecture],
        **code,
    }
    run.send(
        "restoring the code of",
        lambda: client.update_function_code(**{**request, **run.guard}),
        reached=lambda _: run.arrived(lambda seen: seen.code_sha256 == before.code_sha256, _CODE),
    )
    run.settle(ours=True)
    return True


def _check_digest(run: Run, desired: DesiredFunction, answer: Mapping[str, Any]) -> None:
    """Compare the bytes that Lambda took with those that the code source's name promises."""
    wanted, found = desired.code_sha256, code_digest(answer.get("CodeSha256"))
    if desired.package == "Zip" and wanted and found and wanted != found:
        raise HashMismatch(
            f"Lambda took other code for {run.name} than its manifest names: SHA-256 {found}, "
            f"where {wanted} was published",
            hint="the object in S3 was overwritten; delete it, run `planton-build` and deploy again",
        )
