"""`IndexAccess`: what pip in a build container needs to reach the indexes that pip on this host reaches.

Everything that may hold a credential is a file that only the build's user reads and that is gone with the
container. Nothing of it stands in the command, the environment or a label, where `docker inspect` shows it.
"""

from __future__ import annotations

import base64
import ipaddress
import json
import netrc
import ssl
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from planton_build.ecosystems.python.pip_tools.local_links import LOCAL_INDEX, is_local, local_index
from planton_build.ecosystems.python.settings import IndexSettings, redacted
from planton_build.errors import ConfigInvalid, IndexUnreachable
from planton_build.sandbox.files import Input
from planton_build.sandbox.job import SECRETS

BUNDLE_LIMIT = 16 << 20
"""Bytes of certificates; the usual bundle has 200 kB."""
_SHORTEST_SECRET = 4
"""Characters from which on a password is replaced in texts: shorter ones would garble every message."""


@dataclass(frozen=True, slots=True)
class IndexAccess:
    """Files and variables for a job that reads package indexes.

    `secrets` and `inputs` are files for the container. `hidden` are the texts that must not be shown; the
    scripts in the container remove them from what they write (they find them in the secret `hidden.json`).
    """

    secrets: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    inputs: Sequence[Input] = field(default=(), repr=False)
    environment: Mapping[str, str] = field(default_factory=dict)
    hidden: tuple[str, ...] = field(default=(), repr=False)

    def redact(self, text: str) -> str:
        """Return `text` without secrets."""
        for secret in self.hidden:
            text = text.replace(secret, "****")
        return text


def index_access(
    settings: IndexSettings,
    environment: Mapping[str, str],
    *,
    wanted: Mapping[str, Collection[str]] | None = None,
) -> IndexAccess:
    """Return the access for a job in a container.

    Args:
        settings: pip's settings on this host, with the options of the input merged over them.
        environment: the caller's environment: proxies, `NETRC`, `HOME`, `SSL_CERT_FILE`.
        wanted: see `local_links.local_index`.

    Raises:
        IndexUnreachable: an index is on this machine's loopback interface, which a container does not see.
        ConfigInvalid: a certificate cannot be read, or too much would be copied.
    """
    places = [url for url in (*settings.index_urls, *settings.find_links) if not is_local(url)]
    proxy = _proxy(settings, environment)
    for url in (*places, *([proxy] if proxy else ())):
        _refuse_loopback(url)
    links = local_index(settings, wanted)
    certificates = _certificates(settings, environment)
    lines = _lines(settings, has_links=bool(links), has_certificates=certificates is not None, proxy=proxy)
    secrets = {"pip.conf": ("[global]\n" + "".join(f"{line}\n" for line in lines)).encode()}
    variables = {"PIP_CONFIG_FILE": f"{SECRETS}/pip.conf"}
    if certificates is not None:
        secrets["certificates.pem"] = certificates
    if settings.client_cert is not None:
        secrets["client.pem"] = _content(settings.client_cert)
    logins = _logins(places, environment)
    if logins:
        secrets["netrc"] = "".join(_netrc_line(host, *login) for host, login in logins.items()).encode()
        variables["NETRC"] = f"{SECRETS}/netrc"
    hidden = _hidden([*places, *([proxy] if proxy else ())], logins)
    if hidden:
        secrets["hidden.json"] = json.dumps(hidden).encode()
    return IndexAccess(secrets, links, variables, hidden)


def _lines(
    settings: IndexSettings, *, has_links: bool, has_certificates: bool, proxy: str | None
) -> Iterator[str]:
    """Yield the lines of pip.conf. pip splits values at white space and knows no interpolation there."""
    indexes = [_quoted(url) for url in settings.index_urls if not is_local(url)]
    if has_links or not indexes:
        indexes.append(f"file://{LOCAL_INDEX}")
    links = [_quoted(place) for place in settings.find_links if not is_local(place)]
    yield f"index-url = {indexes[0]}"
    for name, values in (
        ("extra-index-url", indexes[1:]),
        ("find-links", links),
        ("trusted-host", settings.trusted_hosts),
    ):
        if values:
            yield f"{name} ="
            yield from (f"    {value}" for value in values)
    if has_certificates:
        yield f"cert = {SECRETS}/certificates.pem"
    if settings.client_cert is not None:
        yield f"client-cert = {SECRETS}/client.pem"
    if proxy:
        yield f"proxy = {_quoted(proxy)}"
    yield f"timeout = {settings.timeout:g}"


def _quoted(value: str) -> str:
    """Return a URL in one word: what would end it, or the line, is percent-encoded."""
    return "".join(
        character
        if character > " " and character != "\x7f"
        else "".join(f"%{byte:02X}" for byte in character.encode())
        for character in value
    )


def _proxy(settings: IndexSettings, environment: Mapping[str, str]) -> str | None:
    """Return the proxy to use. pip takes one for everything, so the one for https wins."""
    if settings.proxy is not None:
        return settings.proxy or None
    names = ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "http_proxy", "HTTP_PROXY")
    return next((environment[name] for name in names if environment.get(name)), None)


def _refuse_loopback(url: str) -> None:
    host = urlsplit(url if "://" in url else f"//{url}").hostname or ""
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = host == "localhost" or host.endswith(".localhost")
    if loopback:
        raise IndexUnreachable(
            f"{redacted(url)} is on this machine's loopback interface, where no container reaches it",
            hint="let it listen on an address of the machine, such as the container network's gateway "
            "(`docker network inspect bridge`), and name that; or use --container never",
        )


def _certificates(settings: IndexSettings, environment: Mapping[str, str]) -> bytes | None:
    """Return the certificate authorities that this host trusts, or None to leave it to the image."""
    place = settings.cert
    if place is None:
        named = environment.get("SSL_CERT_FILE") or ssl.get_default_verify_paths().cafile
        return _content(Path(named)) if named and Path(named).is_file() else None
    if not place.is_dir():
        return _content(place)
    # A folder for OpenSSL has each certificate twice: by name, and as a link named by its hash.
    files = sorted({path.resolve() for path in place.iterdir() if path.is_file()})
    found = [content for path in files if b"-----BEGIN" in (content := _content(path))]
    return b"\n".join(dict.fromkeys(found))


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            content = stream.read(BUNDLE_LIMIT + 1)
    except OSError as error:
        raise ConfigInvalid(
            f"the certificate file {path} of pip's settings cannot be read: {error.strerror}",
            hint="check `cert` and `client-cert` in `pip config list`",
        ) from error
    if len(content) > BUNDLE_LIMIT:
        raise ConfigInvalid(f"the certificate file {path} has more than {BUNDLE_LIMIT >> 20} MiB")
    return content


def _logins(places: Sequence[str], environment: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Return login and password by host, from the user's netrc and for the indexes' hosts only.

    As pip does, a netrc that cannot be read is passed over. What stands in a URL wins over it there and here.
    """
    home = Path(environment.get("HOME") or Path.home())
    named = environment.get("NETRC")
    for path in [Path(named)] if named else [home / ".netrc", home / "_netrc"]:
        try:
            known = netrc.netrc(str(path))
        except (OSError, netrc.NetrcParseError, UnicodeDecodeError):
            continue
        found = {}
        for host in sorted({urlsplit(place).hostname or "" for place in places} - {""}):
            if (entry := known.authenticators(host)) is not None:
                found[host] = (entry[0] or entry[1] or "", entry[2] or "")
        return found
    return {}


def _netrc_line(host: str, login: str, password: str) -> str:
    return f"machine {host} login {_netrc_word(login)} password {_netrc_word(password)}\n"


def _netrc_word(word: str) -> str:
    """Return a word as netrc has it; quoted only where it must be, because Python 3.10 keeps some quotes."""
    if word and not any(character in ' \t\r\n"\\#' for character in word):
        return word
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _hidden(urls: Sequence[str], logins: Mapping[str, tuple[str, str]]) -> tuple[str, ...]:
    """Return every form in which a password or token could show, the longest first."""
    found: set[str] = set()
    pairs = list(logins.values())
    for url in urls:
        user, colon, password = urlsplit(url).netloc.rpartition("@")[0].partition(":")
        # A name without a password is a token.
        found |= {password, unquote(password)} if colon and password else {user, unquote(user)}
        pairs.append((unquote(user), unquote(password)))
    for user, password in pairs:
        found |= {password, json.dumps(password)[1:-1]}
        if user or password:
            found.add(base64.b64encode(f"{user}:{password}".encode()).decode())
    return tuple(
        sorted((text for text in found if len(text) >= _SHORTEST_SECRET), key=lambda text: (-len(text), text))
    )
