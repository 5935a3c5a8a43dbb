from __future__ import annotations

import http.server
import threading
from collections.abc import Callable, Iterator

import pytest

from planton_build.errors import ConfigInvalid, LocalServerFailed, LocalUnavailable
from planton_build.local.registry import VARIABLE, local_registries
from planton_build.local.server import LocalAws

HOST = "111122223333.dkr.ecr.eu-west-1.amazonaws.com"
NOBODY = LocalAws("http://127.0.0.1:1", "us-east-1", 1)

Answering = Callable[[int, str], LocalAws]


@pytest.fixture
def answering() -> Iterator[Answering]:
    """Return a function that makes a local AWS which answers whatever it is asked in one way."""
    servers: list[http.server.ThreadingHTTPServer] = []

    def serve(status: int, text: str) -> LocalAws:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                asked.append(self.path)
                self.send_response(status)
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_: object) -> None: ...

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return LocalAws(f"http://127.0.0.1:{server.server_port}", "us-east-1", 1)

    asked: list[str] = []
    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


def test_every_registry_of_ecr_has_one_address_which_is_asked_for_once(answering: Answering) -> None:
    served_by = local_registries(answering(200, "http://127.0.0.1:5001"), {})
    assert served_by(HOST) == "http://127.0.0.1:5001"
    assert served_by("999988887777.dkr.ecr.cn-north-1.amazonaws.com.cn") == "http://127.0.0.1:5001"


def test_other_registries_answer_for_themselves_and_nothing_is_started() -> None:
    served_by = local_registries(NOBODY, {})
    assert served_by("public.ecr.aws") is None
    assert served_by("127.0.0.1:5000") is None
    assert served_by(f"{HOST}.evil.example") is None


@pytest.mark.parametrize("url", ["http://127.0.0.1:5000", "http://127.0.0.1:5000/", " https://r.example "])
def test_a_registry_that_the_user_names_is_taken(url: str) -> None:
    assert local_registries(NOBODY, {VARIABLE: url})(HOST) == url.strip().rstrip("/")


@pytest.mark.parametrize(
    "url",
    ["127.0.0.1:5000", "ftp://r", "http://", "http://a:b@r", "http://r/path", "http://r:x", "http://r?q"],
)
def test_what_is_no_address_is_refused_without_being_repeated(url: str) -> None:
    with pytest.raises(ConfigInvalid, match=f"^{VARIABLE} is no address of a registry$"):
        local_registries(NOBODY, {VARIABLE: url})(HOST)


def test_without_a_program_the_error_says_what_to_install(answering: Answering) -> None:
    with pytest.raises(LocalUnavailable, match="docker-registry is not installed") as caught:
        local_registries(answering(501, ""), {})(HOST)
    hint = caught.value.hint or ""
    assert "apt install docker-registry" in hint
    assert VARIABLE in hint
    assert "--no-publish" in hint


@pytest.mark.parametrize(
    ("status", "message"),
    [(503, "does not start: the disk is full"), (404, "of an older version and has no image registry")],
)
def test_a_registry_that_does_not_start_says_why(answering: Answering, status: int, message: str) -> None:
    with pytest.raises(LocalServerFailed, match=message):
        local_registries(answering(status, "the disk is full"), {})(HOST)


def test_a_local_aws_that_went_away_is_told() -> None:
    with pytest.raises(LocalServerFailed, match="stopped answering"):
        local_registries(NOBODY, {})(HOST)
