"""Text from elsewhere, made inert before anybody sees it.

Duty: turn any string into one that a terminal can only show. It knows nothing of widgets, markup or
colours, and the ledger never calls it: text is kept as it was sent, and every view makes its own inert copy.

Invariants:
1. Total and idempotent: `inert` takes every `str`, lone surrogates too, and `inert(inert(t)) == inert(t)`.
2. No character of the result can start, end or alter a terminal sequence, turn the direction of the line,
   or carry hidden text; the only control character left is the newline, and in one line not even that.
3. What people write survives: letters, marks, emoji with joiners and selectors, right-to-left words.
4. Only this module makes a `SafeText`; everybody else calls `inert`, which is cheap on inert text.
5. A line is judged by itself: `inert(a + "\\n" + b) == inert(a + "\\n") + inert(b)`.

| what came | what is seen |
| --- | --- |
| C0 controls, DEL | their pictures: ␀ … ␛ … ␡ |
| CR LF, U+2028, U+2029 | a newline |
| tab | spaces to the next multiple of four; one space in a single line |
| C1 controls, direction overrides and isolates, fillers, non-characters, lone surrogates | � each |
| tag characters and misplaced supplementary selectors, which hide whole messages | one � a run |
| soft hyphen, zero-width space, word joiner, byte order mark, direction marks | nothing |
| joiners and selectors where they join or select nothing | nothing |
| marks stacked on one letter beyond eight | the first eight |
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from typing import Final, NewType

SafeText = NewType("SafeText", str)
"""Text that went through `inert`; a plain `str` where a `SafeText` is asked for is a type error."""

NOTHING: Final = SafeText("")

NEWLINE_SIGN: Final = "⏎"
"""Stands for a newline in one line."""

MARKS_MAX: Final = 8
"""Marks, joiners and selectors that may follow each other; Tibetan and cantillated Hebrew need up to six."""

TAB_CELLS: Final = 4
"""The distance of tab stops, in cells."""

_REPLACEMENT: Final = "\ufffd"
_ELLIPSIS: Final = "…"

_CONTROL: Final = "\x00-\x08\x0b-\x1f\x7f"
_BREAKS: Final = "\u2028\u2029"
_DROPPED: Final = "\u00ad\u061c\u180e\u200b\u200e\u200f\u2060-\u2064\ufeff"
_BROKEN: Final = (
    "\u0080-\u009f\u115f\u202a-\u202e\u2065-\u206f\u3164"
    "\ud800-\udfff\ufdd0-\ufdef\uffa0\ufff0-\ufffb\ufffe\uffff"
)
_OUTER_BROKEN: Final = "\U00013430-\U0001345f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
_HIDING: Final = "\U000e0000-\U000e0fff"
_SELECTORS: Final = "\ufe00-\ufe0f"
_JOINERS: Final = "\u200c\u200d"
_JOINING_SCRIPTS: Final = "\u0600-\u1fff"
_PICTURES: Final = "\u00a9\u00ae\u203c-\u3299\U0001f000-\U0001faff"
_IDEOGRAPHS: Final = "\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"

# The basic plane and what lies beyond it are searched apart: one class of both is ten times slower.
_ASCII_SUSPECT: Final = re.compile(f"[{_CONTROL}\t]")
_SINGLE: Final = re.compile(f"[{_CONTROL}{_BROKEN}{_DROPPED}{_BREAKS}]")
_DROPPED_CHARACTER: Final = re.compile(f"[{_DROPPED}]")
_OUTER: Final = re.compile("[\U00010000-\U0010ffff]")
_OUTER_SINGLE: Final = re.compile(f"[{_OUTER_BROKEN}]")
_OUTER_SUSPECT: Final = re.compile(f"[{_OUTER_BROKEN}{_HIDING}]")
_OUTER_MARKS: Final = re.compile("[\U000101fd-\U0001efff]")
# Three flags are spelled with tags (England, Scotland, Wales); a selector picks one form of an ideograph.
_HIDDEN: Final = re.compile(
    "(?P<flag>\U0001f3f4\U000e0067\U000e0062"
    "(?:\U000e0065\U000e006e\U000e0067|\U000e0073\U000e0063\U000e0074|\U000e0077\U000e006c\U000e0073)"
    f"\U000e007f)|(?P<form>(?<=[{_IDEOGRAPHS}])[\U000e0100-\U000e01ef])|[{_HIDING}]+"
)
# The character first, what stands before it second: so the search can skip to the character.
_IDLE_SELECTOR: Final = re.compile(
    f"[{_SELECTORS}](?:(?<![#*0-9\x80-\U0010ffff][{_SELECTORS}])|(?<=[{_JOINERS}{_SELECTORS}][{_SELECTORS}]))"
)
_IDLE_NON_JOINER: Final = re.compile(f"\u200c(?<![{_JOINING_SCRIPTS}]\u200c)")
_IDLE_JOINER: Final = re.compile(
    f"\u200d(?:(?<![{_JOINING_SCRIPTS}{_PICTURES}\ufe0f]\u200d)|(?<=[{_PICTURES}\ufe0f]\u200d)(?![{_PICTURES}]))"
)


def inert(text: str, *, lines: bool = True) -> SafeText:
    """What a view may show of `text`: newlines kept where `lines`, otherwise shown as `⏎` in one line."""
    if _needs_work(text):
        text = _neutralise(text, tab_cells=TAB_CELLS if lines else 1)
    return SafeText(text if lines else text.replace("\n", NEWLINE_SIGN))


def inert_line(text: str) -> SafeText:
    """`text` in one line: for titles, names and everything that has one row."""
    return inert(text, lines=False)


def is_inert(text: str) -> bool:
    """Whether `inert` would leave `text` as it is."""
    return inert(text) == text


def cells(text: str) -> int:
    """The cells that inert `text` of one line takes in a terminal: 0, 1 or 2 for each character."""
    if text.isascii():
        return len(text)
    return sum(_widths(text))


def clip(text: SafeText, cells_max: int) -> SafeText:
    """`text`, where need be cut between characters and ended by `…`, in at most `cells_max` cells."""
    if cells_max <= 0:
        return NOTHING
    if cells(text) <= cells_max:
        return text
    taken, kept = 0, 0
    for index, width in enumerate(_widths(text)):
        taken += width
        if taken > cells_max - len(_ELLIPSIS):
            break
        kept = index + 1
    # A joiner at the cut would join the ellipsis.
    return SafeText(text[:kept].rstrip("\u200c\u200d") + _ELLIPSIS)


def _needs_work(text: str) -> bool:
    if text.isascii():
        return _ASCII_SUSPECT.search(text) is not None
    patterns = (_SINGLE, _IDLE_SELECTOR, _IDLE_NON_JOINER, _IDLE_JOINER, _stacks())
    if "\t" in text or any(pattern.search(text) for pattern in patterns):
        return True
    if _OUTER.search(text) is None:
        return False
    return _OUTER_SUSPECT.search(text) is not None or _has_outer_stack(text)


def _has_outer_stack(text: str) -> bool:
    return _OUTER_MARKS.search(text) is not None and _outer_stacks().search(text) is not None


def _neutralise(text: str, *, tab_cells: int) -> str:
    # The order makes the result a fixed point: no pass leaves work for one before it.
    text = _SINGLE.sub(_seen_as, text.replace("\r\n", "\n"))
    if not text.isascii():
        if _OUTER.search(text):
            text = _HIDDEN.sub(_unhidden, _OUTER_SINGLE.sub(_REPLACEMENT, text))
        text = _stacks().sub(_first_marks, _IDLE_SELECTOR.sub("", text))
        if _has_outer_stack(text):
            text = _outer_stacks().sub(_first_marks, text)
        text = _IDLE_JOINER.sub("", _IDLE_NON_JOINER.sub("", text))
    return text.expandtabs(tab_cells)


def _seen_as(match: re.Match[str]) -> str:
    character = match[0]
    code = ord(character)
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "␡"
    if character in _BREAKS:
        return "\n"
    return "" if _DROPPED_CHARACTER.match(character) else _REPLACEMENT


def _unhidden(match: re.Match[str]) -> str:
    return match[0] if match["flag"] or match["form"] else _REPLACEMENT


def _first_marks(match: re.Match[str]) -> str:
    return match[0][:MARKS_MAX]


@lru_cache(maxsize=1)
def _stacks() -> re.Pattern[str]:
    """More marks in a row than a letter carries, in the basic plane, where a search for them is fast."""
    marks = "".join(_mark_ranges(0x300, 0xFFFF))
    return re.compile(f"[{marks}\u1160-\u11ff{_JOINERS}]{{{MARKS_MAX + 1},}}")


@lru_cache(maxsize=1)
def _outer_stacks() -> re.Pattern[str]:
    """The same beyond the basic plane; only texts in rare scripts pay for it."""
    marks = "".join(_mark_ranges(0x300, 0x1EFFF))
    return re.compile(f"[{marks}\u1160-\u11ff{_JOINERS}]{{{MARKS_MAX + 1},}}")


def _mark_ranges(first: int, last: int) -> Iterator[str]:
    start: int | None = None
    for code in range(first, last + 2):
        marks = code <= last and unicodedata.category(chr(code)).startswith("M")
        if marks and start is None:
            start = code
        elif not marks and start is not None:
            yield f"{chr(start)}-{chr(code - 1)}"
            start = None


def _widths(text: str) -> Iterator[int]:
    """The cells of each character of `text` in its place."""
    before, joined = 0, False
    for character in text:
        width = 0 if joined else _character_cells(character)
        if character == "\ufe0f":
            # The selector asks for the picture, which is wide.
            width, before = int(before == 1), 0
        joined = character == "\u200d"
        before = width or before
        yield width


@lru_cache(maxsize=4096)
def _character_cells(character: str) -> int:
    if unicodedata.east_asian_width(character) in "WF":
        return 2
    if unicodedata.category(character) in ("Mn", "Me", "Cf", "Cc") or "\u1160" <= character <= "\u11ff":
        return 0
    return 1
