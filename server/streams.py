"""The answers that are open in a workspace: what they have said so far.

Duty: the text of every open answer, and its way out as `llm.token`.
Must not know: who makes the text, who reads it, the ledger.

1. A token leaves only while its answer is open and not frozen; so none follows the terminal event.
2. `texts` is exactly what was sent: whoever ends an answer takes its text from here.
3. Frozen is frozen the moment a terminal event is decided, before it is durable.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from protocol.codec import encode_server_frame
from protocol.frames import Token, TokenPayload
from server.clock import Clock

Send = Callable[[bytes], None]


class Streams:
    """The open answers of one workspace. `send` brings a frame's bytes to all who listen."""

    def __init__(self, clock: Clock, send: Send) -> None:
        self._clock = clock
        self._send = send
        self._texts: dict[str, str] = {}
        self._frozen: set[str] = set()
        self.texts: Mapping[str, str] = MappingProxyType(self._texts)
        """All that was sent, by the answer's message id."""

    def open(self, message_id: str) -> None:
        """An answer may speak from now on."""
        self._texts.setdefault(message_id, "")

    def append(self, message_id: str, text: str) -> bool:
        """Send a piece of an answer. False where it may not speak (any more): then stop."""
        if not self.may_speak(message_id):
            return False
        if text:
            said = self._texts[message_id]
            self._texts[message_id] = said + text
            self._send(self._token(message_id, len(said), text))
        return True

    def may_speak(self, message_id: str) -> bool:
        """Whether an answer is open, and no terminal event was decided."""
        return message_id in self._texts and message_id not in self._frozen

    def freeze(self, message_id: str) -> None:
        """A terminal event was decided: nothing leaves any more."""
        self._frozen.add(message_id)

    def end(self, message_id: str) -> None:
        """The terminal event is durable: the text is in the ledger."""
        self._texts.pop(message_id, None)
        self._frozen.discard(message_id)

    def so_far(self, message_id: str) -> bytes:
        """The frame that brings a new reader up to now: from offset 0, all the text, which may be empty."""
        return self._token(message_id, 0, self._texts.get(message_id, ""))

    def _token(self, message_id: str, offset: int, text: str) -> bytes:
        payload = TokenPayload(message_id=message_id, offset=offset, text=text)
        return encode_server_frame(Token(timestamp=self._clock.now(), actor="assistant", payload=payload))
