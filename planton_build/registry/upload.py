"""`Upload`: one blob on its way into a repository, in pieces, going on after failures.

A piece is read once, hashed and sent from memory: what is hashed is what is sent, and an upload is only
completed when all of it has the blob's digest.
"""

from __future__ import annotations

import hashlib
import re
import urllib.parse
from collections.abc import Callable, Iterator, Mapping

from planton_build.errors import CacheBroken, PlantonError, PushFailed
from planton_build.oci.blobs import Content, Descriptor, FileContent
from planton_build.registry.failures import Answer, nonsense, refused, unreachable
from planton_build.registry.pull import Repository
from planton_build.registry.session import TRANSIENT, ConnectionLost, joined

PIECE = 10 << 20
"""Bytes of a piece. ECR takes no less than 5 MiB, and 10 at most (quota "layer part size")."""
_PIECE_MAX = 64 << 20
"""Bytes of a piece that a registry may ask for: several are in memory at once."""
_TRIES = 5
_LONG_SECONDS = 300.0
"""How long a registry may take to store a piece, or to hash what it has got."""
_BINARY = {"Content-Type": "application/octet-stream"}
_LOST = ("BLOB_UPLOAD_UNKNOWN", "BLOB_UPLOAD_INVALID", "DIGEST_INVALID", "SIZE_INVALID", "RANGE_INVALID")
"""Errors of an upload that a new one may not have."""


class _Gone(Exception):
    """This upload leads nowhere: another may. `final` is the error if none does."""

    def __init__(self, final: PlantonError, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(str(final))
        self.final = final
        self.headers = headers


class Upload:
    """One blob, from wherever its bytes are, into a repository that lacks it."""

    def __init__(
        self,
        repository: Repository,
        descriptor: Descriptor,
        content: Content,
        reached: Callable[[int], None],
    ) -> None:
        """Make an upload; nothing is sent yet. `reached` is told up to where the registry has the blob."""
        self._repository = repository
        self._session = repository.session
        self._scope = repository.scope
        self._descriptor = descriptor
        self._content = content
        self._reached = reached
        self._piece = PIECE

    def run(self, begun: Answer | None = None) -> None:
        """Send the blob. `begun` is the answer that has begun an upload already, if any.

        Raises:
            RepositoryUnknown, AccessDenied, PushFailed, RegistryUnreachable: the registry does not take it.
            ImageUnavailable, ImageMismatch, CacheBroken: its bytes are not to be had, or are others.
        """
        for attempt in range(1, _TRIES + 1):
            location = self._location(begun if begun is not None else self._begun())
            begun = None
            try:
                self._send(location)
            except _Gone as gone:
                if self._repository.has_blob(self._descriptor.digest):
                    break
                if attempt == _TRIES:
                    raise gone.final from gone
                self._session.pause(attempt, gone.headers)
            else:
                break
        self._reached(self._descriptor.size)

    def _begun(self) -> Answer:
        url = self._session.url(self._repository.name, "blobs", "uploads", "")
        answer = self._session.send("POST", url, self._scope, content=b"")
        if answer.status != 202:
            raise self._refused(answer)
        return answer

    def _location(self, answer: Answer) -> str:
        """Return where an upload that has begun goes on, and take note of the least size of pieces."""
        location = answer.headers.get("location")
        if not location:
            raise nonsense(self._scope, "begins an upload and does not say where it goes on")
        least = answer.headers.get("oci-chunk-min-length", "")
        if least.isascii() and least.isdigit():
            self._piece = max(PIECE, min(int(least[:12]), self._descriptor.size))
            if self._piece > _PIECE_MAX:
                raise PushFailed(
                    f"{self._scope.name}: the registry takes no pieces smaller than {least[:12]} bytes",
                    hint=f"at most {_PIECE_MAX >> 20} MiB are sent at a time: use another registry",
                )
        start = self._session.url(self._repository.name, "blobs", "uploads", "")
        return joined(start, location, self._scope)

    def _send(self, location: str) -> None:
        """Send all pieces and complete the upload; the last piece is only sent if all bytes are right."""
        digest, size, position, last = hashlib.sha256(), self._descriptor.size, 0, memoryview(b"")
        pieces = self._pieces()
        for piece in pieces:
            digest.update(piece)
            position += len(piece)
            if position >= size:
                last = piece
                break
            location = self._put(location, position - len(piece), piece)
            self._reached(position)
        right = digest.hexdigest() == self._descriptor.hex and position == size
        if not right or next(pieces, None) is not None:
            self._cancel(location)
            raise self._differs()
        if len(last) < size:
            location, last = self._put(location, size - len(last), last), memoryview(b"")
        self._complete(location, last)

    def _pieces(self) -> Iterator[memoryview]:
        """Yield the blob in pieces, each of which is only there until the next one is asked for."""
        size = min(self._piece, self._descriptor.size + 1)
        buffer, filled = memoryview(bytearray(size)), 0
        for chunk in self._content.chunks():
            rest = memoryview(chunk)
            while rest:
                taken = min(len(rest), size - filled)
                buffer[filled : filled + taken] = rest[:taken]
                filled, rest = filled + taken, rest[taken:]
                if filled == size:
                    yield buffer
                    filled = 0
        if filled:
            yield buffer[:filled]

    def _put(self, location: str, start: int, piece: memoryview) -> str:
        """Send one piece; return where the next one goes."""
        position, end, failures, asked_in_vain = start, start + len(piece), 0, False
        furthest = start
        while position < end:
            answer = None
            try:
                answer = self._session.once(
                    "PATCH",
                    location,
                    self._scope,
                    headers={**_BINARY, "Content-Range": f"{position}-{end - 1}"},
                    content=piece[position - start :],
                    seconds=_LONG_SECONDS,
                )
            except ConnectionLost as lost:
                failure = unreachable(self._scope, lost.url, lost.cause)
            else:
                failure = self._refused(answer)
            if answer is not None and answer.status in (200, 201, 202, 204):
                # What a `Range` says here is not looked at: ECR's stays at the end of the first piece, and
                # answers 201 (aws/containers-roadmap issue 2831). The digest of all of it decides.
                return self._next(location, answer)
            if answer is not None and answer.status not in (416, *TRANSIENT):
                raise self._lost(answer) or failure
            failures += 1
            if failures >= _TRIES:
                raise failure
            held = _held(answer) if answer is not None and answer.status == 416 else None
            if held is None:
                self._session.pause(failures, answer.headers if answer is not None else None)
                location, held = self._asked(location)
            if held is None and not asked_in_vain:
                asked_in_vain, held = True, position  # ECR does not tell: what comes next does, by a 416
            if held is None or not start <= held <= end:
                raise _Gone(failure)
            if held > furthest:  # and not only further than a registry has gone back to
                failures, furthest = 0, held
            position = held
        return location

    def _asked(self, location: str) -> tuple[str, int | None]:
        """Ask what an upload has got: where it goes on, and from which byte, or None if it does not tell."""
        answer = self._session.send("GET", location, self._scope)
        if answer.status not in (200, 202, 204):
            return location, None
        return self._next(location, answer), _held(answer)

    def _complete(self, location: str, rest: memoryview) -> None:
        """Complete an upload with its last bytes."""
        mark = "&" if urllib.parse.urlsplit(location).query else "?"
        url = f"{location}{mark}{urllib.parse.urlencode({'digest': self._descriptor.digest})}"
        for attempt in range(1, _TRIES + 1):
            headers = None
            try:
                answer = self._session.once(
                    "PUT", url, self._scope, headers=_BINARY, content=rest, seconds=_LONG_SECONDS
                )
                failure, headers = self._refused(answer), answer.headers
            except ConnectionLost as lost:
                failure = unreachable(self._scope, lost.url, lost.cause)
            else:
                if answer.status in (200, 201, 202, 204):
                    self._check(answer)
                    return
                if answer.status not in TRANSIENT:
                    raise self._lost(answer) or failure
            if attempt == _TRIES:
                raise failure
            self._session.pause(attempt, headers)
            if self._repository.has_blob(self._descriptor.digest):
                return  # only the answer was lost; bytes that came twice, the registry refuses by the digest

    def _check(self, answer: Answer) -> None:
        digest = answer.headers.get("docker-content-digest") or self._descriptor.digest
        if digest != self._descriptor.digest:
            raise nonsense(self._scope, f"stores {self._descriptor.digest} as {digest[:80]}")
        if answer.status == 201 or self._repository.has_blob(digest):
            return
        raise nonsense(self._scope, f"completes an upload ({answer.words}) and lacks the blob")

    def _next(self, location: str, answer: Answer) -> str:
        return joined(location, answer.headers.get("location") or location, self._scope)

    def _lost(self, answer: Answer) -> _Gone | None:
        """Return the sign to begin anew, if an answer says that this upload is lost."""
        if answer.status in (401, 403) or answer.says("NAME_UNKNOWN"):
            return None
        if answer.status in (404, 416) or answer.says(*_LOST):
            blob = self._repository.shown(self._descriptor.digest)
            final = PushFailed(
                f"{self._scope.host} loses the upload of {blob} again and again ({answer.words})",
                hint="run the command again later; a registry behind several servers needs one shared secret",
            )
            return _Gone(final, answer.headers)
        return None

    def _cancel(self, location: str) -> None:
        """Tell the registry to forget an upload; what it answers does not matter."""
        try:
            self._session.once("DELETE", location, self._scope)
        except (ConnectionLost, PlantonError):
            return

    def _refused(self, answer: Answer) -> PlantonError:
        return refused(self._scope, answer, self._repository.shown(self._descriptor.digest))

    def _differs(self) -> CacheBroken:
        path = self._content.path if isinstance(self._content, FileContent) else None
        return CacheBroken(
            f"the bytes of the blob {self._descriptor.digest} are not those that it was made of",
            hint=f"remove {path} and run the command again" if path else "run the command again",
            file=path,
        )


def _held(answer: Answer) -> int | None:
    """Return how many bytes an upload has, by `Range: 0-LAST` or by the words of ECR's refusal."""
    if told := re.fullmatch(r"(?:bytes=)?0-(\d{1,15})", answer.headers.get("range", "").strip()):
        return int(told[1]) + 1 if told[1] != "0" else 0  # of nothing, registries say 0-0
    words = " ".join(message for _, message in answer.errors)
    told = re.search(r"First byte of the layer part is \d+ instead of (\d{1,15})", words)
    return int(told[1]) if told else None
