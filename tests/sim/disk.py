"""Disks in memory: what is durable stays, what is being written is lost or kept when the machine dies.

Duty: a ledger whose commits take time and fail, and a client cache that does the same, each with an unsynced tail.
Must not know: when something fails (the fates say so), what is written means.

1. A transaction is there whole or not at all, after a crash and after a failed commit alike.
2. A new boot gets a new handle on the same disk; the handle of a dead node writes no more.
3. A commit that failed leaves its handle unwritable until `reopen`, whether it was written or not.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from msgspec.structs import replace

from protocol.client.cache import Kept
from protocol.client.errors import CannotKeep
from protocol.client.store import (
    Advance,
    Change,
    Dismissal,
    Identity,
    Loaded,
    Queued,
    Rebase,
    Refusal,
)
from protocol.events import Event, Head
from protocol.reduce import fold
from protocol.replica import NOTHING, Pending, Rejected
from protocol.state import INITIAL, State
from server.ledger.memory import MemoryLedger, Shelf
from server.ledger.port import EventRow, Found, LedgerUnavailable, LookUp, Record, TokenRow
from tests.sim.history import History
from tests.sim.loop import pause


@dataclass(slots=True)
class ServerDisk:
    """What a server's disk holds, and how it behaves just now."""

    history: History
    chance: random.Random
    shelves: dict[int, Shelf] = field(default_factory=dict)
    tokens: dict[bytes, TokenRow] = field(default_factory=dict)
    written: dict[int, list[Record]] = field(default_factory=dict)
    """Every record of a workspace, in order: of these a backup is made."""
    commit_s: tuple[float, float] = (0.001, 0.01)
    read_s: tuple[float, float] = (0.0, 0.002)
    fail_share: float = 0.0
    """Of commits."""
    read_fail_share: float = 0.0
    full: bool = False
    """Nothing can be written."""
    under_way: asyncio.Event = field(default_factory=asyncio.Event)
    """Set whenever a batch begins to be written."""

    def restore(self, chance: random.Random) -> None:
        """A backup of some earlier moment is put in the place of what was there."""
        for key, shelf in self.shelves.items():
            kept = Shelf(shelf.row)
            # Members stay: nobody would be let in to see the rest.
            records = self.written.get(key, [])
            for record in records[: chance.randint(min(len(records), 4), len(records))]:
                kept.add(record)
            self.written[key] = records[: len(kept.outcomes)]
            self.shelves[key] = kept
        self.history.add(
            "restore", heads={row.name: row.seq for row in map(Shelf.head, self.shelves.values())}
        )
        self.history.meet("restored")

    def heads(self) -> dict[str, int]:
        """The durable head of every workspace, by name."""
        return {shelf.row.name: shelf.head().seq for shelf in self.shelves.values()}


class SimLedger(MemoryLedger):
    """A handle of one boot on a server's disk."""

    def __init__(self, disk: ServerDisk) -> None:
        super().__init__()
        self.disk = disk
        self._shelves = disk.shelves
        self._tokens = disk.tokens
        self._tail_survives = False

    async def flush(self) -> None:
        """A commit on its way: it takes its time, then is durable, or is not and nobody knows which."""
        disk = self.disk
        if self.tail is not None:
            disk.under_way.set()
        await pause(disk.chance.uniform(*disk.commit_s))
        if disk.full or disk.chance.random() < disk.fail_share:
            self._tail_survives = not disk.full and disk.chance.random() < 0.5
            what = "disk_full" if disk.full else "commit_failed"
            disk.history.meet(what, kept=self._tail_survives, records=self.unsynced)
            raise LedgerUnavailable("the disk is full" if disk.full else "the disk failed")
        self._note_durable()

    def _note_durable(self) -> None:
        for record in self.tail.records if self.tail is not None else ():
            seq = record.expected_seq + len(record.events)
            self.disk.written.setdefault(record.workspace, []).append(record)
            self.disk.history.add("durable", workspace=record.workspace, seq=seq)

    @property
    def unsynced(self) -> int:
        """Records that are being written."""
        return len(self.tail.records) if self.tail is not None else 0

    def crash(self) -> None:
        """The machine dies: what was being written is there or is not."""
        if self._tail_survives or (self.tail is not None and self.disk.chance.random() < 0.4):
            self._note_durable()
            self.settle(kept=True)
        self.tail = None

    async def reopen(self) -> None:
        """See `Ledger.reopen`; what the failed commit left is settled first."""
        if self._tail_survives:
            self._note_durable()
        self.settle(kept=self._tail_survives)
        self._tail_survives = False
        await super().reopen()

    async def _read(self) -> None:
        await pause(self.disk.chance.uniform(*self.disk.read_s))
        if self.disk.read_fail_share and self.disk.chance.random() < self.disk.read_fail_share:
            self.disk.history.meet("read_failed")
            raise LedgerUnavailable("the disk cannot be read")

    async def read(
        self, workspace: int, after: int, limit: int, bytes_max: int | None = None
    ) -> list[EventRow]:
        await self._read()
        rows = await super().read(workspace, after, limit, bytes_max)
        await self._read()
        return rows

    async def look_up(self, requests: Sequence[LookUp]) -> list[Found]:
        await self._read()
        found = await super().look_up(requests)
        await self._read()
        return found

    async def seq_of(self, workspace: int, event_id: str) -> int | None:
        await self._read()
        seq = await super().seq_of(workspace, event_id)
        await self._read()
        return seq


@dataclass(slots=True)
class ClientDisk:
    """What a client's disk holds, and how it behaves just now."""

    history: History
    chance: random.Random
    base: State = INITIAL
    base_head: Head = NOTHING
    tail: list[Event] = field(default_factory=list)
    outbox: dict[str, Pending] = field(default_factory=dict)
    rejected: dict[str, Rejected] = field(default_factory=dict)
    identity: Identity | None = None
    sync_s: tuple[float, float] = (0.0005, 0.005)
    full: bool = False
    under_way: asyncio.Event = field(default_factory=asyncio.Event)
    """Set whenever a transaction begins to be written."""

    @property
    def head(self) -> Head:
        """How far the stored state goes."""
        return Head(self.tail[-1].seq, self.tail[-1].event_id) if self.tail else self.base_head

    def load(self) -> Loaded:
        """What a client finds when it starts."""
        expected = range(self.base_head.seq + 1, self.base_head.seq + 1 + len(self.tail))
        whole = [event.seq for event in self.tail] == list(expected)
        return Loaded(
            state=fold(self.base, self.tail) if whole else INITIAL,
            head=self.head if whole else Head(),
            tail_events=len(self.tail) if whole else 0,
            identity=self.identity,
            pending=tuple(self.outbox.values()),
            rejected=tuple(self.rejected.values()),
            doubt=None if whole else "stored events are missing",
        )

    def write(self, changes: Sequence[Change]) -> None:
        """One transaction."""
        for change in changes:
            self.apply(change)

    def apply(self, change: Change) -> None:
        """One change, as the tables of a file would take it."""
        match change:
            case Queued(pending):
                self.outbox.setdefault(pending.client_action_id, pending)
            case Advance(events, settled):
                self.tail += events
                self.drop(settled)
            case Rebase(state, head, settled):
                self.base, self.base_head, self.tail = state, head, []
                self.drop(settled)
            case Refusal(rejected):
                self.drop((rejected.action.client_action_id,))
                self.rejected[rejected.action.client_action_id] = rejected
            case Dismissal(client_action_id):
                self.rejected.pop(client_action_id, None)
            case Identity():
                self.identity = change
                self._bind(change)

    def drop(self, keys: Sequence[str]) -> None:
        """These are not pending any more."""
        for key in keys:
            self.outbox.pop(key, None)

    def _bind(self, identity: Identity) -> None:
        for key, one in self.outbox.items():
            if not one.actor:
                self.outbox[key] = replace(one, actor=identity.actor, workspace_id=identity.workspace_id)


class SimCache:
    """`protocol.client.cache.Cache` on a client's disk: one transaction for what waits, in order."""

    def __init__(self, disk: ClientDisk) -> None:
        self.disk = disk
        self.writing: tuple[Change, ...] = ()
        """The unsynced tail."""
        self._waiting: list[tuple[Change, Kept | None]] = []
        self._wake = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._save_for_ever())

    def put(self, change: Change, kept: Kept | None = None) -> None:
        self._waiting.append((change, kept))
        self._wake.set()

    async def adopt(self) -> tuple[Pending, ...]:
        await pause(0.001)
        return ()

    async def close(self) -> None:
        while self._waiting or self.writing:
            await pause(0.01)
        self._task.cancel()

    def crash(self) -> None:
        """The machine dies: what was being written is there or is not."""
        if self.writing and self.disk.chance.random() < 0.5:
            self.disk.write(self.writing)
        if self.writing or self._waiting:
            self.disk.history.meet("client_crash_unsynced")
        self.writing = ()
        self._waiting.clear()

    async def _save_for_ever(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                await self._save()

    async def _save(self) -> None:
        batch, self._waiting = self._waiting, []
        self.writing = tuple(change for change, _ in batch)
        self.disk.under_way.set()
        await pause(self.disk.chance.uniform(*self.disk.sync_s))
        problem: CannotKeep | None = None
        if self.disk.full:
            self.disk.history.meet("client_disk_full")
            problem = CannotKeep("The disk is full.")
            self._waiting[:0] = [(change, None) for change in self.writing]
        else:
            self.disk.write(self.writing)
        self.writing = ()
        for _, kept in batch:
            if kept is not None:
                kept(problem)
        if problem is not None:
            await pause(1.0)
