"""`Run`: a function while it is being deployed: how it was last seen, how it is waited for and changed."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Mapping
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, TypeAlias

from planton_build.deploy.desired import DesiredFunction
from planton_build.deploy.differences import fulfilled, moved
from planton_build.deploy.failures import failed, never_gone, timed_out
from planton_build.deploy.observed import ObservedFunction, observe, read_answer
from planton_build.deploy.patience import Patience, Tries
from planton_build.deploy.refusals import Refusal, classify, hint_for, retry_after
from planton_build.errors import DeployConflict, DeployRefused, PlantonError
from planton_build.events import Listener
from planton_build.publish.aws import Aws
from planton_build.publish.aws_errors import clean, error_code, explain

if TYPE_CHECKING:
    from botocore.exceptions import ClientError
    from mypy_boto3_lambda import LambdaClient

Send: TypeAlias = Callable[[], Mapping[str, Any]]
"""Makes a call that changes something, and lets boto3's exceptions through."""
Reached: TypeAlias = Callable[[Refusal], bool]
"""Tells, after a refusal (busy, stale, exists), whether what was to be changed is as wanted all the same.

An earlier try of the SDK's may have arrived, and only its answer was lost. Raises DeployConflict when it is
neither as wanted nor as it was."""


class Run:
    """One deployment of one function under way. `calls` counts what was sent, refused calls included.

    `expected` is what the function has to be as long as nobody else changes it, `desired` what it is to
    become; None where that is not known.
    """

    def __init__(
        self,
        name: str,
        aws: Aws,
        region: str | None,
        *,
        listener: Listener,
        patience: Patience,
        seen: ObservedFunction | None = None,
        desired: DesiredFunction | None = None,
        hidden: Collection[str] = (),
    ) -> None:
        self.name = name
        self.aws = aws
        self.region = region
        self.listener = listener
        self.patience = patience
        self.seen = seen
        self.expected = seen
        self.desired = desired
        self.calls = 0
        self.changed = False
        self.fresh = False
        self.deleted = False
        self.created = False
        self._hidden = [form for value in hidden for form in _forms(value)]

    def shown(self, text: str) -> str:
        """Return a foreign text fit to show: one line, bounded, without the values of the environment."""
        return clean(text, hidden=self._hidden)

    @property
    def client(self) -> LambdaClient:
        """Return the Lambda client of the function's region."""
        return self.aws.lambda_(self.region)

    @property
    def guard(self) -> dict[str, Any]:
        """Return `{"RevisionId": …}` of the function as last seen, or {} where AWS tells none."""
        revision = self.seen.revision_id if self.seen else None
        return {"RevisionId": revision} if revision else {}

    def send(
        self,
        doing: str,
        send: Send,
        *,
        reached: Reached | None = None,
        done_codes: Collection[str] = (),
        hidden: Collection[str] = (),
    ) -> Mapping[str, Any] | None:
        """Send a change, again and again while the refusal is one that passes.

        `doing` is completed by the function's name. Returns the answer, or None when it turned out that there
        is nothing left to change: a refusal has one of the `done_codes`, or `reached` says so.

        Raises DeployConflict, DeployRefused, AccessDenied, AwsUnreachable or CredentialsMissing.
        """
        from botocore.exceptions import BotoCoreError, ClientError

        tries = Tries(self.patience)
        while True:
            self.calls += 1
            try:
                answer: Mapping[str, Any] | None = send()
            except ClientError as error:
                verdict = (
                    _Verdict.DONE
                    if error_code(error) in done_codes
                    else _judged(error, tries, reached, created=self.created)
                )
                if verdict is _Verdict.AGAIN:
                    continue
                if verdict is _Verdict.FINAL:
                    raise self.explained(doing, error, hidden) from None
                answer = None
            except BotoCoreError as error:
                raise self.explained(doing, error, hidden) from None
            self.changed = True
            return answer

    def explained(self, doing: str, error: Exception, hidden: Collection[str] = ()) -> PlantonError:
        """Return what to tell of a refusal, or of an AWS that did not answer."""
        from botocore.exceptions import ClientError

        hint, conflict = None, False
        if isinstance(error, ClientError):
            hint, conflict = hint_for(error), classify(error) in (Refusal.BUSY, Refusal.STALE)
        hint = hint if not self.deleted else f"{hint or 'see what AWS says'}; then deploy again"
        return explain(
            error,
            doing=f"{doing} the function {self.name}",
            otherwise=DeployConflict if conflict else DeployRefused,
            resource=self.name,
            hint="somebody else is deploying this function; deploy again" if conflict else hint,
            # Lambda quotes a refused environment back: its values are taken out by name.
            hidden=[*self._hidden, *hidden],
        )

    def arrived(
        self, done: Callable[[ObservedFunction], bool] | None = None, fields: Collection[str] = ()
    ) -> bool:
        """Wait for the update in progress, and tell whether it was the very change that `done` recognises.

        That change is one of `fields` and of nothing else. If it was not, it may be sent again only when the
        function is, in the end, what it was before, or nearer to what is desired.
        """
        before = self.seen
        self.settle(ours=False)
        if before is None or self.seen is None or self.seen == before:
            return False
        strange = self._strange(before, self.seen)
        if done is not None and done(self.seen) and set(strange) <= set(fields):
            self.expected = self.seen
            return True
        if not strange:
            return False
        raise self.conflict(strange)

    def conflict(self, fields: Collection[str]) -> DeployConflict:
        """Return the error for fields that somebody else has changed."""
        what = f" ({', '.join(fields)})" if fields else ""
        return DeployConflict(
            f"somebody else changed the function {self.name}{what} while it was being deployed",
            hint="deploy again; the plan is made anew",
        )

    def expect(self, answer: Mapping[str, Any] | None) -> None:
        """Take Lambda's answer to a change as what the function is from now on."""
        if answer:
            self.expected = read_answer(self.name, {"Configuration": answer})

    def mind(self) -> None:
        """See that the function, as it was last read, is as expected: what is published is what was planned.

        Raises DeployConflict when somebody else has changed it. `RevisionId` alone does not tell: reading
        the function again, after a wait, takes over a revision that may be theirs.
        """
        if self.expected is None or self.seen is None:
            return
        if strange := self._strange(self.expected, self.seen):
            raise self.conflict(strange)

    def _strange(self, expected: ObservedFunction, seen: ObservedFunction) -> tuple[str, ...]:
        """Return what is neither as expected nor as desired: the same may be deployed twice at once."""
        changed, desired = moved(expected, seen), self.desired
        return (
            changed if desired is None else tuple(one for one in changed if not fulfilled(one, desired, seen))
        )

    def settle(self, *, ours: bool, fresh: bool = False) -> None:
        """Poll until the function is at rest, and remember what it is then.

        These are polls of GetFunction rather than the SDK's waiters, which do not end on the states Inactive,
        Deactivated and ActiveNonInvocable. Raises FunctionFailed for a failure that is `ours`, DeployTimeout,
        and DeployConflict when the function is gone.
        """
        fresh, self.fresh = fresh or self.fresh, False
        started, pause = time.monotonic(), self.patience.poll / 8
        while True:
            seen = observe(self.name, self.aws, self.region)
            waited = time.monotonic() - started
            if seen is None:
                if not fresh or waited > self.patience.appear:
                    raise DeployConflict(
                        f"the function {self.name} is gone", hint="somebody deleted it; deploy again"
                    )
            elif seen.state == "Deleting":
                raise DeployConflict(
                    f"the function {self.name} is being deleted", hint="deploy again when it is gone"
                )
            elif not seen.busy:
                self.seen = seen
                if ours and seen.failed:
                    raise failed(seen)
                return
            if waited > self.patience.settle:
                raise timed_out(self.name, seen, waited)
            pause = min(self.patience.poll, pause * 2)
            time.sleep(pause)

    def wait_gone(self) -> None:
        """Poll until Lambda knows no function of this name. Raises DeployTimeout."""
        started, pause = time.monotonic(), self.patience.poll / 8
        while (seen := observe(self.name, self.aws, self.region)) is not None:
            if (waited := time.monotonic() - started) > self.patience.settle:
                raise never_gone(seen, waited)
            pause = min(self.patience.poll, pause * 2)
            time.sleep(pause)
        self.seen = self.expected = None

    def refresh(self) -> None:
        """Read the function again: a change beside it may have moved its revision.

        Raises DeployConflict when more than that has changed.
        """
        if (seen := observe(self.name, self.aws, self.region)) is not None:
            self.seen = seen
            self.mind()


def _forms(secret: str) -> set[str]:
    """Return a value as it may turn up in a text: as it is, by lines, and quoted by JSON or Python."""
    quoted = {json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1], repr(secret)[1:-1]}
    return {secret, *secret.splitlines(), *quoted}


class _Verdict(Enum):
    """What a refusal means for the change that was refused."""

    AGAIN = auto()
    DONE = auto()
    FINAL = auto()


def _judged(error: ClientError, tries: Tries, reached: Reached | None, *, created: bool) -> _Verdict:
    refusal = classify(error)
    if created and error_code(error) == "ResourceNotFoundException":
        refusal = Refusal.NOT_YET  # the function was just made, and is not known everywhere yet
    if refusal is not Refusal.EXISTS and not tries.another(refusal, retry_after(error)):
        return _Verdict.FINAL
    if refusal in _MAY_BE_REACHED and reached is not None and reached(refusal):
        return _Verdict.DONE
    return _Verdict.FINAL if refusal is Refusal.EXISTS else _Verdict.AGAIN


_MAY_BE_REACHED = (Refusal.BUSY, Refusal.STALE, Refusal.EXISTS)
