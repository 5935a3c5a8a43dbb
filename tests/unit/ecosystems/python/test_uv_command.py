"""What a child of ours may see: settings in its environment, nothing secret in argv or in messages."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planton_build.ecosystems.python import uv_command
from planton_build.ecosystems.python.settings import IndexSettings
from planton_build.ecosystems.python.uv_command import cleaned, run_uv
from planton_build.errors import ToolFailed

SECRET = IndexSettings(
    "https://user:op%21en@index.example/simple",
    ("https://token-only@extra.example/simple",),
    ("https://user:other-one@links.example/",),
    proxy="http://me:proxypass@proxy.example:3128",
)


@pytest.fixture
def spy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a program in uv's place that prints its arguments and environment."""
    program = tmp_path / "uv"
    program.write_text(
        f"#!{sys.executable}\nimport json, os, sys\n"
        "print(json.dumps([sys.argv[1:], dict(os.environ)]))\n"
        "print('error: told about https://user:op%21en@index.example', file=sys.stderr)\n"
    )
    program.chmod(0o755)
    monkeypatch.setattr(uv_command, "uv_binary", lambda: str(program))
    return program


def test_settings_go_through_the_environment_and_only_what_is_needed_is_inherited(
    spy: Path, tmp_path: Path
) -> None:
    environment = {
        "PATH": "/bin",
        "HOME": "/home/me",
        "https_proxy": "http://old.example",
        "UV_CACHE_DIR": "/cache",
        "UV_RESOLUTION": "lowest",
        "UV_INDEX": "https://leak.example",
        "PIP_INDEX_URL": "https://leak.example",
        "AWS_SECRET_ACCESS_KEY": "leak",
        "PYTHONPATH": "/leak",
    }
    answer = run_uv(["pip", "compile"], folder=tmp_path, environment=environment, settings=SECRET)
    arguments, seen = json.loads(answer.output)
    assert arguments == ["pip", "compile", "--no-config", "--color", "never"]
    assert "leak" not in json.dumps(seen)
    expected = {
        "UV_DEFAULT_INDEX": "https://user:op%21en@index.example/simple",
        "UV_INDEX": "https://token-only@extra.example/simple",
        "UV_FIND_LINKS": "https://user:other-one@links.example/",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "UV_CACHE_DIR": "/cache",
        "UV_HTTP_TIMEOUT": "15",
        "UV_PYTHON_DOWNLOADS": "never",
        "HTTPS_PROXY": "http://me:proxypass@proxy.example:3128",
        "https_proxy": "http://me:proxypass@proxy.example:3128",
        "HOME": "/home/me",
    }
    assert {name: seen.get(name) for name in expected} == expected
    assert answer.explanation == "error: told about https://***@index.example"


def test_places_that_do_not_exist_are_left_out_and_paths_become_urls(spy: Path, tmp_path: Path) -> None:
    odd = tmp_path / "a, b"
    odd.mkdir()
    ours = IndexSettings(
        "https://index.example/simple",
        (f"file://{tmp_path}/gone", odd.as_uri()),
        (str(tmp_path / "gone"), str(odd), "https://links.example/a,b"),
        no_index=False,
        trusted_hosts=("a.example", "b.example:8080"),
        cert=tmp_path / "ca.pem",
        client_cert=tmp_path / "me.pem",
        proxy="",
        timeout=0.5,
    )
    _, seen = json.loads(
        run_uv([], folder=tmp_path, environment={"HTTP_PROXY": "http://old"}, settings=ours).output
    )
    assert seen["UV_INDEX"] == f"file://{tmp_path}/a%2C%20b"
    assert seen["UV_FIND_LINKS"] == f"file://{tmp_path}/a%2C%20b,https://links.example/a%2Cb"
    assert seen["UV_INSECURE_HOST"] == "a.example b.example:8080"
    assert seen["SSL_CERT_FILE"] == str(tmp_path / "ca.pem")
    assert seen["SSL_CLIENT_CERT"] == str(tmp_path / "me.pem")
    assert (seen["HTTP_PROXY"], seen["UV_HTTP_TIMEOUT"]) == ("", "1")


def test_without_an_index_none_is_named(spy: Path, tmp_path: Path) -> None:
    ours = IndexSettings("https://index.example", ("https://extra.example",), no_index=True)
    _, seen = json.loads(run_uv([], folder=tmp_path, environment={}, settings=ours).output)
    assert not {"UV_DEFAULT_INDEX", "UV_INDEX", "UV_FIND_LINKS"} & set(seen)


def test_a_uv_that_cannot_be_started_is_a_tools_failure(spy: Path, tmp_path: Path) -> None:
    spy.unlink()
    with pytest.raises(ToolFailed, match="cannot be started"):
        run_uv([], folder=tmp_path, environment={})


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Resolved 3 packages in 1ms\nwarning: old\nerror: no\n\n", "error: no"),
        ("at https://a:b@index.example/x?token=abc&x=1 end", "at https://***@index.example/x end"),
        ("said op!en and op%21en and other-one and proxypass", "said *** and *** and *** and ***"),
        ("user of /private/tmp/x/file and /private/tmp/x", "user of file and ."),
    ],
)
def test_messages_hold_no_noise_no_secret_and_no_private_path(text: str, shown: str) -> None:
    assert cleaned(text, SECRET, [Path("/private/tmp/x")]) == shown


@settings(deadline=None)
@given(st.text(), st.sampled_from(["op!en", "op%21en", "token-only", "other-one", "proxypass"]), st.text())
def test_no_secret_survives_anywhere_in_a_message(before: str, secret: str, after: str) -> None:
    assert secret not in cleaned(f"{before}{secret}{after}", SECRET, [])
