"""A conversation of any length in one widget.

Duty: draw the lines of a `TranscriptLayout` that are in sight, keep the reader's place, follow the tail,
and paint growing answers at a bounded rate. It knows nothing of messages, streams or the store: entries are
values.

Invariants:
1. One widget whatever the number of entries; what a paint costs depends on the window, not on the history.
2. A reader at the tail stays at the tail; a reader elsewhere keeps the line at the top of the window, through
   new entries, entries put before, growing answers and another width.
3. Growing text is painted at once and then at most every `PAINT_EVERY_S`. No timer runs while nothing grows.
4. Every text drawn is a `SafeText`, drawn as text: no markup is ever read from it.
5. A state is told by a word and a sign; its colour only repeats it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar, Final, assert_never

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.reactive import reactive, var
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.timer import Timer
from typing_extensions import override

from protocol.text import SafeText
from tui.widgets.rows import cut
from tui.widgets.transcript_layout import INDENT, Anchor, Entry, EntryState, Row, TranscriptLayout

__all__ = ["PAINT_EVERY_S", "STATE_WORDS", "Entry", "EntryState", "Transcript"]

PAINT_EVERY_S: Final = 0.05
"""Between two paints of growing text, in seconds: 20 a second."""

STRIPS_MAX: Final = 4_096
"""Drawn lines that are kept."""

STATE_WORDS: Final[dict[EntryState, str]] = {
    "complete": "",
    "waiting": "◌ waiting",
    "streaming": "▸ writing",
    "interrupted": "■ interrupted",
    "pending": "↑ not sent yet",
    "rejected": "✗ not accepted",
}

CURSOR: Final = "▍"
"""Stands behind the last word of a text that still grows."""


class Transcript(ScrollView, can_focus=True):
    """Entries below each other, the newest last."""

    ALLOW_SELECT = False

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "transcript--text",
        "transcript--author",
        "transcript--assistant",
        "transcript--meta",
        "transcript--state",
        "transcript--trouble",
        "transcript--new",
    }

    DEFAULT_CSS = """
    Transcript {
        overflow-x: hidden;
        overflow-y: scroll;
        scrollbar-size-vertical: 1;
        background: $background;
        color: $foreground;
    }
    Transcript > .transcript--author { color: $text-primary; text-style: bold; }
    Transcript > .transcript--assistant { color: $text-success; text-style: bold; }
    Transcript > .transcript--meta { color: $text-muted; }
    Transcript > .transcript--state { color: $text-accent; }
    Transcript > .transcript--trouble { color: $text-error; text-style: bold; }
    Transcript > .transcript--new { color: $text; background: $primary-muted; text-style: bold; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "step(-1)", "Line up", show=False, id="transcript.up"),
        Binding("down,j", "step(1)", "Line down", show=False, id="transcript.down"),
        Binding("pageup", "page(-1)", "Page up", show=False, id="transcript.page_up"),
        Binding("pagedown", "page(1)", "Page down", show=False, id="transcript.page_down"),
        Binding("home,g", "first", "First", show=False, id="transcript.first"),
        Binding("end,G", "follow", "Latest", show=False, id="transcript.latest"),
    ]

    following: var[bool] = var(True)
    """Whether the window stays at the newest line."""

    new_below: reactive[int] = reactive(0)
    """Entries that came while the reader was elsewhere, and that he has not scrolled to since."""

    def __init__(
        self,
        entries: Iterable[Entry] = (),
        *,
        id: str | None = None,  # noqa: A002 - textual's name
        classes: str | None = None,
    ) -> None:
        super().__init__(id=id, classes=classes)
        self._layout = TranscriptLayout()
        self._layout.set_entries(entries)
        self._anchor: Anchor | None = None
        self._seen_last: str | None = None
        self._grown: dict[str, SafeText] = {}
        self._paint_timer: Timer | None = None
        self._placing = False
        self._strips: dict[tuple[str, ...], Strip] = {}
        self._styles_by_name: dict[str, Style] = {}

    # What others call

    @property
    def entries(self) -> Sequence[Entry]:
        """What is shown, oldest first."""
        return self._layout.entries

    def set_entries(self, entries: Iterable[Entry], *, follow: bool = False) -> None:
        """Show `entries` instead; the reader keeps his place where his entry, or a later one, is still there.

        A streaming entry keeps the text already shown where the one that comes is a beginning of it.
        """
        entries = list(entries)
        if self._anchor is not None:
            self._anchor = self._layout.survivor(self._anchor, entries)
        self._layout.set_entries(entries)
        if follow or self._anchor is None:
            self.following = True
        self._place()

    def upsert(self, entry: Entry) -> None:
        """Put `entry` in the place of the one with its key, or below all others."""
        if entry.state != "streaming":
            self._grown.pop(entry.key, None)
        self._layout.upsert(entry)
        self._place()

    def remove_entry(self, key: str) -> None:
        """Take the entry `key` out, if it is there."""
        self._grown.pop(key, None)
        self.set_entries(entry for entry in self.entries if entry.key != key)

    def stream_text(self, key: str, text: SafeText) -> None:
        """Show `text`, all there is so far, as the text of the entry `key`; unknown keys are left alone."""
        if key not in self._layout:
            return
        self._grown[key] = text
        if self._paint_timer is None:
            self._paint_grown()

    def follow(self) -> None:
        """Go to the newest line and stay there."""
        self.following = True
        self._place()

    def entry_at(self, y: int = 0) -> Entry | None:
        """The entry at row `y` of the window, or the nearest one; None in an empty transcript."""
        anchor = self._layout.locate(self.scroll_offset.y + y)
        return None if anchor is None else self._layout.entry(anchor.key)

    # Keys

    def action_step(self, lines: int) -> None:
        self._go(self.scroll_offset.y + lines)

    def action_page(self, pages: int) -> None:
        self._go(self.scroll_offset.y + pages * max(1, self._page - 1))

    def action_first(self) -> None:
        self._go(0)

    def action_follow(self) -> None:
        self.follow()

    def _go(self, y: int) -> None:
        self.scroll_to(y=y, animate=False)

    # Growth

    def _paint_grown(self) -> None:
        for key, text in self._grown.items():
            if key in self._layout:
                self._layout.grow(key, text)
        self._grown.clear()
        self._place()
        if self.is_attached:
            self._paint_timer = self.set_timer(PAINT_EVERY_S, self._paint_due)

    def _paint_due(self) -> None:
        self._paint_timer = None
        if self._grown:
            self._paint_grown()

    # Place

    @property
    def _page(self) -> int:
        return self.scrollable_content_region.height

    @override
    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        if not self._placing:
            self._reader_moved(round(new_value))

    def on_resize(self, event: events.Resize) -> None:
        width = self.scrollable_content_region.width
        if width > 0:
            self._layout.resize(width)
            self._strips.clear()
            self._place()

    def _reader_moved(self, y: int) -> None:
        self.following = y >= self.max_scroll_y
        self._anchor = None if self.following else self._layout.locate(y)
        self._place()

    def _place(self) -> None:
        """Bring the window to where its reader is, after anything changed."""
        if not self.is_attached or self._page <= 0:
            return
        page, layout = self._page, self._layout
        anchor = None if self.following else self._anchor
        if anchor is None:
            layout.settle_end(2 * page)
        else:
            layout.settle(anchor, page, 2 * page)
        self._placing = True
        try:
            self.virtual_size = Size(layout.width, layout.total)
            y = self.max_scroll_y if anchor is None else layout.top_of(anchor)
            self.scroll_target_y = self.scroll_y = y
        finally:
            self._placing = False
        self._note_place()
        self.refresh()

    def _note_place(self) -> None:
        y, layout = self.scroll_offset.y, self._layout
        self.following = y >= self.max_scroll_y
        self._anchor = None if self.following else layout.locate(y)
        bottom = layout.locate(y + self._page - 1)
        if self.following or bottom is None:
            self._seen_last = layout.entries[-1].key if layout.entries else None
            self.new_below = 0
            return
        seen = self._seen_last
        if seen is None or seen not in layout or layout.after(bottom.key) < layout.after(seen):
            seen = self._seen_last = bottom.key
        self.new_below = layout.after(seen)

    # Drawing

    @override
    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._strips.clear()
        self._styles_by_name.clear()

    @override
    def render_line(self, y: int) -> Strip:
        row = self._layout.row(self.scroll_offset.y + y)
        strip = self._blank() if row is None else self._strip(row)
        return self._with_marker(strip) if self.new_below and y == self._page - 1 else strip

    def _strip(self, row: Row) -> Strip:
        key = self._drawn_from(row)
        strip = self._strips.get(key)
        if strip is None:
            if len(self._strips) >= STRIPS_MAX:
                self._strips.clear()
            strip = self._strips[key] = self._draw(row)
        return strip

    @staticmethod
    def _drawn_from(row: Row) -> tuple[str, ...]:
        """All that a line is drawn from: an unchanged line is found whatever version its entry has."""
        entry = row.entry
        match row.part:
            case "header":
                return ("header", entry.author, entry.role, entry.meta, entry.state)
            case "text":
                return ("text", row.text, entry.state if row.last else "")
            case "gap":
                return ("gap",)
            case _:
                assert_never(row.part)

    def _draw(self, row: Row) -> Strip:
        match row.part:
            case "header":
                return self._line(self._header(row.entry))
            case "text":
                return self._line(self._text(row))
            case "gap":
                return self._blank()
            case _:
                assert_never(row.part)

    def _header(self, entry: Entry) -> list[Segment]:
        author = "transcript--assistant" if entry.role == "assistant" else "transcript--author"
        state = "transcript--trouble" if entry.state in ("interrupted", "rejected") else "transcript--state"
        name = cut(entry.author, max(1, self._layout.width // 2))
        return [
            Segment(name, self._style(author)),
            Segment(f"  {entry.meta}" if entry.meta else "", self._style("transcript--meta")),
            Segment(f"  {word}" if (word := STATE_WORDS[entry.state]) else "", self._style(state)),
        ]

    def _text(self, row: Row) -> list[Segment]:
        growing = row.last and row.entry.state == "streaming"
        return [
            Segment(" " * INDENT + row.text, self._style("transcript--text")),
            Segment(CURSOR if growing else "", self._style("transcript--state")),
        ]

    def _line(self, segments: list[Segment]) -> Strip:
        strip = Strip([segment for segment in segments if segment.text])
        return strip.adjust_cell_length(self._layout.width, self._style("transcript--text"))

    def _blank(self) -> Strip:
        return Strip.blank(self._layout.width, self._style("transcript--text"))

    def _with_marker(self, strip: Strip) -> Strip:
        marker = f" ↓ {self.new_below} new "
        kept = max(0, self._layout.width - len(marker))
        return Strip.join([strip.crop(0, kept), Strip([Segment(marker, self._style("transcript--new"))])])

    def _style(self, name: str) -> Style:
        style = self._styles_by_name.get(name)
        if style is None:
            style = self._styles_by_name[name] = self.get_visual_style(name).rich_style
        return style
