"""The numbered steps of the ledger file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from server.ledger.migrations import APPLICATION_ID, MIGRATIONS, migrate
from server.ledger.port import LedgerDamaged

NEXT = ("ALTER TABLE workspaces ADD COLUMN colour TEXT", "UPDATE workspaces SET colour = 'blue'")
BROKEN = ("ALTER TABLE workspaces ADD COLUMN size TEXT", "SELECT nothing FROM nowhere")


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)
    yield connection
    connection.close()


def schema(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    return connection.execute("SELECT name, sql FROM sqlite_schema ORDER BY name").fetchall()


def number(connection: sqlite3.Connection) -> int:
    return connection.execute("PRAGMA user_version").fetchone()[0]


@pytest.mark.parametrize("start", range(len(MIGRATIONS) + 1))
def test_every_number_reaches_the_newest(connection: sqlite3.Connection, start: int) -> None:
    """From each number that ever was, the file ends with the newest number and the same tables."""
    migrate(connection, MIGRATIONS[:start])
    assert number(connection) == start
    migrate(connection)
    assert number(connection) == len(MIGRATIONS)
    with sqlite3.connect(":memory:", isolation_level=None) as fresh:
        migrate(fresh)
        assert schema(connection) == schema(fresh)
    fresh.close()


def test_a_step_keeps_the_rows(connection: sqlite3.Connection) -> None:
    """A later step changes a file in place; the rows that it had are still there."""
    migrate(connection)
    connection.execute("INSERT INTO workspaces (name, workspace_id, created_at) VALUES ('home', 'w', 'now')")
    migrate(connection, (*MIGRATIONS, NEXT))
    assert connection.execute("SELECT name, colour FROM workspaces").fetchall() == [("home", "blue")]
    assert number(connection) == len(MIGRATIONS) + 1


def test_a_step_that_fails_leaves_the_file_as_it_was(connection: sqlite3.Connection) -> None:
    """A step is one transaction with its number: what came before stays, nothing of it does."""
    with pytest.raises(sqlite3.OperationalError):
        migrate(connection, (*MIGRATIONS, NEXT, BROKEN))
    assert number(connection) == len(MIGRATIONS) + 1
    assert not connection.in_transaction
    columns = [row[1] for row in connection.execute("PRAGMA table_info(workspaces)")]
    assert "colour" in columns
    assert "size" not in columns


def test_a_newer_file_is_refused(connection: sqlite3.Connection) -> None:
    """A file of a number that this version does not know is left alone, with a sentence that says so."""
    migrate(connection, (*MIGRATIONS, NEXT))
    newest = len(MIGRATIONS)
    sentence = f"is of format {newest + 1}, this version reads up to {newest}: use the newer version"
    with pytest.raises(LedgerDamaged, match=sentence):
        migrate(connection)
    assert number(connection) == len(MIGRATIONS) + 1


@pytest.mark.parametrize(
    "statement",
    ["CREATE TABLE songs (title TEXT)", "PRAGMA user_version = 7", "PRAGMA application_id = 7"],
)
def test_another_programs_file_is_refused(connection: sqlite3.Connection, statement: str) -> None:
    """A database that is not a ledger is not made into one."""
    connection.execute(statement)
    with pytest.raises(LedgerDamaged, match="not a ledger"):
        migrate(connection)


def test_the_file_says_what_it_is(connection: sqlite3.Connection) -> None:
    """The application id is in the header, and every table is STRICT."""
    migrate(connection)
    assert connection.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
    tables = connection.execute("SELECT name, strict FROM pragma_table_list WHERE schema = 'main'").fetchall()
    assert {name for name, strict in tables if not strict} == {"sqlite_schema"}
