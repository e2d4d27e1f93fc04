"""The ledger in memory: the same promises without a file, for tests, simulations and trials.

Duty: behave as `sqlite` does, to the letter of the shared suite.
Must not know: faults; a test that wants them overrides `flush` and `settle`.

1. A batch that is being flushed is the unsynced tail: no read sees it, and only `settle` makes it content.
2. Whoever leaves a flush by an exception leaves the tail unknown; writes are refused until `reopen`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from msgspec.structs import replace

from server.ledger.port import (
    Agenda,
    Batch,
    EventRow,
    Found,
    LedgerConflict,
    LedgerUnavailable,
    LookUp,
    Outcome,
    Record,
    TokenRow,
    WorkspaceRow,
    check_record,
    joined,
)


@dataclass(slots=True)
class Shelf:
    """What is durable of one workspace."""

    row: WorkspaceRow
    events: list[EventRow] = field(default_factory=list)
    seqs: dict[str, int] = field(default_factory=dict)
    outcomes: dict[tuple[str, str], Outcome] = field(default_factory=dict)
    entity_ids: set[str] = field(default_factory=set)
    pieces: dict[str, list[tuple[int, str]]] = field(default_factory=dict)
    agenda: Agenda | None = None

    def head(self) -> WorkspaceRow:
        """The workspace with the head of now."""
        if not self.events:
            return self.row
        return replace(self.row, seq=self.events[-1].seq, event_id=self.events[-1].event_id)

    def add(self, record: Record) -> None:
        """Make one record content."""
        self.events += record.events
        self.seqs |= {event.event_id: event.seq for event in record.events}
        self.outcomes[record.actor, record.client_action_id] = record.outcome
        self.entity_ids |= set(record.entity_ids)
        for message_id in record.sealed_streams:
            self.pieces.pop(message_id, None)
        if record.agenda is not None:
            self.agenda = None if record.agenda.is_empty else record.agenda


class MemoryLedger:
    """`Ledger` in memory; what was durable stays through `close` and `reopen`, as a file would."""

    def __init__(self) -> None:
        self.flushes = 0
        self.tail: Batch | None = None
        self._open = True
        self._writable = True
        self._turn = asyncio.Lock()
        self._shelves: dict[int, Shelf] = {}
        self._tokens: dict[bytes, TokenRow] = {}

    async def flush(self) -> None:
        """Make the tail durable; here there is nothing to wait for."""

    def settle(self, *, kept: bool) -> None:
        """The tail is content from now on, or was never written."""
        tail, self.tail = self.tail, None
        if tail is None or not kept:
            return
        for segment in tail.segments:
            if (shelf := self._shelves.get(segment.workspace)) is not None:
                pieces = shelf.pieces.setdefault(segment.message_id, [])
                pieces.append((segment.offset, segment.text))
        for record in tail.records:
            self._shelves[record.workspace].add(record)

    async def append(self, batch: Batch) -> None:
        """See `Ledger.append`."""
        async with self._turn:
            self._check_writable()
            self._check_batch(batch)
            self.tail = batch
            await self._flush_once()
            self.settle(kept=True)

    async def create_workspace(self, name: str, workspace_id: str, created_at: str) -> WorkspaceRow:
        """See `Ledger.create_workspace`."""
        async with self._turn:
            self._check_writable()
            shelf = self._named(name)
            if shelf is None:
                if any(other.row.workspace_id == workspace_id for other in self._shelves.values()):
                    raise LedgerConflict(f"already there: the workspace id {workspace_id}")
                await self._flush_once()
                key = len(self._shelves) + 1
                shelf = self._shelves[key] = Shelf(WorkspaceRow(key, name, workspace_id))
            return shelf.head()

    async def put_token(self, row: TokenRow) -> None:
        """See `Ledger.put_token`."""
        async with self._turn:
            self._check_writable()
            if row.token_hash in self._tokens or self._by_id(row.token_id) is not None:
                raise LedgerConflict(f"already there: the token {row.token_id}")
            await self._flush_once()
            self._tokens[row.token_hash] = row

    async def revoke_token(self, token_id: str, revoked_at: str) -> bool:
        """See `Ledger.revoke_token`."""
        async with self._turn:
            self._check_writable()
            row = self._by_id(token_id)
            await self._flush_once()
            if row is not None and row.revoked_at is None:
                self._tokens[row.token_hash] = replace(row, revoked_at=revoked_at)
            return row is not None

    async def workspace(self, name: str) -> WorkspaceRow | None:
        """See `Ledger.workspace`."""
        self._check_open()
        shelf = self._named(name)
        return None if shelf is None else shelf.head()

    async def workspaces(self) -> list[WorkspaceRow]:
        """See `Ledger.workspaces`."""
        self._check_open()
        return [shelf.head() for shelf in self._shelves.values()]

    async def look_up(self, requests: Sequence[LookUp]) -> list[Found]:
        """See `Ledger.look_up`."""
        self._check_open()
        return [self._found(request) for request in requests]

    async def read(
        self, workspace: int, after: int, limit: int, bytes_max: int | None = None
    ) -> list[EventRow]:
        """See `Ledger.read`."""
        self._check_open()
        events = self._shelves[workspace].events if workspace in self._shelves else []
        rows: list[EventRow] = []
        size = 0
        for event in events[max(after, 0) :][:limit]:
            size += len(event.data)
            if rows and bytes_max is not None and size > bytes_max:
                break
            rows.append(event)
        return rows

    async def seq_of(self, workspace: int, event_id: str) -> int | None:
        """See `Ledger.seq_of`."""
        self._check_open()
        shelf = self._shelves.get(workspace)
        return None if shelf is None else shelf.seqs.get(event_id)

    async def agenda(self) -> list[tuple[WorkspaceRow, Agenda]]:
        """See `Ledger.agenda`."""
        self._check_open()
        shelves = self._shelves.values()
        return [(shelf.head(), shelf.agenda) for shelf in shelves if shelf.agenda is not None]

    async def segments(self, workspace: int) -> dict[str, str]:
        """See `Ledger.segments`."""
        self._check_open()
        shelf = self._shelves.get(workspace)
        return {} if shelf is None else {name: joined(pieces) for name, pieces in shelf.pieces.items()}

    async def token(self, token_hash: bytes) -> TokenRow | None:
        """See `Ledger.token`."""
        self._check_open()
        return self._tokens.get(token_hash)

    async def tokens(self) -> list[TokenRow]:
        """See `Ledger.tokens`."""
        self._check_open()
        return list(self._tokens.values())

    async def reopen(self) -> None:
        """See `Ledger.reopen`; a tail that nobody settled is gone."""
        self.settle(kept=False)
        await self.flush()
        self._open = self._writable = True
        self.flushes += 1

    async def close(self) -> None:
        """See `Ledger.close`."""
        self._open = self._writable = False

    async def _flush_once(self) -> None:
        self._writable = False
        await self.flush()
        self._writable = True
        self.flushes += 1

    def _check_open(self) -> None:
        if not self._open:
            raise LedgerUnavailable("the ledger is closed, or being reopened")

    def _check_writable(self) -> None:
        if not self._writable:
            raise LedgerUnavailable("the ledger is closed, or must be reopened after an error")

    def _check_batch(self, batch: Batch) -> None:
        heads = {key: shelf.head().seq for key, shelf in self._shelves.items()}
        taken: set[tuple[object, ...]] = set()
        for record in batch.records:
            check_record(record)
            if heads.get(record.workspace) != record.expected_seq:
                raise LedgerConflict(f"workspace {record.workspace} is not at seq {record.expected_seq}")
            heads[record.workspace] += len(record.events)
            self._check_ids(record, taken)

    def _check_ids(self, record: Record, taken: set[tuple[object, ...]]) -> None:
        """No id of `record` is in the ledger, nor among those `taken` by the records before it."""
        shelf = self._shelves[record.workspace]
        ids: list[tuple[object, ...]] = [
            (record.workspace, "action", record.actor, record.client_action_id),
            *((record.workspace, "entity", entity_id) for entity_id in record.entity_ids),
            *((record.workspace, "event", event.event_id) for event in record.events),
        ]
        there = (
            (record.actor, record.client_action_id) in shelf.outcomes
            or not shelf.entity_ids.isdisjoint(record.entity_ids)
            or any(event.event_id in shelf.seqs for event in record.events)
        )
        if there or len(set(ids)) < len(ids) or not taken.isdisjoint(ids):
            raise LedgerConflict(f"already there: an id of action {record.client_action_id}")
        taken.update(ids)

    def _named(self, name: str) -> Shelf | None:
        return next((shelf for shelf in self._shelves.values() if shelf.row.name == name), None)

    def _by_id(self, token_id: str) -> TokenRow | None:
        return next((row for row in self._tokens.values() if row.token_id == token_id), None)

    def _found(self, request: LookUp) -> Found:
        shelf = self._shelves.get(request.workspace)
        if shelf is None:
            return Found(None, frozenset())
        outcome = shelf.outcomes.get((request.actor, request.client_action_id))
        return Found(outcome, frozenset(shelf.entity_ids.intersection(request.entity_ids)))
