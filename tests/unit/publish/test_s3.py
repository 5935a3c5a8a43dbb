from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from planton_build.errors import (
    AccessDenied,
    BucketElsewhere,
    BucketUnknown,
    CredentialsMissing,
    PublishFailed,
)
from planton_build.manifest.code_source import S3Source
from planton_build.publish.aws import Aws, AwsSettings
from planton_build.publish.keys import object_key
from planton_build.publish.s3 import Published, publish, stored_digest

Artifact = tuple[Path, str, int]


def send(aws: Aws, artifact: Artifact, bucket: str = "artifacts", **options: Any) -> Published:
    path, sha256, size = artifact
    given: dict[str, Any] = {"prefix": "team/", "function_name": "render", "region": None} | options
    return publish(path, sha256=sha256, size=size, bucket=bucket, aws=aws, **given)


def stored(aws: Aws, bucket: str, key: str) -> bytes:
    return aws.s3().get_object(Bucket=bucket, Key=key)["Body"].read()


def test_a_new_artifact_is_uploaded_under_its_digest(aws: Aws, bucket: str, artifact: Artifact) -> None:
    published = send(aws, artifact)
    assert published == Published(S3Source(bucket, f"team/render/{artifact[1]}.zip"), uploaded=True)
    head = aws.s3().head_object(Bucket=bucket, Key=published.source.key, ChecksumMode="ENABLED")
    assert head["ContentType"] == "application/zip"
    assert stored_digest(published.source, region="eu-west-1", aws=aws) == artifact[1]
    assert stored(aws, bucket, published.source.key) == artifact[0].read_bytes()


def test_an_artifact_that_is_there_costs_one_head(
    aws: Aws, bucket: str, front: Any, artifact: Artifact
) -> None:
    first = send(aws, artifact)
    front.calls.clear()
    assert send(aws, artifact) == Published(first.source, uploaded=False)
    assert front.calls == ["HeadObject"]


def test_a_new_artifact_costs_three_calls(aws: Aws, bucket: str, front: Any, artifact: Artifact) -> None:
    send(aws, artifact)
    assert front.calls == ["HeadObject", "HeadBucket", "PutObject"]


def test_a_versioned_bucket_gives_the_version_when_uploading_and_when_there(
    aws: Aws, bucket: str, artifact: Artifact
) -> None:
    aws.s3().put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    first, second = send(aws, artifact), send(aws, artifact)
    assert first.source.object_version
    assert first.source == second.source
    assert (first.uploaded, second.uploaded) == (True, False)


@pytest.mark.parametrize("operation", ["PutObject", "HeadObject"])
def test_the_null_version_is_no_version(
    aws: Aws, bucket: str, front: Any, artifact: Artifact, operation: str
) -> None:
    if operation == "HeadObject":
        send(aws, artifact)
    front.headers[operation] = [("x-amz-version-id", "null")]
    assert send(aws, artifact).source.object_version is None


def test_another_object_under_the_key_is_a_conflict(aws: Aws, bucket: str, artifact: Artifact) -> None:
    key = object_key("team", "render", artifact[1])
    aws.s3().put_object(Bucket=bucket, Key=key, Body=b"something else")
    with pytest.raises(PublishFailed, match="holds other bytes"):
        send(aws, artifact)
    assert stored(aws, bucket, key) == b"something else"


def test_another_object_of_the_same_size_is_a_conflict(aws: Aws, bucket: str, artifact: Artifact) -> None:
    key = object_key("team", "render", artifact[1])
    other = bytes(artifact[2])
    aws.s3().put_object(Bucket=bucket, Key=key, Body=other, ChecksumAlgorithm="SHA256")
    with pytest.raises(PublishFailed, match="holds other bytes"):
        send(aws, artifact)


def test_losing_the_race_to_the_same_artifact_is_no_failure(
    aws: Aws, bucket: str, front: Any, artifact: Artifact
) -> None:
    def other_build() -> None:
        assert send(aws, artifact).uploaded

    front.before("PutObject", other_build)
    assert not send(aws, artifact).uploaded


def test_losing_the_race_to_other_bytes_is_a_conflict(
    aws: Aws, bucket: str, front: Any, artifact: Artifact
) -> None:
    key = object_key("team", "render", artifact[1])
    front.before("PutObject", lambda: aws.s3().put_object(Bucket=bucket, Key=key, Body=b"other"))
    with pytest.raises(PublishFailed, match="holds other bytes"):
        send(aws, artifact)


def test_a_write_in_progress_by_another_is_waited_for(
    aws: Aws, bucket: str, front: Any, artifact: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("planton_build.publish.s3._PAUSES", (0, 0))
    front.refuse("PutObject", 409, "ConditionalRequestConflict", "conflicting", times=2)
    assert send(aws, artifact).uploaded
    assert front.calls.count("PutObject") == 3


def test_waiting_for_another_write_is_bounded(
    aws: Aws, bucket: str, front: Any, artifact: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("planton_build.publish.s3._PAUSES", (0, 0))
    front.refuse("PutObject", 409, "ConditionalRequestConflict", "conflicting", times=99)
    with pytest.raises(PublishFailed, match="does not come to rest"):
        send(aws, artifact)
    assert front.calls.count("PutObject") == 3


def test_a_missing_bucket_is_told_before_anything_is_sent(aws: Aws, front: Any, artifact: Artifact) -> None:
    with pytest.raises(BucketUnknown, match="there is no bucket nowhere"):
        send(aws, artifact, "nowhere")
    assert "PutObject" not in front.calls


def test_a_bucket_that_vanishes_is_told(aws: Aws, bucket: str, front: Any, artifact: Artifact) -> None:
    front.refuse("PutObject", 404, "NoSuchBucket", "The specified bucket does not exist")
    with pytest.raises(BucketUnknown):
        send(aws, artifact)


@pytest.mark.parametrize("there", [False, True], ids=["new", "already there"])
def test_a_bucket_elsewhere_is_refused_at_the_first_answer(
    aws: Aws, front: Any, bucket: str, artifact: Artifact, there: bool
) -> None:
    if there:
        send(aws, artifact)
        front.calls.clear()
    front.bucket_regions[bucket] = "us-west-2"
    with pytest.raises(BucketElsewhere, match="in us-west-2, and the function in eu-west-1"):
        send(aws, artifact)
    assert front.calls == ["HeadObject"]


def test_the_region_is_checked_by_the_bucket_when_the_object_does_not_tell(
    aws: Aws, front: Any, artifact: Artifact, endpoint: str
) -> None:
    there = Aws(AwsSettings("us-west-2", None, endpoint, "testing", "testing"))
    there.s3().create_bucket(Bucket="american", CreateBucketConfiguration={"LocationConstraint": "us-west-2"})
    with pytest.raises(BucketElsewhere):
        send(aws, artifact, "american")
    assert "PutObject" not in front.calls


def test_the_functions_region_wins_over_the_sessions(
    aws: Aws, front: Any, bucket: str, artifact: Artifact
) -> None:
    front.bucket_regions[bucket] = "eu-west-1"
    with pytest.raises(BucketElsewhere, match="in eu-west-1, and the function in ap-south-1"):
        send(aws, artifact, region="ap-south-1")


def test_without_list_permission_an_absent_object_is_uploaded(
    aws: Aws, front: Any, bucket: str, artifact: Artifact
) -> None:
    front.refuse("HeadObject", 403, "AccessDenied", "Access Denied")
    front.refuse("HeadBucket", 403, "AccessDenied", "Access Denied")
    assert send(aws, artifact).uploaded


def test_without_read_permission_a_taken_key_is_access_denied(
    aws: Aws, front: Any, bucket: str, artifact: Artifact
) -> None:
    send(aws, artifact)
    front.refuse("HeadObject", 403, "AccessDenied", "Access Denied", times=2)
    with pytest.raises(AccessDenied, match="s3:GetObject on s3://artifacts/team/render/"):
        send(aws, artifact)


def test_a_refused_upload_names_action_and_object(
    aws: Aws, front: Any, bucket: str, artifact: Artifact
) -> None:
    front.refuse("PutObject", 403, "AccessDenied", "Access Denied")
    with pytest.raises(AccessDenied, match="s3:PutObject on s3://artifacts/team/render/") as caught:
        send(aws, artifact)
    assert caught.value.hint
    assert "allow s3:PutObject" in caught.value.hint


def test_bytes_that_do_not_have_the_digest_are_refused_by_s3(
    aws: Aws, bucket: str, artifact: Artifact
) -> None:
    path, _, size = artifact
    with pytest.raises(PublishFailed, match="BadDigest"):
        send(aws, (path, hashlib.sha256(b"other").hexdigest(), size))


def test_an_artifact_that_is_gone_is_told(aws: Aws, bucket: str, tmp_path: Path) -> None:
    with pytest.raises(PublishFailed, match="cannot be read"):
        send(aws, (tmp_path / "gone.zip", "0" * 64, 3))


def test_no_credentials(front: Any, endpoint: str, artifact: Artifact) -> None:
    with pytest.raises(CredentialsMissing, match="no usable credentials") as caught:
        send(Aws(AwsSettings("eu-west-1", None, endpoint)), artifact)
    assert caught.value.hint
    assert front.calls == []


def test_no_region(front: Any, endpoint: str, artifact: Artifact) -> None:
    with pytest.raises(CredentialsMissing, match="no AWS region"):
        send(Aws(AwsSettings(endpoint_url=endpoint)), artifact)


def test_the_artifact_is_read_in_pieces_and_counted_once(aws: Aws, bucket: str, tmp_path: Path) -> None:
    content = b"x" * (6 << 20)
    path = tmp_path / "large.zip"
    path.write_bytes(content)
    amounts: list[int] = []
    send(aws, (path, hashlib.sha256(content).hexdigest(), len(content)), progress=amounts.append)
    assert sum(amounts) == len(content)
    assert min(amounts) > 0
    assert max(amounts) <= 1 << 20


def test_a_lost_answer_to_the_upload_ends_well(aws: Aws, front: Any, bucket: str, artifact: Artifact) -> None:
    front.lose("PutObject")
    source = send(aws, artifact).source
    assert stored(aws, bucket, source.key) == artifact[0].read_bytes()


def test_a_foreign_object_without_a_checksum_has_no_digest(aws: Aws, bucket: str) -> None:
    aws.s3().put_object(Bucket=bucket, Key="x.zip", Body=b"x")
    assert stored_digest(S3Source(bucket, "x.zip"), region="eu-west-1", aws=aws) is None
    assert stored_digest(S3Source(bucket, "absent.zip"), region="eu-west-1", aws=aws) is None
