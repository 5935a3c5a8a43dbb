"""Writing down a function that lives in AWS: its manifest, and the `[deploy]` table for planton.toml.

What is written is read back before anything gets its name on disk: a deployment of it changes nothing. The
environment is written with its values, because a manifest without them would remove them; such a file is
for its owner alone.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Final

import yaml

from planton_build.deploy.differences import repository_of
from planton_build.deploy.life.code_copy import copy_code
from planton_build.deploy.life.live import Live, read_live
from planton_build.deploy.life.target import READ_JOBS, Target, pages, text
from planton_build.deploy.life.toml_text import toml_of
from planton_build.errors import ConfigInvalid, FileInTheWay, NotDeployable
from planton_build.files import write_atomic
from planton_build.manifest.code_source import S3Source
from planton_build.manifest.document import Manifest
from planton_build.manifest.load import read_manifests
from planton_build.parallel import each
from planton_build.publish.aws import Aws
from planton_build.settings.model import DeploySettings
from planton_build.settings.read import settings_for

MANIFEST_NAME: Final = "lambda.yaml"
SETTINGS_NAME: Final = "planton.toml"
_SECRET_MODE: Final = 0o600
_OPEN_MODE: Final = 0o644
_HEAD: Final = "# Adopted from AWS by planton-deploy.\n"


@dataclass(frozen=True, slots=True)
class Adoption:
    """How to adopt. `bucket` and `prefix` are where ZIPs are copied to; `alias` serves, "" finds it."""

    bucket: str = ""
    prefix: str = ""
    alias: str = ""


@dataclass(frozen=True, slots=True)
class Adopted:
    """A function as files: `manifest` is YAML, `settings` TOML ("" when there is nothing to say).

    `deployable` is False for a ZIP whose code was not copied: `planton-build` has to write its code source.
    `secret` tells that the manifest holds values of environment variables. `notes` say what is left to AWS.
    """

    name: str
    region: str
    manifest: str = field(repr=False)
    settings: str
    deployable: bool
    secret: bool
    notes: tuple[str, ...] = ()


def list_functions(aws: Aws, region: str) -> list[str]:
    """Return the names of all functions of a region, sorted.

    Raises AccessDenied, CredentialsMissing, AwsUnreachable or DeployRefused.
    """
    place = Target("functions", region, aws)
    listed = pages(place, "listing the", place.client.list_functions, "Functions")
    return sorted(name for one in listed if (name := text(one, "FunctionName")))


def adopt_all(targets: Sequence[Target], how: Adoption, *, jobs: int = READ_JOBS) -> list[Adopted]:
    """Read functions and return them as files; the only thing that changes in AWS is the bucket.

    Raises what `read_live` raises, what publishing raises, and SeveralErrors.
    """
    return each(targets, lambda target: _adopt(target, how), jobs=jobs)


def _adopt(target: Target, how: Adoption) -> Adopted:
    live = read_live(target, how.alias)
    source = copy_code(target, live.observed, how.bucket, how.prefix) if how.bucket else None
    notes = list(live.notes)
    if live.observed.package == "Zip" and source is None:
        notes.append(
            "AWS does not tell where its ZIP came from: run planton-build on the manifest, or adopt with "
            "--bucket, which copies the deployed code there"
        )
    manifest = _manifest(live, source)
    settings = _readable(live, manifest, notes)
    return Adopted(
        name=target.name,
        region=target.region,
        manifest=manifest,
        settings=toml_of(settings),
        deployable=live.observed.package == "Image" or source is not None,
        secret=bool(live.observed.environment),
        notes=tuple(notes),
    )


def _manifest(live: Live, source: S3Source | None) -> str:
    """Return the manifest in the camelCase dialect, in the order of the schema."""
    document = {
        "apiVersion": "aws.planton.dev/v1",
        "kind": "AwsLambda",
        "metadata": {"name": live.target.name},
        "spec": {key: value for key, value in _spec(live, source) if value not in ("", [], {}, None)},
    }
    text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=4096, default_flow_style=False)
    return _HEAD + str(text)


def _spec(live: Live, source: S3Source | None) -> Iterator[tuple[str, Any]]:
    seen = live.observed
    zipped = seen.package == "Zip"
    yield "region", live.target.region
    yield "functionName", live.target.name
    yield "description", seen.description
    yield "roleArn", {"value": seen.role}
    yield "runtime", seen.runtime if zipped else ""
    yield "handler", seen.handler if zipped else ""
    yield "memoryMb", seen.memory_mb
    yield "timeoutSeconds", seen.timeout_seconds
    yield "reservedConcurrency", seen.reserved_concurrency
    yield "environment", dict(seen.environment or {})
    yield "subnets", [{"value": subnet} for subnet in seen.subnets]
    yield "securityGroups", [{"value": group} for group in seen.security_groups]
    yield "architecture", "ARM64" if seen.architecture == "arm64" else "X86_64"
    yield "layerArns", [{"value": layer} for layer in seen.layers]
    yield "kmsKeyArn", {"value": seen.kms_key} if seen.kms_key else None
    yield "codeSourceType", "CODE_SOURCE_TYPE_S3" if zipped else "CODE_SOURCE_TYPE_IMAGE"
    if source is not None and zipped:
        version = {"objectVersion": source.object_version} if source.object_version else {}
        yield "s3", {"bucket": source.bucket, "key": source.key, **version}
    if not zipped:
        # By its digest, because a tag may mean another image by now.
        digest = f"@sha256:{seen.code_sha256}" if seen.code_sha256 else ""
        yield "imageUri", repository_of(seen.image_uri) + digest if digest else seen.image_uri


def _readable(live: Live, manifest: str, notes: list[str]) -> DeploySettings:
    """Return the settings that the reader of settings takes, and note what it does not.

    AWS holds what the settings refuse: what was allowed once, or is set by other means.
    """
    with tempfile.TemporaryDirectory(prefix="planton-adopt-") as folder:
        # A repository's end, so that no file above it counts.
        (Path(folder) / ".git").mkdir()
        path = Path(folder) / MANIFEST_NAME
        write_atomic(path, manifest.encode(), mode=_SECRET_MODE)
        found = read_manifests(path)
        if len(found) != 1:
            raise NotDeployable(f"{live.target.name} gives no manifest that can be read")
        settings = live.settings
        if _takes(found[0], settings) is None:
            return settings
        for name in [one.name for one in fields(DeploySettings) if one.name != "alias"]:
            alone = replace(DeploySettings(alias=settings.alias), **{name: getattr(settings, name)})
            if (why := _takes(found[0], alone)) is not None:
                settings = replace(settings, **{name: getattr(DeploySettings(), name)})
                notes.append(f"{name.replace('_', ' ')} is left as it is: {why}")
        if (why := _takes(found[0], settings)) is not None:
            notes.append(f"the settings do not fit together, so none are written: {why}")
            return DeploySettings()
        return settings


def _takes(manifest: Manifest, settings: DeploySettings) -> str | None:
    """Write settings beside a manifest and read them back; return what is wrong, None when all is well."""
    path = manifest.path.with_name(SETTINGS_NAME)
    write_atomic(path, toml_of(settings).encode(), mode=_SECRET_MODE)
    try:
        back = settings_for(manifest)
    except ConfigInvalid as error:
        return error.findings[0].message
    return None if replace(back, files=()) == settings else "it does not read back as it was written"


def write_adopted(adopted: Sequence[Adopted], folder: Path) -> list[Path]:
    """Write each function's files into a folder of its name, and return the files that are new.

    Nothing is overwritten: files with the same content stay, and if any has another, no file is written.
    Raises FileInTheWay, and OSError when the disk refuses.
    """
    wanted: list[tuple[Path, bytes, int]] = []
    for one in adopted:
        place = folder / one.name
        mode = _SECRET_MODE if one.secret else _OPEN_MODE
        wanted.append((place / MANIFEST_NAME, one.manifest.encode(), mode))
        if one.settings:
            wanted.append((place / SETTINGS_NAME, (_HEAD + one.settings).encode(), _OPEN_MODE))
    missing = [item for item in wanted if not _is_there(item[0], item[1])]
    for path, content, mode in missing:
        write_atomic(path, content, mode=mode)
    return [path for path, _, _ in missing]


def _is_there(path: Path, content: bytes) -> bool:
    """Tell whether a file is there as wanted. Raises FileInTheWay when it is there otherwise."""
    if not path.exists() and not path.is_symlink():
        return False
    try:
        same = path.is_file() and path.stat().st_size == len(content) and path.read_bytes() == content
    except OSError:
        same = False
    if not same:
        raise FileInTheWay(
            f"{path} is there already, with other content",
            hint="name another folder with --output, or move the file away",
            file=path,
        )
    return True
