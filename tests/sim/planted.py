"""Bugs planted on purpose, each with the invariant that must catch it: what shows that the simulator looks.

Duty: subclasses of production parts, each wrong in one way that a hurried author might choose.
Must not know: the checker's insides.

1. A planted bug is a subclass or another implementation of a port; no production code knows of it.
2. `expected` is the set of invariants of which at least one must speak; that others speak too is natural.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from protocol.client.cache import Kept
from protocol.client.store import Advance, Change, Loaded, Refusal
from protocol.codec import snapshot_frames
from protocol.events import Event, Head, LlmCompleted, Payload
from protocol.frames import Hello, Present, SnapshotReason
from protocol.session.server import ServerSession
from server.assistant.runner import Runner
from server.gateway.conversation import Conversation
from server.gateway.websocket import OpenSocket
from server.hub import Hub
from server.ledger.port import EventRow, Found, LookUp, Record
from server.ledger.port import Outcome as StoredOutcome
from server.replay import event_frames
from server.streams import Streams
from server.workspace import Applied, Lane, Submission, Workspace
from tests.sim.disk import ClientDisk, SimCache, SimLedger
from tests.sim.house import Parts
from tests.sim.loop import pause
from tests.sim.world import Cast


@dataclass(frozen=True, slots=True)
class Planted:
    """A bug, and who must find it."""

    name: str
    expected: frozenset[str]
    cast: Cast
    level: int | None = None
    """Where not the seed's own: a bug in what only the second level has."""


# The output gate


class EagerSession(ServerSession):
    """Lets acks go at once."""

    def released(self) -> list[bytes]:
        out = [payload for _, payload in self._held]
        self._held.clear()
        return out


class EagerConversation(Conversation):
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._session = EagerSession(self._now(), actions_per_s=0)


class AckFirst(Workspace):
    """Acks what was decided before it is durable."""

    def _record(
        self,
        submission: Submission,
        outcome: StoredOutcome,
        events: tuple[Event, ...],
        new_ids: tuple[str, ...],
    ) -> None:
        super()._record(submission, outcome, events, new_ids)
        if outcome.status == "applied":
            submission.reply(Applied("applied", outcome.seq, outcome.event_ids))
            submission.reply = lambda _: None


class FanOutFirst(Workspace):
    """Shows events before they are durable."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.hub.publish = lambda payloads: None  # type: ignore[method-assign]  # said above already

    def _record(
        self,
        submission: Submission,
        outcome: StoredOutcome,
        events: tuple[Event, ...],
        new_ids: tuple[str, ...],
    ) -> None:
        after = self._head.seq
        super()._record(submission, outcome, events, new_ids)
        rows = next(reversed(self._in_flight.values())).rows
        if rows:
            Hub.publish(self.hub, event_frames(after, [rows]))


class EarlyDuplicateAck(Workspace):
    """Answers a repeat while the first is still being written."""

    def _is_repeat(self, submission: Submission, facts: Found) -> bool:
        in_flight = self._in_flight.get(submission.key)
        if in_flight is None or in_flight.outcome.status != "applied":
            return super()._is_repeat(submission, facts)
        outcome = in_flight.outcome
        submission.reply(Applied("duplicate", outcome.seq, outcome.event_ids))
        return True


class SnapshotAhead(Conversation):
    """Gives new readers the working state."""

    async def _feed_snapshot(self, reason: SnapshotReason) -> int:
        working, head = self._workspace._working, self._workspace._head
        for payload in snapshot_frames(working, head, reason):
            await self._feed(payload, None)
        self._session.brought_to(head.seq, self._now())
        return head.seq


# Exactly once


class ForgetfulLedger(SimLedger):
    """Keeps no outcomes."""

    async def look_up(self, requests: Sequence[LookUp]) -> list[Found]:
        return [Found(None, found.used) for found in await super().look_up(requests)]

    def _check_ids(self, record: Record, taken: set[tuple[object, ...]]) -> None:
        """Nothing is unique."""


class ForgetfulWorkspace(Workspace):
    """Remembers no outcomes."""

    def _remember(self, decided: object) -> None:
        """Nothing is remembered."""


# The seam between replay and live


class Gap(Conversation):
    """Goes live a moment after it was found to be at the head, without looking again."""

    def _go_live(self, hello: Hello) -> None:
        self._start(self._go_live_later(hello))

    async def _go_live_later(self, hello: Hello) -> None:
        await pause(0.005)
        super()._go_live(hello)


class Overlap(Conversation):
    """Goes live before the replay."""

    async def _catch_up(self, hello: Hello) -> None:
        present = Present(actor=self.actor, session_id=self._session_id, client="x")
        self._workspace.hub.join(self, present)
        await super()._catch_up(hello)


class KeepsMembers(Workspace):
    """Goes on telling those who were removed."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.hub.cut_changed_members = lambda events: None  # type: ignore[method-assign]  # said above


class SplitFrames(Workspace):
    """Sends each event in a frame of its own."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.hub.publish = self._publish_apart  # type: ignore[method-assign]  # said above already

    def _publish_apart(self, payloads: object) -> None:
        after, group = self._durable_before, self._durable_rows
        Hub.publish(self.hub, event_frames(after, group[:1]))
        for row in group[1:]:
            Hub.publish(self.hub, event_frames(row[0].seq - 1, [row]))

    def _publish(self) -> None:
        self._durable_before = self.committed.head.seq
        self._durable_rows: list[tuple[EventRow, ...]] = [
            (row,) for decided in self._durable for row in decided.rows
        ]
        super()._publish()


# Streams


class TwoEnds(Workspace):
    """Ends an answer twice."""

    def _stamp(self, submission: Submission, payloads: tuple[Payload, ...], *rest: Any) -> tuple[Event, ...]:
        again = tuple(one for one in payloads if isinstance(one, LlmCompleted))
        return super()._stamp(submission, payloads + again, *rest)


class LateStreams(Streams):
    """One more token, when all was said."""

    def end(self, message_id: str) -> None:
        text = self.texts.get(message_id, "")
        super().end(message_id)
        token = self._token(message_id, len(text), "late")
        asyncio.get_running_loop().call_later(0.001, self._send, token)


class LateTokens(Workspace):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        streams = LateStreams(self._clock, self.hub.send)
        for message_id in self.committed.state.assistant.streaming:
            streams.open(message_id)
        self.streams = streams


# Recovery


class OpenLane(Lane):
    """Lets later actions pass an earlier one that was put off."""

    @property
    def stopped(self) -> bool:
        return False

    @stopped.setter
    def stopped(self, _: bool) -> None:
        """Nothing stops it."""

    def __init__(self) -> None:
        """There is nothing to keep."""


class KeepsReaders(Workspace):
    """Leaves its readers alone when the ledger fails under it."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.hub.cut_all = lambda code, reason: None  # type: ignore[method-assign]  # said above already


class ForgetfulRunner(Runner):
    """Does not look for answers that were cut off."""

    async def opened(self, workspace: Workspace) -> None:
        """Nothing is sealed."""


# The client's disk


@dataclass(slots=True)
class CursorFirstDisk(ClientDisk):
    cursor: Head | None = None

    def load(self) -> Loaded:
        loaded = ClientDisk.load(self)
        if self.cursor is None or self.cursor.seq <= loaded.head.seq:
            return loaded
        return replace(loaded, head=self.cursor)


class CursorFirst(SimCache):
    """Saves the cursor at once, the events when there is time."""

    def put(self, change: Change, kept: Kept | None = None) -> None:
        if isinstance(change, Advance) and change.events and isinstance(self.disk, CursorFirstDisk):
            self.disk.cursor = Head(change.events[-1].seq, change.events[-1].event_id)
        super().put(change, kept)


class SettledFirst(SimCache):
    """Drops outbox rows at once, and saves what settled them when there is time."""

    def put(self, change: Change, kept: Kept | None = None) -> None:
        if isinstance(change, Advance):
            self.disk.drop(change.settled)
        super().put(change, kept)


class ForgetsRefusals(SimCache):
    """Takes what was refused out of the outbox, and keeps it nowhere."""

    def put(self, change: Change, kept: Kept | None = None) -> None:
        if isinstance(change, Refusal):
            change = Advance((), (change.rejected.action.client_action_id,))
        super().put(change, kept)


# The second level: a WebSocket that is wrong about more than one frame


class DropsSecond(OpenSocket):
    """Writes of two frames only the first."""

    __slots__ = ()

    def send_frames(self, frames: Sequence[bytes]) -> None:
        super().send_frames([*frames[:1], *frames[2:]])


class Reorders(OpenSocket):
    """Writes several frames the last one first."""

    __slots__ = ()

    def send_frames(self, frames: Sequence[bytes]) -> None:
        super().send_frames(frames[::-1])


def _cast(
    workspace: type[Workspace] | None = None,
    conversation: type[Conversation] = Conversation,
    ledger: type[SimLedger] = SimLedger,
    runner: type[Runner] = Runner,
    **others: Any,
) -> Cast:
    parts = Parts(conversation=conversation, ledger=ledger, runner=runner)
    patches = {"server.registry.Workspace": workspace} if workspace is not None else {}
    return Cast(parts=parts, patches=patches, **others)


def _planted(name: str, expected: str, cast: Cast, level: int | None = None) -> Planted:
    return Planted(name, frozenset(expected.split()), cast, level)


def _socket(kind: type[OpenSocket]) -> Cast:
    return Cast(patches={"server.gateway.connection.OpenSocket": kind})


def planted_as(name: str) -> Planted:
    """The one of that name; KeyError where there is none."""
    return {one.name: one for one in PLANTED}[name]


LANES = Cast(patches={"server.gateway.conversation.Lane": OpenLane})
PLANTED = (
    _planted("ack before commit", "L4 L10", _cast(AckFirst, EagerConversation)),
    _planted("fan-out before commit", "O2 L10", _cast(FanOutFirst)),
    _planted("snapshot ahead of commit", "L10 L11", _cast(conversation=SnapshotAhead)),
    _planted("early duplicate ack", "L4 L10", _cast(EarlyDuplicateAck, EagerConversation)),
    _planted("no dedupe", "L2 L5 L6", _cast(ForgetfulWorkspace, ledger=ForgetfulLedger)),
    _planted("dedupe in memory only", "L2 L5 L6", _cast(ledger=ForgetfulLedger)),
    _planted("replay/live gap", "O1 O7", _cast(conversation=Gap)),
    _planted("replay/live overlap", "O1 O6", _cast(conversation=Overlap)),
    _planted("actions divided over frames", "O3", _cast(SplitFrames)),
    _planted("removed members still told", "O10", _cast(KeepsMembers)),
    _planted("terminal event twice", "P5", _cast(TwoEnds)),
    _planted("token after the terminal event", "P5", _cast(LateTokens)),
    _planted("readers kept after a failed commit", "O8 O9 C2", _cast(KeepsReaders)),
    _planted("cut-off answers forgotten", "O8 P5", _cast(runner=ForgetfulRunner)),
    _planted("an action overtakes one put off", "L8", LANES),
    _planted("cursor saved before apply", "O4", _cast(cache=CursorFirst, disk=CursorFirstDisk)),
    _planted("outbox row dropped at ack", "C2", _cast(cache=SettledFirst)),
    _planted("refusals not kept", "C2", _cast(cache=ForgetsRefusals)),
    _planted("second of two frames dropped", "O1 O7", _socket(DropsSecond), 2),
    _planted("frames of one write reordered", "O1 O7", _socket(Reorders), 2),
)
