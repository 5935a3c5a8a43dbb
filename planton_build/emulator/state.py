"""What the emulated Lambda holds: one `Region` for each account and region. Guarded by `Region.lock`.

Documents have the members of the service model, so an answer is a copy of one.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Code:
    """The code of a version. `sha256` is hex: of the ZIP, or the image's digest.

    `size` is in bytes (0 for images), `unzipped` what the ZIP unpacks to. `location` is from where AWS lets
    the ZIP be fetched, `kms_key` the key that it is kept under. `referenced` is the S3 object (bucket, key,
    version) of code that Lambda has no copy of. `read` returns the ZIP's bytes, None for images.
    """

    package: str
    sha256: str
    size: int
    unzipped: int
    image_uri: str = ""
    location: str = ""
    kms_key: str = ""
    referenced: tuple[str, str, str] | None = None
    read: Callable[[], bytes] | None = field(default=None, compare=False, repr=False)


@dataclass(slots=True)
class Transition:
    """A change that takes time. It ends after `reads` more reads of the state, and not before `until`.

    `until` is of the clock in `Behaviour.now`. `failure` is (reason code, reason) of one that fails;
    `previous` is what the function goes back to then: its configuration and its code.
    """

    reads: int
    until: float
    creation: bool
    failure: tuple[str, str] | None = None
    previous: tuple[dict[str, Any], Code] | None = None


@dataclass(slots=True)
class Version:
    """`$LATEST` or a published version: its configuration (members of FunctionConfiguration) and its code.

    `fallback` is the configuration and the code that still run after an update that failed. `source` tells
    what a published version was made of, to be compared with `$LATEST`. Members that begin with `_` are the
    emulator's own. Documents inside a configuration are shared between versions: they are replaced, not
    changed.
    """

    configuration: dict[str, Any]
    code: Code
    transition: Transition | None = None
    fallback: tuple[dict[str, Any], Code] | None = None
    source: str = ""

    @property
    def running(self) -> tuple[dict[str, Any], Code]:
        """Return the configuration and the code that invocations run.

        While an update is in progress, and after one that failed, that is not what the version shows.
        """
        if self.transition is not None and self.transition.previous is not None:
            return self.transition.previous
        return self.fallback or (self.configuration, self.code)


def new_revision() -> str:
    """Return a RevisionId."""
    return str(uuid.uuid4())


@dataclass(slots=True)
class Function:
    """A function. `latest` is `$LATEST`; `versions` are by number as text, `aliases` documents by name.

    Maps by qualifier have "" for the unqualified function. `policies` hold statements by id.
    """

    name: str
    arn: str
    latest: Version
    versions: dict[str, Version] = field(default_factory=dict)
    next_version: int = 1
    aliases: dict[str, dict[str, Any]] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    reserved: int | None = None
    policies: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    policy_revisions: dict[str, str] = field(default_factory=dict)
    urls: dict[str, dict[str, Any]] = field(default_factory=dict)
    event_invokes: dict[str, dict[str, Any]] = field(default_factory=dict)
    provisioned: dict[str, dict[str, Any]] = field(default_factory=dict)
    code_signing: str = ""
    runtime_management: dict[str, dict[str, Any]] = field(default_factory=dict)
    recursion: str = "Terminate"
    deleting: Transition | None = None
    hidden: int = 0
    """For how many more reads a function that was just created is not found."""


class World(Protocol):
    """What Lambda asks other services: answered by moto's state, or by a registry."""

    def read_object(
        self, account: str, region: str, bucket: str, key: str, version: str | None
    ) -> Callable[[], bytes]:
        """Return what reads an object. Raises Refusal with Lambda's text about S3."""

    def image_digest(self, account: str, region: str, uri: str) -> str:
        """Return the digest (hex) of an image. Raises Refusal with Lambda's text about ECR."""

    def check_role(self, account: str, role: str) -> None:
        """Raise Refusal unless Lambda may assume the role."""

    def log(self, account: str, region: str, group: str, stream: str, text: str) -> None:
        """Write what a function has logged to CloudWatch Logs."""

    def exists(self, account: str, region: str, kind: str, identifier: str) -> bool | None:
        """Tell whether a resource (`queue`, `topic`, `stream`, `subnet`, …) is there; None when unknown."""


class Runner(Protocol):
    """Runs a version of a function, or pretends to. What to run is `Version.running`."""

    def __call__(self, function: Function, version: str, event: bytes) -> tuple[bytes, str, str | None]:
        """Return the payload, the log, and `FunctionError` (`Handled` or `Unhandled`) or None."""


@dataclass(slots=True)
class Behaviour:
    """What may be set from outside: how long things take, what fails, what the account may have.

    `reads` and `seconds` are how long changes last. `failures` maps function names to the (reason code,
    reason) with which their next creation or update fails; the keys `NAME:version` and `NAME:provisioned` are
    for the next PublishVersion and the next allocation. `deletion_reads` is how long a function that is
    deleted shows that, `hidden_reads` how long a new one is not found. `concurrency_limit` is the account's.
    """

    now: Callable[[], float]
    reads: int = 0
    seconds: float = 0.0
    deletion_reads: int = 0
    provisioning_reads: int = 0
    hidden_reads: int = 0
    failures: dict[str, tuple[str, str]] = field(default_factory=dict)
    concurrency_limit: int = 1000
    code_size_limit: int = 80_530_636_800
    strict_world: bool = True
    """Whether queues, subnets and the like must exist. `--local` does not ask for them."""


@dataclass(slots=True)
class Region:
    """Lambda in one account and region."""

    account: str
    region: str
    world: World
    behaviour: Behaviour
    runner: Runner
    lock: threading.RLock = field(default_factory=threading.RLock, repr=False)
    functions: dict[str, Function] = field(default_factory=dict)
    layers: dict[str, dict[int, dict[str, Any]]] = field(default_factory=dict)
    """Layer versions by layer name and number, as documents of GetLayerVersion; layers of other accounts
    are under their layer ARN. Kept beside the document: `_unzipped` (bytes) and `_read`, where known."""
    layer_numbers: dict[str, int] = field(default_factory=dict)
    """The last number given to a version of each layer: numbers are never used again."""
    event_sources: dict[str, dict[str, Any]] = field(default_factory=dict)
    code_signing_configs: dict[str, dict[str, Any]] = field(default_factory=dict)
    code_signing_tags: dict[str, dict[str, str]] = field(default_factory=dict)
    event_source_tags: dict[str, dict[str, str]] = field(default_factory=dict)

    @property
    def partition(self) -> str:
        """Return the partition of the region's ARNs."""
        if self.region.startswith("cn-"):
            return "aws-cn"
        return "aws-us-gov" if self.region.startswith("us-gov-") else "aws"

    def arn(self, name: str) -> str:
        """Return the ARN of a function."""
        return f"arn:{self.partition}:lambda:{self.region}:{self.account}:function:{name}"


Statements = Mapping[str, Mapping[str, Any]]
