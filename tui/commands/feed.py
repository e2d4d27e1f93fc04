"""What a client hears while a command runs, in order: events and pieces of answers.

Duty: keep what comes from the first moment on; give it back from any seq without a gap and without a repeat.
Must not know: what a command looks for.

1. `items(after)` yields every event after that seq once, in ledger order: from the link where it brought
   them, from the ledger where it did not (before the client connected, or behind a snapshot).
2. A piece of an answer stands where it came: before the event that ends the answer.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass

from protocol.client.client import Client
from protocol.client.status import Change
from protocol.events import Event
from tui.commands.ledger import Ledger, Unread


@dataclass(frozen=True, slots=True)
class Piece:
    """All the text of an open answer so far."""

    message_id: str
    text: str


class Silence(Exception):  # noqa: N818  says what happened, as it reads at the raise
    """The link was down for longer than the command waits; the text is why."""


class Feed:
    """Listens to a client from its making on."""

    def __init__(self, client: Client, ledger: Ledger) -> None:
        self._client = client
        self._ledger = ledger
        self._items: deque[Event | Piece] = deque()
        self._bell = asyncio.Event()
        self._down_at: float | None = None
        self.close = client.subscribe(self._hear)

    def _hear(self, change: Change) -> None:
        for message_id in change.streams:
            text = self._client.streams.get(message_id)
            if text:
                self._items.append(Piece(message_id, text))
        self._items.extend(change.events)
        self._bell.set()

    async def changed(self, patience_s: float | None) -> None:
        """Wait for the next change. Silence where the link was down for `patience_s`; Stopped."""
        if self._client.stopped is not None:
            raise self._client.stopped
        loop = asyncio.get_running_loop()
        if self._client.link.phase != "offline":
            self._down_at = None
        elif self._down_at is None:
            self._down_at = loop.time()
        until = None if self._down_at is None or patience_s is None else self._down_at + patience_s
        try:
            async with asyncio.timeout_at(until):
                self._bell.clear()
                await self._bell.wait()
        except TimeoutError:
            raise Silence(self._client.link.reason or "The server does not answer.") from None

    async def items(self, after: int, patience_s: float | None) -> AsyncIterator[Event | Piece]:
        """Everything after a seq, for ever. Silence, Stopped or Unread where there will be no more."""
        last = after
        while True:
            item = self._next(last)
            if isinstance(item, Event):
                last = item.seq
            if item is not None:
                yield item
            elif self._client.replica.head.seq > last:
                for event in await self._history(last, patience_s):
                    last = event.seq
                    yield event
            else:
                await self.changed(patience_s)

    def _next(self, last: int) -> Event | Piece | None:
        """What the link brought next; None where it brought nothing, or something behind a gap."""
        while self._items:
            item = self._items[0]
            if isinstance(item, Event) and item.seq > last + 1:
                return None
            self._items.popleft()
            if isinstance(item, Piece) or item.seq == last + 1:
                return item
        return None

    async def _history(self, after: int, patience_s: float | None) -> tuple[Event, ...]:
        """A page of the ledger; empty where it has to be tried again once the link has changed."""
        try:
            return await self._ledger.events(after)
        except Unread:
            if self._client.link.phase == "live":
                raise
        await self.changed(patience_s)
        return ()
