from __future__ import annotations

from collections.abc import Callable

from planton_build.deploy.aspects.aspect import UNMANAGED, Scope
from planton_build.deploy.aspects.tags import Tags, TagsAspect
from planton_build.deploy.change import Change
from planton_build.deploy.desired import DesiredFunction
from planton_build.emulator.serve import Emulator

TAGS = TagsAspect()


def test_tags_of_others_stay(emulator: Emulator, scope: Scope, go: Callable[..., None]) -> None:
    tags = emulator.region().functions["render"].tags
    tags |= {"theirs": "1", "team": "ads"}
    wanted = Tags((("team", "billing"),))
    before = TAGS.observe(scope, wanted)
    go("tags", scope, before, wanted)
    assert tags == {"theirs": "1", "team": "billing"}
    go("tags", scope, wanted, before)
    assert tags == {"theirs": "1", "team": "ads"}


def test_a_tag_that_is_new_goes_when_that_is_undone(
    emulator: Emulator, scope: Scope, go: Callable[..., None]
) -> None:
    tags = emulator.region().functions["render"].tags
    tags |= {"theirs": "1"}
    wanted = Tags((("team", "billing"),))
    go("tags", scope, None, wanted)
    go("tags", scope, wanted, None)
    assert tags == {"theirs": "1"}


def test_each_key_is_a_change() -> None:
    before, after = Tags((("a", "1"), ("b", "1"))), Tags((("b", "1"), ("c", "2")))
    assert TAGS.changes(before, after) == [Change("tags.a", "1", None), Change("tags.c", None, "2")]


def test_no_tags_are_nothing_to_manage(desired: Callable[..., DesiredFunction]) -> None:
    assert TAGS.wanted(desired(tags={})) is UNMANAGED
