"""Events as frames: how a commit group and a long replay are cut into pages.

Duty: join the bytes of events into `events` frames; read a ledger page by page.
Must not know: connections, states, what an event means.

1. The events of one action stand in one frame; a frame is at most `limits.events_frame_bytes_max` unless one
   action is larger.
2. Frames are joined from the bytes that the ledger holds; nothing is encoded again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from itertools import groupby

import msgspec

from protocol import limits
from protocol.codec import events_frame
from server.ledger.port import EventRow, Ledger

_ENVELOPE_BYTES = 64


class Origin(msgspec.Struct, frozen=True):
    """Which action an event came of."""

    actor: str
    client_action_id: str


origin_of = msgspec.json.Decoder(Origin).decode
"""The origin of an event's JSON."""


def event_frames(after: int, actions: Iterable[Sequence[EventRow]]) -> Iterator[tuple[bytes, int]]:
    """Frames for the events of consecutive actions, each with the seq that it leads to."""
    page: list[bytes] = []
    size, last = 0, after
    for rows in actions:
        if not rows:
            continue
        added = sum(len(row.data) + 1 for row in rows)
        if page and size + added > limits.events_frame_bytes_max - _ENVELOPE_BYTES:
            yield events_frame(after, page), last
            page, size, after = [], 0, last
        page.extend(row.data for row in rows)
        size += added
        last = rows[-1].seq
    if page:
        yield events_frame(after, page), last


async def replay(ledger: Ledger, workspace: int, after: int, upto: int) -> AsyncIterator[tuple[bytes, int]]:
    """Frames for the events behind seq `after` up to `upto`, which must be the last event of an action."""
    while after < upto:
        limit = min(limits.replay_page_events_max, upto - after)
        rows = await ledger.read(workspace, after, limit, limits.catch_up_buffer_bytes_max)
        groups = [list(group) for _, group in groupby(rows, lambda row: origin_of(row.data))]
        if rows[-1].seq < upto and len(groups) > 1:
            groups.pop()  # this page may end inside an action; the next one begins with it
        elif rows[-1].seq < upto:
            groups = [await _whole_action(ledger, workspace, rows)]
        for frame, seq in event_frames(after, groups):
            yield frame, seq
        after = groups[-1][-1].seq


async def _whole_action(ledger: Ledger, workspace: int, rows: list[EventRow]) -> list[EventRow]:
    """All events of an action that is larger than a page."""
    origin = origin_of(rows[0].data)
    while True:
        more = await ledger.read(workspace, rows[-1].seq, limits.replay_page_events_max)
        same = [row for row in more if origin_of(row.data) == origin]
        rows = [*rows, *same]
        if len(same) < len(more) or not more:
            return rows
