from __future__ import annotations

import io
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from planton_build.emulator.layers import layer_version
from planton_build.emulator.regions import Regions
from planton_build.local import child
from planton_build.local.child import IDENTITY_PATH, LAYERS_PATH, LocalApplication, proof
from planton_build.local.registry_keeper import Keeper


class Inner:
    """Stands where the emulator is and remembers what it was asked."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []
        self.regions: Any = None

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        self.seen.append(environ)
        start_response("200 OK", [])
        return [b"moto"]


def ask(application: LocalApplication, path: str = "/", **environ: Any) -> tuple[str, bytes]:
    status: list[str] = []
    path, _, query = path.partition("?")
    body = application(
        {
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": "GET",
            "HTTP_HOST": "127.0.0.1:5",
            "wsgi.input": io.BytesIO(),
            **environ,
        },
        lambda line, _: status.append(line),
    )
    return status[0], b"".join(body)


def test_it_proves_who_it_is_with_the_callers_nonce() -> None:
    application = LocalApplication(Inner(), "secret", Keeper(Path("unused")))
    assert ask(application, f"{IDENTITY_PATH}?nonce=abc")[1] == proof("secret", "abc", os.getpid()).encode()
    assert ask(application, f"{IDENTITY_PATH}?nonce=abd")[1] != proof("secret", "abc", os.getpid()).encode()
    assert proof("other", "abc", 1) != proof("secret", "abc", 1)
    assert proof("secret", "abc", 1) != proof("secret", "abc", 2)


def test_a_layer_version_comes_into_being_by_its_arn() -> None:
    regions = Regions(world=None, runner=None)  # type: ignore[arg-type] - neither is asked
    inner = Inner()
    inner.regions = regions
    application = LocalApplication(inner, "secret", Keeper(Path("unused")))
    foreign = "arn:aws:lambda:eu-west-1:017000801446:layer:Powertools:7"
    own = "arn:aws:lambda:eu-west-1:111122223333:layer:own:3"
    for arn in (foreign, own, foreign):
        body = json.dumps({"arn": arn, "account": "111122223333", "region": "eu-west-1"}).encode()
        answer = ask(
            application,
            LAYERS_PATH,
            REQUEST_METHOD="POST",
            CONTENT_LENGTH=str(len(body)),
            **{"wsgi.input": io.BytesIO(body)},
        )
        assert answer == ("200 OK", arn.encode())
    region = regions.get("111122223333", "eu-west-1")
    assert layer_version(region, foreign)["LayerVersionArn"] == foreign  # type: ignore[index]
    assert layer_version(region, own)["Version"] == 3  # type: ignore[index]
    assert layer_version(region, own.replace(":3", ":2")) is None


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "localhost.evil", ""]
)
def test_a_web_page_that_rebound_its_name_gets_nothing(host: str) -> None:
    inner = Inner()
    assert ask(LocalApplication(inner, "secret", Keeper(Path("unused"))), HTTP_HOST=host)[0].startswith("403")
    assert inner.seen == []


@pytest.mark.parametrize(
    "host", ["127.0.0.1:43", "localhost:43", "localhost", "bucket.localhost:43", "172.17.0.1:43"]
)
def test_loopback_names_and_addresses_are_served(host: str) -> None:
    assert ask(LocalApplication(Inner(), "secret", Keeper(Path("unused"))), HTTP_HOST=host) == (
        "200 OK",
        b"moto",
    )


def test_every_request_counts_as_use() -> None:
    application = LocalApplication(Inner(), "secret", Keeper(Path("unused")))
    application.last_request = -1.0
    ask(application)
    assert application.last_request >= 0


@pytest.fixture
def state_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state file that is gone after the watcher has slept once."""
    file = tmp_path / "server.json"
    file.write_text(json.dumps({"token": "secret"}))
    monkeypatch.setattr(child.time, "sleep", lambda _: file.unlink())
    return file


def test_a_server_that_nobody_uses_ends(state_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    application = LocalApplication(Inner(), "secret", Keeper(Path("unused")))
    application.last_request -= child.IDLE_SECONDS + 1
    stopped: list[bool] = []
    child._watch(state_file, "secret", application, lambda: stopped.append(True))
    assert stopped == [True]
    assert state_file.exists()  # it did not wait


def test_the_log_is_bounded(state_file: Path, tmp_path: Path) -> None:
    log = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(log, bytes(child.LOG_BYTES + 1))
    child._watch(
        state_file, "secret", LocalApplication(Inner(), "secret", Keeper(Path("unused"))), lambda: None, log
    )
    os.write(log, b"goes on")
    os.close(log)
    assert (tmp_path / "log").read_bytes() == b"goes on"
