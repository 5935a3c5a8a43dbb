"""`CodeSource`: the answer of a build, in the two forms a manifest can hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class S3Source:
    """A ZIP in S3. `object_version` is None when the bucket is not versioned."""

    bucket: str
    key: str
    object_version: str | None = None


@dataclass(frozen=True, slots=True)
class ImageSource:
    """A container image, by digest: `…/name@sha256:…`."""

    image_uri: str


CodeSource: TypeAlias = S3Source | ImageSource
