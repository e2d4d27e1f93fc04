"""A small server that speaks the contract from memory, on a real socket, and fails as a test says.

It decides actions with the shared rules and keeps outcomes, so a client that breaks a promise is seen here:
`received` holds every action id in the order of arrival, `events` the ledger.
"""

from __future__ import annotations

import asyncio
import http
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
from websockets.asyncio.server import ServerConnection, serve, unix_serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from protocol import PROTOCOL_VERSION, REDUCER_VERSION, limits
from protocol.actions import Action, SetMember, parse
from protocol.codec import (
    decode_client_frame,
    encode_event,
    encode_server_frame,
    events_frame,
    snapshot_frames,
)
from protocol.decide import Context, decide, predicted
from protocol.errors import Refused
from protocol.events import Event, Head
from protocol.frames import (
    Ack,
    ActionFrame,
    HeadFrame,
    Hello,
    Limits,
    Presence,
    PresenceUpdate,
    Present,
    Reject,
    ServerFrame,
    SnapshotReason,
    Synced,
    Token,
    TokenPayload,
    Welcome,
)
from protocol.ids import derive, uuid_v7
from protocol.reduce import fold
from protocol.state import INITIAL, Role, State

NOW = "2026-11-22T13:05:00.123Z"
WIRE_LIMITS = Limits(
    frame_bytes_max=limits.frame_bytes_max,
    text_bytes_max=limits.text_bytes_max,
    title_characters_max=limits.title_characters_max,
    actions_per_s_max=0,
    replay_events_max=limits.replay_events_max,
    head_interval_s=limits.head_interval_s,
)

Outcome = Ack | Refused


class Ledger:
    """What a server holds: the ledger, its fold, and the outcome of every action."""

    def __init__(self, name: str = "home") -> None:
        self.workspace_id = derive("workspace", name)
        self.events: list[Event] = []
        self.state: State = INITIAL
        self.outcomes: dict[tuple[str, str], Outcome] = {}
        self._name = name

    @property
    def head(self) -> Head:
        return Head(self.events[-1].seq, self.events[-1].event_id) if self.events else Head()

    def add_member(self, actor: str, role: Role = "owner") -> None:
        """The first event of most tests."""
        intent = SetMember(actor=actor, role=role)
        self.decide("system", Action(type="system.set_member", client_action_id=f"m-{actor}", intent=intent))

    def decide(self, actor: str, action: Action) -> tuple[Outcome, tuple[Event, ...]]:
        """The outcome of an action, stored; a repeat gets it back and changes nothing."""
        known = self.outcomes.get((actor, action.client_action_id))
        if known is not None:
            return (
                msgspec.structs.replace(known, status="duplicate") if isinstance(known, Ack) else known
            ), ()
        context = Context(actor=actor, now=NOW)
        decision = decide(self.state, action, context)
        if isinstance(decision, Refused):
            self.outcomes[actor, action.client_action_id] = decision
            return decision, ()
        events = tuple(self._stamped(one) for one in predicted(decision, action, context, self.head.seq))
        self.events += events
        self.state = fold(self.state, events)
        ack = Ack(
            client_action_id=action.client_action_id,
            status="applied",
            seq=events[-1].seq if events else None,
            event_ids=tuple(one.event_id for one in events),
        )
        self.outcomes[actor, action.client_action_id] = ack
        return ack, events

    def _stamped(self, event: Event) -> Event:
        entropy = int.from_bytes(self._name.encode()[:7], "big")
        return msgspec.structs.replace(event, event_id=uuid_v7(event.seq, 0, entropy))


class FakeServer:
    """Speaks the contract to one or more clients. Everything a test may bend is a public attribute."""

    def __init__(self, ledger: Ledger, actor: str = "ana") -> None:
        self.ledger = ledger
        self.actor = actor
        self.refuse_upgrade: int | None = None
        """Answer the upgrade with this HTTP status."""
        self.close_after_hello: int | None = None
        """Close with this code instead of a welcome."""
        self.silent = False
        """Say nothing, not even welcome."""
        self.protocol = PROTOCOL_VERSION
        self.wrong_digests = 0
        """How many times `state.synced` lies."""
        self.on_action: Callable[[ActionFrame], str | None] = lambda frame: None
        """What happens to an action: None as it should be, "lose" (cut before it is decided), "cut" (decided, then cut
        before anyone hears), "hold" (decided, nothing said), "twice" (acked twice), "unavailable" (retryable reject,
        then 4503)."""
        self.streams: dict[str, str] = {}
        """The text of open answers."""
        self.received: list[str] = []
        self.hellos: list[Hello] = []
        self.presences: list[PresenceUpdate] = []
        self.snapshots: list[SnapshotReason] = []
        self.headers: list[dict[str, str]] = []
        self.connections: list[ServerConnection] = []
        self.where = ""
        self._deaf: set[ServerConnection] = set()

    # What a test makes it do

    async def act(self, action_type: str, payload: object, *, actor: str = "bea", name: str = "") -> None:
        """An action of somebody else, told to everyone who is live."""
        name = name or f"{actor}-{len(self.ledger.events)}"
        action = parse(action_type, name, msgspec.json.encode(payload))
        assert isinstance(action, Action), action
        outcome, events = self.ledger.decide(actor, action)
        assert isinstance(outcome, Ack), outcome
        await self.tell(events)

    async def tell(self, events: tuple[Event, ...]) -> None:
        if events:
            frame = events_frame(events[0].seq - 1, [encode_event(one) for one in events])
            await self.broadcast(frame)

    async def broadcast(self, frame: bytes | ServerFrame) -> None:
        data = frame if isinstance(frame, bytes) else encode_server_frame(frame)
        for connection in tuple(self.connections):
            await _sent(connection, data)

    async def token(self, message_id: str, offset: int, text: str) -> None:
        await self.broadcast(_token(message_id, offset, text))

    def cut(self) -> None:
        """Every connection is gone, without a word."""
        for connection in tuple(self.connections):
            connection.transport.abort()

    async def close(self, code: int) -> None:
        for connection in tuple(self.connections):
            await connection.close(code)

    # The contract

    async def check(self, connection: ServerConnection, request: Request) -> Response | None:
        self.headers.append({name.lower(): value for name, value in request.headers.raw_items()})
        if self.refuse_upgrade is None:
            return None
        return connection.respond(http.HTTPStatus(self.refuse_upgrade), "no\n")

    async def converse(self, connection: ServerConnection) -> None:
        try:
            hello = decode_client_frame(await connection.recv())
            assert isinstance(hello, Hello)
            self.hellos.append(hello)
            if self.close_after_hello is not None:
                await connection.close(self.close_after_hello)
                return
            if self.silent:
                await connection.wait_closed()
                return
            seq = await self._catch_up(connection, hello)
            while missed := self.ledger.events[seq:]:
                seq += len(missed)
                await _sent(
                    connection, events_frame(seq - len(missed), [encode_event(one) for one in missed])
                )
            self.connections.append(connection)
            async for data in connection:
                await self._frame(connection, decode_client_frame(data))
        except ConnectionClosed:
            return
        finally:
            if connection in self.connections:
                self.connections.remove(connection)

    async def _catch_up(self, connection: ServerConnection, hello: Hello) -> int:
        ledger = self.ledger
        head, state, events = ledger.head, ledger.state, tuple(ledger.events)
        member = state.members.get(self.actor)
        await _sent(
            connection,
            Welcome(
                protocol=self.protocol,
                server="fake",
                reducer=REDUCER_VERSION,
                workspace="home",
                workspace_id=ledger.workspace_id,
                actor=self.actor,
                role=member.role if member else "viewer",
                session_id=derive("session", str(len(self.hellos))),
                head=head,
                limits=WIRE_LIMITS,
            ),
        )
        place = next((one.seq for one in events if one.event_id == hello.since), None)
        if place is None:
            reason: SnapshotReason = "initial" if hello.since is None else "unknown_cursor"
            self.snapshots.append(reason)
            for part in snapshot_frames(state, head, reason):
                await _sent(connection, part)
        for after in range(place or head.seq, head.seq, 2):
            page = events[after : after + 2]
            await _sent(connection, events_frame(after, [encode_event(one) for one in page]))
        for message_id in state.assistant.streaming:
            await _sent(connection, _token(message_id, 0, self.streams.get(message_id, "")))
        digest = state.digest_hex
        if self.wrong_digests:
            self.wrong_digests -= 1
            digest = "0" * 32
        await _sent(connection, Synced(seq=head.seq, event_id=head.event_id, digest=digest))
        me = Present(actor=self.actor, session_id="s", client=hello.client)
        await _sent(connection, Presence(members=(me,), count=1))
        return head.seq

    async def _frame(self, connection: ServerConnection, frame: object) -> None:
        match frame:
            case ActionFrame():
                await self._action(connection, frame)
            case PresenceUpdate():
                self.presences.append(frame)
            case _:
                await connection.close(4400)

    async def _action(self, connection: ServerConnection, frame: ActionFrame) -> None:
        if connection in self._deaf:
            return
        self.received.append(frame.client_action_id)
        what = self.on_action(frame)
        if what == "lose":
            self._deaf.add(connection)
            connection.transport.abort()
            return
        if what == "unavailable":
            no = Refused("unavailable", "Not now.")
            await _sent(connection, _reject(frame, no))
            # What was sent behind it is not decided.
            self._deaf.add(connection)
            await connection.close(4503)
            return
        action = parse(frame.type, frame.client_action_id, frame.payload)
        outcome, events = (
            self.ledger.decide(self.actor, action) if isinstance(action, Action) else (action, ())
        )
        if what == "cut":
            self._deaf.add(connection)
            connection.transport.abort()
        if what in ("cut", "hold"):
            return
        await self.tell(events)
        for _ in range(2 if what == "twice" else 1):
            await _sent(connection, outcome if isinstance(outcome, Ack) else _reject(frame, outcome))

    async def head(self) -> None:
        """The quiet server's word about where it is."""
        head = self.ledger.head
        await self.broadcast(HeadFrame(seq=head.seq, event_id=head.event_id))


@asynccontextmanager
async def running(server: FakeServer, *, unix: Path | None = None) -> AsyncIterator[FakeServer]:
    """The server on a Unix socket, or on a port of loopback that the system picks; `where` is its address."""
    options: dict[str, Any] = {"process_request": server.check, "compression": None, "close_timeout": 0.2}
    listening = (
        unix_serve(server.converse, str(unix), **options)
        if unix is not None
        else serve(server.converse, "127.0.0.1", 0, **options)
    )
    async with listening as made:
        if unix is None:
            server.where = f"http://127.0.0.1:{next(iter(made.sockets)).getsockname()[1]}"
        yield server
        await asyncio.gather(*(one.close() for one in tuple(server.connections)))


def _reject(frame: ActionFrame, refused: object) -> Reject:
    assert isinstance(refused, Refused)
    return Reject(
        client_action_id=frame.client_action_id,
        code=refused.code,
        message=refused.message,
        field=refused.field,
        retryable=refused.retryable,
    )


def _token(message_id: str, offset: int, text: str) -> Token:
    payload = TokenPayload(message_id=message_id, offset=offset, text=text)
    return Token(timestamp=NOW, actor="assistant", payload=payload)


async def _sent(connection: ServerConnection, frame: bytes | ServerFrame) -> None:
    data = frame if isinstance(frame, bytes) else encode_server_frame(frame)
    await connection.send(data, text=True)
