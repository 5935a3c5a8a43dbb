from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from planton_build.deploy.desired import desired_state
from planton_build.deploy.role.notes import role_notes
from planton_build.deploy.role.read import read_role
from planton_build.deploy.role.statement import trust_policy
from planton_build.events import Note
from planton_build.manifest.document import Manifest
from planton_build.publish.aws import Aws
from planton_build.settings.model import DeploySettings

ROLE = "arn:aws:iam::123456789012:role/ours"
GROUP = "arn:aws:logs:eu-west-1:123456789012:log-group:/aws/lambda"


def logs(name: str) -> dict[str, Any]:
    actions = ["logs:CreateLogStream", "logs:PutLogEvents"]
    return {"Effect": "Allow", "Action": actions, "Resource": f"{GROUP}/{name}:*"}


def document(*statements: Mapping[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


@pytest.fixture
def role(aws: Aws) -> Callable[..., Any]:
    """Make the role `ours` with an inline policy of some statements."""

    def make(*statements: Mapping[str, Any], trust: Mapping[str, Any] | None = None) -> Any:
        iam = aws.iam()
        iam.create_role(RoleName="ours", AssumeRolePolicyDocument=json.dumps(trust or trust_policy()))
        if statements:
            iam.put_role_policy(RoleName="ours", PolicyName="inline", PolicyDocument=document(*statements))
        return iam

    return make


@pytest.fixture
def noted(aws: Aws, manifest: Callable[..., Manifest]) -> Callable[..., list[Note]]:
    """The notes about functions of the role `ours`, whose log groups are made for them."""

    def run(*names: str, **written: Any) -> list[Note]:
        settings = DeploySettings(log_retention=30, **written)
        return role_notes(
            [
                (desired_state(manifest(name, roleArn=f"{{value: '{ROLE}'}}"), settings), aws)
                for name in names or ("render",)
            ]
        )

    return run


def test_a_role_that_fits_is_not_mentioned(
    role: Callable[..., Any], noted: Callable[..., list[Note]]
) -> None:
    role(logs("render"))
    assert noted() == []


def test_functions_that_share_a_role_are_named_and_judged_together(
    role: Callable[..., Any], noted: Callable[..., list[Note]]
) -> None:
    role(logs("render"), logs("resize"))
    (note,) = noted("render", "resize")
    assert note.level == "warning"
    assert note.message.startswith("render and resize share the role")


def test_a_role_that_is_not_there_is_noted(noted: Callable[..., list[Note]]) -> None:
    (note,) = noted()
    assert "is not there" in note.message
    assert note.level == "warning"


def test_a_role_of_the_same_name_and_another_path_is_another(aws: Aws, role: Callable[..., Any]) -> None:
    role(logs("render"))
    assert read_role(ROLE.replace("role/", "role/path/"), aws, None) is None


def test_a_role_that_lambda_cannot_take_is_noted(
    role: Callable[..., Any], noted: Callable[..., list[Note]]
) -> None:
    trust = trust_policy()
    trust["Statement"][0]["Principal"] = {"Service": "ec2.amazonaws.com"}
    role(logs("render"), trust=trust)
    (note,) = noted()
    assert "cannot be taken by Lambda" in note.message


def test_tracing_without_its_right_is_noted(
    role: Callable[..., Any], noted: Callable[..., list[Note]]
) -> None:
    role(logs("render"))
    (note,) = noted(tracing="Active")
    assert "lacks xray:PutTelemetryRecords, xray:PutTraceSegments" in note.message


def test_policies_that_are_attached_are_read_page_by_page(
    role: Callable[..., Any], noted: Callable[..., list[Note]]
) -> None:
    iam = role(logs("render"))
    for number in range(12):
        statement = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
        policy = iam.create_policy(PolicyName=f"wide-{number:02}", PolicyDocument=document(statement))
        iam.attach_role_policy(RoleName="ours", PolicyArn=policy["Policy"]["Arn"])
    notes = noted()
    assert "wide-00 allows whole services (s3:*) on *" in notes[0].message
    assert notes[-1].message == "the role ours is broader in 6 more ways"


@pytest.mark.parametrize(
    ("operation", "said"),
    [
        ("GetRole", "the role ours may not be read"),
        ("ListRolePolicies", "may not be read, so not judged: which policies the role ours has"),
        ("GetRolePolicy", "may not be read, so not judged: the policy inline of the role ours"),
        ("ListAttachedRolePolicies", "may not be read, so not judged: which policies the role ours has"),
    ],
)
def test_what_may_not_be_read_is_a_note_and_not_an_error(
    role: Callable[..., Any], noted: Callable[..., list[Note]], operation: str, said: str
) -> None:
    iam = role(logs("render"))
    denied = _Denied(iam, operation)
    try:
        assert [said in note.message for note in noted()] == [True]
    finally:
        denied.end()


class _Denied:
    """IAM as it answers who may not call one operation."""

    def __init__(self, client: Any, operation: str) -> None:
        self._events, self._name = client.meta.events, f"before-send.iam.{operation}"
        self._events.register(self._name, self._refuse)

    def _refuse(self, request: Any, **_: Any) -> Any:
        import io

        from botocore.awsrequest import AWSResponse

        body = (
            b"<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code>"
            b"<Message>not authorized</Message></Error></ErrorResponse>"
        )

        class Raw(io.BytesIO):
            def stream(self, **_: Any) -> Any:
                return iter([self.read()])

        return AWSResponse(request.url, 403, {"content-type": "text/xml"}, Raw(body))

    def end(self) -> None:
        self._events.unregister(self._name, self._refuse)
