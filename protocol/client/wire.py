"""A WebSocket, and what goes wrong with one as the client's own errors.

Duty: open the connection as the contract wants it, carry text messages, translate errors once.
Must not know: frames, what a message means, when to try again.

1. Nothing of the WebSocket library leaves this module: `CannotReach`, `Stopped` and `LinkClosed` are all
   there is.
2. No compression, no pings of its own: `head` and the session's deadlines tell when a peer is gone.
3. The library logs headers when it debugs, so it is never given a logger that does.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

from protocol import SUBPROTOCOL, VERSION, limits
from protocol.client.errors import CannotReach, LinkClosed, Stopped, stopped_by_status
from protocol.client.target import Target

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection
    from websockets.exceptions import ConnectionClosed

OPEN_WAIT_S: Final = 10.0
CLOSE_WAIT_S: Final = 1.0
MESSAGE_BYTES_MAX: Final = 128 * limits.MIB
"""Far over any frame: one action's events may be as large as a batch of 200 whole tasks."""
RETRIED_STATUSES: Final = frozenset({408, 425, 429})
"""HTTP statuses below 500 that pass by themselves."""


class Wire(Protocol):
    """An open connection that carries messages."""

    async def send(self, data: bytes) -> None:
        """Send a text message; LinkClosed where it is over. Waits while the peer does not read."""

    async def receive(self) -> bytes:
        """The next message; LinkClosed where there is none any more."""

    async def close(self) -> None:
        """Close it, politely where the peer still answers."""


Dial = Callable[[Target], Awaitable[Wire]]
"""Opens a connection. CannotReach where trying again makes sense, Stopped where it does not."""


class WebSocketWire:
    """A wire on the `websockets` library."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection

    async def send(self, data: bytes) -> None:
        from websockets.exceptions import ConnectionClosed

        try:
            await self._connection.send(data, text=True)
        except ConnectionClosed as error:
            raise _closed(error) from error

    async def receive(self) -> bytes:
        from websockets.exceptions import ConnectionClosed

        try:
            return await self._connection.recv(decode=False)
        except ConnectionClosed as error:
            raise _closed(error) from error

    async def close(self) -> None:
        await self._connection.close()


async def dial(target: Target) -> Wire:
    """A connection to the target's workspace."""
    from websockets.asyncio.client import connect, unix_connect
    from websockets.exceptions import (
        ConnectionClosed,
        InvalidHandshake,
        InvalidProxy,
        InvalidStatus,
        InvalidURI,
    )

    opener: Callable[..., Awaitable[ClientConnection]] = connect
    if target.unix is not None:
        opener = partial(unix_connect, str(target.unix))
    log = logging.getLogger("obelisk.client.websockets")
    log.setLevel(logging.WARNING)
    try:
        connection = await opener(
            uri=target.uri,
            additional_headers=target.headers,
            user_agent_header=f"obelisk/{VERSION}",
            subprotocols=[SUBPROTOCOL],
            compression=None,
            ping_interval=None,
            open_timeout=OPEN_WAIT_S,
            close_timeout=CLOSE_WAIT_S,
            max_size=MESSAGE_BYTES_MAX,
            proxy=None if target.is_local else True,
            logger=log,
        )
    except InvalidStatus as error:
        raise _refused(error.response.status_code) from error
    except InvalidURI as error:
        raise Stopped(None, f"{target.place} is no address.") from error
    except (InvalidProxy, ImportError) as error:
        raise Stopped(None, f"The proxy that is set here cannot be used: {error}.") from error
    except InvalidHandshake as error:
        raise CannotReach("What answers there does not speak as an Obelisk server.") from error
    except ConnectionClosed as error:
        raise CannotReach("The connection was lost while it was being opened.") from error
    except TimeoutError as error:
        raise CannotReach("The server does not answer.") from error
    except OSError as error:
        raise CannotReach(f"The server cannot be reached: {error.strerror or error}.") from error
    return WebSocketWire(connection)


def _refused(status: int) -> CannotReach | Stopped:
    if status >= 500 or status in RETRIED_STATUSES:
        return CannotReach(f"The server is busy or being restarted ({status}).")
    return stopped_by_status(status)


def _closed(error: ConnectionClosed) -> LinkClosed:
    """What the peer said, else what this end found wrong with the peer, else that it is just gone."""
    close = error.rcvd or error.sent
    return LinkClosed(close.code, close.reason) if close else LinkClosed(1006, "")
