"""One WebSocket from its first frame to its last: the shell around the server's half of the session.

Duty: move frames between the socket, the session, the workspace and its hub; catch up a reader at its own
pace.
Must not know: rules, the ledger's tables, how a token is checked.

1. `welcome`, snapshot or replay, tokens, `state.synced`, presence, then live: joining the hub happens in the
   same turn of the loop in which the reader was found to be at the head, so nothing falls between replay and
   live and nothing comes twice.
2. A live reader over `outgoing_bytes_max` is aborted; one that catches up is fed as it drains, and never
   aborted for it.
3. A retryable refusal is followed by a close, and nothing sent behind it is decided (`Lane`).
4. What was posted goes on when the connection ends.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import assert_never

from protocol import PROTOCOL_VERSION, REDUCER_VERSION, VERSION, limits
from protocol.codec import encode_server_frame, snapshot_frames
from protocol.errors import CloseCode, Refused, WireError
from protocol.frames import (
    ActionFrame,
    Hello,
    Limits,
    PresenceUpdate,
    Present,
    SnapshotReason,
    Synced,
    Welcome,
)
from protocol.session.server import Phase, ServerSession
from server.admission import Admission, Admitted
from server.clock import Clock, Ids
from server.gateway.websocket import SocketClosed, WebSocket, encode_text_frame
from server.ledger.port import Ledger, LedgerError
from server.replay import replay
from server.workspace import Applied, Lane, Outcome, OutcomeUnknown, Submission

log = logging.getLogger("obelisk.gateway")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every conversation of a server uses."""

    ledger: Ledger
    admission: Admission
    clock: Clock
    ids: Ids
    actions_per_s: float = limits.actions_per_s_max


class Conversation:
    """A reader of the hub (`server.hub.Reader`) and the road of one client's actions."""

    def __init__(self, socket: WebSocket, admitted: Admitted, around: Surroundings) -> None:
        self.actor = admitted.identity.actor
        self.token_id = admitted.identity.token_id
        self.client_id = ""
        self._socket = socket
        self._admitted = admitted
        self._workspace = admitted.workspace
        self._around = around
        self._session = ServerSession(around.clock.monotonic(), actions_per_s=around.actions_per_s)
        self._session_id = around.ids.uuid7()
        self._lane = Lane()
        self._out: list[bytes] = []
        self._in_flight = 0
        self._room = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._catching_up: asyncio.Task[None] | None = None
        self._leaving = False

    async def run(self) -> None:
        """Talk until either side has enough."""
        self._around.admission.came(self.actor)
        self._around.admission.without_hello += 1
        self._workspace.hub.expect(self)
        self._arm()
        try:
            await self._listen()
        except SocketClosed:
            pass
        except WireError as error:
            await self._fail(error)
        finally:
            self._end()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _listen(self) -> None:
        while True:
            data = await self._socket.recv()
            if self._leaving:
                continue
            await self._take(data)

    async def _take(self, data: str | bytes) -> None:
        frame = self._session.receive(data, self._now())
        match frame:
            case Hello():
                self._greet(frame)
            case ActionFrame():
                self._post(frame)
                await self._slow_down()
            case PresenceUpdate():
                self._workspace.hub.update(self, frame)
            case unreachable:
                assert_never(unreachable)

    # In

    def _post(self, frame: ActionFrame) -> None:
        self._in_flight += 1
        client_action_id = frame.client_action_id
        self._workspace.post(
            Submission(
                actor=self.actor,
                type=frame.type,
                client_action_id=client_action_id,
                payload=bytes(frame.payload),
                reply=lambda outcome: self._settle(client_action_id, outcome),
                lane=self._lane,
                damaged=frame.damage is not None,
            )
        )

    async def _slow_down(self) -> None:
        pause_s = self._session.pause_s()
        if pause_s > 0:
            await self._around.clock.sleep(pause_s)
        while self._in_flight >= limits.actions_in_flight_max and not self._leaving:
            self._room.clear()
            await self._room.wait()
        if self._socket.buffered() > limits.catch_up_buffer_bytes_max:
            await self._socket.drained()  # who does not take the answers asks no further

    def _settle(self, client_action_id: str, outcome: Outcome) -> None:
        """The outcome of an action of this connection; whoever calls this flushes the hub afterwards."""
        self._in_flight -= 1
        self._room.set()
        match outcome:
            case Applied(status=status, seq=seq, event_ids=event_ids):
                self._session.acknowledged(client_action_id, status, seq, event_ids)
                self._release()  # now, not at the flush: a later refusal must not overtake it
            case Refused():
                self.push(encode_text_frame(self._session.refused(client_action_id, outcome)))
                if outcome.retryable:
                    self.leave(CloseCode.LEDGER_UNAVAILABLE, "the ledger is not available")
            case OutcomeUnknown():
                pass  # the connection was cut; the same id settles it
            case unreachable:
                assert_never(unreachable)
        self._workspace.hub.mark(self)

    # Catching up

    def _greet(self, hello: Hello) -> None:
        self._around.admission.without_hello -= 1
        role = self._admitted.role
        if role is None:
            raise WireError(CloseCode.NOT_A_MEMBER, "You are no longer a member of this workspace.")
        if self._workspace.broken is not None:
            self.leave(CloseCode.LEDGER_UNAVAILABLE, "the ledger is not available")
            return
        self.client_id = hello.client_id
        self._workspace.hub.enter(self)
        welcome = Welcome(
            protocol=PROTOCOL_VERSION,
            server=f"obelisk/{VERSION}",
            reducer=REDUCER_VERSION,
            workspace=self._workspace.name,
            workspace_id=self._workspace.workspace_id,
            actor=self.actor,
            role=role,
            session_id=self._session_id,
            head=self._workspace.committed.head,
            limits=_advertised(self._around.actions_per_s),
        )
        self._write(encode_server_frame(welcome))
        self._catching_up = self._start(self._catch_up(hello))

    async def _catch_up(self, hello: Hello) -> None:
        try:
            position = await self._first_position(hello)
            while position < self._workspace.committed.head.seq:
                upto = self._workspace.committed.head.seq
                async for payload, seq in replay(self._around.ledger, self._workspace.key, position, upto):
                    await self._feed(payload, seq)
                position = upto
            self._go_live(hello)
        except SocketClosed:
            pass
        except WireError as error:
            await self._fail(error)
        except LedgerError as error:
            log.warning("workspace %s: a reader could not catch up: %s", self._workspace.name, error)
            self.leave(CloseCode.LEDGER_UNAVAILABLE, "the ledger is not available")

    async def _first_position(self, hello: Hello) -> int:
        """Where the replay begins, after a snapshot where one is needed."""
        if hello.since is None:
            return 0 if hello.want == "events" else await self._feed_snapshot("initial")
        seq = await self._around.ledger.seq_of(self._workspace.key, hello.since)
        if seq is None and hello.want == "events":
            raise WireError(CloseCode.BAD_FRAME, "This ledger does not hold the event of since.")
        if seq is None:
            return await self._feed_snapshot("unknown_cursor")
        behind = self._workspace.committed.head.seq - seq
        if hello.want == "state" and behind > limits.replay_events_max:
            return await self._feed_snapshot("too_far_behind")
        self._session.brought_to(seq, self._now())
        return seq

    async def _feed_snapshot(self, reason: SnapshotReason) -> int:
        commit = self._workspace.committed
        for payload in snapshot_frames(commit.state, commit.head, reason):
            await self._feed(payload, None)
        self._session.brought_to(commit.head.seq, self._now())
        return commit.head.seq

    async def _feed(self, payload: bytes, seq: int | None) -> None:
        """Write to a reader that catches up, and wait while it does not drain."""
        self._write(payload)
        if seq is not None:
            self._session.brought_to(seq, self._now())
        self.flush()
        if self._socket.buffered() > limits.catch_up_buffer_bytes_max:
            await self._socket.drained()
        else:
            await asyncio.sleep(0)  # a long replay leaves the loop to the others

    def _go_live(self, hello: Hello) -> None:
        """No await from here on: what is committed later reaches this reader through the hub."""
        if self._leaving or self._socket.closed:
            return
        commit = self._workspace.committed
        self._session.went_live(self._now())
        for message_id in commit.state.assistant.streaming:
            self._write(self._workspace.streams.so_far(message_id))
        head = commit.head
        digest = commit.state.digest_hex
        self._write(encode_server_frame(Synced(seq=head.seq, event_id=head.event_id, digest=digest)))
        present = Present(
            actor=self.actor,
            session_id=self._session_id,
            client=hello.client[: limits.client_name_characters_max],
        )
        self._workspace.hub.join(self, present)
        self.flush()
        self._arm()

    # Out: the hub's reader

    def push(self, frame: bytes, seq: int | None = None) -> None:
        self._out.append(frame)
        if seq is not None:
            self._session.brought_to(seq, self._now())

    def flush(self) -> None:
        self._release()
        frames, self._out = self._out, []
        self._socket.send_frames(frames)
        if self._session.phase is Phase.LIVE and self._socket.buffered() > limits.outgoing_bytes_max:
            log.warning("workspace %s: a reader of %s was too slow", self._workspace.name, self.actor)
            self._workspace.hub.drop(self)
            self._socket.abort()

    def leave(self, code: int, reason: str) -> None:
        if self._leaving:
            return
        self._leaving = True
        self._lane.stopped = True
        self._room.set()  # what the lane drops is never settled
        self.flush()
        self._start(self._socket.close(code, reason))

    def _release(self) -> None:
        self._out.extend(map(encode_text_frame, self._session.released()))

    def _write(self, payload: bytes) -> None:
        self.push(encode_text_frame(payload))

    # Time

    def _now(self) -> float:
        return self._around.clock.monotonic()

    def _arm(self) -> None:
        deadline = self._session.next_deadline()
        if self._timer is not None:
            self._timer.cancel()
        if deadline is not None:
            delay = max(0.0, deadline - self._now())
            self._timer = asyncio.get_running_loop().call_later(delay, self._tick)

    def _tick(self) -> None:
        try:
            frame = self._session.tick(self._now(), self._workspace.committed.head)
        except WireError as error:
            self._start(self._fail(error))
            return
        if frame is not None:
            self._write(frame)
            self.flush()
        self._arm()

    # Ends

    async def _fail(self, error: WireError) -> None:
        """The client's fault: say why, then close."""
        if not self._leaving:
            self._write(self._session.failed(error))
            self.leave(error.code, error.message)

    def _end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._session.phase is Phase.GREETING:
            self._around.admission.without_hello -= 1
        self._session.phase = Phase.CLOSED
        self._workspace.hub.drop(self)
        self._around.admission.went(self.actor)
        if self._catching_up is not None:
            self._catching_up.cancel()

    def _start(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _advertised(actions_per_s: float) -> Limits:
    return Limits(
        frame_bytes_max=limits.frame_bytes_max,
        text_bytes_max=limits.text_bytes_max,
        title_characters_max=limits.title_characters_max,
        actions_per_s_max=math.ceil(actions_per_s),  # 0 would say that there is no bound
        replay_events_max=limits.replay_events_max,
        head_interval_s=limits.head_interval_s,
    )
