"""The embedded AWS itself: moto's WSGI application in a process of its own, as `server` starts it.

    python -m planton_build.local.child STATE_FOLDER

The process reads its token from its standard input, binds a loopback port that the kernel chooses, adds where
it is to the state file, and serves until it is told to stop, its state file is gone or names another server,
or nobody asked it for `IDLE_SECONDS`. Whoever finds the state file can check that it talks to this very
process (`identity`), and not to a program that got its port later: the answer is an HMAC over the caller's
nonce with the token of the state file.

moto is prepared in three ways. The account of a request is the access key id, when that is twelve digits (the
convention of LocalStack); moto itself would have one account, and refuses a function whose role is in
another. Layer versions can be registered by ARN (`LAYERS_PATH`), which AWS and moto have no call for. And a
function's image that is named by its digest has that digest, where moto hashes the name.

moto has no image registry. `REGISTRY_PATH` starts one beside it, which ends with this process.
"""

from __future__ import annotations

import hmac
import json
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import parse_qs

from planton_build.files import write_atomic
from planton_build.local.registry_keeper import Keeper, RegistryFailed, RegistryMissing

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
_ACCOUNT = re.compile(r"[ =]Credential=(\d{12})/")
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
    """moto's application behind the few paths and rules of ours; see the module's docstring."""

    def __init__(self, inner: Application, token: str, keeper: Keeper) -> None:
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
            return _register_layer(environ, start_response)
        if path == REGISTRY_PATH and environ.get("REQUEST_METHOD") == "POST":
            return _open_registry(self._keeper, start_response)
        if account := _ACCOUNT.search(environ.get("HTTP_AUTHORIZATION", "")):
            environ["HTTP_X_MOTO_ACCOUNT_ID"] = account[1]
        return self._inner(environ, start_response)


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


def _register_layer(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Make moto know the layer version `arn` for functions of `account` in `region`; its content is empty.

    PublishLayerVersion chooses the version number and the account itself, so a literal ARN of a manifest,
    most often of another account, cannot come into being through the API.
    """
    import moto.awslambda.models

    models: Any = moto.awslambda.models

    length = int(environ.get("CONTENT_LENGTH") or 0)
    if not 0 < length <= _PRIVATE_BODY_BYTES:
        return _answer(start_response, "400 Bad Request", "no body, or too long a body")
    wanted = json.loads(environ["wsgi.input"].read(length))
    arn: str = wanted["arn"]
    *_, owner, _, name, version = arn.split(":")
    # Private, because no call of moto chooses the version number; hence the upper bound on its version.
    layers = models.lambda_backends[wanted["account"]][wanted["region"]]._layers._layers  # noqa: SLF001
    made = models.LayerVersion({"LayerName": name, "Content": {"ZipFile": ""}}, owner, wanted["region"])
    layer = layers.setdefault(name, models.Layer(made))
    if version not in layer.layer_versions:
        layer.attach_version(made)
        del layer.layer_versions[str(made.version)]
        made.version = int(version)
        layer.layer_versions[version] = made
    return _answer(start_response, "200 OK", arn)


def name_images_by_digest() -> None:
    """Have moto tell the digest of a function's image where its name has one, as Lambda does."""
    import moto.awslambda.models

    function: Any = moto.awslambda.models.LambdaFunction
    set_code, get_code = function._set_function_code, function.get_code  # noqa: SLF001 - as for layers

    def set_function_code(self: Any, spec: dict[str, Any], *arguments: Any, **options: Any) -> None:
        set_code(self, spec, *arguments, **options)
        if digest := _digest_in(spec):
            self.code_sha_256 = digest

    def get(self: Any) -> dict[str, Any]:
        answer: dict[str, Any] = get_code(self)
        if _digest_in(self.code):
            answer["Code"]["ResolvedImageUri"] = self.code["ImageUri"]
        return answer

    function._set_function_code, function.get_code = set_function_code, get  # noqa: SLF001


def _digest_in(code: dict[str, Any]) -> str:
    return str(code.get("ImageUri") or "").partition("@sha256:")[2]


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
    server, application = _listen(token, keeper)
    # moto calls itself for a few services, and takes the port from here.
    os.environ["MOTO_PORT"] = str(server.server_port)
    if not token or _token(state_file) != token:
        return  # the command that started this process is gone, and another has started another
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


def _listen(token: str, keeper: Keeper) -> tuple[Any, LocalApplication]:
    """Return moto's server, bound to a free loopback port, and the application it serves."""
    import logging

    from moto.moto_server.werkzeug_app import (
        DomainDispatcherApplication,
        MotoRequestHandler,
        create_backend_app,
    )
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # one line per request helps nobody
    name_images_by_digest()
    application = LocalApplication(DomainDispatcherApplication(create_backend_app), token, keeper)
    server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=MotoRequestHandler)
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
