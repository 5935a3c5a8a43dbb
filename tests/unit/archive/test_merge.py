from __future__ import annotations

import random
from collections.abc import Callable
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planton_build.archive.member import EXECUTABLE, REGULAR, Member
from planton_build.archive.merge import merge
from planton_build.errors import MemberCollision

MakeMember = Callable[..., Member]


def test_groups_become_one_tree_sorted_by_path(make: MakeMember) -> None:
    groups = [
        [make("b", b"1", origin="x"), make("a/z", b"2", origin="x")],
        [make("a.py", b"3"), make("ä", b"4")],
        [],
    ]
    assert [member.path for member in merge(groups)] == ["a.py", "a/z", "b", "ä"]
    assert merge([]) == []


def test_the_same_file_of_several_origins_goes_in_once_as_the_smallest_origins(make: MakeMember) -> None:
    same = [[make("ns/__init__.py", b"", origin=origin)] for origin in ("zeta", "alpha", "mid")]
    for groups in permutations(same):
        (member,) = merge(groups)
        assert member.origin == "alpha"
    (member,) = merge([*same, [make("ns/__init__.py", b"")]])
    assert member.origin == ""


def test_an_execute_bit_of_any_origin_is_kept(make: MakeMember) -> None:
    plain, runs = make("run", b"#!", origin="a"), make("run", b"#!", origin="b", executable=True)
    for groups in ([[plain], [runs]], [[runs], [plain]]):
        (member,) = merge(groups)
        assert (member.mode, member.origin) == (EXECUTABLE, "a")
    assert merge([[plain]])[0].mode == REGULAR


def test_different_contents_name_path_and_both_origins(make: MakeMember) -> None:
    with pytest.raises(MemberCollision) as caught:
        merge([[make("x.py", b"1", origin="alpha")], [make("x.py", b"2", origin="beta")]])
    assert caught.value.message == "x.py comes with different content from alpha and beta"
    assert caught.value.hint is not None
    assert "package_exclude" in caught.value.hint


def test_the_sources_are_named_in_words(make: MakeMember) -> None:
    with pytest.raises(MemberCollision, match=r"from the function's own sources and six$"):
        merge([[make("six.py", b"1", origin="six")], [make("six.py", b"2")]])


def test_one_origin_with_two_contents_is_named_once(make: MakeMember) -> None:
    with pytest.raises(MemberCollision, match="from six, 2 times"):
        merge([[make("six.py", b"1", origin="six"), make("six.py", b"2", origin="six")]])


def test_a_link_and_a_file_of_the_same_bytes_collide(make: MakeMember, link: MakeMember) -> None:
    with pytest.raises(MemberCollision):
        merge([[make("x", b"y", origin="a")], [link("x", "y", origin="b")]])
    assert len(merge([[link("x", "y", origin="a")], [link("x", "y", origin="b")]])) == 1


def test_a_file_that_another_package_needs_as_a_folder_collides(make: MakeMember) -> None:
    with pytest.raises(MemberCollision) as caught:
        merge([[make("a", b"", origin="one")], [make("a/b/c.py", b"", origin="two")]])
    assert caught.value.message == "a is a file from one and a folder of a/b/c.py from two"


def test_all_collisions_are_reported_at_once_in_a_fixed_order(make: MakeMember) -> None:
    one = [make(path, b"1", origin="one") for path in ("c", "a", "b", "same", "f")]
    two = [make(path, b"2", origin="two") for path in ("b", "c", "a", "f/x")] + [
        make("same", b"1", origin="two")
    ]
    messages = []
    for groups in ([one, two], [two, one], [two[::-1], one]):
        with pytest.raises(MemberCollision) as caught:
            merge(groups)
        messages.append([finding.message for finding in caught.value.findings])
        assert "4 files collide" in caught.value.message
        assert all(finding.hint and finding.code == "member_collision" for finding in caught.value.findings)
    assert messages[0] == messages[1] == messages[2]
    assert [message.split()[0] for message in messages[0]] == ["a", "b", "c", "f"]


_MEMBERS = st.lists(
    st.tuples(
        st.sampled_from(["a", "a/b", "c", "d/e"]), st.sampled_from([b"", b"1"]), st.sampled_from("xyz")
    ),
    max_size=6,
)


@given(specs=_MEMBERS, shuffler=st.randoms(use_true_random=False))
def test_the_order_of_groups_decides_nothing(
    specs: list[tuple[str, bytes, str]], shuffler: random.Random, make: MakeMember
) -> None:
    groups = [[make(path, content, origin=origin)] for path, content, origin in specs]
    shuffled = list(groups)
    shuffler.shuffle(shuffled)

    def outcome(given_groups: list[list[Member]]) -> object:
        try:
            return merge(given_groups)
        except MemberCollision as error:
            return error.findings

    assert outcome(groups) == outcome(shuffled)
