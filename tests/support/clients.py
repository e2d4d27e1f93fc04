"""A client that lives in memory: the real replica and the real rules, and a server that is a few lines.

A test says when the link is there, when the server answers, and what others do meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import msgspec

from protocol import ids, times
from protocol.client.sent import Acked, Sent
from protocol.client.status import Change, LinkPhase, LinkStatus
from protocol.decide import Context, decide
from protocol.errors import Refused
from protocol.events import TYPE_OF, Event, Head, LlmCompleted, Payload
from protocol.frames import Present
from protocol.replica import (
    Gap,
    Pending,
    Rejected,
    Replica,
    apply_events,
    pending_of,
    queue,
    settle_ack,
    settle_reject,
)
from protocol.state import INITIAL, State
from protocol.table import Table
from tests.support.fixtures import NOW


class FakeClient:
    """What the screen stands on, without a link. `answers`: the server settles each action at once."""

    def __init__(
        self, state: State = INITIAL, *, actor: str = "ana", seq: int = 100, answers: bool = True
    ) -> None:
        self.replica = Replica(confirmed=state, head=Head(seq, ids.uuid_v7(1, 1, 1)))
        self.present: tuple[Present, ...] = ()
        self.streams: Table[str, str] = Table()
        self.rejected: tuple[Rejected, ...] = ()
        self.actor = actor
        self.answers = answers
        self.foreign: tuple[Pending, ...] = ()
        self.closed = False
        self.presence: list[tuple[bool, str | None]] = []
        self.acted: list[tuple[str, Mapping[str, object]]] = []
        self.retries = 0
        self.now = NOW
        self._phase: LinkPhase = "live"
        self._since: str | None = None
        self._reason: str | None = None
        self._behind = 0
        self._sent: dict[str, Sent] = {}
        self._callbacks: list[Callable[[Change], None]] = []
        self._count = 0

    # What the screen sees

    @property
    def link(self) -> LinkStatus:
        return LinkStatus(
            phase=self._phase,
            seq=self.replica.head.seq,
            behind=self._behind,
            since=self._since,
            reason=self._reason,
            unsent=len(self.replica.pending) if self._phase != "live" else 0,
            actor=self.actor,
            role="owner",
            workspace="home",
            workspace_id="w1",
        )

    def subscribe(self, callback: Callable[[Change], None]) -> Callable[[], None]:
        self._callbacks.append(callback)
        return lambda: self._callbacks.remove(callback)

    def act(self, action_type: str, payload: Mapping[str, object]) -> Sent:
        self.acted.append((action_type, payload))
        name = self._next("c")
        sent = self._sent[name] = Sent(name, lambda: None)
        pending = pending_of(
            action_type,
            name,
            msgspec.json.encode(payload),
            actor=self.actor,
            workspace_id="w1",
            queued_at=self.now,
            stream_texts=self.streams,
        )
        if isinstance(pending, Refused):
            sent.settle(pending)
            return sent
        self.replica = queue(self.replica, pending)
        self._notify(Change(view=True, link=True))
        if self.answers and self._phase == "live":
            self.settle_all()
        return sent

    def set_presence(self, typing: bool, focus: str | None) -> None:
        self.presence.append((typing, focus))

    def retry(self) -> None:
        self.retries += 1

    def set_aside_foreign(self) -> int:
        count, self.foreign = len(self.foreign), ()
        for pending in self.replica.pending:
            self.reject(pending.client_action_id, Refused("forbidden", "Written as someone else."))
        self.phase("live")
        return count

    def dismiss_rejected(self, client_action_id: str) -> None:
        self.rejected = tuple(one for one in self.rejected if one.action.client_action_id != client_action_id)
        self._notify(Change(rejected=True))

    async def close(self) -> None:
        self.closed = True

    # What the server and others do

    def settle_all(self) -> None:
        """The server decides everything that is pending, in order."""
        for pending in self.replica.pending:
            self._settle(pending)

    def reject(self, client_action_id: str, refused: Refused) -> None:
        """The server refuses one action."""
        pending = self.replica.find(client_action_id)
        assert pending is not None, client_action_id
        self.replica = settle_reject(self.replica, client_action_id).replica
        refusal = Rejected(
            action=pending.action, payload=pending.payload, refused=refused, rejected_at=self.now
        )
        self.rejected = (*self.rejected, refusal)
        self._sent[client_action_id].settle(refused)
        self._notify(Change(view=True, rejected=True, link=True))

    def happens(self, *payloads: Payload, actor: str = "bo", client_action_id: str | None = None) -> None:
        """Something happens, here by the hand of `actor`."""
        name = client_action_id or self._next("o")
        step = apply_events(self.replica, self._stamped(payloads, actor, name))
        assert not isinstance(step, Gap)
        self.replica = step.replica
        self._notify(Change(view=True, link=True))

    def stream(self, message_id: str, text: str) -> None:
        """An answer has grown to `text`."""
        self.streams = self.streams.set(message_id, text)
        self._notify(Change(streams=frozenset({message_id})))

    def complete(self, message_id: str) -> None:
        """An answer is done."""
        text = self.streams.get(message_id, "")
        self.streams = self.streams.delete(message_id) if text else self.streams
        self.happens(LlmCompleted(message_id=message_id, text=text), actor="assistant")

    def arrives(self, *present: Present) -> None:
        """Others are here."""
        self.present = present
        self._notify(Change(presence=True))

    def phase(
        self, phase: LinkPhase, *, since: str | None = None, reason: str | None = None, behind: int = 0
    ) -> None:
        """The link is in another phase."""
        self._phase, self._since, self._reason, self._behind = phase, since, reason, behind
        self._notify(Change(link=True))

    # Inside

    def _settle(self, pending: Pending) -> None:
        assert pending.action.intent is not None
        context = Context(actor=pending.actor, now=pending.queued_at, stream_texts=pending.stream_texts)
        decision = decide(self.replica.confirmed, pending.action, context)
        name = pending.client_action_id
        if isinstance(decision, Refused):
            self.reject(name, decision)
            return
        if decision:
            self.happens(*decision, actor=pending.actor, client_action_id=name)
        self.replica = settle_ack(self.replica, name, self.replica.head.seq).replica
        self._sent[name].settle(
            Acked(client_action_id=name, status="applied", seq=self.replica.head.seq, event_ids=())
        )
        self._notify(Change(link=True))

    def _stamped(self, payloads: Iterable[Payload], actor: str, name: str) -> tuple[Event, ...]:
        head = self.replica.head
        return tuple(
            Event(
                seq=head.seq + place,
                event_id=ids.uuid_v7(times.to_ms(self.now) + head.seq, place, 1),
                timestamp=self.now,
                type=TYPE_OF[type(payload)],
                actor=actor,
                client_action_id=name,
                cause="test",
                payload=payload,
            )
            for place, payload in enumerate(payloads, start=1)
        )

    def _next(self, letter: str) -> str:
        self._count += 1
        return f"{letter}{self._count}"

    def _notify(self, change: Change) -> None:
        for callback in tuple(self._callbacks):
            callback(change)
