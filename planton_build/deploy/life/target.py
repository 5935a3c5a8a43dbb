"""`Target`: a deployed function that a command is about, with its manifest where there is one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from planton_build.errors import DeployRefused, FunctionUnknown
from planton_build.manifest.document import Manifest
from planton_build.publish.aws import Aws
from planton_build.publish.aws_errors import error_code, explained

READ_JOBS = 8
"""Functions read at once, as in `deploy.functions`."""
MAX_PAGES = 1000
"""Pages of one list that are read: a list that goes on after that does not end."""
GONE = frozenset({"ResourceNotFoundException"})


@dataclass(frozen=True, slots=True)
class Target:
    """A function by name, in a region of an account; `manifest` is None for one that was only named."""

    name: str
    region: str
    aws: Aws
    manifest: Manifest | None = None

    @property
    def client(self) -> Any:
        """Return the Lambda client of the function's region."""
        return self.aws.lambda_(self.region)


def read(
    target: Target, doing: str, call: Callable[..., Mapping[str, Any]], /, **request: Any
) -> Mapping[str, Any] | None:
    """Return the answer of a call that reads, or None when what it asks for is not there.

    `doing` is a phrase that the function's name follows. Raises AccessDenied, CredentialsMissing,
    AwsUnreachable or DeployRefused.
    """
    from botocore.exceptions import ClientError

    with explained(f"{doing} {target.name}", otherwise=DeployRefused, resource=target.name):
        try:
            return call(**request)
        except ClientError as error:
            if error_code(error) in GONE:
                return None
            raise


def pages(
    target: Target,
    doing: str,
    call: Callable[..., Mapping[str, Any]],
    key: str,
    *,
    marker: str = "Marker",
    next_marker: str = "NextMarker",
    **request: Any,
) -> Iterator[Mapping[str, Any]]:
    """Yield the items of a list, page by page; nothing when what it belongs to is not there.

    `key` names the list in the answer, `marker` and `next_marker` what leads to the next page. Raises as
    `read`, and DeployRefused when the list does not end.
    """
    turn: dict[str, Any] = {}
    for _ in range(MAX_PAGES):
        answer = read(target, doing, call, **request, **turn) or {}
        items = answer.get(key)
        yield from (item for item in items or () if isinstance(item, Mapping))
        following = answer.get(next_marker)
        if not following or following == turn.get(marker):
            return
        turn = {marker: following}
    raise DeployRefused(
        f"{doing} {target.name} does not end: AWS goes on after {MAX_PAGES} pages",
        hint="AWS_ENDPOINT_URL may name something that is not AWS",
    )


def not_deployed(target: Target) -> FunctionUnknown:
    """Return the error for a function that is not there."""
    return FunctionUnknown(
        f"no function {target.name} is deployed in {target.region}",
        hint="deploy it first, or name its region with --region",
        file=target.manifest.path if target.manifest else None,
    )


def text(answer: Mapping[str, Any], key: str) -> str:
    """Return a text of an answer, "" when it is missing or none."""
    value = answer.get(key)
    return value if isinstance(value, str) else ""


def number(answer: Mapping[str, Any], key: str) -> int | None:
    """Return a whole number of an answer, None when it is missing or none."""
    value = answer.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
