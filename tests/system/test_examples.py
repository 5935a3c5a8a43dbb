"""The examples: built as they are, and deployed and invoked for real on the local AWS.

To be invoked they are built for this host's architecture, in a copy whose manifests and locks are changed for
it. A function with native code needs its Python minor version on this host; where that is absent, the copy's
runtime is set to the minor version of the Python that runs the tests.
"""

from __future__ import annotations

import ast
import base64
import http.server
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import threading
import tomllib
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from planton_build.cache import Store
from planton_build.local.clients import local_client
from planton_build.local.interpreters import find_interpreter
from planton_build.local.runnable import this_host
from planton_build.local.server import status

pytestmark = [
    pytest.mark.network,
    # One worker for all: they share one local AWS, and building twice would cost more than it gains.
    pytest.mark.xdist_group("examples"),
    pytest.mark.skipif(sys.platform == "win32", reason="Linux functions, Unix paths"),
]

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
IN_CONTAINERS = {"analytics-job", "checksum", "ffmpeg-thumbnailer"}
"""Examples that need a container engine or a base image; tests/system/containers has them."""
MANIFESTS = {
    path.parent.name: path.relative_to(EXAMPLES)
    for path in sorted(EXAMPLES.rglob("lambda.yaml"))
    if path.parent.name not in IN_CONTAINERS
}
FOLDERS = sorted({path.parts[0] for path in MANIFESTS.values()})
LIMIT = 262_144_000
"""Lambda's limit for a function and its layers, unzipped, in bytes (docs.aws.amazon.com: Lambda quotas)."""
HOST = {"x86_64": "X86_64", "aarch64": "ARM64"}.get(this_host().machine)
FOREIGN = "http-api" if HOST == "ARM64" else "image-processor"
"""An example whose native code this host cannot run."""
on_linux = pytest.mark.skipif(
    sys.platform != "linux" or HOST is None,
    reason="the functions' native code runs on x86_64 and arm64 Linux",
)

API = {"pydantic", "pydantic-core", "python-dateutil"}
WORKER = {"requests", "tenacity", "urllib3"}
REPORT = {"jinja2", "markupsafe", "tabulate"}
PACKAGES = {
    "analytics": {"numpy", "pandas", "pyarrow", "python-dateutil", "pytz", "tzdata"},
    "http-api": {"http-api", "httpx", "pydantic", "pydantic-core"},
    "image-processor": {"pillow"},
    "price-tag": {"babel"},
    **dict.fromkeys(("cart", "catalog", "checkout", "customers", "orders"), API),
    **dict.fromkeys(("notify", "resize-queue", "stock-sync", "webhooks"), WORKER),
    **dict.fromkeys(("daily-report", "invoices", "weekly-report"), REPORT),
}
NEVER = re.compile(
    r"(__pycache__/.*|\.env.*|lambda\.yaml|planton\.toml|pyproject\.toml|.*\.lock"
    r"|requirements.*|README\.md|event.*\.json)"
)
"""What no artifact of an example holds of its sources: left out by default, or by the example. Packages may
hold such files: numpy's wheel brings bytecode."""


def environment(folder: Path) -> dict[str, str]:
    """Return this process's variables with a store and a local AWS below `folder`, and no other settings."""
    own = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PLANTON_", "GITHUB_", "AWS_"))
    }
    return own | {"PLANTON_CACHE_DIR": str(folder / "store"), "PLANTON_STATE_DIR": str(folder / "state")}


def command(program: str, *arguments: str, folder: Path, place: Path) -> subprocess.CompletedProcess[str]:
    """Run `planton-build` or `planton-deploy` in `place`, with the store and the state below `folder`."""
    main = f"from planton_build.cli.{program.removeprefix('planton-')} import main; main()"
    return subprocess.run(
        [sys.executable, "-c", main, *arguments],
        cwd=place,
        env=environment(folder),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


def well(*arguments: str, folder: Path, place: Path) -> str:
    """Run a command that has to succeed, and return what it prints."""
    done = command(*arguments, folder=folder, place=place)
    assert done.returncode == 0, f"{arguments} in {place}: exit {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


# As they are.

Built = tuple[Path, dict[str, Any]]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, build: Any) -> dict[str, Built]:
    """Return the artifact and the report of every example, with what a working copy tends to have besides."""
    folder = tmp_path_factory.mktemp("as-they-are")
    shutil.copytree(EXAMPLES, folder / "examples", ignore=shutil.ignore_patterns(*IN_CONTAINERS))
    for manifest in MANIFESTS.values():
        place = (folder / "examples" / manifest).parent
        (place / ".env").write_text("TOKEN=secret\n")
        (place / "__pycache__").mkdir(exist_ok=True)
        (place / "__pycache__" / "app.cpython-311.pyc").write_bytes(b"bytecode")
    reports = build(folder / "examples", store=folder / "store")
    store = Store(folder / "store")
    return {name: (store.blob("artifacts", report["sha256"]), report) for name, report in reports.items()}


def test_every_example_is_known_here() -> None:
    assert set(MANIFESTS) == set(PACKAGES)
    assert FOLDERS == ["analytics", "http-api", "image-processor", "monorepo", "price-tag"]
    assert len([path for path in MANIFESTS.values() if path.parts[0] == "monorepo"]) == 12


@pytest.mark.parametrize("folder", FOLDERS)
def test_an_example_says_what_it_is(folder: str) -> None:
    text = (EXAMPLES / folder / "README.md").read_text(encoding="utf-8")
    assert text.startswith(f"# {folder}\n")
    for payload in re.findall(r"--payload @(\S+)", text):
        json.loads((EXAMPLES / folder / payload).read_text(encoding="utf-8"))


def test_the_locks_are_up_to_date(tmp_path: Path) -> None:
    folders = [str(EXAMPLES / name) for name in FOLDERS]
    shown = json.loads(
        well("planton-build", "lock", "--check", "--json", *folders, folder=tmp_path, place=EXAMPLES)
    )
    states = {row["function_name"]: row["state"] for row in shown["locks"]}
    assert states == dict.fromkeys(PACKAGES, "up to date") | {"analytics": "locked already"}


@pytest.mark.parametrize(
    "lock",
    [*EXAMPLES.rglob("*.lock"), EXAMPLES / "analytics" / "requirements.txt"],
    ids=lambda path: str(path.relative_to(EXAMPLES)),
)
def test_a_lock_holds_every_hash_and_no_place(lock: Path) -> None:
    text = lock.read_text(encoding="utf-8")
    pins = re.split(r"^(?=[a-z0-9])", re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE), flags=re.MULTILINE)
    assert len(pins) > 1
    for pin in filter(str.strip, pins):
        assert re.fullmatch(r"[a-z0-9-]+==[a-z0-9.]+( \\\n    --hash=sha256:[0-9a-f]{64})+\s*", pin), pin
    assert "://" not in text
    assert not re.search(r"--(extra-)?index|--find-links|--trusted|\bhost", text)


@pytest.mark.parametrize("name", PACKAGES)
def test_an_example_is_built_with_what_it_needs_and_no_more(name: str, built: dict[str, Built]) -> None:
    archive, report = built[name]
    assert {package["name"] for package in report["packages"]} >= PACKAGES[name]
    with zipfile.ZipFile(archive) as opened:
        names = opened.namelist()
        assert report["unzipped_size"] == sum(info.file_size for info in opened.infolist()) <= LIMIT
        assert [path for path in names if NEVER.fullmatch(path)] == []
        handler = re.search(r"^ +handler: (.+)$", (EXAMPLES / MANIFESTS[name]).read_text(), re.MULTILINE)
        assert handler is not None
        module, _, function = handler[1].rpartition(".")
        source = opened.read(f"{module.replace('.', '/')}.py")
    defined = [node.name for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)]
    assert function in defined


def test_analytics_is_near_the_limit(built: dict[str, Built]) -> None:
    assert 0.8 * LIMIT < built["analytics"][1]["unzipped_size"] <= LIMIT


def test_functions_that_share_requirements_have_the_same_packages(built: dict[str, Built]) -> None:
    packages = {name: report["packages"] for name, (_, report) in built.items()}
    for first, *others in (
        ("cart", "orders", "customers"),
        ("notify", "webhooks"),
        ("invoices", "daily-report"),
    ):
        assert all(packages[other] == packages[first] for other in others)
    assert len({report["sha256"] for _, report in built.values()}) == len(PACKAGES)


# Deployed and invoked.


@dataclass
class Service:
    """The HTTP services that functions call, and what they were asked: (method, path and query, body)."""

    url: str
    asked: list[tuple[str, str, bytes]] = field(default_factory=list)


STOCK = {"A-1": 3, "B-7": 1}


class Answering(http.server.BaseHTTPRequestHandler):
    """Answers as the stock, the supplier, the chat, the image service and the partner would."""

    def respond(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        self.server.service.asked.append((self.command, self.path, body))  # type: ignore[attr-defined]
        status, answer = self.answer(urlsplit(self.path).path, body)
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = respond  # noqa: N815  (http.server looks for these names)

    def answer(self, path: str, body: bytes) -> tuple[int, object]:
        if path == "/stock":
            wanted = parse_qs(urlsplit(self.path).query)["sku"]
            return (500, None) if "broken" in wanted else (200, STOCK)
        if path == "/supplier.example/levels":
            return 200, {"tea": 120, "pot": 3, "cup": 8}
        if path == "/images.example/thumbnails":
            return (404 if b"missing" in body else 201), None
        known = {"/chat.example/hooks/shop": 204, "/partner.example/events": 202}
        return known.get(path, 404), None

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
        made = Service(f"http://127.0.0.1:{server.server_address[1]}")
        server.service = made  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield made
        server.shutdown()
        thread.join()


@dataclass(frozen=True)
class Deployed:
    """The examples in a local AWS of their own."""

    folder: Path

    @property
    def examples(self) -> Path:
        return self.folder / "examples"

    def invoke(self, name: str, event: object = None) -> Any:
        """Invoke a function through `planton-deploy invoke` and return its answer.

        The event is `event.json` unless another is given.
        """
        payload = self.examples / MANIFESTS[name].with_name("event.json")
        if event is not None:
            payload = self.folder / "event.json"
            payload.write_text(json.dumps(event))
        arguments = ("invoke", name, "--local", "--payload", f"@{payload}", "--json")
        place = self.examples / MANIFESTS[name].parts[0]
        answer = json.loads(well("planton-deploy", *arguments, folder=self.folder, place=place))
        assert answer["error"] is None, answer
        return answer["payload"]

    def s3(self) -> Any:
        """Return a client of the local S3, in the account and region of image-processor."""
        local = status(self.folder / "state")
        assert local is not None
        return local_client(local, "s3", "us-east-1", "123456789012")


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory, service: Service) -> Iterator[Deployed]:
    """Build every example for this host, publish and deploy it."""
    made = Deployed(tmp_path_factory.mktemp("deployed"))
    shutil.copytree(EXAMPLES, made.examples, ignore=shutil.ignore_patterns(*IN_CONTAINERS))
    for path in made.examples.rglob("lambda.yaml"):
        path.write_text(for_this_host(path.read_text(), service.url))
    for step in (("planton-build", "lock"), ("planton-build", "--local"), ("planton-deploy", "--local")):
        well(*step, folder=made.folder, place=made.examples)
    yield made
    well("planton-deploy", "local", "stop", folder=made.folder, place=made.examples)
    assert not (made.folder / "state" / "server.json").exists()


def for_this_host(manifest: str, services: str) -> str:
    """Set architecture, runtime and the services' URLs of a manifest."""

    def runtime(found: re.Match[str]) -> str:
        here = find_interpreter((3, int(found[1])))
        return f"runtime: python3.{found[1] if here else sys.version_info[1]}"

    text = re.sub(r"architecture: \w+", f"architecture: {HOST}", manifest)
    text = re.sub(r"runtime: python3\.(\d+)", runtime, text)
    text = text.replace('STOCK_URL: ""', f'STOCK_URL: "{services}/stock"')
    return re.sub(r"https://(\w+\.example)/", rf"{services}/\1/", text)


@on_linux
def test_price_tag_answers(deployed: Deployed) -> None:
    assert deployed.invoke("price-tag") == {"price": "1.299,90\xa0€", "date": "23. November 2026"}
    british = deployed.invoke("price-tag", {"price": "5", "currency": "GBP", "date": "2024-02-29"})
    assert british == {"price": "£5.00", "date": "29 February 2024"}


@on_linux
def test_image_processor_makes_a_thumbnail_of_the_events_picture(deployed: Deployed) -> None:
    small = base64.b64decode(deployed.invoke("image-processor")["jpeg"])
    assert jpeg_size(small) == (32, 24)
    event = {"picture": base64.b64encode(picture(300, 900)).decode()}
    assert jpeg_size(base64.b64decode(deployed.invoke("image-processor", event)["jpeg"])) == (107, 320)


@on_linux
def test_image_processor_makes_thumbnails_of_uploads(deployed: Deployed) -> None:
    s3 = deployed.s3()
    for bucket in ("acme-uploads", "acme-thumbnails"):
        s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket="acme-uploads", Key="summer 2026/méliès.png", Body=picture(800, 600))
    event = json.loads((EXAMPLES / "image-processor" / "event-s3.json").read_text())
    (answer,) = deployed.invoke("image-processor", event)
    assert (answer["bucket"], answer["key"]) == ("acme-thumbnails", "summer 2026/méliès.jpg")
    stored = s3.get_object(Bucket="acme-thumbnails", Key="summer 2026/méliès.jpg")
    small = stored["Body"].read()
    assert (stored["ContentType"], len(small)) == ("image/jpeg", answer["bytes"])
    assert jpeg_size(small) == (320, 240)


@on_linux
def test_http_api_takes_an_order_that_is_in_stock(deployed: Deployed, service: Service) -> None:
    service.asked.clear()
    answer = deployed.invoke("http-api")
    assert answer["statusCode"] == 201
    assert json.loads(answer["body"]) == {"customer": "Ada", "total": "44.90"}
    assert service.asked == [("GET", "/stock?sku=A-1&sku=B-7", b"")]


@on_linux
@pytest.mark.parametrize(
    ("lines", "status", "body"),
    [
        ([("A-1", 3), ("B-7", 2)], 409, {"error": "out of stock", "skus": ["B-7"]}),
        ([("broken", 1)], 503, {"error": "the stock is unknown"}),
        ([], 422, None),
    ],
)
def test_http_api_refuses_an_order(
    lines: Sequence[tuple[str, int]], status: int, body: object, deployed: Deployed
) -> None:
    order = {
        "customer": "Ada",
        "lines": [{"sku": sku, "quantity": count, "unit_price": 1} for sku, count in lines],
    }
    encoded = base64.b64encode(json.dumps(order).encode()).decode()
    event = {"rawPath": "/orders", "body": encoded, "isBase64Encoded": True}
    answer = deployed.invoke("http-api", event)
    assert answer["statusCode"] == status
    found = json.loads(answer["body"])
    assert found == body if body else found[0]["loc"] == ["lines"]


@on_linux
def test_http_api_tells_the_version_of_its_own_wheel(deployed: Deployed) -> None:
    event = json.loads((EXAMPLES / "http-api" / "event-version.json").read_text())
    project = tomllib.loads((EXAMPLES / "http-api" / "pyproject.toml").read_text())["project"]
    assert json.loads(deployed.invoke("http-api", event)["body"]) == {"version": project["version"]}


@on_linux
def test_analytics_answers_with_parquet(deployed: Deployed) -> None:
    answer = deployed.invoke("analytics")
    assert answer["totals"] == {"north": 1349.75, "south": 310.0, "west": 420.75}
    assert (answer["days"], answer["rows"]) == (2, 3)
    parquet = base64.b64decode(answer["parquet"])
    assert len(parquet) == answer["bytes"]
    assert parquet[:4] == parquet[-4:] == b"PAR1"


MONOREPO: dict[str, object] = {
    "cart": {"items": 4, "total": "37.50"},
    "catalog": [{"sku": "tea", "price": "4.50"}, {"sku": "pot", "price": "24.00"}],
    "checkout": [
        {"due": "2026-12-31", "amount": "33.33"},
        {"due": "2027-01-31", "amount": "33.33"},
        {"due": "2027-02-28", "amount": "33.34"},
    ],
    "customers": {"name": "Ada", "age": 17, "accepted": False},
    "orders": {"number": 4711, "arrives": "Tuesday, 01 December 2026"},
    "notify": {"status": 204},
    "resize-queue": {"batchItemFailures": [{"itemIdentifier": "m-2"}]},
    "stock-sync": {"cup": 8, "pot": 3},
    "webhooks": {"delivered": True, "status": 202},
    "daily-report": (
        "Sales of 2026-11-23\n\nregion      amount\n--------  --------\nnorth      1250.50\n"
        "south       310.00\n\nTotal: 1560.50"
    ),
    "weekly-report": (
        "## Week 48\n\n| day     |   sales |\n|---------|---------|\n"
        "| Mon     |    1560 |\n| Tue     |    1320 |\n| **Wed** |    1985 |\n| Thu     |    1410 |\n"
        "| Fri     |    1777 |"
    ),
    "invoices": (
        "Invoice 2026-0815 for Ada\n\n"
        "item      quantity    price    sum\n------  ----------  -------  -----\n"
        "tea              3     4.50  13.50\npot              1    24.00  24.00\n\nTo be paid: 37.50"
    ),
}


@on_linux
@pytest.mark.parametrize("name", MONOREPO)
def test_each_function_of_the_monorepo_answers(name: str, deployed: Deployed) -> None:
    assert deployed.invoke(name) == MONOREPO[name]


@on_linux
def test_workers_send_what_was_asked_of_them(deployed: Deployed, service: Service) -> None:
    service.asked.clear()
    deployed.invoke("notify")
    deployed.invoke("webhooks")
    assert [(method, path, json.loads(body)) for method, path, body in service.asked] == [
        ("POST", "/chat.example/hooks/shop", {"text": "WARNING: only 3 pots left"}),
        ("POST", "/partner.example/events", {"type": "order.shipped", "number": 4711}),
    ]


@on_linux
def test_code_for_another_architecture_is_refused_with_what_would_run_it(
    tmp_path: Path, built: dict[str, Built]
) -> None:
    place = tmp_path / FOREIGN
    shutil.copytree(EXAMPLES / FOREIGN, place)
    # The store that has the artifact already; a local AWS of its own.
    (tmp_path / "store").symlink_to(built[FOREIGN][0].parents[2])
    for step in (("planton-build", "--local"), ("planton-deploy", "--local")):
        well(*step, folder=tmp_path, place=place)
    arguments = ("invoke", FOREIGN, "--local", "--payload", "@event.json")
    try:
        refused = command("planton-deploy", *arguments, folder=tmp_path, place=place)
    finally:
        well("planton-deploy", "local", "stop", folder=tmp_path, place=place)
    assert refused.returncode == 72
    theirs, ours = ("aarch64", "x86_64") if HOST == "X86_64" else ("x86_64", "aarch64")
    said = rf"\S+\.so .*is {theirs} Linux code, and this host is {ours} Linux"
    assert re.search(rf"error\[artifact_not_runnable\]: {said}", refused.stderr), refused.stderr
    assert f"--platform linux/{'arm64' if theirs == 'aarch64' else 'amd64'}" in refused.stderr
    assert f"spec.architecture: {HOST}" in refused.stderr


# Pictures, without a library for them.


def picture(width: int, height: int) -> bytes:
    """Return a PNG (W3C PNG specification) with colours that change from pixel to pixel."""
    rows = [
        b"\0" + bytes(channel for x in range(width) for channel in (x % 256, y % 256, (x + y) % 256))
        for y in range(height)
    ]
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = (b"IHDR", header), (b"IDAT", zlib.compress(b"".join(rows))), (b"IEND", b"")
    body = b"".join(
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body


def jpeg_size(content: bytes) -> tuple[int, int]:
    """Return width and height from a JPEG's frame header (ITU-T T.81, B.2.2)."""
    assert content.startswith(b"\xff\xd8")
    assert content.endswith(b"\xff\xd9")
    position = 2
    while content[position + 1] not in (0xC0, 0xC1, 0xC2):
        position += 2 + int.from_bytes(content[position + 2 : position + 4], "big")
    height, width = struct.unpack(">HH", content[position + 5 : position + 9])
    return width, height
