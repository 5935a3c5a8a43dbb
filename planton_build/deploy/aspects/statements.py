"""The statements of a function's resource policy: read, compared by what they mean, added, removed.

AddPermission writes a statement from a few members, and GetPolicy shows it as a policy's JSON. Between two
statements of the same id there is no call that changes one into the other: it is removed and added. For that
moment callers who have no other right are refused; S3, SNS and EventBridge try again, synchronous callers see
one error.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, TypeAlias

from planton_build.deploy.aspects.aspect import Call, Scope
from planton_build.deploy.aspects.reading import ABSENT, ask, text
from planton_build.errors import DeployRefused
from planton_build.publish.aws_errors import error_code

PREFIX: Final = "planton-"
"""What the ids of our statements begin with."""
URL_IDS: Final = ("planton-url-invoke", "planton-url-invoke-url")
"""The ids of the two statements that a public function URL needs."""
_MAX_POLICY: Final = 1_000_000
"""Longest policy that is read, in characters. Lambda's own limit is 20,480 bytes."""
_ROOT: Final = re.compile(r"arn:[a-z-]+:iam::(\d{12}):root")


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement in the terms of AddPermission.

    `foreign` is what AddPermission cannot say, as text; a statement that has any never equals a wanted one,
    and is not made again once it is removed.
    """

    id: str
    principal: str
    action: str
    source_arn: str = ""
    source_account: str = ""
    organization: str = ""
    url_auth: str = ""
    via_url: bool = False
    foreign: str = ""

    @property
    def shown(self) -> str:
        """Return who may do what, for people."""
        parts = [f"{self.principal} may {self.action}"]
        parts += [f"for {self.source_arn}"] if self.source_arn else []
        parts += [f"of account {self.source_account}"] if self.source_account else []
        parts += [f"within {self.organization}"] if self.organization else []
        parts += [f"by a URL with {self.url_auth}"] if self.url_auth else []
        parts += ["through the function URL"] if self.via_url else []
        return ", ".join([*parts, *(["with conditions of its own"] if self.foreign else [])])


Statements: TypeAlias = Mapping[str, Statement]
ReadStatements: TypeAlias = Callable[[Scope], Statements]


def read_statements(scope: Scope) -> Statements:
    """Read the policy of what serves, by statement id; empty when there is none. Raises as `ask`."""
    client = scope.aws.lambda_(scope.region)
    answer = ask(scope, "reading the policy of", lambda: client.get_policy(**scope.qualified))
    return parse_policy(text(answer, "Policy"), scope.name) if answer else {}


@dataclass(slots=True)
class SharedRead:
    """Reads the policy once for several aspects, because Lambda answers GetPolicy 15 times a second only."""

    _lock: threading.Lock = field(default_factory=threading.Lock)
    _found: Statements | None = None

    def __call__(self, scope: Scope) -> Statements:
        """Return the statements, read by whoever comes first."""
        with self._lock:
            if self._found is None:
                self._found = read_statements(scope)
            return self._found


def parse_policy(document: str, function: str) -> Statements:
    """Return the statements of a policy. Raises DeployRefused for what is no policy."""
    try:
        policy = json.loads(document) if len(document) <= _MAX_POLICY else None
    except (ValueError, RecursionError):
        policy = None
    found = policy.get("Statement") if isinstance(policy, dict) else None
    if not isinstance(found, list):
        raise DeployRefused(
            f"the resource policy of {function} cannot be read: it is no JSON policy",
            hint="AWS_ENDPOINT_URL may name something that is not Lambda",
        )
    read = [_statement(item) for item in found if isinstance(item, dict)]
    return {statement.id: statement for statement in read if statement.id}


def _statement(item: dict[str, Any]) -> Statement:
    rest = {key: value for key, value in item.items() if key not in ("Sid", "Resource", "Effect")}
    conditions = _Conditions(rest.pop("Condition", None))
    principal, action = _principal(rest.pop("Principal", None)), _one(rest.pop("Action", None))
    known = {
        "source_arn": conditions.take("ArnLike", "aws:sourcearn"),
        "source_account": conditions.take("StringEquals", "aws:sourceaccount"),
        "organization": conditions.take("StringEquals", "aws:principalorgid"),
        "url_auth": conditions.take("StringEquals", "lambda:functionurlauthtype"),
    }
    via_url = conditions.take("Bool", "lambda:invokedviafunctionurl").lower() == "true"
    if item.get("Effect") != "Allow":
        rest["Effect"] = item.get("Effect")
    if not principal or not action:
        rest |= {"Principal": item.get("Principal"), "Action": item.get("Action")}
    foreign = conditions.left or rest
    return Statement(
        id=text(item, "Sid"),
        principal=principal,
        action=action,
        via_url=via_url,
        foreign=json.dumps([conditions.left, rest], sort_keys=True) if foreign else "",
        **known,
    )


class _Conditions:
    """The conditions of a statement, of which the known ones are taken out."""

    def __init__(self, block: object) -> None:
        self._texts: dict[tuple[str, str], str] = {}
        self.left: list[str] = []
        for operator, keys in (block if isinstance(block, dict) else {}).items():
            for key, value in (keys if isinstance(keys, dict) else {}).items():
                self._texts[operator, key.lower()] = _one(value)
                self.left.append(json.dumps([operator, key.lower(), value], sort_keys=True))
        if block and not self.left:
            self.left.append(json.dumps(block, sort_keys=True))

    def take(self, operator: str, key: str) -> str:
        """Return a condition's one value, or "" when there is none."""
        found = self._texts.get((operator, key), "")
        if found:
            opening = json.dumps([operator, key])[:-1] + ","
            self.left = [condition for condition in self.left if not condition.startswith(opening)]
        return found


def _one(value: object) -> str:
    """Return a text, or the only text of a list; JSON's true and false are texts here."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else ""


def _principal(value: object) -> str:
    """Return a principal as AddPermission takes it: a service, `*`, an ARN, or an account's number."""
    if isinstance(value, dict) and len(value) == 1:
        value = value.get("Service") or value.get("AWS")
    return principal_of(_one(value))


def principal_of(principal: str) -> str:
    """Return a principal in one way of writing it: Lambda shows an account's number as its root's ARN."""
    root = _ROOT.fullmatch(principal)
    return root[1] if root else principal


def statement_calls(scope: Scope, before: Statements, after: Statements) -> list[Call]:
    """Return the calls that lead from some statements to others; what changes is removed, then added."""
    calls = []
    for key in sorted(before.keys() | after.keys()):
        old, new = before.get(key), after.get(key)
        if old == new:
            continue
        if old is not None:
            calls.append(_remove(scope, key))
        if new is not None and not new.foreign:
            calls.append(_add(scope, new))
    return calls


def _remove(scope: Scope, key: str) -> Call:
    client = scope.aws.lambda_(scope.region)
    send = partial(client.remove_permission, **scope.qualified, StatementId=key)
    return Call("RemovePermission", "taking a permission from", send, ABSENT)


def _add(scope: Scope, statement: Statement) -> Call:
    client = scope.aws.lambda_(scope.region)
    request: Any = {
        **scope.qualified,
        "StatementId": statement.id,
        "Principal": statement.principal,
        "Action": statement.action,
    }
    more = {
        "SourceArn": statement.source_arn,
        "SourceAccount": statement.source_account,
        "PrincipalOrgID": statement.organization,
        "FunctionUrlAuthType": statement.url_auth,
        "InvokedViaFunctionUrl": statement.via_url,
    }
    request |= {key: value for key, value in more.items() if value}

    def send() -> object:
        from botocore.exceptions import ClientError

        try:
            return client.add_permission(**request)
        except ClientError as error:
            # An earlier try of the SDK's may have arrived: then exactly this statement is there.
            conflict = error_code(error) == "ResourceConflictException"
            if conflict and read_statements(scope).get(statement.id) == statement:
                return None
            raise

    return Call("AddPermission", "giving a permission on", send)
