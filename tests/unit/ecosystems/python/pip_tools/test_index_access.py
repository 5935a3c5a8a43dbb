"""What a container gets of this host's index settings, and what stays hidden."""

from __future__ import annotations

import base64
import configparser
import hashlib
import netrc
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from planton_build.ecosystems.python.pip_tools import local_links
from planton_build.ecosystems.python.pip_tools.index_access import IndexAccess, index_access
from planton_build.ecosystems.python.settings import IndexSettings
from planton_build.errors import ConfigInvalid, IndexUnreachable
from planton_build.sandbox.files import Input

Shelf = Callable[..., Path]
PASSWORD = "s3cr%t:p@ss word"
URL = "https://ci:s3cr%25t%3Ap%40ss%20word@pypi.example.com/simple"


def access(
    settings: IndexSettings, environment: Mapping[str, str] | None = None, **wanted: object
) -> IndexAccess:
    return index_access(settings, {"HOME": "/nowhere", **(environment or {})}, **wanted)  # type: ignore[arg-type]


def config(found: IndexAccess) -> dict[str, list[str]]:
    parser = configparser.RawConfigParser()
    parser.read_string(found.secrets["pip.conf"].decode())
    return {name: value.split() for name, value in parser["global"].items()}


def content(found: Input) -> bytes:
    return found.content if isinstance(found.content, bytes) else found.content.read_bytes()


def test_pip_itself_reads_the_configuration_as_it_was_here(tmp_path: Path) -> None:
    extra = ("https://two.example.com/simple", "https://three.example.com/a b/simple")
    settings = IndexSettings(URL, extra, trusted_hosts=("two.example.com",), timeout=7.5)
    path = tmp_path / "pip.conf"
    path.write_bytes(access(settings, {"SSL_CERT_FILE": str(tmp_path / "absent")}).secrets["pip.conf"])
    asked = "from pip._internal.commands import create_command as c; o, _ = c('install').parse_args([]); "
    answer = subprocess.run(
        [sys.executable, "-c", asked + "print(o.index_url, o.extra_index_urls, o.trusted_hosts, o.timeout)"],
        env={"PIP_CONFIG_FILE": str(path), "HOME": str(tmp_path), "XDG_CONFIG_DIRS": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    expected = [extra[0], extra[1].replace(" ", "%20")]
    assert answer.stdout.split("\n")[0] == f"{URL} {expected} ['two.example.com'] 7.5"


def test_credentials_are_in_secret_files_only(tmp_path: Path) -> None:
    (tmp_path / ".netrc").write_text(
        "machine two.example.com login bob password hunter2hunter2\n"
        "machine elsewhere.example.com login bob password other-password\n"
    )
    settings = IndexSettings(
        URL, ("https://two.example.com/simple",), proxy="http://me:proxy-pw@10.1.2.3:3128"
    )
    found = access(settings, {"HOME": str(tmp_path)})
    public = f"{dict(found.environment)} {found!r} {[one.path for one in found.inputs]}"
    for secret in ("s3cr", "hunter2", "proxy-pw"):
        assert secret not in public
    assert config(found)["index-url"] == [URL]
    assert config(found)["proxy"] == ["http://me:proxy-pw@10.1.2.3:3128"]
    (tmp_path / "copy").write_bytes(found.secrets["netrc"])
    assert set(netrc.netrc(str(tmp_path / "copy")).hosts) == {"two.example.com"}
    assert found.environment == {
        "PIP_CONFIG_FILE": "/build/.secrets/pip.conf",
        "NETRC": "/build/.secrets/netrc",
    }


@pytest.mark.parametrize(
    "shown",
    [
        PASSWORD,
        "s3cr%25t%3Ap%40ss%20word",
        base64.b64encode(f"ci:{PASSWORD}".encode()).decode(),
        "hunter2hunter2",
        base64.b64encode(b"bob:hunter2hunter2").decode(),
    ],
)
def test_secrets_are_redacted_in_every_form(tmp_path: Path, shown: str) -> None:
    (tmp_path / "netrc").write_text("machine pypi.example.com login bob password hunter2hunter2\n")
    found = access(IndexSettings(URL), {"NETRC": str(tmp_path / "netrc")})
    assert found.redact(f"before {shown} after") == "before **** after"
    assert "https" not in found.hidden


def test_a_token_as_user_name_is_a_secret() -> None:
    found = access(IndexSettings("https://token-1234@pypi.example.com/simple"))
    assert found.redact("token-1234 ci") == "**** ci"


def test_netrc_words_with_blanks_and_quotes_are_read_back(tmp_path: Path) -> None:
    path = tmp_path / "netrc"
    path.write_text('machine pypi.example.com login "a b" password "x\\"y#z"\n')
    found = access(IndexSettings("https://pypi.example.com/simple"), {"NETRC": str(path)})
    path.write_bytes(found.secrets["netrc"])
    assert netrc.netrc(str(path)).authenticators("pypi.example.com") == ("a b", "", 'x"y#z')


def test_a_netrc_that_cannot_be_read_is_passed_over_as_pip_does(tmp_path: Path) -> None:
    path = tmp_path / "netrc"
    path.write_text("machine\nnonsense {")
    assert "netrc" not in access(IndexSettings(URL), {"NETRC": str(path)}).secrets


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8080/simple",
        "http://user:secret-word@localhost/simple",
        "http://[::1]/simple",
        "http://127.8.9.1/simple",
        "http://pypi.localhost/simple",
    ],
)
def test_an_index_on_the_loopback_interface_is_refused_with_a_way_out(url: str) -> None:
    with pytest.raises(IndexUnreachable, match="loopback") as caught:
        access(IndexSettings(url))
    assert "secret-word" not in caught.value.message
    assert "gateway" in (caught.value.hint or "")


def test_a_proxy_on_the_loopback_interface_is_refused_too() -> None:
    with pytest.raises(IndexUnreachable, match="loopback"):
        access(IndexSettings("https://pypi.example.com/simple"), {"https_proxy": "localhost:3128"})
    no_proxy = IndexSettings("https://pypi.example.com/simple", proxy="")
    assert "proxy" not in config(access(no_proxy, {"https_proxy": "localhost:3128"}))


def test_certificates_go_in_whole(tmp_path: Path) -> None:
    one, two = b"-----BEGIN CERTIFICATE-----\n1\n", b"-----BEGIN CERTIFICATE-----\n2\n"
    folder = tmp_path / "certs"
    folder.mkdir()
    (folder / "one.pem").write_bytes(one)
    (folder / "two.pem").write_bytes(two)
    (folder / "abcd.0").symlink_to("one.pem")
    (folder / "README").write_text("no certificate")
    (tmp_path / "client.pem").write_bytes(b"key")
    settings = IndexSettings(URL, cert=folder, client_cert=tmp_path / "client.pem")
    found = access(settings)
    assert found.secrets["certificates.pem"] == one + b"\n" + two
    assert found.secrets["client.pem"] == b"key"
    assert config(found)["cert"] == ["/build/.secrets/certificates.pem"]
    assert config(found)["client-cert"] == ["/build/.secrets/client.pem"]
    with pytest.raises(ConfigInvalid, match=r"gone\.pem"):
        access(IndexSettings(URL, cert=tmp_path / "gone.pem"))
    own = access(IndexSettings(URL), {"SSL_CERT_FILE": str(folder / "two.pem")})
    assert own.secrets["certificates.pem"] == two


class TestLocalFolders:
    def test_wheels_go_in_as_names_hashes_and_metadata(self, shelf: Shelf, offline: IndexSettings) -> None:
        folder = shelf("two_x", "2.1", "one>=1", python=">=3.8")
        found = access(offline)
        files = {one.path: content(one) for one in found.inputs}
        wheel = next(folder.iterdir())
        page = files["/build/in/index/simple/two-x/index.html"].decode()
        assert f"#sha256={hashlib.sha256(wheel.read_bytes()).hexdigest()}" in page
        assert 'data-core-metadata="true"' in page
        metadata = files[f"/build/in/index/files/two-x/0/{wheel.name}.metadata"]
        assert b"Requires-Dist: one>=1" in metadata
        assert len(files) == 2
        assert config(found)["index-url"] == ["file:///build/in/index/simple"]
        assert "find-links" not in config(found)

    def test_only_wanted_files_go_in_whole(self, shelf: Shelf, offline: IndexSettings) -> None:
        shelf("one", "1.0")
        shelf("one", "2.0")
        folder = shelf("two_x", "2.1")
        wheel = folder / "one-2.0-py3-none-any.whl"
        wanted = {"one": {hashlib.sha256(wheel.read_bytes()).hexdigest()}}
        found = {one.path: content(one) for one in access(offline, wanted=wanted).inputs}
        (path,) = (path for path in found if path.endswith(".whl"))
        assert found[path] == wheel.read_bytes()
        assert set(found) == {path, "/build/in/index/simple/one/index.html"}

    def test_sdists_go_in_whole_up_to_a_limit(
        self, shelf: Shelf, offline: IndexSettings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = shelf("one", "1.0")
        (folder / "big-1.0.tar.gz").write_bytes(b"x" * 2000)
        found = {one.path for one in access(offline).inputs}
        assert "/build/in/index/files/big/0/big-1.0.tar.gz" in found
        monkeypatch.setattr(local_links, "COPY_LIMIT", 1000)
        with pytest.raises(ConfigInvalid, match="find-links"):
            access(offline)

    def test_a_wheel_without_metadata_is_left_to_pip(self, shelf: Shelf, offline: IndexSettings) -> None:
        folder = shelf("one", "1.0")
        (folder / "bad-1.0-py3-none-any.whl").write_bytes(b"no zip")
        found = {one.path: content(one) for one in access(offline).inputs}
        assert found["/build/in/index/files/bad/0/bad-1.0-py3-none-any.whl"] == b"no zip"

    def test_trees_join_the_index_and_absent_places_are_passed_over(self, tmp_path: Path) -> None:
        page = tmp_path / "simple/demo/index.html"
        page.parent.mkdir(parents=True)
        page.write_text(
            '<a href="https://files.example.com/demo-1.0-py3-none-any.whl#sha256=' + "a" * 64 + '">demo</a>'
        )
        trees = (page.parents[1].as_uri(), "file:///absent/simple")
        found = access(IndexSettings(URL, trees, find_links=("/absent", "https://links.example.com/")))
        assert config(found)["extra-index-url"] == ["file:///build/in/index/simple"]
        assert config(found)["find-links"] == ["https://links.example.com/"]
        (one,) = found.inputs
        assert f"https://files.example.com/demo-1.0-py3-none-any.whl#sha256={'a' * 64}".encode() in content(
            one
        )

    def test_links_cannot_break_out_of_the_page(self, tmp_path: Path) -> None:
        page = tmp_path / "simple/demo/index.html"
        page.parent.mkdir(parents=True)
        page.write_text(
            '<a href="https://files.example.com/demo-1.0-py3-none-any.whl" '
            'data-requires-python="&gt;3&quot;&gt;&lt;b&gt;">demo</a>'
        )
        (one,) = access(IndexSettings(URL, (page.parents[1].as_uri(),))).inputs
        assert b"<b>" not in content(one)
