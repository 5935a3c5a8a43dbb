"""The package files of this machine, as an index in a build container.

Folders of `--find-links` and `file:` indexes may hold gigabytes, and which of them a resolution needs shows
only while it runs. So an index goes in that has every wheel's name, SHA-256 and METADATA (PEP 503, PEP 658),
but its content only when that file is known to be wanted. Sdists go in whole: their metadata must be built.
"""

from __future__ import annotations

import html
import zipfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from planton_build.ecosystems.python.index import Index, Offer
from planton_build.ecosystems.python.requirement_syntax import normalise
from planton_build.ecosystems.python.settings import IndexSettings
from planton_build.ecosystems.python.uv_command import local_path
from planton_build.errors import ConfigInvalid
from planton_build.files import sha256_of
from planton_build.sandbox.files import Input
from planton_build.sandbox.job import IN

LOCAL_INDEX = f"{IN}/index/simple"
"""The local index inside the container; its files are in the folder beside it."""
COPY_LIMIT = 1 << 30
"""Bytes of package files that go into a container."""
METADATA_LIMIT = 4 << 20
"""Bytes of a wheel's METADATA."""


def is_local(place: str) -> bool:
    """Tell whether an index or find-links place is a path or a `file:` URL of this machine."""
    return local_path(place) is not None


def local_index(
    settings: IndexSettings, wanted: Mapping[str, Collection[str]] | None = None
) -> Sequence[Input]:
    """Return the index of all that the local places of `settings` offer; empty when there are none.

    Args:
        settings: only their local places count. Places that do not exist are passed over, as pip does.
        wanted: the SHA-256 (hex) of the files to hand in, by project. None for a resolution: all projects,
            wheels by their metadata.

    Raises:
        ConfigInvalid: more would have to be copied than `COPY_LIMIT`.
        IndexUnreachable: a page cannot be read.
    """
    trees = tuple(url for url in settings.index_urls if is_local(url))
    links = tuple(place for place in settings.find_links if is_local(place))
    if not trees and not links:
        return []
    local = replace(
        settings,
        index_url=(trees or ("",))[0],
        extra_index_urls=trees[1:],
        find_links=links,
        no_index=not trees,
    )
    index = Index(replace(local, cert=None, client_cert=None, proxy=None))
    try:
        names = sorted(wanted) if wanted is not None else sorted({*_names_of_trees(trees), *_names_of(links)})
        found = [
            entry
            for name in names
            for entry in _project(name, index.offers(name), None if wanted is None else wanted[name])
        ]
    finally:
        index.close()
    size = sum(entry.content.stat().st_size for entry in found if isinstance(entry.content, Path))
    if size > COPY_LIMIT:
        raise ConfigInvalid(
            f"the find-links folders of this machine hold {size >> 20:,} MiB that a container would need; "
            f"at most {COPY_LIMIT >> 20:,} MiB are copied",
            hint="put the packages onto an index, or fewer sdists into the folder",
        )
    return found


def _names_of_trees(trees: Collection[str]) -> Iterator[str]:
    for url in trees:
        root = local_path(url)
        if root is not None and root.is_dir():
            yield from (normalise(child.name) for child in root.iterdir() if child.is_dir())


def _names_of(links: Collection[str]) -> Iterator[str]:
    from packaging.utils import InvalidSdistFilename, parse_sdist_filename
    from packaging.version import InvalidVersion

    for place in links:
        folder = local_path(place)
        for child in folder.iterdir() if folder is not None and folder.is_dir() else ():
            if child.name.endswith(".whl"):
                yield normalise(child.name.partition("-")[0])
            else:
                try:
                    yield parse_sdist_filename(child.name)[0]
                except (InvalidSdistFilename, InvalidVersion):
                    continue


def _project(name: str, offers: Sequence[Offer], wanted: Collection[str] | None) -> Iterator[Input]:
    """Yield the page of a project and the files it links to."""
    links = []
    for position, offer in enumerate(offers):
        path = local_path(offer.url)
        sha256 = offer.sha256 or (sha256_of(path) if path is not None and path.is_file() else None)
        if wanted is not None and sha256 not in wanted:
            continue
        if path is None:
            links.append(_link(offer, offer.url, sha256))
        elif path.is_file():
            # Numbered, because two folders may have different files of one name.
            relative = f"files/{name}/{position}/{offer.filename}"
            metadata = _metadata(path) if wanted is None and offer.kind == "wheel" else None
            place = f"{LOCAL_INDEX}/../{relative}".replace("/simple/..", "")
            yield Input(
                place if metadata is None else f"{place}.metadata", path if metadata is None else metadata
            )
            links.append(_link(offer, f"../../{relative}", sha256, has_metadata=metadata is not None))
    if links:
        page = "\n".join(["<!DOCTYPE html><html><body>", *links, "</body></html>\n"])
        yield Input(f"{LOCAL_INDEX}/{name}/index.html", page.encode())


def _link(offer: Offer, url: str, sha256: str | None, *, has_metadata: bool = False) -> str:
    attributes = [f'href="{html.escape(url)}{f"#sha256={sha256}" if sha256 else ""}"']
    if has_metadata:
        attributes.append('data-core-metadata="true"')
    if offer.requires_python:
        attributes.append(f'data-requires-python="{html.escape(offer.requires_python)}"')
    if offer.yanked:
        attributes.append('data-yanked=""')
    return f"<a {' '.join(attributes)}>{html.escape(offer.filename)}</a>"


def _metadata(wheel: Path) -> bytes | None:
    """Return a wheel's METADATA, or None when it has none that can be read: then pip shall judge the file."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            for entry in archive.infolist():
                folder, _, name = entry.filename.partition("/")
                if folder.endswith(".dist-info") and name == "METADATA" and entry.file_size <= METADATA_LIMIT:
                    with archive.open(entry) as stream:
                        return stream.read(METADATA_LIMIT)
    except (zipfile.BadZipFile, OSError, NotImplementedError, RuntimeError):
        return None
    return None
