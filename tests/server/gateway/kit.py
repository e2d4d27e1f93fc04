"""A listener on real sockets, a raw client that writes what it is told, and handlers that show what they got."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

from server.gateway.http1 import HttpLimits, Request, Response, StreamResponse
from server.gateway.listener import (
    HandshakeRequest,
    Listener,
    SocketClosed,
    WebSocket,
    encode_text_frame,
    listen,
)

PATIENCE_S = 10.0
"""No wait of a test lasts longer."""

WEBSOCKET_HEAD = (
    b"GET /workspaces/home HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
)


async def echo_socket(socket: WebSocket) -> None:
    """Send every message back as text."""
    while True:
        message = await socket.recv()
        payload = message.encode() if isinstance(message, str) else b"binary:" + message
        socket.send_frames([encode_text_frame(payload)])


async def show_request(request: Request) -> Response:
    """Answer with what was asked."""
    shown = {
        "method": request.method,
        "path": request.path,
        "query": dict(request.query),
        "headers": dict(request.headers),
        "body": request.body.decode("latin-1"),
        "peer": request.peer.kind,
        "uid": request.peer.uid,
    }
    return Response(200, json.dumps(shown).encode())


async def open_gate(_request: HandshakeRequest) -> None:
    """Let everybody in."""


@asynccontextmanager
async def serving(**options: Any) -> AsyncIterator[Listener]:
    """Listen on loopback with small time-outs; everything may be set."""
    defaults: dict[str, Any] = {
        "socket_handler": echo_socket,
        "http_handler": show_request,
        "gate": open_gate,
        "tcp": ("127.0.0.1", 0),
        "unix": None,
        "ssl": None,
        "frame_max": 256 * 1024,
        "open_timeout_s": PATIENCE_S,
        "close_timeout_s": 0.3,
        "http_limits": HttpLimits(linger_s=0.3),
    }
    listener = await listen(**{**defaults, **options})
    try:
        yield listener
    finally:
        await listener.close(timeout_s=2.0)


@dataclass
class Raw:
    """A client that speaks bytes."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    def stop_reading(self) -> None:
        cast(asyncio.ReadTransport, self.writer.transport).pause_reading()

    def go_on_reading(self) -> None:
        cast(asyncio.ReadTransport, self.writer.transport).resume_reading()

    async def until_closed(self) -> bytes:
        """Everything up to the end; a reset counts as one."""
        received = bytearray()
        async with asyncio.timeout(PATIENCE_S):
            try:
                while data := await self.reader.read(65536):
                    received += data
            except ConnectionResetError:
                pass
        return bytes(received)

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        """One HTTP answer: status, headers, body."""
        async with asyncio.timeout(PATIENCE_S):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            first, *lines = head.split("\r\n")[:-2]
            headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
            body = b""
            if headers.get("transfer-encoding") == "chunked":
                body = await self._chunks()
            elif "content-length" in headers:
                body = await self.reader.readexactly(int(headers["content-length"]))
            return int(first.split(" ")[1]), headers, body

    async def _chunks(self) -> bytes:
        body = b""
        while size := int(await self.reader.readline(), 16):
            body += await self.reader.readexactly(size)
            await self.reader.readline()
        await self.reader.readline()
        return body

    async def ask(self, request: bytes) -> tuple[int, dict[str, str], bytes]:
        self.send(request)
        return await self.answer()


@asynccontextmanager
async def raw(where: Listener | Path) -> AsyncIterator[Raw]:
    """Connect a raw client to a listener's TCP port or to a Unix socket."""
    if isinstance(where, Path):
        reader, writer = await asyncio.open_unix_connection(where)
    else:
        reader, writer = await asyncio.open_connection("127.0.0.1", where.port)
    try:
        yield Raw(reader, writer)
    finally:
        writer.transport.abort()


@contextmanager
def short_folder() -> Iterator[Path]:
    """A folder whose path leaves room for a socket's name."""
    with TemporaryDirectory(prefix="ob") as folder:
        yield Path(folder)


@dataclass
class Held:
    """A socket handler that hands its socket to the test and stays until released or closed."""

    sockets: list[WebSocket] = field(default_factory=list)
    ended: list[int] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    left: asyncio.Event = field(default_factory=asyncio.Event)
    release: asyncio.Event = field(default_factory=asyncio.Event)
    reads: bool = True

    async def __call__(self, socket: WebSocket) -> None:
        self.sockets.append(socket)
        self.arrived.set()
        try:
            if not self.reads:
                await self.release.wait()
            while True:
                await socket.recv()
        except SocketClosed as closed:
            self.ended.append(closed.code)
            self.left.set()
            raise

    async def socket(self) -> WebSocket:
        await within(self.arrived.wait())
        return self.sockets[-1]


async def within(wait: Any) -> Any:
    """Await with the test's patience."""
    async with asyncio.timeout(PATIENCE_S):
        return await wait


def stream_of(chunks: Callable[[], AsyncIterator[bytes]]) -> Callable[[Request], Any]:
    """An HTTP handler that streams."""

    async def handler(_request: Request) -> StreamResponse:
        return StreamResponse(200, "application/x-ndjson", chunks())

    return handler
