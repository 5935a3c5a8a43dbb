"""Put an artifact into S3 once, under a name that says what it is."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from planton_build.errors import BucketElsewhere, BucketUnknown, PublishFailed
from planton_build.manifest.code_source import S3Source
from planton_build.publish.aws import Aws, RegionMismatch
from planton_build.publish.aws_errors import error_code, error_status, explain, explained
from planton_build.publish.keys import object_key

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import HeadObjectOutputTypeDef

_PAUSES = (0.25, 0.5, 1.0, 2.0)
"""Seconds between tries while somebody else is writing the same key."""


@dataclass(frozen=True, slots=True)
class Published:
    """Where the artifact is. `uploaded` is False when it was there already."""

    source: S3Source
    uploaded: bool


@dataclass(frozen=True, slots=True)
class _Place:
    """An object key, and how to talk about it."""

    client: S3Client
    bucket: str
    key: str
    region: str
    owner: str | None

    @property
    def url(self) -> str:
        return f"s3://{self.bucket}/{self.key}"

    @property
    def guard(self) -> Any:
        return {} if self.owner is None else {"ExpectedBucketOwner": self.owner}


def publish(
    artifact: Path,
    *,
    sha256: str,
    size: int,
    bucket: str,
    prefix: str,
    function_name: str,
    region: str | None,
    aws: Aws,
    expected_owner: str | None = None,
    progress: Callable[[int], None] = lambda _amount: None,
) -> Published:
    """Make sure that the artifact is in the bucket, and return where.

    `sha256` (hex) and `size` (bytes) are the artifact's. `region` is the function's; None means the
    session's. `expected_owner` is the account the bucket must belong to. `progress` is told how many more
    bytes were read for sending.

    An artifact that is there costs one HEAD request. Otherwise one conditional PutObject sends it: S3 checks
    the SHA-256, and nothing is ever overwritten, so two builds that race both end well.

    Raises BucketUnknown, BucketElsewhere, AccessDenied, CredentialsMissing, AwsUnreachable, ConfigInvalid, or
    PublishFailed (S3 refused, or holds other bytes under this key).
    """
    key = object_key(prefix, function_name, sha256)
    where = aws.region(region)
    place = _Place(aws.s3(where), bucket, key, where, expected_owner)
    digest = base64.b64encode(bytes.fromhex(sha256)).decode()
    try:
        if (found := _present(place, digest, size)) is not None:
            return Published(found, uploaded=False)
        _check_bucket(place)
        return _upload(place, artifact, digest, size, progress)
    except RegionMismatch as error:
        raise _elsewhere(place.bucket, error.region, where) from None


def stored_digest(source: S3Source, *, region: str, aws: Aws) -> str | None:
    """Return the SHA-256 (hex) that S3 keeps for an object as a whole, or None when it keeps or tells none.

    Raises BucketElsewhere, CredentialsMissing, AwsUnreachable or PublishFailed.
    """
    from botocore.exceptions import ClientError

    place = _Place(aws.s3(region), source.bucket, source.key, region, None)
    try:
        with explained(f"reading {place.url}"):
            try:
                answer = _head(place, version=source.object_version)
            except ClientError as error:
                if error_status(error) in (403, 404):
                    return None
                raise
    except RegionMismatch as error:
        raise _elsewhere(place.bucket, error.region, region) from None
    checksum = _whole_checksum(answer)
    try:
        return base64.b64decode(checksum, validate=True).hex() if checksum else None
    except ValueError:
        return None


def _head(place: _Place, *, version: str | None = None) -> HeadObjectOutputTypeDef:
    exact: Any = {} if version is None else {"VersionId": version}
    return place.client.head_object(
        Bucket=place.bucket, Key=place.key, ChecksumMode="ENABLED", **exact, **place.guard
    )


def _present(place: _Place, digest: str, size: int, *, must_read: bool = False) -> S3Source | None:
    """Return the object when it is there, after comparing it with what it should be; None when it is absent.

    Without s3:ListBucket, S3 answers 403 for an absent object too. That counts as absent, because the upload
    that follows is conditional; `must_read` is for when it is known to be there.
    """
    from botocore.exceptions import ClientError

    with explained(f"looking for {place.url}", resource=place.url):
        try:
            answer = _head(place)
        except ClientError as error:
            status = error_status(error)
            if status == 404 or (status == 403 and not must_read):
                return None
            if status in (301, 307):
                raise _elsewhere(place.bucket, None, place.region) from None
            raise
    checksum = _whole_checksum(answer)
    if answer.get("ContentLength") != size or (checksum is not None and checksum != digest):
        raise PublishFailed(
            f"{place.url} holds other bytes than the artifact of this name: "
            f"{answer.get('ContentLength')} bytes with SHA-256 {checksum or 'unknown'}, "
            f"where {size} bytes with {digest} belong",
            hint="somebody overwrote it; delete the object and publish again, or use another prefix",
        )
    return _source(place, answer.get("VersionId"))


def _whole_checksum(answer: HeadObjectOutputTypeDef) -> str | None:
    """Return the SHA-256 (base64) of the whole object; a checksum of part checksums (`…-3`) is not that."""
    checksum = answer.get("ChecksumSHA256")
    return None if not checksum or "-" in checksum or answer.get("ChecksumType") == "COMPOSITE" else checksum


def _check_bucket(place: _Place) -> None:
    """See, before sending anything, that the bucket exists; the client itself refuses one elsewhere."""
    from botocore.exceptions import ClientError

    with explained(f"looking for the bucket {place.bucket}", resource=f"s3://{place.bucket}"):
        try:
            answer = place.client.head_bucket(Bucket=place.bucket, **place.guard)
        except ClientError as error:
            status = error_status(error)
            if status == 404:
                raise _no_bucket(place.bucket) from None
            if status == 403:
                return  # s3:ListBucket is not needed for uploading; PutObject has the last word
            if status in (301, 307):
                raise _elsewhere(place.bucket, None, place.region) from None
            raise
    found = answer.get("BucketRegion")
    if found and found != place.region:
        raise _elsewhere(place.bucket, found, place.region)


def _upload(
    place: _Place, artifact: Path, digest: str, size: int, progress: Callable[[int], None]
) -> Published:
    for pause in (*_PAUSES, None):
        if (source := _put(place, artifact, digest, size, progress)) is not None:
            return Published(source, uploaded=True)
        # Somebody else has put this key (412) or is at it (409); the same name means the same bytes.
        if (found := _present(place, digest, size, must_read=True)) is not None:
            return Published(found, uploaded=False)
        if pause is not None:
            time.sleep(pause)
    raise PublishFailed(
        f"{place.url} is being written by somebody else, and does not come to rest",
        hint="publish again when the other build has ended",
    )


def _put(
    place: _Place, artifact: Path, digest: str, size: int, progress: Callable[[int], None]
) -> S3Source | None:
    """Send the artifact unless the key is taken (None)."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        with artifact.open("rb") as stream:
            body: Any = _Counted(stream, progress)
            answer = place.client.put_object(
                Bucket=place.bucket,
                Key=place.key,
                Body=body,
                ContentLength=size,
                ContentType="application/zip",
                IfNoneMatch="*",
                ChecksumAlgorithm="SHA256",
                ChecksumSHA256=digest,
                **place.guard,
            )
    except ClientError as error:
        code, status = error_code(error), error_status(error)
        if status == 412 or code == "ConditionalRequestConflict":
            return None
        if code == "NoSuchBucket":
            raise _no_bucket(place.bucket) from None
        raise explain(error, doing=f"uploading {place.url}", resource=place.url) from None
    except BotoCoreError as error:
        raise explain(error, doing=f"uploading {place.url}", resource=place.url) from None
    except OSError as error:
        raise PublishFailed(
            f"the artifact {artifact} cannot be read: {error.strerror}", hint="build again"
        ) from error
    return _source(place, answer.get("VersionId"))


def _source(place: _Place, version: str | None) -> S3Source:
    # "null" is how a bucket names objects from before versioning, or while it is suspended.
    return S3Source(place.bucket, place.key, None if version in (None, "", "null") else version)


def _no_bucket(bucket: str) -> BucketUnknown:
    return BucketUnknown(
        f"there is no bucket {bucket}",
        hint="create it in the function's region, or name another with --bucket",
    )


def _elsewhere(bucket: str, found: str | None, wanted: str) -> BucketElsewhere:
    return BucketElsewhere(
        f"the bucket {bucket} is in {found or 'another region'}, and the function in {wanted}; "
        "Lambda reads code only from its own region",
        hint=f"use a bucket in {wanted}",
    )


class _Counted:
    """A file that tells how far it was read. Reading again, as for a retry, is not counted twice."""

    def __init__(self, stream: BinaryIO, progress: Callable[[int], None]) -> None:
        self._stream = stream
        self._progress = progress
        self._furthest = 0

    def read(self, size: int = -1) -> bytes:
        chunk = self._stream.read(size)
        if (reached := self._stream.tell()) > self._furthest:
            self._progress(reached - self._furthest)
            self._furthest = reached
        return chunk

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()
