"""Commands on a data folder, whether or not a server runs on it.

Duty: reach the one writer (a running server over its control socket, else this process), and check ledgers.
Must not know: the command line's words, frames.

1. A command writes only while it holds the folder's lock; else it asks the process that does.
2. `verify` only reads, and may run beside a server.
3. A workspace is sound where its events follow each other, each has the outcome of its action beside it, and
   the digest that is kept is that of the state.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from protocol import codec
from protocol.errors import UpcastError
from protocol.reduce import reduce
from protocol.state import INITIAL, State, recomputed
from server.admin import Admin, AdminError, ControlRoutes
from server.clock import SystemClock, SystemIds
from server.folder import DataFolder, FolderError, FolderInUse, existing, prepare
from server.gateway.http1 import Request
from server.gateway.peer import Peer
from server.ledger.commit import CommitQueue
from server.ledger.port import EventRow, Ledger, LookUp, Outcome, WorkspaceRow
from server.ledger.sqlite import SqliteLedger
from server.registry import Registry
from server.replay import Origin, origin_of

_TRIES = 50
_PATIENCE_S = 0.1


async def with_admin(data: Path, method: str, path: str, body: object = None) -> object:
    """Ask the control routes of a folder; the JSON that they answer. AdminError with their words."""
    folder = prepare(data)
    for _ in range(_TRIES):
        try:
            return await _in_process(folder, method, path, body)
        except FolderInUse:
            answer = await asyncio.to_thread(_over_control, folder, method, path, body)
            if answer is not None:
                return _checked(*answer)
        # Whoever holds the lock has no control socket (yet): a server that starts, or another command.
        await asyncio.sleep(_PATIENCE_S)
    raise FolderError(f"the data folder {folder.path} is in use and its server does not answer; try again")


async def _in_process(folder: DataFolder, method: str, path: str, body: object) -> object:
    with folder.locked():
        async with _admin(folder) as admin:
            peer = Peer(kind="unix", address="", uid=os.getuid(), secure=True)
            request = Request(method, path, {}, {}, msgspec.json.encode(body), peer)
            answer = await ControlRoutes(admin)(request)
    return _checked(answer.status, answer.body)


@asynccontextmanager
async def _admin(folder: DataFolder) -> AsyncIterator[Admin]:
    clock, fresh_ids = SystemClock(), SystemIds()
    ledger = await SqliteLedger.open(folder.ledger)
    try:
        commits = CommitQueue(ledger)
        registry = Registry(ledger, commits, clock=clock, fresh_ids=fresh_ids)
        yield Admin(registry, clock, fresh_ids)
        await registry.close()
        await commits.close()
    finally:
        await ledger.close()


class _ControlConnection(http.client.HTTPConnection):
    """HTTP over the control socket, reached by a short name: a socket's path may have about 100 bytes."""

    def __init__(self, folder: DataFolder) -> None:
        super().__init__("control")
        self._folder = folder

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        before = Path.cwd()
        os.chdir(self._folder.path)
        try:
            self.sock.connect(self._folder.control.name)
        finally:
            os.chdir(before)


def _over_control(folder: DataFolder, method: str, path: str, body: object) -> tuple[int, bytes] | None:
    """The answer of the server that holds the folder; None where none listens."""
    connection = _ControlConnection(folder)
    try:
        connection.request(method, path, json.dumps(body))
        response = connection.getresponse()
        return response.status, response.read()
    except (FileNotFoundError, ConnectionError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def _checked(status: int, body: bytes) -> object:
    value = msgspec.json.decode(body)
    if status != 200:
        raise AdminError(str(value.get("message", f"the server answered {status}")))
    return value


class Report(msgspec.Struct, frozen=True):
    """What `verify` found of one workspace; `line` is for a person."""

    sound: bool
    line: str


async def verify(data: Path) -> list[Report]:
    """Rebuild every workspace from its ledger and compare."""
    folder = existing(data)
    ledger = await SqliteLedger.open_for_reading(folder.ledger)
    try:
        return [await _verified(ledger, row) for row in await ledger.workspaces()]
    finally:
        await ledger.close()


async def _verified(ledger: Ledger, row: WorkspaceRow) -> Report:
    state, seq, last_id = INITIAL, 0, ""
    while seq < row.seq:
        rows = await ledger.read(row.key, seq, 1_000)
        if not rows:
            return Report(False, f"{row.name}: the ledger ends at seq {seq}, its head says {row.seq}")
        outcomes = await _outcomes_of(ledger, row, rows)
        for event_row in rows:
            problem, state = _next(event_row, seq, last_id, state)
            if problem is None and not _is_settled(event_row, outcomes):
                problem = "the outcome of its action is not that of its events"
            if problem:
                return Report(False, f"{row.name}: seq {seq + 1}: {problem}")
            seq, last_id = event_row.seq, event_row.event_id
    if recomputed(state) != state.digest:
        return Report(False, f"{row.name}: the digest that was kept is not that of the state")
    return Report(True, f"{row.name}: {seq} events, digest {state.digest_hex}")


def _next(row: EventRow, seq: int, last_id: str, state: State) -> tuple[str | None, State]:
    if row.seq != seq + 1:
        return f"the next event has seq {row.seq}", state
    try:
        event = codec.decode_event(row.data)
    except UpcastError as error:
        return str(error), state
    if (event.seq, event.event_id, event.type) != (row.seq, row.event_id, row.type):
        return "the row and its event differ", state
    if event.event_id <= last_id:
        return "the event id does not rise", state
    return None, reduce(state, event)


_Outcomes = dict[Origin, Outcome | None]


async def _outcomes_of(ledger: Ledger, workspace: WorkspaceRow, rows: Sequence[EventRow]) -> _Outcomes:
    """What is stored of the actions of a page; of what cannot be read, nothing."""
    origins: dict[Origin, None] = {}
    for row in rows:
        with contextlib.suppress(msgspec.DecodeError):
            origins[origin_of(row.data)] = None
    asked = [LookUp(workspace.key, one.actor, one.client_action_id) for one in origins]
    found = await ledger.look_up(asked)
    return {origin: one.outcome for origin, one in zip(origins, found, strict=True)}


def _is_settled(row: EventRow, outcomes: _Outcomes) -> bool:
    outcome = outcomes.get(origin_of(row.data))
    return outcome is not None and outcome.status == "applied" and row.event_id in outcome.event_ids
