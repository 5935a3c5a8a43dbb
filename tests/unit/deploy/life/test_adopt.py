"""A function of AWS is written down so that deploying what was written changes nothing."""

from __future__ import annotations

import io
import json
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from planton_build.deploy.functions import Deployment
from planton_build.deploy.life.adopt import Adopted, Adoption, adopt_all, list_functions, write_adopted
from planton_build.deploy.life.target import Target
from planton_build.emulator.serve import Emulator
from planton_build.errors import DeployRefused, FileInTheWay, FunctionUnknown, NotDeployable
from planton_build.manifest.load import read_manifests
from planton_build.publish.aws import Aws
from planton_build.settings.model import NO_SETTINGS
from planton_build.settings.read import settings_for

REGION = "eu-west-1"
ROLE = "arn:aws:iam::123456789012:role/worker"
QUEUE = "arn:aws:sqs:eu-west-1:123456789012:jobs"
COPY = Adoption(bucket="artifacts")


@pytest.fixture
def made(client: Any, upload: Callable[[str], str]) -> Callable[..., Any]:
    """Create a function by hand, as other tools do."""

    def make(name: str = "render", **more: Any) -> Any:
        request = {
            "FunctionName": name,
            "Role": ROLE,
            "Runtime": "python3.13",
            "Handler": "app.handler",
            "Code": {"S3Bucket": "artifacts", "S3Key": upload(f"made = {name!r}")},
        }
        return client.create_function(**{**request, **more})

    return make


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "adopted" / ".git").mkdir(parents=True)
    return tmp_path / "adopted"


@pytest.fixture
def adopt(
    target: Callable[..., Target], folder: Path, plan_of: Callable[..., Deployment]
) -> Callable[..., Adopted]:
    """Adopt a function, write it, and see that a plan of what was written is empty."""

    def run(how: Adoption = COPY, name: str = "render") -> Adopted:
        [adopted] = adopt_all([target(name)], how)
        write_adopted([adopted], folder)
        [manifest] = read_manifests(folder / name / "lambda.yaml", level="deployable")
        plan = plan_of(manifest).plan
        assert [(change.field, change.before, change.after) for change in plan.changes] == []
        assert plan.steps == ()
        return adopted

    return run


def settings_in(folder: Path, name: str = "render") -> Any:
    return settings_for(read_manifests(folder / name / "lambda.yaml")[0])


def test_a_plain_function_needs_a_manifest_only(
    made: Callable[..., Any], adopt: Callable[..., Adopted], folder: Path
) -> None:
    made()
    adopted = adopt()
    assert adopted.settings == ""
    assert sorted(path.name for path in (folder / "render").iterdir()) == ["lambda.yaml"]
    assert not adopted.secret
    assert settings_in(folder) == NO_SETTINGS


def layer_zip() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("python/shared.py", "")
    return out.getvalue()


def everything(aws: Aws, client: Any, made: Callable[..., Any]) -> None:
    """Make a function with all that can hang on it, by hand."""
    for name in ("jobs", "dead"):
        aws.client("sqs", REGION).create_queue(QueueName=name, Attributes={"VisibilityTimeout": "120"})
    signing = client.create_code_signing_config(
        AllowedPublishers={
            "SigningProfileVersionArns": [
                "arn:aws:signer:eu-west-1:123456789012:/signing-profiles/acme/abcdefghij"
            ]
        }
    )["CodeSigningConfig"]["CodeSigningConfigArn"]
    made(
        Architectures=["arm64"],
        Description="renders: 'prices' #1",
        MemorySize=512,
        Timeout=30,
        Environment={"Variables": {"MODE": "true", "NUMBER": "007", "TEXT": 'a: b # c\n"d"', "EMPTY": ""}},
        TracingConfig={"Mode": "Active"},
        DeadLetterConfig={"TargetArn": "arn:aws:sqs:eu-west-1:123456789012:dead"},
        EphemeralStorage={"Size": 1024},
        LoggingConfig={"LogFormat": "JSON", "ApplicationLogLevel": "DEBUG", "LogGroup": "/acme/render"},
        CodeSigningConfigArn=signing,
        Tags={"team": "billing", "cost centre": "7"},
    )
    client.put_function_concurrency(FunctionName="render", ReservedConcurrentExecutions=5)
    client.put_function_recursion_config(FunctionName="render", RecursiveLoop="Allow")
    client.put_runtime_management_config(FunctionName="render", UpdateRuntimeOn="FunctionUpdate")
    client.publish_version(FunctionName="render", Description="first")
    client.create_alias(FunctionName="render", Name="live", FunctionVersion="1")
    place = {"FunctionName": "render", "Qualifier": "live"}
    client.put_provisioned_concurrency_config(**place, ProvisionedConcurrentExecutions=2)
    client.create_function_url_config(
        **place, AuthType="AWS_IAM", Cors={"AllowOrigins": ["https://a.example"], "MaxAge": 60}
    )
    client.put_function_event_invoke_config(
        **place,
        MaximumRetryAttempts=1,
        MaximumEventAgeInSeconds=600,
        DestinationConfig={"OnFailure": {"Destination": "arn:aws:sqs:eu-west-1:123456789012:dead"}},
    )
    client.add_permission(
        **place,
        StatementId="from-s3",
        Action="lambda:InvokeFunction",
        Principal="s3.amazonaws.com",
        SourceArn="arn:aws:s3:::uploads",
        SourceAccount="123456789012",
    )
    client.create_event_source_mapping(
        FunctionName="render:live",
        EventSourceArn=QUEUE,
        BatchSize=5,
        FunctionResponseTypes=["ReportBatchItemFailures"],
        ScalingConfig={"MaximumConcurrency": 4},
        FilterCriteria={"Filters": [{"Pattern": json.dumps({"body": {"kind": ["it's"]}})}]},
    )
    logs = aws.client("logs", REGION)
    logs.create_log_group(logGroupName="/acme/render")
    logs.put_retention_policy(logGroupName="/acme/render", retentionInDays=30)


def test_everything_that_hangs_on_a_function_is_written_down(
    made: Callable[..., Any], adopt: Callable[..., Adopted], aws: Aws, client: Any, folder: Path
) -> None:
    everything(aws, client, made)
    adopted = adopt()
    assert adopted.notes == ()
    found = settings_in(folder)
    assert (found.alias, found.provisioned_concurrency, found.tracing) == ("live", 2, "Active")
    assert found.url.cors.allow_origins == ("https://a.example",)
    assert (found.asynchronous.retries, found.log_retention, found.recursion) == (1, 30, "Allow")
    assert [permission.id for permission in found.permissions] == ["from-s3"]
    assert [(source.source, source.max_concurrency) for source in found.event_sources] == [(QUEUE, 4)]
    assert found.tags == {"cost centre": "7", "team": "billing"}
    assert found.code_signing and found.ephemeral_storage == 1024
    spec = read_manifests(folder / "render" / "lambda.yaml")[0].model.spec
    assert spec.environment == {"MODE": "true", "NUMBER": "007", "TEXT": 'a: b # c\n"d"', "EMPTY": ""}
    assert spec.reserved_concurrency == 5


def test_what_this_tool_has_deployed_is_adopted_whole(
    manifest: Callable[..., Any],
    upload: Callable[[str], str],
    deploy: Callable[..., Any],
    adopt: Callable[..., Adopted],
    aws: Aws,
    folder: Path,
) -> None:
    deploy(
        manifest(
            key=upload("version = 1"),
            settings=(
                '[deploy]\nalias = "live"\n[deploy.url]\nauth = "NONE"\n'
                "[deploy.alarms]\nerrors = 3\ndead-letters = false\nduration-percent = 50\n"
            ),
        )
    )
    assert adopt().notes == ()
    found = settings_in(folder)
    assert found.url.auth == "NONE"
    assert (found.alarms.errors, found.alarms.dead_letters, found.alarms.duration) == (3, None, 1500)


def test_a_network_layers_and_a_key_are_written_down(
    made: Callable[..., Any],
    adopt: Callable[..., Adopted],
    aws: Aws,
    client: Any,
    folder: Path,
    cloud: Emulator,
) -> None:
    cloud.behaviour.strict_world = False
    layer = client.publish_layer_version(LayerName="shared", Content={"ZipFile": layer_zip()})
    key = "arn:aws:kms:eu-west-1:123456789012:key/01234567-0123-0123-0123-0123456789ab"
    made(
        VpcConfig={"SubnetIds": ["subnet-b", "subnet-a"], "SecurityGroupIds": ["sg-a"]},
        Layers=[layer["LayerVersionArn"]],
        KMSKeyArn=key,
    )
    adopt()
    spec = read_manifests(folder / "render" / "lambda.yaml")[0].model.spec
    assert [subnet.value for subnet in spec.subnets] == ["subnet-a", "subnet-b"]
    assert (len(spec.layer_arns), spec.kms_key_arn.value if spec.kms_key_arn else "") == (1, key)


def test_an_image_is_named_by_its_digest(
    client: Any,
    target: Callable[..., Target],
    folder: Path,
    plan_of: Callable[..., Deployment],
    cloud: Emulator,
) -> None:
    cloud.behaviour.strict_world = False
    uri = f"123456789012.dkr.ecr.eu-west-1.amazonaws.com/acme/render@sha256:{'ab' * 32}"
    client.create_function(
        FunctionName="render",
        Role=ROLE,
        PackageType="Image",
        Code={"ImageUri": uri},
        ImageConfig={"Command": ["app.handler"], "WorkingDirectory": "/srv"},
    )
    [adopted] = adopt_all([target()], Adoption())
    write_adopted([adopted], folder)
    [manifest] = read_manifests(folder / "render" / "lambda.yaml", level="deployable")
    assert adopted.deployable
    assert manifest.model.spec.image_uri == uri
    assert settings_for(manifest).image.command == ("app.handler",)  # type: ignore[union-attr]
    assert plan_of(manifest).plan.empty


def test_without_a_bucket_a_zip_waits_for_a_build(
    made: Callable[..., Any], target: Callable[..., Target], folder: Path
) -> None:
    made()
    [adopted] = adopt_all([target()], Adoption())
    assert not adopted.deployable
    assert "run planton-build on the manifest" in adopted.notes[0]
    write_adopted([adopted], folder)
    [manifest] = read_manifests(folder / "render" / "lambda.yaml")
    assert manifest.model.spec.s3 is None


def test_an_alias_that_serves_something_else_is_left_alone(
    made: Callable[..., Any], adopt: Callable[..., Adopted], client: Any, folder: Path
) -> None:
    made()
    client.publish_version(FunctionName="render")
    client.create_alias(FunctionName="render", Name="live", FunctionVersion="1")
    client.update_function_configuration(FunctionName="render", Timeout=9)
    adopted = adopt()
    assert settings_in(folder).alias is None
    assert "the alias live serves version 1, which is not what $LATEST is" in adopted.notes[0]


def test_the_alias_can_be_chosen(
    made: Callable[..., Any], adopt: Callable[..., Adopted], client: Any, folder: Path
) -> None:
    made()
    client.publish_version(FunctionName="render")
    for name in ("blue", "live"):
        client.create_alias(FunctionName="render", Name=name, FunctionVersion="1")
    adopted = adopt(Adoption(bucket="artifacts", alias="live"))
    assert settings_in(folder).alias == "live"
    assert adopted.notes == ("the alias blue serves version 1; it is left as it is",)
    with pytest.raises(NotDeployable, match="render has no alias green"):
        adopt(Adoption(bucket="artifacts", alias="green"))


def test_a_public_url_made_by_hand_is_left_to_aws(
    made: Callable[..., Any], adopt: Callable[..., Adopted], client: Any, folder: Path
) -> None:
    made()
    client.create_function_url_config(FunctionName="render", AuthType="NONE")
    client.add_permission(
        FunctionName="render",
        StatementId="FunctionURLAllowPublicAccess",
        Action="lambda:InvokeFunctionUrl",
        Principal="*",
        FunctionUrlAuthType="NONE",
    )
    adopted = adopt()
    assert settings_in(folder).url is None
    assert any(note.startswith("url:") for note in adopted.notes)
    assert any("FunctionURLAllowPublicAccess" in note for note in adopted.notes)


def test_a_manifest_with_an_environment_is_for_its_owner_alone(
    made: Callable[..., Any], adopt: Callable[..., Adopted], folder: Path
) -> None:
    made(Environment={"Variables": {"SECRET": "hunter2"}})
    adopted = adopt()
    assert adopted.secret
    assert "hunter2" not in repr(adopted)
    assert stat.S_IMODE((folder / "render" / "lambda.yaml").stat().st_mode) == 0o600


def test_files_are_never_overwritten(
    made: Callable[..., Any], adopt: Callable[..., Adopted], target: Callable[..., Target], folder: Path
) -> None:
    made()
    made("other")
    adopt()
    adopted = adopt_all([target("other"), target()], COPY)
    (folder / "render" / "lambda.yaml").write_text("mine\n")
    with pytest.raises(FileInTheWay, match=r"lambda\.yaml is there already"):
        write_adopted(adopted, folder)
    assert not (folder / "other").exists()
    assert (folder / "render" / "lambda.yaml").read_text() == "mine\n"


def test_adopting_twice_writes_once(
    made: Callable[..., Any], target: Callable[..., Target], folder: Path
) -> None:
    made(Tags={"a": "b"})
    assert len(write_adopted(adopt_all([target()], COPY), folder)) == 2
    assert write_adopted(adopt_all([target()], COPY), folder) == []


def test_code_that_is_not_what_lambda_says_is_refused(
    made: Callable[..., Any], target: Callable[..., Target], cloud: Emulator
) -> None:
    made()
    cloud.region().functions["render"].latest.configuration["CodeSha256"] = "A" * 43 + "="
    with pytest.raises(DeployRefused, match="has the SHA-256"):
        adopt_all([target()], COPY)


def test_what_is_not_there_or_busy_is_not_adopted(
    made: Callable[..., Any], target: Callable[..., Target], client: Any, cloud: Emulator
) -> None:
    with pytest.raises(FunctionUnknown):
        adopt_all([target()], COPY)
    made()
    cloud.behaviour.reads = 20
    client.update_function_configuration(FunctionName="render", Timeout=9)
    with pytest.raises(NotDeployable, match="its last update InProgress"):
        adopt_all([target()], COPY)


def test_nothing_but_the_bucket_changes(
    made: Callable[..., Any], adopt: Callable[..., Adopted], aws: Aws, client: Any, cloud: Emulator
) -> None:
    everything(aws, client, made)
    cloud.calls.clear()
    adopt()
    assert [call.name for call in cloud.calls if call.changing and call.service != "s3"] == []


def test_all_functions_of_a_region_are_listed(made: Callable[..., Any], aws: Aws) -> None:
    for number in range(55):
        made(f"f{number:02}")
    assert list_functions(aws, REGION) == [f"f{number:02}" for number in range(55)]
