from __future__ import annotations

import hashlib
import http.server
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from planton_build.emulator.moto_world import COPIES, MotoWorld, trusts_lambda
from planton_build.emulator.refusal import Refusal
from planton_build.emulator.serve import Emulator

Client = Callable[..., Any]
ACCOUNT, REGION = "123456789012", "eu-west-1"
HOST = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com"
DIGEST = "ab" * 32
ELSEWHERE = "The bucket is in this region: eu-west-1. Please use this region to retry the request"


def statement(**members: Any) -> dict[str, Any]:
    usual = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "lambda.amazonaws.com"}}
    return usual | members


@pytest.mark.parametrize(
    ("document", "trusts"),
    [
        ({"Statement": [statement()]}, True),
        ({"Statement": statement()}, True),
        ({"Statement": statement(Action=["sts:TagSession", "sts:AssumeRole"])}, True),
        (
            {"Statement": statement(Principal={"Service": ["ec2.amazonaws.com", "lambda.amazonaws.com"]})},
            True,
        ),
        ({"Statement": statement(Principal="*")}, True),
        ({"Statement": statement(Effect="Deny")}, False),
        ({"Statement": [statement(), statement(Effect="Deny")]}, False),
        ({"Statement": statement(Action="sts:TagSession")}, False),
        ({"Statement": statement(Principal={"Service": "ec2.amazonaws.com"})}, False),
        ({"Statement": statement(Principal={"AWS": "*"})}, False),
        ({}, False),
        ("no policy", False),
        ("%7B%22Statement%22%3A%5B%5D%7D", False),
        (None, False),
        ({"Statement": ["x"]}, False),
    ],
)
def test_a_trust_policy_lets_lambda_in_or_not(document: Any, trusts: bool) -> None:
    assert trusts_lambda(document) is trusts
    assert trusts_lambda(json.dumps(document)) is (trusts and document is not None)


def test_a_role_has_to_exist_in_the_account_and_trust_lambda(
    emulator: Emulator, client: Client, role: str
) -> None:
    emulator.world.check_role(ACCOUNT, role)
    client("iam").create_role(RoleName="other", AssumeRolePolicyDocument="{}")
    for wrong in (role.replace("worker", "other"), role.replace("worker", "nobody"), "worker"):
        with pytest.raises(Refusal) as caught:
            emulator.world.check_role(ACCOUNT, wrong)
        assert caught.value.message == "The role defined for the function cannot be assumed by Lambda."
    with pytest.raises(Refusal) as caught:
        emulator.world.check_role("111122223333", role)
    assert caught.value.message == "Cross-account pass role is not allowed."


def test_a_role_may_become_assumable_late(emulator: Emulator, role: str) -> None:
    emulator.world.late_roles[role] = 2
    for _ in range(2):
        with pytest.raises(Refusal):
            emulator.world.check_role(ACCOUNT, role)
    emulator.world.check_role(ACCOUNT, role)


def test_objects_are_read_by_version_and_stay_readable(
    emulator: Emulator, client: Client, bucket: str
) -> None:
    s3 = client("s3")
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    first = s3.put_object(Bucket=bucket, Key="code.zip", Body=b"one")["VersionId"]
    s3.put_object(Bucket=bucket, Key="code.zip", Body=b"two")
    read = emulator.world.read_object(ACCOUNT, REGION, bucket, "code.zip", first)
    assert read() == b"one"
    assert emulator.world.read_object(ACCOUNT, REGION, bucket, "code.zip", None)() == b"two"
    s3.delete_object(Bucket=bucket, Key="code.zip", VersionId=first)
    assert read() == b"one"


@pytest.mark.usefixtures("emulator")
def test_copies_of_code_are_gone_when_the_world_is_closed(
    client: Client, bucket: str, tmp_path: Path
) -> None:
    client("s3").put_object(Bucket=bucket, Key="k", Body=b"code")
    with closing(MotoWorld(folder=tmp_path)) as world:
        assert world.read_object(ACCOUNT, REGION, bucket, "k", None)() == b"code"
        assert len(list(tmp_path.glob(f"{COPIES}*/*"))) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("bucket_name", "version", "region", "text"),
    [
        ("nothing", None, REGION, "NoSuchBucket. S3 Error Message: The specified bucket does not exist"),
        ("artifacts", None, REGION, "NoSuchKey. S3 Error Message: The specified key does not exist."),
        ("artifacts", "v", REGION, "NoSuchVersion. S3 Error Message: The specified version does not exist."),
        ("artifacts", None, "us-east-1", f"PermanentRedirect. S3 Error Message: {ELSEWHERE}"),
    ],
)
def test_what_is_not_in_s3_is_told_in_lambdas_words(
    emulator: Emulator, bucket: str, bucket_name: str, version: str | None, region: str, text: str
) -> None:
    with pytest.raises(Refusal) as caught:
        emulator.world.read_object(ACCOUNT, region, bucket_name, "k", version)
    assert caught.value.message == f"Error occurred while GetObject. S3 Error Code: {text}"


def test_a_deleted_object_is_gone(emulator: Emulator, client: Client, bucket: str) -> None:
    client("s3").put_object(Bucket=bucket, Key="k", Body=b"x")
    client("s3").delete_object(Bucket=bucket, Key="k")
    with pytest.raises(Refusal):
        emulator.world.read_object(ACCOUNT, REGION, bucket, "k", None)


@pytest.fixture
def image(emulator: Emulator, client: Client) -> str:
    """The name of an image in ECR, by tag."""
    client("ecr").create_repository(repositoryName="acme/render")
    client("ecr").put_image(
        repositoryName="acme/render",
        imageManifest='{"config": {"digest": "sha256:00"}, "layers": []}',
        imageManifestMediaType="application/vnd.oci.image.manifest.v1+json",
        imageDigest=f"sha256:{DIGEST}",
        imageTag="one",
    )
    return f"{HOST}/acme/render:one"


def test_images_are_found_by_tag_and_digest(emulator: Emulator, image: str) -> None:
    bare = image.removesuffix(":one")
    for uri in (image, f"{bare}@sha256:{DIGEST}", f"{image}@sha256:{DIGEST}"):
        assert emulator.world.image_digest(ACCOUNT, REGION, uri) == DIGEST


@pytest.mark.parametrize(
    ("uri", "text"),
    [
        (f"{HOST}/acme/render:two", "does not exist. Provide a valid source image."),
        (f"{HOST}/acme/render@sha256:{'cd' * 32}", "does not exist. Provide a valid source image."),
        (f"{HOST}/acme/render", "does not exist. Provide a valid source image."),
        (f"{HOST}/acme/other:one", "does not exist. Provide a valid source image."),
        (
            HOST.replace("eu-west-1", "eu-north-1") + "/acme/render:one",
            "is not valid. Provide a valid source image.",
        ),
        ("public.ecr.aws/acme/render:one", "is not valid. Provide a valid source image."),
        ("render", "is not valid. Provide a valid source image."),
    ],
)
@pytest.mark.usefixtures("image")
def test_an_image_that_is_not_there_is_refused(emulator: Emulator, uri: str, text: str) -> None:
    with pytest.raises(Refusal) as caught:
        emulator.world.image_digest(ACCOUNT, REGION, uri)
    assert caught.value.message == f"Source image {uri} {text}"


def test_a_lenient_world_believes_a_digest(emulator: Emulator) -> None:
    emulator.behaviour.strict_world = False
    world = emulator.world
    assert world.image_digest(ACCOUNT, REGION, f"127.0.0.1:5000/x@sha256:{DIGEST}") == DIGEST
    named = f"{HOST}/x:tag"
    assert world.image_digest(ACCOUNT, REGION, named) == hashlib.sha256(named.encode()).hexdigest()


@pytest.fixture
def registry() -> Iterator[str]:
    """A registry that has acme/render:one."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            there = self.path == "/v2/acme/render/manifests/one"
            self.send_response(200 if there else 404)
            if there:
                self.send_header("Docker-Content-Digest", f"sha256:{DIGEST}")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_registry_that_serves_a_host_is_asked(registry: str) -> None:
    with closing(MotoWorld(registry=lambda host: registry if host == HOST else None)) as world:
        assert world.image_digest(ACCOUNT, REGION, f"{HOST}/acme/render:one") == DIGEST
        with pytest.raises(Refusal):
            world.image_digest(ACCOUNT, REGION, f"{HOST}/acme/render:two")
    with closing(MotoWorld(registry=lambda _: "http://127.0.0.1:1")) as world:
        with pytest.raises(Refusal) as caught:
            world.image_digest(ACCOUNT, REGION, f"{HOST}/acme/render:one")
        assert "does not answer" in caught.value.message


def test_what_a_function_says_is_in_cloudwatch_logs(emulator: Emulator, client: Client) -> None:
    for text in ("START\none\n", "two"):
        emulator.world.log(ACCOUNT, REGION, "/aws/lambda/f", "2026/11/25/[1]x", text)
    events = client("logs").filter_log_events(logGroupName="/aws/lambda/f")["events"]
    assert [event["message"] for event in events] == ["START", "one", "two"]
    assert events[0]["logStreamName"] == "2026/11/25/[1]x"


def test_other_resources_are_there_or_not_or_unknown(emulator: Emulator, client: Client) -> None:
    url = client("sqs").create_queue(QueueName="dead")["QueueUrl"]
    assert url
    topic = client("sns").create_topic(Name="alerts")["TopicArn"]
    subnet = client("ec2").describe_subnets()["Subnets"][0]["SubnetId"]
    group = client("ec2").describe_security_groups()["SecurityGroups"][0]["GroupId"]

    def exists(kind: str, identifier: str) -> bool | None:
        return emulator.world.exists(ACCOUNT, REGION, kind, identifier)

    assert exists("queue", f"arn:aws:sqs:{REGION}:{ACCOUNT}:dead") is True
    assert exists("queue", f"arn:aws:sqs:{REGION}:{ACCOUNT}:other") is False
    assert exists("queue", f"arn:aws:sqs:{REGION}:111122223333:dead") is False
    assert (exists("topic", topic), exists("topic", f"{topic}s")) == (True, False)
    assert (exists("subnet", subnet), exists("subnet", "subnet-1")) == (True, False)
    assert (exists("security_group", group), exists("security_group", "sg-1")) == (True, False)
    assert exists("comet", "x") is None
    assert exists("role", f"arn:aws:iam::{ACCOUNT}:role/nobody") is False


def test_the_visibility_timeout_of_a_queue_is_known(emulator: Emulator, client: Client) -> None:
    client("sqs").create_queue(QueueName="work", Attributes={"VisibilityTimeout": "77"})
    arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:work"
    assert emulator.world.visibility_timeout(ACCOUNT, REGION, arn) == 77
    assert emulator.world.visibility_timeout(ACCOUNT, REGION, f"{arn}ing") is None
    assert emulator.world.visibility_timeout(ACCOUNT, REGION, "work") is None
