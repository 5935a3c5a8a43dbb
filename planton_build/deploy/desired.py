"""What a function should be: its manifest, references resolved, its settings, and Lambda's defaults."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

from planton_build.errors import Finding, ReferenceUnresolved
from planton_build.manifest.code_source import CodeSource, ImageSource, S3Source
from planton_build.manifest.document import Manifest
from planton_build.manifest.load import require_deployable
from planton_build.manifest.model import (
    Architecture,
    AwsLambdaSpec,
    CodeSourceType,
    S3Code,
    StringValueOrRef,
    ValueFromRef,
)
from planton_build.manifest.references import defaults_for
from planton_build.publish.keys import digest_in_key
from planton_build.settings.model import (
    NO_SETTINGS,
    OFF,
    DeploySettings,
    FileSystem,
    ImageSettings,
    Logging,
)

if TYPE_CHECKING:
    from planton_build.deploy.references.resolver import References, Resolved

PackageType: TypeAlias = Literal["Zip", "Image"]
"""Lambda's names for its two forms of code. A function keeps its form for life."""

DEFAULT_MEMORY_MB = 128
"""Lambda's memory for a function that does not say (CreateFunction, `MemorySize`)."""
DEFAULT_TIMEOUT_SECONDS = 3
"""Lambda's timeout for a function that does not say (CreateFunction, `Timeout`)."""
DEFAULT_EPHEMERAL_MB = 512
"""Lambda's `/tmp` for a function that does not say (CreateFunction, `EphemeralStorage`)."""
DEFAULT_TRACING = "PassThrough"
"""Lambda's tracing for a function that does not say (CreateFunction, `TracingConfig`)."""


def log_group_of(name: str) -> str:
    """Return the log group of a function that names none (CreateFunction, `LoggingConfig.LogGroup`)."""
    return f"/aws/lambda/{name}"


@dataclass(frozen=True, slots=True)
class DesiredFunction:
    """A function as its manifest and its settings want it.

    `region` is "" when the manifest leaves it to the session. `code_sha256` (hex) is the ZIP's SHA-256 or the
    image's digest, None when the code source does not tell it. Fields that the manifest leaves empty hold
    Lambda's default, so they are restored when somebody changed them; `reserved_concurrency` alone is not
    managed when it is None, and -1 stands for no reservation. `subnets` and `security_groups` are sorted,
    `layers` keep their order. The fields after it come from `settings`, the `[deploy]` tables, and are
    not managed when they are None. `record` is what a published version is described with, `resolved` says
    where values of references came from, `origin` where the manifest is, for messages.
    """

    name: str
    region: str
    package: PackageType
    code: CodeSource
    code_sha256: str | None
    architecture: str
    role: str
    runtime: str
    handler: str
    description: str
    memory_mb: int
    timeout_seconds: int
    environment: Mapping[str, str] = field(repr=False)
    subnets: tuple[str, ...]
    security_groups: tuple[str, ...]
    layers: tuple[str, ...]
    kms_key: str
    reserved_concurrency: int | None
    tracing: str | None = None
    dead_letter: str | None = None
    ephemeral_mb: int | None = None
    file_systems: tuple[FileSystem, ...] | None = None
    snap_start: bool | None = None
    logging: Logging | None = None
    image_config: ImageSettings | None = None
    settings: DeploySettings = field(default=NO_SETTINGS, repr=False)
    record: str = field(default="", compare=False)
    resolved: tuple[Resolved, ...] = field(default=(), compare=False)
    origin: str = field(default="", compare=False)


def desired_state(
    manifest: Manifest, settings: DeploySettings = NO_SETTINGS, references: References | None = None
) -> DesiredFunction:
    """Return what the manifest and the settings ask for; `references` finds the values of `valueFrom`.

    Raises NotDeployable when the manifest's code source is incomplete, and ReferenceUnresolved, with one
    finding for each place, when a `valueFrom` has no value: it is never passed on and never guessed.
    """
    require_deployable(manifest)
    spec = manifest.model.spec
    code = _code(spec)
    literals = _Values(manifest, references)
    role = literals.one("role_arn", spec.role_arn)
    subnets = literals.several("subnets", spec.subnets)
    groups = literals.several("security_groups", spec.security_groups)
    layers = literals.several("layer_arns", spec.layer_arns)
    key = literals.one("kms_key_arn", spec.kms_key_arn)
    literals.check()
    zipped = isinstance(code, S3Source)
    return DesiredFunction(
        name=spec.function_name,
        region=spec.region,
        package="Zip" if zipped else "Image",
        code=code,
        code_sha256=_digest(code),
        architecture="arm64" if spec.architecture is Architecture.ARM64 else "x86_64",
        role=role,
        # Lambda refuses both for an image; the schema allows them.
        runtime=spec.runtime if zipped else "",
        handler=spec.handler if zipped else "",
        description=spec.description,
        memory_mb=spec.memory_mb or DEFAULT_MEMORY_MB,
        timeout_seconds=spec.timeout_seconds or DEFAULT_TIMEOUT_SECONDS,
        environment=dict(sorted(spec.environment.items())),
        subnets=tuple(sorted(set(subnets))),
        security_groups=tuple(sorted(set(groups))),
        layers=tuple(layers),
        kms_key=key,
        reserved_concurrency=spec.reserved_concurrency,
        tracing=settings.tracing,
        dead_letter="" if settings.dead_letter is OFF else settings.dead_letter,
        ephemeral_mb=settings.ephemeral_storage,
        file_systems=settings.file_systems,
        snap_start=settings.snap_start,
        logging=_logging(spec.function_name, settings.logging),
        image_config=settings.image,
        settings=settings,
        resolved=tuple(literals.resolved),
        origin=_origin(manifest),
    )


def _logging(name: str, wanted: Logging | None) -> Logging | None:
    return wanted if wanted is None or wanted.group else replace(wanted, group=log_group_of(name))


def _code(spec: AwsLambdaSpec) -> CodeSource:
    if spec.code_source_type is CodeSourceType.IMAGE:
        return ImageSource(spec.image_uri)
    s3 = spec.s3 or S3Code()
    return S3Source(s3.bucket, s3.key, s3.object_version or None)


def _digest(code: CodeSource) -> str | None:
    if isinstance(code, S3Source):
        return digest_in_key(code.key)
    _, _, digest = code.image_uri.rpartition("@sha256:")
    return digest if digest != code.image_uri else None


def _origin(manifest: Manifest) -> str:
    position = manifest.position("spec", "function_name")
    return f"{manifest.path}:{position.line}" if position else str(manifest.path)


class _Values:
    """Takes values out of a manifest, and remembers every reference that has none."""

    def __init__(self, manifest: Manifest, references: References | None) -> None:
        self._manifest = manifest
        self._references = references
        self._findings: list[Finding] = []
        self.resolved: list[Resolved] = []

    def one(self, name: str, value: StringValueOrRef | None) -> str:
        return next(iter(self._of(name, value, None)), "")

    def several(self, name: str, values: Iterable[StringValueOrRef]) -> list[str]:
        return [found for index, value in enumerate(values) for found in self._of(name, value, index)]

    def _of(self, name: str, value: StringValueOrRef | None, index: int | None) -> tuple[str, ...]:
        if value is None or value.value_from is None:
            return (value.value,) if value is not None and value.value else ()
        if self._references is None:
            self._findings.append(self._finding(name, value.value_from, index))
            return ()
        try:
            found = self._references.resolve(self._manifest, name, index, value.value_from)
        except ReferenceUnresolved as error:
            self._findings += error.findings
            return ()
        self.resolved.append(found)
        return found.values

    def check(self) -> None:
        if not self._findings:
            return
        first, *more = self._findings
        others = f" (and {len(more)} more)" if more else ""
        raise ReferenceUnresolved(first.message + others, hint=first.hint, findings=self._findings)

    def _finding(self, name: str, ref: ValueFromRef, index: int | None) -> Finding:
        default = defaults_for(self._manifest.model.api_version, name)
        kind, target = ref.kind or default.kind or "(no kind)", ref.field_path or default.field_path
        path = () if index is None else (index,)
        position = self._manifest.position("spec", name, *path)
        where = "spec." + name + "".join(f"[{number}]" for number in path)
        within = f" in {ref.env}" if ref.env else ""
        return Finding(
            ReferenceUnresolved.code,
            f"{where} refers to {target or '(no field path)'} of {kind} {ref.name!r}{within}, "
            "whose value is not known here",
            self._manifest.path,
            position.line if position else None,
            position.column if position else None,
            "write the value itself under `value:` in place of `valueFrom:`",
        )
