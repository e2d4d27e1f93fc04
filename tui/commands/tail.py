"""`obelisk tail`: the last events, then each as it happens."""

from __future__ import annotations

import argparse
from typing import Final

from protocol.events import Event
from tui.commands.ledger import Unread
from tui.commands.session import Session
from tui.exits import Ended, Exit
from tui.output import event_line

LAST_EVENTS: Final = 10


async def run(session: Session, asked: argparse.Namespace) -> int:
    """Print events until somebody stops it; a link that breaks is waited for, however long."""
    await session.reach()
    after = await _start(session, asked.since)
    async for item in session.follow(after, for_ever=True):
        if isinstance(item, Event):
            session.printer.events([item])
            session.printer.text(event_line(item))
    raise AssertionError("what is followed has no end")


async def _start(session: Session, since: str | None) -> int:
    """The seq after which to begin."""
    head = session.client.replica.head.seq
    if since is None:
        return max(0, head - LAST_EVENTS)
    if since.isascii() and since.isdigit():
        return min(int(since), head) if len(since) < 19 else head
    try:
        page = await session.ledger.events(since, limit=1)
    except Unread as problem:
        if problem.status != 404:
            raise
        raise Ended(
            Exit.REJECTED, "this ledger does not hold that event; --since takes a seq or an event id"
        ) from None
    return page[0].seq - 1 if page else head
