"""Whether the code of a function can be had: asked before a function is deleted to be created anew."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from planton_build.deploy.desired import DesiredFunction
from planton_build.errors import AccessDenied, DeployRefused
from planton_build.manifest.code_source import ImageSource, S3Source
from planton_build.publish.aws import Aws
from planton_build.publish.aws_errors import error_status, explained
from planton_build.publish.ecr import EcrRegistry, parse_repository
from planton_build.publish.s3 import stored_digest
from planton_build.registry.pull import Repository
from planton_build.registry.reference import parse_reference
from planton_build.registry.session import Session

BaseUrlOf: TypeAlias = Callable[[str], str | None]
"""Tells which address serves a registry's host in its place; None is the host itself."""

_HINT = "run `planton-build` again, which publishes the code; nothing was deleted"


def require_code(
    desired: DesiredFunction, aws: Aws, region: str | None, *, base_url_of: BaseUrlOf | None = None
) -> None:
    """See that the desired code is where the manifest says, so that a function could be created from it.

    `base_url_of` is for an image whose registry is not ECR itself but a stand-in, which is asked then.

    Raises DeployRefused when the code is not there, and what `Ecr` and `stored_digest` raise.
    """
    where = aws.region(region)
    if isinstance(desired.code, ImageSource):
        _require_image(desired.code, aws, where, base_url_of)
    else:
        require_object(desired.code, aws, where)


def _require_image(code: ImageSource, aws: Aws, region: str, base_url_of: BaseUrlOf | None) -> None:
    name = parse_reference(code.image_uri)
    repository = parse_repository(name.name)
    reference = name.digest or name.tag or "latest"
    ecr = EcrRegistry(aws, region)
    ecr.check_region(repository)
    base_url = base_url_of(repository.host) if base_url_of else None
    if base_url is None:
        [found] = ecr.images(repository, reference)
    else:
        with Session(repository.host, base_url=base_url) as session:
            found = Repository(session, repository.name).has_manifest(reference)
    if found is None:
        raise DeployRefused(f"the image {code.image_uri} is not in its repository", hint=_HINT)


def require_object(code: S3Source, aws: Aws, region: str) -> None:
    """See that an object is in S3. Raises DeployRefused or AccessDenied, and what `stored_digest` raises."""
    from botocore.exceptions import ClientError

    if stored_digest(code, region=region, aws=aws) is not None:
        return
    url = f"s3://{code.bucket}/{code.key}"
    version: Any = {} if code.object_version is None else {"VersionId": code.object_version}
    with explained(f"looking for {url}", otherwise=DeployRefused, resource=url):
        try:
            aws.s3(region).head_object(Bucket=code.bucket, Key=code.key, **version)
        except ClientError as error:
            if error_status(error) == 404:
                raise DeployRefused(f"{url} is not there", hint=_HINT) from None
            if error_status(error) == 403:
                raise AccessDenied(
                    f"AWS does not allow s3:GetObject on {url}, or it is not there",
                    hint=f"allow s3:GetObject and s3:ListBucket to the caller, or {_HINT}",
                ) from None
            raise
