"""The JSON contract of images in `planton-build check --json`, as pydantic models (docs/json.md)."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class _Out(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ImageLayerOut(_Out):
    """One layer, the lowest first; sizes in bytes. `created_by` is what the image's history says of it."""

    digest: str
    media_type: str
    size: int
    unpacked_size: int
    entries: int
    created_by: str | None


class ImageFileOut(_Out):
    """One of the largest files; its path begins with a slash."""

    path: str
    size: int


class ImageNoteOut(_Out):
    """What is worth a word and no failure. `subject` is what `--allow` would name."""

    rule: str
    subject: str
    message: str


class ImageOut(_Out):
    """One image; sizes in bytes. `size` is that of all blobs, `unpacked_size` of all layers unpacked."""

    image: str
    digest: str
    media_type: str
    os: str
    architecture: str
    entrypoint: list[str]
    command: list[str]
    working_dir: str
    glibc: str | None
    size: int
    unpacked_size: int
    limit: int
    files: int
    layers: list[ImageLayerOut]
    largest: list[ImageFileOut]
    notes: list[ImageNoteOut]
