"""What all screens have in common: the frame that they are shown, the commands that they perform.

Must not know: the client; what a screen wants done it hands to its host.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol, cast

from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, TextArea
from typing_extensions import override

from protocol.client.status import LinkStatus
from protocol.frames import Present
from protocol.replica import Rejected
from protocol.state import State
from protocol.text import SafeText, inert, inert_line
from tui.bindings import bindings_of
from tui.intents import Wanted
from tui.keymap import BY_ID, Place, footer, keys_words
from tui.widgets.line_list import LineList
from tui.widgets.one_line import Hint, KeyLine
from tui.wording import Moment, words


@dataclass(frozen=True, slots=True)
class Frame:
    """All that is to be shown at one moment.

    `predicted`: keys of entries that are not confirmed; `marked`: it is time to say so of each.
    """

    view: State
    predicted: frozenset[str]
    marked: bool
    pending: int
    streams: Mapping[str, str]
    link: LinkStatus
    present: tuple[Present, ...]
    rejected: tuple[Rejected, ...]
    moment: Moment

    @property
    def told(self) -> frozenset[str]:
        """The entries to mark as not confirmed."""
        return self.predicted if self.marked else frozenset()


class Host(Protocol):
    """What a screen may ask of the app."""

    @property
    def frame(self) -> Frame:
        """What is to be shown now."""

    @property
    def bound(self) -> Mapping[str, str]:
        """Keys by command id, where they are not the registry's."""

    def do(self, wanted: Wanted) -> bool:
        """Do something; False where it was refused at once, and then it was said why."""

    def tell(self, message: SafeText, *, trouble: bool = False) -> None:
        """Say something for a while."""

    def compose_text(self, text: str) -> None:
        """Put a text into the composer, behind what is in it, and go there."""

    def keep_draft(self, thread_id: str, text: str) -> None:
        """Keep what is being written in a thread, and let others know that it is."""

    def at_pane(self, place: Place) -> None:
        """The person is at another pane."""

    def dismiss_rejected(self, client_action_id: str) -> None:
        """A refusal was seen."""

    def command(self, command_id: str) -> None:
        """Perform a command of the registry where the focus is."""


def host_of(node: object) -> Host:
    """The app of a screen or widget, as its host."""
    return cast("Host", node.app)  # type: ignore[attr-defined]  # screens and widgets have an app, and ours is a host


class Shows(Protocol):
    """A screen that shows frames and performs commands."""

    @property
    def place(self) -> Place:
        """Where the focus is."""

    def show(self, frame: Frame) -> None:
        """Show another frame."""

    def perform(self, command_id: str) -> bool:
        """Perform a command; False where this screen has no such command."""


def hints_of(place: Place, bound: Mapping[str, str]) -> tuple[Hint, ...]:
    """The keys at hand in a place, for the last row of the screen."""
    return tuple(
        Hint(command.id, words(keys_words(command, bound).split(" ")[0]), words(command.short))
        for command in footer(place)
    )


class PlainInput(Input):
    """A field of one line with a cursor that does not blink; lines that are pasted become one."""

    def on_mount(self) -> None:
        self.cursor_blink = False

    def _on_paste(self, event: events.Paste) -> None:
        event.stop()
        event.prevent_default()
        start, end = sorted(self.selection)
        self.replace(inert_line(" ".join(event.text.split())), start, end)


class PlainArea(TextArea):
    """A field of several lines with a cursor that does not blink."""

    def on_mount(self) -> None:
        self.cursor_blink = False
        self.highlight_cursor_line = False

    async def _on_paste(self, event: events.Paste) -> None:
        event.stop()
        event.prevent_default()
        start, end = self.selection
        self.replace(inert(event.text), start, end)


class ListScreen(ModalScreen[None]):
    """A list over the main screen with commands for the row under its cursor."""

    PLACE: ClassVar[Place]
    BINDINGS: ClassVar[list[BindingType]] = []

    def __init_subclass__(cls) -> None:
        cls.BINDINGS = [*bindings_of(cls.PLACE)]
        super().__init_subclass__()

    @property
    def place(self) -> Place:
        """Where the focus is."""
        return self.PLACE

    @override
    def compose(self) -> ComposeResult:
        with Vertical(classes="window"):
            yield LineList(id="list")
        yield KeyLine(id="keys")

    @property
    def rows(self) -> LineList:
        """The list."""
        return self.query_one("#list", LineList)

    def on_mount(self) -> None:
        host = host_of(self)
        self.query_one(KeyLine).hints = hints_of(self.PLACE, host.bound)
        self.show(host.frame)
        self.rows.focus()

    def on_choice_line_clicked(self, event: KeyLine.Clicked) -> None:
        host_of(self).command(event.id)

    def leave(self) -> None:
        """Back to the screen below."""
        self.dismiss(None)

    def show(self, frame: Frame) -> None:
        """Show another frame."""
        raise NotImplementedError

    @property
    def commands(self) -> Mapping[str, Callable[[], None]]:
        """What this screen can do, by command id."""
        raise NotImplementedError

    def perform(self, command_id: str) -> bool:
        """Perform a command; False where this screen has no such command."""
        assert command_id in BY_ID, command_id
        found = self.commands.get(command_id)
        if found is not None:
            found()
        return found is not None
