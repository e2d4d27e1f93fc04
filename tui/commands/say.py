"""`obelisk say TEXT…`: a message to the assistant, and its answer as it is written."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from protocol.client.clock import SystemClock
from protocol.events import Event, LlmCompleted, LlmInterrupted, MessageCreated, MessageStream
from protocol.frames import Token, TokenPayload
from protocol.state import Message
from protocol.text import inert
from tui.commands.feed import Piece
from tui.commands.session import Session
from tui.exits import Exit
from tui.output import Printer

_REASONS = {
    "user": "somebody interrupted the answer",
    "error": "the assistant failed",
    "stalled": "the assistant stopped answering",
    "server_restart": "the server was restarted",
    "superseded": "another message took the answer's place",
}


async def run(session: Session, asked: argparse.Namespace) -> int:
    """Send the message and follow its answer to the end, if there is to be one."""
    await session.reach()
    acked = await session.act("user.message", {"text": " ".join(asked.text)})
    events = await session.events_of(acked)
    session.printer.events(events)
    question = next((one.payload.entity for one in events if isinstance(one.payload, MessageCreated)), None)
    if question is None:
        return Exit.DONE
    answer = Answer(session.printer, question, events)
    if question.status != "waiting" and not answer.message_id:
        session.printer.note("nobody was asked to answer")
        return Exit.DONE
    async for item in session.follow(events[-1].seq):
        if answer.take(item):
            break
    return Exit.DONE


class Answer:
    """An answer as it comes: found by its question, printed as far as it is known."""

    def __init__(self, printer: Printer, question: Message, events: Sequence[Event]) -> None:
        self.message_id = ""
        self._printer = printer
        self._question = question
        self._causes = {event.event_id for event in events}
        self._told = ""
        """The text that was given to scripts."""
        self._shown = ""
        """The inert text that was shown to people."""
        self._clock = SystemClock()
        for event in events:
            self._opens(event)

    def take(self, item: Event | Piece) -> bool:
        """Print what belongs to the answer; whether it has ended."""
        if isinstance(item, Piece):
            if item.message_id == self.message_id:
                self._grow(item.text)
            return False
        if not self._is_ours(item):
            return False
        self._causes.add(item.event_id)
        match item.payload:
            case LlmCompleted(text=text):
                self._end(item, text)
                return True
            case LlmInterrupted(text=text, reason=reason):
                self._end(item, text)
                self._printer.note(_REASONS.get(reason, "the answer was interrupted"))
                return True
            case _:
                self._printer.events([item])
                return False

    def _is_ours(self, event: Event) -> bool:
        """The answer's own events, and what the assistant did on account of it."""
        if isinstance(event.payload, LlmCompleted | LlmInterrupted):
            return event.payload.message_id == self.message_id
        return self._opens(event) or (event.because is not None and event.because in self._causes)

    def _opens(self, event: Event) -> bool:
        opened = event.payload
        if not isinstance(opened, MessageStream) or opened.reply_to != self._question.message_id:
            return False
        self.message_id = opened.message_id
        return True

    def _grow(self, text: str) -> None:
        if text.startswith(self._told) and len(text) > len(self._told):
            offset, new = len(self._told), text[len(self._told) :]
            self._told = text
            payload = TokenPayload(message_id=self.message_id, offset=offset, text=new)
            self._printer.token(Token(timestamp=self._clock.now(), actor="assistant", payload=payload))
        self._show(text)

    def _show(self, text: str) -> None:
        """Show what is new of a text that grew; only its last character may have looked otherwise before."""
        safe = inert(text)
        self._printer.piece(safe[len(self._shown) :])
        self._shown = safe

    def _end(self, event: Event, text: str) -> None:
        self._show(text)
        self._printer.events([event])
        if not self._shown.endswith("\n"):
            self._printer.piece("\n")
