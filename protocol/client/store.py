"""The cache file: an outbox that must not be lost, and the last confirmed state, which may.

Duty: SQLite tables, one transaction for a list of changes, what a damaged file still holds.
Must not know: asyncio, links, when something is saved. Runs in one thread at a time.

1. What `write` was given is on the disk when it returns (WAL, synchronous FULL, read back at the start).
2. A cursor never runs ahead of what is stored: events and cursor are one row, a settled action goes in the
   same transaction as the event that settled it.
3. `outbox` and `rejected` outlive everything: the other tables are dropped when their layout or the reducer
   changes.
4. The file is readable by its owner only.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, assert_never

import msgspec

from protocol import REDUCER_VERSION
from protocol.codec import decode_event, decode_state, encode_event, encode_state
from protocol.errors import Refused, RejectCode, UpcastError, WireError
from protocol.events import Event, Head
from protocol.reduce import fold
from protocol.replica import Pending, Rejected, restored
from protocol.state import INITIAL, State

LAYOUT: Final = 1
"""Of the tables that may be dropped."""

_KEPT: Final = """
CREATE TABLE IF NOT EXISTS outbox (
    place INTEGER PRIMARY KEY AUTOINCREMENT,
    client_action_id TEXT NOT NULL UNIQUE,
    type TEXT NOT NULL,
    payload BLOB NOT NULL,
    actor TEXT NOT NULL,
    workspace_id TEXT NOT NULL,
    queued_at TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS rejected (
    client_action_id TEXT PRIMARY KEY,
    type TEXT NOT NULL,
    payload BLOB NOT NULL,
    code TEXT NOT NULL,
    message TEXT NOT NULL,
    field TEXT,
    rejected_at TEXT NOT NULL
) STRICT;
"""
_DROPPABLE: Final = """
DROP TABLE IF EXISTS base;
DROP TABLE IF EXISTS tail;
DROP TABLE IF EXISTS identity;
CREATE TABLE base (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    seq INTEGER NOT NULL,
    event_id TEXT,
    digest TEXT NOT NULL,
    state BLOB NOT NULL
) STRICT;
CREATE TABLE tail (seq INTEGER PRIMARY KEY, event BLOB NOT NULL) STRICT;
CREATE TABLE identity (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    workspace_id TEXT NOT NULL,
    actor TEXT NOT NULL
) STRICT;
"""
_DAMAGE: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


class Queued(msgspec.Struct, frozen=True):
    """An action entered the outbox."""

    pending: Pending


class Advance(msgspec.Struct, frozen=True):
    """Events were confirmed, and settled these actions; either may be empty."""

    events: tuple[Event, ...]
    settled: tuple[str, ...]


class Rebase(msgspec.Struct, frozen=True):
    """The confirmed state as a whole, and the actions that it settled."""

    state: State
    head: Head
    settled: tuple[str, ...] = ()


class Refusal(msgspec.Struct, frozen=True):
    """An action left the outbox because it was refused."""

    rejected: Rejected


class Dismissal(msgspec.Struct, frozen=True):
    """A person has seen a refusal."""

    client_action_id: str


class Identity(msgspec.Struct, frozen=True):
    """Whose workspace this is; actions that nobody owned yet are theirs."""

    workspace_id: str
    actor: str


Change = Queued | Advance | Rebase | Refusal | Dismissal | Identity


class Loaded(msgspec.Struct, frozen=True, kw_only=True):
    """What a file holds. `doubt` says why its state was not taken."""

    state: State = INITIAL
    head: Head = Head()
    tail_events: int = 0
    identity: Identity | None = None
    pending: tuple[Pending, ...] = ()
    rejected: tuple[Rejected, ...] = ()
    doubt: str | None = None


def is_damage(error: sqlite3.Error) -> bool:
    """Whether the file itself is broken, and not its surroundings."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in _DAMAGE


class Store:
    """One open file. Raises sqlite3.Error and OSError; `is_damage` tells which of them are the file's."""

    def __init__(self, path: Path) -> None:
        _made_private(path)
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            self._prepare()
        except sqlite3.Error:
            self._db.close()
            raise
        _sync_folder(path.parent)

    def _prepare(self) -> None:
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        level = self._db.execute("PRAGMA synchronous").fetchone()[0]
        assert level == 2, f"synchronous is {level}"
        version = LAYOUT * 1000 + REDUCER_VERSION
        self._db.executescript(_KEPT)
        if self._db.execute("PRAGMA user_version").fetchone()[0] != version:
            self._db.executescript(f"BEGIN;{_DROPPABLE}PRAGMA user_version = {version};COMMIT;")

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    # Out

    def load(self) -> Loaded:
        """Everything that the file holds."""
        pending, rejected = self.outbox(), self.rejected()
        identity = self._db.execute("SELECT workspace_id, actor FROM identity").fetchone()
        kept = Loaded(identity=Identity(*identity) if identity else None, pending=pending, rejected=rejected)
        try:
            state, head, tail_events = self._confirmed()
        except (WireError, UpcastError, _DoubtError) as error:
            self._forget()
            return msgspec.structs.replace(kept, doubt=str(error))
        return msgspec.structs.replace(kept, state=state, head=head, tail_events=tail_events)

    def outbox(self) -> tuple[Pending, ...]:
        """The actions that nobody has settled, in the order in which they were queued."""
        return tuple(_pending(row) for row in self._db.execute(_OUTBOX_ROWS))

    def rejected(self) -> tuple[Rejected, ...]:
        """The refusals that nobody has dismissed, oldest first."""
        return tuple(_rejected(row) for row in self._db.execute(_REJECTED_ROWS))

    def _confirmed(self) -> tuple[State, Head, int]:
        row = self._db.execute("SELECT seq, event_id, digest, state FROM base").fetchone()
        state, head = INITIAL, Head()
        if row is not None:
            state, head = decode_state([row[3]]), Head(row[0], row[1])
            if state.digest_hex != row[2]:
                raise _DoubtError("the stored state is not what was stored")
        events = [decode_event(data) for (data,) in self._db.execute("SELECT event FROM tail ORDER BY seq")]
        if any(event.seq != head.seq + place for place, event in enumerate(events, start=1)):
            raise _DoubtError("stored events are missing")
        if events:
            state, head = fold(state, events), Head(events[-1].seq, events[-1].event_id)
        return state, head, len(events)

    # In

    def write(self, changes: Sequence[Change]) -> None:
        """All of the changes, durable, or none."""
        with self._transaction():
            for change in changes:
                self._apply(change)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    def _apply(self, change: Change) -> None:
        match change:
            case Queued(pending):
                self._db.execute(_INSERT_OUTBOX, _outbox_row(pending))
            case Advance(events, settled):
                rows = ((event.seq, encode_event(event)) for event in events)
                self._db.executemany("INSERT OR REPLACE INTO tail VALUES (?, ?)", rows)
                self._settle(settled)
            case Rebase():
                self._rebase(change)
            case Refusal(rejected):
                self._settle((rejected.action.client_action_id,))
                self._db.execute(_INSERT_REJECTED, _rejected_row(rejected))
            case Dismissal(client_action_id):
                self._db.execute("DELETE FROM rejected WHERE client_action_id = ?", (client_action_id,))
            case Identity(workspace_id, actor):
                self._db.execute("INSERT OR REPLACE INTO identity VALUES (1, ?, ?)", (workspace_id, actor))
                self._db.execute(_BIND_OUTBOX, (workspace_id, actor))
            case unreachable:
                assert_never(unreachable)

    def _settle(self, client_action_ids: Sequence[str]) -> None:
        rows = ((one,) for one in client_action_ids)
        self._db.executemany("DELETE FROM outbox WHERE client_action_id = ?", rows)

    def _rebase(self, change: Rebase) -> None:
        head, state = change.head, change.state
        self._db.execute("DELETE FROM tail")
        self._db.execute(
            "INSERT OR REPLACE INTO base VALUES (1, ?, ?, ?, ?)",
            (head.seq, head.event_id, state.digest_hex, encode_state(state)),
        )
        self._settle(change.settled)

    def _forget(self) -> None:
        """Drop the confirmed state; the outbox and whose it is stay."""
        with self._transaction():
            self._db.execute("DELETE FROM base")
            self._db.execute("DELETE FROM tail")


class _DoubtError(Exception):
    """The stored state contradicts itself."""


def salvaged(path: Path) -> tuple[tuple[Pending, ...], tuple[Rejected, ...]]:
    """The outbox and the refusals that a damaged file still gives, row by row until one does not."""
    pending: list[Pending] = []
    rejected: list[Rejected] = []
    try:
        with contextlib.closing(sqlite3.connect(path)) as db:
            for row in db.execute(_OUTBOX_ROWS):
                pending.append(_pending(row))  # noqa: PERF401  what was read before the damage counts
            for row in db.execute(_REJECTED_ROWS):
                rejected.append(_rejected(row))  # noqa: PERF401
    except sqlite3.Error:
        return tuple(pending), tuple(rejected)
    return tuple(pending), tuple(rejected)


# Rows

_OUTBOX_ROWS: Final = (
    "SELECT type, client_action_id, payload, actor, workspace_id, queued_at FROM outbox ORDER BY place"
)
_INSERT_OUTBOX: Final = (
    "INSERT OR IGNORE INTO outbox (type, client_action_id, payload, actor, workspace_id, queued_at) "
    "VALUES (?, ?, ?, ?, ?, ?)"
)
_BIND_OUTBOX: Final = "UPDATE outbox SET workspace_id = ?, actor = ? WHERE actor = ''"
_REJECTED_ROWS: Final = (
    "SELECT type, client_action_id, payload, code, message, field, rejected_at FROM rejected "
    "ORDER BY rejected_at, rowid"
)
_INSERT_REJECTED: Final = (
    "INSERT OR REPLACE INTO rejected (type, client_action_id, payload, code, message, field, rejected_at) "
    "VALUES (?, ?, ?, ?, ?, ?, ?)"
)
OutboxRow = tuple[str, str, bytes, str, str, str]
RejectedRow = tuple[str, str, bytes, RejectCode, str, str | None, str]


def _pending(row: OutboxRow) -> Pending:
    action_type, client_action_id, payload, actor, workspace_id, queued_at = row
    return restored(
        action_type,
        client_action_id,
        payload,
        actor=actor,
        workspace_id=workspace_id,
        queued_at=queued_at,
    )


def _outbox_row(one: Pending) -> OutboxRow:
    return one.action.type, one.client_action_id, one.payload, one.actor, one.workspace_id, one.queued_at


def _rejected(row: RejectedRow) -> Rejected:
    action_type, client_action_id, payload, code, message, field, rejected_at = row
    read = restored(action_type, client_action_id, payload, actor="", workspace_id="", queued_at=rejected_at)
    return Rejected(
        action=read.action, payload=payload, refused=Refused(code, message, field), rejected_at=rejected_at
    )


def _rejected_row(one: Rejected) -> RejectedRow:
    refused, action = one.refused, one.action
    return (
        action.type,
        action.client_action_id,
        one.payload,
        refused.code,
        refused.message,
        refused.field,
        one.rejected_at,
    )


# The file


def _made_private(path: Path) -> None:
    """SQLite gives its side files the mode of the main one, so that is made first (invariant 4)."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    path.chmod(0o600)


def _sync_folder(folder: Path) -> None:
    """A new file is only there after a power cut when its folder was synced too."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
