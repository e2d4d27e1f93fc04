"""One address, WebSocket and plain HTTP: bind, accept, close.

It must not know workspaces, tokens or frames, nor what a single connection goes through (connection.py).

1. An address that cannot be had is the system's own OSError; nothing stays bound then.
2. `close` ends everything that was accepted, politely while there is time, then not.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import ssl as tls
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from websockets.asyncio.server import Server, ServerConnection, serve, unix_serve
from websockets.exceptions import NegotiationError
from websockets.frames import CloseCode
from websockets.typing import Subprotocol

import protocol
from server.gateway.connection import Connection, Gate, Gateway, SocketHandler
from server.gateway.http1 import Handler, HttpLimits
from server.gateway.unixsocket import UnixSocket, bind_unix
from server.gateway.websocket import HandshakeRequest, SocketClosed, WebSocket, encode_text_frame

__all__ = [
    "SUBPROTOCOL",
    "Connection",
    "Gate",
    "HandshakeRequest",
    "Listener",
    "SocketClosed",
    "SocketHandler",
    "WebSocket",
    "encode_text_frame",
    "listen",
]

SUBPROTOCOL: Final = Subprotocol(protocol.SUBPROTOCOL)

# The library tells of every connection; here only its own faults are worth a line.
_library_log = logging.getLogger("server.gateway.library")
_library_log.setLevel(logging.ERROR)

# How long handlers that outlive their connection get before they are cancelled.
_CANCEL_AFTER_S = 1.0


class Listener:
    """What is listening. Made by `listen`."""

    def __init__(self, gateway: Gateway, servers: Sequence[Server], unix: UnixSocket | None) -> None:
        self._gateway = gateway
        self._servers = servers
        self._unix = unix
        names = [sock.getsockname() for server in servers for sock in server.sockets]
        self._addresses = tuple((name[0], name[1]) for name in names if isinstance(name, tuple))

    @property
    def addresses(self) -> tuple[tuple[str, int], ...]:
        """The TCP addresses, host and port."""
        return self._addresses

    @property
    def port(self) -> int | None:
        """The TCP port, None where there is none."""
        return self._addresses[0][1] if self._addresses else None

    @property
    def unix(self) -> Path | None:
        """The path of the Unix socket."""
        return self._unix.path if self._unix is not None else None

    @property
    def connections(self) -> int:
        """How many connections are accepted and not yet gone, of whatever kind."""
        return len(self._gateway.connections)

    async def close(
        self, code: int = CloseCode.GOING_AWAY, reason: str = "", *, timeout_s: float = 10.0
    ) -> None:
        """Accept nothing more and end every connection.

        WebSockets get `code` and `reason`, plain HTTP its answer under way. What has not ended after
        `timeout_s` is cut, and its handlers are cancelled. May be called twice.
        """
        self._gateway.closing = True
        for server in self._servers:
            server.close(close_connections=False)
        if self._unix is not None:
            self._unix.remove()
        handlers = {task for server in self._servers for task in server.handler_tasks}
        goodbyes = [
            asyncio.ensure_future(connection.leave(code, reason)) for connection in self._gateway.connections
        ]
        left = await _wait({*handlers, *goodbyes}, timeout_s)
        for connection in list(self._gateway.connections):
            connection.transport.abort()
        for task in await _wait(left, _CANCEL_AFTER_S):
            task.cancel()
        for server in self._servers:
            await server.wait_closed()
        if self._unix is not None:
            self._unix.sock.close()


async def listen(
    *,
    socket_handler: SocketHandler,
    http_handler: Handler,
    gate: Gate,
    tcp: tuple[str, int] | None,
    unix: Path | None,
    ssl: tls.SSLContext | None,
    frame_max: int,
    open_timeout_s: float,
    ping_interval_s: float = 20.0,
    ping_timeout_s: float = 20.0,
    close_timeout_s: float = 2.0,
    write_high: int = 64 * 1024,
    write_low: int = 16 * 1024,
    queue_max: int = 8,
    connections_max: int = 12_000,
    backlog: int = 1024,
    http_limits: HttpLimits | None = None,
) -> Listener:
    """Listen on TCP (with TLS where `ssl` is given), on a Unix socket, or on both.

    `frame_max` is the largest incoming message in bytes (above: 1009). `queue_max` frames are read ahead of
    the handler, then reading pauses. `write_high`, `write_low` (bytes) are the marks of `WebSocket.drained`.
    Raises OSError where an address cannot be bound.
    """
    gateway = Gateway(
        socket_handler=socket_handler,
        http_handler=http_handler,
        gate=gate,
        http_limits=http_limits or HttpLimits(head_timeout_s=open_timeout_s),
        connections_max=connections_max,
        open_timeout_s=open_timeout_s,
        ping_interval_s=ping_interval_s,
        ping_timeout_s=ping_timeout_s,
        close_timeout_s=close_timeout_s,
    )
    options = _library_options(gateway) | {
        "max_size": frame_max,
        "max_queue": queue_max,
        "write_limit": (write_high, write_low),
        "backlog": backlog,
    }
    bound = bind_unix(unix) if unix is not None else None
    servers: list[Server] = []
    try:
        if tcp is not None:
            servers.append(await serve(_converse, tcp[0], tcp[1], **options, **_tls_options(ssl, gateway)))
        if bound is not None:
            servers.append(await unix_serve(_converse, None, sock=bound.sock, **options))
    except OSError:
        await Listener(gateway, servers, bound).close()
        raise
    return Listener(gateway, servers, bound)


def _library_options(gateway: Gateway) -> dict[str, Any]:
    return {
        "create_connection": functools.partial(Connection, gateway=gateway),
        "origins": [None],  # behind our own refusal, in case that should ever be passed by
        "select_subprotocol": _select_subprotocol,
        "compression": None,
        "open_timeout": None,  # ours covers the head and the handshake, not the HTTP that may follow
        "ping_interval": None,  # ours knows when it is we who do not read
        "close_timeout": gateway.close_timeout_s,
        "logger": _library_log,
    }


def _tls_options(context: tls.SSLContext | None, gateway: Gateway) -> dict[str, Any]:
    if context is None:
        return {}
    return {
        "ssl": context,
        "ssl_handshake_timeout": gateway.open_timeout_s,
        "ssl_shutdown_timeout": gateway.close_timeout_s,
    }


async def _converse(connection: ServerConnection) -> None:
    assert isinstance(connection, Connection)
    await connection.converse()


async def _wait(tasks: set[asyncio.Task[None]], timeout_s: float) -> set[asyncio.Task[None]]:
    """Wait for tasks; returns those that are not done in time."""
    if not tasks:
        return tasks
    _done, left = await asyncio.wait(tasks, timeout=timeout_s)
    return left


def _select_subprotocol(_connection: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    if not offered:
        return None
    if SUBPROTOCOL in offered:
        return SUBPROTOCOL
    raise NegotiationError(f"the subprotocol spoken here is {SUBPROTOCOL}")
