"""The writing end of the SQLite ledger: one connection, plain synchronous calls, one transaction at a time.

Duty: open the file so that a commit is durable, and write whole batches.
Must not know: asyncio and threads; whoever owns it calls it from one thread.

1. WAL with synchronous=FULL, both read back: a file that cannot be so is not opened.
2. The file is made for its owner alone, and its name is durable before anyone is told that it is open.
3. A transaction that raised anything but a conflict leaves the connection closed to further writes: an fsync
   that failed once may succeed the next time without having written.
4. SQLite may have rolled back by itself: `in_transaction` is asked before a rollback.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import quote

import msgspec

from server.ledger.migrations import MIGRATIONS, identify, migrate
from server.ledger.port import (
    Batch,
    LedgerConflict,
    LedgerDamaged,
    LedgerError,
    LedgerUnavailable,
    Record,
    check_record,
)

T = TypeVar("T")

busy_timeout_s: Final = 5.0
"""How long a transaction waits for one of another process before the ledger counts as unavailable."""

_HEADS: Final = """
    SELECT key, (SELECT coalesce(max(seq), 0) FROM events WHERE workspace = key)
    FROM workspaces WHERE key IN (SELECT value FROM json_each(?))
"""
# The event's bytes are bound as they are and lie there as text for people; nothing is decoded in between.
_EVENT: Final = """
    INSERT INTO events (workspace, seq, event_id, type, event) VALUES (?, ?, ?, ?, CAST(? AS TEXT))
"""
_OUTCOME: Final = """
    INSERT INTO outcomes
    (client_action_id, workspace, actor, status, digest, first_seq, seq, code, message, field)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_ENTITY: Final = "INSERT INTO entity_ids (entity_id, workspace) VALUES (?, ?)"
_SEGMENT: Final = 'INSERT INTO segments (workspace, message_id, "offset", text) VALUES (?, ?, ?, ?)'
_SEAL: Final = "DELETE FROM segments WHERE workspace = ? AND message_id = ?"
_AGENDA_SET: Final = "INSERT OR REPLACE INTO agenda (workspace, waits, due_at) VALUES (?, ?, ?)"
_AGENDA_REMOVE: Final = "DELETE FROM agenda WHERE workspace = ?"

_ADVICE: Final = {
    sqlite3.SQLITE_CORRUPT: "restore it from a backup",
    sqlite3.SQLITE_NOTADB: "give another data folder",
    sqlite3.SQLITE_FULL: "free some space on the disk",
    sqlite3.SQLITE_BUSY: "another process is writing to it",
    sqlite3.SQLITE_READONLY: "check the owner and the permissions of the file and its folder",
    sqlite3.SQLITE_CANTOPEN: "check the owner and the permissions of the file and its folder",
}


class Writer:
    """The one connection that writes. Open it, `transact` on it, close it, all on one thread."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.flushes = 0
        self._connection: sqlite3.Connection | None = None

    def open(self) -> None:
        """Open the file, making it where it is not there, and prove that it can be written.

        Raises `LedgerUnavailable` where folder or disk refuse, `LedgerDamaged` for what is no ledger.
        """
        assert self._connection is None, "opened twice"
        try:
            _create(self.path)
            connection = self.connect()
            try:
                identify(connection)  # before anything in it is changed
                _make_durable(connection)
                migrate(connection)
                self._connection = connection
                self.transact(_count_opening)
                _fsync_folder(self.path.parent)
            except BaseException:
                self._connection = None
                connection.close()
                raise
        except (sqlite3.Error, OSError, LedgerError) as error:
            raise named(self.path, error) from error

    def inspect(self) -> None:
        """See that the file is a ledger of today's format, and change nothing. Raises as `open` does."""
        try:
            connection = self.connect()
            try:
                number = identify(connection)
            finally:
                connection.close()
        except (sqlite3.Error, LedgerError) as error:
            raise named(self.path, error) from error
        if number < len(MIGRATIONS):
            raise LedgerUnavailable(f"{self.path} is of an older format; start the server on it once")

    def connect(self) -> sqlite3.Connection:
        """A connection in autocommit mode: every transaction is begun by name. Never makes the file."""
        return sqlite3.connect(address(self.path), timeout=busy_timeout_s, isolation_level=None, uri=True)

    def transact(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """What `work` gives, made durable; on any error nothing of it is visible (invariants 3 and 4)."""
        connection = self._connection
        if connection is None:
            raise LedgerUnavailable("the ledger is closed, or must be reopened after an error")
        try:
            connection.execute("BEGIN IMMEDIATE")
            result = work(connection)
            connection.execute("COMMIT")
        except sqlite3.IntegrityError as error:
            # Raised by a statement, never by COMMIT: there is no deferred constraint. So: not written.
            self._roll_back(connection)
            raise LedgerConflict(f"already there: {error}") from error
        except sqlite3.Error as error:
            self.close()
            raise named(self.path, error) from error
        except BaseException:  # a conflict, or a bug in `work`
            self._roll_back(connection)
            raise
        self.flushes += 1
        return result

    def close(self) -> None:
        """Close the connection; a transaction that is open is rolled back by it."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _roll_back(self, connection: sqlite3.Connection) -> None:
        try:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            self.close()
            raise named(self.path, error) from error


def write_batch(connection: sqlite3.Connection, batch: Batch) -> None:
    """Write all rows of `batch` inside the transaction that is open."""
    _check_heads(connection, batch.records)
    if batch.segments:
        connection.executemany(
            _SEGMENT, [(s.workspace, s.message_id, s.offset, s.text) for s in batch.segments]
        )
    connection.executemany(_EVENT, _event_rows(batch.records))
    connection.executemany(_OUTCOME, map(_outcome_row, batch.records))
    connection.executemany(_ENTITY, [(e, r.workspace) for r in batch.records for e in r.entity_ids])
    for record in batch.records:
        if record.sealed_streams:
            connection.executemany(_SEAL, [(record.workspace, m) for m in record.sealed_streams])
        if record.agenda is not None:
            _write_agenda(connection, record)


def address(path: Path) -> str:
    """The URI that opens `path` and never makes it: whoever makes it says with which permissions."""
    return f"file:{quote(str(path))}?mode=rw"


def named(path: Path, error: Exception) -> LedgerError:
    """The ledger's own error for `error`, in one sentence that names the file and what to do."""
    match error:
        case LedgerDamaged():
            return LedgerDamaged(f"{path}: {error}")
        case LedgerError():
            return error
        case OSError():
            return LedgerUnavailable(f"{path}: {error.strerror}; check the folder, its owner and permissions")
        case _:
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            kind = (
                LedgerDamaged
                if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
                else LedgerUnavailable
            )
            return kind(f"{path}: {error}; {_ADVICE.get(code, 'see the log of the operating system')}")


def _create(path: Path) -> None:
    """Make an empty file for its owner alone. An existing one is not even opened: closing a descriptor of a
    file that SQLite has open in this process would drop SQLite's locks on it (POSIX)."""
    if not path.exists():
        with contextlib.suppress(FileExistsError):  # another process was faster, which is as good
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


def _make_durable(connection: sqlite3.Connection) -> None:
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    connection.execute("PRAGMA synchronous = FULL")
    # Where an fsync may stop at the disk's own cache (macOS), ask for the real one; no-op elsewhere.
    connection.execute("PRAGMA fullfsync = ON")
    (synchronous,) = connection.execute("PRAGMA synchronous").fetchone()
    (mode_now,) = connection.execute("PRAGMA journal_mode").fetchone()
    if (mode, mode_now, synchronous) != ("wal", "wal", 2):
        raise LedgerUnavailable(
            f"the file system gives journal mode {mode_now} and synchronous {synchronous}, not WAL and FULL"
        )


def _fsync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _count_opening(connection: sqlite3.Connection) -> None:
    connection.execute("UPDATE openings SET count = count + 1")


def _check_heads(connection: sqlite3.Connection, records: tuple[Record, ...]) -> None:
    """Every record stands on its workspace's head: the file's, moved on by the records before it."""
    keys = msgspec.json.encode({record.workspace for record in records}).decode()
    heads: dict[int, int] = dict(connection.execute(_HEADS, (keys,)))
    for record in records:
        check_record(record)
        head = heads.get(record.workspace)
        if head != record.expected_seq:
            raise LedgerConflict(
                f"workspace {record.workspace} is at seq {head}, not at {record.expected_seq}"
            )
        heads[record.workspace] = head + len(record.events)


def _event_rows(records: tuple[Record, ...]) -> Iterator[tuple[int, int, str, str, bytes]]:
    for record in records:
        for event in record.events:
            yield record.workspace, event.seq, event.event_id, event.type, event.data


def _outcome_row(record: Record) -> tuple[object, ...]:
    made = record.outcome
    who = (record.client_action_id, record.workspace, record.actor)
    return (*who, made.status, made.digest, made.first_seq, made.seq, made.code, made.message, made.field)


def _write_agenda(connection: sqlite3.Connection, record: Record) -> None:
    agenda = record.agenda
    if agenda is None or agenda.is_empty:
        connection.execute(_AGENDA_REMOVE, (record.workspace,))
    else:
        connection.execute(_AGENDA_SET, (record.workspace, agenda.waits, agenda.due_at))
