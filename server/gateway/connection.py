"""One accepted connection: find out what it speaks, open it, keep it alive, end it.

It must not know workspaces, tokens or frames: whether a socket may open is the gate's answer, what is said on
it the socket handler's, what a request means the HTTP handler's.

1. The first head of a connection decides what it speaks; until then it holds at most the head's bound of
   bytes, for at most the opening timeout.
2. Nobody opens a WebSocket from a web page: a request with an Origin is refused before the gate is asked.
3. A peer that says nothing for a ping interval is pinged, and cut when the ping timeout passes too. What is
   not read because of our own back-pressure is not held against it.
4. Once either side has begun to close, the connection is gone within the close timeout.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import h11
from websockets import http11
from websockets.asyncio.server import Server, ServerConnection
from websockets.datastructures import Headers
from websockets.frames import CloseCode
from websockets.protocol import OPEN
from websockets.server import ServerProtocol

from server.gateway.http1 import (
    Handler,
    HttpConnection,
    HttpLimits,
    Response,
    failure,
    merge_headers,
    refusal,
    report_fault,
    split_target,
)
from server.gateway.peer import Peer, peer_of
from server.gateway.websocket import HandshakeRequest, OpenSocket, SocketClosed, WebSocket

SocketHandler = Callable[[WebSocket], Awaitable[None]]
Gate = Callable[[HandshakeRequest], Awaitable[Response | None]]


@dataclass(slots=True)
class Gateway:
    """What all connections of one listener share."""

    socket_handler: SocketHandler
    http_handler: Handler
    gate: Gate
    http_limits: HttpLimits
    connections_max: int
    open_timeout_s: float
    ping_interval_s: float
    ping_timeout_s: float
    close_timeout_s: float
    connections: set[Connection] = field(default_factory=set)
    closing: bool = False


class Connection(ServerConnection):
    """One accepted connection: not yet known, then a WebSocket of the library, or plain HTTP."""

    def __init__(self, protocol: ServerProtocol, server: Server, *, gateway: Gateway, **options: Any) -> None:
        super().__init__(protocol, server, **options)
        self._gateway = gateway
        self._peer: Peer
        self._receive: Callable[[bytes], None] = self._receive_head
        self._head = bytearray()
        self._sniffer: h11.Connection | None = h11.Connection(
            h11.SERVER, max_incomplete_event_size=gateway.http_limits.head_max
        )
        self._head_read: asyncio.Future[None] = self.loop.create_future()
        self._http: HttpConnection | None = None
        self._handshake: HandshakeRequest | None = None
        # The refusal that we worded; all others are the library's.
        self._refusal: http11.Response | None = None
        self._heard_at = 0.0
        self._keepalive_timer: asyncio.TimerHandle | None = None
        self._closing_timer: asyncio.TimerHandle | None = None

    # Callbacks of the transport.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a new connection; one too many, or one that comes while closing, is cut."""
        self._peer = peer_of(transport)
        super().connection_made(transport)
        gateway = self._gateway
        if gateway.closing or len(gateway.connections) >= gateway.connections_max:
            self.transport.abort()
        gateway.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection and wake all that wait for it."""
        super().connection_lost(exc)
        self._gateway.connections.discard(self)
        if self._http is not None:
            self._http.connection_lost()
        for timer in (self._keepalive_timer, self._closing_timer):
            if timer is not None:
                timer.cancel()

    def data_received(self, data: bytes) -> None:
        """Pass input to what this connection speaks."""
        self._heard_at = self.loop.time()
        self._receive(data)

    def eof_received(self) -> bool:  # type: ignore[override]  # asyncio reads the answer, the library has none
        """Note the end of input; True keeps the transport open for an answer that is still to come."""
        if self._http is not None:
            self._http.eof_received()
            # A TLS connection has no open half.
            return self.transport.can_write_eof()
        super().eof_received()
        self._end_soon()
        return False

    def pause_writing(self) -> None:
        """Pass on that the write buffer is above its high-water mark."""
        super().pause_writing()
        if self._http is not None:
            self._http.pause_writing()

    def resume_writing(self) -> None:
        """Pass on that the write buffer is below its low-water mark: a sign of life, too."""
        super().resume_writing()
        self._heard_at = self.loop.time()
        if self._http is not None:
            self._http.resume_writing()

    # What does it speak?

    def _receive_head(self, data: bytes) -> None:
        assert self._sniffer is not None
        self._head += data
        self._sniffer.receive_data(data)
        try:
            event = self._sniffer.next_event()
        except h11.RemoteProtocolError:  # plain HTTP knows how to refuse it
            self._decide(websocket=False)
            return
        if isinstance(event, h11.Request):
            self._decide(websocket=_speaks_websocket(event))

    def _decide(self, *, websocket: bool) -> None:
        head, self._head, self._sniffer = bytes(self._head), bytearray(), None
        self._receive = self._receive_frames if websocket else self._become_http().data_received
        self._receive(head)
        self._head_read.set_result(None)

    def _become_http(self) -> HttpConnection:
        gateway = self._gateway
        self._http = HttpConnection(self.transport, self._peer, gateway.http_handler, gateway.http_limits)
        return self._http

    def _receive_frames(self, data: bytes) -> None:
        super().data_received(data)
        if self.protocol.close_expected():
            self._end_soon()

    def _end_soon(self) -> None:
        if self._closing_timer is None:
            self._closing_timer = self.loop.call_later(self._gateway.close_timeout_s, self.transport.abort)

    # Opening.

    async def handshake(self, *_unused: object) -> None:
        """Open a WebSocket, or serve plain HTTP until it ends. The library's own hooks are not used."""
        try:
            async with asyncio.timeout(self._gateway.open_timeout_s):
                await asyncio.wait(
                    [self._head_read, self.connection_lost_waiter], return_when=asyncio.FIRST_COMPLETED
                )
                if self._http is None:
                    await super().handshake(self._judge, self._reword, None)
        except TimeoutError:
            await self._refuse_slow_head()
            raise
        if self._http is not None:
            await self._http.serve()

    async def _refuse_slow_head(self) -> None:
        if self._head:
            answer = refusal(408, "invalid", "The request's head took too long.")
            http = self._become_http()
            self._receive = http.data_received
            await http.refuse(answer)

    async def _judge(self, _connection: ServerConnection, request: http11.Request) -> http11.Response | None:
        answer = await self._verdict(request)
        self._refusal = None if answer is None else _library_response(answer)
        return self._refusal

    async def _verdict(self, request: http11.Request) -> Response | None:
        target = split_target(request.path)
        if target is None:
            return refusal(400, "invalid", "The request's target is not valid.")
        headers = merge_headers(request.headers.raw_items())
        if "origin" in headers:
            return refusal(403, "forbidden", "Requests from web pages are not served.")
        self._handshake = HandshakeRequest(*target, headers, self._peer)
        answer = await self._ask_gate(self._handshake)
        if answer is None and self._gateway.closing:
            return refusal(503, "unavailable", "The server is shutting down.")
        return answer

    async def _ask_gate(self, handshake: HandshakeRequest) -> Response | None:
        try:
            return await self._gateway.gate(handshake)
        except Exception as error:  # noqa: BLE001  a bug of the gate refuses one peer and is seen in the log
            report_fault("handshake", error)
            return failure()

    def _reword(
        self, _connection: ServerConnection, _request: http11.Request, response: http11.Response
    ) -> http11.Response | None:
        """Give the library's own refusals a JSON body as all others have."""
        if response.status_code == 101 or response is self._refusal:
            return None
        message = str(self.protocol.handshake_exc or "not a WebSocket request")
        reworded = _library_response(refusal(response.status_code, "invalid", f"No WebSocket: {message}."))
        for name in ("Allow", "Upgrade"):
            if name in response.headers:
                reworded.headers[name] = response.headers[name]
        return reworded

    # Open.

    async def converse(self) -> None:
        """Run the socket handler on the open WebSocket; however that ends, the socket is closed then."""
        assert self._handshake is not None
        socket = self.socket()
        self._heard_at = self.loop.time()
        self._keep_alive()
        try:
            await self._gateway.socket_handler(socket)
        except SocketClosed:
            return
        except Exception as error:  # noqa: BLE001  a bug of one session is one closed socket, seen in the log
            report_fault("socket handler", error)
            await socket.close(CloseCode.INTERNAL_ERROR)
        else:
            await socket.close(CloseCode.NORMAL_CLOSURE)

    def socket(self) -> OpenSocket:
        """Wrap the open WebSocket."""
        assert self._handshake is not None
        return OpenSocket(self, self._handshake, self._gateway.close_timeout_s)

    def _keep_alive(self) -> None:
        """Ping a silent peer, cut a dead one, look again when that is next due."""
        if self.protocol.state is not OPEN:
            return
        now = self.loop.time()
        if self.recv_messages.paused:
            self._heard_at = now
        # Moments, not spans: a timer for this very sum must find it reached, whatever was rounded.
        ping_at = self._heard_at + self._gateway.ping_interval_s
        dead_at = ping_at + self._gateway.ping_timeout_s
        if now >= dead_at:
            self.transport.abort()
            return
        if now >= ping_at:
            # Not the library's ping(): that waits for room in the buffer, which a dead peer never makes.
            self.protocol.send_ping(b"")
            self.send_data()
        next_at = dead_at if now >= ping_at else ping_at
        self._keepalive_timer = self.loop.call_at(next_at, self._keep_alive)

    # The end.

    async def leave(self, code: int, reason: str) -> None:
        """End this connection because the listener closes."""
        if self._http is not None:
            self._http.leave()
        elif self.protocol.state is OPEN:
            await self.socket().close(code, reason)
        elif not self._head_read.done():
            self.transport.abort()


def _speaks_websocket(head: h11.Request) -> bool:
    """Tell a WebSocket's opening request; an upgrade with a body is for plain HTTP, which reads bodies."""
    names = {name for name, _value in head.headers}
    upgrades = [value.strip().lower() for name, value in head.headers if name == b"upgrade"]
    return b"websocket" in upgrades and not names & {b"content-length", b"transfer-encoding"}


def _library_response(answer: Response) -> http11.Response:
    headers = Headers([("Content-Type", answer.content_type), *answer.headers])
    headers["Content-Length"] = str(len(answer.body))
    headers["Connection"] = "close"
    return http11.Response(answer.status, HTTPStatus(answer.status).phrase, headers, answer.body)
