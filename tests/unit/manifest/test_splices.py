from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from planton_build.manifest.splices import Splice, SplicedText


def test_splices_of_one_step_count_in_the_text_as_it_is() -> None:
    text = SplicedText("abcdef")
    text.apply([Splice(4, 5, "E"), Splice(1, 2, "")])
    assert text.text == "acdEf"
    text.apply([Splice(0, 1, "xyz")])
    assert text.text == "xyzcdEf"
    assert text.changes == [Splice(0, 2, "xyz"), Splice(4, 5, "E")]


def test_insertions_at_one_place_keep_their_order_and_stand_before_a_removal() -> None:
    text = SplicedText("ab")
    text.apply([Splice(1, 2, ""), Splice(1, 1, "1"), Splice(1, 1, "2")])
    assert text.text == "a12"


def test_an_insertion_that_is_taken_out_again_is_no_change() -> None:
    text = SplicedText("ab")
    text.apply([Splice(1, 1, "xy")])
    text.apply([Splice(1, 3, "")])
    assert (text.text, text.changes) == ("ab", [])


steps = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 5), st.text("xyz", max_size=4)), max_size=8)


@given(st.text("abc", max_size=20), steps)
def test_the_changes_lead_from_the_original_to_the_text(
    original: str, drawn: list[tuple[int, int, str]]
) -> None:
    spliced, plain = SplicedText(original), original
    for start, length, new in drawn:
        start = min(start, len(plain))
        end = min(start + length, len(plain))
        spliced.apply([Splice(start, end, new)])
        plain = plain[:start] + new + plain[end:]
    assert spliced.text == plain
    rebuilt, position = "", 0
    for change in spliced.changes:
        assert change.start >= position
        rebuilt += original[position : change.start] + change.new
        position = change.end
    assert rebuilt + original[position:] == plain
