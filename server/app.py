"""The wiring: which part gets which, in which order they start, and in which they stop.

Duty: build a server from its settings, say when it is ready, stop it cleanly.
Must not know: rules, frames, the command line.

1. Nobody can connect before the ledger is open and what was cut off has been found.
2. A stop accepts nothing new, lets what was taken become durable, and says 1001 to everybody.
"""

from __future__ import annotations

import contextlib
import logging
import os
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from weakref import WeakKeyDictionary

from protocol import limits
from protocol.errors import CloseCode
from server.admin import Admin, ControlRoutes
from server.admission import Admission, Admitted
from server.assistant.builtin import BuiltinAssistant
from server.assistant.runner import Runner
from server.auth import Auth
from server.clock import Clock, Ids, SystemClock, SystemIds
from server.folder import DataFolder
from server.gateway.conversation import Conversation, Surroundings
from server.gateway.http1 import Response, refusal
from server.gateway.listener import HandshakeRequest, Listener, WebSocket, listen
from server.gateway.routes import Routes
from server.ledger.commit import CommitQueue
from server.ledger.port import Ledger
from server.ledger.sqlite import SqliteLedger
from server.registry import Registry
from server.workflows.daily_plan import DailyPlan
from server.workspace import Producer

log = logging.getLogger("obelisk.app")


@dataclass(frozen=True, slots=True)
class Settings:
    """What a server is started with."""

    tcp: tuple[str, int] | None = None
    unix: Path | None = None
    tls: ssl.SSLContext | None = None
    actions_per_s: float = limits.actions_per_s_max


@dataclass(slots=True)
class Server:
    """A server that takes connections."""

    listener: Listener
    registry: Registry
    commits: CommitQueue
    settings: Settings
    clock: Clock = field(default_factory=SystemClock)

    @property
    def url(self) -> str | None:
        """The address of its TCP port, as the ready line has it."""
        if not self.listener.addresses:
            return None
        host, port = self.listener.addresses[0]
        shown = f"[{host}]" if ":" in host else host
        return f"{'https' if self.settings.tls else 'http'}://{shown}:{port}"


def builtin_producers(clock: Clock) -> list[Producer]:
    """The side effects of a server: the assistant and the workflows."""
    return [Runner(BuiltinAssistant(clock), clock), DailyPlan(clock)]


@contextlib.asynccontextmanager
async def running(folder: DataFolder, settings: Settings) -> AsyncIterator[Server]:
    """A server on a data folder, from ready to stopped. OSError where an address cannot be had."""
    clock, fresh_ids = SystemClock(), SystemIds()
    with folder.locked():
        ledger = await SqliteLedger.open(folder.ledger)
        try:
            async with _serving(ledger, folder, settings, clock, fresh_ids) as server:
                yield server
        finally:
            await ledger.close()


@contextlib.asynccontextmanager
async def _serving(
    ledger: Ledger, folder: DataFolder, settings: Settings, clock: Clock, fresh_ids: Ids
) -> AsyncIterator[Server]:
    commits = CommitQueue(ledger)
    registry = Registry(ledger, commits, clock=clock, fresh_ids=fresh_ids, producers=builtin_producers(clock))
    door = Door(Admission(Auth(ledger), registry), ledger, clock, fresh_ids, settings.actions_per_s)
    try:
        await registry.resume()
        async with contextlib.AsyncExitStack() as stack:
            await _open_control(stack, folder, Admin(registry, clock, fresh_ids))
            listener = await listen(
                socket_handler=door.converse,
                http_handler=Routes(registry, door.admission),
                gate=door.gate,
                tcp=settings.tcp,
                unix=settings.unix,
                ssl=settings.tls,
                frame_max=limits.frame_bytes_max,
                open_timeout_s=limits.open_timeout_s,
            )
            stack.push_async_callback(
                listener.close,
                CloseCode.GOING_AWAY,
                "the server is stopping",
                timeout_s=limits.close_timeout_s,
            )
            yield Server(listener, registry, commits, settings, clock)
    finally:
        await registry.close()
        await commits.close()


class Door:
    """What a request passes on its way in: the gate before the upgrade, the conversation after it."""

    def __init__(
        self, admission: Admission, ledger: Ledger, clock: Clock, fresh_ids: Ids, actions_per_s: float
    ) -> None:
        self.admission = admission
        self._around = Surroundings(ledger, admission, clock, fresh_ids, actions_per_s)
        self._found: WeakKeyDictionary[HandshakeRequest, Admitted] = WeakKeyDictionary()

    async def gate(self, request: HandshakeRequest) -> Response | None:
        """Admit a handshake, or the answer that refuses it."""
        match request.path.strip("/").split("/"):
            case ["workspaces", name]:
                admitted = await self.admission.enter(name, request.headers, request.peer)
            case _:
                return refusal(404, "not_found", "There is nothing here.")
        if isinstance(admitted, Response):
            return admitted
        self._found[request] = admitted
        return None

    async def converse(self, socket: WebSocket) -> None:
        """Talk to a client that was admitted."""
        admitted = self._found.pop(socket.request)
        if not self.admission.has_room(admitted.identity.actor):
            log.warning("too many connections of %s", admitted.identity.actor)
            await socket.close(CloseCode.TOO_MANY_CONNECTIONS, "too many connections")
            return
        await Conversation(socket, admitted, self._around).run()


async def _open_control(stack: contextlib.AsyncExitStack, folder: DataFolder, admin: Admin) -> None:
    """Listen on the control socket. Its path may be longer than a socket's may be: bound by a short name."""

    async def refuse(_: HandshakeRequest) -> Response | None:
        return Response(404)

    async def nothing(_: WebSocket) -> None:
        raise AssertionError("the gate lets nobody in")

    before = Path.cwd()
    os.chdir(folder.path)
    try:
        control = await listen(
            socket_handler=nothing,
            http_handler=ControlRoutes(admin),
            gate=refuse,
            tcp=None,
            unix=Path(folder.control.name),
            ssl=None,
            frame_max=limits.frame_bytes_max,
            open_timeout_s=limits.open_timeout_s,
        )
    finally:
        os.chdir(before)
    stack.push_async_callback(control.close, timeout_s=limits.close_timeout_s)
    stack.callback(folder.control.unlink, missing_ok=True)
