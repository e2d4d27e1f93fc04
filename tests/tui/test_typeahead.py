"""Keys typed ahead: whatever a key is about to change, the next one lands where it was meant."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import pytest
from textual import events
from textual.keys import _character_to_key
from textual.widgets import Input

from tests.support.clients import FakeClient
from tests.support.fixtures import NOW, a_state, a_task
from tests.support.wait import until
from tui import typeahead
from tui.app import ObeliskApp
from tui.screens.dialogs import QuickAdd
from tui.screens.lists import MemoryScreen
from tui.screens.main import MainScreen
from tui.typeahead import TypeAhead

TWO = a_state(a_task("t1", title="Pay rent", due="2026-11-22"), a_task("t2", title="Call mum"))
Burst = Iterable[events.Key | events.Paste]


class Fast:
    """A running screen whose terminal sends keys without waiting for anything, as a paste or tmux does."""

    def __init__(self, app: ObeliskApp, client: FakeClient) -> None:
        self.app = app
        self.client = client

    def sends(self, *keys: str | events.Paste) -> None:
        """Keys by name, texts of several characters by their characters."""
        for event in (event for given in keys for event in events_of(given)):
            event.set_sender(self.app)
            self.app.post_message(event)

    @property
    def main(self) -> MainScreen:
        (found,) = [screen for screen in self.app.screen_stack if isinstance(screen, MainScreen)]
        return found

    @property
    def titles(self) -> list[object]:
        return [payload["title"] for kind, payload in self.client.acted if kind == "user.create_task"]

    @property
    def texts(self) -> list[object]:
        return [payload["text"] for kind, payload in self.client.acted if kind == "user.message"]


NAMED = {
    "enter": "\r",
    "escape": None,
    "tab": "\t",
    "ctrl+c": None,
    "ctrl+n": None,
    "backspace": None,
    "home": None,
}


def events_of(given: str | events.Paste) -> Burst:
    if isinstance(given, events.Paste):
        return [given]
    if given in NAMED:
        return [events.Key(given, NAMED[given])]
    return [events.Key(_character_to_key(character), character) for character in given]


@asynccontextmanager
async def fast(client: FakeClient | None = None) -> AsyncIterator[Fast]:
    """Patience has no end here: a key that would need it fails the test."""
    client = client or FakeClient(TWO)
    app = ObeliskApp(client, now=lambda: NOW)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(typeahead, "PATIENCE_S", 60.0)
        async with app.run_test(size=(100, 30), notifications=True) as pilot:
            await pilot.pause()
            yield Fast(app, client)


async def test_a_title_typed_behind_the_key_of_the_dialog_lands_in_it() -> None:
    """`a`, a title and enter in one burst add one task; no letter acts on the list behind the dialog."""
    async with fast() as terminal:
        terminal.sends("a", "dip and skip", "enter")
        await until(lambda: terminal.titles == ["dip and skip"])
        assert len(terminal.client.acted) == 1
        assert isinstance(terminal.app.screen, MainScreen)


async def test_three_tasks_in_one_burst() -> None:
    """The dialog opens, closes and opens again, and every key finds the one that it was meant for."""
    async with fast() as terminal:
        terminal.sends("a", "one", "enter", "a", "two", "enter", "a", "three", "enter")
        await until(lambda: len(terminal.titles) == 3)
        assert terminal.titles == ["one", "two", "three"]


async def test_a_question_typed_behind_its_key_is_sent_whole() -> None:
    """The composer gets its first letter, too; then escape leaves it and keys act on panes again."""
    async with fast() as terminal:
        terminal.sends("/", "quite a dip", "enter", "escape", "2", "m")
        await until(lambda: terminal.texts == ["quite a dip"])
        await until(lambda: isinstance(terminal.app.screen, MemoryScreen))
        assert len(terminal.client.acted) == 1


async def test_a_paste_keeps_its_place_among_keys() -> None:
    """What is pasted behind the key that opens the composer, and before enter, is in the message."""
    async with fast() as terminal:
        terminal.sends("/", "so ", events.Paste("two\nlines"), " more", "enter")
        await until(lambda: terminal.texts == ["so two\nlines more"])


async def test_lines_pasted_into_one_line_are_all_there() -> None:
    """A title has one line; pasted lines become words of it, and what could act on a terminal is inert."""
    async with fast() as terminal:
        terminal.sends("a", events.Paste("buy\n  milk\x1b[31m\nand oars"), "enter")
        await until(lambda: terminal.titles == ["buy milk␛[31m and oars"])


async def test_editing_keys_keep_their_order_with_letters() -> None:
    """A backspace between two letters deletes the first."""
    async with fast() as terminal:
        terminal.sends("a", "ax", "backspace", "b", "home", "c", "enter")
        await until(lambda: terminal.titles == ["cab"])


async def test_ctrl_c_twice_leaves_from_wherever_one_is() -> None:
    """Also from a dialog with text in it, behind other keys."""
    async with fast() as terminal:
        terminal.sends("a", "half", "ctrl+c", "ctrl+c")
        await until(lambda: not terminal.app.is_running)


async def test_a_key_whose_widget_goes_holds_nothing_up() -> None:
    """Escape closes the dialog under its own feet, over and over, and no patience is lost."""
    async with fast() as terminal:
        terminal.sends(*["a", "escape"] * 10, "m")
        await until(lambda: isinstance(terminal.app.screen, MemoryScreen), timeout_s=10)


async def test_a_long_text_is_not_held_up() -> None:
    """Letters into the text that has the focus do not wait for each other."""
    async with fast() as terminal:
        terminal.sends("a", "x" * 400)
        await until(lambda: [field.value for field in terminal.app.screen.query(Input)] == ["x" * 400])


async def test_without_it_the_burst_goes_astray(monkeypatch: pytest.MonkeyPatch) -> None:
    """The list behind the dialog gets letters that were meant for it: that is what is prevented."""
    monkeypatch.delattr(TypeAhead, "on_event")
    async with fast() as terminal:
        terminal.sends("a", "sick", "enter")
        await until(lambda: isinstance(terminal.app.screen, QuickAdd))
        with pytest.raises(AssertionError):
            await until(lambda: terminal.titles == ["sick"], timeout_s=0.5)
