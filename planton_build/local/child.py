"""The embedded AWS itself: Lambda of ours before moto, in a process of its own, as `server` starts it.

    python -m planton_build.local.child STATE_FOLDER

The process reads its token from its standard input, binds a loopback port that the kernel chooses, adds where
it is to the state file, and serves until it is told to stop, its state file is gone or names another server,
or nobody asked it for `IDLE_SECONDS`. Whoever finds the state file can check that it talks to this very
process (`identity`), and not to a program that got its port later: the answer is an HMAC over the caller's
nonce with the token of the state file.

Lambda is the `emulator`; all other services are moto's. The account of a request is the access key id, when
that is twelve digits (the convention of LocalStack). Layer versions can be registered by ARN (`LAYERS_PATH`),
which AWS has no call for. Invocations run the function for real (`runner`).

moto has no image registry. `REGISTRY_PATH` starts one beside it, which ends with this process.
"""

from __future__ import annotations

import hmac
import json
import os
import re
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import parse_qs

from planton_build.files import write_atomic
from planton_build.local.registry_keeper import Keeper, RegistryFailed, RegistryMissing

if TYPE_CHECKING:
    from planton_build.emulator.application import Application as Emulator

STATE_FILE = "server.json"
LOG_FILE = "server.log"
PRIVATE = "/_planton/"
IDENTITY_PATH = PRIVATE + "identity"
LAYERS_PATH = PRIVATE + "layers"
REGISTRY_PATH = PRIVATE + "registry"

IDLE_SECONDS = 24 * 3600
"""How long nobody asks before the process ends. What it holds lives in memory and is one command away, so a
forgotten one need not stay until the next boot."""
WATCH_SECONDS = 1.0
"""Between two looks at the state file, the log and the clock."""
LOG_BYTES = 1 << 20
"""Size at which the log starts anew."""
_PRIVATE_BODY_BYTES = 1 << 16
_HOST = re.compile(
    r"(?:(?:[a-z0-9.-]+\.)?(?:127\.0\.0\.1|localhost)|\d{1,3}(?:\.\d{1,3}){3})(?::\d+)?", re.IGNORECASE
)
"""Names of loopback; and addresses, by which containers come (`relay`): no web page's name is one."""

Environ: TypeAlias = dict[str, Any]
StartResponse: TypeAlias = Callable[[str, list[tuple[str, str]]], Any]
Application: TypeAlias = Callable[[Environ, StartResponse], Iterable[bytes]]


def proof(token: str, nonce: str, pid: int) -> str:
    """Return what the holder of `token` with process id `pid` answers to `nonce`, in hex."""
    return hmac.new(token.encode(), f"{nonce}:{pid}".encode(), "sha256").hexdigest()


class LocalApplication:
    """The emulator behind the few paths and rules of ours; see the module's docstring."""

    def __init__(self, inner: Emulator, token: str, keeper: Keeper) -> None:
        self._inner = inner
        self._token = token
        self._keeper = keeper
        self.last_request = time.monotonic()

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        # A web page can resolve its own host name to loopback; the Host header then still says that name.
        if not _HOST.fullmatch(environ.get("HTTP_HOST", "")):
            return _answer(start_response, "403 Forbidden", "this server answers on loopback names only")
        self.last_request = time.monotonic()
        path = environ.get("PATH_INFO", "")
        if path == IDENTITY_PATH:
            nonce = parse_qs(environ.get("QUERY_STRING", "")).get("nonce", [""])[0]
            return _answer(start_response, "200 OK", proof(self._token, nonce, os.getpid()))
        if path == LAYERS_PATH and environ.get("REQUEST_METHOD") == "POST":
            return self._register_layer(environ, start_response)
        if path == REGISTRY_PATH and environ.get("REQUEST_METHOD") == "POST":
            return _open_registry(self._keeper, start_response)
        return self._inner(environ, start_response)

    def _register_layer(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Make Lambda know the layer version `arn` for functions of `account` in `region`; it is empty.

        PublishLayerVersion chooses the version number and the account itself, so a literal ARN of a manifest,
        most often of another account, cannot come into being through the API.
        """
        from planton_build.emulator.registered_layers import register_layer_version

        length = int(environ.get("CONTENT_LENGTH") or 0)
        if not 0 < length <= _PRIVATE_BODY_BYTES:
            return _answer(start_response, "400 Bad Request", "no body, or too long a body")
        wanted = json.loads(environ["wsgi.input"].read(length))
        arn: str = wanted["arn"]
        region = self._inner.regions.get(wanted["account"], wanted["region"])
        with region.lock:
            register_layer_version(region, arn)
        return _answer(start_response, "200 OK", arn)


def _answer(start_response: StartResponse, status: str, text: str) -> Iterable[bytes]:
    body = text.encode()
    start_response(status, [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


def _open_registry(keeper: Keeper, start_response: StartResponse) -> Iterable[bytes]:
    """Answer with the address of the registry, which runs then."""
    try:
        return _answer(start_response, "200 OK", keeper.address())
    except RegistryMissing:
        return _answer(start_response, "501 Not Implemented", "no registry is installed")
    except (RegistryFailed, OSError) as error:
        return _answer(start_response, "503 Service Unavailable", str(error))


def main(arguments: list[str]) -> None:
    """Serve until told to stop."""
    state = Path(arguments[0])
    state_file = state / STATE_FILE
    token = sys.stdin.readline().strip()
    keeper = Keeper(state)

    def end(*_: object) -> None:
        keeper.close()  # first, because who stops this process waits until nobody listens on its port
        sys.exit(0)

    signal.signal(signal.SIGTERM, end)
    server, application = _listen(state, token, keeper)
    # moto calls itself for a few services, and takes the port from here.
    os.environ["MOTO_PORT"] = str(server.server_port)
    if not token or _token(state_file) != token:
        return  # the command that started this process is gone, and another has started another
    remove_copies(state)
    found = {"endpoint": f"http://127.0.0.1:{server.server_port}", "pid": os.getpid(), "token": token}
    write_atomic(state_file, json.dumps(found).encode(), mode=0o600)
    watch = threading.Thread(
        target=_watch, args=(state_file, token, application, server.shutdown), daemon=True
    )
    watch.start()
    try:
        server.serve_forever()
    finally:
        keeper.close()
        if _token(state_file) == token:
            state_file.unlink(missing_ok=True)


def remove_copies(state: Path) -> None:
    """Remove the copies of code that a local AWS of this state folder has left, when it was killed."""
    from planton_build.emulator.moto_world import COPIES

    for folder in state.glob(f"{COPIES}*"):
        shutil.rmtree(folder, ignore_errors=True)


def _listen(state: Path, token: str, keeper: Keeper) -> tuple[Any, LocalApplication]:
    """Return the server, bound to a free loopback port, and the application it serves."""
    from planton_build.emulator.application import Application
    from planton_build.emulator.moto_world import MotoWorld
    from planton_build.emulator.regions import Regions
    from planton_build.emulator.serve import listen, moto
    from planton_build.emulator.state import Behaviour
    from planton_build.local.runner import LocalRunner
    from planton_build.publish.ecr import is_ecr

    world = MotoWorld(
        strict=lambda: False,
        registry=lambda host: keeper.serving() if is_ecr(host) else None,
        folder=state,
    )
    runner = LocalRunner(state, keeper)
    behaviour = Behaviour(now=time.monotonic, strict_world=False)
    application = LocalApplication(Application(moto(), Regions(world, runner, behaviour)), token, keeper)
    server = listen(application)
    runner.endpoint = f"http://127.0.0.1:{server.server_port}"
    return server, application


def _watch(
    state_file: Path, token: str, application: LocalApplication, stop: Callable[[], None], log: int = 2
) -> None:
    """Stop the server when it is no longer the one that commands would find, or nobody uses it."""
    while _token(state_file) == token and time.monotonic() - application.last_request < IDLE_SECONDS:
        # Both streams are the log, opened for appending: after truncation they go on at its new end.
        if os.fstat(log).st_size > LOG_BYTES:
            os.ftruncate(log, 0)
        time.sleep(WATCH_SECONDS)
    stop()


def _token(state_file: Path) -> str | None:
    """Return the token of the server that the state file stands for, or None."""
    try:
        token = json.loads(state_file.read_bytes())["token"]
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return token if isinstance(token, str) else None


if __name__ == "__main__":
    main(sys.argv[1:])
