"""The writing connection: how the file is made, what a failed transaction leaves."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from server.ledger.port import Batch, LedgerConflict, LedgerDamaged, LedgerUnavailable
from server.ledger.writer import Writer, address, write_batch
from tests.support.ledgers import chain, make_record


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@pytest.fixture
def writer(path: Path) -> Iterator[Writer]:
    writer = Writer(path)
    writer.open()
    writer.transact(add_home)
    yield writer
    writer.close()


def add_home(connection: sqlite3.Connection) -> None:
    connection.execute("INSERT INTO workspaces (name, workspace_id, created_at) VALUES ('home', 'w', 'now')")


def pragma(connection: sqlite3.Connection, name: str) -> object:
    return connection.execute(f"PRAGMA {name}").fetchone()[0]


def test_a_commit_is_durable(writer: Writer) -> None:
    """The connection that writes is in WAL mode with synchronous FULL."""
    assert writer.transact(lambda c: (pragma(c, "journal_mode"), pragma(c, "synchronous"))) == ("wal", 2)


class RollbackJournalWriter(Writer):
    """Its connections cannot be switched to WAL: an in-memory database has no log."""

    def connect(self) -> sqlite3.Connection:
        return sqlite3.connect(":memory:", isolation_level=None)


def test_a_file_without_wal_is_refused(path: Path) -> None:
    """Where the pragmas do not read back as they were set, the ledger does not open."""
    with pytest.raises(LedgerUnavailable, match="not WAL and FULL"):
        RollbackJournalWriter(path).open()


def test_the_files_are_their_owners_alone(path: Path) -> None:
    """The file, its log and its index are 0600, also under an open umask."""
    before = os.umask(0)
    try:
        writer = Writer(path)
        writer.open()
        names = sorted(entry.name for entry in path.parent.iterdir())
        modes = {stat.S_IMODE(entry.stat().st_mode) for entry in path.parent.iterdir()}
        writer.close()
    finally:
        os.umask(before)
    assert names == ["ledger.db", "ledger.db-shm", "ledger.db-wal"]
    assert modes == {0o600}


def test_a_path_with_signs_is_a_path(tmp_path: Path) -> None:
    """Question marks, hashes and percent signs in a folder's name are no part of a URI."""
    folder = tmp_path / "a?b#c %41 é"
    folder.mkdir()
    writer = Writer(folder / "ledger.db")
    writer.open()
    writer.close()
    assert (folder / "ledger.db").stat().st_size > 0


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    """One sentence with the path and what to look at."""
    with pytest.raises(
        LedgerUnavailable, match=r"none/ledger\.db: No such file or directory; check the folder"
    ):
        Writer(tmp_path / "none" / "ledger.db").open()


def test_a_file_as_folder_is_named(tmp_path: Path) -> None:
    """A file where the folder should be."""
    (tmp_path / "file").touch()
    with pytest.raises(LedgerUnavailable, match="Not a directory"):
        Writer(tmp_path / "file" / "ledger.db").open()


def test_a_folder_as_file_is_named(tmp_path: Path) -> None:
    """A folder where the file should be."""
    with pytest.raises(LedgerUnavailable, match="unable to open database file; check the owner"):
        Writer(tmp_path).open()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_an_unwritable_folder_is_named(tmp_path: Path) -> None:
    """A folder that belongs to someone else."""
    tmp_path.chmod(0o500)
    with pytest.raises(LedgerUnavailable, match="Permission denied"):
        Writer(tmp_path / "ledger.db").open()


class ReadOnlyWriter(Writer):
    """As on a disk that is mounted for reading only."""

    def connect(self) -> sqlite3.Connection:
        return sqlite3.connect(
            address(self.path).replace("mode=rw", "mode=ro"), isolation_level=None, uri=True
        )


def test_a_read_only_file_is_named(path: Path) -> None:
    """The open proves that the file can be written, before anyone is told that it is open."""
    first = Writer(path)
    first.open()
    with pytest.raises(LedgerUnavailable, match="readonly database; check the owner"):
        ReadOnlyWriter(path).open()
    first.close()


@pytest.mark.parametrize("content", [b"this is not a database, it is a letter to a friend" * 100])
def test_something_else_is_refused(path: Path, content: bytes) -> None:
    """A file that is no database is left as it is."""
    path.write_bytes(content)
    with pytest.raises(LedgerDamaged, match="not a database; give another data folder"):
        Writer(path).open()
    assert path.read_bytes() == content


def test_another_programs_database_is_untouched(path: Path) -> None:
    """Not even its journal mode is changed."""
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE songs (title TEXT)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(LedgerDamaged, match="not a ledger of this program"):
        Writer(path).open()
    assert path.read_bytes() == before


def test_a_newer_ledger_is_refused(path: Path) -> None:
    """The sentence names the file."""
    writer = Writer(path)
    writer.open()
    writer.transact(lambda connection: connection.execute("PRAGMA user_version = 99"))
    writer.close()
    with pytest.raises(LedgerDamaged, match=r"ledger\.db: the ledger is of format 99"):
        Writer(path).open()


def test_a_bug_in_a_transaction_leaves_nothing(writer: Writer) -> None:
    """What is no error of SQLite is rolled back and passed on; the writer stays usable."""

    def work(connection: sqlite3.Connection) -> None:
        connection.execute("DELETE FROM workspaces")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        writer.transact(work)
    assert writer.transact(lambda c: c.execute("SELECT count(*) FROM workspaces").fetchone()) == (1,)


def test_a_rollback_that_happened_by_itself_is_no_error(writer: Writer) -> None:
    """A constraint that rolled back already is a conflict, not a second error (`in_transaction`)."""

    def work(connection: sqlite3.Connection) -> None:
        connection.execute(
            "INSERT OR ROLLBACK INTO workspaces (name, workspace_id, created_at) VALUES ('home', 'x', 'now')"
        )

    with pytest.raises(LedgerConflict):
        writer.transact(work)
    writer.transact(partial(write_batch, batch=Batch((make_record(),))))


class FaultyConnection(sqlite3.Connection):
    """COMMIT raises as a failed fsync does: before or after it took effect, and only `faults` times."""

    faults = 0
    written = False

    def execute(self, statement: str, *arguments: Any) -> sqlite3.Cursor:
        if statement == "COMMIT" and FaultyConnection.faults:
            FaultyConnection.faults -= 1
            if FaultyConnection.written:
                super().execute("COMMIT")
            raise sqlite3.OperationalError("disk I/O error")
        return super().execute(statement, *arguments)


class FaultyWriter(Writer):
    """Its connection's commits fail as the test says."""

    def connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self.path, isolation_level=None, factory=FaultyConnection)


@pytest.mark.parametrize("written", [True, False])
def test_a_commit_that_raised_is_unknown(path: Path, written: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is unavailable either way, nothing more is written through this connection, a reopen finds out."""
    writer = FaultyWriter(path)
    writer.open()
    writer.transact(add_home)
    monkeypatch.setattr(FaultyConnection, "faults", 1)
    monkeypatch.setattr(FaultyConnection, "written", written)
    with pytest.raises(LedgerUnavailable, match="disk I/O error"):
        writer.transact(partial(write_batch, batch=Batch(chain(1, 3))))
    assert FaultyConnection.faults == 0
    flushes = writer.flushes
    with pytest.raises(LedgerUnavailable, match="must be reopened"):
        writer.transact(partial(write_batch, batch=Batch(chain(1, 3))))
    assert writer.flushes == flushes
    writer.open()
    assert writer.transact(lambda c: c.execute("SELECT count(*) FROM events").fetchone()) == (
        3 if written else 0,
    )
    writer.close()


def test_a_busy_file_is_unavailable(writer: Writer, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A transaction of another process that does not end makes this one unavailable, with the reason."""
    monkeypatch.setattr("server.ledger.writer.busy_timeout_s", 0.01)
    second = Writer(path)
    second.open()

    def work(connection: sqlite3.Connection) -> None:
        with pytest.raises(LedgerUnavailable, match="another process is writing"):
            second.transact(add_home)

    writer.transact(work)
    second.close()
