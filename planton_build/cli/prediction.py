"""The code sources that publishing would give, told without asking AWS: for `--check` and `--dry-run`."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from planton_build.cli.report import artifact_key
from planton_build.errors import NotDeployable
from planton_build.manifest.code_source import CodeSource, ImageSource, S3Source

if TYPE_CHECKING:
    from planton_build.pipeline import Built
    from planton_build.project.function import FunctionProject

_ROLE = re.compile(r"arn:(aws[a-zA-Z-]*):iam::(\d{12}):role/.+")


def predicted(results: Sequence[Built]) -> dict[str, CodeSource]:
    """Return the code source of every function by its key.

    Raises:
        NotDeployable: nothing tells the account of an image's repository.
    """
    return {
        artifact_key(built): _image(built) if built.project.is_image else _zip(built) for built in results
    }


def _zip(built: Built) -> S3Source:
    from planton_build.publish.keys import object_key

    options = built.project.options
    key = object_key(options.prefix, built.project.name, built.artifact.sha256)
    now = built.project.manifest.model.spec.s3
    same = now is not None and (now.bucket, now.key) == (options.bucket, key)
    version = now.object_version or None if now is not None and same else None
    return S3Source(str(options.bucket), key, version)


def _image(built: Built) -> ImageSource:
    from planton_build.publish.images import full_name

    project = built.project
    name = full_name(project.options.repository or "", project.name)
    first = name.partition("/")[0]
    if not ("." in first or ":" in first or first == "localhost"):
        name = f"{_registry(project, name)}/{name}"
    return ImageSource(f"{name}@sha256:{built.artifact.sha256}")


def _registry(project: FunctionProject, name: str) -> str:
    """Return the registry of a repository without one: that of now, else that of the role's account."""
    from planton_build.publish.ecr import registry_host

    spec = project.manifest.model.spec
    host, _, rest = spec.image_uri.partition("/")
    if re.split(r"[:@]", rest)[0] == name:
        return host
    role = _ROLE.fullmatch((spec.role_arn.value if spec.role_arn else None) or "")
    region = spec.region or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if role is None or not region:
        raise NotDeployable(
            f"nothing tells the account and the region of the repository {name}",
            hint="write the registry too: repository = "
            '"<account>.dkr.ecr.<region>.amazonaws.com/' + name + '" in planton.toml',
            file=project.manifest.path,
        )
    return registry_host(role[2], region)
