"""What package indexes offer: PEP 503 and PEP 691 pages and find-links, asked as pip asks them."""

from __future__ import annotations

import functools
import json
import mimetypes
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote, unquote, urljoin, urlsplit

from packaging.tags import Tag
from packaging.utils import (
    BuildTag,
    InvalidSdistFilename,
    InvalidWheelFilename,
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import InvalidVersion

from planton_build.ecosystems.python.client import IndexClient, Page, silent
from planton_build.ecosystems.python.settings import IndexSettings, redacted
from planton_build.errors import IndexUnreachable

_JSON = "application/vnd.pypi.simple.v1+json"
_HTML = ("application/vnd.pypi.simple.v1+html", "text/html", "application/xhtml+xml")
_ACCEPT = f"{_JSON}, {_HTML[0]};q=0.2, text/html;q=0.01"
"""The header of PEP 691, section "Version + format selection"; pip sends the same weights."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A file on an index. `version` is as spelled in the file name; `sha256` is hex; `size` is in bytes.

    Index pages hold thousands of files, so a wheel's tags are read from its name only when asked for.
    """

    filename: str
    url: str = field(repr=False)
    kind: Literal["wheel", "sdist"]
    version: str
    sha256: str | None = None
    size: int | None = None
    requires_python: str | None = None
    yanked: bool = False

    @property
    def tags(self) -> frozenset[Tag]:
        """Return the tags in a wheel's name; none for an sdist or a name that is not valid."""
        return _wheel_name(self.filename)[1] if self.kind == "wheel" else frozenset()

    @property
    def build(self) -> BuildTag:
        """Return the build tag in a wheel's name, `()` when it has none."""
        return _wheel_name(self.filename)[0] if self.kind == "wheel" else ()


@functools.lru_cache(maxsize=4096)
def _wheel_name(filename: str) -> tuple[BuildTag, frozenset[Tag]]:
    try:
        _, _, build, tags = parse_wheel_filename(filename)
    except (InvalidWheelFilename, InvalidVersion):
        return (), frozenset()
    return build, tags


class Index:
    """All the indexes and find-links of some settings as one. Safe to use from many threads.

    As with pip, every index is asked for every package. Unlike pip, an index that fails fails the lookup:
    which file is chosen must not depend on which server was up. A missing folder, and a host that is neither
    secure nor trusted, are passed over with a warning, as pip does.

    Args:
        settings: the settings to use.
        warn: is told, once each, what pip only warns about.
        sleep: waits between attempts.
    """

    def __init__(
        self,
        settings: IndexSettings,
        *,
        warn: Callable[[str], None] = silent,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.client = IndexClient(settings, warn=warn, sleep=sleep)
        self._offers: dict[str, tuple[Offer, ...]] = {}
        self._found: tuple[_File, ...] | None = None
        self._find_lock = threading.Lock()

    def close(self) -> None:
        """Close all connections."""
        self.client.close()

    def offers(self, name: str) -> tuple[Offer, ...]:
        """Return every wheel and sdist that the indexes offer of a package; find-links come first.

        Raises:
            IndexUnreachable: an index cannot be read. A package unknown to all of them has no offers.
        """
        name = canonicalize_name(name)
        if name not in self._offers:
            try:
                files = [*self._find_links(), *self._index_files(name)]
            except IndexUnreachable as error:
                raise IndexUnreachable(f"looking for {name}: {error.message}", hint=error.hint) from error
            self._offers[name] = tuple(offer for file in files if (offer := _offer(file, name)))
        return self._offers[name]

    def _index_files(self, name: str) -> Iterator[_File]:
        for index in self.client.settings.index_urls:
            url = f"{index.rstrip('/')}/{quote(name)}/"
            if urlsplit(index).scheme == "file":
                root = _path_of(index)
                if not root.is_dir():
                    self.client.warn(f"the index {redacted(index)} does not exist")
                    continue
                page = root / name / "index.html"
                if page.is_file():
                    yield from _parsed(_local_page(page), url)
            elif self._trusted(index) and (answer := self.client.page(url, accept=_ACCEPT)) is not None:
                yield from _parsed(answer, url)

    def _find_links(self) -> tuple[_File, ...]:
        with self._find_lock:
            if self._found is None:
                places = self.client.settings.find_links
                self._found = tuple(file for place in places for file in self._find(place))
            return self._found

    def _find(self, place: str) -> Iterator[_File]:
        local = _local(place)
        if local is None:
            yield from self._find_remote(place)
        elif local.is_dir():
            for child in sorted(local.iterdir()):
                yield from _local_files(child)
        elif local.is_file():
            yield from _local_files(local)
        else:
            self.client.warn(f"the find-links location {redacted(place)} does not exist")

    def _find_remote(self, place: str) -> Iterator[_File]:
        if _is_package(unquote(urlsplit(place).path)):
            yield _file_of(place)
        elif self._trusted(place):
            page = self.client.page(place, accept=_ACCEPT)
            if page is None:
                self.client.warn(f"the find-links page {redacted(place)} does not exist")
            else:
                yield from _parsed(page, place)

    def _trusted(self, url: str) -> bool:
        if self.client.trusts(url):
            return True
        self.client.warn(
            f"{redacted(url)} is passed over: it is not https. "
            "Use https, or let pip trust it with `--trusted-host`"
        )
        return False


@dataclass(frozen=True, slots=True)
class _File:
    """A link of a page, before it is known whether it belongs to the package."""

    filename: str
    url: str
    sha256: str | None = None
    size: int | None = None
    requires_python: str | None = None
    yanked: bool = False


def _offer(file: _File, name: str) -> Offer | None:
    """Return the offer for a file that is a wheel or an sdist of the package, else None."""
    kind: Literal["wheel", "sdist"]
    if file.filename.endswith(".whl"):
        kind, parts = "wheel", file.filename[: -len(".whl")].split("-")
        if len(parts) not in (5, 6):
            return None
        found, version = canonicalize_name(parts[0]), parts[1]
    else:
        try:
            kind, (found, parsed) = "sdist", parse_sdist_filename(file.filename)
        except (InvalidSdistFilename, InvalidVersion):
            return None
        version = str(parsed)
    if found != name:
        return None
    return Offer(
        filename=file.filename,
        url=file.url,
        kind=kind,
        version=version,
        sha256=file.sha256,
        size=file.size,
        requires_python=file.requires_python,
        yanked=file.yanked,
    )


def _parsed(page: Page, url: str) -> Iterator[_File]:
    if page.media_type in (_JSON, "application/json"):
        return _parsed_json(page, url)
    if page.media_type in _HTML:
        return _parsed_html(page)
    raise IndexUnreachable(
        f"{redacted(url)} is not a package index page but `{page.media_type or 'of no media type'}`",
        hint="name the simple API of the index, such as https://index.example/simple",
    )


def _parsed_html(page: Page) -> Iterator[_File]:
    from unearth.collector import IndexPage, parse_html_page
    from unearth.link import Link

    for link in parse_html_page(IndexPage(Link(page.url), page.content, page.charset, page.media_type)):
        if not _is_package(link.filename):
            continue
        hashes = link.hash_option or {}
        yield _File(
            filename=link.filename,
            url=urljoin(page.url, link.url_without_fragment),  # a page's <base> may itself be relative
            sha256=_sha256(hashes.get("sha256", [None])[0]),
            requires_python=link.requires_python,
            yanked=link.is_yanked,
        )


def _parsed_json(page: Page, url: str) -> Iterator[_File]:
    """Read a PEP 691 page; unearth's reader drops the sizes of PEP 700."""
    try:
        answer = json.loads(page.content)
        version = str(answer["meta"]["api-version"])
        files = answer["files"]
        if version.partition(".")[0] != "1" or not isinstance(files, list):
            raise ValueError(version)
        for entry in files:
            yield _json_file(entry, page.url)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise IndexUnreachable(
            f"{redacted(url)} does not answer in the form of PEP 691, version 1",
            hint="name the simple API of the index, such as https://index.example/simple",
        ) from error


def _json_file(entry: dict[str, Any], base: str) -> _File:
    size, requires_python = entry.get("size"), entry.get("requires-python")
    return _File(
        filename=str(entry["filename"]),
        url=urljoin(base, str(entry["url"])),
        sha256=_sha256(entry["hashes"].get("sha256")),
        size=size if isinstance(size, int) and size >= 0 else None,
        requires_python=requires_python if isinstance(requires_python, str) else None,
        yanked=entry.get("yanked", False) is not False,
    )


def _sha256(value: object) -> str | None:
    """Return a SHA-256 in lower-case hex, or None for anything else."""
    text = value.lower() if isinstance(value, str) else ""
    return text if len(text) == 64 and set(text) <= set("0123456789abcdef") else None


def _is_package(path: str) -> bool:
    return path.endswith((".whl", ".tar.gz", ".zip"))


def _file_of(url: str) -> _File:
    parts = urlsplit(url)
    digest = parts.fragment.partition("sha256=")[2].partition("&")[0]
    filename = unquote(parts.path).rpartition("/")[2]
    return _File(filename=filename, url=url.partition("#")[0], sha256=_sha256(digest))


def _local(place: str) -> Path | None:
    """Return the path that a find-links location names, or None for a URL of another machine."""
    if urlsplit(place).scheme == "file":
        return _path_of(place)
    return None if "://" in place else Path(place).expanduser()


def _path_of(url: str) -> Path:
    from unearth.utils import url_to_path

    try:
        return url_to_path(url)
    except ValueError as error:
        raise IndexUnreachable(f"{redacted(url)} does not name a file of this machine") from error


def _local_files(path: Path) -> Iterator[_File]:
    if _is_package(path.name):
        yield _File(filename=path.name, url=path.absolute().as_uri(), size=path.stat().st_size)
    elif mimetypes.guess_type(path.name, strict=False)[0] == "text/html":
        yield from _parsed_html(_local_page(path))


def _local_page(path: Path) -> Page:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise IndexUnreachable(f"{path} cannot be read: {error.strerror}") from error
    return Page(path.absolute().as_uri(), "text/html", "utf-8", content)
