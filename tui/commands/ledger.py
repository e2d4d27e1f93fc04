"""What the link does not bring, over plain HTTP: the events of a stored outcome, and older events.

Duty: two GET requests of the contract, as events.
Must not know: what they are for.

1. Errors are translated here, once: `Unread` with a sentence.
2. The token goes to the target's own host, and to nobody else: no redirect is followed.
"""

from __future__ import annotations

import asyncio
import http.client
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlsplit

import msgspec

from protocol.client.target import Target
from protocol.codec import decode_event
from protocol.errors import UpcastError
from protocol.events import Event

TIMEOUT_S: Final = 10.0
PAGE_EVENTS: Final = 1_000


class Unread(Exception):  # noqa: N818  says what happened, as it reads at the raise
    """The server did not give what was asked; `status` where it answered."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Ledger:
    """The ledger of a target's workspace, to be read."""

    target: Target

    async def outcome(self, client_action_id: str) -> tuple[Event, ...]:
        """The events that an action of ours gave, whenever that was. Unread (404) where none is stored."""
        body = await self._get(f"/actions/{quote(client_action_id, safe='')}")
        return tuple(_event(raw) for raw in _decoded(body).events)

    async def events(self, after: int | str, limit: int = PAGE_EVENTS) -> tuple[Event, ...]:
        """The events after a seq or an event id, oldest first. Unread (404) for an id it does not hold."""
        body = await self._get(f"/events?after={quote(str(after), safe='')}&limit={limit}")
        return tuple(_event(line) for line in body.splitlines() if line)

    async def _get(self, path: str) -> bytes:
        return await asyncio.to_thread(_fetched, self.target, path)


class _Outcome(msgspec.Struct, frozen=True):
    events: tuple[msgspec.Raw, ...] = ()


def _decoded(body: bytes) -> _Outcome:
    try:
        return msgspec.json.decode(body, type=_Outcome)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Unread("The server's answer cannot be read.") from error


def _event(data: bytes | msgspec.Raw) -> Event:
    try:
        return decode_event(data)
    except UpcastError as error:
        raise Unread("The server sent an event that cannot be read.") from error


def _fetched(target: Target, path: str) -> bytes:
    parts = urlsplit(target.uri)
    connection = _connection(target, parts.scheme, parts.hostname or "localhost", parts.port)
    try:
        connection.request("GET", parts.path + path, headers=_headers(target.headers))
        response = connection.getresponse()
        body = response.read()
    except (OSError, http.client.HTTPException) as error:
        raise Unread(f"The server cannot be read: {error}.") from error
    finally:
        connection.close()
    if response.status != 200:
        raise Unread(f"The server answers {response.status}.", response.status)
    return body


def _headers(headers: Mapping[str, str]) -> dict[str, str]:
    return {**headers, "Connection": "close"}


def _connection(target: Target, scheme: str, host: str, port: int | None) -> http.client.HTTPConnection:
    if target.unix is not None:
        return _UnixConnection(target.unix)
    if scheme == "wss":
        return http.client.HTTPSConnection(host, port, timeout=TIMEOUT_S)
    return http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(TIMEOUT_S)
        self.sock.connect(str(self._path))
