"""The ledger file's tables, as numbered steps that are recorded in the file.

Duty: bring any older file to the newest number, each step in one transaction with its number.
Must not know: what the rows mean to anyone.

1. A step that was released is never edited; a change is a new step at the end.
2. The file's `user_version` is the number of steps it has seen; one of a newer number is refused.
3. Rows of events lie in commit order; every index that is written for each action begins with an id that
   rises with time, so that many workspaces in one file do not touch a page each.
"""

from __future__ import annotations

import sqlite3
from typing import Final

from server.ledger.port import LedgerDamaged

APPLICATION_ID: Final = 0x4F42454C
"""`OBEL`, in the file's header: a database of something else is not taken for a ledger."""

_FIRST: Final = (
    """
    CREATE TABLE openings (
        only INTEGER PRIMARY KEY CHECK (only = 1),
        count INTEGER NOT NULL
    ) STRICT
    """,
    "INSERT INTO openings (only, count) VALUES (1, 0)",
    """
    CREATE TABLE workspaces (
        key INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        workspace_id TEXT NOT NULL UNIQUE,
        created_at TEXT NOT NULL
    ) STRICT
    """,
    """
    CREATE TABLE events (
        position INTEGER PRIMARY KEY,
        workspace INTEGER NOT NULL,
        seq INTEGER NOT NULL CHECK (seq > 0),
        event_id TEXT NOT NULL,
        type TEXT NOT NULL,
        event TEXT NOT NULL
    ) STRICT
    """,
    "CREATE UNIQUE INDEX events_by_seq ON events (workspace, seq)",
    "CREATE UNIQUE INDEX events_by_id ON events (event_id, workspace)",
    # The ids of an action's events are those of its seqs: kept once, in `events`.
    """
    CREATE TABLE outcomes (
        client_action_id TEXT NOT NULL,
        workspace INTEGER NOT NULL,
        actor TEXT NOT NULL,
        status TEXT NOT NULL CHECK (status IN ('applied', 'rejected')),
        digest BLOB NOT NULL,
        first_seq INTEGER,
        seq INTEGER,
        code TEXT,
        message TEXT,
        field TEXT,
        PRIMARY KEY (client_action_id, workspace, actor)
    ) STRICT, WITHOUT ROWID
    """,
    """
    CREATE TABLE entity_ids (
        entity_id TEXT NOT NULL,
        workspace INTEGER NOT NULL,
        PRIMARY KEY (entity_id, workspace)
    ) STRICT, WITHOUT ROWID
    """,
    """
    CREATE TABLE segments (
        position INTEGER PRIMARY KEY,
        workspace INTEGER NOT NULL,
        message_id TEXT NOT NULL,
        "offset" INTEGER NOT NULL,
        text TEXT NOT NULL
    ) STRICT
    """,
    "CREATE INDEX segments_by_message ON segments (workspace, message_id)",
    """
    CREATE TABLE agenda (
        workspace INTEGER PRIMARY KEY,
        waits INTEGER NOT NULL,
        due_at TEXT
    ) STRICT
    """,
    """
    CREATE TABLE tokens (
        position INTEGER PRIMARY KEY,
        token_hash BLOB NOT NULL UNIQUE,
        token_id TEXT NOT NULL UNIQUE,
        kind TEXT NOT NULL CHECK (kind IN ('actor', 'gateway', 'metrics')),
        actor TEXT,
        created_at TEXT NOT NULL,
        revoked_at TEXT
    ) STRICT
    """,
    f"PRAGMA application_id = {APPLICATION_ID}",
)

MIGRATIONS: Final[tuple[tuple[str, ...], ...]] = (_FIRST,)
"""Step n brings a file from number n to n + 1."""


def identify(connection: sqlite3.Connection, newest: int = len(MIGRATIONS)) -> int:
    """The number of steps that the file has seen; 0 for an empty one. It is only read.

    Raises `LedgerDamaged` for a file that is not ours to change, or of a number above `newest`.
    """
    # One snapshot: between two statements another process may make the whole file.
    connection.execute("BEGIN")
    try:
        return _number(connection, newest)
    finally:
        connection.execute("ROLLBACK")


def migrate(connection: sqlite3.Connection, migrations: tuple[tuple[str, ...], ...] = MIGRATIONS) -> None:
    """Bring the file to the newest number; raises as `identify` does."""
    while identify(connection, len(migrations)) < len(migrations):
        connection.execute("BEGIN IMMEDIATE")
        try:
            # Another process may have done this step while we waited for the lock.
            number = _number(connection, len(migrations))
            if number < len(migrations):
                _step(connection, number, migrations[number])
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


def _step(connection: sqlite3.Connection, number: int, statements: tuple[str, ...]) -> None:
    for statement in statements:
        connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {number + 1}")


def _number(connection: sqlite3.Connection, newest: int) -> int:
    (number,) = connection.execute("PRAGMA user_version").fetchone()
    (application_id,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if application_id != APPLICATION_ID and (tables or number or application_id):
        raise LedgerDamaged("the file is a database, but not a ledger of this program")
    if number > newest:
        raise LedgerDamaged(
            f"the ledger is of format {number}, this version reads up to {newest}: use the newer version"
        )
    return int(number)
