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

    `size` is in bytes (0 for images), `unzipped` what the ZIP unpacks to. `location` is what AWS shows in
    `GetFunction.Code`. `read` returns the ZIP's bytes, None for images.
    """

    package: str
    sha256: str
    size: int
    unzipped: int
    image_uri: str = ""
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
    """A published version: its configuration (members of FunctionConfiguration) and its code."""

    configuration: dict[str, Any]
    code: Code
    transition: Transition | None = None


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
    """Runs a version of a function, or pretends to."""

    def __call__(self, function: Function, version: str, event: bytes) -> tuple[bytes, str, str | None]:
        """Return the payload, the log, and `FunctionError` (`Handled` or `Unhandled`) or None."""


@dataclass(slots=True)
class Behaviour:
    """What may be set from outside: how long things take, what fails, what the account may have.

    `reads` and `seconds` are how long changes last. `failures` maps function names to the (reason code,
    reason) with which their next change fails. `concurrency_limit` is the account's.
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
    """Layer versions by layer name and number, as documents of GetLayerVersion with `_bytes` read functions
    left out; layers of other accounts are under their layer ARN."""
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
