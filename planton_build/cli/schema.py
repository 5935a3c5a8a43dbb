"""The JSON contract of `--json`, as pydantic models: what other tools may rely on (docs/json.md)."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict


class _Out(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PackageOut(_Out):
    """One package of an artifact; sizes in bytes."""

    name: str
    version: str
    size: int
    unzipped_size: int


class BytecodeOut(_Out):
    """What `.pyc` files take of an artifact; sizes in bytes."""

    files: int
    size: int
    unzipped_size: int


class S3Out(_Out):
    """`spec.s3` as written back."""

    bucket: str
    key: str
    object_version: str | None


class CodeSourceOut(_Out):
    """The code source that was written back: one of the two."""

    s3: S3Out | None
    image_uri: str | None


class FunctionOut(_Out):
    """One function; sizes in bytes, `seconds` of wall time."""

    manifest: str
    function_name: str
    package_type: Literal["Zip", "Image"]
    runtime: str
    architecture: Literal["arm64", "x86_64"]
    artifact: str
    sha256: str
    code_sha256: str
    tree_digest: str
    size: int
    unzipped_size: int
    files: int
    packages: list[PackageOut]
    bytecode: BytecodeOut
    code_source: CodeSourceOut | None
    cached: bool
    seconds: float


class BuildOut(_Out):
    """`planton-build --json`."""

    functions: list[FunctionOut]


class ErrorOut(_Out):
    """One finding; `line` and `column` count from 1."""

    code: str
    message: str
    file: str | None
    line: int | None
    column: int | None
    hint: str | None


class ErrorsOut(_Out):
    """Any command with `--json` that fails."""

    errors: list[ErrorOut]
