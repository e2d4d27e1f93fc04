"""Keys in their order: the next is looked at when the one before has taken effect.

Duty: hold keys back while a key may still be moving the focus or opening a screen, so that what is typed
ahead lands where it was meant. Textual forwards each key to whatever has the focus at that moment, though a
key before it may be on its way to change that: a burst of `a`, a title and enter would act on the list behind
the dialog. Must not know: what any key means.

1. No key is lost and none overtakes another; what is pasted keeps its place among them.
2. Characters that go into the text that has the focus wait for nothing: typing is never slower.
3. A key holds the others back until everything that its widget said about it has been heard on the way up,
   and the screen has been drawn once after that.
4. A key that disappears with the widget that it was given to holds the others back for `PATIENCE_S` at most.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import Final

from textual import events
from textual.app import App
from textual.message import Message
from textual.message_pump import MessagePump
from textual.timer import Timer
from textual.widgets import Input, TextArea
from typing_extensions import override

PATIENCE_S: Final = 2.0
"""Longer than a loaded machine takes to open a dialog; no known key needs it."""
LAPS: Final = 2
"""The first follows the key; the second follows what the widget posted to itself because of it."""


class KeyTaken(Message, bubble=True):
    """Follows a key on its way from the focused widget up to the app, where it says that the key is done."""

    def __init__(self, number: int, target: MessagePump, laps_left: int) -> None:
        super().__init__()
        self.number = number
        self.target = target
        self.laps_left = laps_left


class TypeAhead(App[None]):
    """An app that handles keys one after the other."""

    def __init__(self) -> None:
        super().__init__()
        self._keys_ahead: deque[events.Key | events.Paste] = deque()
        self._key_under_way: Timer | None = None
        self._key_number = 0

    @property
    def is_typed_ahead(self) -> bool:
        """Whether a key waits, or has not had all its effect yet."""
        return bool(self._keys_ahead) or self._key_under_way is not None

    @override
    async def on_event(self, event: events.Event) -> None:
        """Take keys in their turn, everything else as it comes."""
        if isinstance(event, events.Key | events.Paste) and not event.is_forwarded:
            self._keys_ahead.append(event)
            await self._next_keys()
        else:
            await super().on_event(event)

    async def _next_keys(self) -> None:
        while self.is_running and self._keys_ahead and self._key_under_way is None:
            event = self._keys_ahead.popleft()
            target = self.focused or self.screen
            if isinstance(event, events.Paste) or _is_text(event, target):
                await super().on_event(event)
            else:
                self._key_number += 1
                self._key_under_way = self.set_timer(PATIENCE_S, partial(self._key_done, self._key_number))
                await super().on_event(event)
                self._follow(KeyTaken(self._key_number, target, LAPS))

    def _follow(self, taken: KeyTaken) -> None:
        """Send the message behind the key; where its widget has gone, the key has had its effect."""
        if not self.is_running:
            return
        if taken.laps_left == 0 or not taken.target.post_message(taken):
            # What was asked for (a focus, a screen) comes with the screen's next refresh.
            self.screen.call_after_refresh(self.call_later, self._key_done, taken.number)

    def on_key_taken(self, taken: KeyTaken) -> None:
        """A lap is done."""
        if taken.number == self._key_number:
            self._follow(KeyTaken(taken.number, taken.target, taken.laps_left - 1))

    async def _key_done(self, number: int) -> None:
        if self._key_under_way is not None and number == self._key_number:
            self._key_under_way.stop()
            self._key_under_way = None
            await self._next_keys()


def _is_text(event: events.Key, target: MessagePump) -> bool:
    return event.is_printable and isinstance(target, Input | TextArea)
