"""A local TCP proxy in front of a server, which counts the bytes that clients send through it."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
from collections.abc import Iterator
from dataclasses import dataclass

_PIECE = 1 << 18


@dataclass
class Traffic:
    """Where the proxy listens, and how many bytes clients have sent to it."""

    port: int
    sent: int = 0


@contextlib.contextmanager
def counting_bytes(port: int) -> Iterator[Traffic]:
    """Give a port of this machine that stands for `port`."""
    guard = threading.Lock()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.create_connection(("127.0.0.1", port)) as behind:
                back = threading.Thread(target=pump, args=(behind, self.request, False), daemon=True)
                back.start()
                pump(self.request, behind, True)
                back.join()

    def pump(source: socket.socket, sink: socket.socket, counted: bool) -> None:
        with contextlib.suppress(OSError):
            while piece := source.recv(_PIECE):
                if counted:
                    with guard:
                        traffic.sent += len(piece)
                sink.sendall(piece)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as server:
        traffic = Traffic(server.server_address[1])
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield traffic
        finally:
            server.shutdown()
            thread.join()
