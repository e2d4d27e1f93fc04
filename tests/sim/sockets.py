"""The second level: the real gateway and the real client wire, on transports in memory.

Duty: the loop's `create_server` and `create_connection`; what is said, told to the history on both sides; chance pinned.
Must not know: frames' meaning, when something goes wrong.

1. Between a conversation of the server and a link of a client everything is production code but the transports.
2. Whatever the libraries draw from the machine (masks, keys, ids, dates) follows from the seed here.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import os
import random
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from unittest import mock

from protocol.client.errors import CannotReach, LinkClosed
from protocol.client.target import Target
from protocol.client.wire import Wire, dial
from server.gateway.connection import Connection
from server.gateway.peer import Peer
from server.gateway.websocket import HandshakeRequest, WebSocket, text_of_frame
from tests.sim.history import History
from tests.sim.loop import SimLoop, is_alive
from tests.sim.network import Network
from tests.sim.transport import End, Line

Factory = Callable[[], asyncio.BaseProtocol]
PORT = 10_000
"""The port of the first dial."""


class Listening:
    """What `create_server` gives: an `asyncio.Server` as far as anybody asks."""

    sockets: tuple[object, ...] = ()

    def __init__(self, factory: Factory) -> None:
        self.context = contextvars.copy_context()
        self._factory = factory
        self._open = True

    def is_serving(self) -> bool:
        return self._open and is_alive(self.context)

    def close(self) -> None:
        self._open = False

    async def wait_closed(self) -> None:
        """Nothing is left to wait for: connections are the gateway's."""

    def get_loop(self) -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    def accept(self, end: End) -> None:
        """A connection came in; called in the server's context."""
        protocol = self._factory()
        end.set_protocol(protocol)
        protocol.connection_made(end)


class Sockets:
    """The sockets of a world. Each dial has a port of its own, which leads to the server of the moment."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._listening: Listening | None = None

    async def listen(self, factory: Factory) -> Listening:
        """`create_server`."""
        self._listening = Listening(factory)
        return self._listening

    async def connect(self, factory: Factory, port: int) -> tuple[End, asyncio.BaseProtocol]:
        """`create_connection`; OSError where nobody listens."""
        line = self._network.lines[port - PORT]
        try:
            await self._network.travel()
            if line.client in self._network.unreachable:
                await asyncio.get_running_loop().create_future()
            listening = self._listening
            if listening is None or not listening.is_serving() or line.gone.is_set():
                raise ConnectionRefusedError(111, "Connection refused")
        except BaseException:
            line.gone.set()
            raise
        near, far = line.lay(contextvars.copy_context(), listening.context.copy())
        asyncio.get_running_loop().call_soon(listening.accept, far, context=listening.context.copy())
        protocol = factory()
        near.set_protocol(protocol)
        protocol.connection_made(near)
        return near, protocol


async def dial_line(line: Line, workspace: str, actor: str, history: History) -> Wire:
    """The production client's dial over a line."""
    target = Target(workspace=workspace, url=f"ws://127.0.0.1:{PORT + line.number}", acts_as=actor)
    try:
        return ToldWire(await dial(target), line.number, history)
    except CannotReach:
        if line.laid:
            history.meet("opening_failed")
        raise


class ToldWire:
    """A client's wire, and the history of what goes over it."""

    def __init__(self, wire: Wire, number: int, history: History) -> None:
        self._wire = wire
        self._number = number
        self._history = history
        self._is_over = False

    async def send(self, data: bytes) -> None:
        self._history.add("up", conn=self._number, frame=data.decode())
        await self._wire.send(data)

    async def receive(self) -> bytes:
        try:
            data = await self._wire.receive()
        except LinkClosed as closed:
            if not self._is_over:
                self._is_over = True
                self._history.add("over", conn=self._number, code=closed.code)
            raise
        self._history.add("down", conn=self._number, frame=data.decode())
        return data

    async def close(self) -> None:
        await self._wire.close()


class ToldSocket:
    """A server's WebSocket, and the history of what is handed to it."""

    def __init__(self, socket: WebSocket, history: History) -> None:
        self._socket = socket
        self._number = int(socket.peer.address)
        self._history = history

    @property
    def request(self) -> HandshakeRequest:
        return self._socket.request

    @property
    def path(self) -> str:
        return self._socket.path

    @property
    def headers(self) -> Mapping[str, str]:
        return self._socket.headers

    @property
    def peer(self) -> Peer:
        return self._socket.peer

    @property
    def closed(self) -> bool:
        return self._socket.closed

    async def recv(self) -> str | bytes:
        return await self._socket.recv()

    def send_frames(self, frames: Sequence[bytes]) -> None:
        for frame in frames if not self.closed else ():
            self._history.add("out", conn=self._number, frame=text_of_frame(frame).decode())
        self._socket.send_frames(frames)

    def buffered(self) -> int:
        return self._socket.buffered()

    async def drained(self) -> None:
        await self._socket.drained()

    def abort(self) -> None:
        self._history.meet("slow_reader_aborted", conn=self._number)
        self._socket.abort()

    async def close(self, code: int, reason: str = "") -> None:
        await self._socket.close(code, reason)


class Numbered(Connection):
    """A connection whose place in a set follows from the run and not from its address."""

    def __init__(self, *args: Any, **options: Any) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SimLoop)
        self._serial = loop.serial()
        super().__init__(*args, **options)

    def __hash__(self) -> int:
        return self._serial


def _peer_of(transport: asyncio.BaseTransport) -> Peer:
    """As the kernel would say it of a Unix socket; the address is the number of the connection."""
    line: Line = transport.get_extra_info("line")
    return Peer("unix", str(line.number), os.getuid(), secure=True)


@contextlib.contextmanager
def pinned(chance: random.Random) -> Iterator[None]:
    """Everything that the libraries ask of the machine, from the seed."""
    before = random.getstate()
    random.seed(chance.getrandbits(64))
    patches: dict[str, object] = {
        "secrets.token_bytes": lambda size=32: chance.randbytes(size),
        "os.urandom": chance.randbytes,
        "uuid.uuid4": lambda: uuid.UUID(bytes=chance.randbytes(16), version=4),
        "email.utils.formatdate": lambda *_, **__: "Sun, 22 Nov 2026 13:05:03 GMT",
        "server.gateway.listener.Connection": Numbered,
        "server.gateway.connection.peer_of": _peer_of,
    }
    with contextlib.ExitStack() as stack:
        for name, value in patches.items():
            stack.enter_context(mock.patch(name, value))
        try:
            yield
        finally:
            random.setstate(before)
