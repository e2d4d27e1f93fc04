"""A client of one workspace: what to show, what was done, how the link stands.

Duty: tie replica, cache and link together in the order that keeps promises; tell subscribers what changed.
Must not know: how anything looks, bytes of frames, SQL.

1. `act` changes the view before it returns. Its outbox row is durable behind it, and only then is it sent.
2. Actions are sent in the order of the queue; what was sent before a drop is sent again, with the same id.
3. What an event or an ack settles leaves the outbox in the transaction that moves the cursor.
4. The outbox is sent only to the workspace and the actor it was written for; else the link stops and says so.
5. A refusal is rolled back, kept and shown until someone dismisses it; a retryable one leaves the action
   pending.
6. A subscriber that fails is logged and stays alone with it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final, assert_never

import msgspec
from msgspec.structs import replace

from protocol import limits
from protocol.actions import Interrupt, SendMessage
from protocol.client.cache import Cache, open_cache
from protocol.client.clock import Clock, Ids, SystemClock, SystemIds
from protocol.client.errors import CannotKeep, Stopped
from protocol.client.link import Ended, Link
from protocol.client.outbox import Outbox
from protocol.client.sent import Sent
from protocol.client.status import Change, LinkPhase, LinkStatus
from protocol.client.store import Advance, Dismissal, Identity, Loaded, Queued, Rebase, Refusal
from protocol.client.target import Target
from protocol.client.wire import Dial, dial
from protocol.codec import action_digest, encode_action
from protocol.errors import Refused
from protocol.events import Head
from protocol.frames import Ack, ErrorFrame, Presence, Present, Reject, TokenPayload, Welcome
from protocol.ids import is_client_action_id
from protocol.replica import (
    Gap,
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
from protocol.state import INITIAL, Role
from protocol.table import Table

SENT_AT_ONCE_MAX: Final = 64
TAIL_EVENTS_MAX: Final = 1_000
"""After so many stored events the confirmed state is stored as a whole."""

log = logging.getLogger("obelisk.client")


class Client:
    """One workspace, live where the server can be reached and useful where it cannot. Made by `open`."""

    def __init__(
        self, target: Target, cache: Cache, loaded: Loaded, *, name: str, dial: Dial, clock: Clock, ids: Ids
    ) -> None:
        self.replica = Replica(confirmed=loaded.state, head=loaded.head, pending=loaded.pending)
        """Confirmed state, pending actions, and the view of both."""
        self.streams: Table[str, str] = following(Table(), loaded.state)
        """What open answers have said so far, by message id."""
        self.present: tuple[Present, ...] = ()
        """Who else is connected, while live."""
        self.rejected: tuple[Rejected, ...] = loaded.rejected
        """Refusals that nobody has dismissed yet, oldest first."""
        self.stopped: Stopped | None = None
        """Why the link has given up; None while it has not."""
        self._target = target
        self._cache = cache
        self._clock = clock
        self._ids = ids
        self._name = name[: limits.client_name_characters_max]
        self._client_id = ids.uuid7()
        self._identity = loaded.identity
        self._offered = loaded.identity
        """Who the server last said that we are."""
        self._tail_events = loaded.tail_events
        self._outbox = Outbox(lambda: self.stopped)
        self._outbox.restore(loaded.pending)
        self._session: ClientSession | None = None
        self._welcome: Welcome | None = None
        self._phase: LinkPhase = "connecting"
        self._since: str | None = clock.now()
        self._reason: str | None = None
        self._server_seq = 0
        self._agreement = Agreement()
        self._from_nothing = False
        """The next connection asks for a snapshot."""
        self._presence: tuple[tuple[bool, str | None], float] = (False, None), 0.0
        self._presence_frame: bytes | None = None
        self._subscribers: dict[object, Callable[[Change], None]] = {}
        self._moved = asyncio.Event()
        self._closed = False
        self._link = Link(target, dial, self, clock, ids)
        self._tasks: set[asyncio.Task[None]] = set()
        self._running = self._start()

    @classmethod
    async def open(
        cls,
        target: Target,
        *,
        cache: Path | None,
        client_name: str,
        clock: Clock | None = None,
        ids: Ids | None = None,
        dial: Dial = dial,
    ) -> Client:
        """A client that shows what it last knew, and connects in the background.

        `cache` is the folder of outbox and state, made where it is not there; None keeps nothing.
        CannotKeep where it cannot be used.
        """
        clock = clock or SystemClock()
        kept, loaded = await open_cache(cache, target.cache_name, clock)
        return cls(target, kept, loaded, name=client_name, dial=dial, clock=clock, ids=ids or SystemIds())

    # What to show

    @property
    def link(self) -> LinkStatus:
        """How the link stands."""
        identity = self._identity
        head = self.replica.head
        return LinkStatus(
            phase=self._phase,
            seq=head.seq,
            behind=max(0, self._server_seq - head.seq),
            since=self._since,
            reason=self._reason,
            unsent=self._outbox.unsent if self._welcome else len(self.replica.pending),
            actor=identity.actor if identity else self._target.acts_as,
            role=self._role(),
            workspace=self._target.workspace,
            workspace_id=identity.workspace_id if identity else None,
        )

    def _role(self) -> Role | None:
        """The ledger's word; the welcome's while there is no ledger here yet."""
        member = self.replica.confirmed.members.get(self._identity.actor) if self._identity else None
        if member is not None:
            return member.role
        return self._welcome.role if self._welcome else None

    def subscribe(self, callback: Callable[[Change], None]) -> Callable[[], None]:
        """Be called, on the loop, after every change; the result ends that."""
        key = object()
        self._subscribers[key] = callback
        return lambda: self._subscribers.pop(key, None) and None

    async def live(self, timeout_s: float) -> bool:
        """Wait until caught up. False where it took longer, or where the link has given up."""
        try:
            async with asyncio.timeout(timeout_s):
                while self._phase not in ("live", "stopped"):
                    self._moved.clear()
                    await self._moved.wait()
        except TimeoutError:
            return False
        return self._phase == "live"

    def _notify(self, change: Change) -> None:
        for callback in tuple(self._subscribers.values()):
            try:
                callback(change)
            except Exception:
                log.exception("a subscriber failed")

    # What to do

    def act(
        self,
        action_type: str,
        payload: Mapping[str, object] | msgspec.Struct,
        *,
        client_action_id: str | None = None,
    ) -> Sent:
        """Do something: shown at once, kept, sent when there is a link.

        The same id with the same payload is the same action, however often. What is wrong with the action
        itself is refused here, at once, and kept nowhere.
        """
        assert not self._closed, "act after close"
        name = client_action_id or self._ids.uuid7()
        try:
            body = msgspec.json.encode(payload)
        except UnicodeEncodeError:
            return self._refused_here(name, Refused("invalid", "The text is not valid Unicode."))
        known = self._outbox.find(name)
        if known is not None:
            return known if self._is_same(name, action_type, body) else self._reused(name)
        pending = self._pending_of(action_type, name, body)
        if isinstance(pending, Refused):
            return self._refused_here(name, pending)
        return self._queue(pending)

    def dismiss_rejected(self, client_action_id: str) -> None:
        """Someone has seen the refusal of that action."""
        left = tuple(one for one in self.rejected if one.action.client_action_id != client_action_id)
        if len(left) < len(self.rejected):
            self.rejected = left
            self._cache.put(Dismissal(client_action_id))
            self._notify(Change(rejected=True))

    def set_presence(self, typing: bool, focus: str | None) -> None:
        """Say what the person is doing; cheap to call at every key."""
        wanted = typing, focus[: limits.focus_characters_max] if focus else None
        (last, said_at), now = self._presence, self._clock.monotonic()
        lapses = typing and now - said_at >= limits.typing_s / 2
        if wanted != last or lapses:
            self._presence = wanted, now
            self._presence_frame = ClientSession.presence(*wanted)
            self._link.wake()

    def retry(self) -> None:
        """Connect now: the pause between tries is cut short, a link that had given up begins again."""
        self._link.hurry()
        if self.stopped is not None:
            self.stopped = None
            self._move("connecting", None)
            self._running = self._start(self._running)

    @property
    def foreign(self) -> tuple[Pending, ...]:
        """Unsent actions of another workspace or actor than the server says that we are (invariant 4)."""
        return self._foreign()

    def set_aside_foreign(self) -> int:
        """Give up the unsent actions of another workspace or actor (invariant 4), and begin again.

        They become refusals, so their text stays. The number of them.
        """
        foreign = self._foreign()
        for one in foreign:
            self._refuse(one, Refused("forbidden", "Written as someone else, or for another workspace."))
        self.retry()
        return len(foreign)

    async def close(self) -> None:
        """Save what waits and let go; once is enough. What is unsettled stays in the outbox."""
        if self._closed:
            return
        self._closed = True
        self._running.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(self._running, *self._tasks, return_exceptions=True)
        await self._cache.close()
        self._give_up(Stopped(None, "The client was closed."))

    # Queueing

    def _pending_of(self, action_type: str, name: str, body: bytes) -> Pending | Refused:
        if not is_client_action_id(name):
            return Refused("invalid", "An action's id is 1 to 128 printable ASCII characters.")
        if len(encode_action(action_type, name, body)) > limits.frame_bytes_max:
            return Refused("too_large", f"An action is at most {limits.frame_bytes_max // limits.KIB} KiB.")
        if len(self.replica.pending) >= limits.outbox_actions_max:
            return Refused("limit", f"{limits.outbox_actions_max} actions are unsent; connect first.")
        identity = self._identity
        pending = pending_of(
            action_type,
            name,
            body,
            actor=identity.actor if identity else "",
            workspace_id=identity.workspace_id if identity else "",
            queued_at=self._clock.now(),
        )
        if isinstance(pending, Pending) and isinstance(pending.action.intent, Interrupt | SendMessage):
            # What is cut short keeps on the screen what it had said.
            pending = replace(pending, stream_texts=self.streams)
        return pending

    def _queue(self, pending: Pending) -> Sent:
        name = pending.client_action_id
        self.dismiss_rejected(name)
        sent = self._outbox.add(name)
        self.replica = queue(self.replica, pending)
        fault = self.replica.prediction.faults.get(name)
        if fault is not None:
            log.error("the prediction of a %s raised %s", pending.action.type, fault)
        self._cache.put(Queued(pending), partial(self._kept, pending))
        self._notify(Change(view=True, link=True))
        return sent

    def _kept(self, pending: Pending, problem: CannotKeep | None) -> None:
        self._outbox.keep(pending, problem)
        self._link.wake()

    def _is_same(self, name: str, action_type: str, body: bytes) -> bool:
        pending = self.replica.find(name)
        assert pending is not None, "a handle without a pending action"
        return action_digest(pending.action.type, pending.payload) == action_digest(action_type, body)

    def _reused(self, name: str) -> Sent:
        return self._refused_here(name, Refused("id_reused", "This id was used for another action."))

    def _refused_here(self, name: str, refused: Refused) -> Sent:
        sent = Sent(name, lambda: self.stopped)
        sent.settle(refused)
        return sent

    # The link's party

    def began(self, now: float) -> ClientSession:
        """A connection is open."""
        self._session = ClientSession(
            workspace=self._target.workspace,
            client_id=self._client_id,
            client=self._name,
            head=None if self._from_nothing else self.replica.head,
            now=now,
        )
        return self._session

    def outgoing(self) -> Sequence[bytes]:
        """What to send now: presence, then actions in the order of the queue."""
        if self._session is None or self._welcome is None or self._session.fenced:
            return ()
        frames: list[bytes] = []
        if self._presence_frame is not None:
            frames.append(self._presence_frame)
            self._presence_frame = None
        batch = self._next_actions()
        frames += (self._session.action(one.action.type, one.client_action_id, one.payload) for one in batch)
        return frames

    def _next_actions(self) -> list[Pending]:
        batch = self._outbox.take(SENT_AT_ONCE_MAX)
        if batch:
            self.replica = mark_sent(self.replica, frozenset(one.client_action_id for one in batch))
            self._notify(Change(link=True))
        return batch

    def heard(self, result: Result) -> Ended | None:
        """What the server said; an Ended where this connection must not go on."""
        match result:
            case Welcome():
                return self._welcomed(result)
            case Restored():
                self._restored(result)
            case Advanced():
                return self._advanced(result)
            case Streamed(token):
                self._streamed(token)
            case CaughtUp():
                return self._caught_up(result)
            case Presence(members=members):
                self.present = members
                self._notify(Change(presence=True))
            case Ack():
                self._acked(result)
            case Reject():
                self._was_rejected(result)
            case ErrorFrame(code=code):
                log.warning("the server reports an error of ours: %s", code)
            case Failed(fault=fault):
                log.info("the connection failed: %s", fault)
            case unreachable:
                assert_never(unreachable)
        return None

    def ended(self, ended: Ended) -> None:
        """The connection is over, or there was none."""
        self._session = self._welcome = None
        self._outbox.disconnect()
        if self.present:
            self.present = ()
            self._notify(Change(presence=True))
        if ended.stopped is not None:
            self._give_up(ended.stopped)
        else:
            self._move("offline", ended.reason)

    # What the server said

    def _welcomed(self, welcome: Welcome) -> Ended | None:
        self._offered = Identity(welcome.workspace_id, welcome.actor)
        foreign = self._foreign()
        if foreign:
            message = (
                f"{len(foreign)} unsent actions were written as someone else than {welcome.actor}, "
                "or for another workspace; nothing was sent."
            )
            return Ended(message, Stopped(None, message))
        self._become(self._offered)
        self._welcome = welcome
        self._server_seq = welcome.head.seq
        self._outbox.connect(self.replica.pending)
        self._say_focus_again()
        self._move("catching_up", self._reason)
        self._link.wake()
        self._spawn(self._adopt())
        return None

    def _say_focus_again(self) -> None:
        """Presence is a connection's own: the last one took it along."""
        (_, focus), _ = self._presence
        if self._presence_frame is None and focus is not None:
            self._presence_frame = ClientSession.presence(False, focus)

    def _foreign(self) -> tuple[Pending, ...]:
        """Pending actions that were written for others than the server says that we are."""
        return tuple(one for one in self.replica.pending if self._is_foreign(one))

    def _is_foreign(self, one: Pending) -> bool:
        us = self._offered
        bound = bool(one.actor) and us is not None
        return bound and us is not None and (one.workspace_id, one.actor) != (us.workspace_id, us.actor)

    def _become(self, identity: Identity) -> None:
        """Who we are is known: what nobody owned is ours, the state of another workspace is not."""
        if identity == self._identity:
            return
        if self._identity is not None and self._identity.workspace_id != identity.workspace_id:
            self.replica = apply_snapshot(self.replica, INITIAL, Head()).replica
            self._cache.put(Rebase(INITIAL, Head()))
        self._identity = identity
        self._cache.put(identity)
        self.replica = bind(self.replica, identity.actor, identity.workspace_id)

    async def _adopt(self) -> None:
        """Take over what other clients on this machine left unsent when they ended."""
        for pending in await self._cache.adopt():
            if self._outbox.find(pending.client_action_id) is not None:
                continue
            self._outbox.add(pending.client_action_id)
            self.replica = queue(self.replica, pending)
            if self._identity is not None:
                self._cache.put(self._identity)
                self.replica = bind(self.replica, self._identity.actor, self._identity.workspace_id)
            if not self._is_foreign(pending):  # else the next welcome stops the link and says so
                self._kept(pending, None)
            self._notify(Change(view=True, link=True))

    def _restored(self, restored: Restored) -> None:
        log.info("a snapshot at %d (%s)", restored.head.seq, restored.reason)
        step = apply_snapshot(self.replica, restored.state, restored.head)
        self._from_nothing = False
        self._tail_events = 0
        self._cache.put(Rebase(restored.state, restored.head, _names(step)))
        self._stepped(step, Change(view=True, link=True))

    def _advanced(self, advanced: Advanced) -> Ended | None:
        step = apply_events(self.replica, advanced.events)
        if isinstance(step, Gap):
            self._from_nothing = True
            return Ended("Events were left out; the state is fetched anew.")
        self._cache.put(Advance(advanced.events, _names(step)))
        self._tail_events += len(advanced.events)
        if self._tail_events >= TAIL_EVENTS_MAX:
            self._tail_events = 0
            self._cache.put(Rebase(step.replica.confirmed, step.replica.head))
        self._stepped(step, Change(view=True, link=True, events=advanced.events))
        return None

    def _stepped(self, step: Step, change: Change) -> None:
        """Take the next replica, tell those who waited, then everyone."""
        self.replica = step.replica
        self._server_seq = max(self._server_seq, self.replica.head.seq)
        for one in step.settled:
            self._outbox.settle(one)
        before, self.streams = self.streams, following(self.streams, self.replica.confirmed)
        self._notify(replace(change, streams=frozenset(before) ^ frozenset(self.streams)))

    def _streamed(self, token: TokenPayload) -> None:
        before, self.streams = self.streams, with_token(self.streams, token)
        if self.streams is not before:
            self._notify(Change(streams=frozenset({token.message_id})))

    def _caught_up(self, caught_up: CaughtUp) -> Ended | None:
        own = self.replica.confirmed.digest_hex
        self._agreement, verdict = compared(self._agreement, own, caught_up.digest)
        if verdict == "ask_snapshot":
            log.warning("the state at %d is not the server's; it is fetched anew", caught_up.head.seq)
            self._from_nothing = True
            return Ended("This copy differed from the server's; it is fetched anew.")
        if verdict == "give_up":
            log.error(
                "the state at %d is not the server's, again: this is a bug; no more comparing",
                caught_up.head.seq,
            )
        self._move("live", None)
        return None

    def _acked(self, ack: Ack) -> None:
        if self._outbox.find(ack.client_action_id) is None:
            return
        self._outbox.note(ack)
        step = settle_ack(self.replica, ack.client_action_id, ack.seq)
        if step.settled:
            self._cache.put(Advance((), _names(step)))
        if step.replica is not self.replica:
            self._stepped(step, Change(view=True, link=True))

    def _was_rejected(self, reject: Reject) -> None:
        pending = self.replica.find(reject.client_action_id)
        if pending is None:
            return
        if reject.retryable:
            log.info("the server cannot take actions just now")
            return
        self._refuse(pending, Refused(reject.code, reject.message, reject.field))

    def _refuse(self, pending: Pending, refused: Refused) -> None:
        """Roll it back, keep it for the person who wrote it (invariant 5)."""
        name = pending.client_action_id
        rejected = Rejected(
            action=pending.action, payload=pending.payload, refused=refused, rejected_at=self._clock.now()
        )
        self.rejected = (*self.rejected, rejected)
        self._cache.put(Refusal(rejected))
        self.replica = settle_reject(self.replica, name).replica
        self._outbox.refuse(name, refused)
        self._notify(Change(view=True, link=True, rejected=True))

    # The link's life

    def _start(self, before: asyncio.Task[None] | None = None) -> asyncio.Task[None]:
        return asyncio.create_task(self._run(before), name="obelisk link")

    async def _run(self, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await before  # at most one connection at a time
        try:
            await self._link.run()
        except Exception:
            log.exception("the link broke")
            self.ended(Ended("", Stopped(None, "This program made a mistake; its log says more.")))

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _move(self, phase: LinkPhase, reason: str | None) -> None:
        """The link stands otherwise than before; `since` goes on from when it was last live."""
        if phase != self._phase:
            log.info("%s at %d", phase, self.replica.head.seq)
        self._phase, self._reason = phase, reason
        self._since = None if phase == "live" else self._since or self._clock.now()
        self._moved.set()
        self._notify(Change(link=True))

    def _give_up(self, stopped: Stopped) -> None:
        self.stopped = stopped
        self._move("stopped", stopped.message)
        self._outbox.ring()


def _names(step: Step) -> tuple[str, ...]:
    return tuple(one.pending.client_action_id for one in step.settled)
