"""How aspects ask AWS and read its answers, in which any key may be missing or of another type."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from planton_build.deploy.aspects.aspect import Answer, Scope
from planton_build.errors import DeployRefused
from planton_build.publish.aws_errors import error_code, explained

NOT_FOUND: Final = "ResourceNotFoundException"
"""Lambda's and CloudWatch Logs' code for what is not there: the function, the alias, or the thing itself."""
ABSENT: Final = frozenset({NOT_FOUND})
_MAX_PAGES: Final = 1000
"""More pages than any list here has; an endless list is an answer that makes no sense."""


def ask(
    scope: Scope, doing: str, request: Callable[[], Answer], *, absent: frozenset[str] = ABSENT
) -> Answer | None:
    """Make a reading call; return None when AWS answers one of the codes in `absent`.

    `doing` are words that the function's name can follow, such as "reading the URL of". Raises AccessDenied,
    CredentialsMissing, AwsUnreachable or DeployRefused.
    """
    from botocore.exceptions import ClientError

    with explained(f"{doing} the function {scope.name}", otherwise=DeployRefused, resource=scope.name):
        try:
            return request()
        except ClientError as error:
            if error_code(error) in absent:
                return None
            raise


def pages(first: Callable[[dict[str, Any]], Answer], key: str, token: str, sent: str) -> Iterator[Answer]:
    """Yield the items under `key` of all pages.

    `token` is where an answer has the mark of the next page, `sent` where a request takes it. The caller
    wraps this in what explains AWS's refusals. Raises DeployRefused for a list without an end.
    """
    mark: dict[str, Any] = {}
    for _ in range(_MAX_PAGES):
        answer = first(mark)
        yield from mappings(answer, key)
        if not (more := text(answer, token)):
            return
        mark = {sent: more}
    raise DeployRefused(f"AWS goes on listing {key} without an end", hint="AWS_ENDPOINT_URL may be wrong")


def mapping(answer: Answer, key: str) -> Answer:
    """Return the mapping under a key, or an empty one."""
    value = answer.get(key)
    return value if isinstance(value, Mapping) else {}


def mappings(answer: Answer, key: str) -> list[Answer]:
    """Return the mappings of the list under a key."""
    value = answer.get(key)
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        return []
    return [item for item in value if isinstance(item, Mapping)]


def text(answer: Answer, key: str) -> str:
    """Return the text under a key, or ""."""
    value = answer.get(key)
    return value if isinstance(value, str) else ""


def texts(answer: Answer, key: str) -> tuple[str, ...]:
    """Return the texts of the list under a key."""
    value = answer.get(key)
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        return ()
    return tuple(item for item in value if isinstance(item, str))


def number(answer: Answer, key: str) -> int | None:
    """Return the whole number under a key, or None."""
    value = answer.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def flag(answer: Answer, key: str) -> bool:
    """Return whether the value under a key is true."""
    return answer.get(key) is True
