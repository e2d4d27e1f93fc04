"""What became of an action: durable here, then done or refused there.

Must not know: how it travels.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec

from protocol.client.errors import CannotKeep, Stopped
from protocol.errors import Refused
from protocol.events import Event
from protocol.frames import AckStatus


class Acked(msgspec.Struct, frozen=True, kw_only=True):
    """An action is durable on the server.

    `events` are those that this client saw it give. They are missing where only an ack settled it (a
    `duplicate` after a restart, a snapshot that covers them); `event_ids` still names them then.
    """

    client_action_id: str
    status: AckStatus
    seq: int | None
    event_ids: tuple[str, ...]
    events: tuple[Event, ...] = ()


class Sent:
    """An action that was handed to `Client.act`."""

    def __init__(self, client_action_id: str, stopped: Callable[[], Stopped | None]) -> None:
        self.client_action_id = client_action_id
        self.was_sent = False
        """It left this machine at least once: the server may have done it."""
        self.outcome: Acked | Refused | None = None
        self._stopped = stopped
        self._problem: CannotKeep | None = None
        self._is_queued = False
        self._bell = asyncio.Event()

    async def queued(self) -> None:
        """Wait until it is durable in the outbox (at once without a cache). CannotKeep where that failed."""
        while not self._is_queued and self.outcome is None:
            await self._rung()
        if self._problem is not None:
            raise self._problem

    async def settled(self) -> Acked | Refused:
        """Wait for the outcome. Stopped where the link will bring none; the action then stays pending."""
        while self.outcome is None:
            stopped = self._stopped()
            if stopped is not None:
                raise stopped
            await self._rung()
        return self.outcome

    async def _rung(self) -> None:
        self._bell.clear()
        await self._bell.wait()

    # For the client alone

    def ring(self) -> None:
        """Something changed: whoever waits looks again."""
        self._bell.set()

    def keep(self, problem: CannotKeep | None) -> None:
        """Its outbox row is durable, or could not be written."""
        self._problem, self._is_queued = problem, True
        self.ring()

    def settle(self, outcome: Acked | Refused) -> None:
        """It is done, one way or the other."""
        self.outcome = outcome
        self.ring()
