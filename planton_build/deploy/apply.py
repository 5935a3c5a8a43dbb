"""Carry out a plan: call, wait until Lambda has settled, call again. Safe to kill and to run again."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from planton_build.deploy.availability import BaseUrlOf, require_code
from planton_build.deploy.desired import DesiredFunction
from planton_build.deploy.failures import failed, never_gone, replacement_required, timed_out
from planton_build.deploy.observed import ObservedFunction, code_digest, observe
from planton_build.deploy.patience import Patience, Tries
from planton_build.deploy.plan import (
    CreateFunction,
    DeleteConcurrency,
    DeleteFunction,
    Plan,
    PutConcurrency,
    RequireCode,
    Step,
    UpdateCode,
    UpdateConfiguration,
    WaitGone,
    WaitSettled,
    same_code,
)
from planton_build.deploy.plan import plan as compare
from planton_build.deploy.refusals import Refusal, classify, hint_for
from planton_build.deploy.requests import code_request, configuration_request, create_request
from planton_build.errors import (
    DeployConflict,
    DeployRefused,
    HashMismatch,
    PlantonError,
)
from planton_build.events import Listener, Note, StepFinished, StepStarted, ignore
from planton_build.publish.aws import Aws
from planton_build.publish.aws_errors import error_code, explain

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

_Call: TypeAlias = Callable[[dict[str, Any]], Mapping[str, Any]]
"""A change to send. It is given `{"RevisionId": …}`, or {} where there is none."""
_Done: TypeAlias = Callable[[ObservedFunction], bool]
"""Tells whether a function has a change already."""

_LABELS = {
    CreateFunction: "create",
    UpdateConfiguration: "configure",
    UpdateCode: "code",
    PutConcurrency: "concurrency",
    DeleteConcurrency: "concurrency",
    RequireCode: "look for code",
    DeleteFunction: "delete",
    WaitGone: "wait",
    WaitSettled: "wait",
}


@dataclass(frozen=True, slots=True)
class Applied:
    """What a deployment did. `calls` counts the calls that change something, refused ones included.

    `version` is always None: nothing is published, `$LATEST` alone is changed. `observed` is the function as
    it was last read.
    """

    function: str
    changed: bool
    calls: int
    observed: ObservedFunction | None
    version: str | None = None


def apply(
    plan: Plan,
    aws: Aws,
    region: str | None,
    listener: Listener = ignore,
    *,
    patience: Patience | None = None,
    replacing: bool = False,
    base_url_of: BaseUrlOf | None = None,
) -> Applied:
    """Take the steps of a plan, each with a wait where Lambda needs one; a plan without steps calls nothing.

    `region` is the function's; None means the session's. Waits are polls of GetFunction rather than the SDK's
    waiters, which do not end on the states Inactive, Deactivated and ActiveNonInvocable.

    A function is deleted, to be created anew, only when `replacing` is set, and when its new code is seen to
    be there; `base_url_of` is as in `require_code`. Killed in between, the next plan is to create it.

    Raises ReplacementRequired, DeployRefused, DeployConflict (somebody else changed the function since it was
    read), DeployTimeout, FunctionFailed, HashMismatch (Lambda got other bytes than the code source's name
    says), AccessDenied, CredentialsMissing or AwsUnreachable; and what `require_code` raises.
    """
    if plan.replaces and not replacing:
        raise replacement_required(plan)
    run = _Run(plan, aws, region, listener, patience or Patience(), base_url_of)
    for note in plan.notes:
        listener(Note(plan.desired.name, note))
    for step in plan.steps:
        run.take(step)
    return Applied(plan.desired.name, run.changed, run.calls, run.seen)


class _Run:
    """One deployment under way: the function as last seen, and how to change it."""

    def __init__(
        self,
        plan: Plan,
        aws: Aws,
        region: str | None,
        listener: Listener,
        patience: Patience,
        base_url_of: BaseUrlOf | None,
    ) -> None:
        self.desired: DesiredFunction = plan.desired
        self.seen: ObservedFunction | None = plan.observed
        self.calls = 0
        self.changed = False
        self._fresh = False
        self._deleted = False
        self._base_url_of = base_url_of
        self._aws = aws
        self._region = region
        self._listener = listener
        self._patience = patience

    @property
    def _client(self) -> LambdaClient:
        return self._aws.lambda_(self._region)

    @property
    def _name(self) -> str:
        return self.desired.name

    def take(self, step: Step) -> None:
        """Take one step, and tell the listener."""
        label, started = _LABELS[type(step)], time.monotonic()
        self._listener(StepStarted(self._name, label))
        match step:
            case CreateFunction():
                self._create()
            case UpdateConfiguration(fields=fields):
                self._configure(fields)
            case UpdateCode():
                self._update_code()
            case PutConcurrency(reserved=reserved):
                self._reserve(reserved)
            case DeleteConcurrency():
                self._release()
            case RequireCode():
                require_code(self.desired, self._aws, self._region, base_url_of=self._base_url_of)
            case DeleteFunction():
                self._delete()
            case WaitGone():
                self._wait_gone()
            case WaitSettled(ours=ours):
                self._settle(ours=ours)
        self._listener(StepFinished(self._name, label, _detail(step), time.monotonic() - started))

    def _create(self) -> None:
        client, request = self._client, create_request(self.desired)
        # After a deletion, the account is without its function until this has worked.
        doing = "creating anew, after its deletion," if self._deleted else "creating"
        answer = self._send(doing, lambda _: client.create_function(**request), creating=True)
        self._fresh = True
        if answer is not None:
            self._check_digest(answer)

    def _delete(self) -> None:
        """Delete the function that was planned for, once it is at rest; one that is gone is as good."""
        from botocore.exceptions import ClientError

        client, before = self._client, self.seen
        self._settle(ours=False)
        if self.seen != before:
            raise DeployConflict(
                f"somebody else changed the function {self._name} since it was read, so it was not deleted",
                hint="deploy again; the plan is made anew",
            )

        def call(_: dict[str, Any]) -> Mapping[str, Any]:
            try:
                client.delete_function(FunctionName=self._name)
            except ClientError as error:
                if error_code(error) != "ResourceNotFoundException":
                    raise
            return {}

        self._send("deleting", call)
        self._deleted = True

    def _wait_gone(self) -> None:
        """Poll until Lambda knows no function of this name."""
        started, pause = time.monotonic(), self._patience.poll / 8
        while (seen := observe(self._name, self._aws, self._region)) is not None:
            if (waited := time.monotonic() - started) > self._patience.settle:
                raise never_gone(seen, waited)
            pause = min(self._patience.poll, pause * 2)
            time.sleep(pause)
        self.seen = None

    def _configure(self, fields: tuple[str, ...]) -> None:
        client, request = self._client, configuration_request(self.desired, self.seen, fields)
        self._send(
            "configuring",
            lambda guard: client.update_function_configuration(**{**request, **guard}),
            done=lambda seen: all(getattr(seen, name) == getattr(self.desired, name) for name in fields),
        )

    def _update_code(self) -> None:
        client, request = self._client, code_request(self.desired)
        answer = self._send(
            "updating the code of",
            lambda guard: client.update_function_code(**{**request, **guard}),
            done=lambda seen: (
                same_code(self.desired, seen) and seen.architecture == self.desired.architecture
            ),
        )
        if answer is not None:
            self._check_digest(answer)

    def _reserve(self, reserved: int) -> None:
        client = self._client
        self._send(
            "reserving concurrency for",
            lambda _: client.put_function_concurrency(
                FunctionName=self._name, ReservedConcurrentExecutions=reserved
            ),
        )
        self._refresh_revision()

    def _release(self) -> None:
        client = self._client
        self._send(
            "releasing the reserved concurrency of",
            lambda _: client.delete_function_concurrency(FunctionName=self._name) or {},
        )
        self._refresh_revision()

    def _send(
        self, doing: str, call: _Call, *, done: _Done | None = None, creating: bool = False
    ) -> Mapping[str, Any] | None:
        """Send a change, again and again while Lambda's refusal is one that passes.

        Returns the answer, or None when the function turned out to have the change already: an earlier try of
        the SDK's arrived, and only its answer was lost.
        """
        from botocore.exceptions import BotoCoreError, ClientError

        tries = Tries(self._patience)
        while True:
            revision = self.seen.revision_id if self.seen else None
            self.calls += 1
            try:
                answer = call({"RevisionId": revision} if revision else {})
            except ClientError as error:
                refusal = classify(error)
                if refusal is Refusal.EXISTS and creating:
                    self._adopt()
                elif not tries.another(refusal):
                    raise self._explain(doing, error, refusal) from None
                elif creating and refusal is Refusal.BUSY:
                    self._wait_gone()  # of the one that had this name
                    continue
                elif refusal not in (Refusal.BUSY, Refusal.STALE) or not self._arrived(done):
                    continue
                answer = None
            except BotoCoreError as error:
                raise self._explain(doing, error) from None
            self.changed = True
            return answer

    def _explain(self, doing: str, error: Exception, refusal: Refusal = Refusal.FINAL) -> PlantonError:
        from botocore.exceptions import ClientError

        hint = hint_for(error) if isinstance(error, ClientError) else None
        conflict = refusal in (Refusal.BUSY, Refusal.STALE)
        # Lambda quotes a refused environment back: its values are taken out by name.
        hint = hint if not self._deleted else f"{hint or 'see what AWS says'}; then deploy again"
        return explain(
            error,
            doing=f"{doing} the function {self._name}",
            otherwise=DeployConflict if conflict else DeployRefused,
            resource=self._name,
            hint="somebody else is deploying this function; deploy again" if conflict else hint,
            hidden=self.desired.environment.values(),
        )

    def _arrived(self, done: _Done | None) -> bool:
        """Wait for the update in progress, and tell whether it was this very change.

        If not, the change may be sent again only when the function is, in the end, what it was before.
        """
        before = self.seen
        self._settle(ours=False)
        if before is None or self.seen is None or self.seen == before:
            return False
        if done is not None and done(self.seen):
            return True
        raise DeployConflict(
            f"somebody else changed the function {self._name} while it was being deployed",
            hint="deploy again; the plan is made anew",
        )

    def _adopt(self) -> None:
        """Accept a function that exists after all, if it is what was to be created.

        This is what a lost answer to CreateFunction looks like from here.
        """
        self._settle(ours=True, fresh=True)
        differing = [change.field for change in compare(self.desired, self.seen).changes]
        if set(differing) - {"reserved_concurrency"}:
            raise DeployConflict(
                f"the function {self._name} was created by somebody else meanwhile, and differs in "
                + ", ".join(differing),
                hint="deploy again to update it",
            )

    def _settle(self, *, ours: bool, fresh: bool = False) -> None:
        """Poll until the function is at rest, and remember what it is then."""
        fresh, self._fresh = fresh or self._fresh, False
        started, pause = time.monotonic(), self._patience.poll / 8
        while True:
            seen = observe(self._name, self._aws, self._region)
            waited = time.monotonic() - started
            if seen is None:
                if not fresh or waited > self._patience.appear:
                    raise DeployConflict(
                        f"the function {self._name} is gone", hint="somebody deleted it; deploy again"
                    )
            elif seen.state == "Deleting":
                raise DeployConflict(
                    f"the function {self._name} is being deleted", hint="deploy again when it is gone"
                )
            elif not seen.busy:
                self.seen = seen
                if ours and seen.failed:
                    raise failed(seen)
                return
            if waited > self._patience.settle:
                raise timed_out(self._name, seen, waited)
            pause = min(self._patience.poll, pause * 2)
            time.sleep(pause)

    def _refresh_revision(self) -> None:
        """Read the revision again: a reservation may have moved it, and a stale one would be refused."""
        if (seen := observe(self._name, self._aws, self._region)) is not None:
            self.seen = seen

    def _check_digest(self, answer: Mapping[str, Any]) -> None:
        """Compare the bytes that Lambda took with those that the code source's name promises."""
        wanted, found = self.desired.code_sha256, code_digest(answer.get("CodeSha256"))
        if self.desired.package == "Zip" and wanted and found and wanted != found:
            raise HashMismatch(
                f"Lambda took other code for {self._name} than its manifest names: SHA-256 {found}, "
                f"where {wanted} was published; that code is deployed now",
                hint="the object in S3 was overwritten; delete it, run `planton-build` and deploy again",
            )


def _detail(step: Step) -> str:
    match step:
        case UpdateConfiguration(fields=fields):
            return ", ".join(fields)
        case PutConcurrency(reserved=reserved):
            return f"{reserved} reserved"
        case DeleteConcurrency():
            return "no reservation"
        case _:
            return ""
