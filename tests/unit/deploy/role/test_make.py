from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from planton_build.deploy.desired import desired_state
from planton_build.deploy.role.make import WantedRole, make_role
from planton_build.deploy.role.policy import role_policy
from planton_build.deploy.role.read import read_role
from planton_build.deploy.role.statement import trust_policy
from planton_build.errors import ConfigInvalid, DeployRefused
from planton_build.manifest.document import Manifest
from planton_build.publish.aws import Aws
from planton_build.settings.model import DeploySettings, RoleSettings

ACCOUNT, REGION = "123456789012", "eu-west-1"
THEIRS = json.dumps(
    {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:Get*", "Resource": "*"}]}
)
BOUNDARY = "arn:aws:iam::123456789012:policy/fence"


@pytest.fixture
def wanted(manifest: Callable[..., Manifest]) -> Callable[..., WantedRole]:
    def make(name: str = "render-role", **written: Any) -> WantedRole:
        desired = desired_state(manifest(), DeploySettings(**written))
        policy = role_policy(desired, ACCOUNT, REGION)
        return WantedRole(name, "/team/", "render", policy, written.get("boundary", ""))

    return make


def test_a_role_is_made_and_the_second_time_nothing_is_called(
    aws: Aws, wanted: Callable[..., WantedRole]
) -> None:
    made = make_role(wanted(), aws, REGION)
    assert (made.action, made.calls) == ("created", 2)
    assert made.arn == "arn:aws:iam::123456789012:role/team/render-role"
    found = read_role(made.arn, aws, REGION)
    assert found is not None
    assert found.taken_by_lambda
    (policy,) = found.policies
    assert policy.policy == "planton-render"
    assert [dict(one) for one in policy.statements] == wanted().policy.document["Statement"]
    again = make_role(wanted(), aws, REGION)
    assert (again.action, again.calls, again.difference) == ("unchanged", 0, ())


def test_another_policy_is_written_and_the_difference_told(
    aws: Aws, wanted: Callable[..., WantedRole]
) -> None:
    made = make_role(wanted(), aws, REGION)
    changed = make_role(wanted(tracing="Active"), aws, REGION)
    assert (changed.action, changed.calls) == ("updated", 1)
    assert '+        "xray:PutTelemetryRecords",' in changed.difference
    assert not [line for line in changed.difference if line.startswith("-  ") and "logs:" in line]
    assert read_role(made.arn, aws, REGION) is not None


def test_what_others_gave_the_role_stays(aws: Aws, wanted: Callable[..., WantedRole]) -> None:
    iam = aws.iam()
    iam.create_role(RoleName="render-role", AssumeRolePolicyDocument=json.dumps(trust_policy()))
    iam.put_role_policy(RoleName="render-role", PolicyName="theirs", PolicyDocument=THEIRS)
    made = make_role(wanted(), aws, REGION)
    assert made.action == "updated"
    assert iam.list_role_policies(RoleName="render-role")["PolicyNames"] == ["theirs", "planton-render"]


def test_a_role_of_somebody_else_is_left_alone(aws: Aws, wanted: Callable[..., WantedRole]) -> None:
    trust = trust_policy()
    trust["Statement"][0]["Principal"] = {"Service": "ec2.amazonaws.com"}
    aws.iam().create_role(RoleName="render-role", AssumeRolePolicyDocument=json.dumps(trust))
    with pytest.raises(DeployRefused, match="not for Lambda"):
        make_role(wanted(), aws, REGION)
    assert aws.iam().list_role_policies(RoleName="render-role")["PolicyNames"] == []


def test_a_role_in_another_path_than_the_manifests_is_refused(
    aws: Aws, wanted: Callable[..., WantedRole]
) -> None:
    make_role(wanted(), aws, REGION)
    other = replace(wanted(), arn="arn:aws:iam::123456789012:role/render-role")
    with pytest.raises(DeployRefused, match="cannot be made beside"):
        make_role(other, aws, REGION)


def test_a_boundary_is_set_at_creation_and_later(aws: Aws, wanted: Callable[..., WantedRole]) -> None:
    iam = aws.iam()
    iam.create_policy(
        PolicyName="fence",
        PolicyDocument=json.dumps(
            {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
        ),
    )
    fenced = replace(wanted(), boundary=BOUNDARY)
    make_role(wanted(), aws, REGION)
    assert make_role(fenced, aws, REGION).calls == 1
    assert make_role(fenced, aws, REGION).calls == 0
    make_role(replace(fenced, name="other"), aws, REGION)
    for name in ("render-role", "other"):
        boundary = iam.get_role(RoleName=name)["Role"]["PermissionsBoundary"]
        assert boundary["PermissionsBoundaryArn"] == BOUNDARY


def test_a_policy_that_iam_would_not_take_is_refused_before_anything_is_made(
    aws: Aws, wanted: Callable[..., WantedRole]
) -> None:
    own = tuple({"Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{'b' * 60}{n}/*"} for n in range(99))
    with pytest.raises(ConfigInvalid, match="IAM takes 10,240"):
        make_role(wanted(role=RoleSettings(own)), aws, REGION)
    assert read_role("arn:aws:iam::123456789012:role/team/render-role", aws, REGION) is None


def test_a_role_that_appears_meanwhile_is_taken(
    aws: Aws, wanted: Callable[..., WantedRole], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer to CreateRole is lost: the SDK tries again, and IAM says that the role exists."""
    from planton_build.deploy.role import make

    first = make_role(wanted(), aws, REGION)
    answers = [None]
    real = make.find_role
    monkeypatch.setattr(make, "find_role", lambda *args: answers.pop() if answers else real(*args))
    assert make_role(wanted(), aws, REGION).arn == first.arn
