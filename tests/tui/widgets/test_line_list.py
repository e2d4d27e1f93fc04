"""A list of any length that keeps its reader's place."""

from __future__ import annotations

from textual.app import App, ComposeResult

from protocol.text import inert_line
from tui.widgets.line_list import LineList
from tui.widgets.rows import Row


class ListApp(App[None]):
    """One list."""

    def __init__(self, rows: list[Row]) -> None:
        super().__init__()
        self._rows = rows
        self.pressed: list[str] = []

    def compose(self) -> ComposeResult:
        yield LineList(id="list")

    def on_mount(self) -> None:
        self.list.set_rows(self._rows)
        self.list.focus()

    def on_line_list_pressed(self, event: LineList.Pressed) -> None:
        self.pressed.append(event.key)

    @property
    def list(self) -> LineList:
        return self.query_one(LineList)


def items(*numbers: int) -> list[Row]:
    return [
        Row(f"k{number}", "item", inert_line(f"Item {number}"), sign=inert_line("○")) for number in numbers
    ]


def heading(name: str) -> Row:
    return Row(name, "heading", inert_line(name))


async def test_the_cursor_goes_over_items_only() -> None:
    """Headings are jumped over; at the ends it stays."""
    app = ListApp([heading("a"), *items(1, 2), heading("b"), *items(3)])
    async with app.run_test(size=(30, 10)) as pilot:
        seen = [app.list.cursor]
        for key in ("j", "down", "j", "k", "g", "k", "G"):
            await pilot.press(key)
            seen.append(app.list.cursor)
        assert seen == ["k1", "k2", "k3", "k3", "k2", "k1", "k1", "k3"]


async def test_the_cursor_stays_on_its_row() -> None:
    """Rows before it come and go; where its own goes, the one in its place has it."""
    app = ListApp(items(1, 2, 3, 4))
    cursors: list[str | None] = []
    async with app.run_test(size=(30, 10)) as pilot:
        await pilot.press("j", "j")
        for rows in (items(9, 8, 1, 2, 3, 4), items(9, 8, 1, 2, 4), items(9), [heading("nothing")], items(7)):
            app.list.set_rows(rows)
            cursors.append(app.list.cursor)
    assert cursors == ["k3", "k4", "k9", None, "k7"]


async def test_rows_that_come_above_do_not_move_what_is_read() -> None:
    """The row under the cursor keeps its place on the screen."""
    app = ListApp(items(*range(100)))
    async with app.run_test(size=(30, 10)) as pilot:
        app.list.move_to("k50")
        await pilot.press("k", "k", "k")
        await pilot.pause()
        before = 47 - app.list.scroll_offset.y
        app.list.set_rows(items(*range(-20, 100)))
        await pilot.pause()
        assert 67 - app.list.scroll_offset.y == before


async def test_pages_and_ends() -> None:
    """Half a page, a page, the first and the last; the cursor is always in sight."""
    app = ListApp(items(*range(1_000)))
    async with app.run_test(size=(30, 10)) as pilot:
        for key in ("ctrl+d", "pagedown", "G", "ctrl+u", "pageup", "g"):
            await pilot.press(key)
            await pilot.pause()
            top = app.list.scroll_offset.y
            assert app.list.cursor is not None
            assert top <= int(app.list.cursor[1:]) < top + 10
        assert app.list.cursor == "k0"


async def test_a_new_width_keeps_the_cursor_in_sight() -> None:
    """Rows fold anew, and the one that is read stays there."""
    rows = [
        Row(f"k{n}", "item", inert_line(f"A longer text {n}"), facts=(inert_line("some facts of it"),))
        for n in range(200)
    ]
    app = ListApp(rows)
    async with app.run_test(size=(60, 10)) as pilot:
        app.list.move_to("k100")
        await pilot.resize_terminal(24, 8)
        await pilot.pause()
        assert app.list.cursor == "k100"
        top, end = app.list.scroll_offset.y, app.list.scroll_offset.y + 8
        span = app.list._layout.span("k100")
        assert span is not None
        assert top <= span[0]
        assert span[1] <= end


async def test_a_list_without_items_is_read_line_by_line() -> None:
    """Help has nothing to choose, and is moved all the same."""
    app = ListApp([Row(f"n{n}", "note", inert_line(f"line {n}")) for n in range(50)])
    async with app.run_test(size=(30, 10)) as pilot:
        await pilot.pause()
        await pilot.press("j", "j")
        await pilot.pause()
        assert app.list.scroll_offset.y == 2
        await pilot.press("G")
        await pilot.pause()
        assert app.list.scroll_offset.y == 40


async def test_a_click_moves_and_on_the_sign_presses() -> None:
    """On the text it only moves; twice it presses as well."""
    app = ListApp(items(1, 2, 3))
    async with app.run_test(size=(30, 10)) as pilot:
        await pilot.click(offset=(8, 1))
        assert (app.list.cursor, app.pressed) == ("k2", [])
        await pilot.click(offset=(1, 2))
        assert (app.list.cursor, app.pressed) == ("k3", ["k3"])
        await pilot.click(offset=(8, 9))
        assert app.list.cursor == "k3"


async def test_the_row_that_is_about_to_go_hands_the_cursor_on() -> None:
    """To the next one, or to the one before where it was the last."""
    app = ListApp(items(1, 2))
    async with app.run_test(size=(30, 10)):
        app.list.move_on()
        assert app.list.cursor == "k2"
        app.list.move_on()
        assert app.list.cursor == "k1"
