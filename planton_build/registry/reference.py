"""`Reference`: an image's name in its parts."""

from __future__ import annotations

import re
from dataclasses import dataclass

from planton_build.errors import ImageUnavailable

_LIMIT = 512
"""Characters of a name; registries take repositories of 255."""
_HOST = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9a-fA-F:]+\])(?::[0-9]{1,5})?")
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_PATH = re.compile(
    rf"(?P<repository>{_COMPONENT}(?:/{_COMPONENT})*)"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?"
    r"(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)
"""The grammar of distribution's package `reference`."""


@dataclass(frozen=True, slots=True)
class Reference:
    """An image's name. `host` (with port) is None for an image that is only on an engine."""

    host: str | None
    repository: str
    tag: str | None
    digest: str | None

    @property
    def name(self) -> str:
        """Return the name without tag and digest, as given."""
        return f"{self.host}/{self.repository}" if self.host else self.repository


def parse_reference(text: str) -> Reference:
    """Read `[HOST[:PORT]/]REPOSITORY[:TAG][@DIGEST]`. There is no default registry.

    The first part is a host if it has a dot, a colon or a capital, or is `localhost`: docker's rule. Raises
    ImageUnavailable for what is no name.
    """
    first, slash, rest = text.partition("/")
    is_host = bool(slash) and (first == "localhost" or re.search(r"[.:A-Z]", first) is not None)
    path = _PATH.fullmatch(rest if is_host else text) if len(text) <= _LIMIT else None
    if path is None or (is_host and not _HOST.fullmatch(first)):
        raise ImageUnavailable(
            f"{text[:200]!r} is no name of an image",
            hint="write HOST/REPOSITORY:TAG, as in public.ecr.aws/sam/build-python3.13:latest-arm64",
        )
    return Reference(first if is_host else None, path["repository"], path["tag"], path["digest"])
