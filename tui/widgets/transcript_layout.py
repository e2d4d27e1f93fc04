"""Where each line of a transcript stands: the pure half of the widget.

Duty: keep the entries in order and their heights, and say where a place is. It knows no widget, no style
and no clock.

Invariants:
1. Every entry takes a header line, the lines of its text, and one blank line.
2. A height is estimated until its entry comes near the window; `settle` makes it exact there. So opening and
   resizing cost little for each entry, and nothing in sight ever rests on an estimate.
3. Whatever changes, an anchor (an entry and a line in it) keeps its place; `top_of` says where that is now.
4. A text that grew is folded again from its last line only, and while it streams it never gets shorter.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias

from protocol.text import NOTHING, SafeText
from tui.widgets.wrapping import Line, wrap, wrap_grown

EntryState: TypeAlias = Literal["complete", "waiting", "streaming", "interrupted", "pending", "rejected"]

INDENT: Final = 2
"""Cells before each line of a text."""

MARGIN: Final = 1
"""Cells behind each line of a text, where the mark of a growing text finds its place."""

CHUNK: Final = 256
"""Heights whose sum is kept as one number."""

FOLDED_MAX: Final = 2_000
"""Entries whose lines are kept; the heights of all others stay, their lines are folded again when needed."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One message, event or digest, ready to be shown. `key` is unique in its transcript."""

    key: str
    version: int
    author: SafeText
    role: str
    text: SafeText
    meta: SafeText = NOTHING
    state: EntryState = "complete"


@dataclass(frozen=True, slots=True)
class Anchor:
    """A place that survives every change: line `line` of the entry `key`; line 0 is its header."""

    key: str
    line: int


@dataclass(frozen=True, slots=True)
class Row:
    """What stands in one line: the header, a line of the text, or the blank line below."""

    entry: Entry
    part: Literal["header", "text", "gap"]
    text: str = ""
    last: bool = False


class HeightIndex:
    """Heights in order, with the sums of each chunk of them: both directions of look-up touch few numbers."""

    def __init__(self, heights: Iterable[int] = ()) -> None:
        self._heights = list(heights)
        self._sums = [sum(self._heights[at : at + CHUNK]) for at in range(0, len(self._heights), CHUNK)]
        self.total = sum(self._sums)

    def __len__(self) -> int:
        return len(self._heights)

    def __getitem__(self, index: int) -> int:
        return self._heights[index]

    def __setitem__(self, index: int, height: int) -> None:
        delta = height - self._heights[index]
        self._heights[index] = height
        self._sums[index // CHUNK] += delta
        self.total += delta

    def append(self, height: int) -> None:
        if len(self._heights) % CHUNK == 0:
            self._sums.append(0)
        self._heights.append(height)
        self._sums[-1] += height
        self.total += height

    def top(self, index: int) -> int:
        """The line at which the item `index` begins."""
        chunk = index // CHUNK
        return sum(self._sums[:chunk]) + sum(self._heights[chunk * CHUNK : index])

    def find(self, line: int) -> tuple[int, int]:
        """The item in which `line` (0 <= line < total) falls, and the line within it."""
        assert 0 <= line < self.total
        chunk = 0
        while line >= self._sums[chunk]:
            line -= self._sums[chunk]
            chunk += 1
        index = chunk * CHUNK
        while line >= self._heights[index]:
            line -= self._heights[index]
            index += 1
        return index, line


class TranscriptLayout:
    """The entries of a transcript at one width."""

    def __init__(self, width: int = 80) -> None:
        self._width = width
        self._entries: list[Entry] = []
        self._index: dict[str, int] = {}
        self._heights = HeightIndex()
        self._exact: set[str] = set()
        self._folded: dict[str, list[Line]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: str) -> bool:
        return key in self._index

    @property
    def entries(self) -> Sequence[Entry]:
        return self._entries

    @property
    def width(self) -> int:
        return self._width

    @property
    def total(self) -> int:
        """All lines, as far as they are known."""
        return self._heights.total

    def entry(self, key: str) -> Entry:
        return self._entries[self._index[key]]

    # Changes

    def set_entries(self, entries: Iterable[Entry]) -> None:
        """Show these instead; entries that are equal to the ones before keep what is known of them."""
        known = {entry.key: (entry, self._heights[at]) for at, entry in enumerate(self._entries)}
        self._entries = [self._not_shorter(entry) for entry in entries]
        self._index = {entry.key: at for at, entry in enumerate(self._entries)}
        assert len(self._index) == len(self._entries), "two entries with one key"
        heights: list[int] = []
        for entry in self._entries:
            before = known.pop(entry.key, None)
            if before is not None and (before[0] is entry or before[0] == entry):
                heights.append(before[1])
            else:
                self._forget(entry.key)
                heights.append(self._estimate(entry))
        for key in known:
            self._forget(key)
        self._heights = HeightIndex(heights)

    def upsert(self, entry: Entry) -> bool:
        """Put `entry` in the place of the one with its key, or at the end; whether it is new."""
        at = self._index.get(entry.key)
        if at is None:
            self._index[entry.key] = len(self._entries)
            self._entries.append(entry)
            self._heights.append(self._estimate(entry))
            return True
        before, entry = self._entries[at], self._not_shorter(entry)
        self._entries[at] = entry
        lines = self._folded.get(entry.key)
        if lines is not None and before.text and entry.text.startswith(before.text):
            lines = wrap_grown(entry.text, self._text_width, lines)
            self._keep(entry.key, lines)
            self._heights[at] = self._height(len(lines))
        elif before.text != entry.text:
            self._forget(entry.key)
            self._heights[at] = self._estimate(entry)
        return False

    def grow(self, key: str, text: SafeText) -> None:
        """Give the entry `key` a longer text."""
        entry = self.entry(key)
        self.upsert(replace(entry, text=text, version=entry.version + 1))

    def _not_shorter(self, entry: Entry) -> Entry:
        # The tokens of a stream and the state of its message come by two ways; the tokens are ahead.
        at = self._index.get(entry.key) if entry.state == "streaming" else None
        if at is None:
            return entry
        shown = self._entries[at]
        ahead = shown.state == "streaming" and len(shown.text) > len(entry.text)
        return replace(entry, text=shown.text) if ahead and shown.text.startswith(entry.text) else entry

    def remove(self, key: str) -> None:
        """Take the entry `key` out, if it is there."""
        if key in self._index:
            self.set_entries(entry for entry in self._entries if entry.key != key)

    def resize(self, width: int) -> None:
        """Fold everything anew at `width` cells."""
        if width == self._width:
            return
        self._width = width
        self._folded.clear()
        self._exact.clear()
        self._heights = HeightIndex(map(self._estimate, self._entries))

    # Places

    def locate(self, line: int) -> Anchor | None:
        """What stands at `line`, or at the nearest line there is; None in an empty transcript."""
        if not self._entries:
            return None
        index, offset = self._heights.find(min(max(line, 0), self.total - 1))
        return Anchor(self._entries[index].key, offset)

    def top_of(self, anchor: Anchor) -> int:
        """The line at which `anchor` stands now."""
        index = self._index[anchor.key]
        return self._heights.top(index) + min(anchor.line, self._heights[index] - 1)

    def settle(self, anchor: Anchor, above: int, below: int) -> None:
        """Make the heights around `anchor` exact: `above` lines before it, `below` lines from it on."""
        first = at = self._index[anchor.key]
        needed = below + anchor.line
        while at < len(self._entries) and needed > 0:
            needed -= self._measure(at)
            at += 1
        while first > 0 and above > 0:
            first -= 1
            above -= self._measure(first)

    def settle_end(self, lines: int) -> None:
        """Make the heights of the last `lines` lines exact."""
        at = len(self._entries)
        while at > 0 and lines > 0:
            at -= 1
            lines -= self._measure(at)

    def survivor(self, anchor: Anchor, entries: Iterable[Entry]) -> Anchor | None:
        """`anchor` as far as `entries` still hold its entry, else the next one after it that they hold."""
        keys = {entry.key for entry in entries}
        if anchor.key in keys:
            return anchor
        later = (entry.key for entry in self._entries[self._index[anchor.key] :] if entry.key in keys)
        key = next(later, None)
        return None if key is None else Anchor(key, 0)

    def after(self, key: str) -> int:
        """How many entries stand below the entry `key`."""
        return len(self._entries) - 1 - self._index[key]

    def row(self, line: int) -> Row | None:
        """What to draw at `line`; None below the last one."""
        if not 0 <= line < self.total:
            return None
        index, offset = self._heights.find(line)
        entry = self._entries[index]
        if offset == 0:
            return Row(entry, "header")
        lines = self._lines(entry)
        if offset > len(lines):
            return Row(entry, "gap")
        start, end = lines[offset - 1]
        return Row(entry, "text", entry.text[start:end], offset == len(lines))

    # Heights

    @property
    def _text_width(self) -> int:
        return max(1, self._width - INDENT - MARGIN)

    @staticmethod
    def _height(lines: int) -> int:
        return lines + 2

    def _estimate(self, entry: Entry) -> int:
        text = entry.text
        return self._height(text.count("\n") + 1 + len(text) // self._text_width if text else 0)

    def _measure(self, index: int) -> int:
        entry = self._entries[index]
        if entry.key not in self._exact:
            self._heights[index] = self._height(len(self._lines(entry)))
            self._exact.add(entry.key)
        return self._heights[index]

    def _lines(self, entry: Entry) -> list[Line]:
        lines = self._folded.get(entry.key)
        if lines is None:
            lines = wrap(entry.text, self._text_width) if entry.text else []
            self._keep(entry.key, lines)
        return lines

    def _keep(self, key: str, lines: list[Line]) -> None:
        self._folded.pop(key, None)
        self._folded[key] = lines
        if len(self._folded) > FOLDED_MAX:
            del self._folded[next(iter(self._folded))]

    def _forget(self, key: str) -> None:
        self._folded.pop(key, None)
        self._exact.discard(key)
