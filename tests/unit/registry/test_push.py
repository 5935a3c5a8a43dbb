"""Images are pushed to a real registry through a proxy that breaks things: whole or not at all, and again."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from planton_build.errors import (
    AccessDenied,
    CacheBroken,
    ImageInvalid,
    ImageMismatch,
    PlantonError,
    PushFailed,
    RegistryUnreachable,
    RepositoryUnknown,
)
from planton_build.oci.blobs import FileContent
from planton_build.oci.image import Image, Layer
from planton_build.registry import upload
from planton_build.registry.login import Login
from planton_build.registry.pull import Repository
from planton_build.registry.push import Pushed, push
from planton_build.registry.session import Session

from .conftest import (
    Fault,
    Proxy,
    Registry,
    Tokens,
    changed,
    corrupt,
    deaf,
    digest_of,
    hangup,
    make_image,
    noise,
    running_proxy,
    status,
)

PIECE = 64 << 10
LAYERS = (noise(5 * PIECE // 2), noise(1000, 2), b"")
"""One layer of several pieces, one that goes in one request, and an empty one."""
HTPASSWD = "user:$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n"
UPLOAD = r"^{} /v2/a/b/blobs/uploads/"
PATCH, PUT, START = UPLOAD.format("PATCH"), UPLOAD.format("PUT"), UPLOAD.format("POST")
MANIFEST = r"^PUT /v2/a/b/manifests/"


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload, "PIECE", PIECE)


@dataclass
class Client:
    """What a test pushes with, and what it has been told."""

    session: Session
    waits: list[float]

    def push(self, image: Image, name: str = "a/b", **options: Any) -> Pushed:
        return push(image, Repository(self.session, name), **{"tags": ["one"], **options})


@pytest.fixture
def client(proxy: Proxy) -> Iterator[Client]:
    waits: list[float] = []
    with Session(proxy.host, wait=waits.append, seconds=10) as session:
        yield Client(session, waits)


def whole(registry: Registry, image: Image, name: str = "a/b") -> bool:
    """Tell whether a registry has an image with every blob, after checking that it never shows a half."""
    shown = registry.digest(name, "one")
    blobs = [image.config_digest, *(layer.descriptor.digest for layer in image.layers)]
    there = all(registry.has(name, digest) for digest in blobs)
    assert shown in (None, image.digest)
    assert shown is None or there
    assert (registry.digest(name, image.digest) is None) or there
    return shown is not None


def test_an_image_arrives_whole_under_its_digest_and_tags(client: Client, upstream: Registry) -> None:
    image, told = make_image(*LAYERS), []
    pushed = client.push(image, tags=["one", "two"], progress=told.append)
    assert pushed == Pushed(image.digest, image.size - len(image.manifest), 4, 0, 0, ("one", "two"))
    assert whole(upstream, image)
    assert upstream.digest("a/b", "two") == image.digest
    assert sum(told) == image.size - len(image.manifest)
    assert not client.waits


def test_pieces_go_in_order_and_the_manifest_last(client: Client, proxy: Proxy) -> None:
    client.push(make_image(*LAYERS))
    ranges = [asked.headers["content-range"] for asked in proxy.asked if asked.method == "PATCH"]
    assert ranges == [f"0-{PIECE - 1}", f"{PIECE}-{2 * PIECE - 1}", f"{2 * PIECE}-{len(LAYERS[0]) - 1}"]
    kinds = [asked.path.split("/")[4] for asked in proxy.asked]
    assert kinds[0] == "manifests"
    assert set(kinds[1:-2]) == {"blobs"}
    assert kinds[-2:] == ["manifests", "manifests"]


def test_an_image_that_is_there_is_not_sent_again(client: Client, proxy: Proxy, upstream: Registry) -> None:
    image, told = make_image(*LAYERS), []
    client.push(image)
    before = len(proxy.asked)
    again = client.push(image, tags=["one", "two"], progress=told.append)
    assert again == Pushed(image.digest, 0, 0, 0, 4, ("one", "two"), reused=True)
    assert [asked.method for asked in proxy.asked[before:]] == ["HEAD", "HEAD", "HEAD", "PUT"]
    assert upstream.digest("a/b", "two") == image.digest
    assert sum(told) == image.size - len(image.manifest)


def test_layers_that_are_there_are_not_sent_again(client: Client, proxy: Proxy) -> None:
    client.push(make_image(*LAYERS))
    before = proxy.bytes()
    new = make_image(*LAYERS, noise(100, 9))
    pushed = client.push(new, tags=["other"])
    assert (pushed.uploaded, pushed.present, pushed.uploaded_bytes) == (2, 3, len(new.config) + 100)
    assert proxy.bytes() - before == len(new.config) + 100


def test_a_layer_of_another_repository_of_the_registry_is_mounted(
    client: Client, proxy: Proxy, upstream: Registry
) -> None:
    client.push(make_image(*LAYERS), "base")
    image = Repository(client.session, "base").image("one", architecture="x86_64")
    before = proxy.bytes()
    pushed = client.push(image)
    assert (pushed.mounted, pushed.uploaded) == (3, 1)
    assert proxy.bytes() - before == len(image.config)
    assert whole(upstream, image)


def test_a_named_repository_is_tried_for_a_mount(client: Client, upstream: Registry) -> None:
    image = make_image(*LAYERS)
    client.push(image, "base")
    assert client.push(image, sources=["a/b", "nowhere", "base"]).mounted == 4
    assert whole(upstream, image)


@pytest.mark.parametrize(
    "no",
    [
        status(400),
        status(403, ("DENIED", "no")),
        status(404),
        status(405, ("UNSUPPORTED", "")),
        hangup,
        status(503),
    ],
    ids=["400", "403", "404", "405", "hangup", "503"],
)
def test_a_refused_mount_becomes_an_upload(
    client: Client, proxy: Proxy, upstream: Registry, no: Fault
) -> None:
    image = make_image(noise(100))
    proxy.breaks(r"\?mount=", no, times=50)
    assert client.push(image, sources=["base"]).uploaded == 2
    assert whole(upstream, image)


def test_a_mount_that_begins_an_upload_instead_is_used_for_it(client: Client, proxy: Proxy) -> None:
    client.push(make_image(noise(100)), sources=["nowhere"])
    assert proxy.count(START) == proxy.count(r"\?mount=") == 2


def test_a_layer_of_another_registry_goes_through(
    client: Client, proxy: Proxy, upstream: Registry, tmp_path: Path
) -> None:
    from .conftest import free_port

    folder = tmp_path / "second"
    folder.mkdir()
    second = Registry(folder, free_port())
    second.start()
    try:
        with Session(second.host) as session:
            push(make_image(*LAYERS), Repository(session, "base"), tags=["one"])
            image = Repository(session, "base").image("one", architecture="x86_64")
            pushed = client.push(image)
    finally:
        second.kill()
    assert (pushed.uploaded, proxy.count(r"\?mount=")) == (4, 0)
    assert whole(upstream, image)


FAULTS: dict[str, Callable[[Proxy], None]] = {
    "a piece breaks off": lambda proxy: proxy.cuts_body(PATCH),
    "two pieces break off": lambda proxy: proxy.cuts_body(PATCH, times=2),
    "a whole body breaks off": lambda proxy: proxy.cuts_body(PUT, times=2),
    "a manifest breaks off": lambda proxy: proxy.cuts_body(MANIFEST),
    "the registry is not reached for a piece": lambda proxy: proxy.breaks(PATCH, hangup, times=2),
    "the answer to a piece is lost": lambda proxy: proxy.breaks(PATCH, deaf),
    "the answer to the end is lost": lambda proxy: proxy.breaks(PUT, deaf, times=3),
    "the answer to a manifest is lost": lambda proxy: proxy.breaks(MANIFEST, deaf, times=2),
    "the answer to a start is lost": lambda proxy: proxy.breaks(START, deaf, times=2),
    "questions are not answered": lambda proxy: proxy.breaks(r"^HEAD ", hangup, times=4),
    "503 for a piece": lambda proxy: proxy.breaks(PATCH, status(503), times=2),
    "500 for the end": lambda proxy: proxy.breaks(PUT, status(500), times=2),
    "502 for a manifest": lambda proxy: proxy.breaks(MANIFEST, status(502), times=3),
    "429 for everything": lambda proxy: proxy.breaks("/v2/", status(429, Retry_After="7"), times=4),
    "an upload is gone": lambda proxy: proxy.breaks(
        PATCH, status(404, ("BLOB_UPLOAD_UNKNOWN", "gone")), times=2
    ),
    "an upload is gone at its end": lambda proxy: proxy.breaks(PUT, status(404, ("BLOB_UPLOAD_UNKNOWN", ""))),
    "a piece is refused as out of order": lambda proxy: proxy.breaks(PATCH, status(416)),
    "bytes are spoiled on the way": lambda proxy: proxy.breaks(
        PUT, status(400, ("DIGEST_INVALID", "spoiled"))
    ),
    "the status is not told": lambda proxy: (
        proxy.breaks(PATCH, hangup),
        proxy.breaks(UPLOAD.format("GET"), status(404), times=9),
    ),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
def test_a_push_survives(
    client: Client, proxy: Proxy, upstream: Registry, fault: Callable[[Proxy], None]
) -> None:
    image, told = make_image(*LAYERS), []
    fault(proxy)
    pushed = client.push(image, progress=told.append)
    assert pushed.digest == image.digest
    assert whole(upstream, image)
    assert sum(told) == image.size - len(image.manifest)
    assert client.waits or proxy.count("GET") or "gone" in str(fault)


def test_a_registry_is_given_the_time_it_asks_for_within_bounds(client: Client, proxy: Proxy) -> None:
    proxy.breaks(START, status(429, Retry_After="7"))
    proxy.breaks(MANIFEST, status(503, Retry_After="86400"))
    client.push(make_image(noise(100)))
    assert client.waits == [7.0, 60.0]


@pytest.mark.parametrize("ecr", [False, True], ids=["specification", "ecr"])
def test_after_a_break_only_what_is_missing_is_sent(
    client: Client, proxy: Proxy, upstream: Registry, ecr: bool
) -> None:
    image = make_image(noise(3 * PIECE))
    uploads = Uploads(ecr=ecr)
    proxy.breaks(r" /v2/a/b/blobs/uploads/", uploads.answer, times=1_000)
    client.push(image)
    assert whole(upstream, image)
    in_vain = [f"{PIECE}-{2 * PIECE - 1}"] if ecr else []  # ECR only tells by refusing
    assert uploads.ranges == [
        f"0-{PIECE - 1}",
        f"{PIECE}-{2 * PIECE - 1}",
        *in_vain,
        f"{PIECE + 100}-{2 * PIECE - 1}",
        f"{2 * PIECE}-{3 * PIECE - 1}",
    ]


class Uploads:
    """A registry's uploads, the second piece of which breaks off after 100 bytes.

    As the specification says, or as ECR does them: 201 for a piece, `Range` of the first piece for ever, no
    status, and a refusal that says what is there.
    """

    def __init__(self, *, ecr: bool) -> None:
        self.ecr = ecr
        self.bodies: dict[str, bytearray] = {}
        self.ranges: list[str] = []
        self.guard = threading.Lock()

    def answer(self, proxy: Proxy, asked: Any, forward: Callable[[], Any]) -> Any:
        from .conftest import Hangup

        if asked.method == "GET" and self.ecr:
            return 404, {}, b""
        if asked.method == "GET":
            held = len(self.bodies[asked.path.partition("?")[0]])
            return 204, {"Location": asked.path, "Range": f"0-{held - 1}"}, b""
        if asked.method == "PATCH":
            with self.guard:
                body = self.bodies.setdefault(asked.path.partition("?")[0], bytearray())
                self.ranges.append(asked.headers["content-range"])
                start = int(asked.headers["content-range"].partition("-")[0])
                if start != len(body):
                    assert self.ecr
                    text = f"First byte of the layer part is {start} instead of {len(body)}"
                    return status(416, ("BLOB_UPLOAD_INVALID", text))(proxy, asked, forward)
                if len(self.ranges) == 2:
                    body += asked.body[:100]
                    raise Hangup
                body += asked.body
                if self.ecr:
                    return 201, {"Location": asked.path, "Range": f"0-{PIECE - 1}"}, b""
                return 202, {"Location": asked.path, "Range": f"0-{len(body) - 1}"}, b""
        if asked.method == "PUT" and (body := self.bodies.get(asked.path.partition("?")[0])):
            return forward(bytes(body))
        return forward()


def test_a_registry_that_goes_back_and_forth_is_given_up(client: Client, proxy: Proxy) -> None:
    told = iter(range(10_000))

    def held(_proxy: Proxy, asked: Any, _forward: Callable[[], Any]) -> Any:
        return 204, {"Location": asked.path, "Range": f"0-{(99, 49)[next(told) % 2]}"}, b""

    proxy.breaks(PATCH, status(503), times=10_000)
    proxy.breaks(UPLOAD.format("GET"), held, times=10_000)
    with pytest.raises(PushFailed, match="HTTP 503"):
        client.push(make_image(noise(2 * PIECE)))
    assert proxy.count(PATCH) < 20


def test_a_piece_that_the_registry_has_nothing_of_is_sent_again(client: Client, proxy: Proxy) -> None:
    proxy.breaks(PATCH, status(503))
    client.push(make_image(noise(3 * PIECE)))
    assert proxy.count(START) == 2
    ranges = [asked.headers["content-range"] for asked in proxy.asked if asked.method == "PATCH"]
    assert ranges[:2] == [f"0-{PIECE - 1}"] * 2


def test_a_blob_that_came_in_the_end_is_not_sent_again(client: Client, proxy: Proxy) -> None:
    proxy.breaks(PUT, deaf)
    proxy.breaks(r"^HEAD .*/blobs/", status(404), times=2)  # before the upload, and right after it
    client.push(make_image(noise(1000)), jobs=1)
    assert proxy.count(START) == 2
    assert proxy.count(PUT) == 3


def test_an_upload_that_ends_with_its_connection_is_begun_anew(
    client: Client, proxy: Proxy, upstream: Registry
) -> None:
    """docker-registry's way: its upload is over when client and registry disagree."""
    image = make_image(noise(3 * PIECE))
    proxy.breaks(PATCH, deaf)
    client.push(image)
    assert whole(upstream, image)
    assert proxy.count(START) == 3  # of the layer twice, of the configuration


def test_a_password_that_expires_in_the_middle_is_asked_for_anew(
    client: Client, proxy: Proxy, upstream: Registry
) -> None:
    """ECR's way: 403 DENIED, which brings no challenge."""
    good = Login.of("AWS", "0")
    asked: list[Login] = []

    def login() -> Login:
        asked.append(good)
        return good

    def check(_proxy: Proxy, request: Any, forward: Callable[[], Any]) -> Any:
        nonlocal good
        given = request.headers.get("authorization")
        if given is None:
            return 401, {"WWW-Authenticate": 'Basic realm="https://x/",service="ecr.amazonaws.com"'}, b""
        if request.method == "PATCH" and len(asked) == 1:
            good = Login.of("AWS", "1")
        expired = status(403, ("DENIED", "Your authorization token has expired."))
        return forward() if given == good.basic else expired(_proxy, request, forward)

    proxy.breaks("/v2/", check, times=1_000)
    image = make_image(*LAYERS)
    with Session(proxy.host, login=login) as session:
        push(image, Repository(session, "a/b"), tags=["one"])
    assert len(asked) == 2
    assert whole(upstream, image)


def test_a_right_that_is_missing_is_said_with_the_words_of_ecr(proxy: Proxy) -> None:
    host = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
    words = "User: arn:aws:iam::1:user/x is not authorized to perform: ecr:InitiateLayerUpload"
    proxy.breaks(START, status(403, ("DENIED", words)), times=9)
    with (
        Session(host, base_url=f"http://{proxy.host}", login=lambda: None) as session,
        pytest.raises(AccessDenied, match="not authorized to perform: ecr:InitiateLayerUpload") as caught,
    ):
        push(make_image(noise(10)), Repository(session, "a/b"), tags=[])
    assert "ecr:PutImage" in str(caught.value.hint)


@pytest.mark.parametrize("fault", [status(503), hangup, status(429)], ids=["503", "hangup", "429"])
@pytest.mark.parametrize("place", [PATCH, PUT, START, MANIFEST])
def test_a_push_that_fails_for_good_can_be_run_again(
    client: Client, proxy: Proxy, upstream: Registry, fault: Fault, place: str
) -> None:
    image = make_image(*LAYERS)
    proxy.breaks(place, fault, times=10_000)
    with pytest.raises((PushFailed, RegistryUnreachable)) as caught:
        client.push(image)
    assert "not sent twice" in str(caught.value.hint)
    assert not whole(upstream, image)
    assert upstream.digest("a/b", image.digest) is None
    proxy.faults.clear()
    before, kept = proxy.bytes(), [b for b in LAYERS if upstream.has("a/b", digest_of(b))]
    pushed = client.push(image)
    assert whole(upstream, image)
    assert pushed.present >= len(kept)
    assert proxy.bytes() - before == pushed.uploaded_bytes <= image.size - sum(map(len, kept))


def test_a_registry_killed_in_the_middle_is_said_and_a_rerun_goes_on(
    client: Client, proxy: Proxy, upstream: Registry
) -> None:
    image = make_image(*LAYERS)

    def kill(_proxy: Proxy, _asked: Any, forward: Callable[[], Any]) -> Any:
        upstream.kill()
        return forward()

    proxy.breaks(PATCH, kill)
    with pytest.raises((RegistryUnreachable, PushFailed), match="does not answer"):
        client.push(image, jobs=1)
    upstream.start()
    assert not whole(upstream, image)
    client.push(image)
    assert whole(upstream, image)


def test_a_token_that_expires_in_the_middle_is_renewed(
    client: Client, proxy: Proxy, upstream: Registry
) -> None:
    image, tokens = make_image(*LAYERS), Tokens(uses=3)
    tokens.guard(proxy)
    client.push(image, jobs=1)
    proxy.faults.clear()
    assert whole(upstream, image)
    assert len(tokens.given) > 3
    assert all(scopes == ["repository:a/b:pull,push"] for scopes, _ in tokens.given.values())


def test_a_mount_gets_a_token_for_both_repositories(client: Client, proxy: Proxy) -> None:
    client.push(make_image(*LAYERS), "base")
    image = Repository(client.session, "base").image("one", architecture="x86_64")
    tokens = Tokens()
    tokens.guard(proxy)
    assert client.push(image).mounted == 3
    assert ["repository:a/b:pull,push", "repository:base:pull"] in [
        scopes for scopes, _ in tokens.given.values()
    ]


def test_a_user_who_may_only_read_is_told_so(client: Client, proxy: Proxy, upstream: Registry) -> None:
    image, tokens = make_image(*LAYERS), Tokens(may_push=False)
    tokens.guard(proxy)
    with pytest.raises(AccessDenied, match=r"does not let this user push .*a/b.* \(HTTP 401\)") as caught:
        client.push(image)
    assert "right to push" in str(caught.value.hint)
    proxy.faults.clear()
    assert not whole(upstream, image)


def test_a_password_is_asked_for_anew_when_it_was_refused(upstream: Registry) -> None:
    upstream.kill()
    upstream.htpasswd = HTPASSWD
    upstream.start()
    logins = iter([Login.of("user", "expired"), Login.of("user", "secret")])
    image = make_image(*LAYERS)
    with Session(upstream.host, login=lambda: next(logins)) as session:
        with pytest.raises(AccessDenied):
            push(image, Repository(session, "a/b"), tags=[])
        pushed = push(image, Repository(session, "a/b"), tags=[])
        assert pushed.uploaded == 4
        assert (
            Repository(session, "a/b").image(image.digest, architecture="x86_64").manifest == image.manifest
        )


def test_a_wrong_password_is_refused_and_not_shown(upstream: Registry) -> None:
    upstream.kill()
    upstream.htpasswd = HTPASSWD
    upstream.start()
    with (
        Session(upstream.host, login=Login.of("user", "s3cr3t-word")) as session,
        pytest.raises(AccessDenied, match="HTTP 401") as caught,
    ):
        push(make_image(), Repository(session, "a/b"), tags=[])
    shown = f"{caught.value.message} {caught.value.hint} {session._authorizations._login!r}"
    assert "s3cr3t-word" not in shown
    assert Login.of("user", "s3cr3t-word").basic.split()[1] not in shown


def test_a_tag_that_cannot_be_moved_is_named_with_both_images(client: Client, proxy: Proxy) -> None:
    old, new = make_image(noise(10)), make_image(noise(11))
    client.push(old)
    immutable = status(400, ("TAG_INVALID", "The image tag 'one' already exists and cannot be overwritten"))
    proxy.breaks(r"^PUT .*/manifests/one", immutable)
    with pytest.raises(PushFailed, match=rf":one names {old.digest} and cannot be moved to {new.digest}"):
        client.push(new)
    assert client.push(new, tags=["another"]).reused  # what was sent is not lost


@pytest.mark.parametrize("code", [400, 403, 409])
def test_a_tag_that_cannot_be_moved_but_names_the_image_is_right(
    client: Client, proxy: Proxy, code: int
) -> None:
    image = make_image(noise(10))

    def twice(_proxy: Proxy, asked: Any, forward: Callable[[], Any]) -> Any:
        forward()
        return status(code, ("ImageTagAlreadyExistsException", "exists"))(_proxy, asked, forward)

    proxy.breaks(r"^PUT .*/manifests/one", twice)
    assert client.push(image).digest == image.digest


@pytest.mark.parametrize("place", [PUT, MANIFEST])
def test_a_registry_that_stores_under_another_digest_is_not_believed(
    client: Client, proxy: Proxy, place: str
) -> None:
    lie = changed(docker_content_digest=digest_of(b"lie"))
    proxy.breaks(place, lie, times=9)
    with pytest.raises(PushFailed, match=r"stores .*sha256"):
        client.push(make_image(noise(10)))


def test_a_registry_that_lies_about_an_image_it_has_is_not_believed(client: Client, proxy: Proxy) -> None:
    image = make_image(noise(10))
    client.push(image)
    proxy.breaks(r"^HEAD .*/manifests/", changed(docker_content_digest=digest_of(b"lie")), times=9)
    with pytest.raises(PushFailed, match="has the digest"):
        client.push(image)


def test_a_registry_that_takes_everything_and_keeps_nothing_is_found_out(
    client: Client, proxy: Proxy
) -> None:
    proxy.breaks(PUT, status(202), times=99)
    with pytest.raises(PushFailed, match="lacks the blob"):
        client.push(make_image(noise(10)))


def test_a_repository_that_is_not_there_is_named(client: Client, proxy: Proxy) -> None:
    proxy.breaks(START, status(404, ("NAME_UNKNOWN", "The repository 'a/b' does not exist")), times=9)
    with pytest.raises(RepositoryUnknown, match=r"no repository a/b .*does not exist"):
        client.push(make_image(noise(10)))


def test_the_words_of_a_registry_are_cleaned_and_cut(client: Client, proxy: Proxy) -> None:
    proxy.breaks(START, status(400, ("BAD\x1b[31m", "red\r\n" + "long " * 10_000)), times=9)
    with pytest.raises(PushFailed, match=r"BAD \[31m: red long long") as caught:
        client.push(make_image(noise(10)))
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 1_000


@pytest.mark.parametrize("size", [0, 1, 10, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE])
def test_every_size_of_layer_arrives(client: Client, upstream: Registry, size: int) -> None:
    image = make_image(noise(size))
    client.push(image)
    assert whole(upstream, image)


@pytest.mark.parametrize(
    "wrong",
    [lambda b: b[:-1], lambda b: b + b"x", lambda b: b"x" + b[1:], lambda b: b[:-1] + b"x", lambda b: b + b],
    ids=["short", "long", "first byte", "last byte", "twice"],
)
@pytest.mark.parametrize("size", [10, PIECE, 2 * PIECE + 7])
def test_an_upload_of_wrong_bytes_is_never_completed(
    client: Client,
    proxy: Proxy,
    upstream: Registry,
    wrong: Callable[[bytes], bytes],
    size: int,
    tmp_path: Path,
) -> None:
    image = make_image(noise(size))
    layer = image.layers[0]
    path = tmp_path / "layer"
    path.write_bytes(wrong(noise(size)))
    content = FileContent(path, path.stat().st_size)
    broken = Image(image.media_type, image.manifest, image.config, (Layer(layer.descriptor, "", content),))
    with pytest.raises(CacheBroken, match="not those") as caught:
        client.push(broken)
    assert str(path) in str(caught.value.hint)
    assert proxy.count(PUT) == 1  # the configuration
    assert proxy.count(UPLOAD.format("DELETE")) == 1
    assert not whole(upstream, image)


def test_a_layer_that_its_own_registry_spoils_is_not_pushed(
    client: Client, upstream: Registry, tmp_path: Path
) -> None:
    from .conftest import free_port

    folder = tmp_path / "second"
    folder.mkdir()
    second = Registry(folder, free_port())
    second.start()
    try:
        with running_proxy(second) as between, Session(between.host) as session:
            push(make_image(*LAYERS), Repository(session, "base"), tags=["one"])
            image = Repository(session, "base").image("one", architecture="x86_64")
            between.breaks(rf"^GET .*{image.layers[0].descriptor.digest}", corrupt)
            with pytest.raises(ImageMismatch, match="other bytes"):
                client.push(image)
            assert not whole(upstream, image)
            between.cuts_answer(rf"^GET .*{image.layers[0].descriptor.digest}", times=3)
            client.push(image)
            assert whole(upstream, image)
    finally:
        second.kill()


def test_an_image_whose_parts_do_not_fit_is_refused(client: Client, proxy: Proxy) -> None:
    image, other = make_image(noise(10)), make_image(noise(11))
    for wrong in (
        Image(image.media_type, image.manifest, other.config, image.layers),
        Image(image.media_type, image.manifest, image.config, other.layers),
        Image(image.media_type, image.manifest, image.config, ()),
    ):
        with pytest.raises(ImageInvalid, match="other blobs"):
            client.push(wrong)
    assert not proxy.asked


def test_two_images_that_share_a_layer_send_it_once(client: Client, proxy: Proxy, upstream: Registry) -> None:
    shared = noise(4 * PIECE)
    images = [make_image(shared, noise(10, seed)) for seed in (5, 6, 7)]
    errors: list[PlantonError] = []

    def run(image: Image) -> None:
        try:
            client.push(image, tags=[f"t{image.digest[7:15]}"])
        except PlantonError as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(image,)) for image in images]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert proxy.count(PATCH) == 4
    assert all(upstream.digest("a/b", image.digest) == image.digest for image in images)


def test_a_location_on_another_host_gets_no_login(proxy: Proxy, upstream: Registry) -> None:
    with running_proxy(upstream) as elsewhere:
        tokens = Tokens()

        def away(_proxy: Proxy, asked: Any, forward: Callable[[], Any]) -> Any:
            code, told, body = tokens.check(_proxy, asked, forward)
            if code == 202:
                told["location"] = told["location"].replace(proxy.host, elsewhere.host)
            return code, told, body

        proxy.breaks(START, away, times=99)
        tokens.guard(proxy)
        with Session(proxy.host) as session:
            push(make_image(noise(10)), Repository(session, "a/b"), tags=[])
    sent = [asked for asked in elsewhere.asked if asked.method == "PUT"]
    assert len(sent) == 2
    assert not any("authorization" in asked.headers for asked in elsewhere.asked)
    assert any("authorization" in asked.headers for asked in proxy.asked)


@pytest.mark.parametrize(
    "location", ["http://registry.example/x", "ftp://127.0.0.1/x", "http://[::1", "http://127.0.0.1:99999/"]
)
def test_a_location_that_leads_astray_is_refused(client: Client, proxy: Proxy, location: str) -> None:
    proxy.breaks(START, changed(location=location), times=9)
    with pytest.raises(PushFailed, match=r"not over HTTPS|an address that is none"):
        client.push(make_image(noise(10)))


def test_a_registry_that_wants_large_pieces_gets_them(
    client: Client, proxy: Proxy, upstream: Registry
) -> None:
    image = make_image(noise(4 * PIECE))
    proxy.breaks(START, changed(oci_chunk_min_length=str(3 * PIECE)), times=9)
    client.push(image)
    assert [asked.size for asked in proxy.asked if asked.method == "PATCH"] == [3 * PIECE, PIECE]
    assert whole(upstream, image)


def test_pieces_that_would_not_fit_into_memory_are_refused(
    client: Client, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload, "_PIECE_MAX", 2 * PIECE)
    proxy.breaks(START, changed(oci_chunk_min_length="9" * 400), times=9)
    with pytest.raises(PushFailed, match="no pieces smaller"):
        client.push(make_image(noise(4 * PIECE)))


def test_an_image_on_two_names_of_one_registry_is_served_from_its_base_url(
    proxy: Proxy, upstream: Registry
) -> None:
    image = make_image(*LAYERS)
    host = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
    with Session(host, base_url=f"http://{proxy.host}") as session:
        pushed = push(image, Repository(session, "a/b"), tags=["one"])
        with pytest.raises(RepositoryUnknown, match=rf"{host} has no repository"):
            proxy.breaks(START, status(404), times=9)
            push(make_image(noise(77)), Repository(session, "a/b"), tags=[])
    assert pushed.digest == image.digest
    assert whole(upstream, image)
