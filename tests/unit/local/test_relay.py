from __future__ import annotations

import http.client
import http.server
import threading
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from planton_build.local.relay import relayed


@pytest.fixture
def port() -> Iterator[int]:
    class Echo(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def ask(url: str, body: bytes) -> bytes:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
    try:
        connection.request("POST", "/", body)
        return connection.getresponse().read()
    finally:
        connection.close()


def test_large_requests_and_answers_go_through_while_it_is_open(port: int) -> None:
    body = bytes(range(256)) * 20_000
    with relayed(port, "127.0.0.1") as url:
        assert url is not None
        assert urlsplit(url).port != port
        assert ask(url, body) == body
    with pytest.raises(ConnectionRefusedError):
        ask(url, b"")


@pytest.mark.parametrize("address", [None, "192.0.2.1"])
def test_an_address_of_another_machine_gives_none(port: int, address: str | None) -> None:
    with relayed(port, address) as url:
        assert url is None
