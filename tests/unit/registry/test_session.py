"""Sessions: what is waited, where a login goes, and which addresses are refused."""

from __future__ import annotations

import datetime as dt
import email.utils
import http.server
import json
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from planton_build.errors import ConfigInvalid, ImageUnavailable, RegistryUnreachable
from planton_build.registry.challenge import Authorizations
from planton_build.registry.failures import Answer, Scope, clean, refused
from planton_build.registry.login import Login
from planton_build.registry.session import Session

from .conftest import Proxy, Tokens, status

READING = Scope("r.example", "a/b")
PUSHING = Scope("r.example", "a/b", pushing=True)


@pytest.mark.parametrize(
    "base", ["http://registry.example", "http://10.0.0.1:5000", "http://localhost.example"]
)
def test_plain_http_to_another_machine_is_refused_at_once(base: str) -> None:
    with pytest.raises(ConfigInvalid, match="plain HTTP"):
        Session("registry.example", base_url=base)


@pytest.mark.parametrize(
    ("host", "base"),
    [
        ("docker.io", "https://registry-1.docker.io"),
        ("registry.example:5000", "https://registry.example:5000"),
        ("127.0.0.1:5000", "http://127.0.0.1:5000"),
        ("localhost:5000", "http://localhost:5000"),
        ("[::1]:5000", "http://[::1]:5000"),
    ],
)
def test_a_registry_answers_at_its_name(host: str, base: str) -> None:
    with Session(host) as session:
        assert session.base == base


@pytest.mark.parametrize(
    ("asked", "waited"),
    [("3", 3.0), ("0", 0.0), ("86400", 60.0), ("9" * 400, 60.0), ("-1", 1.0), ("x", 1.0), ("", 1.0)],
)
def test_as_long_as_a_registry_asks_for_is_waited_within_bounds(asked: str, waited: float) -> None:
    waits: list[float] = []
    with Session("127.0.0.1:1", wait=waits.append) as session:
        session.pause(3, {"retry-after": asked})
    assert waits == [waited]


def test_a_date_to_wait_for_is_bounded_too() -> None:
    waits: list[float] = []
    with Session("127.0.0.1:1", wait=waits.append) as session:
        session.pause(1, {"retry-after": email.utils.formatdate(time.time() + 9_999, usegmt=True)})
        session.pause(1, {"retry-after": email.utils.formatdate(0, usegmt=True)})
    assert waits == [60.0, 0.0]


def test_no_cookie_is_kept(proxy: Proxy) -> None:
    proxy.breaks("/v2/", status(200, Set_Cookie="sid=1; Path=/"), times=2)
    with Session(proxy.host) as session:
        for _ in range(2):
            session.send("GET", session.url("a/b", "tags", "list"), READING)
    assert not any("cookie" in asked.headers for asked in proxy.asked)


def test_nobody_answering_is_an_error_of_what_was_tried() -> None:
    with Session("127.0.0.1:1", wait=lambda _seconds: None) as session:
        with pytest.raises(ImageUnavailable, match=r"127\.0\.0\.1:1 does not answer"):
            session.send("GET", session.url("a/b", "x"), READING)
        with pytest.raises(RegistryUnreachable, match=r"127\.0\.0\.1:1 does not answer"):
            session.send("GET", session.url("a/b", "x"), PUSHING)


def test_certificates_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    path = tmp_path / "none.pem"
    with pytest.raises(ImageUnavailable, match=r"none\.pem cannot be read"):
        Session("registry.example", certificates=path)


def test_a_token_is_asked_for_with_the_login_and_for_writing(proxy: Proxy) -> None:
    login = Login.of("user", "secret")
    tokens = Tokens(user=login.basic)
    tokens.guard(proxy)
    with Session(proxy.host, login=login) as session:
        answer = session.send("HEAD", session.url("a/b", "blobs", f"sha256:{'0' * 64}"), PUSHING)
    assert answer.status == 404
    assert tokens.asked == [("/token?service=s&scope=repository%3Aa%2Fb%3Apull%2Cpush", login.basic)]


def test_a_login_that_expired_is_asked_for_anew_for_a_token(proxy: Proxy) -> None:
    logins = iter([Login.of("user", "old"), Login.of("user", "new")])
    tokens = Tokens(user=Login.of("user", "new").basic)
    tokens.guard(proxy)
    with Session(proxy.host, login=lambda: next(logins)) as session:
        assert session.send("HEAD", session.url("a/b", "blobs", f"sha256:{'0' * 64}"), READING).status == 404


@pytest.fixture
def secure(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """Serve HTTPS that redirects to plain HTTP on this machine; give the host and its certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    public, private = tmp_path / "cert.pem", tmp_path / "key.pem"
    public.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            away = "away" in self.path
            self.send_response(302 if away else 404)
            if away:
                self.send_header("Location", "http://127.0.0.1:1/plain")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    class Server(http.server.ThreadingHTTPServer):
        def handle_error(self, *_: Any) -> None:
            pass  # a client that does not trust us

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(public, private)
    with Server(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"localhost:{server.server_address[1]}", public
        server.shutdown()
        thread.join()


def test_a_certificate_that_is_given_is_trusted_and_no_other(secure: tuple[str, Path]) -> None:
    host, certificate = secure
    with Session("r.example", base_url=f"https://{host}", certificates=certificate) as session:
        assert session.send("GET", session.url("a/b", "x"), READING).status == 404
    with (
        Session("r.example", base_url=f"https://{host}", wait=lambda _seconds: None) as session,
        pytest.raises(RegistryUnreachable, match="its certificate is not trusted"),
    ):
        session.send("GET", session.url("a/b", "x"), PUSHING)


def test_https_never_leads_to_plain_http_not_even_here(secure: tuple[str, Path]) -> None:
    host, certificate = secure
    with (
        Session("r.example", base_url=f"https://{host}", certificates=certificate) as session,
        pytest.raises(ImageUnavailable, match="not over HTTPS"),
    ):
        session.send("GET", session.url("a/b", "away"), READING)


def asked_of(challenge: str, scope: Scope) -> list[str]:
    """Return the URLs of tokens that a challenge leads to."""
    urls: list[str] = []

    def fetch(url: str, _scope: Scope, _authorization: str | None) -> Answer:
        urls.append(url)
        return Answer(200, {}, b'{"token": "t"}')

    Authorizations(None, fetch).answered(scope, challenge, None)
    return urls


@pytest.mark.parametrize(
    ("challenge", "scope", "query"),
    [
        ('Bearer realm="https://t/",service="s",scope="aws"', PUSHING, "service=s&scope=aws"),
        (
            'Bearer realm="https://t/?a=1",service="s"',
            READING,
            "a=1&service=s&scope=repository%3Aa%2Fb%3Apull",
        ),
        ('bearer realm="https://t/",scope="repository:x:pull"', READING, "scope=repository%3Ax%3Apull"),
        ('Basic realm="r", Bearer realm="https://t/",scope="aws"', READING, "scope=aws"),
        (
            'Bearer realm="https://t/",scope="repository:a/b:pull"',
            PUSHING,
            "scope=repository%3Aa%2Fb%3Apull%2Cpush",
        ),
    ],
)
def test_the_scopes_of_a_challenge_are_widened_to_what_is_needed(
    challenge: str, scope: Scope, query: str
) -> None:
    assert asked_of(challenge, scope) == [f"https://t/?{query}"]


@given(st.text(max_size=200) | st.text(alphabet='Bearer lmsco="\\,x ', max_size=80))
def test_any_challenge_is_answered_or_not(challenge: str) -> None:
    asked_of(challenge, READING)


@given(st.binary(max_size=200), st.sampled_from([400, 401, 403, 404, 405, 409, 413, 429, 500]))
def test_any_refusal_becomes_a_message_of_printable_words(content: bytes, code: int) -> None:
    for scope in (READING, PUSHING):
        error = refused(scope, Answer(code, {}, content), "r.example/a/b:tag")
        assert error.message.isprintable()
        assert len(error.message) < 1_000


@given(st.text(max_size=500))
def test_words_of_others_are_cleaned(text: str) -> None:
    assert clean(text).isprintable()
    assert len(clean(text)) <= 300


def test_threads_that_are_refused_at_the_same_time_get_one_token() -> None:
    given: list[str] = []

    def fetch(_url: str, _scope: Scope, _authorization: str | None) -> Answer:
        given.append(f"token-{len(given)}")
        return Answer(200, {}, json.dumps({"token": given[-1]}).encode())

    asked, authorizations = 'Bearer realm="https://t/"', Authorizations(None, fetch)
    assert [authorizations.answered(READING, asked, None) for _ in range(3)] == ["Bearer token-0"] * 3
    assert authorizations.answered(READING, asked, "Bearer token-0") == "Bearer token-1"
    assert authorizations.answered(READING, asked, "Bearer token-0") == "Bearer token-1"
    assert given == ["token-0", "token-1"]


def test_a_user_with_a_token_who_is_forbidden_something_is_not_logged_in_anew() -> None:
    logins: list[Login] = []

    def login() -> Login:
        logins.append(Login.of("user", f"{len(logins)}"))
        return logins[-1]

    authorizations = Authorizations(login, lambda *_: Answer(200, {}, b'{"token": "t"}'))
    token = authorizations.answered(READING, 'Bearer realm="https://t/"', None)
    assert authorizations.answered(READING, "", token, forbidden=True) is None
    assert authorizations.answered(PUSHING, "", None, forbidden=True) is None
    assert len(logins) == 1
