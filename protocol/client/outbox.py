"""Which pending actions may leave on this connection, in which order, and who waits for their outcome.

Duty: one handle for each pending action; the queue of what this connection has still to send.
Must not know: what actions mean, files, sockets.

1. An action is ready once its row is durable (or could not be made so), and once per connection.
2. The order of `ready` is that of the queue: rows become durable in the order in which they were put.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from protocol.client.errors import CannotKeep, Stopped
from protocol.client.sent import Acked, Sent
from protocol.errors import Refused
from protocol.frames import Ack
from protocol.replica import Pending, Settled


class Outbox:
    """The handles of pending actions, and those that are ready to be sent."""

    def __init__(self, stopped: Callable[[], Stopped | None]) -> None:
        self._stopped = stopped
        self._handles: dict[str, Sent] = {}
        self._unkept: set[str] = set()
        self._ready: deque[Pending] = deque()
        self._connected = False
        self._acks: dict[str, Ack] = {}
        """Acks that came ahead of their events."""

    @property
    def unsent(self) -> int:
        """How many this connection has not sent."""
        return len(self._ready) + len(self._unkept)

    def find(self, client_action_id: str) -> Sent | None:
        """The handle of a pending action."""
        return self._handles.get(client_action_id)

    def add(self, client_action_id: str) -> Sent:
        """A handle for an action whose row is still being written."""
        self._unkept.add(client_action_id)
        handle = self._handles[client_action_id] = Sent(client_action_id, self._stopped)
        return handle

    def restore(self, pending: Iterable[Pending]) -> None:
        """Handles for actions whose rows were there before."""
        for one in pending:
            self.add(one.client_action_id)
            self.keep(one, None)

    def keep(self, pending: Pending, problem: CannotKeep | None) -> None:
        """Its row is durable; where it could not be written it is sent all the same, and `queued` says so."""
        self._unkept.discard(pending.client_action_id)
        handle = self._handles.get(pending.client_action_id)
        if handle is None:
            return
        handle.keep(problem)
        if self._connected:
            self._ready.append(pending)

    def connect(self, pending: Iterable[Pending]) -> None:
        """A connection takes actions: all that are pending are to be sent on it, some of them again."""
        self._connected = True
        self._ready = deque(one for one in pending if one.client_action_id not in self._unkept)

    def disconnect(self) -> None:
        """There is no connection to send on."""
        self._connected = False
        self._ready.clear()

    def take(self, most: int) -> list[Pending]:
        """The next actions to send, in order; what was settled meanwhile is left out."""
        batch: list[Pending] = []
        while self._ready and len(batch) < most:
            pending = self._ready.popleft()
            handle = self._handles.get(pending.client_action_id)
            if handle is not None:
                handle.was_sent = True
                batch.append(pending)
        return batch

    def note(self, ack: Ack) -> None:
        """An ack of a pending action came; it is the outcome once the replica has reached its seq."""
        self._acks[ack.client_action_id] = ack

    def settle(self, settled: Settled) -> None:
        """An action is done: by its events, else by the ack that was noted."""
        name, events = settled.pending.client_action_id, settled.events
        ack = self._acks.pop(name, None)
        handle = self._handles.pop(name, None)
        if handle is None:
            return
        handle.settle(
            Acked(
                client_action_id=name,
                status=ack.status if ack else "applied",
                seq=events[-1].seq if events else ack.seq if ack else None,
                event_ids=tuple(one.event_id for one in events) or (ack.event_ids if ack else ()),
                events=events,
            )
        )

    def refuse(self, client_action_id: str, refused: Refused) -> None:
        """An action was refused."""
        self._acks.pop(client_action_id, None)
        handle = self._handles.pop(client_action_id, None)
        if handle is not None:
            handle.settle(refused)

    def ring(self) -> None:
        """Everyone who waits for an outcome looks again."""
        for handle in tuple(self._handles.values()):
            handle.ring()
