from __future__ import annotations

import base64
import json
import re
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planton_build.errors import AccessDenied, CredentialsMissing, PushFailed, RepositoryUnknown
from planton_build.publish import ecr
from planton_build.publish.aws import Aws
from planton_build.publish.ecr import (
    EcrRegistry,
    is_ecr,
    lambda_policy,
    lifecycle_policy,
    parse_repository,
    registry_host,
)

HOST = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
REGION = "eu-west-1"
DIGEST = f"sha256:{'ab' * 32}"


@pytest.fixture
def registry(aws: Aws) -> EcrRegistry:
    return EcrRegistry(aws, REGION)


def token(password: str, seconds: float) -> dict[str, Any]:
    encoded = base64.b64encode(f"AWS:{password}".encode()).decode()
    told = {
        "authorizationToken": encoded,
        "expiresAt": time.time() + seconds,
        "proxyEndpoint": f"https://{HOST}",
    }
    return {"authorizationData": [told]}


@pytest.mark.parametrize(
    ("region", "suffix"),
    [
        ("eu-west-1", "amazonaws.com"),
        ("us-gov-west-1", "amazonaws.com"),
        ("cn-north-1", "amazonaws.com.cn"),
        ("eusc-de-east-1", "amazonaws.eu"),
        ("us-iso-east-1", "c2s.ic.gov"),
        ("us-isob-east-1", "sc2s.sgov.gov"),
    ],
)
def test_a_host_is_composed_and_read_again(region: str, suffix: str) -> None:
    host = registry_host("123456789012", region)
    assert host == f"123456789012.dkr.ecr.{region}.{suffix}"
    found = parse_repository(f"{host}/acme/render")
    assert (found.host, found.account, found.region) == (host, "123456789012", region)
    assert (found.name, found.uri) == ("acme/render", f"{host}/acme/render")


@pytest.mark.parametrize(
    "uri",
    [
        "acme/render",
        HOST,
        f"{HOST}/",
        "public.ecr.aws/acme/render",
        f"{HOST}.evil.example/render",
        f"x{HOST}/render",
        f"{HOST}:443/render",
        f"{HOST}\n/render",
        "12345.dkr.ecr.eu-west-1.amazonaws.com/render",
        "123456789012.dkr.ecr.eu-west-1.amazonaws.com.evil/render",
    ],
)
def test_what_is_no_private_registry_is_refused(uri: str) -> None:
    with pytest.raises(RepositoryUnknown, match="Lambda takes images from no other") as caught:
        parse_repository(uri)
    assert caught.value.hint


@settings(max_examples=200)
@given(st.from_regex(r"[0-9a-z.:-]{0,40}(dkr.ecr)?[a-z0-9.-]{0,30}", fullmatch=True))
def test_a_host_is_ecrs_only_when_it_ends_in_a_domain_of_aws(host: str) -> None:
    ends = re.search(r"\.(amazonaws\.com(\.cn)?|amazonaws\.eu|c2s\.ic\.gov|sc2s\.sgov\.gov)$", host)
    assert not is_ecr(host) or ends


def test_a_token_is_kept_while_it_is_good(registry: EcrRegistry, front: Any) -> None:
    front.answer("GetAuthorizationToken", token("first", 12 * 3600))
    front.answer("GetAuthorizationToken", token("second", 60))
    front.answer("GetAuthorizationToken", token("third", 3600))
    first = registry.token()
    assert registry.token() is first
    assert first.expires > datetime.now(UTC)
    assert base64.b64decode(first.login.basic.removeprefix("Basic ")) == b"AWS:first"
    second = registry.token(other_than=first)  # the registry has refused it
    assert second is not first
    assert registry.token() is not second  # which ends in a minute
    assert front.calls == ["GetAuthorizationToken"] * 3
    assert "AWS" not in repr(first)
    assert "first" not in repr(first)


def test_a_login_that_is_asked_for_again_is_another(registry: EcrRegistry, front: Any) -> None:
    front.answer("GetAuthorizationToken", token("first", 12 * 3600))
    front.answer("GetAuthorizationToken", token("second", 12 * 3600))
    one, other = registry.login_source(), registry.login_source()
    assert one() == other()
    assert front.calls == ["GetAuthorizationToken"]
    fresh = one()
    assert base64.b64decode(fresh.basic.removeprefix("Basic ")) == b"AWS:second"
    assert other() == fresh  # refused to the other one too, which has no need of a third
    assert front.calls == ["GetAuthorizationToken"] * 2


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"authorizationData": []},
        {"authorizationData": [{"authorizationToken": "%%"}]},
        {"authorizationData": [token("", 1)["authorizationData"][0]]},
        {
            "authorizationData": [
                token("x", 1)["authorizationData"][0] | {"proxyEndpoint": "https://evil.example"}
            ]
        },
    ],
)
def test_an_answer_without_a_login_is_an_error(
    registry: EcrRegistry, front: Any, answer: dict[str, Any]
) -> None:
    front.answer("GetAuthorizationToken", answer)
    with pytest.raises(PushFailed, match="answers without a login"):
        registry.token()


def test_a_repository_without_a_registry_is_the_callers_own(registry: EcrRegistry) -> None:
    assert registry.account == "123456789012"
    assert registry.repository("acme/render").uri == f"{HOST}/acme/render"


def test_another_region_is_refused(registry: EcrRegistry, front: Any) -> None:
    elsewhere = parse_repository(f"{HOST}/render".replace("eu-west", "eu-north"))
    with pytest.raises(RepositoryUnknown, match="is in eu-north-1, and the function in eu-west-1") as caught:
        registry.check_region(elsewhere)
    assert "eu-west-1" in (caught.value.hint or "")
    assert front.calls == []


def test_a_repository_is_made_as_lambda_needs_it(registry: EcrRegistry, aws: Aws) -> None:
    place = registry.repository("acme/render")
    assert registry.create(place) == ()
    client = aws.ecr(REGION)
    [found] = client.describe_repositories(repositoryNames=["acme/render"])["repositories"]
    assert found["imageTagMutability"] == "IMMUTABLE"
    assert found["imageScanningConfiguration"] == {"scanOnPush": True}
    assert found["encryptionConfiguration"] == {"encryptionType": "AES256"}
    tags = client.list_tags_for_resource(resourceArn=found["repositoryArn"])["tags"]
    assert tags == [{"Key": "managed-by", "Value": "planton-build"}]
    [rule] = json.loads(client.get_lifecycle_policy(repositoryName="acme/render")["lifecyclePolicyText"])[
        "rules"
    ]
    assert rule["selection"]["tagStatus"] == "untagged"
    policy = json.loads(client.get_repository_policy(repositoryName="acme/render")["policyText"])
    [statement] = policy["Statement"]
    assert statement["Principal"] == {"Service": "lambda.amazonaws.com"}
    assert statement["Action"] == ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
    assert statement["Condition"] == {
        "StringLike": {"aws:sourceArn": "arn:aws:lambda:eu-west-1:123456789012:function:*"}
    }
    assert registry.remarks(place) == ()


def test_policies_are_within_what_ecr_takes() -> None:
    assert 100 <= len(lifecycle_policy()) <= 30_720
    place = parse_repository(f"{registry_host('123456789012', 'cn-north-1')}/render")
    assert "arn:aws-cn:lambda:cn-north-1:123456789012:function:*" in lambda_policy(place, "aws-cn")


def test_a_repository_that_somebody_else_made_meanwhile_stays_as_it_is(
    registry: EcrRegistry, aws: Aws, front: Any
) -> None:
    aws.ecr().create_repository(repositoryName="render")
    assert registry.create(registry.repository("render")) == ()
    assert "SetRepositoryPolicy" not in front.calls
    [remark] = registry.remarks(registry.repository("render"))
    assert "does not name Lambda" in remark


@pytest.mark.parametrize("operation", ["PutLifecyclePolicy", "SetRepositoryPolicy"])
def test_a_policy_that_may_not_be_set_is_a_remark(
    registry: EcrRegistry, front: Any, aws: Aws, operation: str
) -> None:
    front.refuse(operation, 400, "AccessDeniedException", "no")
    [remark] = registry.create(registry.repository("render"))
    assert f"ecr:{operation}" in remark
    assert aws.ecr().describe_repositories(repositoryNames=["render"])["repositories"]


def test_the_policy_of_a_repository_may_be_unreadable(registry: EcrRegistry, front: Any, aws: Aws) -> None:
    aws.ecr().create_repository(repositoryName="render")
    front.refuse("GetRepositoryPolicy", 400, "AccessDeniedException", "no")
    assert registry.remarks(registry.repository("render")) == ()


@pytest.mark.parametrize("operation", ["BatchGetImage", "CreateRepository", "GetAuthorizationToken"])
def test_a_refusal_names_the_action(registry: EcrRegistry, front: Any, operation: str) -> None:
    place = parse_repository(f"{HOST}/render")
    calls = {
        "BatchGetImage": lambda: registry.images(place, DIGEST),
        "CreateRepository": lambda: registry.create(place),
        "GetAuthorizationToken": registry.token,
    }
    front.refuse(operation, 400, "AccessDeniedException", "no")
    with pytest.raises(AccessDenied, match=f"ecr:{operation}") as caught:
        calls[operation]()
    assert f"allow ecr:{operation}" in (caught.value.hint or "")


def test_credentials_that_have_expired_are_told_apart(registry: EcrRegistry, front: Any) -> None:
    front.refuse("GetAuthorizationToken", 400, "ExpiredTokenException", "The security token has expired")
    with pytest.raises(CredentialsMissing):
        registry.token()


def test_another_accounts_repository_is_not_made_here(registry: EcrRegistry, front: Any) -> None:
    other = parse_repository(f"{HOST}/render".replace("123456789012", "999999999999"))
    with pytest.raises(RepositoryUnknown) as caught:
        registry.create(other)
    assert "account 999999999999 must make it, and let yours (123456789012) use it" in (
        caught.value.hint or ""
    )
    assert "CreateRepository" not in front.calls
    [remark] = registry.remarks(other)
    assert "another account than yours" in remark


def test_images_are_found_by_digest_and_tag(registry: EcrRegistry, aws: Aws) -> None:
    place = registry.repository("render")
    with pytest.raises(RepositoryUnknown) as caught:
        registry.images(place, DIGEST)
    assert "--create-repository" in (caught.value.hint or "")
    registry.create(place)
    assert registry.images(place, DIGEST, "one") == (None, None)
    aws.ecr().put_image(
        repositoryName="render",
        imageManifest='{"config": {"digest": "sha256:00"}, "layers": []}',
        imageManifestMediaType="application/vnd.oci.image.manifest.v1+json",
        imageDigest=DIGEST,
        imageTag="one",
    )
    assert registry.images(place, DIGEST, "one", "two") == (DIGEST, DIGEST, None)


def test_only_images_without_a_tag_expire() -> None:
    """A rule over tags, or over any, would one day take a deployed image away."""
    for rule in json.loads(ecr.lifecycle_policy())["rules"]:
        assert rule["selection"]["tagStatus"] == "untagged"
