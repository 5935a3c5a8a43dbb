"""What pip would use here, asked from the real pip."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from planton_build.ecosystems.python import settings as module
from planton_build.ecosystems.python.settings import IndexSettings, read_pip_settings, redacted
from planton_build.errors import ConfigInvalid, ToolFailed


@pytest.fixture
def pip_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Take away this machine's pip configuration and write another."""
    for name in list(os.environ):
        if name.startswith("PIP_") or name.endswith("_CA_BUNDLE"):
            monkeypatch.delenv(name)
    empty = tmp_path / "home"
    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_CONFIG_DIRS"):
        monkeypatch.setenv(name, str(empty))
    file = tmp_path / "pip.conf"

    def write(text: str) -> None:
        file.write_text(text)
        monkeypatch.setenv("PIP_CONFIG_FILE", str(file))

    return write


def test_options_come_from_pips_file_with_install_before_global(
    pip_configuration: Callable[[str], None],
) -> None:
    pip_configuration(
        "[global]\n"
        "index-url = https://index.example/simple\n"
        "extra-index-url =\n    https://one.example/simple\n    https://two.example/simple\n"
        "trusted-host = one.example two.example\n"
        "find-links = /wheels\n"
        "timeout = 7\n"
        "[install]\n"
        "index-url = https://install.example/simple\n"
    )

    found = read_pip_settings()

    assert found.index_urls == (
        "https://install.example/simple",
        "https://one.example/simple",
        "https://two.example/simple",
    )
    assert found.trusted_hosts == ("one.example", "two.example")
    assert "/wheels" in found.find_links
    assert found.timeout == 7.0


def test_the_environment_wins_over_the_file(
    pip_configuration: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    pip_configuration("[install]\nindex-url = https://file.example/simple\nproxy = http://proxy.example:1\n")
    monkeypatch.setenv("PIP_INDEX_URL", "https://env.example/simple")
    monkeypatch.setenv("PIP_KEYRING_PROVIDER", "disabled")
    monkeypatch.setenv("PIP_CLIENT_CERT", "/certificates/client.pem")

    found = read_pip_settings()

    assert found.index_url == "https://env.example/simple"
    assert found.proxy == "http://proxy.example:1"
    assert found.keyring is False
    assert found.client_cert == Path("/certificates/client.pem")


def test_without_any_option_the_index_is_pips_own(pip_configuration: Callable[[str], None]) -> None:
    from pip._internal.models.index import PyPI

    pip_configuration("[global]\nindex-url =\n")

    assert read_pip_settings().index_url == PyPI.simple_url


def test_the_bundle_of_pips_http_library_counts_unless_pip_names_one(
    pip_configuration: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    pip_configuration("[global]\ncert =\n")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/certificates/company.pem")
    assert read_pip_settings().cert == Path("/certificates/company.pem")

    monkeypatch.setenv("PIP_CERT", "/certificates/pip.pem")
    assert read_pip_settings().cert == Path("/certificates/pip.pem")


def test_overrides_are_applied_to_what_pip_says(pip_configuration: Callable[[str], None]) -> None:
    class Overrides:
        def applied_to(self, settings: IndexSettings) -> IndexSettings:
            return replace(settings, find_links=(*settings.find_links, "/more"))

    pip_configuration("[global]\nfind-links = /wheels\n")

    assert read_pip_settings(Overrides()).find_links[-1] == "/more"


def test_no_index_leaves_no_index_to_ask(pip_configuration: Callable[[str], None]) -> None:
    pip_configuration("[global]\nno-index = true\nextra-index-url = https://one.example/simple\n")

    assert read_pip_settings().index_urls == ()


def test_a_value_that_pip_refuses_is_a_configuration_error(pip_configuration: Callable[[str], None]) -> None:
    pip_configuration("[global]\nno-index = perhaps\n")

    with pytest.raises(ConfigInvalid, match="perhaps"):
        read_pip_settings()


def test_a_python_without_pip_is_a_tool_error(
    tmp_path: Path, pip_configuration: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    pip_configuration("")
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S "$@"\n')
    bare.chmod(0o755)
    monkeypatch.setattr(module.sys, "executable", str(bare))

    with pytest.raises(ToolFailed, match="pip is not usable"):
        read_pip_settings()


def test_credentials_never_show() -> None:
    secret = "https://user:hunter2@index.example/simple?token=hunter2#hunter2"
    settings = IndexSettings(secret, (secret,), (secret,), proxy=secret)

    assert "hunter2" not in repr(settings)
    assert redacted(secret) == "https://index.example/simple"
