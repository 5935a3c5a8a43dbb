"""The lowest layer of reading dependency files: bounded reading, logical lines, options, places in errors."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

from planton_build.errors import DependencyInputInvalid

MAX_BYTES = 16 << 20
"""Largest dependency file that is read. A fully hashed set of a thousand packages has about 5 MB."""

_COMMENT = re.compile(r"(^|\s+)#.*$")
_SEPARATORS = re.compile(r"[-_.]+")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_EDITABLE = re.compile(r"""(?:-e|--editable)(?:\s+|\s*=\s*)(["']?)(\S.*)\1""")
_ATTACHED = re.compile(r"-[rcefi][^=]")
_PLAIN = re.compile(r"[ \t!#-&(-\[\]-~]*")  # ASCII without quotes and backslashes
_LONG = {
    "-i": "--index-url",
    "-f": "--find-links",
    "--requirement": "-r",
    "--constraint": "-c",
    "--editable": "-e",
}
_FLAGS = frozenset({"--no-index", "--pre", "--require-hashes", "--prefer-binary"})
_INCLUDING = frozenset({"-r", "-c", "-e"})
_INDEX = frozenset({"--index-url", "--extra-index-url", "--find-links", "--trusted-host"})
_VALUED = _INCLUDING | _INDEX | {"--no-binary", "--only-binary"}


def normalise(name: str) -> str:
    """Return a distribution, extra or group name in its canonical form (PEP 503)."""
    return _SEPARATORS.sub("-", name).lower()


def normalise_newlines(content: bytes) -> bytes:
    """Return `content` with every CRLF and CR as LF, so that a checkout's line ends change no digest."""
    return content.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def short(text: str) -> str:
    """Return `text` fit for a message: printable, without credentials, at most 80 characters."""
    clean = re.sub(r"://[^/\s]*@", "://***@", text)
    clean = "".join(character if character.isprintable() else "?" for character in clean)
    return clean if len(clean) <= 80 else clean[:77] + "..."


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands: a file and a line, counted from 1."""

    file: Path
    line: int

    def error(self, message: str, hint: str) -> DependencyInputInvalid:
        """Return the error to raise for what stands here."""
        return DependencyInputInvalid(
            f"{self.file.name}:{self.line}: {message}", hint=hint, file=self.file, line=self.line
        )

    def beside(self, written: str, *, allow_absolute: bool = False) -> Path:
        """Resolve a path written here against this file's folder, without following symbolic links.

        Raises:
            DependencyInputInvalid: it is absolute, begins with `~` or holds a NUL character.
        """
        if "\0" in written:
            raise self.error("a path holds a NUL character", "correct the path")
        absolute = PurePosixPath(written).is_absolute() or PureWindowsPath(written).is_absolute()
        if absolute and allow_absolute:
            return Path(written)
        if absolute or written.startswith("~"):
            raise self.error(
                f"{short(written)} is an absolute path, which other machines do not have",
                "write it relative to this file",
            )
        return Path(os.path.normpath(self.file.parent / written))


def read_text_file(path: Path) -> bytes:
    """Read a dependency file whole, bounded by `MAX_BYTES`.

    Raises:
        DependencyInputInvalid: it is absent, not a regular file, unreadable or too large.
    """
    try:
        if not path.is_file():
            raise DependencyInputInvalid(
                f"{path.name} does not exist or is not a file", hint="correct the path", file=path
            )
        with path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise DependencyInputInvalid(
            f"{path.name} cannot be read: {reason}", hint="check its permissions", file=path
        ) from error
    if len(content) > MAX_BYTES:
        raise DependencyInputInvalid(
            f"{path.name} is larger than {MAX_BYTES >> 20} MiB", hint="is it the right file?", file=path
        )
    return content


def logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield non-empty lines without comments, continuations joined, each with the number it begins at.

    As pip does it: a comment line ends a continuation (`pip/_internal/req/req_file.py`, `join_lines`).
    """
    pending: list[str] = []
    start = 0
    for number, line in enumerate(text.splitlines(), start=1):
        start = start if pending else number
        is_comment = _COMMENT.match(line) is not None
        if line.endswith("\\") and not is_comment:
            pending.append(line[:-1])
            continue
        joined = "".join([*pending, " " + line if is_comment else line])
        pending = []
        if stripped := _COMMENT.sub("", joined).strip():
            yield start, stripped
    if stripped := _COMMENT.sub("", "".join(pending)).strip():
        yield start, stripped


def options(line: str, place: Place) -> Iterator[tuple[str, str]]:
    """Yield the options of an option line as (name, value), with short and old names replaced.

    Raises:
        DependencyInputInvalid: an option is unknown or lacks its value, or a quotation is not closed.
    """
    if editable := _EDITABLE.fullmatch(line):
        # uv puts a marker behind the path, of which pip would read the first word only.
        yield "-e", editable[2]
        return
    tokens = _tokens(line, place)
    position = 0
    while position < len(tokens):
        token = tokens[position]
        position += 1
        name, equals, value = token.partition("=")
        if _ATTACHED.match(token):
            name, equals, value = token[:2], "=", token[2:]
        name = _LONG.get(name, name)
        if name in _FLAGS and not equals:
            yield name, ""
            continue
        if name not in _VALUED:
            raise place.error(
                f"the option {short(name)} is not supported", "remove it, or set it in pip's configuration"
            )
        if not equals and position < len(tokens):
            value = tokens[position]
            position += 1
        if not value.strip():
            raise place.error(f"the option {name} needs a value", "add the value")
        yield name, value.strip()


def hashes(text: str, place: Place) -> frozenset[str]:
    """Return the SHA-256 digests (hex) among the `--hash` options that follow a requirement.

    Raises:
        DependencyInputInvalid: another option, a malformed hash, or no SHA-256 among the hashes.
    """
    found: set[str] = set()
    tokens = iter(_tokens(text, place))
    for token in tokens:
        name, equals, value = token.partition("=")
        if name != "--hash":
            raise place.error(
                f"the option {short(name)} of a requirement is not supported",
                "only --hash may follow a requirement",
            )
        value = value if equals else next(tokens, "")
        algorithm, _, digest = value.partition(":")
        if not digest.isalnum() or (algorithm == "sha256" and not _SHA256.fullmatch(digest.lower())):
            raise place.error(
                f"--hash={short(value)} is malformed", "write it as --hash=sha256:<64 hexadecimal digits>"
            )
        if algorithm == "sha256":
            found.add(digest.lower())
    if not found:
        raise place.error("the requirement has hashes, but no SHA-256", "make the hashes again with sha256")
    return frozenset(found)


def _tokens(line: str, place: Place) -> list[str]:
    # shlex goes letter by letter: 60 ms for the 2,000 hashes of 40 packages. Most lines need no rule of it.
    if _PLAIN.fullmatch(line):
        return line.split()
    try:
        return shlex.split(line)
    except ValueError as error:
        raise place.error(f"{short(line)}: {str(error).lower()}", "close the quotation") from error
