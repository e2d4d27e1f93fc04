"""A client of one workspace: what to show, what was done, how the link stands.

Duty: tie replica, cache and link together in the order that keeps promises; tell subscribers what changed.
Must not know: how anything looks, bytes of frames, SQL.

1. `act` changes the view before it returns. Its outbox row is durable behind it, and only then is it sent.
2. Actions are sent in the order of the queue; what was sent before a drop is sent again, with the same id.
3. What an event or an ack settles leaves the outbox in the transaction that moves the cursor.
4. The outbox is sent only to the workspace and the actor that it was written for; else the link stops and says so.
5. A refusal is rolled back, kept and shown until someone dismisses it; a retryable one leaves the action pending.
6. A subscriber that fails is logged and stays alone with it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, Literal, assert_never

import msgspec

from protocol import limits
from protocol.client.cache import Cache, open_cache
from protocol.client.clock import Clock, Ids, SystemClock, SystemIds
from protocol.client.errors import CannotKeep, NotAllowed, Stopped
from protocol.client.link import Ended, Link
from protocol.client.store import Advance, Dismissal, Identity, Loaded, Queued, Rebase, Refusal
from protocol.client.target import Target
from protocol.client.wire import Dial, dial
from protocol.codec import action_digest
from protocol.errors import Refused
from protocol.events import Event, Head
from protocol.frames import Ack, AckStatus, ErrorFrame, Presence, Present, Reject, Welcome
from protocol.ids import is_client_action_id
from protocol.replica import (
    Gap,
    Opaque,
    Pending,
    Rejected,
    Replica,
    Step,
    apply_events,
    apply_snapshot,
    bind,
    mark_sent,
    pending_of,
    queue,
    settle_ack,
    settle_reject,
)
from protocol.session.client import (
    Advanced,
    Agreement,
    CaughtUp,
    ClientSession,
    Failed,
    Restored,
    Result,
    Streamed,
    compared,
    following,
    with_token,
)
from protocol.state import Role
from protocol.table import Table

SENT_AT_ONCE_MAX: Final = 64
TAIL_EVENTS_MAX: Final = 1_000
"""After so many events the confirmed state is stored as a whole."""
FRAME_OVERHEAD_BYTES: Final = 1_024

log = logging.getLogger("obelisk.client")

LinkPhase = Literal["connecting", "catching_up", "live", "offline", "stopped"]


class LinkStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The truth about the link, for people.

    `seq`: of the last event applied; `behind`: events that the server is known to have beyond it; `since`: the instant
    from which it has not been live, None while it is; `reason`: why not, in plain words; `unsent`: pending actions that
    this connection has not sent; all of them while there is none.
    """

    phase: LinkPhase
    seq: int
    behind: int
    since: str | None
    reason: str | None
    unsent: int
    actor: str | None
    role: Role | None
    workspace: str
    workspace_id: str | None


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What is not as it was when a subscriber was last called. `events`: newly confirmed ones, in ledger order."""

    view: bool = False
    link: bool = False
    streams: frozenset[str] = frozenset()
    presence: bool = False
    rejected: bool = False
    events: tuple[Event, ...] = ()


class Acked(msgspec.Struct, frozen=True, kw_only=True):
    """An action is durable on the server.

    `events` are those that this client saw it give. They are not all there where only an ack settled it: `duplicate`
    after a restart, or a snapshot that covers them; `event_ids` then names them.
    """

    client_action_id: str
    status: AckStatus
    seq: int | None
    event_ids: tuple[str, ...]
    events: tuple[Event, ...]


class Sent:
    """What became of an action that was handed to `Client.act`."""

    def __init__(self, client_action_id: str, stopped: Callable[[], Stopped | None]) -> None:
        self.client_action_id = client_action_id
        self.was_sent = False
        """It left this machine at least once: the server may have done it."""
        self.outcome: Acked | Refused | None = None
        self._stopped = stopped
        self._kept: CannotKeep | None = None
        self._is_queued = False
        self._bell = asyncio.Event()

    async def queued(self) -> None:
        """Wait until it is durable in the outbox (at once without a cache). CannotKeep where that failed."""
        while not self._is_queued and self.outcome is None:
            await self._bell.wait()
        if self._kept is not None:
            raise self._kept

    async def settled(self) -> Acked | Refused:
        """Wait for the outcome. Stopped where the link will not bring one; the action then stays in the outbox."""
        while self.outcome is None:
            stopped = self._stopped()
            if stopped is not None:
                raise stopped
            self._bell.clear()
            await self._bell.wait()
        return self.outcome

    def ring(self) -> None:
        """Something changed: whoever waits looks again."""
        self._bell.set()

    def keep(self, problem: CannotKeep | None) -> None:
        """Its outbox row is durable, or could not be written."""
        self._kept, self._is_queued = problem, True
        self.ring()

    def settle(self, outcome: Acked | Refused) -> None:
        """It is done, one way or the other; the first word counts."""
        self.outcome = self.outcome or outcome
        self.ring()
