"""A local HTTP proxy in front of an endpoint, which counts the requests that go through it."""

from __future__ import annotations

import contextlib
import http.client
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

_HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade"})


@contextlib.contextmanager
def counting(endpoint: str) -> Iterator[tuple[str, Counter[str]]]:
    """Give an endpoint that stands for `endpoint`, and the number of requests by method."""
    counts: Counter[str] = Counter()
    behind = urlsplit(endpoint).netloc

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _pass_on(self) -> None:
            counts[self.command] += 1
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            connection = http.client.HTTPConnection(behind, timeout=60)
            with contextlib.closing(connection):
                connection.request(self.command, self.path, body, dict(self.headers))
                answer = connection.getresponse()
                content = answer.read()
            self.send_response_only(answer.status, answer.reason)
            # The length of a HEAD's answer is that of the object, not of what is sent.
            length = answer.headers.get("Content-Length") if self.command == "HEAD" else str(len(content))
            for name, value in answer.headers.items():
                if name.lower() not in _HOP_BY_HOP | {"content-length"}:
                    self.send_header(name, value)
            if length is not None:
                self.send_header("Content-Length", length)
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _pass_on  # noqa: N815  # http.server's names

        def log_message(self, *_: object) -> None:
            """Say nothing: the counts are the result."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", counts
        finally:
            server.shutdown()
            thread.join()
