"""One open WebSocket as the session sees it, and the frame that is built once for all its receivers.

It must not know what is said: messages go in and out as they are.

1. Nothing that sends waits: `send_frames` writes or drops, `buffered` and `drained` let the sender decide.
2. A prebuilt frame goes to the transport only while the connection is open, no extension is negotiated and no
   fragmented message is under way; otherwise the library sends its payload. Order is kept in both cases.
3. Every end of the conversation is one exception, `SocketClosed`.
"""

from __future__ import annotations

import asyncio
import struct
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode
from websockets.protocol import OPEN

from server.gateway.peer import Peer

_FINAL_TEXT = 0x81
# A control frame holds 125 bytes, two of them the code.
_REASON_MAX = 123


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class HandshakeRequest:
    """A request to open a WebSocket. Gate and socket see the same object, so it may key what the gate found.

    `path` is percent-decoded and without the query; `headers` have lower-case names.
    """

    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    peer: Peer


class SocketClosed(Exception):  # noqa: N818  an end, not an error
    """The WebSocket is at its end. `code` is the peer's close code, else the one sent to it, else 1006."""

    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__(f"the connection is closed ({code})")
        self.code = code
        self.reason = reason


@runtime_checkable
class WebSocket(Protocol):
    """What a session may do with its connection."""

    @property
    def request(self) -> HandshakeRequest:
        """The request that opened the connection."""

    @property
    def path(self) -> str:
        """The request's path."""

    @property
    def headers(self) -> Mapping[str, str]:
        """The request's headers, by lower-case name."""

    @property
    def peer(self) -> Peer:
        """The other end."""

    @property
    def closed(self) -> bool:
        """Whether nothing can be sent any more: closing has begun, on either side, or is done."""

    async def recv(self) -> str | bytes:
        """Take the next message, text as str and binary as bytes; raises SocketClosed.

        While nobody takes messages the peer is read no further. Cancelling loses nothing.
        """

    def send_frames(self, frames: Sequence[bytes]) -> None:
        """Write frames made by `encode_text_frame`, in order, as one write; dropped where `closed`."""

    def buffered(self) -> int:
        """Bytes that were sent here and not yet taken by the operating system."""

    async def drained(self) -> None:
        """Where the buffer went over its high-water mark, wait until it is below the low one.

        Raises SocketClosed.
        """

    def abort(self) -> None:
        """Cut the connection now; what is buffered is lost and the peer sees 1006."""

    async def close(self, code: int, reason: str = "") -> None:
        """Send a close code behind all that was sent; the connection is gone within the close timeout."""


def encode_text_frame(payload: bytes) -> bytes:
    """Make the unmasked WebSocket frame of one text message (UTF-8), for any number of receivers."""
    size = len(payload)
    if size < 126:
        return struct.pack("!BB", _FINAL_TEXT, size) + payload
    if size < 65536:
        return struct.pack("!BBH", _FINAL_TEXT, 126, size) + payload
    return struct.pack("!BBQ", _FINAL_TEXT, 127, size) + payload


def text_of_frame(frame: bytes) -> bytes:
    """Take the payload out of a frame made by `encode_text_frame`."""
    match frame[1]:
        case 126:
            return frame[4:]
        case 127:
            return frame[10:]
        case _:
            return frame[2:]


class OpenSocket:
    """A `WebSocket` over a connection of the websockets library."""

    __slots__ = ("_close_timeout_s", "_connection", "_held", "_release", "request")

    def __init__(
        self, connection: ServerConnection, request: HandshakeRequest, close_timeout_s: float
    ) -> None:
        self._connection = connection
        self._close_timeout_s = close_timeout_s
        self.request = request
        # Frames that came while a fragmented message was under way, and the task that sends them behind it.
        self._held: deque[bytes] = deque()
        self._release: asyncio.Task[None] | None = None

    @property
    def path(self) -> str:
        return self.request.path

    @property
    def headers(self) -> Mapping[str, str]:
        return self.request.headers

    @property
    def peer(self) -> Peer:
        return self.request.peer

    @property
    def closed(self) -> bool:
        return self._connection.protocol.state is not OPEN or self._connection.transport.is_closing()

    async def recv(self) -> str | bytes:
        try:
            return await self._connection.recv()
        except ConnectionClosed as error:
            raise _closed(error) from None

    def send_frames(self, frames: Sequence[bytes]) -> None:
        if self.closed or not frames:
            return
        connection = self._connection
        if self._held or connection.send_in_progress is not None:
            self._hold(frames)
        elif connection.protocol.extensions:
            self._send_by_library(frames)
        else:
            connection.transport.write(frames[0] if len(frames) == 1 else b"".join(frames))

    def _send_by_library(self, frames: Sequence[bytes]) -> None:
        for frame in frames:
            self._connection.protocol.send_text(text_of_frame(frame))
        self._connection.send_data()

    def _hold(self, frames: Sequence[bytes]) -> None:
        self._held.extend(frames)
        if self._release is None:
            self._release = self._connection.loop.create_task(self._release_held())

    async def _release_held(self) -> None:
        while (under_way := self._connection.send_in_progress) is not None:
            await asyncio.wait([under_way])
        frames = list(self._held)
        self._held.clear()
        self._release = None
        self.send_frames(frames)

    def buffered(self) -> int:
        return self._connection.transport.get_write_buffer_size() + sum(map(len, self._held))

    async def drained(self) -> None:
        try:
            await self._connection.drain()
        except OSError:  # the transport's own words for a peer that is gone
            raise SocketClosed(CloseCode.ABNORMAL_CLOSURE) from None
        if self._connection.connection_lost_waiter.done():
            raise _closed(self._connection.close_exc)

    def abort(self) -> None:
        self._connection.transport.abort()

    async def close(self, code: int, reason: str = "") -> None:
        reason = reason.encode()[:_REASON_MAX].decode(errors="ignore")
        try:
            async with asyncio.timeout(self._close_timeout_s):
                await self._connection.close(code, reason)
        except TimeoutError:
            # The library waits for room in the buffer first, for as long as the peer reads nothing.
            self.abort()
        await self._connection.wait_closed()


def _closed(error: ConnectionClosed) -> SocketClosed:
    close = error.rcvd or error.sent
    return (
        SocketClosed(CloseCode.ABNORMAL_CLOSURE) if close is None else SocketClosed(close.code, close.reason)
    )
