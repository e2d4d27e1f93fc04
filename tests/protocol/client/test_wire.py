"""The wire translates what goes wrong, once."""

from __future__ import annotations

import asyncio
import socket
import struct

import pytest

from protocol.client.errors import CannotReach
from protocol.client.target import Target
from protocol.client.wire import dial


async def test_a_server_that_hangs_up_at_once_cannot_be_reached() -> None:
    """Whenever a reset comes, before or within the handshake, trying again makes sense."""

    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Without lingering the kernel resets.
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        for _ in range(50):
            with pytest.raises(CannotReach):
                await dial(Target(workspace="home", url=f"ws://127.0.0.1:{port}"))


async def test_a_connection_that_ends_before_the_request_is_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library has another exception for it than for all else that goes wrong with a handshake."""
    from websockets.exceptions import ConnectionClosedError

    async def connect(**_: object) -> None:
        raise ConnectionClosedError(None, None)

    monkeypatch.setattr("websockets.asyncio.client.connect", connect)
    with pytest.raises(CannotReach):
        await dial(Target(workspace="home", url="ws://127.0.0.1:1"))
