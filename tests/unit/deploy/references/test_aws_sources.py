"""The sources that ask AWS, against moto's server: `cloudformation`, `ssm`, and `terraform` in S3."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from planton_build.deploy.references import terraform
from planton_build.deploy.references.resolver import References, Resolved
from planton_build.errors import AccessDenied, ReferenceUnresolved
from planton_build.manifest.document import Manifest
from planton_build.publish.aws import Aws, AwsSettings

Refer = Callable[..., Manifest]
Resolve = Callable[..., Resolved]
Make = Callable[..., Any]
ROLE = "arn:aws:iam::123456789012:role/worker"
REGION = "eu-west-1"
SUBNETS = "[{valueFrom: {kind: AwsVpc, name: net, fieldPath: 'status.outputs.private_subnets.[*].id'}}]"


# cloudformation


def test_an_output_of_a_stack_is_found(
    refer: Refer, source: Make, stack: Make, cloud: Any, resolve: Resolve
) -> None:
    stack("prod-worker", RoleArn=ROLE)
    found = resolve(refer(env="prod"), source("cloudformation", stack="{env}-{name}"), aws=cloud)
    assert found == Resolved("role_arn", (ROLE,), "output RoleArn of the stack prod-worker (eu-west-1)")


def test_an_export_is_found(refer: Refer, source: Make, stack: Make, cloud: Any, resolve: Resolve) -> None:
    stack("iam", Whatever=(ROLE, "prod-worker-role_arn"))
    found = resolve(refer(env="prod"), source("cloudformation", export="{env}-{name}-{field}"), aws=cloud)
    assert found.source == "export prod-worker-role_arn of CloudFormation (eu-west-1)"
    assert found.values == (ROLE,)


def test_a_joined_list_of_a_stack_is_taken_apart(
    refer: Refer, source: Make, stack: Make, cloud: Any, resolve: Resolve
) -> None:
    stack("network", PrivateSubnets="subnet-0a,subnet-0b")
    one = source("cloudformation", kinds=("AwsVpc",), stack="network", output="{Field}")
    found = resolve(refer(subnets=SUBNETS), one, field="subnets", index=0, aws=cloud)
    assert found.values == ("subnet-0a", "subnet-0b")


def test_missing_stacks_outputs_and_exports_are_told_apart(
    refer: Refer, source: Make, stack: Make, cloud: Any, resolve: Resolve
) -> None:
    stack("worker", Other="x")
    asked = [
        source("cloudformation", stack="no-{name}"),
        source("cloudformation", stack="{name}"),
        source("cloudformation", export="{name}"),
    ]
    with pytest.raises(ReferenceUnresolved) as caught:
        resolve(refer(), *asked, aws=cloud)
    assert "there is no stack no-worker in eu-west-1" in caught.value.message
    assert "the stack worker in eu-west-1 has no output RoleArn (it has: Other)" in caught.value.message
    assert "CloudFormation has no export worker in eu-west-1" in caught.value.message


def test_all_pages_of_exports_are_read(
    refer: Refer, source: Make, stack: Make, cloud: Any, resolve: Resolve
) -> None:
    stack("many", **{f"Output{number}": (f"x{number}", f"export-{number:03}") for number in range(150)})
    stack("worker", RoleArn=(ROLE, "worker"))
    assert resolve(refer(), source("cloudformation", export="{name}"), aws=cloud).values == (ROLE,)


def test_a_stack_is_read_once(refer: Refer, source: Make, stack: Make, aws: Aws) -> None:
    stack("worker", RoleArn=ROLE)
    calls: list[str] = []
    count = lambda model, **_: calls.append(model.name)  # noqa: E731
    events = aws.client("cloudformation", REGION).meta.events
    events.register("before-call.cloudformation", count, unique_id="count")
    references = References([source("cloudformation", stack="{name}")], aws=lambda: (aws, REGION))
    for name in ("one", "two"):
        manifest = refer(name=name)
        assert manifest.model.spec.role_arn and manifest.model.spec.role_arn.value_from
        references.resolve(manifest, "role_arn", None, manifest.model.spec.role_arn.value_from)
    events.unregister("before-call.cloudformation", unique_id="count")
    assert calls == ["DescribeStacks"]


# Regions.


def test_the_region_is_the_sources_then_the_functions_then_the_sessions(
    refer: Refer, source: Make, aws: Aws, resolve: Resolve
) -> None:
    for region in ("eu-west-1", "us-east-1", "eu-north-1"):
        aws.client("ssm", region).put_parameter(Name="/worker", Value=f"{ROLE}-{region}", Type="String")
    of = lambda manifest, **options: resolve(  # noqa: E731
        manifest, source("ssm", name="/{name}", **options), aws=lambda: (aws, "eu-north-1")
    ).values[0]
    assert of(refer(region="us-east-1")) == f"{ROLE}-us-east-1"
    assert of(refer(region="us-east-1"), region="eu-west-1") == f"{ROLE}-eu-west-1"
    assert of(refer(dialect="aws.openmcf.org/v1")) == f"{ROLE}-eu-north-1"


# ssm


def test_a_parameter_is_found(refer: Refer, source: Make, aws: Aws, cloud: Any, resolve: Resolve) -> None:
    name = "/infra/prod/AwsIamRole/worker/role_arn"
    aws.client("ssm").put_parameter(Name=name, Value=ROLE, Type="String")
    one = source("ssm", name="/infra/{env}/{kind}/{name}/{field}")
    found = resolve(
        refer(env="prod", roleArn="{valueFrom: {kind: AwsIamRole, name: worker}}"), one, aws=cloud
    )
    assert found == Resolved("role_arn", (ROLE,), f"parameter {name} of SSM (eu-west-1)")
    with pytest.raises(
        ReferenceUnresolved, match="there is no parameter /infra/dev/AwsIamRole/worker/role_arn"
    ):
        resolve(refer(env="dev"), one, aws=cloud)


def test_a_list_of_a_parameter_is_taken_apart(
    refer: Refer, source: Make, aws: Aws, cloud: Any, resolve: Resolve
) -> None:
    aws.client("ssm").put_parameter(Name="/net/subnets", Value="subnet-0a,subnet-0b", Type="StringList")
    found = resolve(
        refer(subnets=SUBNETS), source("ssm", name="/{name}/subnets"), field="subnets", index=0, aws=cloud
    )
    assert found.values == ("subnet-0a", "subnet-0b")


def test_a_secure_string_is_taken_only_when_asked_for_and_never_shown(
    refer: Refer, source: Make, aws: Aws, cloud: Any, resolve: Resolve
) -> None:
    aws.client("ssm").put_parameter(Name="/worker", Value=ROLE, Type="SecureString")
    with pytest.raises(ReferenceUnresolved, match="is a SecureString") as caught:
        resolve(refer(), source("ssm", name="/{name}"), source("manifests"), aws=cloud)
    assert ROLE not in str(caught.value.findings)
    asked = source("ssm", name="/{name}", decrypt=True)
    assert resolve(refer(), asked, aws=cloud).values == (ROLE,)
    aws.client("ssm").put_parameter(Name="/worker", Value="sg-0a1b2c3d", Type="SecureString", Overwrite=True)
    with pytest.raises(ReferenceUnresolved) as caught:
        resolve(refer(), asked, aws=cloud)
    assert "sg-0a1b2c3d" not in str(caught.value.findings)


# terraform in S3


@pytest.fixture
def state(aws: Aws) -> Callable[..., None]:
    def put(content: Any, key: str = "network.tfstate") -> None:
        place = {"LocationConstraint": REGION}
        aws.s3().create_bucket(Bucket="acme-state", CreateBucketConfiguration=place)  # type: ignore[arg-type]
        aws.s3().put_object(Bucket="acme-state", Key=key, Body=json.dumps(content).encode())

    return put


def of_role(value: Any) -> dict[str, Any]:
    return {"version": 4, "outputs": {"worker_role_arn": {"value": value}}}


def test_a_state_in_s3_is_read(refer: Refer, source: Make, state: Make, cloud: Any, resolve: Resolve) -> None:
    state(of_role(ROLE), "prod/network.tfstate")
    one = source("terraform", state="s3://acme-state/{env}/network.tfstate")
    found = resolve(refer(env="prod"), one, aws=cloud)
    assert found.source == "output worker_role_arn of s3://acme-state/prod/network.tfstate"
    assert found.values == (ROLE,)


def test_a_state_that_is_not_there_is_an_error(
    refer: Refer, source: Make, resource: Make, state: Make, cloud: Any, resolve: Resolve
) -> None:
    state(of_role(ROLE))
    resource()
    manifest = refer()
    one = source("terraform", state="s3://acme-state/other.tfstate")
    with pytest.raises(
        ReferenceUnresolved, match=r"reading the state s3://.* failed; AWS answered NoSuchKey"
    ) as e:
        resolve(manifest, one, source("manifests"), aws=cloud)
    assert (e.value.findings[0].file, e.value.findings[0].line) == (manifest.path, 6)


def test_a_state_in_s3_is_read_up_to_a_limit(
    refer: Refer, source: Make, state: Make, cloud: Any, resolve: Resolve, monkeypatch: pytest.MonkeyPatch
) -> None:
    state(of_role(ROLE))
    monkeypatch.setattr(terraform, "MAX_BYTES", 10)
    with pytest.raises(ReferenceUnresolved, match="is larger than 10 bytes"):
        resolve(refer(), source("terraform", state="s3://acme-state/network.tfstate"), aws=cloud)


class Elsewhere(BaseHTTPRequestHandler):
    """An S3 whose bucket is in the region of `home`, and a CloudFormation that nobody may ask."""

    home: tuple[str, ...] = ()

    def do_GET(self) -> None:
        region = self.headers["Authorization"].split("/")[2]
        homes = [home for home in self.home if home != region] or [region]
        body = json.dumps(of_role(ROLE)).encode()
        self.send_response(301 if homes != [region] else 200)
        self.send_header("x-amz-bucket-region", homes[0])
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        code, text = "AccessDenied", "User: x is not authorized to perform: cloudformation:DescribeStacks"
        error = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>{text}</Message></Error>"
        body = f"<ErrorResponse>{error}<RequestId>1</RequestId></ErrorResponse>".encode()
        self.send_response(403)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def elsewhere() -> Iterator[Callable[[], tuple[Aws, str]]]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}"
    yield lambda: (Aws(AwsSettings(REGION, None, url, "testing", "testing")), REGION)
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_state_in_another_region_is_read_there(
    refer: Refer, source: Make, elsewhere: Any, resolve: Resolve, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = source("terraform", state="s3://acme-state/network.tfstate")
    monkeypatch.setattr(Elsewhere, "home", ("us-east-1",))
    assert resolve(refer(), one, aws=elsewhere).values == (ROLE,)
    monkeypatch.setattr(Elsewhere, "home", ("us-east-1", "eu-north-1"))
    with pytest.raises(ReferenceUnresolved, match="is in us-east-1 and in eu-north-1"):
        resolve(refer(), one, aws=elsewhere)


def test_a_refusal_of_aws_is_no_missing_value(
    refer: Refer, source: Make, resource: Make, elsewhere: Any, resolve: Resolve, repo: Path
) -> None:
    resource()
    with pytest.raises(AccessDenied, match="AWS does not allow cloudformation:DescribeStacks on worker"):
        resolve(refer(), source("cloudformation", stack="{name}"), source("manifests"), aws=elsewhere)
