"""What tests of the ledger and of all that stands on it need: records with defaults, ledgers that fail.

A test names only what it is about; everything else has a default.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

from server.ledger.memory import MemoryLedger
from server.ledger.port import Agenda, Batch, EventRow, LedgerError, Outcome, Record

DIGEST = bytes(range(16))
NOW = "2026-11-22T13:05:00.123Z"


def event_row(seq: int, *, name: str = "e", data: bytes | None = None) -> EventRow:
    """The event `e3` for seq 3; its id is unique among those of one `name`."""
    event_id = f"{name}{seq}"
    return EventRow(
        seq, event_id, "task.created", data or b'{"seq": %d, "event_id": "%s"}' % (seq, event_id.encode())
    )


def make_record(
    workspace: int = 1,
    after: int = 0,
    *,
    events: int | Sequence[EventRow] = 1,
    actor: str = "ana",
    action: str | None = None,
    name: str = "e",
    entity_ids: Sequence[str] = (),
    sealed: Sequence[str] = (),
    agenda: Agenda | None = None,
    digest: bytes = DIGEST,
) -> Record:
    """An applied action on top of seq `after`; `c<seq>` is its id unless named."""
    rows = (
        tuple(event_row(after + 1 + i, name=name) for i in range(events))
        if isinstance(events, int)
        else tuple(events)
    )
    return Record(
        workspace,
        after,
        actor,
        action if action is not None else f"c{after + 1}",
        Outcome(
            "applied",
            digest,
            seq=rows[-1].seq if rows else None,
            first_seq=rows[0].seq if rows else None,
            event_ids=tuple(row.event_id for row in rows),
        ),
        rows,
        tuple(entity_ids),
        tuple(sealed),
        agenda,
    )


def rejection(workspace: int = 1, after: int = 0, *, action: str = "c9", actor: str = "ana") -> Record:
    """An action that was refused by the state it met."""
    outcome = Outcome("rejected", DIGEST, code="not_found", message="There is no such task.", field="task_id")
    return Record(workspace, after, actor, action, outcome)


def chain(workspace: int, count: int, *, after: int = 0, name: str = "e") -> tuple[Record, ...]:
    """`count` actions of one event each, one on top of the other."""
    return tuple(make_record(workspace, after + i, name=name) for i in range(count))


class FaultyLedger(MemoryLedger):
    """A ledger whose flushes wait and fail as a test says; what was unsynced then survives or not."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[Batch] = []
        """Every batch that was appended and flushed."""
        self.flushing = asyncio.Event()
        """Set while a flush is held."""
        self._gate = asyncio.Event()
        self._gate.set()
        self._faults: deque[tuple[LedgerError | Exception, bool]] = deque()
        self._tail_survives = False

    def hold(self) -> None:
        """From now on a flush waits for `release`."""
        self._gate.clear()

    def release(self) -> None:
        """Let the flush that waits, and all after it, go on."""
        self._gate.set()

    def fail_next(self, error: LedgerError | Exception, *, kept: bool = False) -> None:
        """The next flush (of an append, or of a reopen) raises `error`; `kept` says what a reopen finds."""
        self._faults.append((error, kept))

    def heal(self) -> None:
        """Faults that did not come yet never will."""
        self._faults.clear()

    async def flush(self) -> None:
        """Wait while held, then fail if a fault is due."""
        self.flushing.set()
        await self._gate.wait()
        self.flushing.clear()
        if self._faults:
            error, self._tail_survives = self._faults.popleft()
            raise error
        if self.tail is not None:
            self.batches.append(self.tail)

    async def reopen(self) -> None:
        """What was unsynced is settled first, as the fault said."""
        self.settle(kept=self._tail_survives)
        self._tail_survives = False
        await super().reopen()
