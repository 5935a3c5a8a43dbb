"""`Repository`: what a registry has under one name, read with suspicion; `RemoteContent`: a blob's bytes."""

from __future__ import annotations

import hashlib
import re
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from planton_build.errors import ImageInvalid, ImageMismatch, PlantonError
from planton_build.oci.blobs import DIGEST, Descriptor
from planton_build.oci.documents import (
    DOCUMENT_LIMIT,
    document_of,
    media_type_of,
    parse_config,
    parse_index,
    parse_manifest,
)
from planton_build.oci.image import Image, Layer
from planton_build.oci.media_types import ARCHITECTURES, INDEXES, MANIFESTS
from planton_build.registry.failures import WORDS_LIMIT, Answer, Scope, nonsense, refused, unreachable
from planton_build.registry.session import TRANSIENT, ConnectionLost, Session

if TYPE_CHECKING:
    import httpx2

_ACCEPT = {"Accept": ", ".join((*MANIFESTS, *INDEXES))}
_LOSSES_MAX = 5
"""How often in a row a download may break off without a byte of progress."""
_BREAKS_MAX = 100
"""How often it may break off at all."""
_TRY_AGAIN = "try again; if it stays so, a proxy or the registry changes images"


@dataclass(frozen=True, slots=True)
class Repository:
    """The images of one name on a registry. `pushing` decides what is asked for, and which errors are raised.

    Every method raises ImageUnavailable (pushing: RegistryUnreachable, AccessDenied, PushFailed) when the
    registry does not answer or refuses.
    """

    session: Session
    name: str
    pushing: bool = field(default=False, kw_only=True)

    @property
    def scope(self) -> Scope:
        """Return what requests to this repository are about."""
        return Scope(self.session.host, self.name, self.pushing)

    def shown(self, reference: str) -> str:
        """Return the name of an image here, for messages."""
        return f"{self.scope.name}{'@' if DIGEST.fullmatch(reference) else ':'}{reference}"

    def manifest(self, reference: str) -> tuple[str, bytes]:
        """Return media type and bytes of a manifest, or an index, by tag or digest.

        Raises:
            ImageMismatch: the bytes do not have the digest that names them.
            ImageInvalid: they are no JSON object.
        """
        answer = self.session.send("GET", self._manifest_url(reference), self.scope, headers=_ACCEPT)
        if answer.status != 200:
            raise refused(self.scope, answer, self.shown(reference))
        digest = f"sha256:{hashlib.sha256(answer.content).hexdigest()}"
        promised = {answer.headers.get("docker-content-digest") or digest, digest}
        if DIGEST.fullmatch(reference):
            promised.add(reference)
        if len(promised) > 1:
            raise ImageMismatch(
                f"the registry's manifest of {self.shown(reference)} does not have the digest that names it",
                hint=_TRY_AGAIN,
            )
        document = document_of(answer.content, f"the registry's manifest of {self.shown(reference)}")
        return media_type_of(document, answer.headers.get("content-type", "")), answer.content

    def manifest_for(self, reference: str, *, architecture: str) -> tuple[str, bytes]:
        """Return media type and bytes of the manifest of one image: of an index, the architecture's.

        `architecture` is a machine's name or Lambda's (`x86_64`, `aarch64`, `arm64`).

        Raises:
            ImageMismatch: an index has no image for it; or as `manifest`.
            ImageInvalid: this is no manifest of an image.
        """
        wanted = ARCHITECTURES.get(architecture, architecture)
        media_type, content = self.manifest(reference)
        if media_type in INDEXES:
            descriptor = self._of_platform(reference, content, wanted)
            media_type, content = self.manifest(descriptor.digest)
            if len(content) != descriptor.size:
                raise ImageMismatch(
                    f"the index of {self.shown(reference)} tells another size of its manifest",
                    hint=_TRY_AGAIN,
                )
        parse_manifest(content, media_type)
        return media_type, content

    def image(self, reference: str, *, architecture: str) -> Image:
        """Return an image, with its documents verified and its layers where they are: in the registry.

        Raises:
            ImageMismatch: it is of another architecture, or its bytes have not the digests that name them.
            ImageInvalid: its documents are malformed.
        """
        media_type, content = self.manifest_for(reference, architecture=architecture)
        parsed = parse_manifest(content, media_type)
        config = self._document(parsed.config)
        settings = parse_config(config)
        wanted = f"linux/{ARCHITECTURES.get(architecture, architecture)}"
        if f"{settings.os}/{settings.architecture}" != wanted:
            raise ImageMismatch(
                f"{self.shown(reference)} is an image for {settings.os[:20]}/{settings.architecture[:20]}, "
                f"not for {wanted}",
                hint="choose an image, or a tag, for the function's architecture",
            )
        if len(settings.diff_ids) != len(parsed.layers):
            raise ImageInvalid(
                f"{self.shown(reference)}: the manifest names {len(parsed.layers)} layers, the configuration "
                f"{len(settings.diff_ids)}"
            )
        layers = tuple(
            Layer(descriptor, diff_id, RemoteContent(self, descriptor))
            for descriptor, diff_id in zip(parsed.layers, settings.diff_ids, strict=True)
        )
        return Image(media_type, content, config, layers)

    def has_manifest(self, reference: str) -> str | None:
        """Return the digest that a tag or digest stands for, or None when the repository lacks it."""
        url = self._manifest_url(reference)
        answer = self.session.send("HEAD", url, self.scope, headers=_ACCEPT)
        if answer.status == 404:
            return None
        if answer.status != 200:
            raise refused(self.scope, answer, self.shown(reference))
        digest = answer.headers.get("docker-content-digest", "")
        if not DIGEST.fullmatch(digest):
            return f"sha256:{hashlib.sha256(self.manifest(reference)[1]).hexdigest()}"
        if DIGEST.fullmatch(reference) and digest != reference:
            raise nonsense(self.scope, f"says that {reference} has the digest {digest}")
        return digest

    def has_blob(self, digest: str) -> bool:
        """Tell whether the repository has a blob."""
        url = self.session.url(self.name, "blobs", digest)
        answer = self.session.send("HEAD", url, self.scope)
        if answer.status not in (200, 404):
            raise refused(self.scope, answer, self.shown(digest))
        return answer.status == 200

    def _manifest_url(self, reference: str) -> str:
        return self.session.url(self.name, "manifests", urllib.parse.quote(reference, safe=":"))

    def _of_platform(self, reference: str, content: bytes, architecture: str) -> Descriptor:
        """Return the manifest that an index has for a Linux of an architecture."""
        offered = set()
        for entry in parse_index(content):
            if entry.attestation:
                continue
            offered.add(f"{entry.os}/{entry.architecture}"[:40])
            fits = (entry.os, entry.architecture) == ("linux", architecture)
            if fits and entry.variant in ("", "v8") and entry.descriptor.media_type in MANIFESTS:
                return entry.descriptor
        raise ImageMismatch(
            f"{self.shown(reference)} has no image for linux/{architecture}, only for "
            f"{', '.join(sorted(offered)[:8]) or 'nothing'}",
            hint="choose an image, or a tag, for the function's architecture",
        )

    def _document(self, descriptor: Descriptor) -> bytes:
        if descriptor.size > DOCUMENT_LIMIT:
            raise ImageInvalid(
                f"{self.scope.name}: the image's configuration is larger than {DOCUMENT_LIMIT >> 20} MiB"
            )
        return b"".join(RemoteContent(self, descriptor).chunks())


@dataclass(frozen=True, slots=True)
class RemoteContent:
    """A blob in a registry. It is read in a stream, which goes on where a lost connection left it."""

    repository: Repository
    descriptor: Descriptor

    def chunks(self, offset: int = 0) -> Iterator[bytes]:
        """Yield the bytes from `offset` on; read from the start, the last only come if all are right.

        Raises:
            ImageUnavailable: the registry does not give the blob.
            ImageMismatch: the bytes do not have the blob's digest or size.
        """
        digest, size = (hashlib.sha256() if offset == 0 else None), self.descriptor.size
        position, held, lost, breaks = offset, b"", 0, 0
        while position < size:
            before = position
            try:
                for piece in self._from(position):
                    position += len(piece)
                    if position > size:
                        raise self._mismatch(f"is larger than {size} bytes")
                    if digest is not None:
                        digest.update(piece)
                    if held:
                        yield held
                    held = piece
                failure: BaseException = EOFError("the answer ends too early")
                headers = None
            except ConnectionLost as error:
                failure, headers = error.cause, None
            except _Busy as error:
                failure, headers = error, error.answer.headers
            lost, breaks = 0 if position > before else lost + 1, breaks + 1
            if position < size:
                if lost >= _LOSSES_MAX or breaks >= _BREAKS_MAX:
                    raise self._gave_up(failure) from failure
                self.repository.session.pause(lost + 1, headers)
        if digest is not None and f"sha256:{digest.hexdigest()}" != self.descriptor.digest:
            raise self._mismatch("has other bytes than its digest says")
        if held:
            yield held

    def _from(self, position: int) -> Iterator[bytes]:
        """Yield what one request gives from a position on."""
        repository = self.repository
        url = repository.session.url(repository.name, "blobs", self.descriptor.digest)
        wanted = {"Range": f"bytes={position}-"} if position else {}
        with repository.session.opened("GET", url, repository.scope, headers=wanted) as response:
            if response.status_code in (200, 206):
                yield from _rest(response, position)
                return
            answer = _read_words(response)
        if answer.status in TRANSIENT:
            raise _Busy(answer)
        raise refused(repository.scope, answer, repository.shown(self.descriptor.digest))

    def _gave_up(self, failure: BaseException) -> PlantonError:
        repository = self.repository
        if isinstance(failure, _Busy):
            return refused(repository.scope, failure.answer, repository.shown(self.descriptor.digest))
        return unreachable(repository.scope, repository.session.base, failure)

    def _mismatch(self, what: str) -> ImageMismatch:
        return ImageMismatch(
            f"{self.repository.shown(self.descriptor.digest)}: the blob {what}", hint=_TRY_AGAIN
        )


class _Busy(Exception):
    """The registry answers, for now, with an error."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.words)
        self.answer = answer


def _rest(response: httpx2.Response, position: int) -> Iterator[bytes]:
    """Yield a body from a position on, whether or not the server has understood the range."""
    skipped = 0
    if response.status_code == 206:
        start = re.match(r"bytes (\d+)-", response.headers.get("content-range", ""))
        skipped = int(start[1]) if start else position
    for piece in response.iter_raw():
        begin = max(position - skipped, 0)
        skipped += len(piece)
        if begin < len(piece):
            yield piece[begin:]


def _read_words(response: httpx2.Response) -> Answer:
    content = bytearray()
    for piece in response.iter_raw():
        content += piece
        if len(content) > WORDS_LIMIT:
            break
    return Answer(response.status_code, dict(response.headers), bytes(content[:WORDS_LIMIT]))
