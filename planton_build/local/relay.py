"""A way from containers to the local AWS, which listens on loopback: an address of the engine for a while."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
from collections.abc import Iterator

_PIECE = 1 << 16


@contextlib.contextmanager
def relayed(port: int, address: str | None) -> Iterator[str | None]:
    """Give the URL at which a loopback port is reached on another address of this machine, within the block.

    None is given where that is no address of this machine, as with an engine that has a machine of its own.
    """
    server = _listening(port, address)
    if server is None:
        yield None
        return
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    with server:
        thread.start()
        try:
            yield f"http://{server.server_address[0]!s}:{server.server_address[1]}"
        finally:
            server.shutdown()


def _listening(port: int, address: str | None) -> _Relay | None:
    if address is None:
        return None
    try:
        return _Relay((address, 0), port)
    except OSError:
        return None


class _Relay(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, address: tuple[str, int], port: int) -> None:
        self.port = port
        super().__init__(address, _Connection)

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: a connection that breaks is between the function and the local AWS."""


class _Connection(socketserver.BaseRequestHandler):
    server: _Relay

    def handle(self) -> None:
        """Pass on bytes in both directions until both sides have ended."""
        with socket.create_connection(("127.0.0.1", self.server.port)) as inner:
            back = threading.Thread(target=_pass_on, args=(inner, self.request), daemon=True)
            back.start()
            _pass_on(self.request, inner)
            back.join()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while piece := source.recv(_PIECE):
            target.sendall(piece)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)
