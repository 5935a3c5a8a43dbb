"""From ZIP to image and back: what Lambda cannot convert is deleted and created anew, when that is wanted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from planton_build.deploy.apply import Applied
from planton_build.deploy.functions import Deployment, apply_all
from planton_build.deploy.patience import Patience
from planton_build.errors import (
    AccessDenied,
    DeployConflict,
    DeployRefused,
    DeployTimeout,
    ReplacementRequired,
    RepositoryUnknown,
    SeveralErrors,
)
from planton_build.manifest.document import Manifest
from planton_build.publish.aws import Aws

Write = Callable[..., Manifest]
Deploy = Callable[..., Applied]
Deployed = Callable[..., dict[str, Any]]

DIGEST = f"sha256:{'ab' * 32}"
HOST = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
IMAGE = f"{HOST}/acme/render@{DIGEST}"
GONE = ["DeleteFunction", "CreateFunction"]


@pytest.fixture
def image(aws: Aws, manifest: Write) -> Callable[..., Manifest]:
    """Write the manifest of an image function; the image is in ECR."""
    aws.ecr().create_repository(repositoryName="acme/render")
    aws.ecr().put_image(
        repositoryName="acme/render",
        imageManifest='{"config": {"digest": "sha256:00"}, "layers": []}',
        imageManifestMediaType="application/vnd.oci.image.manifest.v1+json",
        imageDigest=DIGEST,
        imageTag="one",
    )

    def write(uri: str = IMAGE, **fields: str | None) -> Manifest:
        return manifest(codeSourceType="CODE_SOURCE_TYPE_IMAGE", s3=None, imageUri=uri, **fields)

    return write


@contextmanager
def nothing_happens(front: Any) -> Iterator[None]:
    before = list(front.changes)
    yield
    assert front.changes == before


def test_without_being_told_to_nothing_is_called(
    image: Write, manifest: Write, deploy: Deploy, front: Any, key: str
) -> None:
    deploy(manifest(key=key))
    with pytest.raises(ReplacementRequired, match="cannot change the package type") as caught:
        deploy(image())
    assert "--replace" in (caught.value.hint or "")
    assert front.changes == []


def test_one_function_to_replace_stops_all_of_them(
    image: Write, manifest: Write, deploy: Deploy, front: Any, key: str, plan_of: Callable[..., Deployment]
) -> None:
    deploy(manifest(key=key))
    deploy(manifest("other", key=key))
    plans = [plan_of(image()), plan_of(manifest("third", key=key))]
    with nothing_happens(front), pytest.raises(ReplacementRequired):
        apply_all(plans)
    plans.append(plan_of(image(name="other")))
    with nothing_happens(front), pytest.raises(SeveralErrors) as caught:
        apply_all(plans)
    assert caught.value.errors[0].exit_code == ReplacementRequired.exit_code


def test_a_zip_becomes_an_image_and_a_zip_again(
    image: Write, manifest: Write, deploy: Deploy, deployed: Deployed, front: Any, key: str
) -> None:
    deploy(manifest(key=key))
    front.behaviour.deletion_reads = 3
    applied = deploy(image(memoryMb="256"), replacing=True)
    assert front.changes == GONE
    assert applied.calls == 2
    sent = front.sent("CreateFunction")[0]
    assert (sent["PackageType"], sent["Code"]) == ("Image", {"ImageUri": IMAGE})
    assert not {"Runtime", "Handler", "Layers"} & sent.keys()
    assert (deployed()["PackageType"], deployed()["MemorySize"]) == ("Image", 256)
    assert not deploy(image(memoryMb="256")).changed
    deploy(manifest(key=key), replacing=True)
    assert front.changes == GONE
    assert (deployed()["PackageType"], deployed()["Runtime"]) == ("Zip", "python3.13")
    assert not deploy(manifest(key=key)).changed


@pytest.mark.parametrize(("managed", "after"), [(None, 7), ("3", 3), ("-1", None)])
def test_the_reservation_is_there_again_afterwards(
    image: Write, manifest: Write, deploy: Deploy, aws: Aws, key: str, managed: str | None, after: int | None
) -> None:
    deploy(manifest(key=key))
    aws.lambda_().put_function_concurrency(FunctionName="render", ReservedConcurrentExecutions=7)
    deploy(image(reservedConcurrency=managed), replacing=True)
    found = aws.lambda_().get_function_concurrency(FunctionName="render")
    assert found.get("ReservedConcurrentExecutions") == after


@pytest.mark.parametrize(
    ("uri", "error", "message"),
    [
        (f"{HOST}/acme/render@sha256:{'cd' * 32}", DeployRefused, "is not in its repository"),
        (f"{HOST}/acme/render:two", DeployRefused, "is not in its repository"),
        (f"{HOST}/acme/other@{DIGEST}", RepositoryUnknown, "there is no repository"),
        (IMAGE.replace("eu-west-1", "eu-north-1"), RepositoryUnknown, "only from its own region"),
        (f"public.ecr.aws/acme/render@{DIGEST}", RepositoryUnknown, "private registry"),
    ],
)
def test_nothing_is_deleted_for_an_image_that_is_not_there(
    image: Write,
    manifest: Write,
    deploy: Deploy,
    front: Any,
    key: str,
    uri: str,
    error: type[Exception],
    message: str,
) -> None:
    deploy(manifest(key=key))
    with pytest.raises(error, match=message):
        deploy(image(uri), replacing=True)
    assert front.changes == []


def test_an_image_by_a_tag_that_is_there_will_do(
    image: Write, manifest: Write, deploy: Deploy, front: Any, key: str
) -> None:
    deploy(manifest(key=key))
    deploy(image(f"{HOST}/acme/render:one"), replacing=True)
    assert front.changes == GONE


@pytest.mark.parametrize(
    ("status", "error"), [(404, DeployRefused), (403, AccessDenied), (None, DeployRefused)]
)
def test_nothing_is_deleted_for_a_zip_that_is_not_there(
    image: Write,
    manifest: Write,
    deploy: Deploy,
    front: Any,
    key: str,
    status: int | None,
    error: type[Exception],
) -> None:
    deploy(image())
    if status is not None:
        front.refuse("HeadObject", status, "", "", times=2)
    with pytest.raises(error):
        deploy(manifest(key=key if status else f"render/{'9' * 64}.zip"), replacing=True)
    assert front.changes == []


def test_killed_after_the_deletion_the_next_one_creates(
    image: Write, manifest: Write, deploy: Deploy, deployed: Deployed, front: Any, key: str
) -> None:
    deploy(manifest(key=key))
    front.behaviour.deletion_reads = 4

    def killed() -> None:
        raise KeyboardInterrupt

    listened: list[str] = []

    def listener(event: Any) -> None:
        listened.append(f"{type(event).__name__} {getattr(event, 'step', '')}")
        if listened[-1] == "StepFinished delete":
            killed()

    with pytest.raises(KeyboardInterrupt):
        deploy(image(), replacing=True, listener=listener)
    assert front.changes == ["DeleteFunction"]
    deploy(image())  # it is still being deleted, and needs no permission any more
    assert front.changes == ["CreateFunction"]
    assert deployed()["PackageType"] == "Image"


def test_a_name_that_is_not_free_yet_is_waited_for(
    image: Write, manifest: Write, deploy: Deploy, deployed: Deployed, front: Any, key: str
) -> None:
    deploy(manifest(key=key))
    busy = "The operation cannot be performed at this time. An update is in progress for resource: render"
    front.refuse("CreateFunction", 409, "ResourceConflictException", busy, times=2)
    deploy(image(), replacing=True)
    assert front.changes == ["DeleteFunction", *["CreateFunction"] * 3]
    assert deployed()["PackageType"] == "Image"


def test_a_refused_creation_says_that_the_function_is_gone(
    image: Write, manifest: Write, deploy: Deploy, deployed: Deployed, front: Any, key: str
) -> None:
    deploy(manifest(key=key))
    text = "Lambda does not have permission to access the ECR image. Check the ECR permissions."
    front.refuse("CreateFunction", 403, "AccessDeniedException", text)
    with pytest.raises(AccessDenied, match="creating anew, after its deletion, the function render"):
        deploy(image(), replacing=True)
    front.refuse("CreateFunction", 400, "InvalidParameterValueException", text)
    with pytest.raises(DeployRefused) as caught:
        deploy(image())
    assert "ecr:GetDownloadUrlForLayer" in (caught.value.hint or "")
    deploy(image())
    assert deployed()["PackageType"] == "Image"


def test_a_function_that_somebody_changed_meanwhile_is_not_deleted(
    image: Write, manifest: Write, deploy: Deploy, front: Any, key: str, aws: Aws
) -> None:
    deploy(manifest(key=key))
    front.before(
        "BatchGetImage",
        lambda: aws.lambda_().update_function_configuration(FunctionName="render", MemorySize=1024),
    )
    with pytest.raises(DeployConflict, match="so it was not deleted"):
        deploy(image(), replacing=True)
    assert "DeleteFunction" not in front.changes


def test_a_function_that_is_gone_already_is_created(
    image: Write, manifest: Write, deploy: Deploy, deployed: Deployed, front: Any, key: str, aws: Aws
) -> None:
    deploy(manifest(key=key))
    front.before("DeleteFunction", lambda: aws.lambda_().delete_function(FunctionName="render"))
    deploy(image(), replacing=True)
    assert deployed()["PackageType"] == "Image"


def test_a_deletion_that_takes_too_long_says_so(
    image: Write, manifest: Write, front: Any, key: str, deploy: Deploy, plan_of: Callable[..., Deployment]
) -> None:
    deploy(manifest(key=key))
    front.behaviour.deletion_reads = 10**6
    with pytest.raises(DeployTimeout, match="has been deleting"):
        apply_all([plan_of(image())], replacing=True, patience=Patience(settle=0.05, poll=0.01))
