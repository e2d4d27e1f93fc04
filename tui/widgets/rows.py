"""Rows of a list and how they fall into lines: the pure half of `LineList`.

Duty: the value `Row`; where each line of a list stands at a width. It knows no widget and no colour.

Invariants:
1. A line is never wider than the list; what does not fit is folded once, then cut with `…`.
2. Facts stand behind the text where both fit into one line, else below it.
3. A row that did not change is not laid out again while the width stays.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final, Literal

from rich.cells import cell_len, chop_cells

from protocol.text import NOTHING, SafeText, inert_line
from tui.widgets.wrapping import wrap

Kind = Literal["item", "heading", "note", "mark"]
Tone = Literal["plain", "quiet", "strong", "trouble", "good"]

TEXT_LINES_MAX: Final = 2
"""Lines that the text of an item takes at most."""

CURSOR_CELLS: Final = 1
GAP: Final = 2
_SEPARATOR: Final = inert_line(" · ")


@dataclass(frozen=True, slots=True)
class Row:
    """One row. `key` is unique in its list; only an item can be chosen. `below` is folded under it, whole."""

    key: str
    kind: Kind
    text: SafeText
    lead: SafeText = NOTHING
    sign: SafeText = NOTHING
    facts: tuple[SafeText, ...] = ()
    below: SafeText = NOTHING
    tone: Tone = "plain"


@dataclass(frozen=True, slots=True)
class Piece:
    """Some text of a line and how it sounds."""

    text: SafeText
    tone: Tone = "plain"


Line = tuple[Piece, ...]


def lines_of(row: Row, width: int) -> tuple[Line, ...]:
    """The lines of a row at a width, without the cell of the cursor."""
    width = max(1, width - CURSOR_CELLS)
    match row.kind:
        case "heading" | "mark":
            return (_ruled(row, width),)
        case "note":
            return tuple(_note(row, width))
        case _:
            return tuple(_item(row, width))


def _ruled(row: Row, width: int) -> Line:
    tone: Tone = "strong" if row.kind == "mark" else row.tone
    said = cut(row.text, width)
    left = max(0, width - cell_len(said) - 1)
    return (Piece(said, tone), Piece(inert_line(" " + "─" * left), "quiet"))


def _note(row: Row, width: int) -> Iterable[Line]:
    """Words that cannot be chosen, hanging behind their lead."""
    indent = cell_len(row.lead)
    head = Piece(row.lead, "strong")
    for text in _folded(row.text, max(1, width - indent)):
        yield (head, Piece(text, "plain" if indent else "quiet"))
        head = Piece(inert_line(" " * indent))


def _item(row: Row, width: int) -> Iterable[Line]:
    head = _head(row)
    indent = sum(cell_len(piece.text) for piece in head)
    room = max(1, width - indent)
    facts = inert_line(_SEPARATOR.join(row.facts))
    together = cell_len(row.text) + GAP + cell_len(facts)
    if facts and together <= room:
        space = inert_line(" " * (room - together + GAP))
        yield (*head, Piece(row.text, row.tone), Piece(space), _facts(row, facts))
    else:
        first, *more = _clipped(row.text, room)
        yield (*head, Piece(first, row.tone))
        margin = Piece(inert_line(" " * indent))
        for text in more:
            yield (margin, Piece(text, row.tone))
        if facts:
            yield (margin, _facts(row, cut(facts, room)))
    margin = Piece(inert_line(" " * indent))
    for text in _folded(row.below, room) if row.below else ():
        yield (margin, Piece(text, "quiet"))


def _head(row: Row) -> tuple[Piece, ...]:
    pieces = []
    if row.lead:
        pieces.append(Piece(inert_line(f"{row.lead} "), "strong" if row.tone == "strong" else "quiet"))
    if row.sign:
        pieces.append(Piece(inert_line(f"{row.sign} "), row.tone))
    return tuple(pieces)


def _facts(row: Row, facts: SafeText) -> Piece:
    return Piece(facts, "trouble" if row.tone == "trouble" else "quiet")


def _folded(text: SafeText, width: int) -> list[SafeText]:
    return [inert_line(text[start:end]) for start, end in wrap(text, width)]


def _clipped(text: SafeText, width: int) -> list[SafeText]:
    lines = wrap(text, width) if cell_len(text) > width else []
    if len(lines) <= 1:
        return [cut(text, width)]
    kept = [inert_line(text[start:end]) for start, end in lines[: TEXT_LINES_MAX - 1]]
    return [*kept, cut(inert_line(text[lines[len(kept)][0] :]), width)]


def cut(text: SafeText, width: int) -> SafeText:
    """`text` in at most `width` cells as they are drawn, ended by `…` where it was cut."""
    if cell_len(text) <= width:
        return text
    return inert_line(chop_cells(text, width - 1)[0] + "…") if width > 1 else inert_line("…"[:width])


class RowLayout:
    """Rows at one width: which line belongs to which row."""

    def __init__(self) -> None:
        self.rows: Sequence[Row] = ()
        self.width = 1
        self._lines: dict[str, tuple[Row, tuple[Line, ...]]] = {}
        self._ends: list[int] = []
        self._index: dict[str, int] = {}

    @property
    def total(self) -> int:
        """All lines."""
        return self._ends[-1] if self._ends else 0

    def set(self, rows: Sequence[Row], width: int) -> None:
        """Other rows, or another width."""
        known = self._lines if width == self.width else {}
        self.rows, self.width = rows, width
        self._lines = {row.key: self._known(known, row) for row in rows}
        assert len(self._lines) == len(rows), "two rows with one key"
        self._ends = list(accumulate(len(lines) for _, lines in self._lines.values()))
        self._index = {row.key: index for index, row in enumerate(rows)}

    def _known(
        self, known: dict[str, tuple[Row, tuple[Line, ...]]], row: Row
    ) -> tuple[Row, tuple[Line, ...]]:
        found = known.get(row.key)
        if found is not None and (found[0] is row or found[0] == row):
            return found
        return row, lines_of(row, self.width)

    def at(self, line: int) -> tuple[Row, int] | None:
        """The row at a line and the line within it; None where there is none."""
        if not 0 <= line < self.total:
            return None
        index = bisect_right(self._ends, line)
        return self.rows[index], line - self._top(index)

    def line(self, row: Row, part: int) -> Line:
        """A line of a row."""
        return self._lines[row.key][1][part]

    def span(self, key: str) -> tuple[int, int] | None:
        """The first line of a row and the one behind its last; None where there is no such row."""
        index = self._index.get(key)
        return None if index is None else (self._top(index), self._ends[index])

    def item_near(self, index: int, step: int) -> Row | None:
        """The first item from `index` on, going by `step`; None where there is none on that way."""
        while 0 <= index < len(self.rows):
            if self.rows[index].kind == "item":
                return self.rows[index]
            index += step
        return None

    def index_of(self, key: str) -> int | None:
        """The place of a row among the rows."""
        return self._index.get(key)

    def _top(self, index: int) -> int:
        return self._ends[index - 1] if index else 0
