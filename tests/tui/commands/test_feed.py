"""Following the ledger: every event once, in order, from the link where it brought them, else from the ledger."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from protocol.client.errors import Stopped
from protocol.client.status import Change
from protocol.events import Event, Head
from protocol.events import Unknown as UnknownPayload
from tests.support.fixtures import NOW
from tui.commands.feed import Feed, Piece, Silence
from tui.commands.ledger import Unread


def an_event(seq: int) -> Event:
    return Event(
        seq=seq,
        event_id=f"e{seq}",
        timestamp=NOW,
        type="x.happened",
        actor="ana",
        client_action_id=f"c{seq}",
        cause="user.x",
        payload=UnknownPayload(fields={}),
    )


class Heard:
    """A client and its server's ledger, as far as a feed looks at them."""

    def __init__(self, head: int) -> None:
        self.stopped: Stopped | None = None
        self.streams: dict[str, str] = {}
        self.pages: list[int] = []
        self.is_readable = True
        self.becomes("live")
        self.knows(head)
        self._callback: Callable[[Change], None] = lambda change: None

    def becomes(self, phase: str) -> None:
        self.link = SimpleNamespace(phase=phase, reason="The connection was lost.")

    def knows(self, head: int) -> None:
        self.replica = SimpleNamespace(head=Head(head, f"e{head}"))

    def subscribe(self, callback: Callable[[Change], None]) -> Callable[[], None]:
        self._callback = callback
        return lambda: None

    def brings(self, *seqs: int) -> None:
        """Events over the link."""
        self.knows(seqs[-1])
        self._callback(Change(events=tuple(map(an_event, seqs))))

    def says(self, text: str) -> None:
        """More of an answer over the link."""
        self.streams["an"] = text
        self._callback(Change(streams=frozenset({"an"})))

    async def events(self, after: int, limit: int = 2) -> tuple[Event, ...]:
        """A page of the ledger."""
        if not self.is_readable:
            raise Unread("no")
        self.pages.append(after)
        return tuple(an_event(seq) for seq in range(after + 1, min(after + limit, self.replica.head.seq) + 1))


async def taken(feed: Feed, after: int, count: int, patience_s: float | None = 5.0) -> list[object]:
    """The first items: the seq of an event, the text of a piece."""
    found: list[object] = []
    async for item in feed.items(after, patience_s):
        found.append(item.text if isinstance(item, Piece) else item.seq)
        if len(found) == count:
            break
    return found


def a_feed(client: Any) -> Feed:
    return Feed(client, client)


async def test_what_came_before_is_read_from_the_ledger() -> None:
    """Page by page up to the head, then what the link brought."""
    client = Heard(head=3)
    feed = a_feed(client)
    client.brings(4, 5)
    assert await taken(feed, 0, 5) == [1, 2, 3, 4, 5]
    assert client.pages == [0, 2]


async def test_a_gap_is_filled() -> None:
    """Behind a snapshot the link goes on further up; nothing is left out, nothing comes twice."""
    client = Heard(head=1)
    feed = a_feed(client)
    client.brings(2)
    client.brings(6, 7)
    assert await taken(feed, 1, 6) == [2, 3, 4, 5, 6, 7]


async def test_pieces_stand_where_they_came() -> None:
    """Text that came before an event is given before it."""
    client = Heard(head=1)
    feed = a_feed(client)
    client.brings(2)
    client.says("Good")
    client.says("Good day")
    client.brings(3)
    assert await taken(feed, 1, 4) == [2, "Good", "Good day", 3]


async def test_a_link_that_is_down_for_long_ends_it() -> None:
    """Silence after the patience, with the reason; without a bound it goes on."""
    client = Heard(head=1)
    feed = a_feed(client)
    client.becomes("offline")
    with pytest.raises(Silence, match="connection was lost"):
        await taken(feed, 1, 1, patience_s=0.01)
    waiting = asyncio.create_task(taken(feed, 1, 1, patience_s=None))
    await asyncio.sleep(0)
    client.becomes("live")
    client.brings(2)
    assert await waiting == [2]


async def test_a_link_that_gave_up_ends_it() -> None:
    """With the error that says why."""
    client = Heard(head=1)
    feed = a_feed(client)
    client.stopped = Stopped(4401, "The token was revoked.")
    with pytest.raises(Stopped):
        await taken(feed, 1, 1)


async def test_a_ledger_that_cannot_be_read_is_tried_again_only_with_the_link() -> None:
    """While the link is down it waits; where the link is live it is an error."""
    client = Heard(head=2)
    client.is_readable = False
    feed = a_feed(client)
    with pytest.raises(Unread):
        await taken(feed, 0, 1)
    client.becomes("offline")
    waiting = asyncio.create_task(taken(feed, 0, 3))
    await asyncio.sleep(0)
    client.is_readable = True
    client.becomes("live")
    client.brings(3)
    assert await waiting == [1, 2, 3]
