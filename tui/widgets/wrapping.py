"""Folding text into lines by terminal cells.

Duty: say where each line of a text begins and ends at a width. It knows no widget, no style and no entry.

Invariants:
1. Lines are `(start, end)` offsets into the text: nothing is copied and nothing is added.
2. Between the lines lie only newlines, and spaces at a fold; everything else is in exactly one line.
3. A line is decided by its start and the text up to the first sign that no longer fits. So a text that grew
   may be folded again from the start of its last line, with the result of folding it whole.
"""

from __future__ import annotations

from typing import TypeAlias

from rich.cells import cell_len, split_graphemes

Line: TypeAlias = tuple[int, int]
"""Offsets of a line in its text: from `start` up to, not including, `end`."""


def wrap(text: str, width: int, start: int = 0) -> list[Line]:
    """The lines of `text` from `start`, the beginning of a line, at most `width` cells each.

    A trailing newline opens an empty line; spaces at the end of a paragraph may hang over the width, and
    a sign wider than `width` has a line to itself.
    """
    assert width >= 1
    lines: list[Line] = []
    while True:
        newline = text.find("\n", start)
        end = len(text) if newline < 0 else newline
        _wrap_paragraph(lines, text, start, end, width)
        if newline < 0:
            return lines
        start = newline + 1


def wrap_grown(text: str, width: int, lines: list[Line]) -> list[Line]:
    """The lines of a `text` that continues the one of which `lines` are the lines at the same width."""
    return lines[:-1] + wrap(text, width, lines[-1][0])


def _wrap_paragraph(lines: list[Line], text: str, start: int, end: int, width: int) -> None:
    if end - start <= width // 2:  # no sign is wider than two cells
        lines.append((start, end))
        return
    paragraph = text[start:end]
    size = cell_len(paragraph)
    if size <= width:
        lines.append((start, end))
    elif size == end - start and _all_single(paragraph):
        _fold_single(lines, text, start, end, width)
    else:
        _fold_cells(lines, paragraph, start, width)


def _all_single(paragraph: str) -> bool:
    return paragraph.isascii() or all(cell_len(character) == 1 for character in set(paragraph))


def _fold_single(lines: list[Line], text: str, start: int, end: int, width: int) -> None:
    """Fold where each sign takes one cell: by searching, not by walking."""
    while True:
        overflow = _skip_spaces(text, start + width, end)
        if overflow >= end:
            lines.append((start, end))
            return
        fold = overflow if overflow > start + width else text.rfind(" ", start, overflow) + 1
        content = _content_end(text, start, fold) if fold > start else start
        if content == start:  # only an indent before the word: the word is cut
            fold = overflow
            content = _content_end(text, start, fold)
        lines.append((start, content))
        start = fold


def _fold_cells(lines: list[Line], paragraph: str, base: int, width: int) -> None:
    """Fold by graphemes: before words, and before and behind wide signs."""
    graphemes, _ = split_graphemes(paragraph)
    start, fold, used, since_fold = 0, 0, 0, 0
    before_wide = before_space = False
    inked = False
    for begin, end, size in graphemes:
        space = paragraph[begin:end] == " "  # a space that carries a mark is a sign
        if not space and begin > start and inked and (before_space or before_wide or size > 1):
            fold, since_fold = begin, 0
        if not space and used + size > width and begin > start:
            if fold == start:
                fold, since_fold = begin, 0
            lines.append((base + start, base + _content_end(paragraph, start, fold)))
            start, used, inked = fold, since_fold, fold < begin
        used, since_fold = used + size, since_fold + size
        inked = inked or not space
        before_wide, before_space = size > 1, space
    lines.append((base + start, base + len(paragraph)))


def _skip_spaces(text: str, at: int, end: int) -> int:
    while at < end and text[at] == " ":
        at += 1
    return at


def _content_end(text: str, start: int, fold: int) -> int:
    while fold > start and text[fold - 1] == " ":
        fold -= 1
    return fold
