"""Bare clients: a WebSocket that speaks frames as dicts, and HTTP over TCP, TLS and Unix sockets.

They know nothing of the client's half of the protocol, so that what a server sends is judged as it came.
"""

from __future__ import annotations

import asyncio
import http.client
import io
import json
import ssl
import struct
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import websockets
from websockets.asyncio.client import ClientConnection, connect, unix_connect
from websockets.exceptions import ConnectionClosed

Frame = dict[str, Any]

PATIENCE_S = 10.0
"""No wait of a test lasts longer."""

CLIENT_ID = "01990000-0000-7000-8000-000000000001"


@dataclass(frozen=True)
class Where:
    """Where a server listens: a URL (`http://…`, `https://…`) or a Unix socket."""

    url: str = "http://localhost"
    unix: Path | None = None
    tls: ssl.SSLContext | None = None


@dataclass(eq=False)
class RawClient:
    """One open WebSocket. `frames` are all that came, in order; `next` goes through them."""

    socket: ClientConnection
    frames: list[Frame] = field(default_factory=list)
    seq: int = 0
    """That of the last event that came."""
    close_code: int | None = None
    close_reason: str = ""
    _place: int = 0
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _reading: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to collect."""
        self._reading = asyncio.get_running_loop().create_task(self._collect())

    async def _collect(self) -> None:
        try:
            while True:
                frame = json.loads(await self.socket.recv())
                self.frames.append(frame)
                if frame["type"] == "events":
                    self.seq = frame["events"][-1]["seq"]
                self._news.set()
        except ConnectionClosed as closed:
            end = closed.rcvd
            self.close_code, self.close_reason = (end.code, end.reason) if end else (1006, "")
        self._news.set()

    # Out

    async def send(self, frame: Mapping[str, Any]) -> None:
        """Send one frame."""
        await self.socket.send(json.dumps(frame))

    async def send_text(self, text: str | bytes) -> None:
        """Send a text message as it is; bytes need not be UTF-8."""
        await self.socket.send(text, text=True)

    async def hello(self, since: str | None = None, **fields: Any) -> None:
        """Say hello; anything may be set, None values stay."""
        frame = {"type": "hello", "protocol": 1, "client_id": CLIENT_ID, "client": "raw/1", "since": since}
        await self.send(frame | fields)

    async def act(self, action_type: str, client_action_id: str, /, **payload: Any) -> None:
        """Send an action and go on."""
        await self.send({"type": action_type, "client_action_id": client_action_id, "payload": payload})

    async def add(self, client_action_id: str, title: str = "Buy milk", **payload: Any) -> None:
        """Send a `user.create_task`."""
        await self.act("user.create_task", client_action_id, title=title, **payload)

    # In

    async def until(self, condition: Callable[[], Any]) -> Any:
        """Wait until a condition on what came holds; what it gave. AssertionError where the socket ends."""
        async with asyncio.timeout(PATIENCE_S):
            while not (value := condition()):
                assert self.close_code is None, f"closed with {self.close_code} after {self.frames[-3:]}"
                self._news.clear()
                await self._news.wait()
        return value

    async def next(self, frame_type: str | None = None, **fields: Any) -> Frame:
        """The next frame of that type with these fields, behind the last one that was asked for."""

        def found() -> Frame | None:
            for place in range(self._place, len(self.frames)):
                frame = self.frames[place]
                if frame_type in (None, frame["type"]) and fields.items() <= frame.items():
                    self._place = place + 1
                    return frame
            return None

        frame: Frame = await self.until(found)
        return frame

    async def settled(self, client_action_id: str) -> Frame:
        """The ack or the reject of an action, whenever it came."""
        frame: Frame = await self.until(lambda: self.outcome_of(client_action_id))
        return frame

    async def done(self, action_type: str, client_action_id: str, /, **payload: Any) -> Frame:
        """Send an action and wait for its ack or reject."""
        await self.act(action_type, client_action_id, **payload)
        return await self.settled(client_action_id)

    async def synced(self) -> Frame:
        """Wait for `state.synced`."""
        return await self.until(lambda: next(iter(self.of("state.synced")), None))

    async def brought_to(self, seq: int) -> None:
        """Wait until events up to `seq` have come."""
        await self.until(lambda: self.seq >= seq)

    async def closed(self) -> int:
        """Wait for the end; its close code, 1006 where it was cut."""
        assert self._reading is not None
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.shield(self._reading)
        assert self.close_code is not None
        return self.close_code

    def outcome_of(self, client_action_id: str) -> Frame | None:
        """The ack or the reject of an action, where it has come."""
        settled = (one for one in self.frames if one["type"] in ("ack", "reject"))
        return next((one for one in settled if one["client_action_id"] == client_action_id), None)

    def of(self, frame_type: str) -> list[Frame]:
        """All frames of a type that have come."""
        return [frame for frame in self.frames if frame["type"] == frame_type]

    @property
    def types(self) -> list[str]:
        """The types of all that came, in order."""
        return [frame["type"] for frame in self.frames]

    @property
    def events(self) -> list[Frame]:
        """The ledger events of all frames, in the order in which they came."""
        return [event for frame in self.of("events") for event in frame["events"]]

    def place_of(self, frame: Frame) -> int:
        """Where a frame stands among all that came."""
        return next(place for place, one in enumerate(self.frames) if one is frame)

    # Its body

    def stop_reading(self) -> None:
        """Take nothing from the network any more."""
        self.socket.transport.pause_reading()

    def go_on_reading(self) -> None:
        """Take from the network again."""
        self.socket.transport.resume_reading()

    def write(self, data: bytes) -> None:
        """Write bytes past the library."""
        self.socket.transport.write(data)

    async def leave(self) -> None:
        """Close like a client that has enough."""
        await self.socket.close()

    def cut(self) -> None:
        """Vanish."""
        self.socket.transport.abort()


def masked_frame(opcode: int, payload: bytes, *, final: bool = True) -> bytes:
    """A client's WebSocket frame, made by hand."""
    first = (0x80 if final else 0) | opcode
    size = len(payload)
    head = (
        struct.pack("!BB", first, 0x80 | size) if size < 126 else struct.pack("!BBH", first, 0x80 | 126, size)
    )
    return head + bytes(4) + payload


@asynccontextmanager
async def open_client(
    where: Where,
    workspace: str = "home",
    *,
    token: str | None = None,
    headers: Mapping[str, str] | None = None,
    subprotocols: list[str] | None = None,
    **options: Any,
) -> AsyncIterator[RawClient]:
    """Open a WebSocket, without a hello. Raises what the library raises where the server refuses."""
    given = dict(headers or {})
    if token is not None:
        given["Authorization"] = f"Bearer {token}"
    offered = ["obelisk.v1"] if subprotocols is None else subprotocols
    settings: dict[str, Any] = {
        "additional_headers": given,
        "subprotocols": [websockets.Subprotocol(name) for name in offered] or None,
        "compression": None,
        "max_size": None,
        "max_queue": None,
        "ping_interval": None,
        "close_timeout": 1.0,
        **options,
    }
    path = f"/workspaces/{workspace}"
    if where.unix is not None:
        socket = await unix_connect(str(where.unix), f"ws://localhost{path}", **settings)
    else:
        url = where.url.replace("http", "ws", 1)
        socket = await connect(f"{url}{path}", ssl=where.tls, proxy=None, **settings)
    client = RawClient(socket)
    client.start()
    try:
        yield client
    finally:
        client.cut()
        await client.closed()
        await socket.wait_closed()


async def refused(where: Where, workspace: str = "home", **options: Any) -> tuple[int, Any]:
    """The status and the JSON body of a handshake that the server must refuse."""
    try:
        async with open_client(where, workspace, **options):
            raise AssertionError("the server opened the connection")
    except websockets.InvalidStatus as error:
        return error.response.status_code, json.loads(error.response.body or b"null")


# HTTP


@dataclass(frozen=True)
class Answer:
    """An HTTP answer, read to its end."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def lines(self) -> list[Any]:
        """The objects of a newline-delimited body."""
        return [json.loads(line) for line in self.body.splitlines()]


class _Read:
    """What `http.client` takes for a socket."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, _mode: str) -> io.BytesIO:
        return io.BytesIO(self._data)


async def http_request(
    where: Where,
    method: str,
    path: str,
    *,
    body: Any = None,
    token: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """One request on a connection of its own. `body`: bytes as they are, anything else as JSON."""
    data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    lines += [f"Authorization: Bearer {token}"] if token is not None else []
    lines += [f"Content-Length: {len(data)}"] if body is not None else []
    head = "\r\n".join([*lines, "", ""]).encode()
    async with asyncio.timeout(PATIENCE_S):
        reader, writer = await _connected(where)
        try:
            writer.write(head + data)
            received = await reader.read()
        finally:
            writer.close()
            await writer.wait_closed()
    response = http.client.HTTPResponse(_Read(received), method=method)  # type: ignore[arg-type]  # all it asks of a socket
    response.begin()
    given = {name.lower(): value for name, value in response.getheaders()}
    return Answer(response.status, given, response.read())


async def _connected(where: Where) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if where.unix is not None:
        return await asyncio.open_unix_connection(where.unix)
    parts = urlsplit(where.url)
    return await asyncio.open_connection(parts.hostname, parts.port, ssl=where.tls)
