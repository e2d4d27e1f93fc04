"""How rows fall into lines."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from protocol.text import inert_line
from tui.widgets.rows import Piece, Row, RowLayout, lines_of


def said(row: Row, width: int) -> list[str]:
    return ["".join(piece.text for piece in line).rstrip() for line in lines_of(row, width)]


def an_item(text: str = "Pay rent", **fields: object) -> Row:
    defaults: dict[str, object] = {"sign": inert_line("○")}
    return Row("k", "item", inert_line(text), **{**defaults, **fields})  # type: ignore[arg-type]  # fields of a row


FACTS = (inert_line("today"), inert_line("20 min"))


@pytest.mark.parametrize(
    "row,width,lines",
    [
        (an_item(), 30, ["○ Pay rent"]),
        (an_item(facts=FACTS), 31, ["○ Pay rent     today · 20 min"[:10] + "      today · 20 min"]),
        (an_item(facts=FACTS), 20, ["○ Pay rent", "  today · 20 min"]),
        (an_item("one two three four five", facts=()), 11, ["○ one two", "  three f…"]),
        (an_item(facts=FACTS), 13, ["○ Pay rent", "  today · 2…"]),
        (an_item(lead=inert_line("09:30")), 30, ["09:30 ○ Pay rent"]),
        (an_item(below=inert_line("because it is late")), 14, ["○ Pay rent", "  because it", "  is late"]),
        (Row("k", "heading", inert_line("Late")), 12, ["Late ──────"]),
        (Row("k", "note", inert_line("nothing here yet")), 12, ["nothing", "here yet"]),
        (Row("k", "note", inert_line("go down"), lead=inert_line("j  ")), 9, ["j  go", "   down"]),
    ],
)
def test_facts_stand_behind_where_there_is_room_else_below(row: Row, width: int, lines: list[str]) -> None:
    """One line where it fits, folded once where it does not, cut with a sign."""
    assert said(row, width) == lines


@given(
    text=st.text(max_size=60),
    facts=st.lists(st.text(max_size=12), max_size=3),
    below=st.text(max_size=40),
    width=st.integers(12, 80),
)
def test_no_line_is_wider_than_the_list(text: str, facts: list[str], below: str, width: int) -> None:
    """Whatever the text is, wide signs too."""
    row = an_item(text, facts=tuple(inert_line(fact) for fact in facts), below=inert_line(below))
    for line in lines_of(row, width):
        assert sum(cell_len(piece.text) for piece in line) <= width


def test_a_line_knows_its_row_and_a_row_its_lines() -> None:
    """Both directions, at both ends."""
    layout = RowLayout()
    rows = [
        Row("h", "heading", inert_line("Late")),
        Row("a", "item", inert_line("x"), facts=FACTS, sign=inert_line("○")),
        Row("b", "item", inert_line("y"), sign=inert_line("○")),
    ]
    layout.set(rows, 16)
    assert [layout.at(line) for line in range(-1, 5)] == [
        None,
        (rows[0], 0),
        (rows[1], 0),
        (rows[1], 1),
        (rows[2], 0),
        None,
    ]
    assert [layout.span(key) for key in ("h", "a", "b", "?")] == [(0, 1), (1, 3), (3, 4), None]
    assert layout.item_near(0, 1) is rows[1]
    assert layout.item_near(0, -1) is None


def test_a_row_that_stays_is_not_laid_out_again() -> None:
    """Equal rows keep their lines, also when others come before them."""
    layout = RowLayout()
    first = an_item()
    layout.set([first], 30)
    line = layout.line(first, 0)
    other = Row("n", "item", inert_line("new"))
    layout.set([other, an_item()], 30)
    assert layout.line(layout.rows[1], 0) is line
    layout.set([other, an_item()], 31)
    assert layout.line(layout.rows[1], 0) == line
    assert isinstance(line[0], Piece)
