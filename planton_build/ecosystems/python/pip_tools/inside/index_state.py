"""Reads every index page once per job: all sets and attempts see one state of the index.

It is also what makes pip-compile bearable under emulation, where one page of a popular package takes seconds:
pip-tools has each page read and judged once to resolve, and once more for the hashes.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any


def keep() -> None:
    """Make pip and pip-tools of this process keep connections, pages and hashes of pages."""
    _keep_session()
    _keep_pages()
    _take_hashes_of_pages()


def _keep_session() -> None:
    """Use one session, with its open connections, for all sets: their index settings are the same."""
    from pip._internal.commands.install import InstallCommand

    original = InstallCommand._build_session
    sessions: list[Any] = []

    def build(self: Any, *positional: Any, **named: Any) -> Any:
        if not sessions:
            sessions.append(original(self, *positional, **named))
        return sessions[0]

    InstallCommand._build_session = build


def _keep_pages() -> None:
    from pip._internal.index import collector, package_finder

    fetch, parse = collector.LinkCollector.fetch_response, package_finder.parse_links
    pages: dict[str, Any] = {}
    links: dict[str, list[Any]] = {}

    def fetched(self: Any, location: Any, *positional: Any, **named: Any) -> Any:
        # What is absent or failed is asked for again, so that a failure shows in every set.
        if pages.get(location.url) is None:
            pages[location.url] = fetch(self, location, *positional, **named)
        return pages[location.url]

    def parsed(page: Any) -> list[Any]:
        if page.url not in links:
            links[page.url] = list(parse(page))
        return links[page.url]

    collector.LinkCollector.fetch_response = fetched
    package_finder.parse_links = parsed


def _take_hashes_of_pages() -> None:
    """Take the SHA-256 that the index page names, instead of asking an API that only some indexes have.

    pip checks every download against it. pip-tools would fetch every file of a version that the API lacks.
    """
    from pip._internal.index.package_finder import PackageFinder
    from piptools.repositories.pypi import PyPIRepository

    matching, hashing = PyPIRepository._get_matching_candidates, PyPIRepository._get_file_hash
    judged = PackageFinder.evaluate_links
    wanted: list[Any] = []

    def candidates(self: Any, requirement: Any) -> Any:
        (pin,) = requirement.specifier
        wanted.append(_version(pin.version))
        try:
            return matching(self, requirement)
        finally:
            wanted.pop()

    def judging(self: Any, evaluator: Any, links: Any) -> Any:
        # Most links are wheels of other versions: their names need not be taken apart.
        return judged(self, evaluator, [one for one in links if not wanted or _may_be(one, wanted[-1])])

    def of_page(self: Any, link: Any) -> Any:
        known = dict(getattr(link, "_hashes", None) or {link.hash_name: link.hash})
        return "sha256:" + known["sha256"] if known.get("sha256") else hashing(self, link)

    PackageFinder.evaluate_links = judging
    PyPIRepository._get_matching_candidates = candidates
    PyPIRepository._get_hashes_from_pypi = lambda *_: {}
    PyPIRepository._get_file_hash = of_page


def _may_be(link: Any, version: Any) -> bool:
    """Tell whether a file may be of a version: no wheel whose name says another one."""
    parts = link.filename.split("-")
    return not link.filename.endswith(".whl") or len(parts) < 5 or _version(parts[1]) in (version, None)


@lru_cache(maxsize=None)
def _version(text: str) -> Any:
    from pip._vendor.packaging.version import InvalidVersion, Version

    try:
        return Version(text.replace("_", "-"))
    except InvalidVersion:
        return None
