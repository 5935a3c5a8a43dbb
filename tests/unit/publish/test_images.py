"""Images published end to end: ECR's API is moto's, its registry is docker-registry behind a proxy."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from planton_build.errors import ConfigInvalid, PushFailed, RepositoryUnknown
from planton_build.events import Event, Note, StepAdvanced
from planton_build.oci.image import Image
from planton_build.publish.aws import Aws
from planton_build.publish.ecr import ecr_login
from planton_build.publish.images import PublishedImage, full_name, publish_image, tag_of
from planton_build.registry.registries import Registries

HOST = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
REGION = "eu-west-1"
PASSWORD = "123456789012-auth-token"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
FOREVER = 10**9
UNAUTHORIZED = (401, {"www-authenticate": 'Basic realm="https://ecr",service="ecr.amazonaws.com"'}, b"")


class Bench:
    """A run that publishes: what is in ECR, what the registry was asked, and what a listener heard."""

    def __init__(self, aws: Aws, proxy: Any, folder: Path) -> None:
        self.aws = aws
        self.proxy = proxy
        self.folder = folder
        self.events: list[Event] = []
        self.served: Callable[[str], str | None] = lambda host: (
            f"http://{proxy.host}" if host.endswith("amazonaws.com") else None
        )

    def publish(self, image: Image, repository: str = "acme/{function}", **options: Any) -> PublishedImage:
        """Publish in a run of its own."""
        self.events.clear()
        self.proxy.asked.clear()
        with Registries(
            self.served,
            login_of=lambda host: ecr_login(host, self.aws),
            docker_config=self.folder / "config.json",
        ) as registries:
            return publish_image(
                image,
                function_name="Render",
                repository=repository,
                region=REGION,
                aws=self.aws,
                registries=registries,
                listener=self.events.append,
                **{"create": False, **options},
            )

    @property
    def notes(self) -> list[str]:
        return [event.message for event in self.events if isinstance(event, Note)]

    def known_to_ecr(self, image: Image, *tags: str) -> None:
        for tag in tags or (None,):
            self.aws.ecr().put_image(
                repositoryName="acme/render",
                imageManifest=image.manifest.decode(),
                imageManifestMediaType=MANIFEST,
                imageDigest=image.digest,
                **({"imageTag": tag} if tag else {}),
            )


@pytest.fixture
def bench(aws: Aws, proxy: Any, tmp_path: Path) -> Iterator[Bench]:
    """A bench whose registry takes ECR's password alone."""
    expected = f"Basic {base64.b64encode(f'AWS:{PASSWORD}'.encode()).decode()}"

    def guarded(_proxy: Any, asked: Any, forward: Callable[[], Any]) -> Any:
        if asked.headers.get("authorization") == expected:
            return forward()
        return UNAUTHORIZED

    proxy.breaks("", guarded, times=FOREVER)
    yield Bench(aws, proxy, tmp_path)


def test_an_image_goes_to_a_repository_that_is_made_for_it(
    bench: Bench, make_image: Any, upstream: Any, front: Any
) -> None:
    image = make_image(b"layer one", b"layer two" * 1000)
    published = bench.publish(image)
    assert published.source.image_uri == f"{HOST}/acme/render@{image.digest}"
    assert not published.reused
    assert published.uploaded_bytes == image.size - len(image.manifest)
    assert upstream.digest("acme/render", image.digest) == image.digest
    assert upstream.digest("acme/render", tag_of(image.digest)) == image.digest
    assert tag_of(image.digest) == f"sha256-{image.digest[7:19]}"
    advanced = sum(event.amount for event in bench.events if isinstance(event, StepAdvanced))
    assert advanced == published.uploaded_bytes
    [found] = bench.aws.ecr().describe_repositories()["repositories"]
    assert (found["repositoryName"], found["imageTagMutability"]) == ("acme/render", "IMMUTABLE")
    assert "SetRepositoryPolicy" in front.calls
    told = json.dumps([repr(event) for event in bench.events])
    assert PASSWORD not in told


def test_an_image_that_the_registry_has_is_not_sent_again(bench: Bench, make_image: Any) -> None:
    image = make_image(b"layer")
    bench.publish(image)
    again = bench.publish(image)
    assert (again.reused, again.uploaded_bytes) == (True, 0)
    assert {asked.method for asked in bench.proxy.asked} == {"HEAD"}


def test_an_image_that_ecr_knows_with_its_tag_costs_one_call(
    bench: Bench, make_image: Any, front: Any
) -> None:
    image = make_image(b"layer")
    bench.publish(make_image(b"another"))
    bench.known_to_ecr(image, tag_of(image.digest))
    front.calls.clear()
    published = bench.publish(image, f"{HOST}/acme/render")
    assert (published.reused, published.uploaded_bytes) == (True, 0)
    assert published.source.image_uri == f"{HOST}/acme/render@{image.digest}"
    assert bench.proxy.asked == []
    assert front.calls == ["BatchGetImage"]


def test_an_image_without_its_tag_gets_it_and_nothing_is_sent(
    bench: Bench, make_image: Any, upstream: Any
) -> None:
    """Without a tag, the lifecycle policy would let it expire."""
    image = make_image(b"layer")
    bench.publish(image)
    upstream.ask("DELETE", f"acme/render/manifests/{tag_of(image.digest)}")
    bench.known_to_ecr(image)
    assert bench.publish(image).reused
    assert bench.proxy.count("HEAD .*/manifests/sha256-") == 1
    assert upstream.digest("acme/render", tag_of(image.digest)) == image.digest


def test_a_tag_that_names_another_image_is_never_moved(bench: Bench, make_image: Any) -> None:
    image, other = make_image(b"layer"), make_image(b"another")
    bench.publish(other)
    bench.known_to_ecr(other, tag_of(image.digest))
    with pytest.raises(PushFailed, match="is another image") as caught:
        bench.publish(image)
    assert other.digest in caught.value.message
    assert bench.proxy.asked == []


def test_an_immutable_tag_at_the_registry_is_a_clear_error(bench: Bench, make_image: Any) -> None:
    image = make_image(b"layer")
    text = f"The image tag '{tag_of(image.digest)}' already exists and cannot be overwritten"
    body = json.dumps({"errors": [{"code": "TAG_INVALID", "message": text}]}).encode()

    def immutable(_proxy: Any, _asked: Any, _forward: Any) -> Any:
        return 400, {"content-type": "application/json"}, body

    bench.proxy.faults.insert(0, (r"PUT .*/manifests/sha256-", FOREVER, immutable))
    with pytest.raises(PushFailed, match="sha256-"):
        bench.publish(image)


def test_a_password_that_has_expired_is_asked_for_again(
    bench: Bench, make_image: Any, front: Any, upstream: Any
) -> None:
    image = make_image(b"layer one", b"layer two")
    bench.publish(make_image(b"first"))
    stale = base64.b64encode(b"AWS:stale").decode()
    told = {"authorizationToken": stale, "expiresAt": 4e9, "proxyEndpoint": f"https://{HOST}"}
    front.calls.clear()
    front.answer("GetAuthorizationToken", {"authorizationData": [told]})

    def good_for_now(_proxy: Any, asked: Any, forward: Any) -> Any:
        return forward() if asked.headers.get("authorization") == f"Basic {stale}" else UNAUTHORIZED

    bench.proxy.faults.insert(
        0, ("", 3, good_for_now)
    )  # the third request is the first that it is too old for
    published = bench.publish(image, f"{HOST}/acme/render")
    assert not published.reused
    assert upstream.digest("acme/render", image.digest) == image.digest
    assert front.calls.count("GetAuthorizationToken") == 2


def test_a_missing_repository_is_made_on_request_alone(bench: Bench, make_image: Any, front: Any) -> None:
    bench.served = lambda _host: None
    with pytest.raises(RepositoryUnknown, match=f"no repository {HOST}/acme/render") as caught:
        bench.publish(make_image(b"layer"))
    assert "--create-repository" in (caught.value.hint or "")
    assert "CreateRepository" not in front.calls


def test_a_repository_of_another_region_is_refused_before_anything_is_asked(
    bench: Bench, make_image: Any, front: Any
) -> None:
    with pytest.raises(RepositoryUnknown, match="only from its own region"):
        bench.publish(make_image(b"layer"), f"{HOST}/render".replace("eu-west-1", "us-east-1"))
    assert front.calls == bench.proxy.asked == []


def test_another_accounts_repository_is_pushed_to(bench: Bench, make_image: Any, front: Any) -> None:
    other = HOST.replace("123456789012", "999999999999")
    bench.aws.ecr().create_repository(repositoryName="render")  # moto has one registry for all accounts
    published = bench.publish(make_image(b"layer"), f"{other}/{{function}}")
    assert published.source.image_uri.startswith(f"{other}/render@sha256:")
    assert "CreateRepository" not in front.calls[1:]


def test_any_other_registry_takes_images_with_a_warning(
    bench: Bench, make_image: Any, front: Any, upstream: Any
) -> None:
    image = make_image(b"layer")
    published = bench.publish(image, f"{upstream.host}/acme/{{function}}")
    assert published.source.image_uri == f"{upstream.host}/acme/render@{image.digest}"
    assert upstream.digest("acme/render", tag_of(image.digest)) == image.digest
    assert "Lambda takes images from a private ECR repository alone" in bench.notes[0]
    assert front.calls == []


@pytest.mark.parametrize(
    ("repository", "function", "expected"),
    [
        ("{function}", "Render_Invoices", "render_invoices"),
        ("acme/{function}", "render", "acme/render"),
        (f"{HOST}/{{function}}", "a-b", f"{HOST}/a-b"),
        ("acme/all", "-odd-", "acme/all"),
    ],
)
def test_the_functions_name_is_filled_in(repository: str, function: str, expected: str) -> None:
    assert full_name(repository, function) == expected


@pytest.mark.parametrize("function", ["-odd", "odd_", "a___b", "a-_b"])
def test_a_function_whose_name_makes_no_repository_needs_another(function: str) -> None:
    with pytest.raises(ConfigInvalid, match="no name of a repository") as caught:
        full_name("acme/{function}", function)
    assert "{function}" in (caught.value.hint or "")


@pytest.mark.parametrize("repository", ["acme/render:tag", f"acme/render@sha256:{'ab' * 32}", "Acme/x y"])
def test_a_repository_has_no_tag(repository: str) -> None:
    with pytest.raises(ConfigInvalid):
        full_name(repository, "render")


def test_no_repository_is_an_error_with_a_hint() -> None:
    with pytest.raises(RepositoryUnknown) as caught:
        full_name("", "render")
    assert "planton.toml" in (caught.value.hint or "")


def test_a_layer_that_a_relative_has_is_mounted_from_there(bench: Bench, make_image: Any) -> None:
    shared, own = b"packages" * 5000, b"sources"
    bench.publish(make_image(shared, b"others"), "acme/other")
    image = make_image(shared, own)
    relatives = (f"{HOST}/acme/base:3.13", "acme/other", "acme/render", "registry.example/acme/other")
    published = bench.publish(image, relatives=relatives)
    assert published.uploaded_bytes == len(own) + len(image.config)
    assert bench.proxy.count(r"^POST .*from=acme(/|%2F)other") >= 1
    assert bench.proxy.count("from=acme(/|%2F)render|from=.*example") == 0
