"""Attached layers are measured from their content, once, and count in the limit."""

from __future__ import annotations

import base64
import hashlib
import io
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from planton_build.cache import Store
from planton_build.errors import ConfigInvalid, HashMismatch, PublishFailed
from planton_build.publish.layers import fetch, known_size, measured_size

ARN = "arn:aws:lambda:eu-west-1:123456789012:layer:shared-fonts:4"


def zipped(size: int) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("python/fonts.bin", b"\0" * size)
    return out.getvalue()


class Shelf:
    """Serves one layer's content over HTTP, as S3 does, and counts how often it is asked."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.digest = base64.b64encode(hashlib.sha256(content).digest()).decode()
        self.requests = 0
        shelf = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                shelf.requests += 1
                self.send_response(200)
                self.send_header("Content-Length", str(len(shelf.content)))
                self.end_headers()
                self.wfile.write(shelf.content)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def aws(self) -> Any:
        """Lambda's part, which moto cannot play: it announces no address of a layer's content."""
        where = {"Location": f"http://127.0.0.1:{self.server.server_port}/layer", "CodeSha256": self.digest}
        client = SimpleNamespace(get_layer_version=lambda **_: {"Content": where})
        return SimpleNamespace(lambda_=lambda _region: client)


@pytest.fixture
def shelf() -> Iterator[Shelf]:
    made = Shelf(zipped(5_000_000))
    yield made
    made.server.shutdown()
    made.server.server_close()


def test_a_layer_counts_with_its_unzipped_size(shelf: Shelf, tmp_path: Path) -> None:
    assert len(shelf.content) < 50_000
    assert measured_size([ARN], shelf.aws, Store(tmp_path)) == 5_000_000


def test_a_layer_version_is_fetched_once(shelf: Shelf, tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert known_size([ARN], store) == (0, (ARN,))
    measured_size([ARN], shelf.aws, store)
    measured_size([ARN], shelf.aws, store)
    assert shelf.requests == 1
    assert known_size([ARN], store) == (5_000_000, ())


def test_content_that_is_not_what_the_service_announces_is_refused(shelf: Shelf, tmp_path: Path) -> None:
    shelf.content = zipped(4_000_000)
    with pytest.raises(HashMismatch, match="shared-fonts"):
        measured_size([ARN], shelf.aws, Store(tmp_path))


def test_an_arn_without_a_version_is_refused_by_name(shelf: Shelf, tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match="layer version"):
        measured_size([ARN.removesuffix(":4")], shelf.aws, Store(tmp_path))


@pytest.mark.parametrize("location", ["s3://", "file:///etc/passwd", "http://layers.example/x"])
def test_an_address_that_is_not_https_is_never_opened(location: str, tmp_path: Path) -> None:
    with pytest.raises(PublishFailed, match="no address"):
        fetch(location, tmp_path / "layer.zip", ARN)
