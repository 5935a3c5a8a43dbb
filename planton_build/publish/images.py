"""Put an image into a registry once, under its digest and a tag that says what it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from planton_build.errors import ConfigInvalid, ImageUnavailable, PushFailed, RepositoryUnknown
from planton_build.events import Listener, Note, StepAdvanced
from planton_build.manifest.code_source import ImageSource
from planton_build.oci.image import Image
from planton_build.publish.aws import Aws
from planton_build.publish.ecr import EcrRegistry, EcrRepository, is_ecr, parse_repository
from planton_build.registry.pull import Repository
from planton_build.registry.push import push
from planton_build.registry.reference import parse_reference
from planton_build.registry.registries import Registries

_TAG_DIGITS = 12


@dataclass(frozen=True, slots=True)
class PublishedImage:
    """Where the image is. `uploaded_bytes` is what was sent; `reused` tells that the image was there."""

    source: ImageSource
    uploaded_bytes: int
    reused: bool


def full_name(repository: str, function_name: str) -> str:
    """Return a repository's name with `{function}` filled in; the function's name in small letters.

    Raises:
        RepositoryUnknown: no repository is configured.
        ConfigInvalid: the function's name makes no name of a repository.
    """
    if not repository:
        raise RepositoryUnknown(
            f"no repository is named for the image of {function_name}",
            hint='set `repository = "{function}"` in planton.toml, or pass --repository',
        )
    name = repository.replace("{function}", function_name.lower())
    try:
        found = parse_reference(name)
        exact = found.name == name
    except ImageUnavailable:
        exact = False
    if not exact:
        raise ConfigInvalid(
            f"{name!r} is no name of a repository",
            hint="its parts are small letters and digits, with single `.`, `_` or `-` between them; "
            "write a name in place of {function} where the function's name does not fit",
        )
    return name


def tag_of(digest: str) -> str:
    """Return the tag that an image gets: from its content, so that it never has to move."""
    return f"sha256-{digest.removeprefix('sha256:')[:_TAG_DIGITS]}"


def publish_image(
    image: Image,
    *,
    function_name: str,
    repository: str,
    create: bool,
    region: str | None,
    aws: Aws,
    registries: Registries,
    listener: Listener,
    jobs: int = 4,
    relatives: Sequence[str] = (),
) -> PublishedImage:
    """Make sure that the image is in the repository, and return where.

    Args:
        image: what to publish. Layers that are in a registry are mounted or streamed from there.
        function_name: for `{function}` and for events.
        repository: its name, with or without a registry; without, it is in the ECR of the caller's account
            and the function's region.
        create: make a missing repository in ECR. One of a stand-in is always made.
        region: the function's; None means the session's.
        aws: the caller of ECR. A registry that is not ECR is logged in to with docker's login.
        registries: the sessions of this run.
        listener: is told what was sent, and what is to be known about the repository.
        jobs: how many layers are sent at once.
        relatives: repositories, with or without a registry, that may have some of the layers: those of the
            base image and of other functions. What is on the same registry is mounted from there.

    Raises:
        RepositoryUnknown, AccessDenied, CredentialsMissing, AwsUnreachable, RegistryUnreachable, PushFailed,
        ConfigInvalid; and what reading the layers raises (ImageUnavailable, ImageMismatch, CacheBroken).
    """
    name = full_name(repository, function_name)
    host = parse_reference(name).host
    tag = tag_of(image.digest)

    def send(host: str, path: str) -> PublishedImage:
        target = Repository(registries.session(host), path, pushing=True)
        pushed = push(
            image, target, tags=[tag], jobs=jobs, progress=advanced, sources=_beside(host, path, relatives)
        )
        source = ImageSource(f"{host}/{path}@{image.digest}")
        return PublishedImage(source, pushed.uploaded_bytes, pushed.reused)

    def advanced(amount: int) -> None:
        listener(StepAdvanced(function_name, "publish", amount))

    if host is not None and not is_ecr(host):
        message = f"the image goes to {host}, and Lambda takes images from a private ECR repository alone"
        listener(Note(function_name, message, "warning"))
        return send(host, name.removeprefix(f"{host}/"))
    ecr = EcrRegistry.of(aws, aws.region(region))
    place = ecr.repository(name) if host is None else parse_repository(name)
    ecr.check_region(place)
    standing_in = registries.address(place.host) is not None
    there, notes = _prepared(ecr, place, image.digest, tag, create=create, standing_in=standing_in)
    if there:
        return PublishedImage(ImageSource(f"{place.uri}@{image.digest}"), 0, reused=True)
    for note in notes:
        listener(Note(function_name, note, "warning"))
    return send(place.host, place.name)


def _beside(host: str, path: str, relatives: Sequence[str]) -> list[str]:
    """Return the repositories among `relatives` that are on the same registry, each once, without tags."""
    found: dict[str, None] = {}
    for name in relatives:
        first, _, rest = name.partition("/")
        own = "." not in first and ":" not in first and first != "localhost"
        if (own and is_ecr(host)) or first == host:
            found[(name if own else rest).partition(":")[0]] = None
    found.pop(path, None)
    return list(found)


def _prepared(
    ecr: EcrRegistry, place: EcrRepository, digest: str, tag: str, *, create: bool, standing_in: bool
) -> tuple[bool, tuple[str, ...]]:
    """See that the repository is there; tell whether the image is, with its tag, and what is to be known."""
    try:
        found, tagged = ecr.images(place, digest, tag)
    except RepositoryUnknown:
        if not (create or standing_in):
            raise
        return False, ecr.create(place)
    if tagged is not None and tagged != digest:
        raise PushFailed(
            f"{place.uri}:{tag} is another image ({tagged}) than the one to publish ({digest})",
            hint="somebody gave this tag to another image; take it away from that one",
        )
    # Without its tag, it is there but may expire: pushing sends nothing then, and sets the tag.
    if found and tagged:
        return True, ()
    return False, () if standing_in else ecr.remarks(place)
