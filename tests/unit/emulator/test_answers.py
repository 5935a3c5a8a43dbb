from __future__ import annotations

from typing import Any

import pytest

from planton_build.emulator.answers import page, shown, waiting
from planton_build.emulator.refusal import Refusal


def _pages(items: list[str], size: int) -> list[list[str]]:
    request: dict[str, Any] = {"MaxItems": size}
    pages = []
    while True:
        found, more = page(items, str, request)
        pages.append(found)
        if not more:
            return pages
        request["Marker"] = more["NextMarker"]


def test_pages_have_everything_once_and_in_order() -> None:
    assert _pages(list("dbeac"), 2) == [["a", "b"], ["c", "d"], ["e"]]
    assert _pages(list("ab"), 2) == [["a", "b"]]
    assert _pages([], 2) == [[]]


def test_a_page_begins_behind_the_last_item_also_when_that_has_gone() -> None:
    _, more = page(list("abcdef"), str, {"MaxItems": 3})
    found, _ = page(list("def"), str, {"MaxItems": 3, "Marker": more["NextMarker"]})
    assert found == ["d", "e", "f"]


def test_a_page_is_never_longer_than_the_list_allows() -> None:
    found, more = page([f"{number:03}" for number in range(120)], str, {"MaxItems": 10_000}, most=50)
    assert len(found) == 50 and more


@pytest.mark.parametrize("marker", ["*", "é", "YQ", "//8="])
def test_markers_that_no_page_has_told_are_refused(marker: str) -> None:
    with pytest.raises(Refusal, match="Invalid Marker"):
        page(["a"], str, {"Marker": marker})


def test_what_is_kept_beside_a_document_is_not_shown() -> None:
    assert shown({"Name": 1, "_secret": 2}) == {"Name": 1}


def test_a_wait_lasts_for_its_reads_and_until_its_time(here: Any) -> None:
    here.behaviour.reads, here.behaviour.seconds = 2, 5.0
    wait = waiting(here.behaviour)
    assert [wait.over(here.behaviour) for _ in range(3)] == [False, False, False]
    here.clock.seconds = 5.0
    assert wait.over(here.behaviour)
