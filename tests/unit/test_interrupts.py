from __future__ import annotations

from planton_build.interrupts import undo_all, undone_on_interrupt


def test_what_is_under_way_is_undone_and_what_ended_is_not() -> None:
    undone: list[str] = []
    with undone_on_interrupt(lambda: undone.append("ended")):
        pass
    with (
        undone_on_interrupt(lambda: undone.append("outer")),
        undone_on_interrupt(lambda: undone.append("inner")),
    ):
        undo_all()
        undo_all()
    assert undone == ["outer", "inner"]
