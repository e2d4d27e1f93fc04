"""Folding by cells: nothing lost, nothing too wide, words kept whole, and growth cheaper than folding anew."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from protocol.text import inert
from tui.widgets import wrapping
from tui.widgets.wrapping import wrap, wrap_grown

WIDTHS = st.integers(1, 14)
MIXED = st.text(alphabet="ab  \n世界e\u0301👩\u200d🚀❤\ufe0f c", max_size=70)
SINGLE = st.text(alphabet="ab  cé\n", max_size=90)


def shown(text: str, width: int) -> list[str]:
    return [text[start:end] for start, end in wrap(text, width)]


@given(MIXED, WIDTHS)
def test_every_sign_is_in_one_line(text, width):
    """Between the lines lie newlines and spaces only."""
    at = 0
    for start, end in wrap(text, width):
        assert at <= start <= end
        assert text[at:start].strip(" \n") == ""
        assert "\n" not in text[start:end]
        at = end
    assert at == len(text)


@given(MIXED.map(inert), WIDTHS)
def test_no_line_is_wider_than_its_width(text, width):
    """Only a wide sign at a width of one cell, and spaces at the end of a paragraph, may stand over."""
    for line in shown(text, width):
        assert cell_len(line.rstrip(" ")) <= max(width, 2)


@given(MIXED | SINGLE, MIXED | SINGLE, WIDTHS)
def test_a_grown_text_folds_as_the_whole(before, added, width):
    """Folding again from the last line gives what folding everything gives."""
    assert wrap_grown(before + added, width, wrap(before, width)) == wrap(before + added, width)


@given(SINGLE, WIDTHS)
def test_the_fast_way_and_the_walk_agree(text, width):
    """Text of single cells folds by searching exactly as it would by walking its signs."""
    fast = wrap(text, width)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wrapping, "_all_single", lambda paragraph: False)
        assert wrap(text, width) == fast


@pytest.mark.parametrize(
    "text,width,lines",
    [
        ("hello big world", 9, ["hello big", "world"]),
        ("hello big world", 8, ["hello", "big", "world"]),
        ("abcdefghij", 4, ["abcd", "efgh", "ij"]),
        ("to abcdefghij", 4, ["to", "abcd", "efgh", "ij"]),
        ("  indented words", 10, ["  indented", "words"]),
        ("a\n\nb\n", 10, ["a", "", "b", ""]),
        ("世界你好", 5, ["世界", "你好"]),
        ("say 世界你好 now", 8, ["say 世界", "你好 now"]),
        ("ab 👩\u200d🚀👩\u200d🚀", 5, ["ab 👩\u200d🚀", "👩\u200d🚀"]),
        ("", 5, [""]),
    ],
)
def test_lines_break_where_a_reader_expects(text, width, lines):
    """At spaces first, around wide signs next, inside a word only where it is longer than a line."""
    assert shown(text, width) == lines
