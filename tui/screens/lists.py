"""Lists over the main screen: what is remembered, what was not accepted, help.

Must not know: the client; what is to be done goes to the host.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from textual import on
from typing_extensions import override

from protocol.errors import Refused
from protocol.state import Memory
from protocol.text import inert_line
from tui import intents
from tui.intents import Wanted
from tui.keymap import PLACE_WORDS, Place
from tui.rows import help_rows, memory_rows, rejected_rows
from tui.safety import safe_content
from tui.screens.base import Frame, ListScreen, host_of
from tui.screens.dialogs import Ask, WriteText
from tui.selectors import memory_lines, rejected_lines, rejected_words
from tui.widgets.line_list import LineList
from tui.wording import counted, words


class MemoryScreen(ListScreen):
    """What the workspace remembers."""

    PLACE = "memory"

    @override
    def show(self, frame: Frame) -> None:
        lines = memory_lines(frame.view, frame.told, frame.moment)
        title = f"Memory · {counted(len(lines), 'thing')} remembered"
        self.query_one(".window").border_title = safe_content(words(title))
        self.rows.set_rows(memory_rows(lines))

    @property
    @override
    def commands(self) -> Mapping[str, Callable[[], None]]:
        return {
            "memory.add": self.add,
            "memory.edit": self.edit,
            "memory.pin": self.pin,
            "memory.forget": self.forget,
            "memory.close": self.leave,
        }

    @on(LineList.Pressed)
    def pressed(self) -> None:
        """A click on a sign edits."""
        self.edit()

    def add(self) -> None:
        """Write something down."""

        def done(text: str | None) -> None:
            if text is not None:
                self._do(intents.remember(text))

        self.app.push_screen(WriteText(words("Remember")), done)

    def edit(self) -> None:
        """Write it otherwise."""
        memory = self._chosen()
        if memory is None:
            return

        def done(text: str | None) -> None:
            if text is not None:
                self._do(intents.edit_memory(memory, text))

        self.app.push_screen(WriteText(words("Edit what is remembered"), memory.text), done)

    def pin(self) -> None:
        """Pin it, or let it go."""
        memory = self._chosen()
        if memory is not None:
            self._do(intents.pin(memory))

    def forget(self) -> None:
        """Forget it, after one key."""
        memory = self._chosen()
        if memory is None:
            return
        question = inert_line(f"Forget “{memory.text}”?")

        def done(yes: bool | None) -> None:
            if yes:
                self._do(intents.forget(memory))

        self.app.push_screen(Ask(question, words("forget it"), words("keep it")), done)

    def _do(self, wanted: Wanted | Refused | None) -> None:
        host = host_of(self)
        match wanted:
            case None:
                return
            case Refused(message=message):
                host.tell(inert_line(message), trouble=True)
            case Wanted():
                host.do(wanted)

    def _chosen(self) -> Memory | None:
        return host_of(self).frame.view.memory.get(self.rows.cursor or "")


class RejectedScreen(ListScreen):
    """What was not accepted, and why."""

    PLACE = "rejected"

    @override
    def show(self, frame: Frame) -> None:
        self._lines = {line.client_action_id: line for line in rejected_lines(frame.rejected, frame.moment)}
        self.query_one(".window").border_title = safe_content(rejected_words(len(self._lines)))
        self.rows.set_rows(rejected_rows(list(self._lines.values())))

    @property
    @override
    def commands(self) -> Mapping[str, Callable[[], None]]:
        return {
            "rejected.take": self.take,
            "rejected.dismiss": self.dismiss_one,
            "rejected.close": self.leave,
        }

    def take(self) -> None:
        """Copy the text of the row to the composer."""
        line = self._lines.get(self.rows.cursor or "")
        host = host_of(self)
        if line is None:
            return
        if not line.text:
            host.tell(words("There is no text in it."))
            return
        self.dismiss()
        host.compose_text(line.text)

    def dismiss_one(self) -> None:
        """It was seen."""
        if self.rows.cursor is not None:
            host_of(self).dismiss_rejected(self.rows.cursor)


class HelpScreen(ListScreen):
    """The keys for what has the focus, and everything else to know."""

    PLACE = "help"

    def __init__(self, about: Place) -> None:
        super().__init__()
        self._about = about

    @override
    def show(self, frame: Frame) -> None:
        title = f"Help · {PLACE_WORDS[self._about]}"
        self.query_one(".window").border_title = safe_content(words(title))
        self.rows.set_rows(help_rows(self._about, dict(host_of(self).bound)))

    @property
    @override
    def commands(self) -> Mapping[str, Callable[[], None]]:
        return {"help.close": self.leave}
