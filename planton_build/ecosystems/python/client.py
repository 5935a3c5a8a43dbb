"""HTTP as pip speaks it to package indexes: credentials, certificates, proxies, retries, bounded answers."""

from __future__ import annotations

import contextlib
import email.utils
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, cast

from planton_build.ecosystems.python.settings import IndexSettings, redacted
from planton_build.errors import ConfigInvalid, IndexUnreachable

if TYPE_CHECKING:
    import ssl

    import httpx2
    from unearth.auth import MultiDomainBasicAuth
    from unearth.fetchers import Fetcher
    from unearth.fetchers.sync import PyPIClient

ATTEMPTS = 5
"""How often a request is made before its failure counts (pip's default for `--retries`)."""
BACKOFF = 0.25
"""Seconds before the second attempt; doubled for each further one (pip's backoff factor)."""
LONGEST_WAIT = 60.0
"""Seconds that a `Retry-After` may make us wait."""
PAGE_LIMIT = 64 << 20
"""Bytes of an index page. The largest pages of real indexes have about 20 MB."""
TRANSIENT_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504, 520, 527})
"""Answers worth asking again: pip's list, the proxies' 504, and the polite refusals 408, 425 and 429."""

T = TypeVar("T")


def silent(message: str) -> None:
    """Take a warning and do nothing with it."""
    del message


class TransientFailure(Exception):
    """A request failed in a way that may pass. `retry_after` is in seconds, as the server asked for."""

    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Page:
    """An index page: where it was read after redirects, its media type (lower case) and its bytes."""

    url: str
    media_type: str
    charset: str
    content: bytes


class IndexClient:
    """A connection pool for one set of index settings. Safe to use from many threads.

    `sleep` waits between attempts; `warn` is told, once each, what pip only warns about.
    """

    def __init__(
        self,
        settings: IndexSettings,
        *,
        sleep: Callable[[float], None] = time.sleep,
        warn: Callable[[str], None] = silent,
    ) -> None:
        self.settings = settings
        self.warn = _once(warn)
        self._sleep = sleep
        self._http = _http_client(settings)

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def trusts(self, url: str) -> bool:
        """Tell whether pip would read an index at `url`: https, file, this host, or a trusted host."""
        from unearth.collector import is_secure_origin
        from unearth.link import Link

        return is_secure_origin(cast("Fetcher", self._http), Link(url))

    def page(self, url: str, *, accept: str) -> Page | None:
        """Return an index page, or None when the server says that there is none.

        Raises:
            IndexUnreachable: the page cannot be read, also after retries.
        """
        return self.attempt(lambda: self._page(url, accept), url)

    def _page(self, url: str, accept: str) -> Page | None:
        with self.stream(url, {"Accept": accept, "Cache-Control": "max-age=0"}) as response:
            if response.status_code in (404, 410):
                return None
            check_status(response, url)
            content = bytearray()
            for chunk in response.iter_bytes():
                content += chunk
                if len(content) > PAGE_LIMIT:
                    raise IndexUnreachable(
                        f"the page {redacted(url)} has more than {PAGE_LIMIT >> 20} MiB",
                        hint="name the simple API of the index, such as https://index.example/simple",
                    )
            media_type = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
            return Page(str(response.url), media_type, response.encoding or "utf-8", bytes(content))

    @contextlib.contextmanager
    def stream(self, url: str, headers: Mapping[str, str]) -> Iterator[httpx2.Response]:
        """Give the response to one GET, whatever its status; the body is read by the caller.

        Raises:
            TransientFailure: the connection failed, here or while the body was read.
            IndexUnreachable: it failed for good: no such certificate, a wrong URL.
        """
        import httpx2

        try:
            with self._http.stream("GET", url, headers=dict(headers)) as response:
                yield response
        except httpx2.TransportError as error:
            reason = str(error) or type(error).__name__
            if "CERTIFICATE_VERIFY_FAILED" in reason:
                raise IndexUnreachable(
                    f"the certificate of {redacted(url)} cannot be verified",
                    hint="give pip the certificate bundle of your company: `pip config set global.cert FILE`",
                ) from error
            if isinstance(error, httpx2.UnsupportedProtocol):
                raise IndexUnreachable(f"{redacted(url)} is not an http, https or file URL") from error
            raise TransientFailure(reason) from error
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise IndexUnreachable(f"{redacted(url)} cannot be read: {type(error).__name__}") from error

    def attempt(self, call: Callable[[], T], url: str) -> T:
        """Run `call` until it does not raise `TransientFailure`, at most `ATTEMPTS` times.

        Raises:
            IndexUnreachable: the last attempt failed as well.
        """
        import tenacity

        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(TransientFailure),
            stop=tenacity.stop_after_attempt(ATTEMPTS),
            wait=_wait,
            sleep=self._sleep,
            reraise=True,
        )
        try:
            return retrying(call)
        except TransientFailure as failure:
            raise unreachable(url, failure.reason) from failure


def check_status(response: httpx2.Response, url: str) -> None:
    """Raise what an unsuccessful answer means: `TransientFailure` or `IndexUnreachable`."""
    status = response.status_code
    if 200 <= status < 300:
        return
    answer = f"it answers {status} {response.reason_phrase}".rstrip()
    if status in TRANSIENT_STATUS:
        raise TransientFailure(answer, _retry_after(response.headers.get("Retry-After")))
    _refused(url, status, answer)


def unreachable(url: str, reason: str) -> IndexUnreachable:
    """Return the error for an index that does not answer."""
    return IndexUnreachable(
        f"{redacted(url)} cannot be read: {reason}",
        hint="check the network, the proxy and the index options of pip (`pip config list`), then try again",
    )


def _refused(url: str, status: int, answer: str) -> NoReturn:
    if status in (401, 403, 407):
        hint = "give pip credentials: in the index URL, in ~/.netrc or in a keyring; tokens may have expired"
    else:
        hint = "check the index options of pip (`pip config list`)"
    raise IndexUnreachable(f"{redacted(url)} cannot be read: {answer}", hint=hint)


def _wait(state: Any) -> float:
    failure = state.outcome.exception()
    backoff = BACKOFF * 2.0 ** (state.attempt_number - 1)
    asked = failure.retry_after if isinstance(failure, TransientFailure) else None
    return float(min(max(backoff, asked or 0.0), LONGEST_WAIT))


def _retry_after(value: str | None) -> float | None:
    """Read the seconds or the date of a `Retry-After` header (RFC 9110, section 10.2.3)."""
    if value is None:
        return None
    if value.strip().isdigit():
        return float(value)
    try:
        moment = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, moment.timestamp() - time.time())


def _once(warn: Callable[[str], None]) -> Callable[[str], None]:
    told: set[str] = set()

    def tell(message: str) -> None:
        if message not in told:
            told.add(message)
            warn(message)

    return tell


def _http_client(settings: IndexSettings) -> PyPIClient:
    import httpx2
    from unearth.fetchers.sync import PyPIClient

    # unearth warns through logging; without a handler Python would print that to stderr.
    logging.getLogger("unearth").addHandler(logging.NullHandler())
    context = _ssl_context(settings)
    trusted: dict[str, httpx2.BaseTransport] = {}
    try:
        if settings.proxy:
            # unearth's transport for trusted hosts goes around the proxy.
            insecure = httpx2.HTTPTransport(verify=False, proxy=settings.proxy)
            trusted = {f"all://{host}": insecure for host in settings.trusted_hosts}
        return PyPIClient(
            trusted_hosts=settings.trusted_hosts,
            verify=context if context is not None else True,
            trust_env=settings.proxy is None,
            timeout=settings.timeout,
            limits=httpx2.Limits(max_connections=32, max_keepalive_connections=32),
            mounts=trusted,
            proxy=settings.proxy or None,
            auth=_credentials(settings),
            follow_redirects=True,
            headers={"User-Agent": "planton-build"},
        )
    except (ValueError, httpx2.InvalidURL) as error:
        raise ConfigInvalid(
            "pip's proxy or trusted-host setting is not a valid address", hint="see `pip config list`"
        ) from error


def _ssl_context(settings: IndexSettings) -> ssl.SSLContext | None:
    """Return a context for the certificates pip is told to use, or None for the default of the client."""
    if settings.cert is None and settings.client_cert is None:
        return None
    import ssl

    cert = settings.cert
    try:
        if cert is None:
            context = ssl.create_default_context()
        elif cert.is_dir():
            context = ssl.create_default_context(capath=cert)
        else:
            context = ssl.create_default_context(cafile=cert)
        if settings.client_cert is not None:
            context.load_cert_chain(settings.client_cert)
    except (OSError, ssl.SSLError) as error:
        raise ConfigInvalid(
            f"a certificate file of pip's settings cannot be read: {cert or settings.client_cert}",
            hint="check `cert` and `client-cert` in `pip config list`",
        ) from error
    return context


def _credentials(settings: IndexSettings) -> MultiDomainBasicAuth:
    """Return basic authentication from index URLs, netrc and, unless switched off, the keyring."""
    from unearth.auth import MultiDomainBasicAuth

    class WithoutKeyring(MultiDomainBasicAuth):
        def _get_new_credentials(
            self, original_url: str, *, allow_netrc: bool = True, allow_keyring: bool = False
        ) -> tuple[str | None, str | None]:
            del allow_keyring
            return super()._get_new_credentials(original_url, allow_netrc=allow_netrc, allow_keyring=False)

    kind = MultiDomainBasicAuth if settings.keyring else WithoutKeyring
    urls = [url for url in (*settings.index_urls, *settings.find_links) if "://" in url]
    return kind(prompting=False, index_urls=urls)
