"""The production server as a process that may die: everything of it but sockets, files and the command line.

Duty: boot on a disk, take connections, stop, die; an assistant whose words follow from the seed.
Must not know: when any of it happens.

1. Every boot is a new process: nothing of the last one is there but the disk.
2. Each part is a class that a planted bug may replace.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from protocol import limits
from protocol.errors import CloseCode
from server.admission import Admission, Admitted, set_member
from server.app import Door
from server.assistant.port import AnswerRequest, Tools
from server.assistant.runner import Runner
from server.auth import Auth
from server.gateway.conversation import Conversation, Surroundings
from server.gateway.http1 import Request, Response
from server.gateway.listener import Listener, listen
from server.gateway.peer import Peer
from server.gateway.websocket import HandshakeRequest, SocketClosed, WebSocket
from server.ledger.commit import CommitQueue
from server.ledger.port import LedgerError
from server.registry import Registry
from server.workflows.daily_plan import DailyPlan
from server.workspace import Producer, WorkspaceUnavailable
from tests.sim.disk import ServerDisk, SimLedger
from tests.sim.history import History
from tests.sim.loop import Node, pause
from tests.sim.network import Connection, ServerEnd
from tests.sim.ports import SimClock, SimIds, chance_of
from tests.sim.sockets import ToldSocket


@dataclass(frozen=True, slots=True)
class Parts:
    """What a server is built of; a planted bug replaces one."""

    ledger: type[SimLedger] = SimLedger
    registry: type[Registry] = Registry
    conversation: type[Conversation] = Conversation
    runner: type[Runner] = Runner


class SimAssistant:
    """Says things that follow from the seed and the answer's id; some answers fail, some act."""

    name = "sim"

    def __init__(self, seed: int) -> None:
        self._seed = seed

    async def answer(self, request: AnswerRequest, tools: Tools) -> AsyncIterator[str]:
        chance = chance_of(self._seed, "answer", request.answer_id)
        for number in range(chance.choice((0, 1, 3, 10))):
            await pause(chance.choice((0.0, 0.01, 0.1, 0.5)))
            yield f"piece {number} é🙂 "
            if chance.random() < 0.05:
                raise RuntimeError("the model failed")
            if chance.random() < 0.1:
                await tools.act("user.remember", {"text": f"Learned {number}"})


@dataclass(slots=True)
class Server:
    """One boot."""

    number: int
    disk: ServerDisk
    history: History
    clock: SimClock
    ids: SimIds
    parts: Parts
    seed: int
    level: int
    down: asyncio.Event
    """Set when the supervisor should look."""
    node: Node = field(init=False)
    ledger: SimLedger = field(init=False)
    registry: Registry = field(init=False)
    ready: bool = False
    stopping: bool = False
    failed: bool = False
    """It could not start."""
    _around: Surroundings = field(init=False)
    _commits: CommitQueue = field(init=False)
    _door: Door = field(init=False)
    _listener: Listener | None = None
    _ends: dict[int, ServerEnd] = field(default_factory=dict)

    def start(self) -> None:
        """Boot in the background; `ready` or `over` tells."""
        self.node = Node(f"server#{self.number}")
        self.history.add("boot", server=self.number, heads=self.disk.heads())
        self.ledger = self.parts.ledger(self.disk)
        self._commits = CommitQueue(self.ledger)
        producers: list[Producer] = [
            self.parts.runner(SimAssistant(self.seed), self.clock),
            DailyPlan(self.clock),
        ]
        self.registry = self.parts.registry(
            self.ledger, self._commits, clock=self.clock, fresh_ids=self.ids, producers=producers
        )
        admission = Admission(Auth(self.ledger), self.registry)
        self._around = Surroundings(self.ledger, admission, self.clock, self.ids, 0)
        self._door = Door(admission, self.ledger, self.clock, self.ids, 0)
        self.within(self._boot())

    async def _boot(self) -> None:
        try:
            await self.ledger.reopen()
            await self.registry.resume()
            if self.level == 2:
                self._listener = await self._listen()
            self.ready = True
        except (LedgerError, WorkspaceUnavailable):
            self.failed = True
            self.down.set()

    async def _listen(self) -> Listener:
        return await listen(
            socket_handler=self._converse,
            http_handler=_no_http,
            gate=self._door.gate,
            tcp=("127.0.0.1", 0),
            unix=None,
            ssl=None,
            frame_max=limits.frame_bytes_max,
            open_timeout_s=limits.open_timeout_s,
        )

    async def _converse(self, socket: WebSocket) -> None:
        await self._door.converse(ToldSocket(socket, self.history))

    async def furnish(self, workspaces: dict[str, list[str]]) -> None:
        """Make workspaces and their owners."""
        for name, actors in workspaces.items():
            workspace = await self.registry.create(name)
            for actor in actors:
                await set_member(workspace, actor, "owner")

    def accept(self, connection: Connection) -> None:
        """A client knocks."""
        self.within(self._serve(connection))

    async def _serve(self, connection: Connection) -> None:
        admitted = await self._admit(connection.request)
        if connection.accepted.done():
            return
        if not isinstance(admitted, Admitted):
            connection.accepted.set_result(admitted.status)
            return
        end = self._ends[connection.number] = ServerEnd(connection, self.history)
        connection.accepted.set_result(None)
        try:
            with contextlib.suppress(SocketClosed):
                await self.parts.conversation(end, admitted, self._around).run()
        finally:
            del self._ends[connection.number]
        await end.close(1000)

    async def _admit(self, request: HandshakeRequest) -> Admitted | Response:
        name = request.path.rpartition("/")[2]
        return await self._around.admission.enter(name, request.headers, request.peer)

    async def stop(self) -> None:
        """As SIGTERM: accept nothing, say 1001 to everybody, let what was taken become durable."""
        self.ready, self.stopping = False, True
        if self._listener is not None:
            await self._listener.close(
                CloseCode.GOING_AWAY, "the server is stopping", timeout_s=limits.close_timeout_s
            )
        for end in list(self._ends.values()):
            self.within(end.close(CloseCode.GOING_AWAY, "the server is stopping"))
        while self._ends:
            await pause(0.05)
        await self.registry.close()
        await self._commits.close()

    def die(self) -> None:
        """As kill -9 and a power cut at once."""
        self.history.add("crash", server=self.number, unsynced=self.ledger.unsynced)
        if self.ledger.unsynced:
            self.history.meet("crash_unsynced")
        self.node.alive = False
        self.ready = False
        self.ledger.crash()

    def within(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run something in this process."""
        return asyncio.get_running_loop().create_task(work, context=self.node.context())


async def _no_http(_: Request) -> Response:
    raise AssertionError("everybody here speaks WebSocket")


def request_of(workspace: str, actor: str) -> HandshakeRequest:
    """An upgrade at the Unix socket, acting as somebody."""
    return HandshakeRequest(
        f"/workspaces/{workspace}",
        MappingProxyType({}),
        MappingProxyType({"obelisk-actor": actor}),
        Peer("unix", "unix", os.getuid(), secure=True),
    )
