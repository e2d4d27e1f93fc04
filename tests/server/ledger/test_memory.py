"""The ledger in memory beyond the shared suite: its unsynced tail, and the doubles made of it."""

from __future__ import annotations

import asyncio

import pytest

from server.ledger.port import Batch, LedgerUnavailable, Segment
from tests.support.ledgers import NOW, FaultyLedger, chain


@pytest.fixture
async def ledger() -> FaultyLedger:
    ledger = FaultyLedger()
    await ledger.create_workspace("home", "w-home", NOW)
    return ledger


async def test_the_tail_is_not_seen(ledger: FaultyLedger) -> None:
    """Between write and flush no read sees a batch; after it all do."""
    ledger.hold()
    task = asyncio.create_task(ledger.append(Batch(chain(1, 2), (Segment(1, "m1", 0, "a"),))))
    await ledger.flushing.wait()
    assert await ledger.read(1, 0, 10) == []
    assert await ledger.segments(1) == {}
    ledger.release()
    await task
    assert len(await ledger.read(1, 0, 10)) == 2
    assert await ledger.segments(1) == {"m1": "a"}


@pytest.mark.parametrize("kept", [True, False])
async def test_a_failed_flush_is_unknown_until_a_reopen(ledger: FaultyLedger, kept: bool) -> None:
    """After it writes are refused; a reopen finds the tail, or does not."""
    ledger.fail_next(LedgerUnavailable("disk I/O error"), kept=kept)
    with pytest.raises(LedgerUnavailable, match="disk"):
        await ledger.append(Batch(chain(1, 2)))
    with pytest.raises(LedgerUnavailable, match="reopened"):
        await ledger.append(Batch(chain(1, 2)))
    assert await ledger.read(1, 0, 10) == []
    await ledger.reopen()
    head = (await ledger.workspaces())[0].seq
    assert head == (2 if kept else 0)
    await ledger.append(Batch(chain(1, 1, after=head)))


async def test_a_reopen_can_fail(ledger: FaultyLedger) -> None:
    """A reopen writes too: while that fails, the ledger stays unavailable."""
    ledger.fail_next(LedgerUnavailable("first"))
    ledger.fail_next(LedgerUnavailable("second"))
    with pytest.raises(LedgerUnavailable, match="first"):
        await ledger.append(Batch(chain(1, 1)))
    with pytest.raises(LedgerUnavailable, match="second"):
        await ledger.reopen()
    with pytest.raises(LedgerUnavailable, match="reopened"):
        await ledger.append(Batch(chain(1, 1)))
    await ledger.reopen()
    await ledger.append(Batch(chain(1, 1)))
