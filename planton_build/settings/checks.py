"""What is right by itself and does not fit together: settings with each other, and with the manifest."""

from __future__ import annotations

import re
from collections.abc import Iterator

from planton_build.manifest.document import Manifest
from planton_build.manifest.model import AwsLambdaSpec, CodeSourceType
from planton_build.settings.arns import region_of
from planton_build.settings.model import Alarms, DeploySettings, Rollout
from planton_build.settings.source_access import SECRETS
from planton_build.settings.table import Fault
from planton_build.settings.values import MAX_TAGS

_SNAP_STORAGE = 512
_DEFAULT_TIMEOUT = 3
"""Seconds; CreateFunction's `Timeout` for a function that does not say."""
_SNAP_START = {"python3.": 12, "java": 11, "dotnet": 8}
"""The oldest version of each language that has SnapStart; others have none (aws-cdk-lib, `Runtime`)."""


def clashes(settings: DeploySettings, manifest: Manifest) -> Iterator[Fault]:
    """Yield what does not fit together. Paths begin with the key of the setting at fault."""
    spec = manifest.model.spec
    yield from _without_alias(settings)
    yield from _snap_start(settings, spec)
    yield from _by_package(settings, spec)
    yield from _against_manifest(settings, spec)
    if settings.tags is not None and len(settings.tags) > MAX_TAGS:
        yield Fault(
            ("tags",),
            f"tags has {len(settings.tags)} entries with those of the files above; {MAX_TAGS} at most",
        )


def _without_alias(settings: DeploySettings) -> Iterator[Fault]:
    if settings.alias is not None:
        return
    hint = 'set alias = "live"; without an alias there are no versions to choose from'
    if isinstance(settings.provisioned_concurrency, int):
        yield Fault(("provisioned-concurrency",), "provisioned-concurrency goes with an alias only", hint)
    if settings.rollout != Rollout():
        yield Fault(
            ("rollout",),
            "rollout goes with an alias only",
            f"{hint}. rollout = false unsets one of a file above",
        )
    if settings.snap_start:
        yield Fault(("snap-start",), "snap-start goes with an alias only: it is for published versions", hint)


def _snap_start(settings: DeploySettings, spec: AwsLambdaSpec) -> Iterator[Fault]:
    if not settings.snap_start:
        return
    path = ("snap-start",)
    if spec.code_source_type is CodeSourceType.IMAGE:
        yield Fault(path, "snap-start is not for container images")
    elif spec.runtime and not _has_snap_start(spec.runtime):
        yield Fault(
            path,
            f"snap-start is not for the runtime {spec.runtime}",
            "Lambda has it for Python from 3.12, Java from 11 and .NET from 8",
        )
    if settings.file_systems:
        yield Fault(path, "snap-start does not go with file-systems")
    if settings.ephemeral_storage is not None and settings.ephemeral_storage > _SNAP_STORAGE:
        yield Fault(path, f"snap-start does not go with more than {_SNAP_STORAGE} MB of ephemeral-storage")
    if isinstance(settings.provisioned_concurrency, int):
        yield Fault(path, "snap-start does not go with provisioned-concurrency")


def _has_snap_start(runtime: str) -> bool:
    return any(
        runtime.startswith(language)
        and (version := re.match(r"[0-9]{1,3}(?![0-9])", runtime[len(language) :])) is not None
        and int(version[0]) >= oldest
        for language, oldest in _SNAP_START.items()
    )


def _by_package(settings: DeploySettings, spec: AwsLambdaSpec) -> Iterator[Fault]:
    if spec.code_source_type is not CodeSourceType.IMAGE:
        if settings.image is not None:
            yield Fault(
                ("image",),
                f"image is for functions that run from a container image, and {spec.function_name} does not",
                f"move it to [function.{spec.function_name}.deploy.image] of such a function",
            )
        return
    name = f"{spec.function_name} runs from a container image"
    if isinstance(settings.code_signing, str):
        yield Fault(("code-signing",), f"code-signing is for ZIP files, and {name}")
    if settings.runtime_management is not None:
        yield Fault(("runtime-management",), f"runtime-management is for Lambda's own runtimes, and {name}")


def _against_manifest(settings: DeploySettings, spec: AwsLambdaSpec) -> Iterator[Fault]:
    provisioned, reserved = settings.provisioned_concurrency, spec.reserved_concurrency
    if isinstance(provisioned, int) and reserved is not None and provisioned > reserved:
        yield Fault(
            ("provisioned-concurrency",),
            f"provisioned-concurrency is {provisioned:,}, and the manifest reserves only {reserved:,}",
            "lower it, or raise reservedConcurrency",
        )
    if settings.file_systems and not spec.subnets:
        yield Fault(
            ("file-systems",),
            "file-systems needs a function in a VPC",
            "add subnets and securityGroups to the manifest",
        )
    timeout = spec.timeout_seconds or _DEFAULT_TIMEOUT
    if isinstance(settings.alarms, Alarms) and (settings.alarms.duration or 0) > timeout * 1000:
        yield Fault(
            ("alarms", "duration"),
            f"alarms.duration is {settings.alarms.duration:,} ms, and the function may run {timeout} s only",
            "write a duration below timeoutSeconds, or duration-percent",
        )
    yield from _regions(settings, spec.region)


def _regions(settings: DeploySettings, region: str) -> Iterator[Fault]:
    """Tell of event sources, and of the secrets they are read with, that are in another region."""
    for index, source in enumerate(settings.event_sources or ()):
        keys: list[tuple[str | int, ...]] = [("source",)]
        arns = [source.source]
        for number, access in enumerate(source.access):
            if access.type in SECRETS:
                keys.append(("access", number, "uri"))
                arns.append(access.uri)
        for key, arn in zip(keys, arns, strict=True):
            other = region_of(arn)
            if region and other and other != region:
                things = "sources" if key == ("source",) else "secrets"
                what = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in key)
                yield Fault(
                    ("event-sources", index, *key),
                    f"event-sources[{index}]{what} is in {other}, and the function in {region}",
                    f"Lambda reads from {things} in its own region only",
                )
