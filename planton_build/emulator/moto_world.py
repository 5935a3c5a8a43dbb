"""`MotoWorld`: the other services as Lambda sees them, read from moto's state in this process.

moto's own classes are used where its API over HTTP would be a detour; which of them are private to moto is
told by the bound on its version in `pyproject.toml`.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import re
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from planton_build.emulator.refusal import Refusal, invalid

_LAMBDA = re.compile(r"lambda\.amazonaws\.com(?:\.cn)?")
_ROLE = re.compile(r"arn:aws[a-zA-Z-]*:iam::(\d{12}):role/(.+)")
_IMAGE = re.compile(
    r"(?P<host>[^/]+)/(?P<repository>[^:@]+)(?::(?P<tag>[\w][\w.-]{0,127}))?(?:@sha256:(?P<digest>[0-9a-f]{64}))?"
)
_ECR = re.compile(r"(\d{12})\.dkr\.ecr(?:-fips)?\.([a-z0-9-]+)\.(?:amazonaws\.com(?:\.cn)?|on\.aws)")
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
_ANSWER_SECONDS = 10.0
COPIES = "planton-lambda-"
"""What the name of a folder with copies of code begins with."""
NOT_ASSUMABLE = "The role defined for the function cannot be assumed by Lambda."
_MANIFESTS = ", ".join(
    (
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
    )
)


class MotoWorld:
    """S3, IAM, ECR, CloudWatch Logs and the rest of moto.

    `strict` tells whether images must be there, and buckets in the function's region. `registry` returns the
    URL of the registry that serves a host of images, None when none does: it is then asked, and moto's ECR is
    not. Copies of code are in a folder within `folder`, or within that for temporary files. `late_roles` are
    roles (ARNs) that Lambda cannot assume for so many calls more.
    """

    def __init__(
        self,
        *,
        strict: Callable[[], bool] = lambda: True,
        registry: Callable[[str], str | None] = lambda _: None,
        folder: Path | None = None,
    ) -> None:
        self._strict = strict
        self._registry = registry
        self._lock = threading.Lock()
        self._parent = folder
        self._copies: tempfile.TemporaryDirectory[str] | None = None
        self.late_roles: dict[str, int] = {}

    def close(self) -> None:
        """Remove the copies of code."""
        with self._lock:
            if self._copies is not None:
                self._copies.cleanup()
                self._copies = None

    def read_object(
        self, account: str, region: str, bucket: str, key: str, version: str | None
    ) -> Callable[[], bytes]:
        """Return what reads an object, as it is now. Raises Refusal with Lambda's text about S3."""
        from moto.s3.exceptions import S3ClientError

        try:
            s3 = _backend("s3", account, _partition(region))
            found = s3.get_bucket(bucket)
            if found.region_name != region and self._strict():
                raise _s3(
                    "PermanentRedirect",
                    f"The bucket is in this region: {found.region_name}. "
                    "Please use this region to retry the request",
                )
            one = s3.get_object(bucket, key, version_id=version)
        except S3ClientError as error:
            raise _s3_missing(str(getattr(error, "error_type", "") or "NoSuchBucket")) from error
        if one is None:
            raise _s3_missing("NoSuchVersion" if version else "NoSuchKey")
        return self._kept(bytes(one.value))

    def _kept(self, content: bytes) -> Callable[[], bytes]:
        """Keep a copy, because the object may be overwritten or deleted; return what reads it."""
        with self._lock:
            if self._copies is None:
                self._copies = tempfile.TemporaryDirectory(
                    prefix=COPIES, dir=self._parent, ignore_cleanup_errors=True
                )
            path = Path(self._copies.name) / hashlib.sha256(content).hexdigest()
            if not path.exists():
                path.write_bytes(content)
        return path.read_bytes

    def image_digest(self, account: str, region: str, uri: str) -> str:  # noqa: ARG002 - as `World` has it
        """Return the digest (hex) of an image. Raises Refusal with Lambda's text about ECR."""
        name = _IMAGE.fullmatch(uri)
        if name is None:
            raise _not_valid(uri)
        host, digest = name["host"], name["digest"]
        if digest and not self._strict():
            return str(digest)
        if address := self._registry(host):
            return self._asked(
                address, uri, name["repository"], f"sha256:{digest}" if digest else name["tag"]
            )
        place = _ECR.fullmatch(host)
        if place is None or place[2] != region:
            if self._strict():
                raise _not_valid(uri)
            return hashlib.sha256(uri.encode()).hexdigest()
        found = _image(place[1], region, name["repository"], name["tag"], digest)
        if found is None:
            if self._strict():
                raise _not_there(uri)
            return hashlib.sha256(uri.encode()).hexdigest()
        return found

    def _asked(self, address: str, uri: str, repository: str, reference: str | None) -> str:
        """Return the digest that a registry has an image by."""
        url = f"{address.rstrip('/')}/v2/{repository}/manifests/{reference or 'latest'}"
        request = urllib.request.Request(url, headers={"Accept": _MANIFESTS}, method="HEAD")  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=_ANSWER_SECONDS) as answer:  # noqa: S310
                told = _DIGEST.fullmatch(answer.headers.get("Docker-Content-Digest", ""))
        except urllib.error.HTTPError as error:
            error.close()
            raise _not_there(uri) from error
        except (OSError, http.client.HTTPException) as error:
            raise invalid(f"The registry of the source image {uri} does not answer.") from error
        if told is None:
            raise _not_there(uri)
        return told[1]

    def check_role(self, account: str, role: str) -> None:
        """Raise Refusal unless the role exists, is of the account, and trusts Lambda."""
        name = _ROLE.fullmatch(role)
        if name is None:
            raise invalid(NOT_ASSUMABLE)
        if name[1] != account:
            raise Refusal("AccessDeniedException", 403, "Cross-account pass role is not allowed.")
        with self._lock:
            if (left := self.late_roles.get(role, 0)) > 0:
                self.late_roles[role] = left - 1
                raise invalid(NOT_ASSUMABLE)
        roles = _backend("iam", account, role.split(":")[1]).roles.values()
        found = next((one for one in list(roles) if one.arn == role), None)
        if found is None or not trusts_lambda(found.assume_role_policy_document):
            raise invalid(NOT_ASSUMABLE)

    def log(self, account: str, region: str, group: str, stream: str, text: str) -> None:
        """Write lines to CloudWatch Logs; group and stream are made where they are not there."""
        logs = _backend("logs", account, region)
        now = int(time.time() * 1000)
        events = [{"timestamp": now, "message": line} for line in text.splitlines() if line]
        with self._lock:
            if group not in logs.groups:
                logs.create_log_group(group, {})
            logs.ensure_log_stream(group, stream)
            if events:
                logs.put_log_events(group, stream, events)

    def exists(self, account: str, region: str, kind: str, identifier: str) -> bool | None:
        """Tell whether a resource is there; None for kinds that nothing is known of.

        `identifier` is an ARN where the resource has one, and an id of EC2.
        """
        parts = identifier.split(":", 5)
        if identifier.startswith("arn:") and len(parts) == 6:
            region, account = parts[3] or region, parts[4] or account
        reader = _READERS.get(kind)
        return None if reader is None else reader(account, region, identifier)

    def visibility_timeout(self, account: str, region: str, queue: str) -> int | None:  # noqa: ARG002 - in the ARN
        """Return the visibility timeout of a queue (its ARN) in seconds; None for one that is not there."""
        parts = queue.split(":")
        if len(parts) != 6:
            return None
        found = _backend("sqs", parts[4], parts[3]).queues.get(parts[5])
        return None if found is None else int(found.visibility_timeout)


def trusts_lambda(document: object) -> bool:
    """Tell whether a trust policy (JSON, or what it is read to) lets Lambda assume the role.

    Conditions are not looked at: Lambda's own calls fulfil those that people write for it.
    """
    if isinstance(document, str):
        try:
            document = json.loads(document if document.lstrip()[:1] == "{" else unquote(document))
        except ValueError:
            return False
    statements = document.get("Statement") if isinstance(document, dict) else None
    allowed = False
    for statement in _list(statements):
        if not isinstance(statement, dict) or not _is_about_lambda(statement):
            continue
        if statement.get("Effect") == "Deny":
            return False
        allowed = allowed or statement.get("Effect") == "Allow"
    return allowed


def _is_about_lambda(statement: dict[str, Any]) -> bool:
    actions = {str(action).lower() for action in _list(statement.get("Action"))}
    if not actions & {"sts:assumerole", "sts:*", "*"}:
        return False
    principal = statement.get("Principal")
    if principal == "*":
        return True
    services = principal.get("Service") if isinstance(principal, dict) else None
    return any(_LAMBDA.fullmatch(str(service)) for service in _list(services))


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _backend(service: str, account: str, place: str) -> Any:
    """Return moto's state of a service; `place` is a region, or a partition for S3 and IAM."""
    from moto.backends import get_backend

    backends: Any = get_backend
    return backends(service)[account][place]


def _partition(region: str) -> str:
    if region.startswith("cn-"):
        return "aws-cn"
    return "aws-us-gov" if region.startswith("us-gov-") else "aws"


def _image(account: str, region: str, repository: str, tag: str | None, digest: str | None) -> str | None:
    found = _backend("ecr", account, region).repositories.get(repository)
    if not digest and not tag:
        tag = "latest"
    for image in list(found.images) if found else ():
        told = str(image.get_image_digest()).removeprefix("sha256:")
        if (digest or told) == told and (not tag or tag in image.image_tags):
            return told
    return None


def _s3(code: str, message: str) -> Refusal:
    return invalid(f"Error occurred while GetObject. S3 Error Code: {code}. S3 Error Message: {message}")


def _s3_missing(code: str) -> Refusal:
    messages = {
        "NoSuchBucket": "The specified bucket does not exist",
        "NoSuchKey": "The specified key does not exist.",
        "NoSuchVersion": "The specified version does not exist.",
    }
    return _s3(code, messages.get(code, "Access Denied"))


def _not_valid(uri: str) -> Refusal:
    return invalid(f"Source image {uri} is not valid. Provide a valid source image.")


def _not_there(uri: str) -> Refusal:
    return invalid(f"Source image {uri} does not exist. Provide a valid source image.")


def _last(arn: str) -> str:
    return arn.rpartition(":")[2]


def _in_zones(groups: Iterable[dict[str, Any]], identifier: str) -> bool:
    return any(identifier in group for group in groups)


_READERS: dict[str, Callable[[str, str, str], bool]] = {
    "queue": lambda account, region, arn: _last(arn) in _backend("sqs", account, region).queues,
    "topic": lambda account, region, arn: arn in _backend("sns", account, region).topics,
    "stream": lambda account, region, arn: (
        _last(arn).removeprefix("stream/") in _backend("kinesis", account, region).streams
    ),
    "table": lambda account, region, arn: (
        _last(arn.partition("/stream/")[0]).removeprefix("table/")
        in _backend("dynamodb", account, region).tables
    ),
    "bucket": lambda account, region, arn: _last(arn) in _backend("s3", account, _partition(region)).buckets,
    "bus": lambda account, region, arn: (
        _last(arn).removeprefix("event-bus/") in _backend("events", account, region).event_buses
    ),
    "subnet": lambda account, region, one: _in_zones(_backend("ec2", account, region).subnets.values(), one),
    "security_group": lambda account, region, one: _in_zones(
        _backend("ec2", account, region).groups.values(), one
    ),
    "role": lambda account, _, arn: any(
        one.arn == arn for one in list(_backend("iam", account, arn.split(":")[1]).roles.values())
    ),
    "key": lambda account, region, arn: (
        _last(arn).removeprefix("key/") in _backend("kms", account, region).keys
    ),
    "access_point": lambda account, region, arn: (
        _last(arn).removeprefix("access-point/") in _backend("efs", account, region).access_points
    ),
}
