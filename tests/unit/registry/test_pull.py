"""Images are read from a real registry through a proxy that breaks things: right bytes, or a clear error."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from planton_build.errors import ImageInvalid, ImageMismatch, ImageUnavailable
from planton_build.oci.blobs import Descriptor
from planton_build.oci.image import Image
from planton_build.oci.media_types import OCI_INDEX, OCI_LAYER, OCI_MANIFEST
from planton_build.registry.pull import RemoteContent, Repository
from planton_build.registry.push import push
from planton_build.registry.session import Session

from .conftest import (
    Fault,
    Proxy,
    Registry,
    Tokens,
    changed,
    corrupt,
    digest_of,
    exchange,
    hangup,
    make_image,
    noise,
    running_proxy,
    status,
)

LAYER = noise(300_000)
BLOB = r"^GET /v2/a/b/blobs/"
MANIFEST = r"^GET /v2/a/b/manifests/"


@pytest.fixture
def image() -> Image:
    return make_image(LAYER, noise(10, 2), b"")


@pytest.fixture
def repository(proxy: Proxy, upstream: Registry, image: Image) -> Iterator[Repository]:
    """Give a repository with an image `one`, read through a proxy that has seen nothing yet."""
    with Session(upstream.host) as session:
        push(image, Repository(session, "a/b"), tags=["one"])
    with Session(proxy.host, wait=lambda _seconds: None, seconds=10) as session:
        yield Repository(session, "a/b")


def put(registry: Registry, reference: str, content: bytes, media_type: str) -> None:
    path = f"/v2/a/b/manifests/{reference}"
    told = exchange("127.0.0.1", registry.port, "PUT", path, {"Content-Type": media_type}, content)
    assert told[0] == 201, told


def entry(image: Image, architecture: str = "amd64", **more: Any) -> dict[str, Any]:
    platform = {"os": "linux", "architecture": architecture, **more.pop("platform", {})}
    size = {"mediaType": image.media_type, "digest": image.digest, "size": len(image.manifest)}
    return {**size, "platform": platform, **more}


def read(image: Image, layer: int = 0, offset: int = 0) -> bytes:
    return b"".join(image.layers[layer].content.chunks(offset))


def test_an_image_is_read_as_it_was_pushed(repository: Repository, image: Image) -> None:
    for reference in ("one", image.digest):
        got = repository.image(reference, architecture="x86_64")
        assert (got.manifest, got.config, got.media_type) == (image.manifest, image.config, OCI_MANIFEST)
        assert [(layer.descriptor, layer.diff_id) for layer in got.layers] == [
            (layer.descriptor, layer.diff_id) for layer in image.layers
        ]
        assert [read(got, n) for n in range(3)] == [LAYER, noise(10, 2), b""]


@pytest.mark.parametrize("offset", [1, 65_536, len(LAYER) - 1, len(LAYER)])
def test_a_layer_is_read_from_any_byte_on(repository: Repository, proxy: Proxy, offset: int) -> None:
    got = repository.image("one", architecture="x86_64")
    proxy.asked.clear()
    assert read(got, 0, offset) == LAYER[offset:]
    assert [asked.headers["range"] for asked in proxy.asked] == (
        [f"bytes={offset}-"] if offset < len(LAYER) else []
    )


def test_a_server_that_knows_no_ranges_is_read_from_the_start(repository: Repository, proxy: Proxy) -> None:
    got = repository.image("one", architecture="x86_64")

    def whole(_proxy: Proxy, _asked: Any, _forward: Callable[..., Any]) -> Any:
        return 200, {}, LAYER

    proxy.breaks(BLOB, whole, times=9)
    assert read(got, 0, 1234) == LAYER[1234:]


@pytest.mark.parametrize(
    "fault",
    [hangup, status(500), status(503), status(429, Retry_After="1")],
    ids=["hangup", "500", "503", "429"],
)
@pytest.mark.parametrize("place", [BLOB, MANIFEST])
def test_a_pull_survives_what_passes(repository: Repository, proxy: Proxy, fault: Fault, place: str) -> None:
    proxy.breaks(place, fault, times=2)
    got = repository.image("one", architecture="x86_64")
    proxy.breaks(BLOB, fault, times=2)
    assert read(got) == LAYER


def test_a_download_that_breaks_off_goes_on_where_it_was(repository: Repository, proxy: Proxy) -> None:
    got = repository.image("one", architecture="x86_64")
    proxy.asked.clear()
    proxy.cuts_answer(BLOB, times=4)
    assert read(got) == LAYER
    ranges = [asked.headers.get("range") for asked in proxy.asked]
    assert ranges[0] is None
    assert ranges[1] == f"bytes={len(LAYER) // 2}-"
    assert len(ranges) == 5


def test_a_download_that_never_goes_on_ends(repository: Repository, proxy: Proxy) -> None:
    got = repository.image("one", architecture="x86_64")
    proxy.breaks(BLOB, hangup, times=1_000)
    with pytest.raises(ImageUnavailable, match=r"127.0.0.1:\d+ does not answer"):
        read(got)
    assert proxy.count(BLOB) < 20


@pytest.mark.parametrize("offset", [0, 10])
def test_a_server_that_sends_more_than_the_layer_is_cut_off(
    repository: Repository, proxy: Proxy, offset: int
) -> None:
    got = repository.image("one", architecture="x86_64")

    def more(_proxy: Proxy, _asked: Any, forward: Callable[..., Any]) -> Any:
        code, told, body = forward()
        return code, {k: v for k, v in told.items() if k != "content-length"}, body + b"x" * 1_000_000

    proxy.breaks(BLOB, more, times=9)
    with pytest.raises(ImageMismatch, match="is larger than 300000 bytes"):
        read(got, 0, offset)


def test_a_spoiled_layer_is_never_given_whole(repository: Repository, proxy: Proxy) -> None:
    got = repository.image("one", architecture="x86_64")
    proxy.breaks(BLOB, corrupt)
    given = 0
    with pytest.raises(ImageMismatch, match="other bytes than its digest says"):
        for piece in got.layers[0].content.chunks():
            given += len(piece)
    assert given < len(LAYER)


def test_a_spoiled_configuration_is_refused(repository: Repository, proxy: Proxy) -> None:
    proxy.breaks(BLOB, corrupt)
    with pytest.raises(ImageMismatch, match="other bytes"):
        repository.image("one", architecture="x86_64")


def test_a_spoiled_manifest_is_refused(repository: Repository, proxy: Proxy, image: Image) -> None:
    proxy.breaks(MANIFEST, corrupt, times=2)
    with pytest.raises(ImageMismatch, match="does not have the digest"):
        repository.image(image.digest, architecture="x86_64")
    with pytest.raises(ImageMismatch, match="does not have the digest"):
        repository.image("one", architecture="x86_64")


@pytest.mark.parametrize(("architecture", "expected"), [("x86_64", 0), ("aarch64", 1), ("arm64", 1)])
def test_an_index_gives_the_image_of_the_platform_and_no_attestation(
    repository: Repository, upstream: Registry, image: Image, architecture: str, expected: int
) -> None:
    arm = make_image(b"arm", architecture="arm64")
    with Session(upstream.host) as session:
        push(arm, Repository(session, "a/b"), tags=[])
    attestation = entry(arm, annotations={"vnd.docker.reference.type": "attestation-manifest"})
    older = entry(image, "arm64", platform={"variant": "v7"})
    index = {
        "schemaVersion": 2,
        "manifests": [attestation, older, entry(arm, "arm64", platform={"variant": "v8"}), entry(image)],
    }
    put(upstream, "both", json.dumps(index).encode(), OCI_INDEX)
    got = repository.image("both", architecture=architecture)
    assert got.digest == (image, arm)[expected].digest


def test_an_index_that_tells_the_wrong_size_is_refused(
    repository: Repository, upstream: Registry, image: Image
) -> None:
    index = {"schemaVersion": 2, "manifests": [{**entry(image), "size": 3}]}
    put(upstream, "lie", json.dumps(index).encode(), OCI_INDEX)
    with pytest.raises(ImageMismatch, match="another size"):
        repository.image("lie", architecture="x86_64")


def test_an_image_of_another_architecture_is_refused(repository: Repository) -> None:
    with pytest.raises(ImageMismatch, match="is an image for linux/amd64, not for linux/arm64"):
        repository.image("one", architecture="arm64")


def test_an_image_with_more_layers_than_diff_ids_is_refused(
    repository: Repository, upstream: Registry, image: Image
) -> None:
    manifest = json.loads(image.manifest)
    manifest["layers"].append(manifest["layers"][0])
    put(upstream, "more", json.dumps(manifest).encode(), OCI_MANIFEST)
    with pytest.raises(ImageInvalid, match="4 layers, the configuration 3"):
        repository.image("more", architecture="x86_64")


def test_a_configuration_beyond_all_bounds_is_not_fetched(
    repository: Repository, proxy: Proxy, image: Image
) -> None:
    manifest = json.loads(image.manifest)
    manifest["config"]["size"] = 1 << 40
    content = json.dumps(manifest).encode()

    def huge(_proxy: Proxy, _asked: Any, _forward: Callable[..., Any]) -> Any:
        return 200, {"Content-Type": OCI_MANIFEST}, content

    proxy.breaks(MANIFEST, huge)
    with pytest.raises(ImageInvalid, match="larger than 4 MiB"):
        repository.image("one", architecture="x86_64")
    assert not proxy.count(BLOB)


def test_what_is_there_is_known_without_fetching_it(
    repository: Repository, proxy: Proxy, image: Image
) -> None:
    assert repository.has_manifest("one") == repository.has_manifest(image.digest) == image.digest
    assert repository.has_manifest("gone") is None
    assert repository.has_blob(digest_of(LAYER))
    assert not repository.has_blob(digest_of(b"gone"))
    assert {asked.method for asked in proxy.asked} == {"HEAD"}


def test_a_registry_that_does_not_tell_the_digest_is_asked_for_the_manifest(
    repository: Repository, proxy: Proxy, image: Image
) -> None:
    proxy.breaks(r"^HEAD", changed(docker_content_digest=""))
    assert repository.has_manifest("one") == image.digest
    assert [asked.method for asked in proxy.asked] == ["HEAD", "GET"]


def test_a_blob_that_is_gone_is_named(repository: Repository) -> None:
    content = RemoteContent(repository, Descriptor(OCI_LAYER, digest_of(b"gone"), 4))
    with pytest.raises(ImageUnavailable, match=rf"has no image .*/a/b@{digest_of(b'gone')}"):
        list(content.chunks())


def test_a_store_elsewhere_gives_the_layer_and_sees_no_login(
    repository: Repository, proxy: Proxy, upstream: Registry
) -> None:
    with running_proxy(upstream) as store:
        tokens = Tokens()

        def away(_proxy: Proxy, asked: Any, forward: Callable[..., Any]) -> Any:
            if tokens.check(_proxy, asked, forward)[0] == 401:
                return tokens.check(_proxy, asked, forward)
            return 307, {"Location": f"http://{store.host}{asked.path}?X-Signature=abc"}, b""

        proxy.breaks(BLOB, away, times=99)
        tokens.guard(proxy)
        store.cuts_answer(BLOB, times=2)
        got = repository.image("one", architecture="x86_64")
        assert read(got) == LAYER
        assert store.count(BLOB) >= 3
        assert not any("authorization" in asked.headers for asked in store.asked)
    assert any("authorization" in asked.headers for asked in proxy.asked)


def test_a_store_that_asks_for_a_login_gets_none(
    repository: Repository, proxy: Proxy, upstream: Registry
) -> None:
    with running_proxy(upstream) as store:
        store.breaks(
            BLOB, status(401, WWW_Authenticate=f'Bearer realm="http://{store.host}/token"'), times=99
        )
        proxy.breaks(BLOB, status(307, Location=f"http://{store.host}/v2/a/b/blobs/x"), times=99)
        with pytest.raises(ImageUnavailable, match="does not give"):
            repository.image("one", architecture="x86_64")
        assert not store.count("/token")


def test_a_token_that_expires_is_renewed(repository: Repository, proxy: Proxy) -> None:
    tokens = Tokens(uses=1)
    tokens.guard(proxy)
    got = repository.image("one", architecture="x86_64")
    proxy.cuts_answer(BLOB, times=2)
    assert read(got) == LAYER
    assert len(tokens.given) == 4  # manifest, configuration, and two parts of the layer


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=st.binary(max_size=300)
    | st.recursive(
        st.none() | st.integers() | st.text(max_size=5) | st.just(OCI_INDEX) | st.just(OCI_MANIFEST),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["mediaType", "manifests", "config", "layers", "digest", "size", "platform"]),
                inner,
            )
        ),
        max_leaves=12,
    ).map(lambda value: json.dumps(value).encode())
)
def test_any_answer_for_a_manifest_is_refused_with_an_error_of_ours(
    repository: Repository, proxy: Proxy, content: bytes
) -> None:
    def answer(_proxy: Proxy, _asked: Any, _forward: Callable[..., Any]) -> Any:
        return 200, {"Content-Type": OCI_MANIFEST}, content

    proxy.faults[:] = [(MANIFEST, 9, answer)]
    with pytest.raises((ImageInvalid, ImageMismatch, ImageUnavailable)):
        repository.image("one", architecture="x86_64")
