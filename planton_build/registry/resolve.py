"""From an image's tag to the digest of its manifest for one architecture, without an engine.

The OCI distribution protocol, as any registry speaks it. A manifest is only believed when its bytes have the
digest that names it.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
import re
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from planton_build.errors import ImageMismatch, ImageUnavailable
from planton_build.registry.login import Login, docker_config
from planton_build.registry.reference import Reference, parse_reference

if TYPE_CHECKING:
    import httpx2

MANIFEST_LIMIT = 4 << 20
"""Bytes of a manifest: what every registry should take (OCI distribution 1.1, "Pushing Manifests")."""
SECONDS = 30.0
"""How long a registry may take for one answer."""
INDEXES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
MANIFESTS = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
"""What OCI calls a machine."""

_ATTEMPTS = 3
_MAX_REDIRECTS = 5
_TRANSIENT = frozenset({408, 429, 500, 502, 503, 504})
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_HUB = {"docker.io": "registry-1.docker.io", "index.docker.io": "registry-1.docker.io"}
"""Docker Hub's registry answers at another host than its name."""


@dataclass(frozen=True, slots=True)
class ResolvedImage:
    """A manifest for one architecture. `name` has no tag; `NAME@DIGEST` is what an engine pulls."""

    name: str
    digest: str
    media_type: str


def resolve(
    reference: str,
    *,
    machine: str,
    certificates: Path | None = None,
    config: Path | None = None,
    seconds: float = SECONDS,
) -> ResolvedImage:
    """Return the manifest that a name stands for now, on one architecture.

    Args:
        reference: the image's name with tag or digest; without both the tag is `latest`.
        machine: `x86_64` or `aarch64`.
        certificates: a PEM file, or a folder of them, instead of the system's.
        config: docker's configuration with logins, `~/.docker/config.json` by default.
        seconds: how long the registry may take for one answer.

    Raises:
        ImageUnavailable: the registry cannot be reached, refuses, or has no such image.
        ImageMismatch: there is no image for the machine, or the registry's bytes do not have their digest.
    """
    parsed = parse_reference(reference)
    if parsed.host is None:
        raise ImageUnavailable(
            f"{reference} has no registry in its name: it can only be on the container engine",
            hint="name the registry, as in public.ecr.aws/sam/...",
        )
    logins = docker_config(config if config is not None else Path.home() / ".docker" / "config.json")
    registry = _Registry(parsed, logins, certificates, seconds)
    try:
        return registry.resolve(ARCHITECTURES[machine])
    finally:
        registry.close()


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    headers: Mapping[str, str]
    content: bytes


class _Registry:
    """One conversation about one repository."""

    def __init__(
        self, reference: Reference, logins: Mapping[str, Login], certificates: Path | None, seconds: float
    ) -> None:
        host = reference.host or ""
        self._reference = reference
        self._login = logins.get(host)
        self._authorization: str | None = None
        self._http = _client(certificates, seconds)
        answering = _HUB.get(host, host)
        self._plain = _is_loopback(urllib.parse.urlsplit(f"//{answering}").hostname)
        self._base = (
            f"{'http' if self._plain else 'https'}://{answering}/v2/{reference.repository}/manifests/"
        )

    def close(self) -> None:
        self._http.close()

    def resolve(self, architecture: str) -> ResolvedImage:
        reference = self._reference
        digest, media_type, document = self._manifest(reference.digest or reference.tag or "latest")
        if media_type in INDEXES:
            digest = self._of_platform(document, architecture)
            digest, media_type, _ = self._manifest(digest)
        if media_type not in MANIFESTS:
            raise ImageUnavailable(
                f"{reference.name}: {media_type[:100]!r} is no manifest of an image", hint="use another image"
            )
        return ResolvedImage(reference.name, digest, media_type)

    def _of_platform(self, index: Any, architecture: str) -> str:
        """Return the digest that an index has for a Linux of an architecture."""
        offered = []
        entries = index.get("manifests")
        for entry in entries if isinstance(entries, list) else []:
            platform = entry.get("platform") if isinstance(entry, dict) else None
            if not isinstance(platform, dict):
                continue
            offered.append(f"{platform.get('os')}/{platform.get('architecture')}"[:40])
            digest = entry.get("digest")
            fits = offered[-1] == f"linux/{architecture}" and platform.get("variant") in (None, "", "v8")
            if fits and isinstance(digest, str) and _DIGEST.fullmatch(digest):
                return digest
        raise ImageMismatch(
            f"{self._reference.name} has no image for linux/{architecture}, only for "
            f"{', '.join(sorted(set(offered))[:8]) or 'nothing'}",
            hint="choose an image, or a tag, for the function's architecture",
        )

    def _manifest(self, name: str) -> tuple[str, str, dict[str, Any]]:
        """Fetch a manifest by tag or digest: its digest, media type and content."""
        answer = self._authorized(f"{self._base}{name}")
        digest = f"sha256:{hashlib.sha256(answer.content).hexdigest()}"
        promised = {answer.headers.get("docker-content-digest") or digest, digest}
        if _DIGEST.fullmatch(name):
            promised.add(name)
        if len(promised) > 1:
            raise ImageMismatch(
                f"the registry's manifest of {self._shown(name)} does not have the digest that names it",
                hint="try again; if it stays so, a proxy or the registry changes images",
            )
        try:
            document = json.loads(answer.content)
        except (ValueError, RecursionError) as error:
            raise ImageUnavailable(f"the registry's manifest of {self._shown(name)} is no JSON") from error
        if not isinstance(document, dict):
            raise ImageUnavailable(f"the registry's manifest of {self._shown(name)} is no JSON object")
        media_type = document.get("mediaType") or answer.headers.get("content-type", "")
        return digest, str(media_type).partition(";")[0].strip(), document

    def _authorized(self, url: str) -> _Answer:
        """Fetch a manifest, with a token or a login if the registry asks for one."""
        headers = {"Accept": ", ".join((*MANIFESTS, *INDEXES)), "Accept-Encoding": "identity"}
        answer = self._get(url, headers, self._authorization)
        if answer.status == 401 and self._authorization is None:
            self._authorization = self._answered(answer.headers.get("www-authenticate", ""))
            if self._authorization is not None:
                answer = self._get(url, headers, self._authorization)
        if answer.status != 200:
            raise self._refused(url, answer.status)
        return answer

    def _answered(self, challenge: str) -> str | None:
        """Return the `Authorization` that a challenge asks for, or None when there is nothing to offer."""
        scheme, _, rest = challenge.partition(" ")
        values = {key.lower(): value for key, value in re.findall(r'([A-Za-z]+)="([^"]*)"', rest)}
        basic = self._login.basic if self._login is not None else None
        if scheme.lower() == "basic":
            return basic
        realm = values.get("realm", "")
        if scheme.lower() != "bearer" or not realm:
            return None
        asked = {key: values[key] for key in ("service", "scope") if key in values}
        asked.setdefault("scope", f"repository:{self._reference.repository}:pull")
        url = f"{realm}{'&' if '?' in realm else '?'}{urllib.parse.urlencode(asked)}"
        answer = self._get(url, {"Accept": "application/json"}, basic)
        if answer.status != 200:
            raise self._refused(realm, answer.status)
        try:
            document = json.loads(answer.content)
            token = document.get("token") or document.get("access_token")
        except (ValueError, RecursionError, AttributeError):
            token = None
        if not isinstance(token, str) or not re.fullmatch(r"[\x21-\x7e]+", token):
            raise ImageUnavailable(f"{_host_of(realm)} gave no token for {self._reference.name}")
        return f"Bearer {token}"

    def _get(self, url: str, headers: Mapping[str, str], authorization: str | None) -> _Answer:
        """Fetch a URL. `authorization` goes to this URL's host, and to no other that it redirects to."""
        first = urllib.parse.urlsplit(url)
        for _ in range(_MAX_REDIRECTS + 1):
            parts = urllib.parse.urlsplit(url)
            plain = self._plain and parts.scheme == "http" and _is_loopback(parts.hostname)
            if not plain and parts.scheme != "https":
                raise ImageUnavailable(
                    f"{self._reference.name}: the registry leads to {_host_of(url)}, not over HTTPS",
                    hint="plain HTTP is only taken from this machine; give the registry a certificate",
                )
            own = (parts.scheme, parts.netloc) == (first.scheme, first.netloc)
            with_login = {"Authorization": authorization} if authorization and own else {}
            answer = self._attempted(url, {**headers, **with_login})
            location = answer.headers.get("location")
            if answer.status not in (301, 302, 303, 307, 308) or not location:
                return answer
            url = urllib.parse.urljoin(url, location)
        raise ImageUnavailable(f"{self._reference.name}: the registry redirects in a circle")

    def _attempted(self, url: str, headers: Mapping[str, str]) -> _Answer:
        """Send one request, again when its failure may pass."""
        import httpx2
        import tenacity

        def transient(answer: _Answer) -> bool:
            return answer.status in _TRANSIENT

        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_result(transient)
            | tenacity.retry_if_exception_type((httpx2.TransportError, httpx2.DecodingError)),
            stop=tenacity.stop_after_attempt(_ATTEMPTS),
            wait=tenacity.wait_exponential(multiplier=0.25, max=4),
            retry_error_callback=lambda state: state.outcome.result() if state.outcome else None,
        )
        try:
            answer: _Answer = retrying(self._sent, url, headers)
        except (httpx2.HTTPError, httpx2.InvalidURL, UnicodeError) as error:
            raise ImageUnavailable(
                f"{self._reference.name} cannot be resolved: {_host_of(url)} does not answer "
                f"({type(error).__name__})",
                hint="check the network and the proxy; an image that the engine has already, under this "
                "name, is taken without its registry",
            ) from error
        return answer

    def _sent(self, url: str, headers: Mapping[str, str]) -> _Answer:
        content = bytearray()
        with self._http.stream("GET", url, headers=dict(headers)) as response:
            for chunk in response.iter_bytes():
                content += chunk
                if len(content) > MANIFEST_LIMIT:
                    raise ImageUnavailable(
                        f"{_host_of(url)} answers with more than {MANIFEST_LIMIT >> 20} MiB for a manifest"
                    )
            return _Answer(response.status_code, dict(response.headers), bytes(content))

    def _refused(self, url: str, status: int) -> ImageUnavailable:
        name = self._shown(self._reference.digest or self._reference.tag or "latest")
        if status == 404:
            return ImageUnavailable(
                f"the registry has no image {name}", hint="check the spelling of repository and tag"
            )
        if status in (401, 403):
            return ImageUnavailable(
                f"{_host_of(url)} does not give {name} to this user (HTTP {status})",
                hint="run `docker login`; logins in a credential store are not read: pull the image with the "
                "engine, or write its digest",
            )
        busy = " for now: too many requests" if status == 429 else ""
        return ImageUnavailable(
            f"{_host_of(url)} answers HTTP {status} for {name}{busy}",
            hint="try again later, or log in with `docker login`" if busy else "try again later",
        )

    def _shown(self, name: str) -> str:
        return f"{self._reference.name}{'@' if _DIGEST.fullmatch(name) else ':'}{name}"


def _client(certificates: Path | None, seconds: float) -> httpx2.Client:
    import httpx2

    verify: Any = True
    if certificates is not None:
        import ssl

        folder = certificates.is_dir()
        try:
            verify = ssl.create_default_context(
                cafile=None if folder else certificates, capath=certificates if folder else None
            )
        except (OSError, ssl.SSLError) as error:
            raise ImageUnavailable(
                f"the certificate file {certificates} cannot be read",
                hint="check `cert` in `pip config list`",
            ) from error
    return httpx2.Client(
        verify=verify, timeout=seconds, follow_redirects=False, headers={"User-Agent": "planton-build"}
    )


def _is_loopback(host: str | None) -> bool:
    if host is None or host == "localhost":
        return host is not None
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _host_of(url: str) -> str:
    """Return the host of a URL for messages: the rest may hold secrets."""
    return urllib.parse.urlsplit(url).netloc.rpartition("@")[2][:200] or "the registry"
