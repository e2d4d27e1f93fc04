"""The only writer of a workspace: one state machine with one lock, and an output gate.

Duty: take actions in their order, decide each on the working state, hand it to the group commit, and when it
is durable let everything out in order: committed state, frames to all who listen, the answers to the senders,
the producers.
Must not know: sockets, HTTP, tokens, how a ledger writes.

1. Only committed state is shown: `committed` moves, frames leave and answers are given behind the commit that
   they speak of.
2. Actions are decided in the order in which `post` was called. Behind a retryable refusal nothing of the same
   lane is decided.
3. An action's outcome is stored with its events; a repeat gets it back, and waits for it while the first is
   in flight.
4. The step belongs to the workspace: a caller that is cancelled or gone changes nothing.
5. No await on a network under the lock: the one look-up a step needs is the ledger's.
6. After a failed commit the workspace is broken for good: its owner opens a new one from the ledger.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, assert_never, cast

import msgspec

from protocol import actions, codec, ids, limits
from protocol.decide import Context, decide
from protocol.errors import Refused, RejectCode
from protocol.events import TYPE_OF, Event, Head, LlmCompleted, LlmInterrupted, Payload
from protocol.reduce import fold
from protocol.state import State
from protocol.times import format_ms
from server.clock import Clock, Ids
from server.hub import Hub
from server.ledger.commit import CommitQueue
from server.ledger.port import (
    Agenda,
    EventRow,
    Found,
    Ledger,
    LedgerError,
    LedgerUnavailable,
    LookUp,
    Record,
    Segment,
    WorkspaceRow,
)
from server.ledger.port import Outcome as StoredOutcome
from server.replay import event_frames
from server.streams import Streams

DAMAGED = Refused(
    "invalid", "The payload cannot be read: its text is not valid Unicode, or it is nested too deep."
)
INTERNAL = Refused("forbidden", "Only the server itself may send actions of this type.", "type")
UNAVAILABLE = Refused("unavailable", "The workspace cannot be written just now; try again.")


class Commit(msgspec.Struct, frozen=True):
    """What became durable together, and the state after it."""

    events: tuple[Event, ...]
    state: State
    head: Head


class Applied(msgspec.Struct, frozen=True):
    """An action is durable. `seq` is that of its last event, None when it gave none."""

    status: Literal["applied", "duplicate"]
    seq: int | None
    event_ids: tuple[str, ...]


class OutcomeUnknown(msgspec.Struct, frozen=True):
    """The commit failed after the action was decided: nobody can say whether it was written. The same id
    settles it.
    """


Outcome = Applied | Refused | OutcomeUnknown


class WorkspaceUnavailable(Exception):  # noqa: N818 - a state of affairs, not a bug
    """The ledger failed under an action of a producer, or before it; the same id settles it."""


class Producer(Protocol):
    """A side effect: it watches commits and submits actions as any client does."""

    async def opened(self, workspace: Workspace) -> None:
        """Find from state what must go on, before the first reader; must only start it."""

    def committed(self, workspace: Workspace, commit: Commit) -> None:
        """Something became durable. Never blocks, never raises."""

    async def close(self, workspace: Workspace | None = None) -> None:
        """Stop what runs for a workspace, or for all."""


@dataclass(eq=False, slots=True)
class Lane:
    """The actions of one connection: they are decided in order or not at all."""

    stopped: bool = False
    """A retryable refusal was given; what came behind it is not decided."""


@dataclass(eq=False, slots=True)
class Submission:
    """An action on its way in, and where its outcome goes."""

    actor: str
    type: str
    client_action_id: str
    payload: bytes
    reply: Callable[[Outcome], None]
    because: str | None = None
    lane: Lane | None = None
    damaged: bool = False
    digest: bytes = b""
    action: actions.Action | Refused = DAMAGED

    @property
    def key(self) -> tuple[str, str]:
        return self.actor, self.client_action_id

    @property
    def is_producer(self) -> bool:
        return self.actor in ids.RESERVED_ACTORS


@dataclass(eq=False, slots=True)
class Decided:
    """An action that was decided and waits for its commit."""

    submission: Submission
    outcome: StoredOutcome
    events: tuple[Event, ...]
    rows: tuple[EventRow, ...]
    state: State
    head: Head
    new_ids: tuple[str, ...]
    followers: list[tuple[Submission, Outcome]] = field(default_factory=list)
    """Answers that must not overtake this one's."""


class Workspace:
    """One open workspace. Made by the registry from what the ledger holds."""

    def __init__(
        self,
        row: WorkspaceRow,
        state: State,
        *,
        ledger: Ledger,
        commits: CommitQueue,
        clock: Clock,
        fresh_ids: Ids,
        producers: Sequence[Producer] = (),
        on_broken: Callable[[Workspace], None] | None = None,
    ) -> None:
        self.name = row.name
        self.key = row.key
        self.workspace_id = row.workspace_id
        self.hub = Hub()
        self.streams = Streams(clock, self.hub.send)
        self.committed = Commit((), state, Head(row.seq, row.event_id))
        """The last commit; its `state` and `head` are what anybody may see."""
        self.broken: LedgerError | None = None
        """Why this workspace can go on no more."""
        self._working = state
        self._head = self.committed.head
        self._position = ids.position_of(row.event_id)
        self._ledger = ledger
        self._commits = commits
        self._clock = clock
        self._ids = fresh_ids
        self._producers = producers
        self._on_broken = on_broken
        self._lock = asyncio.Lock()
        self._inbox: deque[Submission] = deque()
        self._stepping: asyncio.Task[None] | None = None
        self._in_flight: OrderedDict[tuple[str, str], Decided] = OrderedDict()
        self._new_in_flight: set[str] = set()
        self._recent: OrderedDict[tuple[str, str], StoredOutcome] = OrderedDict()
        self._durable: list[Decided] = []
        self._agenda_waits = _waits(state)
        for message_id in state.assistant.streaming:
            self.streams.open(message_id)

    # In

    async def submit(
        self,
        actor: str,
        action_type: str,
        client_action_id: str,
        payload: bytes,
        *,
        because: str | None = None,
    ) -> Applied | Refused:
        """Submit an action and wait until its outcome is durable.

        Raises `WorkspaceUnavailable` where nobody can say: the same id settles it. Cancelling the caller does
        not cancel the action.
        """
        waiter: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

        def reply(outcome: Outcome) -> None:
            if not waiter.done():
                waiter.set_result(outcome)

        self.post(Submission(actor, action_type, client_action_id, payload, reply, because))
        outcome = await waiter
        if isinstance(outcome, OutcomeUnknown):
            raise WorkspaceUnavailable(f"the ledger failed under {action_type}")
        if actor in ids.RESERVED_ACTORS and isinstance(outcome, Refused) and outcome.retryable:
            raise WorkspaceUnavailable(outcome.message)
        return outcome

    def post(self, submission: Submission) -> None:
        """Take an action in its turn; `submission.reply` is called once, later, in the loop."""
        self._inbox.append(submission)
        if self._stepping is None:
            self._stepping = asyncio.get_running_loop().create_task(self._step_all())

    def save_segment(self, message_id: str, offset: int, text: str) -> None:
        """Keep a piece of an open answer with the next commit group; `offset` in code points. Nothing of one
        that has ended: its terminal event has the text, and nothing would remove the piece again.
        """
        if self.streams.may_speak(message_id):
            self._commits.save_segment(Segment(self.key, message_id, offset, text))

    async def saved_text(self, message_id: str) -> str:
        """What was kept of an open answer."""
        return (await self._ledger.segments(self.key)).get(message_id, "")

    async def close(self) -> None:
        """Decide what is in the inbox, then stop; the commit queue is its owner's."""
        while self._stepping is not None:
            await asyncio.wait({self._stepping})

    def abandon(self, error: LedgerError) -> None:
        """Go on no more: somebody else opens the workspace anew from what the ledger holds."""
        if self.broken is None:
            self._on_failed(error)

    # The step

    async def _step_all(self) -> None:
        try:
            while self._inbox:
                async with self._lock:
                    batch = [
                        self._inbox.popleft() for _ in range(min(len(self._inbox), limits.inbox_batch_max))
                    ]
                    await self._step(batch)
        finally:
            self._stepping = None

    async def _step(self, batch: Sequence[Submission]) -> None:
        rest = deque(batch)
        try:
            for facts in await self._look_up(batch):
                self._take(rest[0], facts)
                rest.popleft()
        except Exception as error:  # noqa: BLE001 - a bug must not swallow what others sent
            self._fail_of_bug(error, rest)
        # Answers that nothing in flight holds back leave now; the others leave with their commit.
        self.hub.flush_all()

    def _fail_of_bug(self, error: Exception, rest: Iterable[Submission]) -> None:
        """A step raised: what it left of the working state counts for nothing, and nobody waits for ever."""
        handled = {"message": f"a step of workspace {self.name} failed", "exception": error}
        asyncio.get_running_loop().call_exception_handler(handled)
        taken = [decided.submission for decided in self._in_flight.values()]
        self._on_failed(LedgerUnavailable(f"a step failed: {type(error).__name__}"))
        for submission in rest:
            if not any(submission is one for one in taken):
                submission.reply(OutcomeUnknown())

    async def _look_up(self, batch: Sequence[Submission]) -> list[Found | None]:
        """What is known of each, in memory and in the ledger; None where the ledger cannot be asked.

        What memory knows is taken before the ledger is asked: a commit that ends meanwhile moves things from
        the one to the other, and nothing may fall between. While this waits, nothing is decided here.
        """
        known = [self._known(one) for one in batch]
        in_flight_ids = frozenset(self._new_in_flight)
        requests = [self._request(one) for one, found in zip(batch, known, strict=True) if found is None]
        try:
            answers = iter(await self._ledger.look_up(requests) if requests else ())
        except LedgerError:
            return known
        asked = [found if found is not None else next(answers) for found in known]
        if not in_flight_ids:
            return list(asked)
        return [Found(found.outcome, found.used | in_flight_ids) for found in asked]

    def _known(self, submission: Submission) -> Found | None:
        in_flight = self._in_flight.get(submission.key)
        outcome = in_flight.outcome if in_flight else self._recent.get(submission.key)
        return Found(outcome, frozenset()) if outcome else None

    def _request(self, submission: Submission) -> LookUp:
        if not submission.damaged:
            submission.action = actions.parse(
                submission.type, submission.client_action_id, submission.payload
            )
        action = submission.action
        new_ids = () if isinstance(action, Refused) else actions.new_ids(action, submission.actor)
        return LookUp(self.key, submission.actor, submission.client_action_id, new_ids)

    def _take(self, submission: Submission, facts: Found | None) -> None:
        lane = submission.lane
        if lane is not None and lane.stopped:
            return
        if self.broken is None and self._commits.failure is not None:
            self._on_failed(self._commits.failure)
        if self.broken is not None or facts is None:
            self._answer(submission, UNAVAILABLE)
            return
        submission.digest = codec.action_digest(submission.type, submission.payload)
        if not self._is_repeat(submission, facts):
            self._decide(submission, facts)

    def _is_repeat(self, submission: Submission, facts: Found) -> bool:
        in_flight = self._in_flight.get(submission.key)
        stored = in_flight.outcome if in_flight else facts.outcome
        if stored is None:
            return False
        if not submission.is_producer and stored.digest != submission.digest:
            reused = Refused(
                "id_reused", "This client_action_id was used for another action.", "client_action_id"
            )
            self._answer(submission, reused)
        else:
            self._answer(submission, _repeated(stored))
        return True

    def _decide(self, submission: Submission, facts: Found) -> None:
        action = submission.action
        if actions.is_internal(submission.type) and not submission.is_producer:
            action = INTERNAL
        if isinstance(action, Refused):
            self._answer(submission, action)
            return
        wanted_ids = actions.new_ids(action, submission.actor)
        now_ms = self._clock.now_ms()
        context = Context(
            actor=submission.actor,
            now=format_ms(now_ms),
            because=submission.because,
            used=facts.used | self._new_in_flight.intersection(wanted_ids),
            stream_texts=self.streams.texts,
        )
        decision = decide(self._working, action, context)
        match decision:
            case Refused() if not decision.stored:
                self._answer(submission, decision)
            case Refused():
                self._record(submission, _rejected(submission.digest, decision), (), ())
            case tuple():
                events = self._stamp(submission, decision, now_ms, context)
                self._record(
                    submission, _applied(submission.digest, events), events, wanted_ids if events else ()
                )
            case unreachable:
                assert_never(unreachable)

    def _stamp(
        self, submission: Submission, payloads: tuple[Payload, ...], now_ms: int, context: Context
    ) -> tuple[Event, ...]:
        events = []
        for place, payload in enumerate(payloads, start=1):
            self._position = ids.successor(self._position, now_ms)
            events.append(
                Event(
                    seq=self._head.seq + place,
                    event_id=ids.uuid_v7(*self._position, self._ids.entropy()),
                    timestamp=context.now,
                    type=TYPE_OF[type(payload)],
                    actor=submission.actor,
                    client_action_id=submission.client_action_id,
                    cause=submission.type,
                    because=submission.because,
                    payload=payload,
                )
            )
        return tuple(events)

    def _record(
        self,
        submission: Submission,
        outcome: StoredOutcome,
        events: tuple[Event, ...],
        new_ids: tuple[str, ...],
    ) -> None:
        """Move the working state and queue the record; from here on only the commit decides."""
        rows = tuple(EventRow(one.seq, one.event_id, one.type, codec.encode_event(one)) for one in events)
        sealed = tuple(_ended_streams(events))
        for message_id in sealed:
            self.streams.freeze(message_id)
        expected = self._head.seq
        self._working = fold(self._working, events)
        if events:
            self._head = Head(events[-1].seq, events[-1].event_id)
        record = Record(
            workspace=self.key,
            expected_seq=expected,
            actor=submission.actor,
            client_action_id=submission.client_action_id,
            outcome=outcome,
            events=rows,
            entity_ids=new_ids,
            sealed_streams=sealed,
            agenda=self._new_agenda(),
        )
        decided = Decided(submission, outcome, events, rows, self._working, self._head, new_ids)
        self._in_flight[submission.key] = decided
        self._new_in_flight.update(new_ids)
        self._commits.submit(record, lambda: self._on_durable(decided), self._on_failed)

    def _new_agenda(self) -> Agenda | None:
        waits = _waits(self._working)
        if waits == self._agenda_waits:
            return None
        self._agenda_waits = waits
        return Agenda(waits=waits, due_at=None)

    # Out

    def _answer(self, submission: Submission, outcome: Outcome) -> None:
        """Answer without a commit of its own, but never ahead of what the decision was made on."""
        if isinstance(outcome, Refused) and outcome.retryable and submission.lane is not None:
            submission.lane.stopped = True
        if self._in_flight and self.broken is None:
            next(reversed(self._in_flight.values())).followers.append((submission, outcome))
        else:
            submission.reply(outcome)

    def _on_durable(self, decided: Decided) -> None:
        # The callbacks of one commit group run in one turn of the loop: what they gather leaves together.
        if self.broken is not None:
            return  # it was answered: nobody can say
        if not self._durable:
            asyncio.get_running_loop().call_soon(self._publish)
        self._durable.append(decided)

    def _publish(self) -> None:
        """The output gate opens for what is durable: state, frames, answers, producers, in this order."""
        if not self._durable:
            return
        group, self._durable = self._durable, []
        events = tuple(event for decided in group for event in decided.events)
        after = self.committed.head.seq
        commit = Commit(events, group[-1].state, group[-1].head)
        self.committed = commit
        for decided in group:
            del self._in_flight[decided.submission.key]
            self._new_in_flight.difference_update(decided.new_ids)
            self._remember(decided)
        for event in events:
            self._follow_stream(event)
        self.hub.cut_changed_members(events)
        if events:
            self.hub.publish(event_frames(after, [decided.rows for decided in group]))
        for decided in group:
            decided.submission.reply(_first(decided.outcome))
            for submission, outcome in decided.followers:
                submission.reply(outcome)
        self.hub.flush_all()
        if events:
            for producer in self._producers:
                producer.committed(self, commit)

    def _remember(self, decided: Decided) -> None:
        self._recent[decided.submission.key] = decided.outcome
        if len(self._recent) > limits.outcomes_cached_max:
            self._recent.popitem(last=False)

    def _follow_stream(self, event: Event) -> None:
        if event.type == "message.stream":
            self.streams.open(event.payload.message_id)  # type: ignore[union-attr]  # the type says which payload
        for message_id in _ended_streams((event,)):
            self.streams.end(message_id)

    def _on_failed(self, error: LedgerError) -> None:
        """A commit failed: what was decided on the working state may or may not be written."""
        if self.broken is not None:
            return
        self._publish()  # what was durable before the failure is certain
        self.broken = error
        in_flight = list(self._in_flight.values())
        self._in_flight.clear()
        self._new_in_flight.clear()
        self.hub.cut_all(4503, "the ledger is not available")
        for decided in in_flight:
            decided.submission.reply(OutcomeUnknown())
            for submission, _ in decided.followers:
                submission.reply(OutcomeUnknown())
        if self._on_broken is not None:
            self._on_broken(self)


def _waits(state: State) -> bool:
    """Whether something is unfinished that a start must go on with."""
    running = any(plan.status == "running" for plan in state.plans.values())
    return running or bool(state.assistant.streaming or state.assistant.waiting)


def _applied(digest: bytes, events: tuple[Event, ...]) -> StoredOutcome:
    return StoredOutcome(
        status="applied",
        digest=digest,
        seq=events[-1].seq if events else None,
        first_seq=events[0].seq if events else None,
        event_ids=tuple(event.event_id for event in events),
    )


def _rejected(digest: bytes, refused: Refused) -> StoredOutcome:
    return StoredOutcome(
        status="rejected", digest=digest, code=refused.code, message=refused.message, field=refused.field
    )


def _first(stored: StoredOutcome) -> Outcome:
    if stored.status == "rejected":
        return refusal_of(stored)
    return Applied("applied", stored.seq, stored.event_ids)


def _repeated(stored: StoredOutcome) -> Outcome:
    if stored.status == "rejected":
        return refusal_of(stored)
    return Applied("duplicate", stored.seq, stored.event_ids)


def refusal_of(stored: StoredOutcome) -> Refused:
    """The refusal that a stored reject was."""
    return Refused(cast(RejectCode, stored.code), stored.message or "", stored.field)


def _ended_streams(events: Iterable[Event]) -> Iterator[str]:
    for event in events:
        if isinstance(event.payload, LlmCompleted | LlmInterrupted):
            yield event.payload.message_id
