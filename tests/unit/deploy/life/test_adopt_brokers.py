"""Event sources with endpoints and secrets are written down so that deploying them changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from planton_build.deploy.functions import Deployment
from planton_build.deploy.life.adopt import Adoption, adopt_all, write_adopted
from planton_build.deploy.life.target import Target
from planton_build.emulator.serve import Emulator
from planton_build.manifest.document import Manifest
from planton_build.manifest.load import read_manifests
from planton_build.settings.model import EventSource, SourceAccess
from planton_build.settings.read import settings_for

PLACE = "eu-west-1:123456789012"
SECRET = f"arn:aws:secretsmanager:{PLACE}:secret:broker-a1b2c3"
BASIC = {"Type": "BASIC_AUTH", "URI": SECRET}
MAPPINGS: list[tuple[dict[str, Any], EventSource]] = [
    (
        {
            "SelfManagedEventSource": {"Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": ["b:9092", "a:9092"]}},
            "Topics": ["orders"],
            "StartingPosition": "LATEST",
            "SourceAccessConfigurations": [
                {"Type": "SASL_SCRAM_256_AUTH", "URI": SECRET},
                {"Type": "VPC_SUBNET", "URI": "subnet:subnet-1"},
                {"Type": "VPC_SECURITY_GROUP", "URI": "security_group:sg-1"},
            ],
            "SelfManagedKafkaEventSourceConfig": {"ConsumerGroupId": "billing"},
        },
        EventSource(
            "",
            batch_size=100,
            starting_position="LATEST",
            topics=("orders",),
            consumer_group="billing",
            servers=("b:9092", "a:9092"),
            access=(
                SourceAccess("SASL_SCRAM_256_AUTH", SECRET),
                SourceAccess("VPC_SUBNET", "subnet:subnet-1"),
                SourceAccess("VPC_SECURITY_GROUP", "security_group:sg-1"),
            ),
        ),
    ),
    (
        {
            "EventSourceArn": f"arn:aws:mq:{PLACE}:broker:b:b-1",
            "Queues": ["orders"],
            "SourceAccessConfigurations": [BASIC, {"Type": "VIRTUAL_HOST", "URI": "/shop"}],
        },
        EventSource(
            f"arn:aws:mq:{PLACE}:broker:b:b-1",
            batch_size=100,
            queues=("orders",),
            access=(SourceAccess("BASIC_AUTH", SECRET), SourceAccess("VIRTUAL_HOST", "/shop")),
        ),
    ),
    (
        {
            "EventSourceArn": f"arn:aws:rds:{PLACE}:cluster:docs",
            "StartingPosition": "TRIM_HORIZON",
            "DocumentDBEventSourceConfig": {"DatabaseName": "shop", "FullDocument": "Default"},
            "SourceAccessConfigurations": [BASIC],
        },
        EventSource(
            f"arn:aws:rds:{PLACE}:cluster:docs",
            batch_size=100,
            starting_position="TRIM_HORIZON",
            database="shop",
            full_document="Default",
            access=(SourceAccess("BASIC_AUTH", SECRET),),
        ),
    ),
]


@pytest.mark.parametrize("alias", [True, False])
def test_brokers_and_clusters_are_adopted_and_nothing_changes(
    client: Any,
    cloud: Emulator,
    upload: Callable[[str], str],
    target: Callable[..., Target],
    plan_of: Callable[..., Deployment],
    tmp_path: Path,
    alias: bool,
) -> None:
    (tmp_path / ".git").mkdir()
    client.create_function(
        FunctionName="render",
        Role="arn:aws:iam::123456789012:role/worker",
        Runtime="python3.13",
        Handler="app.handler",
        Code={"S3Bucket": "artifacts", "S3Key": upload("made = 1")},
    )
    if alias:
        client.publish_version(FunctionName="render")
        client.create_alias(FunctionName="render", Name="live", FunctionVersion="1")
    name = "render:live" if alias else "render"
    for request, _ in MAPPINGS:
        client.create_event_source_mapping(FunctionName=name, **request)
    [adopted] = adopt_all([target()], Adoption(bucket="artifacts"))
    assert adopted.notes == ()
    write_adopted([adopted], tmp_path)
    [manifest] = read_manifests(tmp_path / "render" / "lambda.yaml", level="deployable")
    assert settings_for(manifest).event_sources == tuple(source for _, source in MAPPINGS)
    plan = plan_of(manifest).plan
    assert (plan.changes, plan.steps) == ((), ())
    assert len(cloud.region().event_sources) == len(MAPPINGS)


PAGE = (Path(__file__).parents[4] / "docs/deploy-settings.md").read_text(encoding="utf-8")
DOCUMENTED = PAGE.partition("### Brokers and clusters")[2].partition("```toml\n")[2].partition("```")[0]


def test_what_the_page_shows_is_deployed_changed_and_removed(
    manifest: Callable[..., Manifest],
    upload: Callable[[str], str],
    deploy: Callable[..., Any],
    plan_of: Callable[..., Deployment],
    cloud: Emulator,
) -> None:
    settings = DOCUMENTED.replace("function.orders.deploy", "deploy")
    before = '[deploy]\nalias = "live"\n'
    cloud.behaviour.reads = cloud.behaviour.deletion_reads = 1
    written = manifest(key=upload("version = 1"), settings=before + settings)
    deploy(written)
    made = set(cloud.region().event_sources)
    assert len(made) == 3
    assert plan_of(written).plan.empty

    key = f"render/{written.model.spec.s3.key.rpartition('/')[2]}"  # type: ignore[union-attr]
    secrets = settings.replace("a1b2c3", "d4e5f6").replace("UpdateLookup", "Default")
    changed = manifest(key=key, settings=before + secrets)
    fields = [change.field for change in plan_of(changed).plan.changes]
    assert sorted(field.rpartition(".")[2] for field in fields) == ["access"] * 3 + ["full_document"]
    deploy(changed)
    assert set(cloud.region().event_sources) == made
    assert plan_of(changed).plan.empty

    none = manifest(key=key, settings=before + "event-sources = []\n")
    deploy(none)
    assert cloud.region().event_sources == {}
    assert plan_of(none).plan.empty
