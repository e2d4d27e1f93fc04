"""Where a message is written.

Duty: a text area in which enter sends; it says what was written and when it was sent or left.
It knows no thread and no client; keeping drafts is others' business.

Invariants:
1. Nothing here throws text away: leaving keeps it, only `take` empties it.
2. What is pasted is made inert first: a control character never gets into a message by accident.
3. The cursor does not blink.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from textual import events
from textual.message import Message
from textual.widgets import TextArea

from protocol.text import inert
from tui.keymap import BY_ID

_SEND: Final = frozenset(BY_ID["composer.send"].keys)
_NEW_LINE: Final = frozenset(BY_ID["composer.newline"].keys)
_LEAVE: Final = frozenset(BY_ID["composer.leave"].keys)


class Composer(TextArea):
    """A message that is being written."""

    @dataclass
    class Sent(Message):
        """Enter was pressed on a text that is not blank."""

        text: str

    @dataclass
    class Left(Message):
        """Escape was pressed."""

    def __init__(
        self,
        *,
        id: str | None = None,  # noqa: A002 - textual's name
    ) -> None:
        super().__init__(id=id, soft_wrap=True, show_line_numbers=False, highlight_cursor_line=False)
        self.cursor_blink = False

    def put(self, text: str) -> None:
        """Show a text with the cursor at its end."""
        self.text = inert(text)
        self.move_cursor(self.document.end)

    def take(self) -> str:
        """The text; the composer is empty then."""
        text = self.text
        self.clear()
        return text

    async def _on_key(self, event: events.Key) -> None:
        if event.key in _LEAVE:
            _handled(event)
            self.post_message(self.Left())
        elif event.key in _SEND:
            _handled(event)
            if self.text.strip():
                self.post_message(self.Sent(self.text))
        elif event.key in _NEW_LINE:
            _handled(event)
            self.insert("\n")
        else:
            await super()._on_key(event)

    async def _on_paste(self, event: events.Paste) -> None:
        _handled(event)
        start, end = self.selection
        self.replace(inert(event.text), start, end)


def _handled(event: events.Event) -> None:
    event.stop()
    event.prevent_default()
