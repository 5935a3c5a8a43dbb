"""Functions that are images, with an alias: made, updated by digest, brought back, made of a ZIP function."""

from __future__ import annotations

from typing import Any

import pytest

from planton_build.errors import DeployRefused, ReplacementRequired, SmokeTestFailed

HOST = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
LIVE = '[deploy]\nalias = "live"\n[deploy.rollout]\nsmoke-event = {}\n'
AROUND = """
[[deploy.event-sources]]
source = "arn:aws:sqs:eu-west-1:123456789012:jobs"
batch-size = 7

[deploy.alarms]
errors = 2

[deploy.url]
auth = "NONE"
"""


@pytest.fixture(params=[True, False], ids=["strict", "lenient"])
def place(account: Any, request: pytest.FixtureRequest) -> Any:
    account.emulator.behaviour.strict_world = request.param
    account.aws.ecr().create_repository(repositoryName="acme/orders")
    for number in (1, 2):
        account.aws.ecr().put_image(
            repositoryName="acme/orders",
            imageManifest=f'{{"config": {{"digest": "sha256:0{number}"}}, "layers": []}}',
            imageManifestMediaType="application/vnd.oci.image.manifest.v1+json",
            imageDigest=digest(number),
            imageTag=f"v{number}",
        )
    account.emulator.calls.clear()
    return account


def digest(number: int) -> str:
    return f"sha256:{f'{number:02}' * 32}"


def write(account: Any, number: int, settings: str = LIVE, **fields: str) -> None:
    image = {"codeSourceType": "CODE_SOURCE_TYPE_IMAGE", "s3": None, "runtime": None, "handler": None}
    uri = f"{HOST}/acme/orders@{digest(number)}"
    account.write(key="", settings=settings, **image, **{"imageUri": uri} | fields)


def image(account: Any, qualifier: str = "live") -> str:
    found = account.aws.lambda_().get_function(FunctionName="orders", Qualifier=qualifier)
    return str(found["Code"]["ImageUri"]).partition("@")[2]


def test_an_image_is_created_and_updated_by_its_digest(place: Any) -> None:
    write(place, 1)
    place.apply()
    assert image(place) == digest(1)
    place.converged()
    write(place, 2, memoryMb="256")
    place.apply()
    assert image(place) == digest(2)
    [published] = place.emulator.calls.named("PublishVersion")
    assert published.request["CodeSha256"] == place.configuration()["CodeSha256"]
    place.converged()


def test_after_a_failing_smoke_test_the_former_digest_is_back(place: Any) -> None:
    write(place, 1, LIVE + '[deploy.image]\ncommand = ["app.one"]\n')
    place.apply()
    write(place, 2, LIVE + '[deploy.image]\ncommand = ["app.two"]\n', memoryMb="256")
    place.emulator.scripted.answer("orders", b"{}", error="Unhandled")
    with pytest.raises(SmokeTestFailed, match="undone: code, configure; the alias live serves version 1"):
        place.apply()
    assert (image(place, "$LATEST"), image(place)) == (digest(1), digest(1))
    found = place.configuration()
    assert found["MemorySize"] == 128
    assert found["ImageConfigResponse"]["ImageConfig"]["Command"] == ["app.one"]
    place.apply()
    assert image(place) == digest(2)
    place.converged()


def test_a_zip_becomes_an_image_and_its_event_sources_and_alarms_outlive_it(place: Any) -> None:
    place.write(key=place.upload("one"), settings=LIVE + AROUND, reservedConcurrency="9")
    place.apply()
    [mapping] = place.aws.lambda_().list_event_source_mappings()["EventSourceMappings"]
    write(place, 1, LIVE + AROUND)
    with pytest.raises(ReplacementRequired):
        place.apply()
    place.emulator.calls.clear()
    place.apply(replacing=True)
    calls = place.changing()
    assert not {"CreateEventSourceMapping", "DeleteEventSourceMapping", "PutMetricAlarm"} & set(calls)
    assert image(place) == digest(1)
    [after] = place.aws.lambda_().list_event_source_mappings()["EventSourceMappings"]
    assert after["UUID"] == mapping["UUID"]
    assert place.emulator.region().functions["orders"].reserved == 9
    assert place.aws.lambda_().get_function_url_config(FunctionName="orders", Qualifier="live")
    place.converged()


def test_a_replacement_that_fails_on_the_way_is_ended_by_the_next(place: Any) -> None:
    place.write(key=place.upload("one"), settings=LIVE + AROUND)
    place.apply()
    write(place, 1, LIVE + AROUND)
    place.emulator.scripted.answer("orders", b"{}", error="Unhandled")
    with pytest.raises(SmokeTestFailed, match="what was made stays; deploy again to go on"):
        place.apply(replacing=True)
    place.apply()
    assert image(place) == digest(1)
    place.converged()


def test_nothing_is_deleted_for_an_image_that_is_not_there(account: Any) -> None:
    account.write(key=account.upload("one"), settings=LIVE)
    account.apply()
    account.aws.ecr().create_repository(repositoryName="acme/orders")
    write(account, 3)
    with pytest.raises(DeployRefused, match="not in its repository"):
        account.apply(replacing=True)
    assert "DeleteFunction" not in account.changing()
    assert account.configuration(qualifier="live")["Version"] == "1"
