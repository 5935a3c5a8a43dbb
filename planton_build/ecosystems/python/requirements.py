"""A strict reader of pip's requirements format: enough for people's files and for the locks of this tool.

Reading is lazy: lines are split and classified here without importing `packaging`, so that a build with
nothing to do stays quick; `NamedRequirement.requirement()` does the full PEP 508 parse. What cannot be locked
(a URL, a version control system) or is not understood is refused with its file and line.
Format: pip's documentation, "Requirements File Format", and `pip/_internal/req/req_file.py`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from planton_build.ecosystems.python.requirement_syntax import (
    Place,
    hashes,
    logical_lines,
    normalise,
    normalise_newlines,
    options,
    read_text_file,
    short,
)
from planton_build.ecosystems.python.settings import IndexSettings

if TYPE_CHECKING:
    from packaging.requirements import Requirement

MAX_FILES = 100
"""Most files that one requirements file may include, itself counted."""

_VARIABLE = re.compile(r"\$\{([A-Z0-9_]+)\}")
_REMOTE = re.compile(r"^(?:(?:git|hg|svn|bzr)\+|[a-z][a-z0-9+.-]*://|file:)", re.IGNORECASE)
_NAME = r"[A-Za-z0-9](?:[\w.-]*[A-Za-z0-9])?\s*(?:\[[^\]]*\])?\s*"
_DIRECT = re.compile(rf"^({_NAME})@", re.ASCII)
_PIN = re.compile(rf"^{_NAME}\(?\s*={{2,3}}\s*[^\s,;*()]+\s*\)?\s*(?:;.*)?$", re.DOTALL | re.ASCII)
_LOCAL = re.compile(r"^(?P<path>[^;]+?)\s*(?:\[(?P<extras>[^\]]*)\])?\s*(?:;(?P<marker>.*))?$", re.DOTALL)
_ARCHIVES = (".whl", ".zip", ".tar.gz", ".tar.bz2", ".tar.xz", ".tgz", ".egg")


@dataclass(frozen=True, slots=True)
class IndexOptions:
    """Index options written inside an input. URLs may hold credentials, so the `repr` leaves them out.

    `find_links` are URLs or absolute paths.
    """

    index_url: str | None = field(default=None, repr=False)
    extra_index_urls: tuple[str, ...] = field(default=(), repr=False)
    find_links: tuple[str, ...] = field(default=(), repr=False)
    no_index: bool = False
    trusted_hosts: tuple[str, ...] = ()

    def applied_to(self, settings: IndexSettings) -> IndexSettings:
        """Return `settings` with these options merged over them, by pip's rules. Twice is the same as once.

        `--index-url` replaces all configured indexes, also the extra ones; `--no-index` removes them; the
        other options add to what there is (`pip/_internal/req/req_file.py`, `handle_option_line`).
        """
        extra = settings.extra_index_urls if self.index_url is None else ()
        return replace(
            settings,
            index_url=self.index_url or settings.index_url,
            extra_index_urls=tuple(dict.fromkeys((*extra, *self.extra_index_urls))),
            find_links=tuple(dict.fromkeys((*settings.find_links, *self.find_links))),
            no_index=settings.no_index or self.no_index,
            trusted_hosts=tuple(dict.fromkeys((*settings.trusted_hosts, *self.trusted_hosts))),
        )


@dataclass(frozen=True, slots=True)
class NamedRequirement:
    """One requirement by name. `text` is its PEP 508 form, `hashes` its SHA-256 digests in hex.

    `line` is where the requirement begins, counted from 1.
    """

    file: Path
    line: int
    text: str
    hashes: frozenset[str] = frozenset()

    @property
    def is_pin(self) -> bool:
        """Tell whether exactly one version is allowed (`==` without a wildcard, or `===`)."""
        return _PIN.match(self.text) is not None

    def requirement(self) -> Requirement:
        """Parse the text.

        Raises:
            DependencyInputInvalid: it is not PEP 508, with file and line.
        """
        from packaging.requirements import InvalidRequirement, Requirement

        try:
            return Requirement(self.text)
        except (InvalidRequirement, RecursionError) as error:
            reason = (str(error) or "it is nested too deeply").splitlines()[0]
            raise Place(self.file, self.line).error(
                f"{short(self.text)} is not a requirement: {reason}",
                "write it as name, optional [extras], version specifiers and an optional `; marker`",
            ) from error


@dataclass(frozen=True, slots=True)
class LocalRequirement:
    """One requirement by folder, from `./path`, `./path[extra]` or `-e ./path`. `folder` is absolute."""

    file: Path
    line: int
    folder: Path
    extras: tuple[str, ...] = ()
    marker: str | None = None


@dataclass(frozen=True, slots=True)
class Requirements:
    """A requirements file with everything it includes.

    `no_binary` holds normalised names or `:all:`; `pre` allows pre-releases. `files` holds each file that was
    read with its content, line ends normalised, in the order of first use.
    """

    path: Path
    named: tuple[NamedRequirement, ...] = ()
    constraints: tuple[NamedRequirement, ...] = ()
    local: tuple[LocalRequirement, ...] = ()
    index_options: IndexOptions = field(default_factory=IndexOptions)
    no_binary: tuple[str, ...] = ()
    pre: bool = False
    require_hashes: bool = False
    files: tuple[tuple[Path, bytes], ...] = field(default=(), repr=False)


def read_requirements(path: Path, *, variables: Mapping[str, str] | None = None) -> Requirements:
    """Read a requirements file and, through `-r` and `-c`, the files it includes.

    Args:
        path: the file.
        variables: values for `${NAME}`, as pip takes them from the environment. A name that is absent here
            stays as it is written, like in pip.

    Raises:
        DependencyInputInvalid: unreadable, malformed, or asking for what cannot be locked; with file, line.
    """
    reader = _Reader(dict(variables or {}))
    reader.read(path, constraint=False, chain=())
    return reader.result(path)


def parse_requirements(text: str, path: Path, *, variables: Mapping[str, str] | None = None) -> Requirements:
    """Parse the text of a requirements file. `path` resolves relative paths and names the file in errors.

    Raises:
        DependencyInputInvalid: as `read_requirements`.
    """
    reader = _Reader(dict(variables or {}))
    reader.parse(text, path, constraint=False, chain=(path,))
    return reader.result(path)


class _Reader:
    """Collects the lines of one file and its includes."""

    def __init__(self, variables: dict[str, str]) -> None:
        self._variables = variables
        self._named: list[NamedRequirement] = []
        self._constraints: list[NamedRequirement] = []
        self._local: list[LocalRequirement] = []
        self._files: dict[Path, bytes] = {}
        self._done: set[tuple[Path, bool]] = set()
        self._options: list[tuple[str, str]] = []

    def result(self, path: Path) -> Requirements:
        given = self._options

        def values(name: str) -> tuple[str, ...]:
            return tuple(dict.fromkeys(value for option, value in given if option == name))

        flags = {name for name, _ in given}
        no_binary = {normalise(name.strip()) for value in values("--no-binary") for name in value.split(",")}
        return Requirements(
            path,
            tuple(self._named),
            tuple(self._constraints),
            tuple(self._local),
            IndexOptions(
                index_url=(values("--index-url") or (None,))[-1],
                extra_index_urls=values("--extra-index-url"),
                find_links=values("--find-links"),
                no_index="--no-index" in flags,
                trusted_hosts=values("--trusted-host"),
            ),
            tuple(sorted(no_binary - {"", ":none:"})),
            "--pre" in flags,
            "--require-hashes" in flags,
            tuple(self._files.items()),
        )

    def read(self, path: Path, *, constraint: bool, chain: tuple[Path, ...]) -> None:
        if path not in self._files:
            self._files[path] = normalise_newlines(read_text_file(path))
        content = self._files[path]
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            place = Place(path, content.count(b"\n", 0, error.start) + 1)
            raise place.error("the file is not UTF-8", "save it as UTF-8") from error
        self.parse(text, path, constraint=constraint, chain=(*chain, path))

    def parse(self, text: str, path: Path, *, constraint: bool, chain: tuple[Path, ...]) -> None:
        for number, written in logical_lines(text):
            place = Place(path, number)
            line = _VARIABLE.sub(lambda match: self._variables.get(match[1], match[0]), written)
            if line.startswith("-"):
                self._option_line(line, place, constraint=constraint, chain=chain)
            else:
                self._requirement_line(line, place, constraint=constraint)

    def _requirement_line(self, line: str, place: Place, *, constraint: bool) -> None:
        text, *rest = re.split(r"\s+(?=-)", line, maxsplit=1)
        digests = hashes(rest[0], place) if rest else frozenset[str]()
        _refuse_remote(text, place)
        if not _is_path(text):
            target = self._constraints if constraint else self._named
            target.append(NamedRequirement(place.file, place.line, text, digests))
        elif constraint:
            raise place.error(f"{short(text)}: a constraint cannot be a path", "move it to the requirements")
        else:
            self._local.append(_local(text, place))

    def _option_line(self, line: str, place: Place, *, constraint: bool, chain: tuple[Path, ...]) -> None:
        for name, value in options(line, place):
            if name in {"-r", "-c"}:
                self._include(value, place, constraint=constraint or name == "-c", chain=chain)
            elif name == "-e":
                _refuse_remote(value, place)
                self._local.append(_local(value, place))
            elif name == "--find-links" and not _REMOTE.match(value):
                self._options.append((name, str(place.beside(value, allow_absolute=True))))
            else:
                self._options.append((name, value))

    def _include(self, value: str, place: Place, *, constraint: bool, chain: tuple[Path, ...]) -> None:
        if _REMOTE.match(value):
            raise place.error(
                f"{short(value)} is included from a URL",
                "copy that file into the repository and include the copy",
            )
        path = place.beside(value)
        if path in chain:
            raise place.error(f"{short(value)} includes itself", "remove the circular -r or -c line")
        if (path, constraint) in self._done:
            return
        if len(self._files) >= MAX_FILES and path not in self._files:
            raise place.error(f"more than {MAX_FILES} requirements files are included", "join some of them")
        if not path.is_file():
            raise place.error(f"{short(value)} is included but does not exist", "correct the path")
        self._done.add((path, constraint))
        self.read(path, constraint=constraint, chain=chain)


def _refuse_remote(text: str, place: Place) -> None:
    direct = _DIRECT.match(text)
    if not direct and not _REMOTE.match(text):
        return
    what = direct[1].strip() if direct else "the requirement"
    raise place.error(
        f"{what} comes from a URL or a version control system, which a lock with hashes cannot hold",
        "publish it to a package index, or put it into the repository and require it as ./path",
    )


def _is_path(text: str) -> bool:
    head = text.partition(";")[0].partition("[")[0].strip()
    return (
        head in {".", ".."}
        or head.startswith((".\\", "..\\", "~/"))
        or "/" in head
        or head.lower().endswith(_ARCHIVES)
    )


def _local(text: str, place: Place) -> LocalRequirement:
    match = _LOCAL.match(text)
    if match is None:
        raise place.error(
            f"{short(text)} is not a path to a project", "write it as ./folder or ./folder[extra]"
        )
    path = match["path"].strip()
    if path.lower().endswith(_ARCHIVES):
        raise place.error(
            f"{short(path)} is an archive in a folder",
            "require it by name and version, and add a line `--find-links ./its-folder`",
        )
    written = (match["extras"] or "").split(",")
    extras = tuple(sorted({normalise(extra.strip()) for extra in written if extra.strip()}))
    folder = place.beside(path)
    if not folder.is_dir():
        raise place.error(
            f"{short(path)} is not a folder", "a path requirement names the folder of a Python project"
        )
    return LocalRequirement(place.file, place.line, folder, extras, (match["marker"] or "").strip() or None)
