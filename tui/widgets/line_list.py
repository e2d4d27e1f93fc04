"""A list of any length in one widget.

Duty: draw the rows in sight, move a cursor over items, keep the reader's place when rows change.
It knows nothing of tasks or memories: rows are values, and what is chosen is posted by key.

Invariants:
1. One widget whatever the number of rows; a paint costs what is in sight.
2. The cursor stays on its row wherever that goes; where the row is gone it takes the one in its place.
3. The row under the cursor keeps its height on the screen when rows around it change.
4. The cursor is a sign as well as a colour; every text drawn is a `SafeText`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip
from typing_extensions import override

from tui.bindings import own_bindings
from tui.widgets.rows import CURSOR_CELLS, Line, Row, RowLayout

CURSOR: Final = "›"


class LineList(ScrollView, can_focus=True):
    """Rows below each other, one of them under the cursor."""

    ALLOW_SELECT = False

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "list--plain",
        "list--quiet",
        "list--strong",
        "list--trouble",
        "list--good",
        "list--cursor",
        "list--heading",
    }

    DEFAULT_CSS = """
    LineList {
        overflow-x: hidden;
        overflow-y: auto;
        scrollbar-size-vertical: 1;
        background: $background;
        color: $foreground;
    }
    LineList > .list--quiet { color: $text-muted; }
    LineList > .list--strong { color: $text-accent; text-style: bold; }
    LineList > .list--trouble { color: $text-error; }
    LineList > .list--good { color: $text-success; }
    LineList > .list--heading { color: $text-primary; text-style: bold; }
    LineList > .list--cursor { background: $primary-muted; text-style: bold; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        *own_bindings(
            {
                "reading.up": "step(-1)",
                "reading.down": "step(1)",
                "reading.first": "jump(0)",
                "reading.last": "jump(-1)",
                "reading.half_up": "turn(-0.5)",
                "reading.half_down": "turn(0.5)",
                "reading.page_up": "turn(-1.0)",
                "reading.page_down": "turn(1.0)",
            }
        )
    ]

    @dataclass
    class Moved(Message):
        """The cursor is on another row."""

        rows: LineList
        key: str | None

        @property
        @override
        def control(self) -> LineList:
            return self.rows

    @dataclass
    class Pressed(Message):
        """The sign of a row was clicked."""

        rows: LineList
        key: str

        @property
        @override
        def control(self) -> LineList:
            return self.rows

    def __init__(
        self,
        *,
        id: str | None = None,  # noqa: A002 - textual's name
        classes: str | None = None,
    ) -> None:
        super().__init__(id=id, classes=classes)
        self._layout = RowLayout()
        self._cursor: str | None = None
        self._cursor_index = 0
        self._styles_by_name: dict[str, Style] = {}

    # What others call

    @property
    def rows(self) -> Sequence[Row]:
        """What is shown."""
        return self._layout.rows

    @property
    def cursor(self) -> str | None:
        """The key of the row under the cursor; None where there is no item."""
        return self._cursor

    def set_rows(self, rows: Sequence[Row]) -> None:
        """Show other rows; the reader keeps his place. The list that is shown already costs nothing."""
        if rows is self._layout.rows:
            return
        height = self._cursor_height()
        self._layout.set(rows, self._layout.width)
        self._find_cursor()
        self._place(height)

    def move_to(self, key: str) -> None:
        """Put the cursor on a row and show it; unknown keys are left alone."""
        index = self._layout.index_of(key)
        if index is None or self._layout.rows[index].kind != "item":
            return
        moved = key != self._cursor
        self._cursor, self._cursor_index = key, index
        self._show_cursor()
        self.refresh()
        if moved:
            self.post_message(self.Moved(self, key))

    def move_on(self) -> None:
        """Put the cursor on a neighbour, because its row is about to go elsewhere."""
        row = self._layout.item_near(self._cursor_index + 1, 1) or self._layout.item_near(
            self._cursor_index - 1, -1
        )
        if row is not None:
            self.move_to(row.key)

    # Keys and mouse

    def action_step(self, by: int) -> None:
        row = self._layout.item_near(self._cursor_index + by, by)
        if row is not None and self._cursor is not None:
            self.move_to(row.key)
        else:  # headings above the first item, notes below the last one
            self._scroll(self.scroll_offset.y + by)

    def action_jump(self, to: int) -> None:
        index, step = (0, 1) if to == 0 else (len(self._layout.rows) - 1, -1)
        row = self._layout.item_near(index, step)
        if row is not None:
            self.move_to(row.key)
        self._scroll(0 if to == 0 else self.max_scroll_y)

    def action_turn(self, pages: float) -> None:
        span = None if self._cursor is None else self._layout.span(self._cursor)
        by = round(pages * max(1, self._page))
        if span is None:
            self._scroll(self.scroll_offset.y + by)
            return
        found = self._layout.at(min(max(span[0] + by, 0), self._layout.total - 1))
        assert found is not None, "a list with a cursor has lines"
        index = self._layout.index_of(found[0].key) or 0
        step = 1 if by > 0 else -1
        row = self._layout.item_near(index, step) or self._layout.item_near(index, -step)
        if row is not None:
            self.move_to(row.key)

    def on_click(self, event: events.Click) -> None:
        inside = event.get_content_offset(self)  # the line above the list is none of its rows
        found = None if inside is None else self._layout.at(self.scroll_offset.y + inside.y)
        if inside is None or found is None or found[0].kind != "item":
            return
        row = found[0]
        on_sign = CURSOR_CELLS <= inside.x <= CURSOR_CELLS + len(row.lead) + len(row.sign)
        self.move_to(row.key)
        if on_sign or event.chain > 1:
            self.post_message(self.Pressed(self, row.key))

    # Place

    @property
    def _page(self) -> int:
        return self.scrollable_content_region.height

    def _cursor_height(self) -> int | None:
        span = None if self._cursor is None else self._layout.span(self._cursor)
        return None if span is None else span[0] - self.scroll_offset.y

    def _find_cursor(self) -> None:
        index = None if self._cursor is None else self._layout.index_of(self._cursor)
        if index is None:
            near = min(self._cursor_index, max(0, len(self._layout.rows) - 1))
            row = self._layout.item_near(near, 1) or self._layout.item_near(near, -1)
            self._cursor = None if row is None else row.key
            index = None if row is None else self._layout.index_of(row.key)
            self.post_message(self.Moved(self, self._cursor))
        self._cursor_index = index or 0

    def on_resize(self, event: events.Resize) -> None:
        self._fit()

    def watch_show_vertical_scrollbar(self) -> None:
        """A scroll bar takes cells from the lines, and no event tells of that."""
        self.call_after_refresh(self._fit)

    def _fit(self) -> None:
        width = self.scrollable_content_region.width
        if width > 0 and width != self._layout.width:
            height = self._cursor_height()
            self._layout.set(self._layout.rows, width)
            self._place(height)
        self._show_cursor()

    def _place(self, height: int | None) -> None:
        """Bring the window to where its reader is; `height`: where on the screen the cursor's row was."""
        if not self.is_attached or self._page <= 0:
            return
        self.virtual_size = Size(self._layout.width, self._layout.total)
        span = None if self._cursor is None else self._layout.span(self._cursor)
        if span is not None and height is not None and 0 <= height < self._page:
            self._scroll(span[0] - height)
        self._show_cursor()
        self.refresh()

    def _scroll(self, y: int) -> None:
        self.scroll_to(y=y, animate=False, immediate=True)

    def _show_cursor(self) -> None:
        span = None if self._cursor is None else self._layout.span(self._cursor)
        if span is None or self._page <= 0 or not self.is_attached:
            return
        top, end = span
        # The heading above the first item comes into sight with it.
        index = self._layout.index_of(self._cursor or "") or 0
        if index == 1:
            top = 0
        region = Region(0, top, 1, min(end - top, self._page))
        self.scroll_to_region(region, animate=False, immediate=True)

    # Drawing

    @override
    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._styles_by_name.clear()

    def watch_has_focus(self, focused: bool) -> None:
        super().watch_has_focus(focused)
        self.refresh()

    @override
    def render_line(self, y: int) -> Strip:
        found = self._layout.at(self.scroll_offset.y + y)
        if found is None:
            return Strip.blank(self.size.width, self._style("plain"))
        row, part = found
        line = self._layout.line(row, part)
        return self._strip(row, line, under_cursor=row.key == self._cursor, first=part == 0)

    def _strip(self, row: Row, line: Line, *, under_cursor: bool, first: bool) -> Strip:
        shade = self._style("cursor") if under_cursor and self.has_focus else None
        sign = CURSOR if under_cursor and first and row.kind == "item" else " "
        segments = [Segment(sign, self._toned("strong", shade))]
        for piece in line:
            name = "heading" if row.kind == "heading" and piece.tone == "plain" else piece.tone
            segments.append(Segment(piece.text, self._toned(name, shade)))
        return Strip(segments).adjust_cell_length(self.size.width, self._toned("plain", shade))

    def _toned(self, name: str, shade: Style | None) -> Style:
        style = self._style(name)
        if shade is None:
            return style
        return style + Style(bgcolor=shade.bgcolor, bold=True)

    def _style(self, name: str) -> Style:
        style = self._styles_by_name.get(name)
        if style is None:
            style = self._styles_by_name[name] = self.get_visual_style(f"list--{name}").rich_style
        return style
