"""`push`: an image into a repository: what it lacks, with the least traffic, its manifest last.

A registry never shows a half image: a manifest is only sent when every blob it names is there.
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from planton_build.errors import ImageInvalid, PlantonError, PushFailed, SeveralErrors
from planton_build.oci.blobs import DIGEST, BytesContent, Content, Descriptor
from planton_build.oci.documents import parse_manifest
from planton_build.oci.image import Image
from planton_build.parallel import SingleFlight, each
from planton_build.registry.failures import Answer, Scope, nonsense, refused
from planton_build.registry.pull import RemoteContent, Repository
from planton_build.registry.upload import Upload

_MOUNTS_MAX = 3
"""Repositories that are tried for a mount, each of which costs a request."""
_Way: TypeAlias = Literal["uploaded", "mounted", "present"]
_BLOBS: SingleFlight[_Way] = SingleFlight()
"""Blobs under way, of all functions: one that several images have is sent once."""


@dataclass(frozen=True, slots=True)
class Pushed:
    """What became of a push, in blobs; with `reused` the image was there already."""

    digest: str
    uploaded_bytes: int
    uploaded: int
    mounted: int
    present: int
    tags: tuple[str, ...]
    reused: bool = False


def push(
    image: Image,
    repository: Repository,
    *,
    tags: Sequence[str],
    jobs: int = 4,
    progress: Callable[[int], None] = lambda _amount: None,
    sources: Sequence[str] = (),
) -> Pushed:
    """Send an image to a repository, unless it is there, and see that the tags name it.

    Args:
        image: layers that are in a registry are mounted, or go through in a stream.
        repository: where to.
        tags: names for it, such as `sha256-0123456789ab`; without any it only has its digest.
        jobs: blobs that are sent side by side.
        progress: told how many bytes more are dealt with; in the end the sum is that of all distinct blobs.
        sources: other repositories of the registry that may have some of the layers.

    Raises:
        RepositoryUnknown, AccessDenied, PushFailed, RegistryUnreachable: the registry does not take it.
        ImageUnavailable, ImageMismatch, CacheBroken: a layer's bytes are not to be had, or are others.
        ImageInvalid: the image's parts do not fit together.
    """
    repository = replace(repository, pushing=True)
    blobs = _blobs(image)
    if repository.has_manifest(image.digest) == image.digest:
        for tag in tags:
            if repository.has_manifest(tag) != image.digest:
                _put_manifest(image, repository, tag)
        progress(sum(descriptor.size for descriptor, _ in blobs))
        return Pushed(image.digest, 0, 0, 0, len(blobs), tuple(tags), reused=True)

    def sent(blob: tuple[Descriptor, Content]) -> _Way:
        return _sent(repository, *blob, sources, progress)

    try:
        ways = each(blobs, sent, jobs=jobs)
    except SeveralErrors as errors:
        raise errors.errors[0] from errors
    for reference in (image.digest, *tags):
        _put_manifest(image, repository, reference)
    done = [way == "uploaded" for way in ways]
    return Pushed(
        image.digest,
        sum(descriptor.size for (descriptor, _), way in zip(blobs, ways, strict=True) if way == "uploaded"),
        sum(done),
        ways.count("mounted"),
        ways.count("present"),
        tuple(tags),
    )


def _blobs(image: Image) -> list[tuple[Descriptor, Content]]:
    """Return the distinct blobs of an image, the largest first.

    Raises:
        ImageInvalid: the manifest names others.
    """
    manifest = parse_manifest(image.manifest, image.media_type)
    layers = tuple(layer.descriptor for layer in image.layers)
    config = (manifest.config.digest, manifest.config.size)
    if manifest.layers != layers or config != (image.config_digest, len(image.config)):
        raise ImageInvalid("the image's manifest names other blobs than the image has")
    blobs: dict[str, tuple[Descriptor, Content]] = {
        layer.descriptor.digest: (layer.descriptor, layer.content) for layer in image.layers
    }
    blobs[image.config_digest] = (manifest.config, BytesContent(image.config))
    return sorted(blobs.values(), key=lambda blob: -blob[0].size)


def _sent(
    repository: Repository,
    descriptor: Descriptor,
    content: Content,
    sources: Sequence[str],
    progress: Callable[[int], None],
) -> _Way:
    """See that a repository has a blob, and tell how it came there."""
    told = 0

    def reached(position: int) -> None:
        nonlocal told
        if position > told:  # an upload that begins anew has told of its first bytes
            progress(position - told)
            told = position

    def work() -> _Way:
        if repository.has_blob(descriptor.digest):
            return "present"
        begun = None
        for source in _mountable(repository, content, sources):
            answer = _mounted(repository, descriptor.digest, source)
            if answer is not None and answer.status == 201:
                return "mounted"
            begun = answer or begun
        Upload(repository, descriptor, content, reached).run(begun)
        return "uploaded"

    mine = False

    def once() -> _Way:
        nonlocal mine
        mine = True
        return work()

    way = _BLOBS.run((repository.session.base, repository.name, descriptor.digest), once)
    reached(descriptor.size)
    return way if mine else "present"


def _mountable(repository: Repository, content: Content, sources: Sequence[str]) -> list[str]:
    """Return the repositories of the same registry that may have a blob."""
    own = isinstance(content, RemoteContent) and content.repository.session.base == repository.session.base
    first = [content.repository.name] if own and isinstance(content, RemoteContent) else []
    return [name for name in dict.fromkeys((*first, *sources)) if name != repository.name][:_MOUNTS_MAX]


def _mounted(repository: Repository, digest: str, source: str) -> Answer | None:
    """Ask for a blob of another repository: 201 is a mount, 202 an upload begun instead, None a no."""
    session = repository.session
    place = f"?mount={digest}&from={source}"
    scope = Scope(session.host, repository.name, pushing=True, source=source)
    try:
        answer = session.send(
            "POST", session.url(repository.name, "blobs", "uploads", place), scope, content=b""
        )
    except PlantonError:
        return None  # a token for both repositories may be refused; one for the target alone is another thing
    if answer.status == 201 and answer.headers.get("docker-content-digest", digest) == digest:
        return answer
    return answer if answer.status == 202 and answer.headers.get("location") else None


def _put_manifest(image: Image, repository: Repository, reference: str) -> None:
    session, scope = repository.session, repository.scope
    answer = session.send(
        "PUT",
        session.url(repository.name, "manifests", urllib.parse.quote(reference, safe=":")),
        scope,
        headers={"Content-Type": image.media_type},
        content=image.manifest,
    )
    if answer.status in (200, 201, 202):
        digest = answer.headers.get("docker-content-digest") or image.digest
        if digest != image.digest:
            raise nonsense(scope, f"stores the manifest {image.digest} as {digest[:80]}")
        return
    if DIGEST.fullmatch(reference) is None and (there := repository.has_manifest(reference)) is not None:
        if there == image.digest:
            return  # an immutable tag that names this very image
        if _says_immutable(answer):
            raise PushFailed(
                f"the tag {repository.shown(reference)} names {there} and cannot be moved to {image.digest} "
                f"({answer.words})",
                hint="the image is there, by its digest: use another tag, or make the tags mutable",
            )
    raise refused(scope, answer, repository.shown(reference))


def _says_immutable(answer: Answer) -> bool:
    words = " ".join(message for _, message in answer.errors).lower()
    tag = answer.says("TAG_INVALID", "ImageTagAlreadyExistsException", "ImageTagAlreadyExists")
    return tag or answer.status == 409 or "immutable" in words or "already exists" in words
