"""What a client shows: confirmed state + pending actions, decided again on each new base.

Duty: the values `Replica` and `Pending`, and the pure steps between replicas: queue, apply, settle.
Must not know: links, files, clocks; when a step happens is the client's business.

    confirmed ──fold of events──▶ confirmed'          the ledger up to `head`, nothing else
        │ decide c1, c2, … again                      actions stay pending, never their events
        ▼
      view                                            confirmed + e' of every pending action not refused

1. `view` follows from `confirmed` and `pending` alone; `prediction` is only its memory, and may be dropped.
2. Events are applied once and without a gap: what is at or below `head` is skipped, what does not follow is a
   `Gap`.
3. A pending action goes by its event, by its reject, or by an ack whose seq is null or at most `head.seq`.
   An ack that is ahead of `head` waits for it.
4. A pending action whose prediction is refused, raises, or cannot be read stays pending, marked
   `unpredicted`; the ones behind it are decided on what there is.
5. A client action id is pending at most once, and pending actions keep the order in which they were queued.

Before the first connection nobody knows the members: on an empty base (`head.seq` 0) a sender who is not
among them predicts as an owner, so that the first tasks of a new workspace show at once. From the first
snapshot on, the ledger's roles hold.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Final, Literal

import msgspec

from protocol import actions
from protocol.actions import Action
from protocol.decide import Context, decide, predicted
from protocol.errors import Refused
from protocol.events import Event, Head, Payload, Unknown
from protocol.reduce import fold
from protocol.state import INITIAL, KEYS, Member, State, put
from protocol.table import Table

NOTHING: Final = Head()
NO_ACKS: Final[Table[str, int]] = Table()

Mark = Literal["pending", "unpredicted"]


class Opaque(msgspec.Struct, frozen=True, kw_only=True):
    """An action whose intent this version cannot read; it is kept and sent as it is."""

    type: str
    client_action_id: str
    intent: None = None


class Pending(msgspec.Struct, frozen=True, kw_only=True):
    """An action that no one has settled yet.

    `payload` is its JSON as it is sent at every try. `actor` and `workspace_id` say whom it was written
    for; both are empty until the first connection has told. `sent`: it left this machine at least once.
    `stream_texts`: what open answers had said when it was queued.
    """

    action: Action | Opaque
    payload: bytes
    actor: str
    queued_at: str
    sent: bool = False
    workspace_id: str = ""
    stream_texts: Mapping[str, str] = {}

    @property
    def client_action_id(self) -> str:
        return self.action.client_action_id


class Rejected(msgspec.Struct, frozen=True, kw_only=True):
    """An action that was refused, kept until a person has seen it."""

    action: Action | Opaque
    payload: bytes
    refused: Refused
    rejected_at: str


class Settled(msgspec.Struct, frozen=True):
    """A pending action that is done, and the events it gave in this step (none where an ack settled it)."""

    pending: Pending
    events: tuple[Event, ...] = ()


class Gap(msgspec.Struct, frozen=True):
    """Events that do not follow the head: the client reconnects with its cursor."""

    head: Head
    found: int


class Prediction(msgspec.Struct, frozen=True):
    """The pending actions decided on the confirmed state."""

    view: State
    seq: int
    """Of the last predicted event."""
    marks: Table[str, Mark] = Table()
    predicted_ids: frozenset[str] = frozenset()
    faults: Table[str, str] = Table()
    """By client action id: the kind of error that its prediction raised. A bug, for the log."""


@dataclass(frozen=True)
class Replica:
    """Confirmed state, its head, and what is pending. A value; every step makes a new one."""

    confirmed: State = INITIAL
    head: Head = NOTHING
    pending: tuple[Pending, ...] = ()
    acked: Table[str, int] = NO_ACKS
    """Acks ahead of `head`: client action id -> the seq to wait for."""
    carried: Prediction | None = field(default=None, compare=False, repr=False)
    """A prediction that still holds, handed on by the step that made this replica."""

    @cached_property
    def prediction(self) -> Prediction:
        """Decided when somebody looks: a replay of many pages costs no prediction in between."""
        if self.carried is not None:
            return self.carried
        guess = Prediction(view=self.confirmed, seq=self.head.seq)
        for pending in self.pending:
            guess = _with(guess, pending, assumed=self.head.seq == 0)
        return guess

    @property
    def made(self) -> Prediction | None:
        """The prediction where somebody has looked already."""
        found: Prediction | None = self.__dict__.get("prediction", self.carried)
        return found

    @property
    def view(self) -> State:
        """The state to show."""
        return self.prediction.view

    @property
    def marks(self) -> Mapping[str, Mark]:
        """By client action id, for every pending action."""
        return self.prediction.marks

    @property
    def predicted_ids(self) -> frozenset[str]:
        """Keys of the entries whose value in `view` is not confirmed yet."""
        return self.prediction.predicted_ids

    def find(self, client_action_id: str) -> Pending | None:
        """The pending action of that id."""
        return next((one for one in self.pending if one.action.client_action_id == client_action_id), None)


class Step(msgspec.Struct, frozen=True):
    """The next replica, and what was settled on the way, in the order of the queue."""

    replica: Replica
    settled: tuple[Settled, ...] = ()


# Steps


def queue(replica: Replica, pending: Pending) -> Replica:
    """The replica with one more pending action; the same where its id is pending already (invariant 5)."""
    if pending.client_action_id in replica.prediction.marks:
        return replica
    guess = _with(replica.prediction, pending, assumed=replica.head.seq == 0)
    return replace(replica, pending=(*replica.pending, pending), carried=guess)


def apply_events(replica: Replica, events: Iterable[Event]) -> Step | Gap:
    """The replica after consecutive events, or the Gap where one does not follow; then nothing is applied."""
    fresh: list[Event] = []
    head = replica.head
    for event in events:
        if event.seq < head.seq or (event.seq, event.event_id) == (head.seq, head.event_id):
            continue
        if event.seq != head.seq + 1:
            return Gap(head, event.seq)
        head = Head(event.seq, event.event_id)
        fresh.append(event)
    if not fresh:
        return Step(replica)
    grown = replace(replica, confirmed=fold(replica.confirmed, fresh), head=head, carried=None)
    return _settled_by_events(grown, fresh)


def apply_snapshot(replica: Replica, state: State, head: Head) -> Step:
    """The replica on another base: pending actions stay, but those whose ack the base covers go."""
    return _settled_by_events(replace(replica, confirmed=state, head=head, carried=None), ())


def settle_ack(replica: Replica, client_action_id: str, seq: int | None) -> Step:
    """The replica after an ack; it settles now, or once `head` has reached `seq`."""
    if seq is not None and seq > replica.head.seq:
        if replica.find(client_action_id) is None:
            return Step(replica)
        return Step(replace(replica, acked=replica.acked.set(client_action_id, seq)))
    return _settled(replica, client_action_id)


def settle_reject(replica: Replica, client_action_id: str) -> Step:
    """The replica after a reject: the action and what it predicted are gone."""
    return _settled(replica, client_action_id)


def bind(replica: Replica, actor: str, workspace_id: str) -> Replica:
    """Actions that were written before the first connection belong to whom it turned out to be."""
    if all(one.actor for one in replica.pending):
        return replica
    bound = tuple(
        one if one.actor else msgspec.structs.replace(one, actor=actor, workspace_id=workspace_id)
        for one in replica.pending
    )
    return replace(replica, pending=bound, carried=None)


def mark_sent(replica: Replica, client_action_ids: frozenset[str]) -> Replica:
    """The replica with those actions marked as sent; what is shown does not change."""
    marked = tuple(
        msgspec.structs.replace(one, sent=True)
        if not one.sent and one.client_action_id in client_action_ids
        else one
        for one in replica.pending
    )
    return replace(replica, pending=marked, carried=replica.made)


# How a pending action goes


def _settled_by_events(replica: Replica, events: Iterable[Event]) -> Step:
    if not replica.pending:
        return Step(replica)
    given: dict[tuple[str, str], list[Event]] = {}
    for event in events:
        given.setdefault((event.actor, event.client_action_id), []).append(event)
    reached = {name for name, seq in replica.acked.items() if seq <= replica.head.seq}
    named = reached.union(name for _, name in given)
    gone = tuple(
        one
        for one in replica.pending
        if one.action.client_action_id in named
        and (one.client_action_id in reached or (one.actor, one.client_action_id) in given)
    )
    settled = tuple(Settled(one, tuple(given.get((one.actor, one.client_action_id), ()))) for one in gone)
    return Step(_without(replica, gone), settled)


def _settled(replica: Replica, client_action_id: str) -> Step:
    pending = replica.find(client_action_id)
    if pending is None:
        return Step(replica)
    return Step(_without(replica, (pending,)), (Settled(pending),))


def _without(replica: Replica, gone: tuple[Pending, ...]) -> Replica:
    if not gone:
        return replica
    names = {one.client_action_id for one in gone}
    acked = replica.acked
    for name in names & set(acked):
        acked = acked.delete(name)
    left = tuple(one for one in replica.pending if one.action.client_action_id not in names)
    return replace(replica, pending=left, acked=acked, carried=None)


# Predictions


def _with(guess: Prediction, pending: Pending, *, assumed: bool) -> Prediction:
    """The prediction with one more action (invariant 4)."""
    name = pending.client_action_id
    try:
        events = _events_of(guess, pending, assumed)
        view = fold(guess.view, events or ())
    except Exception as error:  # noqa: BLE001  a rule's bug costs this one prediction, never the connection
        unpredicted = _marked(guess, name, "unpredicted")
        return msgspec.structs.replace(unpredicted, faults=guess.faults.set(name, type(error).__name__))
    if events is None:
        return _marked(guess, name, "unpredicted")
    return msgspec.structs.replace(
        _marked(guess, name, "pending"),
        view=view,
        seq=guess.seq + len(events),
        predicted_ids=guess.predicted_ids.union(*(_keys(event.payload) for event in events)),
    )


def _events_of(guess: Prediction, pending: Pending, assumed: bool) -> tuple[Event, ...] | None:
    """The events e' that an action would give on what is shown so far; None where it is refused."""
    if isinstance(pending.action, Opaque):
        return None
    context = Context(actor=pending.actor, now=pending.queued_at, stream_texts=pending.stream_texts)
    base = _with_stand_in(guess.view, pending.actor) if assumed else guess.view
    decision = decide(base, pending.action, context)
    if isinstance(decision, Refused):
        return None
    return predicted(decision, pending.action, context, guess.seq)


def _with_stand_in(state: State, actor: str) -> State:
    """The state with its sender as an owner where the members are not known yet; never shown."""
    if actor in state.members:
        return state
    return put(state, "members", Member(actor=actor, role="owner"))


def _marked(guess: Prediction, name: str, mark: Mark) -> Prediction:
    return msgspec.structs.replace(guess, marks=guess.marks.set(name, mark))


_KEY_NAMES: Final = tuple(dict.fromkeys(KEYS.values()))


def _keys(payload: Payload) -> tuple[str, ...]:
    """The keys of the entries that an event speaks of."""
    if isinstance(payload, Unknown):
        return ()
    subject: object = getattr(payload, "entity", payload)
    values = (getattr(subject, name, None) for name in _KEY_NAMES)
    return tuple(value for value in values if isinstance(value, str))


def pending_of(
    action_type: str,
    client_action_id: str,
    payload: bytes,
    *,
    actor: str = "",
    workspace_id: str = "",
    queued_at: str,
    stream_texts: Mapping[str, str] | None = None,
) -> Pending | Refused:
    """A pending action of what was wanted; Refused where its shape is wrong.

    An unknown type is the server's to judge: it becomes an `Opaque`.
    """
    action: Action | Opaque | Refused
    if action_type in actions.ACTIONS:
        action = actions.parse(action_type, client_action_id, payload)
    else:
        action = Opaque(type=action_type, client_action_id=client_action_id)
    if isinstance(action, Refused):
        return action
    return Pending(
        action=action,
        payload=payload,
        actor=actor,
        workspace_id=workspace_id,
        queued_at=queued_at,
        stream_texts=stream_texts or {},
    )


def restored(
    action_type: str,
    client_action_id: str,
    payload: bytes,
    *,
    actor: str,
    workspace_id: str,
    queued_at: str,
) -> Pending:
    """A pending action of an outbox row: what this version cannot read is kept as it is."""
    found = pending_of(
        action_type,
        client_action_id,
        payload,
        actor=actor,
        workspace_id=workspace_id,
        queued_at=queued_at,
    )
    if isinstance(found, Pending):
        return found
    return Pending(
        action=Opaque(type=action_type, client_action_id=client_action_id),
        payload=payload,
        actor=actor,
        workspace_id=workspace_id,
        queued_at=queued_at,
    )
