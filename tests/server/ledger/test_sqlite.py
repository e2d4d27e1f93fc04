"""The ledger in one file: what only this implementation promises."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from server.ledger.port import Batch, LedgerConflict, LedgerUnavailable, LookUp
from server.ledger.sqlite import _EVENTS, _LOOK_UP, SqliteLedger
from server.ledger.writer import Writer
from tests.support.ledgers import NOW, chain, event_row, make_record

ROOT = Path(__file__).parents[3]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@pytest.fixture
async def ledger(path: Path) -> AsyncIterator[SqliteLedger]:
    ledger = await SqliteLedger.open(path)
    await ledger.create_workspace("home", "w-home", NOW)
    yield ledger
    await ledger.close()


async def test_a_person_can_ask_the_file(ledger: SqliteLedger, path: Path) -> None:
    """`select seq, type, event from events` answers with JSON text, in the order of the commits."""
    rows = [event_row(1, data='{"title":"café"}'.encode()), event_row(2)]
    await ledger.append(Batch((make_record(events=rows),)))
    with sqlite3.connect(path) as connection:
        found = connection.execute("select seq, type, event from events").fetchall()
        (title,) = connection.execute("select event ->> 'title' from events").fetchone()
    connection.close()
    assert [row[:2] for row in found] == [(1, "task.created"), (2, "task.created")]
    assert json.loads(found[0][2]) == {"title": "café"}
    assert title == "café"


@pytest.mark.parametrize("statement", [_EVENTS, _LOOK_UP])
async def test_hot_statements_search(ledger: SqliteLedger, path: Path, statement: str) -> None:
    """No table of the ledger is scanned by what is asked for every action and every replay."""
    with sqlite3.connect(path) as connection:
        parameters = ("[]", "[]") if statement == _LOOK_UP else (1, 0, 10)
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)]
    connection.close()
    tables = ("events", "outcomes", "entity_ids", "o", "used")
    assert not [step for step in plan if step.split()[0] == "SCAN" and step.split()[1] in tables], plan
    assert [step for step in plan if step.startswith("SEARCH")], plan


async def test_reads_cannot_write(ledger: SqliteLedger) -> None:
    """The second connection only reads: there is one writer."""
    assert ledger._reader is not None
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        await ledger._reader.execute("DELETE FROM workspaces")


async def test_opened_for_reading(ledger: SqliteLedger, path: Path) -> None:
    """A handle that only reads sees what is there, and every write through it is unavailable."""
    reading = await SqliteLedger.open_for_reading(path)
    try:
        assert [row.name for row in await reading.workspaces()] == ["home"]
        with pytest.raises(LedgerUnavailable):
            await reading.create_workspace("work", "w-work", NOW)
    finally:
        await reading.close()


async def test_two_handles_share_a_file(ledger: SqliteLedger, path: Path) -> None:
    """What another process appends is seen at once, and a head that it moved is a conflict."""
    other = await SqliteLedger.open(path)
    assert (await other.create_workspace("home", "w-2", NOW)).workspace_id == "w-home"
    await other.append(Batch((make_record(action="theirs"),)))
    assert [row.seq for row in await ledger.read(1, 0, 10)] == [1]
    with pytest.raises(LedgerConflict):
        await ledger.append(Batch((make_record(action="ours"),)))
    await ledger.append(Batch((make_record(1, 1, action="ours"),)))
    assert [row.seq for row in await other.read(1, 0, 10)] == [1, 2]
    await other.close()


async def test_appends_keep_the_order_of_the_calls(ledger: SqliteLedger) -> None:
    """Many appends at once are written in the order in which they were called."""
    await asyncio.gather(*(ledger.append(Batch((record,))) for record in chain(1, 50)))
    assert (await ledger.workspaces())[0].seq == 50


async def test_no_thread_is_left(path: Path) -> None:
    """Open, close, and a failed open end with the threads that were there before."""
    before = threading.active_count()
    ledger = await SqliteLedger.open(path)
    await ledger.close()
    with pytest.raises(LedgerUnavailable):
        await SqliteLedger.open(path.parent / "none" / "ledger.db")
    assert threading.active_count() == before


class SmallDisk(Writer):
    """Its file may have so many pages, then the disk is full."""

    pages_max = 1_000_000

    def connect(self) -> sqlite3.Connection:
        connection = super().connect()
        connection.execute(f"PRAGMA max_page_count = {self.pages_max}")
        return connection


async def _fill(ledger: SqliteLedger) -> None:
    """Append until it raises, as it must at the latest after 1,000 rows."""
    for seq in range(1, 1_001):
        await ledger.append(Batch((make_record(1, seq - 1, events=[event_row(seq, data=b"x" * 5_000)]),)))


async def test_a_full_disk_loses_nothing(path: Path) -> None:
    """The batch that did not fit is not there, all before it are; with space again, a reopen is enough."""
    disk = SmallDisk(path)
    disk.pages_max = 60
    ledger = SqliteLedger(disk)
    await ledger.reopen()
    await ledger.create_workspace("home", "w-home", NOW)
    with pytest.raises(LedgerUnavailable, match="full; free some space"):
        await _fill(ledger)
    written = (await ledger.workspaces())[0].seq
    assert 0 < written < 60
    assert [row.seq for row in await ledger.read(1, 0, 100)] == list(range(1, written + 1))
    with pytest.raises(LedgerUnavailable, match="must be reopened"):
        await ledger.append(Batch((make_record(1, written),)))
    disk.pages_max = 1_000
    await ledger.reopen()
    await ledger.append(Batch((make_record(1, written, action="after"),)))
    assert (await ledger.workspaces())[0].seq == written + 1
    await ledger.close()
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("SELECT count(*) FROM outcomes").fetchone() == (written + 1,)
    connection.close()


class Unwritable(Writer):
    """It opens once, then never again."""

    broken = False

    def connect(self) -> sqlite3.Connection:
        if self.broken:
            raise sqlite3.OperationalError("disk I/O error")
        return super().connect()


async def test_reads_outlive_a_reopen_that_fails(path: Path) -> None:
    """Where the file cannot be written, it can still be read, and the next reopen is a fresh try."""
    disk = Unwritable(path)
    ledger = SqliteLedger(disk)
    await ledger.reopen()
    await ledger.create_workspace("home", "w-home", NOW)
    await ledger.append(Batch(chain(1, 2)))
    disk.broken = True
    with pytest.raises(LedgerUnavailable, match="disk I/O error"):
        await ledger.reopen()
    assert len(await ledger.read(1, 0, 10)) == 2
    with pytest.raises(LedgerUnavailable):
        await ledger.append(Batch(chain(1, 1, after=2)))
    disk.broken = False
    await ledger.reopen()
    await ledger.append(Batch(chain(1, 1, after=2)))
    await ledger.close()


async def _acked_until_killed(path: Path, count: int) -> list[int]:
    """Run a writer process, kill -9 it after `count` acks, and give all seqs that it acknowledged."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.support.ledger_process",
        str(path),
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    assert process.stdout is not None
    acked = [int(await process.stdout.readline()) for _ in range(count)]
    process.kill()
    rest = await process.stdout.read()
    await process.wait()
    # A line that was cut off in the middle was not received by anybody.
    return acked + [int(line) for line in rest.splitlines(keepends=True) if line.endswith(b"\n")]


@pytest.mark.e2e
async def test_what_was_acked_outlives_kill_9(path: Path) -> None:
    """After each of four kills: every ack has its rows, groups are whole, seqs are dense, outcomes fit."""
    for kill in range(4):
        acked = await _acked_until_killed(path, 40 + 25 * kill)
        ledger = await SqliteLedger.open(path)
        head = (await ledger.workspaces())[0].seq
        rows = await ledger.read(1, 0, head + 10)
        assert [row.seq for row in rows] == list(range(1, head + 1))
        assert head >= acked[-1]
        assert head % 3 == 0
        found = await ledger.look_up([LookUp(1, "ana", f"c{seq}") for seq in acked])
        assert [row.outcome.seq if row.outcome else None for row in found] == acked
        await ledger.close()


@pytest.mark.e2e
async def test_processes_may_make_a_ledger_at_once(path: Path) -> None:
    """Four processes that open a file that is not there all succeed, and find one workspace."""
    processes = [
        await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.support.ledger_process",
            str(path),
            "once",
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
        )
        for _ in range(4)
    ]
    for process in processes:
        await process.communicate()
    assert [process.returncode for process in processes] == [0, 0, 0, 0]
    ledger = await SqliteLedger.open(path)
    assert [row.name for row in await ledger.workspaces()] == ["home"]
    await ledger.close()
