"""The ledger suite over each implementation, and both against each other."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.ledger.memory import MemoryLedger
from server.ledger.port import Agenda, Batch, Ledger, LedgerConflict, LookUp, Record, Segment
from server.ledger.sqlite import SqliteLedger
from tests.contracts.ledger_suite import LedgerSuite
from tests.support.ledgers import NOW, event_row, make_record, rejection


class TestSqliteLedger(LedgerSuite):
    """The file keeps the contract."""

    @pytest.fixture
    async def ledger(self, tmp_path: Path) -> AsyncIterator[Ledger]:
        ledger = await SqliteLedger.open(tmp_path / "ledger.db")
        yield ledger
        await ledger.close()


class TestMemoryLedger(LedgerSuite):
    """The memory keeps the contract, and is therefore a fair stand-in."""

    @pytest.fixture
    async def ledger(self) -> Ledger:
        return MemoryLedger()


NAMES = st.sampled_from(["a", "b", "c", "d"])
ACTIONS = st.integers(0, 30).map(str)
AGENDAS = st.none() | st.builds(Agenda, st.booleans(), st.none() | st.just(NOW))


@st.composite
def plans(draw: st.DrawFn) -> Callable[[dict[int, int]], Record]:
    """A record for the heads that it will meet: mostly a right one; the ids are few, so that they clash."""
    workspace = draw(st.sampled_from([1, 1, 1, 2, 2, 3]))
    off = draw(st.sampled_from([0, 0, 0, 0, 0, 0, 1]))
    action, actor = draw(ACTIONS), draw(NAMES)
    datas = draw(st.none() | st.lists(st.binary(min_size=1, max_size=40), max_size=3))
    names = draw(st.lists(NAMES, min_size=3, max_size=3))
    entity_ids, sealed = draw(st.lists(ACTIONS, max_size=2)), draw(st.lists(NAMES, max_size=2))
    agenda = draw(AGENDAS)

    def build(heads: dict[int, int]) -> Record:
        after = heads.get(workspace, 0) + off
        if datas is None:
            return rejection(workspace, after, action=action, actor=actor)
        rows = [event_row(after + 1 + i, name=names[i], data=data) for i, data in enumerate(datas)]
        heads[workspace] = after + len(rows)
        return make_record(
            workspace,
            after,
            events=rows,
            entity_ids=entity_ids,
            sealed=sealed,
            agenda=agenda,
            action=action,
            actor=actor,
        )

    return build


SEGMENTS = st.builds(
    Segment,
    st.integers(1, 2),
    NAMES,
    st.integers(0, 6),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=6),
)
BATCHES = st.tuples(st.lists(plans(), max_size=3), st.lists(SEGMENTS, max_size=3))
Plan = tuple[list[Callable[[dict[int, int]], Record]], list[Segment]]


async def _content(ledger: Ledger) -> list[object]:
    """All that can be seen of a ledger."""
    asked = [
        LookUp(w, actor, action, ("a", "b", "c", "d"))
        for w in (1, 2, 3)
        for actor in "abcd"
        for action in "abcd"
    ]
    seen: list[object] = [await ledger.workspaces(), await ledger.agenda(), await ledger.look_up(asked)]
    for workspace in (1, 2, 3):
        seen += [await ledger.read(workspace, 0, 100), await ledger.read(workspace, 1, 4, 50)]
        seen += [await ledger.segments(workspace), await ledger.seq_of(workspace, "a2")]
    return seen


async def _accepts(ledger: Ledger, batch: Batch) -> bool:
    try:
        await ledger.append(batch)
    except LedgerConflict:
        return False
    return True


async def _compare(batches: list[Plan]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ledgers: list[Ledger] = [await SqliteLedger.open(Path(folder) / "ledger.db"), MemoryLedger()]
        try:
            for ledger in ledgers:
                for name in ("home", "work"):
                    await ledger.create_workspace(name, f"w-{name}", NOW)
            for plan, segments in batches:
                heads = {row.key: row.seq for row in await ledgers[1].workspaces()}
                batch = Batch(tuple(build(heads) for build in plan), tuple(segments))
                first, second = [await _accepts(ledger, batch) for ledger in ledgers]
                assert first == second
            first_content, second_content = [await _content(ledger) for ledger in ledgers]
            assert first_content == second_content
        finally:
            for ledger in ledgers:
                await ledger.close()


@settings(max_examples=60, deadline=None)
@given(st.lists(BATCHES, max_size=8))
def test_both_ledgers_hold_the_same(batches: list[Plan]) -> None:
    """Random batches are accepted or refused alike and give the same content in file and memory."""
    asyncio.run(_compare(batches))
