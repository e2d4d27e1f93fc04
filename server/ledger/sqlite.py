"""The ledger in one SQLite file for all workspaces.

Duty: put the writer on a thread of its own, read through a second connection, turn rows into values.
Must not know: what is in an event; when to commit (that is the commit queue's).

1. All writes go through one thread in the order of the calls; a batch is one hop and one flush.
2. Reads see committed rows only, and at once after the commit that wrote them.
3. The rows of a whole group of look-ups cost one hop.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Final, Self, TypeVar

import aiosqlite
import msgspec

from server.ledger.port import (
    Agenda,
    Batch,
    EventRow,
    Found,
    LedgerError,
    LedgerUnavailable,
    LookUp,
    Outcome,
    TokenRow,
    WorkspaceRow,
    joined,
)
from server.ledger.writer import Writer, address, busy_timeout_s, named, write_batch

T = TypeVar("T")

page_rows_first: Final = 32
page_rows_max: Final = 4_096
"""A read bounded by bytes goes in pages: a small one, then as many rows as their mean size promises."""

_WORKSPACE: Final = """
    SELECT w.key, w.name, w.workspace_id, coalesce(e.seq, 0), e.event_id FROM workspaces w
    LEFT JOIN events e
    ON e.workspace = w.key AND e.seq = (SELECT max(seq) FROM events WHERE workspace = w.key)
"""
_AGENDA: Final = _WORKSPACE.replace("e.event_id FROM", "e.event_id, a.waits, a.due_at FROM", 1).replace(
    "workspaces w", "agenda a JOIN workspaces w ON w.key = a.workspace", 1
)
_EVENTS: Final = """
    SELECT seq, event_id, type, CAST(event AS BLOB) FROM events
    WHERE workspace = ? AND seq > ? ORDER BY seq LIMIT ?
"""
# CROSS JOIN keeps SQLite from turning the loops around: few are asked, many are there.
_OUTCOMES: Final = """
    SELECT asked.key, o.status, o.digest, o.seq, o.first_seq,
        (SELECT json_group_array(event_id) FROM
            (SELECT event_id FROM events
            WHERE workspace = o.workspace AND seq BETWEEN o.first_seq AND o.seq ORDER BY seq)),
        o.code, o.message, o.field
    FROM json_each(?) AS asked CROSS JOIN outcomes AS o
    ON o.client_action_id = json_extract(asked.value, '$[2]')
        AND o.workspace = json_extract(asked.value, '$[0]') AND o.actor = json_extract(asked.value, '$[1]')
"""
_USED: Final = """
    SELECT asked.key, used.entity_id, NULL, NULL, NULL, NULL, NULL, NULL, NULL
    FROM json_each(?) AS asked CROSS JOIN json_each(asked.value, '$[3]') AS one
    CROSS JOIN entity_ids AS used
    ON used.entity_id = one.value AND used.workspace = json_extract(asked.value, '$[0]')
"""
_LOOK_UP: Final = f"SELECT 0, * FROM ({_OUTCOMES}) UNION ALL SELECT 1, * FROM ({_USED})"
_TOKEN: Final = "SELECT token_hash, token_id, kind, actor, created_at, revoked_at FROM tokens"


class SqliteLedger:
    """`Ledger` over one file, made by `SqliteLedger.open`. One that is not closed keeps the process alive."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ledger-writer")
        self._reader: aiosqlite.Connection | None = None
        self._closed = False

    @classmethod
    async def open(cls, path: Path) -> Self:
        """The ledger in the file `path`, made where it is not there; its folder must be.

        Raises `LedgerUnavailable` or `LedgerDamaged` with a sentence for the person who started the server.
        """
        ledger = cls(Writer(path))
        try:
            await ledger.reopen()
        except BaseException:
            await ledger.close()
            raise
        return ledger

    @classmethod
    async def open_for_reading(cls, path: Path) -> Self:
        """The ledger in the file `path`, which is there: reads only, every write is `LedgerUnavailable`.

        Raises as `open` does.
        """
        ledger = cls(Writer(path))
        try:
            await ledger._on_writer(ledger._writer.inspect)
            ledger._reader = await ledger._open_reader()
        except BaseException:
            await ledger.close()
            raise
        return ledger

    @property
    def flushes(self) -> int:
        """Transactions made durable through this handle."""
        return self._writer.flushes

    async def reopen(self) -> None:
        """See `Ledger.reopen`. Where the file can be read but not written, reads go on."""
        await self._close_reader()
        await self._on_writer(self._writer.close)
        try:
            await self._on_writer(self._writer.open)
        except LedgerUnavailable:
            with contextlib.suppress(LedgerError):
                self._reader = await self._open_reader()
            raise
        self._reader = await self._open_reader()

    async def close(self) -> None:
        """Close both connections and end both threads; a second time does nothing."""
        if self._closed:
            return
        await self._close_reader()
        await self._on_writer(self._writer.close)
        self._closed = True
        self._thread.shutdown()

    # Writes.

    async def append(self, batch: Batch) -> None:
        """See `Ledger.append`. A caller that is cancelled does not stop a transaction that has begun."""
        await self._transact(partial(write_batch, batch=batch))

    async def create_workspace(self, name: str, workspace_id: str, created_at: str) -> WorkspaceRow:
        """See `Ledger.create_workspace`."""
        if (existing := await self.workspace(name)) is not None:
            return existing

        def insert(connection: sqlite3.Connection) -> None:
            # Of two processes that make it at once, the second finds the first one's.
            connection.execute(
                "INSERT INTO workspaces (name, workspace_id, created_at) VALUES (?, ?, ?)"
                " ON CONFLICT (name) DO NOTHING",
                (name, workspace_id, created_at),
            )

        await self._transact(insert)
        made = await self.workspace(name)
        assert made is not None, "just made"
        return made

    async def put_token(self, row: TokenRow) -> None:
        """See `Ledger.put_token`."""

        def insert(connection: sqlite3.Connection) -> None:
            connection.execute(
                "INSERT INTO tokens (token_hash, token_id, kind, actor, created_at, revoked_at)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                msgspec.structs.astuple(row),
            )

        await self._transact(insert)

    async def revoke_token(self, token_id: str, revoked_at: str) -> bool:
        """See `Ledger.revoke_token`."""

        def update(connection: sqlite3.Connection) -> int:
            return connection.execute(
                "UPDATE tokens SET revoked_at = coalesce(revoked_at, ?) WHERE token_id = ?",
                (revoked_at, token_id),
            ).rowcount

        return await self._transact(update) > 0

    # Reads.

    async def workspace(self, name: str) -> WorkspaceRow | None:
        """See `Ledger.workspace`."""
        rows = await self._fetch(f"{_WORKSPACE} WHERE w.name = ?", (name,))
        return WorkspaceRow(*rows[0]) if rows else None

    async def workspaces(self) -> list[WorkspaceRow]:
        """See `Ledger.workspaces`."""
        return [WorkspaceRow(*row) for row in await self._fetch(f"{_WORKSPACE} ORDER BY w.key")]

    async def look_up(self, requests: Sequence[LookUp]) -> list[Found]:
        """See `Ledger.look_up`."""
        outcomes: dict[int, Outcome] = {}
        used: list[set[str]] = [set() for _ in requests]
        asked = msgspec.json.encode([msgspec.structs.astuple(request) for request in requests]).decode()
        for kind, place, *row in await self._fetch(_LOOK_UP, (asked, asked)) if requests else ():
            if kind == 0:
                outcomes[place] = _outcome(*row)
            else:
                used[place].add(row[0])
        return [Found(outcomes.get(place), frozenset(ids)) for place, ids in enumerate(used)]

    async def read(
        self, workspace: int, after: int, limit: int, bytes_max: int | None = None
    ) -> list[EventRow]:
        """See `Ledger.read`."""
        if bytes_max is None:
            return await self._page(workspace, after, limit)
        rows: list[EventRow] = []
        size, page_rows = 0, page_rows_first
        while len(rows) < limit:
            asked = min(page_rows, limit - len(rows))
            page = await self._page(workspace, rows[-1].seq if rows else after, asked)
            for row in page:
                size += len(row.data)
                if rows and size > bytes_max:
                    return rows
                rows.append(row)
            if len(page) < asked:
                break
            promised = (bytes_max - size) * len(rows) // max(size, 1) + 1
            page_rows = max(1, min(promised, page_rows_max))
        return rows

    async def seq_of(self, workspace: int, event_id: str) -> int | None:
        """See `Ledger.seq_of`."""
        statement = "SELECT seq FROM events WHERE event_id = ? AND workspace = ?"
        rows = await self._fetch(statement, (event_id, workspace))
        return rows[0][0] if rows else None

    async def agenda(self) -> list[tuple[WorkspaceRow, Agenda]]:
        """See `Ledger.agenda`."""
        rows = await self._fetch(f"{_AGENDA} ORDER BY w.key")
        return [(WorkspaceRow(*row[:5]), Agenda(bool(row[5]), row[6])) for row in rows]

    async def segments(self, workspace: int) -> dict[str, str]:
        """See `Ledger.segments`."""
        statement = 'SELECT message_id, "offset", text FROM segments WHERE workspace = ? ORDER BY position'
        pieces: dict[str, list[tuple[int, str]]] = {}
        for message_id, offset, text in await self._fetch(statement, (workspace,)):
            pieces.setdefault(message_id, []).append((offset, text))
        return {message_id: joined(parts) for message_id, parts in pieces.items()}

    async def token(self, token_hash: bytes) -> TokenRow | None:
        """See `Ledger.token`."""
        rows = await self._fetch(f"{_TOKEN} WHERE token_hash = ?", (token_hash,))
        return TokenRow(*rows[0]) if rows else None

    async def tokens(self) -> list[TokenRow]:
        """See `Ledger.tokens`."""
        return [TokenRow(*row) for row in await self._fetch(f"{_TOKEN} ORDER BY position")]

    # The two connections.

    async def _on_writer(self, work: Callable[[], T]) -> T:
        if self._closed:
            raise LedgerUnavailable("the ledger is closed")
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def _transact(self, work: Callable[[sqlite3.Connection], T]) -> T:
        return await self._on_writer(partial(self._writer.transact, work))

    async def _page(self, workspace: int, after: int, limit: int) -> list[EventRow]:
        return [EventRow(*row) for row in await self._fetch(_EVENTS, (workspace, after, limit))]

    async def _fetch(self, statement: str, parameters: Iterable[object] = ()) -> list[Any]:
        """Rows, typed by the statement; one hop."""
        reader = self._reader
        if reader is None:
            raise LedgerUnavailable("the ledger is closed, or being reopened")
        try:
            return list(await reader.execute_fetchall(statement, parameters))
        except sqlite3.Error as error:
            raise named(self._writer.path, error) from error

    async def _open_reader(self) -> aiosqlite.Connection:
        path = self._writer.path
        try:
            reader = await aiosqlite.connect(
                address(path), timeout=busy_timeout_s, isolation_level=None, uri=True
            )
            try:
                await reader.execute_fetchall("PRAGMA query_only = ON")
            except BaseException:
                await reader.close()
                raise
        except sqlite3.Error as error:
            raise named(path, error) from error
        return reader

    async def _close_reader(self) -> None:
        # Let go of first: a read that begins from here on finds no reader instead of a closing one.
        reader, self._reader = self._reader, None
        if reader is not None:
            await reader.close()


def _outcome(
    status: Any, digest: bytes, seq: int, first_seq: int, event_ids: str, code: str, message: str, field: str
) -> Outcome:
    ids = tuple(msgspec.json.decode(event_ids, type=list[str]))
    return Outcome(status, digest, seq, first_seq, ids, code, message, field)
