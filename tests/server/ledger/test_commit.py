"""The output gate: grouping, order, failure, cancellation (the module's invariants by number)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from server.ledger.commit import CommitQueue
from server.ledger.port import LedgerConflict, LedgerError, LedgerUnavailable, LookUp, Record, Segment
from server.ledger.sqlite import SqliteLedger
from tests.support.ledgers import NOW, FaultyLedger, chain, event_row, make_record

OUTAGE = LedgerUnavailable("disk I/O error")


@dataclass
class Gate:
    """A commit queue and everything that it called back, in order."""

    ledger: FaultyLedger
    queue: CommitQueue
    heard: list[tuple[str, str]] = field(default_factory=list)

    def submit(self, *records: Record) -> None:
        for record in records:
            self.queue.submit(record, *self.callbacks(record.client_action_id))

    def callbacks(self, action: str) -> Any:
        return (
            lambda: self.heard.append(("durable", action)),
            lambda error: self.heard.append(("failed", action)),
        )

    def of(self, what: str) -> list[str]:
        return [action for kind, action in self.heard if kind == what]

    @property
    def groups(self) -> list[int]:
        return [len(batch.records) for batch in self.ledger.batches]


@pytest.fixture
async def gate() -> AsyncIterator[Gate]:
    gate = await open_gate()
    yield gate
    gate.ledger.release()
    await gate.queue.close()


async def open_gate(**bounds: int) -> Gate:
    ledger = FaultyLedger()
    await ledger.create_workspace("home", "w-home", NOW)
    await ledger.create_workspace("work", "w-work", NOW)
    ledger.flushing.clear()
    return Gate(ledger, CommitQueue(ledger, **bounds))


def reports() -> list[dict[str, Any]]:
    """What the loop's exception handler gets from now on."""
    seen: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: seen.append(context))
    return seen


# Grouping.


async def test_a_record_alone_goes_at_once(gate: Gate) -> None:
    """(2) Nothing waits for company: the flush begins as soon as the loop runs."""
    gate.ledger.hold()
    gate.submit(make_record())
    await asyncio.wait_for(gate.ledger.flushing.wait(), 5)
    gate.ledger.release()
    await gate.queue.drain()
    assert gate.groups == [1]
    assert gate.heard == [("durable", "c1")]


async def test_what_came_meanwhile_is_one_group(gate: Gate) -> None:
    """(2) While one commit is under way all others gather, of all workspaces, for the next."""
    gate.ledger.hold()
    gate.submit(*chain(1, 1))
    await gate.ledger.flushing.wait()
    gate.submit(*chain(1, 40, after=1), *chain(2, 20))
    assert gate.queue.depth == 61
    gate.ledger.release()
    await gate.queue.drain()
    assert gate.groups == [1, 60]
    assert (gate.queue.actions, gate.queue.flushes, gate.queue.depth) == (61, 2, 0)


async def test_nothing_is_heard_before_the_commit(gate: Gate) -> None:
    """(3) While the flush is under way nobody was called."""
    gate.ledger.hold()
    gate.submit(*chain(1, 3))
    await gate.ledger.flushing.wait()
    assert gate.heard == []
    gate.ledger.release()
    await gate.queue.drain()
    assert gate.of("durable") == ["c1", "c2", "c3"]


async def test_a_group_is_heard_before_the_next_is_written(gate: Gate) -> None:
    """(3) In the order of submission, and the first group whole before the second one's flush."""
    gate.ledger.hold()
    gate.submit(*chain(1, 1))
    await gate.ledger.flushing.wait()
    gate.submit(*chain(1, 2, after=1))
    gate.queue.submit(
        make_record(2, action="last"), lambda: gate.heard.append(("flushes", str(gate.ledger.flushes))), fail
    )
    gate.ledger.release()
    flushes = gate.ledger.flushes
    await gate.queue.drain()
    assert gate.heard == [
        ("durable", "c1"),
        ("durable", "c2"),
        ("durable", "c3"),
        ("flushes", str(flushes + 2)),
    ]


def fail(error: LedgerError) -> None:
    raise AssertionError(error)


async def test_a_callback_may_submit(gate: Gate) -> None:
    """What is submitted by a callback goes with the next group."""
    second = make_record(1, 1)
    gate.queue.submit(make_record(), lambda: gate.submit(second), fail)
    await gate.queue.drain()
    assert gate.groups == [1, 1]
    assert gate.of("durable") == ["c2"]


@pytest.mark.parametrize(
    ("bounds", "groups"),
    [
        ({"rows_max": 6}, [3, 3, 3, 1]),
        ({"bytes_max": 250}, [2, 2, 2, 2, 2]),
        ({"rows_max": 1}, [1] * 10),
        ({"bytes_max": 0}, [1] * 10),
        ({}, [10]),
    ],
)
async def test_a_group_is_bounded(bounds: dict[str, int], groups: list[int]) -> None:
    """Rows (an outcome and an event each here) and bytes are bounded; a record larger than both goes alone."""
    gate = await open_gate(**bounds)
    gate.submit(
        *(
            make_record(1, seq - 1, action=f"c{seq}", events=[event_row(seq, data=b"x" * 100)])
            for seq in range(1, 11)
        )
    )
    await gate.queue.drain()
    assert gate.groups == groups
    assert gate.of("durable") == [f"c{seq}" for seq in range(1, 11)]


async def test_segments_go_along_in_their_place(gate: Gate) -> None:
    """(1) A segment is written no later than the record behind it, so what is sealed stays sealed."""
    gate.queue.save_segment(Segment(1, "m1", 0, "ab"))
    gate.queue.save_segment(Segment(1, "m2", 0, "x"))
    gate.submit(make_record(1, 0, sealed=["m1"]))
    await gate.queue.drain()
    assert await gate.ledger.segments(1) == {"m2": "x"}
    assert (gate.queue.actions, gate.queue.flushes) == (1, 1)
    gate.queue.save_segment(Segment(1, "m2", 1, "y"))
    await gate.queue.drain()
    assert await gate.ledger.segments(1) == {"m2": "xy"}
    assert (gate.queue.actions, gate.queue.flushes) == (1, 2)


async def test_64_under_way_share_flushes(tmp_path: Path) -> None:
    """Over a real file, with 64 actions always under way: fewer than 0.2 flushes an action."""
    ledger = await SqliteLedger.open(tmp_path / "ledger.db")
    await ledger.create_workspace("home", "w-home", NOW)
    queue, flushes, finished = CommitQueue(ledger), ledger.flushes, asyncio.Event()
    records = iter(chain(1, 1_000))

    def submit() -> None:
        record = next(records, None)
        if record is not None:
            queue.submit(record, submit, fail)
        elif queue.depth == 0:
            finished.set()

    for _ in range(64):
        submit()
    await asyncio.wait_for(finished.wait(), 60)
    assert queue.actions == 1_000
    assert ledger.flushes - flushes == queue.flushes < 200
    await ledger.close()


# Failure.


async def test_a_failure_stops_the_queue(gate: Gate) -> None:
    """(3, 4) The group and all behind it fail once, in order; so does what comes later, until `recover`."""
    gate.ledger.fail_next(OUTAGE)
    gate.ledger.hold()
    gate.submit(*chain(1, 2))
    await gate.ledger.flushing.wait()
    gate.submit(*chain(1, 2, after=2), *chain(2, 1, name="f"))
    gate.queue.save_segment(Segment(1, "m1", 0, "a"))
    gate.ledger.release()
    with pytest.raises(LedgerUnavailable, match="disk"):
        await gate.queue.drain()
    assert gate.heard == [("failed", action) for action in ("c1", "c2", "c3", "c4", "c1")]
    gate.submit(make_record(action="late"))
    assert gate.heard[-1] == ("failed", "late")
    gate.queue.save_segment(Segment(1, "m1", 0, "a"))
    assert (gate.queue.depth, gate.queue.failure) == (0, OUTAGE)

    await gate.queue.recover()
    assert gate.queue.failure is None
    gate.submit(make_record(action="again"))
    await gate.queue.drain()
    assert gate.heard[-1] == ("durable", "again")
    assert await gate.ledger.segments(1) == {}


async def test_a_record_that_failed_may_be_there(gate: Gate) -> None:
    """Who was told of a failure looks into the reopened ledger: the outcome may stand in it."""
    gate.ledger.fail_next(OUTAGE, kept=True)
    gate.submit(make_record())
    with pytest.raises(LedgerUnavailable):
        await gate.queue.drain()
    await gate.queue.recover()
    (found,) = await gate.ledger.look_up([LookUp(1, "ana", "c1")])
    assert gate.heard == [("failed", "c1")]
    assert found.outcome is not None


async def test_a_conflict_is_a_failure_too(gate: Gate) -> None:
    """Another head than expected: somebody else wrote; all that was decided since is void."""
    heard: list[LedgerError] = []
    gate.queue.submit(make_record(1, 5), lambda: fail(OUTAGE), heard.append)
    with pytest.raises(LedgerConflict):
        await gate.queue.drain()
    assert [type(error) for error in heard] == [LedgerConflict]
    await gate.queue.recover()
    gate.submit(make_record())
    await gate.queue.drain()
    assert gate.heard == [("durable", "c1")]


async def test_a_recovery_may_fail(gate: Gate) -> None:
    """While the ledger cannot be reopened the queue stays stopped; the caller tries again."""
    gate.ledger.fail_next(OUTAGE)
    gate.ledger.fail_next(LedgerUnavailable("still"))
    gate.submit(make_record())
    with pytest.raises(LedgerUnavailable):
        await gate.queue.drain()
    with pytest.raises(LedgerUnavailable, match="still"):
        await gate.queue.recover()
    gate.submit(make_record(action="c2"))
    assert gate.of("failed") == ["c1", "c2"]
    await gate.queue.recover()
    assert gate.queue.failure is None


async def test_many_recover_at_once(gate: Gate) -> None:
    """However many workspaces ask, also one that is cancelled: the ledger is reopened once."""
    gate.ledger.fail_next(OUTAGE)
    gate.submit(make_record())
    with pytest.raises(LedgerUnavailable):
        await gate.queue.drain()
    gate.ledger.hold()
    gate.ledger.flushing.clear()
    flushes = gate.ledger.flushes
    tasks = [asyncio.create_task(gate.queue.recover()) for _ in range(5)]
    await gate.ledger.flushing.wait()
    tasks[0].cancel()
    gate.ledger.release()
    assert [type(result) for result in await asyncio.gather(*tasks, return_exceptions=True)] == [
        asyncio.CancelledError,
        *[type(None)] * 4,
    ]
    assert gate.ledger.flushes - flushes == 1
    await gate.queue.recover()
    assert gate.ledger.flushes - flushes == 1


async def test_an_on_failed_may_submit(gate: Gate) -> None:
    """What is submitted while the queue tells of a failure is refused, not queued."""
    refused: list[LedgerError] = []
    gate.ledger.fail_next(OUTAGE)
    gate.queue.submit(
        make_record(),
        lambda: fail(OUTAGE),
        lambda error: gate.queue.submit(make_record(), lambda: None, refused.append),
    )
    with pytest.raises(LedgerUnavailable):
        await gate.queue.drain()
    assert refused == [OUTAGE]


async def test_a_callback_that_raises_is_reported(gate: Gate) -> None:
    """A bug of one workspace keeps no other from being called, and is not swallowed."""
    seen = reports()
    gate.queue.submit(make_record(), lambda: fail(OUTAGE), fail)
    gate.submit(make_record(1, 1))
    await gate.queue.drain()
    assert gate.heard == [("durable", "c2")]
    assert [type(context["exception"]) for context in seen] == [AssertionError]


async def test_a_bug_in_the_ledger_is_reported(gate: Gate) -> None:
    """What is no error of the ledger's own fails the group all the same, and the loop hears of it."""
    seen = reports()
    gate.ledger.fail_next(ZeroDivisionError())
    gate.submit(*chain(1, 2))
    with pytest.raises(LedgerUnavailable, match="unknown"):
        await gate.queue.drain()
    assert gate.heard == [("failed", "c1"), ("failed", "c2")]
    assert [type(context["exception"]) for context in seen] == [ZeroDivisionError]
    await gate.queue.recover()
    gate.submit(make_record())
    await gate.queue.drain()
    assert gate.heard[-1] == ("durable", "c1")


async def test_a_bad_record_stops_at_the_door(gate: Gate) -> None:
    """What does not add up, or cannot be encoded, is its sender's bug and nobody else's."""
    with pytest.raises(AssertionError):
        gate.submit(replace(make_record(), expected_seq=3))
    with pytest.raises(UnicodeEncodeError):
        gate.queue.save_segment(Segment(1, "m1", 0, "\ud800"))
    gate.submit(make_record())
    await gate.queue.drain()
    assert gate.heard == [("durable", "c1")]


# Cancellation and the end.


async def test_no_caller_stops_a_commit(gate: Gate) -> None:
    """(5) The task that submitted, and one that drains, are cancelled: the commit goes on."""
    gate.ledger.hold()

    async def submit_and_drain() -> None:
        gate.submit(make_record())
        await gate.queue.drain()

    task = asyncio.create_task(submit_and_drain())
    await gate.ledger.flushing.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    gate.ledger.release()
    await gate.queue.drain()
    assert gate.heard == [("durable", "c1")]


@pytest.mark.parametrize("started", [True, False])
async def test_a_closing_loop_fails_what_waits(gate: Gate, started: bool) -> None:
    """A loop that closes cancels every task, begun or not: all who wait hear once that nobody knows."""
    gate.ledger.hold()
    gate.submit(*chain(1, 2))
    if started:
        await gate.ledger.flushing.wait()
        gate.submit(make_record(1, 2))
    (task,) = asyncio.all_tasks() - {asyncio.current_task()}
    task.cancel()
    with pytest.raises(LedgerUnavailable, match="unknown"):
        await gate.queue.drain()
    assert gate.heard == [("failed", "c1"), ("failed", "c2"), ("failed", "c3")][: 3 if started else 2]


async def test_close_waits_and_refuses(gate: Gate) -> None:
    """What is queued becomes durable; what comes after is refused; a second close does nothing."""
    gate.ledger.hold()
    gate.submit(make_record())
    closing = asyncio.create_task(gate.queue.close())
    await gate.ledger.flushing.wait()
    gate.submit(make_record(1, 1))
    assert gate.heard == [("failed", "c2")]
    gate.ledger.release()
    await closing
    await gate.queue.close()
    assert gate.heard == [("failed", "c2"), ("durable", "c1")]
    assert await gate.ledger.seq_of(1, "e1") == 1


async def test_draining_nothing_is_immediate(gate: Gate) -> None:
    """An idle queue has no task of its own and nothing to wait for."""
    assert asyncio.all_tasks() == {asyncio.current_task()}
    await gate.queue.drain()


# Everything together.

STEPS = st.lists(
    st.sampled_from(
        ["submit 1", "submit 1", "submit 2", "yield", "yield", "lose", "keep", "hold", "release"]
    ),
    max_size=40,
)


async def _walk(steps: list[str]) -> None:
    gate = await open_gate(rows_max=7)
    made: list[str] = []

    async def rebuild() -> dict[int, int]:
        return {row.key: row.seq for row in await gate.ledger.workspaces()}

    heads = await rebuild()
    for step in [*steps, "release"]:
        match step.split():
            case ["submit", key]:
                workspace, action = int(key), f"c{len(made)}"
                if gate.queue.failure is not None:
                    gate.ledger.heal()
                    await gate.queue.recover()
                    heads = await rebuild()
                gate.submit(make_record(workspace, heads[workspace], action=action, name=f"{action}-"))
                made.append(action)
                heads[workspace] += 1
            case ["lose" | "keep" as fate]:
                if gate.queue.failure is None and gate.queue.depth:
                    gate.ledger.fail_next(LedgerUnavailable(fate), kept=fate == "keep")
            case ["hold"] if gate.queue.failure is None:
                gate.ledger.hold()
            case ["release"]:
                gate.ledger.release()
            case _:
                await asyncio.sleep(0)
    await gate.queue.close()
    gate.ledger.heal()
    await gate.ledger.reopen()
    found = await gate.ledger.look_up([LookUp(w, "ana", action) for action in made for w in (1, 2)])
    there = {made[place // 2] for place, row in enumerate(found) if row.outcome is not None}
    assert sorted(action for _, action in gate.heard) == sorted(made)
    assert set(gate.of("durable")) <= there
    assert there - set(gate.of("durable")) <= set(gate.of("failed"))


@settings(max_examples=150, deadline=None)
@given(STEPS)
def test_each_is_heard_of_once_and_durable_means_there(steps: list[str]) -> None:
    """Whatever is submitted, held, lost or kept: one callback each, and what was called durable is there."""
    asyncio.run(_walk(steps))
