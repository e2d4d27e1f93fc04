"""The output gate: whatever is queued goes into one commit, and nobody hears of it before that commit.

Duty: turn many records of many workspaces into few flushes, and call everyone back in order.
Must not know: what a record means; how a ledger writes; when to try again after an outage (its owner does).

1. `submit` and `save_segment` never wait; what waits is written in the order in which it came.
2. A record alone is committed at once; a group is what came while the last commit was under way.
3. Of `on_durable` and `on_failed` exactly one is called, once, in the loop, in the order of submission, and a
   group's callbacks before the next group's.
4. After a failure nothing is accepted until `recover`: what was queued behind it was decided on what may
   never have been written.
5. The committing task belongs to the queue: no caller that is cancelled stops it.

The queue has no bound of its own: those who submit hold at most what their connections may have under way,
and `depth` shows it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from protocol import limits
from server.ledger.port import Batch, Ledger, LedgerError, LedgerUnavailable, Record, Segment, check_record


@dataclass(frozen=True, slots=True)
class Waiting:
    """A record and those who wait for it."""

    record: Record
    rows: int
    size: int
    """Bytes of event data."""
    on_durable: Callable[[], None]
    on_failed: Callable[[LedgerError], None]


@dataclass(frozen=True, slots=True)
class Piece:
    """A segment; nobody waits for it."""

    segment: Segment
    rows: int
    size: int
    """Bytes of text."""


class CommitQueue:
    """Group commit over one ledger, for all workspaces together. Belongs to one event loop."""

    def __init__(
        self,
        ledger: Ledger,
        *,
        rows_max: int = limits.group_rows_max,
        bytes_max: int = limits.group_bytes_max,
    ) -> None:
        self.actions = 0
        """Records made durable."""
        self.flushes = 0
        """Commits that made them, and segments, durable."""
        self._ledger = ledger
        self._rows_max = rows_max
        self._bytes_max = bytes_max
        self._queue: deque[Waiting | Piece] = deque()
        self._under_way: list[Waiting] = []
        self._failure: LedgerError | None = None
        self._closed = False
        self._committing: asyncio.Task[None] | None = None
        self._recovering: asyncio.Task[None] | None = None

    @property
    def depth(self) -> int:
        """Records and segments that are not durable yet."""
        return len(self._queue) + len(self._under_way)

    @property
    def failure(self) -> LedgerError | None:
        """Why nothing is accepted; None while all is well."""
        return self._failure

    def submit(
        self, record: Record, on_durable: Callable[[], None], on_failed: Callable[[LedgerError], None]
    ) -> None:
        """Queue `record`. After a failure, and after `close`, calls `on_failed` before it returns."""
        refusal = self._refusal()
        if refusal is not None:
            on_failed(refusal)
            return
        check_record(record)
        rows = 1 + len(record.events) + len(record.entity_ids)
        size = sum(len(event.data) for event in record.events)
        self._queue.append(Waiting(record, rows, size, on_durable, on_failed))
        self._wake()

    def save_segment(self, segment: Segment) -> None:
        """Queue a piece of a streaming text. While nothing is accepted it is dropped: the terminal event
        carries the whole text."""
        if self._refusal() is None:
            self._queue.append(Piece(segment, 1, len(segment.text.encode())))
            self._wake()

    async def drain(self) -> None:
        """Wait until nothing is queued. Raises the failure where the queue stopped before."""
        while self._committing is not None:
            # `wait` neither cancels the task with its waiter nor raises what the task raised.
            await asyncio.wait({self._committing})
        if self._failure is not None:
            raise self._failure

    async def recover(self) -> None:
        """Reopen the ledger and accept again; does nothing where there was no failure.

        Raises `LedgerUnavailable` or `LedgerDamaged` where the ledger cannot be reopened: the queue stays
        stopped, and the caller tries again later. Many may call at once, the ledger is reopened once.
        """
        if self._failure is None:
            return
        if self._recovering is None:
            self._recovering = asyncio.get_running_loop().create_task(self._reopen())
        await asyncio.shield(self._recovering)

    async def close(self) -> None:
        """Accept nothing more and wait for what is queued. The ledger stays open: it is its owner's."""
        self._closed = True
        while self._committing is not None:
            await asyncio.wait({self._committing})

    def _refusal(self) -> LedgerError | None:
        if self._closed:
            return LedgerUnavailable("the server is stopping")
        return self._failure

    def _wake(self) -> None:
        if self._committing is None:
            self._committing = asyncio.get_running_loop().create_task(self._commit_all())
            self._committing.add_done_callback(self._rest)

    def _rest(self, task: asyncio.Task[None]) -> None:
        """The task has ended: with an empty queue, or cut off by a closing loop or a bug."""
        self._committing = None
        if task.cancelled() or task.exception() is not None:
            self._stop(LedgerUnavailable("the commit was cut off; its outcome is unknown"))
        if not task.cancelled() and task.exception() is not None:
            _report("the commit queue failed", task.exception())
        if self._queue:
            self._wake()

    async def _commit_all(self) -> None:
        while self._queue:
            batch = self._take()
            try:
                await self._ledger.append(batch)
            except LedgerError as error:
                self._stop(error)
            else:
                self._release()

    def _take(self) -> Batch:
        """The next group, from the front of the queue: at least one item, then what the bounds allow."""
        assert not self._under_way, "the last group was released or failed"
        segments: list[Segment] = []
        rows = size = 0
        while self._queue:
            rows += self._queue[0].rows
            size += self._queue[0].size
            if (self._under_way or segments) and (rows > self._rows_max or size > self._bytes_max):
                break
            match self._queue.popleft():
                case Piece() as piece:
                    segments.append(piece.segment)
                case Waiting() as waiting:
                    self._under_way.append(waiting)
        return Batch(tuple(waiting.record for waiting in self._under_way), tuple(segments))

    def _release(self) -> None:
        group, self._under_way = self._under_way, []
        self.actions += len(group)
        self.flushes += 1
        for waiting in group:
            _call(waiting.on_durable)

    def _stop(self, error: LedgerError) -> None:
        behind = [item for item in self._queue if isinstance(item, Waiting)]
        group, self._under_way = self._under_way, []
        self._queue.clear()
        self._failure = error
        for waiting in (*group, *behind):
            _call(waiting.on_failed, error)

    async def _reopen(self) -> None:
        try:
            await self._ledger.reopen()
            self._failure = None
        finally:
            self._recovering = None


def _call(callback: Callable[..., None], *arguments: LedgerError) -> None:
    """Call back; a bug there keeps nobody else from being called."""
    try:
        callback(*arguments)
    except Exception as error:  # noqa: BLE001 - handed on, as the loop does for its own callbacks
        _report("a callback of a commit raised", error)


def _report(message: str, error: BaseException | None) -> None:
    asyncio.get_running_loop().call_exception_handler({"message": message, "exception": error})
