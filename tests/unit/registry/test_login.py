"""Logins are found where docker keeps them, helpers included, and never shown."""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from planton_build.errors import ImageUnavailable
from planton_build.registry.login import Login, docker_config, docker_login

SECRET = "s3cr3t-word"
LOGIN = Login.of("user", SECRET)


@pytest.fixture
def config(tmp_path: Path) -> Any:
    def write(**document: Any) -> Path:
        path = tmp_path / "config.json"
        path.write_text(json.dumps(document))
        return path

    return write


@pytest.fixture
def helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that puts `docker-credential-test` on the path; it writes down how it was called."""

    def make(script: str) -> Path:
        program = tmp_path / "bin" / "docker-credential-test"
        program.parent.mkdir()
        log = tmp_path / "called"
        program.write_text(
            f"#!{sys.executable}\nimport json, sys\nhost = sys.stdin.read()\n"
            f"open({str(log)!r}, 'a').write(json.dumps([sys.argv[1:], host]) + '\\n')\n{script}\n"
        )
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(program.parent), prepend=":")
        return log

    return make


GIVES = f"print(json.dumps({{'ServerURL': host, 'Username': 'user', 'Secret': {SECRET!r}}}))"


def auth(user: str = "user") -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:{SECRET}".encode()).decode()}


def test_a_login_in_the_configuration_is_found_by_its_host(config: Any) -> None:
    path = config(auths={"https://r.example:5000/v2/": auth(), "other.example": auth("other")})
    assert docker_login("r.example:5000", path)() == LOGIN
    assert docker_login("third.example", path)() is None
    assert docker_config(path) == {"r.example:5000": LOGIN, "other.example": Login.of("other", SECRET)}


@pytest.mark.parametrize("host", ["docker.io", "registry-1.docker.io"])
def test_docker_hub_is_known_by_all_its_names(config: Any, helper: Any, host: str) -> None:
    assert docker_login(host, config(auths={"https://index.docker.io/v1/": auth()}))() == LOGIN
    log = helper(GIVES)
    assert docker_login(host, config(credsStore="test"))() == LOGIN
    assert json.loads(log.read_text())[1] == "https://index.docker.io/v1/"


@pytest.mark.parametrize("document", [{"credsStore": "test"}, {"credHelpers": {"r.example": "test"}}])
def test_a_helper_is_asked_when_a_login_is_needed_and_each_time(
    config: Any, helper: Any, document: Any
) -> None:
    log = helper(GIVES)
    login = docker_login("r.example", config(auths={"r.example": {}}, **document))
    assert not log.exists()
    assert login() == login() == LOGIN
    assert [json.loads(line) for line in log.read_text().splitlines()] == [[["get"], "r.example"]] * 2


def test_the_helper_of_another_registry_is_not_run(config: Any, helper: Any) -> None:
    log = helper(GIVES)
    assert docker_login("r.example", config(credHelpers={"other.example": "test"}))() is None
    assert not log.exists()


@pytest.mark.parametrize(
    "script",
    [
        "print('credentials not found in native keychain'); sys.exit(1)",
        "print('no json')",
        "print('[]')",
        "print('{}')",
        "print(json.dumps({'Username': '<token>', 'Secret': 'x'}))",
        "print(json.dumps({'Username': 3, 'Secret': None}))",
        "print('[' * 100000)",
    ],
)
def test_a_helper_without_a_login_means_none_or_what_is_written(
    config: Any, helper: Any, script: str
) -> None:
    helper(script)
    assert docker_login("r.example", config(credsStore="test"))() is None
    assert docker_login("r.example", config(credsStore="test", auths={"r.example": auth()}))() == LOGIN


@pytest.mark.parametrize("name", ["missing", "../test", "a b", "", 3, None, ["test"]])
def test_a_helper_that_is_none_is_not_run(config: Any, helper: Any, name: Any) -> None:
    log = helper(GIVES)
    assert docker_login("r.example", config(credsStore=name))() is None
    assert not log.exists()


@pytest.mark.parametrize("content", ["{", "[]", '{"auths": []}', '{"auths": 3}', "[" * 100_000])
def test_a_broken_configuration_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "config.json"
    path.write_text(content)
    with pytest.raises(ImageUnavailable, match="docker's configuration") as caught:
        docker_login("r.example", path)
    assert caught.value.findings[0].file == path


def test_no_configuration_means_no_login(tmp_path: Path) -> None:
    assert docker_login("r.example", tmp_path / "none")() is None


def test_a_login_does_not_show_its_password() -> None:
    assert SECRET not in repr(LOGIN)
    assert LOGIN.basic not in repr(LOGIN)
