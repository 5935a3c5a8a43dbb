"""`Session`: requests to one registry: connections that are kept, logins, redirects, and another try."""

from __future__ import annotations

import contextlib
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeAlias

from planton_build.errors import ConfigInvalid
from planton_build.oci.documents import DOCUMENT_LIMIT
from planton_build.registry.challenge import Authorizations
from planton_build.registry.client import is_loopback, new_client, retry_after
from planton_build.registry.failures import (
    WORDS_LIMIT,
    Answer,
    Scope,
    host_of,
    insecure,
    nonsense,
    unreachable,
)
from planton_build.registry.login import Login, LoginSource

if TYPE_CHECKING:
    import httpx2

Buffer: TypeAlias = bytes | bytearray | memoryview
_Origin: TypeAlias = tuple[str, str | None, int | None]

SECONDS = 30.0
"""How long a registry may take for one answer."""
TRANSIENT = frozenset({408, 429, 500, 502, 503, 504})
"""Answers that may be others in a while."""
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_READING = frozenset({"GET", "HEAD"})
_MAX_REDIRECTS = 5
_PIECE = 256 << 10
"""Bytes that are handed to a connection at a time."""
_HUB = {"docker.io": "registry-1.docker.io", "index.docker.io": "registry-1.docker.io"}
"""Docker Hub's registry answers at another host than its name."""


class ConnectionLost(Exception):
    """A connection failed, before or in the middle of an answer. Never leaves this room."""

    def __init__(self, url: str, cause: BaseException) -> None:
        super().__init__(str(cause))
        self.url = url
        self.cause = cause


class Session:
    """A conversation with one registry, for any number of threads.

    Plain HTTP is spoken with this machine only. A login goes to the registry itself and to the token server
    it names, and to no host that is redirected to.
    """

    def __init__(
        self,
        host: str,
        *,
        login: Login | LoginSource | None = None,
        base_url: str | None = None,
        certificates: Path | None = None,
        seconds: float = SECONDS,
        wait: Callable[[float], object] = time.sleep,
    ) -> None:
        """Make a session; nothing is sent yet.

        Args:
            host: the registry's name, with port: what images on it are called.
            login: what to log in with, or what gives it when it is needed, and anew when it was refused.
            base_url: where the registry answers, if that is not its name: `http://127.0.0.1:5000`.
            certificates: a PEM file, or a folder of them, instead of the system's.
            seconds: how long the registry may take for one answer.
            wait: what waits between two attempts.
        """
        answering = _HUB.get(host, host)
        local = is_loopback(urllib.parse.urlsplit(f"//{answering}").hostname)
        self.host = host
        self.base = (base_url or f"{'http' if local else 'https'}://{answering}").rstrip("/")
        self.seconds = seconds
        self.wait = wait
        parts = urllib.parse.urlsplit(self.base)
        self._plain = parts.scheme == "http"
        if self._plain and not is_loopback(parts.hostname):
            raise ConfigInvalid(
                f"the registry {host_of(self.base)} is set to be asked over plain HTTP",
                hint="plain HTTP is only spoken with this machine; use https://",
            )
        self._origin = _origin(self.base)
        self._authorizations = Authorizations(login, self._token_answer)
        self._http = new_client(certificates, seconds, parts.hostname if self._plain else None)

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def __enter__(self) -> Self:
        """Return the session, which is closed at the end."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close all connections."""
        self.close()

    def url(self, repository: str, *place: str) -> str:
        """Return where a repository has something: `url("a/b", "blobs", digest)`."""
        return "/".join((self.base, "v2", repository, *place))

    def send(
        self,
        method: str,
        url: str,
        scope: Scope,
        *,
        headers: Mapping[str, str] | None = None,
        content: Buffer | None = None,
        seconds: float | None = None,
    ) -> Answer:
        """Send a request that may be repeated, again while its failure may pass; return the last answer.

        Raises:
            ImageUnavailable, RegistryUnreachable: no answer in all attempts (by what the scope is for).
        """

        def once() -> Answer:
            return self.once(method, url, scope, headers=headers, content=content, seconds=seconds)

        return self._attempted(once, scope)

    def once(
        self,
        method: str,
        url: str,
        scope: Scope,
        *,
        headers: Mapping[str, str] | None = None,
        content: Buffer | None = None,
        seconds: float | None = None,
    ) -> Answer:
        """Send a request and read the answer, which is bounded.

        Raises:
            ConnectionLost: the connection failed.
        """
        with self.opened(method, url, scope, headers=headers, content=content, seconds=seconds) as response:
            return _read(response, scope)

    @contextlib.contextmanager
    def opened(
        self,
        method: str,
        url: str,
        scope: Scope,
        *,
        headers: Mapping[str, str] | None = None,
        content: Buffer | None = None,
        seconds: float | None = None,
    ) -> Iterator[httpx2.Response]:
        """Send a request, with a new login if the registry asks for one; give the answer, not yet read.

        Raises:
            ConnectionLost: the connection failed, also while the block reads from it.
        """
        request = _Request(method, url, scope, headers or {}, content, seconds or self.seconds)
        with _losses(request):
            used = self._authorizations.current(scope)
            response, answering = self._followed(request, used, self._origin)
            try:
                if response.status_code in (401, 403) and _origin(answering) == self._origin:
                    asked = response.headers.get("www-authenticate", "")
                    forbidden = response.status_code == 403
                    fresh = self._authorizations.answered(scope, asked, used, forbidden=forbidden)
                    if fresh is not None:
                        response.close()
                        response, _ = self._followed(request, fresh, self._origin)
                yield response
            finally:
                response.close()

    def pause(self, attempt: int, headers: Mapping[str, str] | None = None) -> None:
        """Wait before another attempt: as long as the registry asks for, within bounds."""
        asked = retry_after((headers or {}).get("retry-after", ""))
        self.wait(min(0.25 * 2 ** (attempt - 1), 4.0) if asked is None else asked)

    def _token_answer(self, url: str, scope: Scope, authorization: str | None) -> Answer:
        """Fetch a token, from a server that may be another than the registry."""
        request = _Request("GET", url, scope, {"Accept": "application/json"}, None, self.seconds)

        def once() -> Answer:
            with _losses(request):
                response, _ = self._followed(request, authorization, _origin(url))
                with contextlib.closing(response):
                    return _read(response, scope)

        return self._attempted(once, scope)

    def _attempted(self, once: Callable[[], Answer], scope: Scope) -> Answer:
        attempts = 5 if scope.pushing else 3
        for attempt in range(1, attempts):
            try:
                answer = once()
            except ConnectionLost:
                self.pause(attempt)
            else:
                if answer.status not in TRANSIENT:
                    return answer
                self.pause(attempt, answer.headers)
        try:
            return once()
        except ConnectionLost as lost:
            raise unreachable(scope, lost.url, lost.cause) from lost.cause

    def _followed(
        self, request: _Request, authorization: str | None, home: _Origin
    ) -> tuple[httpx2.Response, str]:
        """Send a request, and again where it is redirected to; return the answer and where it came from.

        `authorization` goes to `home`, and to no other host.
        """
        import httpx2

        url = request.url
        for _ in range(_MAX_REDIRECTS + 1):
            try:
                self._check(request.scope, url)
                response = self._sent(request, url, authorization if _origin(url) == home else None)
            except (httpx2.InvalidURL, httpx2.UnsupportedProtocol, ValueError) as error:
                raise nonsense(request.scope, "leads to an address that is none") from error
            location = response.headers.get("location")
            if response.status_code not in _REDIRECTS or not location or request.method not in _READING:
                return response, url
            response.close()
            url = joined(url, location, request.scope)
        raise nonsense(request.scope, "redirects in a circle")

    def _sent(self, request: _Request, url: str, authorization: str | None) -> httpx2.Response:
        import httpx2

        headers = {"Accept-Encoding": "identity", **request.headers}
        if request.content is not None:
            headers["Content-Length"] = str(len(request.content))
        if authorization:
            headers["Authorization"] = authorization
        built = self._http.build_request(
            request.method,
            url,
            headers=headers,
            content=None if request.content is None else _pieces(request.content),
            timeout=httpx2.Timeout(self.seconds, read=request.seconds),
        )
        return self._http.send(built, stream=True)

    def _check(self, scope: Scope, url: str) -> None:
        """Refuse plain HTTP, except between this machine and itself."""
        parts = urllib.parse.urlsplit(url)
        plain = self._plain and parts.scheme == "http" and is_loopback(parts.hostname)
        if not plain and parts.scheme != "https":
            raise insecure(scope, url)


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    url: str
    scope: Scope
    headers: Mapping[str, str]
    content: Buffer | None
    seconds: float


def joined(url: str, location: str, scope: Scope) -> str:
    """Return where a `Location` leads from a URL. Nothing is sent there unchecked."""
    try:
        return urllib.parse.urljoin(url, location)
    except ValueError as error:
        raise nonsense(scope, "leads to an address that is none") from error


@contextlib.contextmanager
def _losses(request: _Request) -> Iterator[None]:
    """Turn what the HTTP client raises into our own errors."""
    import httpx2

    try:
        yield
    except httpx2.HTTPError as error:
        raise ConnectionLost(request.url, error) from error


def _read(response: httpx2.Response, scope: Scope) -> Answer:
    """Read an answer: a document whole or not at all, and of an error as much as a message needs."""
    content, failed = bytearray(), response.status_code >= 400
    limit = WORDS_LIMIT if failed else DOCUMENT_LIMIT
    for piece in response.iter_raw():
        content += piece
        if len(content) > limit:
            if not failed:
                raise nonsense(scope, f"answers with more than {limit >> 20} MiB for a document")
            break
    return Answer(response.status_code, dict(response.headers), bytes(content[:limit]))


def _pieces(content: Buffer) -> Iterator[bytes]:
    view = memoryview(content)
    for start in range(0, len(view), _PIECE):
        yield bytes(view[start : start + _PIECE])


def _origin(url: str) -> _Origin:
    parts = urllib.parse.urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)
