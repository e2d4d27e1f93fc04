"""The values of the ledger's interface and the two functions that every implementation shares."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from server.ledger.port import Agenda, Record, check_record, joined
from tests.support.ledgers import event_row, make_record, rejection


@pytest.mark.parametrize(
    ("pieces", "text"),
    [
        ([], ""),
        ([(0, "ab"), (2, "cd")], "abcd"),
        ([(2, "cd"), (0, "ab")], "abcd"),
        ([(0, "abc"), (1, "bcd")], "abcd"),
        ([(0, "abcd"), (1, "b")], "abcd"),
        ([(0, "ab"), (0, "abc")], "abc"),
        ([(0, "ab"), (3, "d")], "ab"),
        ([(1, "b")], ""),
        ([(0, "😀"), (1, "é")], "😀é"),
    ],
)
def test_pieces_join(pieces: list[tuple[int, str]], text: str) -> None:
    """Order does not matter, overlap is trimmed, a gap ends the text, offsets are code points."""
    assert joined(pieces) == text


@given(st.text(max_size=30), st.data())
def test_any_cover_of_a_text_joins_to_it(text: str, data: st.DataObject) -> None:
    """However a text is cut into overlapping pieces, and in whatever order they are saved, it comes back."""
    cuts = sorted({0, len(text), *data.draw(st.lists(st.integers(0, len(text)), max_size=6))})
    overlap = data.draw(st.integers(0, 5))
    pieces = [(start, text[start : end + overlap]) for start, end in pairwise(cuts)]
    assert joined(data.draw(st.permutations(pieces))) == text


def test_an_empty_agenda_waits_for_nothing() -> None:
    """Only an agenda that neither waits nor is due is empty."""
    assert Agenda(False).is_empty
    assert not Agenda(True).is_empty
    assert not Agenda(False, "2026-11-22T13:05:00.123Z").is_empty


GOOD = make_record(1, 4, events=2)


@pytest.mark.parametrize("record", [GOOD, make_record(events=0), rejection()])
def test_a_record_that_adds_up_passes(record: Record) -> None:
    """Applied with and without events, and rejected."""
    check_record(record)


@pytest.mark.parametrize(
    "record",
    [
        replace(GOOD, expected_seq=3),
        replace(GOOD, events=GOOD.events[::-1]),
        replace(GOOD, events=(event_row(5), event_row(7))),
        replace(GOOD, outcome=replace(GOOD.outcome, seq=5)),
        replace(GOOD, outcome=replace(GOOD.outcome, first_seq=None)),
        replace(GOOD, outcome=replace(GOOD.outcome, event_ids=("e5",))),
        replace(GOOD, outcome=replace(GOOD.outcome, status="rejected")),
    ],
)
def test_a_record_that_does_not_add_up_trips(record: Record) -> None:
    """A gap, another order, an outcome that names other events: bugs of the caller."""
    with pytest.raises(AssertionError):
        check_record(record)
