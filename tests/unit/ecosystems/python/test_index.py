"""Indexes over real HTTP: pages in both forms, credentials, retries, failures."""

from __future__ import annotations

import base64
import dataclasses
import ssl
import sys
import threading
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from planton_build.ecosystems.python.index import Index
from planton_build.ecosystems.python.settings import IndexSettings
from planton_build.errors import ConfigInvalid, IndexUnreachable


class Asked:
    """An index with a record of its warnings and of the seconds it waited."""

    def __init__(self) -> None:
        self.warnings: list[str] = []
        self.waits: list[float] = []
        self.opened: list[Index] = []

    def __call__(self, settings: IndexSettings) -> Index:
        index = Index(settings, warn=self.warnings.append, sleep=self.waits.append)
        self.opened.append(index)
        return index


@pytest.fixture
def ask() -> Iterator[Asked]:
    asked = Asked()
    yield asked
    for index in asked.opened:
        index.close()


def test_a_json_page_gives_hash_size_and_yanking(index_server: Any, ask: Asked) -> None:
    index_server.json_page(
        "demo",
        [
            {
                "filename": "Demo-1.0-py3-none-any.whl",
                "url": "/files/Demo-1.0-py3-none-any.whl",
                "hashes": {"sha256": "A" * 64},
                "size": 12,
                "requires-python": ">=3.8",
                "yanked": "broken",
            },
            {"filename": "demo-1.0.tar.gz", "url": "https://files.example/demo-1.0.tar.gz", "hashes": {}},
        ],
    )

    wheel, sdist = ask(IndexSettings(index_server.simple)).offers("Demo")

    assert (wheel.kind, wheel.version, wheel.size, wheel.sha256) == ("wheel", "1.0", 12, "a" * 64)
    assert (wheel.requires_python, wheel.yanked) == (">=3.8", True)
    assert wheel.url == f"{index_server.url}/files/Demo-1.0-py3-none-any.whl"
    assert {str(tag) for tag in wheel.tags} == {"py3-none-any"}
    assert (sdist.kind, sdist.sha256, sdist.size, sdist.yanked) == ("sdist", None, None, False)
    assert sdist.url == "https://files.example/demo-1.0.tar.gz"


def test_an_html_page_gives_the_same_but_sizes(index_server: Any, ask: Asked) -> None:
    index_server.html_page(
        "demo",
        '<base href="/elsewhere/"><a href="../files/demo-1.0-1-py3-none-any.whl#sha256=' + "b" * 64 + '"'
        ' data-yanked="" data-requires-python="&gt;=3.8">x</a>'
        '<a href="demo-0.9%2Blocal-py3-none-any.whl">y</a><a href="demo-1.0.whl">no</a><a>no</a>'
        '<a href="other-1.0-py3-none-any.whl">no</a><a href="demo-1.0.exe">no</a>',
    )

    first, second = ask(IndexSettings(index_server.simple + "/")).offers("demo")

    assert first.url == f"{index_server.url}/files/demo-1.0-1-py3-none-any.whl"
    assert (first.sha256, first.yanked, first.requires_python, first.build) == (
        "b" * 64,
        True,
        ">=3.8",
        (1, ""),
    )
    assert (second.version, second.sha256, second.yanked) == ("0.9+local", None, False)


def test_every_index_is_asked_and_an_unknown_package_has_no_offers(
    index_server: Any, another_server: Any, ask: Asked, wheel_maker: Callable[..., Any]
) -> None:
    index_server.serve(wheel_maker(version="1.0"))
    another_server.serve(wheel_maker(version="2.0"))
    index = ask(IndexSettings(index_server.simple, (another_server.simple,)))

    assert [offer.version for offer in index.offers("demo")] == ["1.0", "2.0"]
    assert index.offers("unknown") == ()
    index.offers("demo")
    assert index_server.paths() == ["/simple/demo/", "/simple/unknown/"]


def test_a_page_behind_a_redirect_resolves_its_links_where_it_is(
    index_server: Any, ask: Asked, reply: Any
) -> None:
    index_server.routes["/simple/demo/"] = reply(status=301, headers={"Location": "/moved/here/demo/"})
    index_server.routes["/moved/here/demo/"] = reply(
        b'<a href="demo-1.0-py3-none-any.whl">x</a>', headers={"Content-Type": "text/html"}
    )

    (offer,) = ask(IndexSettings(index_server.simple)).offers("demo")

    assert offer.url == f"{index_server.url}/moved/here/demo/demo-1.0-py3-none-any.whl"


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_server_in_trouble_is_asked_again(
    index_server: Any, ask: Asked, reply: Any, wheel_maker: Callable[..., Any], status: int
) -> None:
    index_server.serve(wheel_maker())
    index_server.routes["/simple/demo/"] = [
        reply(status=status, headers={"Retry-After": "7"}),
        reply(status=status),
        index_server.routes["/simple/demo/"],
    ]

    assert len(ask(IndexSettings(index_server.simple)).offers("demo")) == 1
    assert ask.waits == [7.0, 0.5]


def test_a_dropped_connection_is_tried_again(
    index_server: Any, ask: Asked, wheel_maker: Callable[..., Any]
) -> None:
    index_server.serve(wheel_maker())
    whole = index_server.routes["/simple/demo/"]
    index_server.routes["/simple/demo/"] = [dataclasses.replace(whole, cut=20), whole]

    assert len(ask(IndexSettings(index_server.simple)).offers("demo")) == 1


def test_a_server_that_asks_for_an_hour_waits_a_minute(index_server: Any, ask: Asked, reply: Any) -> None:
    index_server.routes["/simple/demo/"] = reply(status=503, headers={"Retry-After": "3600"})

    with pytest.raises(IndexUnreachable, match="503"):
        ask(IndexSettings(index_server.simple)).offers("demo")
    assert ask.waits == [60.0] * 4


@pytest.mark.parametrize("date", ["Mon, 01 Jan 2001 00:00:00 GMT", "soon", "99 bottles"])
def test_a_retry_date_in_the_past_or_not_a_date_means_the_usual_wait(
    index_server: Any, ask: Asked, reply: Any, date: str
) -> None:
    index_server.routes["/simple/demo/"] = reply(status=503, headers={"Retry-After": date})

    with pytest.raises(IndexUnreachable):
        ask(IndexSettings(index_server.simple)).offers("demo")
    assert ask.waits == [0.25, 0.5, 1.0, 2.0]


def test_one_failing_index_fails_the_lookup_and_is_named_without_secrets(
    index_server: Any, another_server: Any, ask: Asked, reply: Any, wheel_maker: Callable[..., Any]
) -> None:
    index_server.serve(wheel_maker())
    another_server.routes["/simple/demo/"] = reply(status=403)
    secret = another_server.simple.replace("://", "://user:hunter2@")
    index = ask(IndexSettings(index_server.simple, (secret,)))

    with pytest.raises(IndexUnreachable) as caught:
        index.offers("demo")

    assert f"looking for demo: {another_server.simple}/demo/" in caught.value.message
    assert "403" in caught.value.message
    assert "hunter2" not in caught.value.message
    assert "credentials" in (caught.value.hint or "")


def test_a_closed_port_is_named_with_the_package(index_server: Any, ask: Asked) -> None:
    index_server.close()

    with pytest.raises(
        IndexUnreachable, match=f"looking for demo: {index_server.simple}/demo/ cannot be read"
    ):
        ask(IndexSettings(index_server.simple)).offers("demo")
    assert len(ask.waits) == 4


@pytest.mark.parametrize(
    ("media_type", "body"),
    [
        ("application/vnd.pypi.simple.v1+json", b"not json"),
        ("application/vnd.pypi.simple.v1+json", b'{"meta": {"api-version": "2.0"}, "files": []}'),
        ("application/vnd.pypi.simple.v1+json", b'{"meta": {"api-version": "1.0"}, "files": {}}'),
        ("application/vnd.pypi.simple.v1+json", b'{"meta": {"api-version": "1.0"}, "files": [{"url": "x"}]}'),
        ("application/vnd.pypi.simple.v1+json", b"[" * 100_000),
        ("image/png", b"\x89PNG"),
        ("", b""),
    ],
)
def test_an_answer_that_is_no_index_page_is_an_error(
    index_server: Any, ask: Asked, reply: Any, media_type: str, body: bytes
) -> None:
    index_server.routes["/simple/demo/"] = reply(
        body, headers={"Content-Type": media_type} if media_type else {}
    )

    with pytest.raises(IndexUnreachable) as caught:
        ask(IndexSettings(index_server.simple)).offers("demo")
    assert "simple API" in (caught.value.hint or "")


def test_an_endless_page_is_cut_off(
    index_server: Any, ask: Asked, reply: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("planton_build.ecosystems.python.client.PAGE_LIMIT", 1000)
    index_server.routes["/simple/demo/"] = reply(b"x" * 1001, headers={"Content-Type": "text/html"})

    with pytest.raises(IndexUnreachable, match="more than"):
        ask(IndexSettings(index_server.simple)).offers("demo")


def _guarded(index_server: Any, reply: Any, user: str, password: str) -> None:
    page = index_server.routes["/simple/demo/"]
    expected = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()

    def answer(request: Any) -> Any:
        if request.headers.get("Authorization") == expected:
            return page
        return reply(status=401, headers={"WWW-Authenticate": 'Basic realm="index"'})

    index_server.routes["/simple/demo/"] = answer


def test_credentials_in_the_url_are_sent(
    index_server: Any, ask: Asked, reply: Any, wheel_maker: Callable[..., Any]
) -> None:
    index_server.serve(wheel_maker())
    _guarded(index_server, reply, "me@work", "pass word")
    url = index_server.simple.replace("://", "://me%40work:pass%20word@")

    (offer,) = ask(IndexSettings(url)).offers("demo")

    assert "pass" not in offer.url


def test_credentials_come_from_netrc(
    index_server: Any,
    ask: Asked,
    reply: Any,
    wheel_maker: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    index_server.serve(wheel_maker())
    _guarded(index_server, reply, "me", "secret")
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))

    assert len(ask(IndexSettings(index_server.simple)).offers("demo")) == 1


@pytest.mark.parametrize("keyring", [True, False])
def test_missing_credentials_are_never_asked_for(
    index_server: Any,
    ask: Asked,
    reply: Any,
    wheel_maker: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    keyring: bool,
) -> None:
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    index_server.serve(wheel_maker())
    _guarded(index_server, reply, "me", "secret")

    with pytest.raises(IndexUnreachable, match="401"):
        ask(IndexSettings(index_server.simple, keyring=keyring)).offers("demo")


def test_a_redirect_to_another_host_takes_no_credentials_along(
    index_server: Any, another_server: Any, ask: Asked, reply: Any, wheel_maker: Callable[..., Any]
) -> None:
    another_server.serve(wheel_maker())
    index_server.routes["/simple/demo/"] = reply(
        status=302, headers={"Location": another_server.simple + "/demo/"}
    )
    url = index_server.simple.replace("://", "://me:secret@")

    assert len(ask(IndexSettings(url)).offers("demo")) == 1
    assert "Authorization" in index_server.requests[0].headers
    assert "Authorization" not in another_server.requests[0].headers


def test_file_indexes_and_find_links_folders_are_read(
    tmp_path: Path, ask: Asked, wheel_maker: Callable[..., Any]
) -> None:
    wheel = wheel_maker()
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / wheel.filename).write_bytes(wheel.content)
    (tmp_path / "links" / "demo-0.5.tar.gz").write_bytes(b"")
    (tmp_path / "links" / "README.txt").write_text("no package")
    (tmp_path / "links" / "more.html").write_text(
        '<a href="demo-3.0-py3-none-any.whl#sha256=' + "c" * 64 + '">'
    )
    page = tmp_path / "simple" / "demo"
    page.mkdir(parents=True)
    (page / "index.html").write_text('<a href="../../demo-2.0-py3-none-any.whl">x</a>')
    settings = IndexSettings((tmp_path / "simple").as_uri(), find_links=(str(tmp_path / "links"),))

    offers = {offer.version: offer for offer in ask(settings).offers("demo")}

    assert sorted(offers) == ["0.5", "1.0", "2.0", "3.0"]
    assert offers["1.0"].size == len(wheel.content)
    assert offers["2.0"].url == (tmp_path / "demo-2.0-py3-none-any.whl").as_uri()
    assert offers["3.0"].sha256 == "c" * 64
    assert ask(settings).offers("unknown") == ()
    assert ask.warnings == []


def test_find_links_may_be_pages_and_packages_on_a_server(index_server: Any, ask: Asked, reply: Any) -> None:
    index_server.routes["/links"] = reply(
        b'<a href="demo-1.0-py3-none-any.whl">x</a>', headers={"Content-Type": "text/html"}
    )
    direct = f"{index_server.url}/demo-2.0-py3-none-any.whl#sha256={'d' * 64}"
    settings = IndexSettings("", find_links=(f"{index_server.url}/links", direct), no_index=True)
    index = ask(settings)

    first, second = index.offers("demo")
    index.offers("other")

    assert (first.version, second.version, second.sha256) == ("1.0", "2.0", "d" * 64)
    assert second.url.endswith(".whl")
    assert index_server.paths() == ["/links"]


def test_what_pip_only_warns_about_is_a_warning_told_once(tmp_path: Path, ask: Asked) -> None:
    settings = IndexSettings(
        "http://insecure.example/simple",
        ((tmp_path / "absent").as_uri(),),
        (str(tmp_path / "gone"), "http://insecure.example/links"),
    )
    index = ask(settings)

    assert index.offers("demo") == index.offers("other") == ()
    assert len(ask.warnings) == 4
    assert any("--trusted-host" in warning for warning in ask.warnings)


def test_a_trusted_host_may_speak_plain_http(ask: Asked) -> None:
    settings = IndexSettings("http://index.invalid/simple", trusted_hosts=("index.invalid",), proxy="")

    with pytest.raises(IndexUnreachable, match=r"index\.invalid"):
        ask(settings).offers("demo")
    assert ask.warnings == []


def test_a_proxy_is_used_for_trusted_hosts_too(index_server: Any, ask: Asked, reply: Any) -> None:
    seen: list[str] = []

    def through(request: Any) -> Any:
        seen.append(request.headers["Host"])
        return reply(status=404)

    index_server.routes["/simple/demo/"] = through
    for trusted in ((), ("index.invalid",)):
        url = "http://index.invalid/simple" if trusted else "http://localhost:1/simple"
        assert ask(IndexSettings(url, trusted_hosts=trusted, proxy=index_server.url)).offers("demo") == ()
    assert seen == ["localhost:1", "index.invalid"]


def test_many_threads_may_ask_at_once(index_server: Any, ask: Asked, wheel_maker: Callable[..., Any]) -> None:
    index_server.serve(*(wheel_maker(name=f"demo{number}") for number in range(20)))
    index = ask(IndexSettings(index_server.simple))
    found: list[int] = []
    threads = [
        threading.Thread(target=lambda n=number: found.append(len(index.offers(f"demo{n}"))))
        for number in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [1] * 20


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """Make a self-signed certificate for 127.0.0.1, with its key, in one PEM file."""
    pytest.importorskip("cryptography")
    import datetime as dt
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "index.example")])
    now = dt.datetime.now(dt.UTC)
    built = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "certificate.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + built.public_bytes(serialization.Encoding.PEM))
    return path


def test_certificates_are_verified_with_pips_bundle_unless_the_host_is_trusted(
    index_server: Any, ask: Asked, wheel_maker: Callable[..., Any], certificate: Path
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    context.load_verify_locations(certificate)
    index_server.encrypt(context)
    index_server.serve(wheel_maker())
    url = f"https://{index_server.netloc}/simple"

    with pytest.raises(IndexUnreachable, match="certificate") as caught:
        ask(IndexSettings(url)).offers("demo")
    assert "pip config set global.cert" in (caught.value.hint or "")
    assert ask.waits == []
    assert len(ask(IndexSettings(url, cert=certificate)).offers("demo")) == 1
    assert len(ask(IndexSettings(url, trusted_hosts=("127.0.0.1",))).offers("demo")) == 1


def test_a_client_certificate_is_shown(
    index_server: Any, ask: Asked, wheel_maker: Callable[..., Any], certificate: Path
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    context.load_verify_locations(certificate)
    context.verify_mode = ssl.CERT_REQUIRED
    index_server.encrypt(context)
    index_server.serve(wheel_maker())
    url = f"https://{index_server.netloc}/simple"

    with pytest.raises(IndexUnreachable):
        ask(IndexSettings(url, cert=certificate)).offers("demo")
    assert len(ask(IndexSettings(url, cert=certificate, client_cert=certificate)).offers("demo")) == 1


@pytest.mark.parametrize("option", ["cert", "client_cert"])
def test_a_certificate_file_that_cannot_be_read_is_a_configuration_error(tmp_path: Path, option: str) -> None:
    for path in (tmp_path / "absent.pem", tmp_path / "no.pem"):
        (tmp_path / "no.pem").write_text("no certificate")
        with pytest.raises(ConfigInvalid, match=path.name):
            Index(IndexSettings("https://index.example/simple", **{option: path}))


def test_a_proxy_that_is_no_address_is_a_configuration_error_without_its_password() -> None:
    with pytest.raises(ConfigInvalid, match="proxy") as caught:
        Index(IndexSettings("https://index.example/simple", proxy="nonsense://me:hunter2@proxy"))
    assert "hunter2" not in caught.value.message


def test_an_address_of_another_kind_is_an_error(ask: Asked) -> None:
    for url in ("ftp://127.0.0.1/simple", "file://elsewhere.example/simple"):
        with pytest.raises(IndexUnreachable):
            ask(IndexSettings(url, trusted_hosts=("127.0.0.1",))).offers("demo")


def test_the_keyring_is_asked_unless_it_is_switched_off(
    index_server: Any,
    ask: Asked,
    reply: Any,
    wheel_maker: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    keyring = types.ModuleType("keyring")
    credential = types.SimpleNamespace(username="me", password="secret")
    monkeypatch.setattr(keyring, "get_credential", lambda service, user: credential, raising=False)
    monkeypatch.setitem(sys.modules, "keyring", keyring)
    index_server.serve(wheel_maker())
    _guarded(index_server, reply, "me", "secret")

    assert len(ask(IndexSettings(index_server.simple)).offers("demo")) == 1
    with pytest.raises(IndexUnreachable, match="401"):
        ask(IndexSettings(index_server.simple, keyring=False)).offers("demo")


def test_the_environments_proxy_counts_unless_pip_is_told_to_use_none(
    index_server: Any,
    another_server: Any,
    ask: Asked,
    wheel_maker: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    index_server.serve(wheel_maker())
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, another_server.url)
    for name in ("no_proxy", "NO_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)

    assert ask(IndexSettings(index_server.simple)).offers("demo") == ()
    assert len(ask(IndexSettings(index_server.simple, proxy="")).offers("demo")) == 1
