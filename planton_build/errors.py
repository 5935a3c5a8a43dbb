"""One class per failure: what happened, why it is probably so, what to do next, and its exit code.

The core raises these and nothing else for a user's mistake; the commands turn them into a message, a JSON
object or a CI annotation in one place (`cli/console.py`). An exception class never shares its exit code.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

EXIT_CHANGES = 10
"""Exit code of `--check` and `plan` when something would change."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, and where.

    `line` and `column` count from 1. `hint` says what to do next. `rule` names the violated rule, for
    example a CEL rule id of the manifest's schema.
    """

    code: str
    message: str
    file: Path | None = None
    line: int | None = None
    column: int | None = None
    hint: str | None = None
    rule: str | None = None


class PlantonError(Exception):
    """Base of every failure the tool explains. Carries one or more findings."""

    code: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 1

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        file: Path | None = None,
        line: int | None = None,
        column: int | None = None,
        findings: Sequence[Finding] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.findings: tuple[Finding, ...] = tuple(findings) or (
            Finding(self.code, message, file, line, column, hint),
        )


class SeveralErrors(PlantonError):
    """Several functions failed; each error keeps its own findings. The exit code is the first error's."""

    code = "several_errors"
    exit_code = 3

    def __init__(self, errors: Sequence[PlantonError]) -> None:
        super().__init__(
            f"{len(errors)} functions failed",
            # What several functions have in common, such as a bucket, is said once.
            findings=list(dict.fromkeys(finding for error in errors for finding in error.findings)),
        )
        self.errors = tuple(errors)


# Manifests and configuration: 20 to 29.


class NoFunctionFound(PlantonError):
    """No `AwsLambda` document was found under the given paths."""

    code, exit_code = "no_function_found", 20


class ManifestUnreadable(PlantonError):
    """The file is not YAML that can be read safely: syntax, encoding, size, depth, tags, duplicate keys."""

    code, exit_code = "manifest_unreadable", 21


class ManifestInvalid(PlantonError):
    """The document breaks rules of the `AwsLambda` schema. All violations are in `findings`."""

    code, exit_code = "manifest_invalid", 22


class WriteBackRefused(PlantonError):
    """The code source cannot be written without touching bytes that belong to something else."""

    code, exit_code = "write_back_refused", 23


class ManifestChanged(PlantonError):
    """The manifest was edited between reading and writing it."""

    code, exit_code = "manifest_changed", 24


class ConfigInvalid(PlantonError):
    """An option in a flag, the environment, `planton.toml` or `pyproject.toml` is wrong."""

    code, exit_code = "config_invalid", 25


class SourceInvalid(PlantonError):
    """The source folder cannot be packaged: it is missing, unreadable or links out of itself."""

    code, exit_code = "source_invalid", 26


class RuntimeUnsupported(PlantonError):
    """The runtime or the pair of runtime and architecture cannot be built for."""

    code, exit_code = "runtime_unsupported", 27


class ManifestNotWritable(PlantonError):
    """The manifest's file cannot be replaced: its folder is read-only, or the disk is full."""

    code, exit_code = "manifest_not_writable", 28


# Dependencies: 30 to 39.


class DependencyInputInvalid(PlantonError):
    """A requirements, project or lock file cannot be read, or asks for something that cannot be locked."""

    code, exit_code = "dependency_input_invalid", 30


class ResolutionFailed(PlantonError):
    """No set of versions satisfies the requirements for this target."""

    code, exit_code = "resolution_failed", 31


class LockOutdated(PlantonError):
    """The lock is missing or does not match its inputs, and writing it was not allowed."""

    code, exit_code = "lock_outdated", 32


class NoFittingWheel(PlantonError):
    """The index offers no wheel of a locked package that loads on the target."""

    code, exit_code = "no_fitting_wheel", 33

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        file: Path | None = None,
        findings: Sequence[Finding] = (),
        has_sdist: bool = False,
    ) -> None:
        """Take what every error takes; `has_sdist` tells that the index offers the sources."""
        super().__init__(message, hint=hint, file=file, findings=findings)
        self.has_sdist = has_sdist


class IndexUnreachable(PlantonError):
    """A package index or a file on it cannot be read."""

    code, exit_code = "index_unreachable", 34


class HashMismatch(PlantonError):
    """Bytes do not have the SHA-256 that the lock promises."""

    code, exit_code = "hash_mismatch", 35


class WheelInvalid(PlantonError):
    """A wheel is malformed or hostile."""

    code, exit_code = "wheel_invalid", 36


class LocalProjectFailed(PlantonError):
    """A local project could not be built into a wheel."""

    code, exit_code = "local_project_failed", 37


class ContainerRequired(PlantonError):
    """Something must be compiled for the target, which this host cannot do without a build container."""

    code, exit_code = "container_required", 38


class ToolFailed(PlantonError):
    """A tool that the build calls (uv, git, pip) is missing or failed for a reason of its own."""

    code, exit_code = "tool_failed", 39


# Artifacts: 40 to 49.


class MemberCollision(PlantonError):
    """Two packages, or a package and the sources, bring different files of the same name."""

    code, exit_code = "member_collision", 40


class ArchiveInvalid(PlantonError):
    """A ZIP is malformed, hostile, or of a form that Lambda would refuse."""

    code, exit_code = "archive_invalid", 41


class SizeLimitExceeded(PlantonError):
    """The artifact is larger than Lambda takes."""

    code, exit_code = "size_limit_exceeded", 42


class SizeBudgetExceeded(PlantonError):
    """The artifact is larger than `--max-size` allows."""

    code, exit_code = "size_budget_exceeded", 43


class HandlerMissing(PlantonError):
    """The artifact holds no module for the manifest's handler."""

    code, exit_code = "handler_missing", 44


class CacheBroken(PlantonError):
    """The cache folder cannot be used: it is not writable, the disk is full, or an entry is damaged."""

    code, exit_code = "cache_broken", 45


class NativeCodeUnloadable(PlantonError):
    """A native file of the artifact would not load on the target: architecture, glibc, missing library."""

    code, exit_code = "native_code_unloadable", 46


class DependencyMissing(PlantonError):
    """A package of the artifact requires another that neither the artifact nor the runtime has."""

    code, exit_code = "dependency_missing", 47


class VerifyFailed(PlantonError):
    """The handler could not be imported inside the runtime's container."""

    code, exit_code = "verify_failed", 48


# Publishing and AWS at large: 50 to 59.


class PublishFailed(PlantonError):
    """S3 refused the artifact."""

    code, exit_code = "publish_failed", 50


class BucketUnknown(PlantonError):
    """No bucket is configured, or the configured one does not exist or belongs to somebody else."""

    code, exit_code = "bucket_unknown", 51


class BucketElsewhere(PlantonError):
    """The bucket is in another region than the function."""

    code, exit_code = "bucket_elsewhere", 52


class CredentialsMissing(PlantonError):
    """The SDK found no credentials or no region."""

    code, exit_code = "credentials_missing", 53


class AccessDenied(PlantonError):
    """AWS knows the caller and does not allow the call."""

    code, exit_code = "access_denied", 54


class AwsUnreachable(PlantonError):
    """AWS, or the endpoint set in its place, does not answer."""

    code, exit_code = "aws_unreachable", 55


# Deploying: 60 to 69.


class NotDeployable(PlantonError):
    """The manifest is buildable but not deployable yet, most often because its code source is missing."""

    code, exit_code = "not_deployable", 60


class ReferenceUnresolved(PlantonError):
    """A `valueFrom` has no known value."""

    code, exit_code = "reference_unresolved", 61


class DeployRefused(PlantonError):
    """Lambda refused the configuration or the code."""

    code, exit_code = "deploy_refused", 62


class DeployConflict(PlantonError):
    """Somebody else changed the function, or an update is still in progress."""

    code, exit_code = "deploy_conflict", 63


class DeployTimeout(PlantonError):
    """The function did not reach its state in time."""

    code, exit_code = "deploy_timeout", 64


class FunctionFailed(PlantonError):
    """Lambda put the function, or its update, into the state Failed."""

    code, exit_code = "function_failed", 65


class FunctionUnknown(PlantonError):
    """No function of that name is deployed."""

    code, exit_code = "function_unknown", 66


class ReplacementRequired(PlantonError):
    """The manifest changes what Lambda can only change by deleting and creating the function."""

    code, exit_code = "replacement_required", 67


class SmokeTestFailed(PlantonError):
    """A new version does not answer its smoke event, so no traffic was moved to it."""

    code, exit_code = "smoke_test_failed", 68


class RolloutFailed(PlantonError):
    """A new version fails too often while it gets a part of the traffic, so that was moved back."""

    code, exit_code = "rollout_failed", 69


class PlanOutdated(PlantonError):
    """A saved plan does not fit any more: AWS, the manifest or the configuration has changed since."""

    code, exit_code = "plan_outdated", 74


class VersionUnknown(PlantonError):
    """No published version is the one that was asked for."""

    code, exit_code = "version_unknown", 75


class ConfirmationRequired(PlantonError):
    """Something is deleted for good, and nobody has said that it may be."""

    code, exit_code = "confirmation_required", 76


class FileInTheWay(PlantonError):
    """A file that would be written exists already, with other content."""

    code, exit_code = "file_in_the_way", 77


# The local AWS: 70 to 79.


class LocalUnavailable(PlantonError):
    """Something that `--local` takes is not installed: the `[local]` extra, or a registry for images."""

    code, exit_code = "local_unavailable", 70


class LocalServerFailed(PlantonError):
    """The embedded AWS did not start or stopped answering."""

    code, exit_code = "local_server_failed", 71


class ArtifactNotRunnable(PlantonError):
    """This host cannot run the artifact: architecture, system or Python, or an image without emulator."""

    code, exit_code = "artifact_not_runnable", 72


class InvocationFailed(PlantonError):
    """The function ran and raised, exited, or ran out of time."""

    code, exit_code = "invocation_failed", 73


# Containers: 80 to 89.


class EngineUnavailable(PlantonError):
    """No container engine answers, or it stopped in the middle of a build."""

    code, exit_code = "engine_unavailable", 80


class ImageUnavailable(PlantonError):
    """A build or runtime image is neither on the engine nor to be had from its registry."""

    code, exit_code = "image_unavailable", 81


class ImageMismatch(PlantonError):
    """An image is not what it is said to be: another architecture, another digest, or no build image."""

    code, exit_code = "image_mismatch", 82


class EmulationMissing(PlantonError):
    """The engine's machine cannot run programs of the target's architecture."""

    code, exit_code = "emulation_missing", 83


class CompileFailed(PlantonError):
    """A package could not be built from its sources; the message has the compiler's own words."""

    code, exit_code = "compile_failed", 84


class ContainerOutOfMemory(PlantonError):
    """A build needed more memory than its container may have."""

    code, exit_code = "container_out_of_memory", 85


class ContainerTimeout(PlantonError):
    """A build took longer than its container may run."""

    code, exit_code = "container_timeout", 86


class ContainerDiskFull(PlantonError):
    """The engine's disk was full in the middle of a build."""

    code, exit_code = "container_disk_full", 87


class CommandsFailed(PlantonError):
    """One of the configured `commands` failed in the build container."""

    code, exit_code = "commands_failed", 88


class SystemPackagesFailed(PlantonError):
    """The configured `system-packages` could not be installed in the build container."""

    code, exit_code = "system_packages_failed", 89


# Container images: 90 to 99.


class ImageInvalid(PlantonError):
    """An image is malformed, or of a form that Lambda refuses."""

    code, exit_code = "image_invalid", 90


class RepositoryUnknown(PlantonError):
    """No repository for images is configured, or the configured one does not exist."""

    code, exit_code = "repository_unknown", 91


class PushFailed(PlantonError):
    """The registry refused the image, or answered something that makes no sense."""

    code, exit_code = "push_failed", 92


class RegistryUnreachable(PlantonError):
    """The registry that an image is to be pushed to does not answer."""

    code, exit_code = "registry_unreachable", 93


class DockerfileFailed(PlantonError):
    """The Dockerfile could not be built: it is malformed, or one of its commands failed."""

    code, exit_code = "dockerfile_failed", 94
