"""Which workspaces are open: one of a name, made once, made anew after an outage (the module's invariants by number)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol import limits
from protocol.actions import answer_id
from protocol.state import INITIAL, recomputed
from server.ledger.port import Agenda, Batch, LedgerUnavailable, Record
from server.registry import fold_ledger
from server.workspace import Workspace, WorkspaceUnavailable
from tests.support.ledgers import NOW, event_row, make_record
from tests.support.wait import until
from tests.support.workspaces_real import BlindLedger, House, act, body, listen, settle_loop, verdict

OUTAGE = LedgerUnavailable("disk I/O error")


@pytest.fixture
def ledger() -> BlindLedger:
    return BlindLedger()


@pytest.fixture
async def house(ledger: BlindLedger) -> AsyncIterator[House]:
    house = House(ledger)
    yield house
    ledger.heal()
    ledger.release()
    await house.close()


async def closed(house: House) -> House:
    """Another server on the same ledger, with nothing open."""
    await house.close()
    return House(house.ledger, clock=house.clock)


# Opening.


async def test_there_is_one_workspace_of_a_name(house: House) -> None:
    """Twenty that open a name at once get the one workspace, read once."""
    await house.workspace()
    again = await closed(house)
    assert isinstance(again.ledger, BlindLedger)
    reads = again.ledger.reads
    found = await asyncio.gather(*(again.registry.open("home") for _ in range(20)))
    assert len({id(one) for one in found}) == 1
    assert again.ledger.reads == reads + 1
    assert again.watcher.opened_names == ["home"]
    assert again.registry.workspaces == [found[0]]
    await again.close()


async def test_making_one_at_once_makes_one(house: House) -> None:
    """Twenty that create a name at once, among others that only open it, get the one workspace."""
    opened = [house.registry.open("home") for _ in range(5)]
    made = await asyncio.gather(*(house.registry.create("home") for _ in range(20)), *opened)
    assert len({id(one) for one in made if one is not None}) == 1
    assert len(await house.ledger.workspaces()) == 1


async def test_making_one_while_somebody_looks_in_vain(house: House, ledger: BlindLedger) -> None:
    """An opening that began before the workspace was made does not make its maker fail."""
    real, first = ledger.workspace, asyncio.Event()
    looked = 0

    async def workspace(name: str) -> Any:
        nonlocal looked
        looked += 1
        found = await real(name)
        if looked == 1:
            await first.wait()
        return found

    ledger.workspace = workspace  # type: ignore[method-assign]  # the first look is slow
    looking = asyncio.get_running_loop().create_task(house.registry.open("home"))
    await settle_loop()
    making = asyncio.get_running_loop().create_task(house.registry.create("home"))
    await settle_loop()
    first.set()
    assert await looking is None
    assert (await making).name == "home"


async def test_what_is_not_there_is_none(house: House) -> None:
    """A name that no workspace has opens nothing and makes nothing."""
    assert await house.registry.open("home") is None
    assert await house.ledger.workspaces() == []
    assert house.registry.workspaces == []


async def test_whoever_opens_waits_for_the_producers(house: House) -> None:
    """Nobody gets a workspace before its producers have found what must go on, however many ask."""
    await house.workspace()
    again = await closed(house)
    gate = asyncio.Event()
    again.watcher.on_opened = lambda _: gate.wait()
    asking = [asyncio.get_running_loop().create_task(again.registry.open("home")) for _ in range(3)]
    await until(lambda: again.watcher.opened_names)
    late = asyncio.get_running_loop().create_task(again.registry.open("home"))
    await settle_loop()
    assert not any(task.done() for task in (*asking, late))
    gate.set()
    assert len(set(await asyncio.gather(*asking, late))) == 1
    await again.close()


async def test_who_asked_first_may_go(house: House) -> None:
    """The opening belongs to the registry: the first that asked is cancelled, the second gets the workspace."""
    await house.workspace()
    again = await closed(house)
    first = asyncio.get_running_loop().create_task(again.registry.open("home"))
    await asyncio.sleep(0)
    second = asyncio.get_running_loop().create_task(again.registry.open("home"))
    await asyncio.sleep(0)
    first.cancel()
    assert await second is not None
    assert first.cancelled()
    assert again.watcher.opened_names == ["home"]
    await again.close()


async def test_a_producer_that_cannot_start_keeps_nobody_out(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    """A bug of a producer is logged; the workspace opens, and is the same for the next one."""
    await house.workspace()
    again = await closed(house)

    async def fail(_: Workspace) -> None:
        raise ZeroDivisionError

    again.watcher.on_opened = fail
    home = await again.registry.open("home")
    assert home is not None
    assert await again.registry.open("home") is home
    assert "a producer could not start" in caplog.text
    assert verdict(await again.task(home, 1)) == "applied"
    await again.close()


async def test_a_ledger_that_fails_under_a_producer_opens_nothing(house: House) -> None:
    """Where a producer cannot read what was saved, the workspace is unavailable, and opens once that works."""
    await house.workspace()
    again = await closed(house)

    async def fail(_: Workspace) -> None:
        again.watcher.on_opened = None
        raise OUTAGE

    again.watcher.on_opened = fail
    with pytest.raises(WorkspaceUnavailable):
        await again.registry.open("home")
    await until(lambda: again.registry._recovering is None)
    assert await again.registry.open("home") is not None
    assert again.watcher.opened_names == ["home", "home"]
    await again.close()


async def test_a_ledger_that_cannot_be_read_opens_nothing(house: House) -> None:
    """An event that is none is one workspace's trouble: it is unavailable, in words, and the others open."""
    row = await house.ledger.create_workspace("bad", "w-bad", NOW)
    await house.ledger.append(_batch(make_record(row.key, events=[event_row(1, data=b"{}")])))
    home = await house.workspace()
    with pytest.raises(WorkspaceUnavailable, match="not an event"):
        await house.registry.open("bad")
    assert verdict(await house.task(home, 1)) == "applied"


def _batch(*records: Record) -> Batch:
    return Batch(records=records)


# Going on after a restart.


async def test_a_start_opens_only_what_waits(house: House) -> None:
    """A workspace with an open answer, a waiting question or a running plan is opened, a quiet one is not."""
    spaces = {name: await house.workspace(name) for name in ("quiet", "streams", "waits", "plans", "ended")}
    for name in ("streams", "waits", "ended"):
        await act(spaces[name], "user.message", "c1", message_id="m1", text="hello")
    await act(spaces["waits"], "user.message", "c2", message_id="m2", text="and this")
    await act(spaces["waits"], "user.interrupt", "c3", message_id=answer_id("m1"))
    await act(spaces["ended"], "user.interrupt", "c3", message_id=answer_id("m1"))
    await act(spaces["plans"], "user.request_plan", "c1", date="2026-11-22")
    again = await closed(house)
    await again.registry.resume()
    assert again.watcher.opened_names == ["streams", "waits", "plans"]
    await again.close()


async def test_one_that_cannot_go_on_keeps_no_other_from_it(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    """At a start a workspace that cannot be opened is logged, and the next one is opened all the same."""
    row = await house.ledger.create_workspace("bad", "w-bad", NOW)
    record = make_record(row.key, events=[event_row(1, data=b"{}")], agenda=Agenda(waits=True))
    await house.ledger.append(_batch(record))
    home = await house.workspace()
    await act(home, "user.message", "c1", message_id="m1", text="hello")
    again = await closed(house)
    await again.registry.resume()
    assert again.watcher.opened_names == ["home"]
    assert "workspace bad" in caplog.text
    await again.close()


# Outages.


async def test_nothing_opens_during_an_outage(house: House, ledger: BlindLedger) -> None:
    """Until the ledger is back every opening is unavailable; then all is there, and what waited was resumed."""
    home = await house.workspace()
    await house.workspace("work")
    await act(home, "user.message", "m1", message_id="m1", text="hello")
    reader, slept, gate = listen(home, "a"), list[float](), asyncio.Event()

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        await gate.wait()

    house.clock.sleep = sleep  # type: ignore[method-assign]  # it waits for the test
    for _ in range(4):
        ledger.fail_next(OUTAGE)
    assert verdict(await house.task(home, 1)) == "unknown"
    await until(lambda: slept)
    for name in ("home", "work", "nothing"):
        with pytest.raises(WorkspaceUnavailable):
            await house.registry.open(name)
    house.watcher.opened_names.clear()
    gate.set()
    await until(lambda: house.registry._recovering is None)
    assert reader.left == [4503]
    assert house.watcher.opened_names == ["home"]
    assert slept == [0.1, 0.2, 0.4]
    assert home in house.watcher.closed
    assert [one.name for one in house.registry.workspaces] == ["home"]


async def test_an_outage_while_a_workspace_opens(house: House, ledger: BlindLedger) -> None:
    """A workspace that is being read when the ledger fails is unavailable, and read again after it."""
    home = await house.workspace()
    await house.ledger.create_workspace("work", "w-work", NOW)
    gate, opened, real = asyncio.Event(), asyncio.Event(), ledger.workspace

    async def workspace(name: str) -> Any:
        found = await real(name)
        if name == "work":
            await gate.wait()
        return found

    ledger.workspace = workspace  # type: ignore[method-assign]  # the opening is slow
    opening = asyncio.get_running_loop().create_task(house.registry.open("work"))
    await settle_loop()
    sleeping = asyncio.Event()

    async def sleep(seconds: float) -> None:
        sleeping.set()
        await opened.wait()

    house.clock.sleep = sleep  # type: ignore[method-assign]  # the outage lasts until the opening has ended
    ledger.fail_next(OUTAGE)
    ledger.fail_next(OUTAGE)
    house.task(home, 1)
    await sleeping.wait()
    gate.set()
    with pytest.raises(WorkspaceUnavailable):
        await opening
    opened.set()
    await until(lambda: house.registry._recovering is None)
    work = await house.registry.open("work")
    assert work is not None
    assert work.broken is None


async def test_an_outage_while_its_producers_start(house: House, ledger: BlindLedger) -> None:
    """A workspace that is given up before its opening ends is not handed out, and its producers are closed."""
    home = await house.workspace()
    await house.ledger.create_workspace("work", "w-work", NOW)
    gate = asyncio.Event()
    started: list[Workspace] = []

    async def start(workspace: Workspace) -> None:
        started.append(workspace)
        await gate.wait()

    house.watcher.on_opened = start
    opening = asyncio.get_running_loop().create_task(house.registry.open("work"))
    await until(lambda: started)
    ledger.fail_next(OUTAGE)
    assert verdict(await house.task(home, 1)) == "unknown"
    await until(lambda: house.registry.outage is None)
    gate.set()
    with pytest.raises(WorkspaceUnavailable):
        await opening
    assert started[0].broken is not None
    assert started[0] in house.watcher.closed
    work = await house.registry.open("work")
    assert work is not None
    assert work is not started[0]


async def test_an_outage_again_while_it_resumes(house: House, ledger: BlindLedger) -> None:
    """A ledger that fails again while what waits is opened is recovered again."""
    home = await house.workspace()
    await act(home, "user.message", "m1", message_id="m1", text="hello")
    fell = False

    async def start(workspace: Workspace) -> None:
        nonlocal fell
        if not fell:
            fell = True
            ledger.fail_next(OUTAGE)
            with pytest.raises(WorkspaceUnavailable):
                await workspace.submit("system", "system.set_member", "x", body(actor="ed", role="editor"))

    house.watcher.on_opened = start
    ledger.fail_next(OUTAGE)
    house.task(home, 1)
    await until(lambda: fell and house.registry._recovering is None)
    again = await house.registry.open("home")
    assert again is not None
    assert verdict(await house.task(again, 1)) == "applied"


async def test_a_workspace_that_could_not_be_made_heals_the_ledger(house: House, ledger: BlindLedger) -> None:
    """A write of the registry's own that failed starts the recovery: the next try works, with no action between."""
    ledger.fail_next(OUTAGE)
    with pytest.raises(WorkspaceUnavailable):
        await house.registry.create("home")
    await until(lambda: house.registry._recovering is None)
    assert (await house.registry.create("home")).name == "home"


async def test_a_producer_that_cannot_stop_does_not_stop_the_recovery(
    house: House, ledger: BlindLedger, caplog: pytest.LogCaptureFixture
) -> None:
    """A bug in a producer's end is logged, and the ledger is reopened all the same."""
    home = await house.workspace()
    real = house.watcher.close

    async def close(workspace: Workspace | None = None) -> None:
        await real(workspace)
        if workspace is not None:
            raise ZeroDivisionError

    house.watcher.close = close  # type: ignore[method-assign]  # the bug
    ledger.fail_next(OUTAGE)
    assert verdict(await house.task(home, 1)) == "unknown"
    await until(lambda: house.registry._recovering is None)
    assert "a producer could not stop" in caplog.text
    assert await house.registry.open("home") is not home


# The end.


async def test_a_closed_registry_opens_nothing(house: House) -> None:
    """After a close what was open is drained, its producers are stopped, and nothing more opens."""
    home = await house.workspace()
    answers = [house.task(home, number) for number in range(300)]
    await house.close()
    assert all(verdict(one.result()) == "applied" for one in answers)
    assert house.watcher.closed == [None]
    await house.ledger.create_workspace("work", "w-work", NOW)
    with pytest.raises(WorkspaceUnavailable):
        await house.registry.open("work")


async def test_a_close_waits_for_openings(house: House) -> None:
    """Producers are stopped after the last of them was started, so none is left behind."""
    await house.workspace()
    again = await closed(house)
    gate = asyncio.Event()
    again.watcher.on_opened = lambda _: gate.wait()
    opening = asyncio.get_running_loop().create_task(again.registry.open("home"))
    await until(lambda: again.watcher.opened_names)
    closing = asyncio.get_running_loop().create_task(again.close())
    await settle_loop()
    assert again.watcher.closed == []
    gate.set()
    await closing
    assert await opening is not None
    assert again.watcher.closed == [None]


async def test_a_close_ends_a_recovery(house: House, ledger: BlindLedger) -> None:
    """A server that stops during an outage does not wait for the ledger's return."""
    home = await house.workspace()

    async def sleep(seconds: float) -> None:
        await asyncio.Event().wait()

    house.clock.sleep = sleep  # type: ignore[method-assign]  # it would wait for ever
    ledger.fail_next(OUTAGE)
    ledger.fail_next(OUTAGE)
    house.task(home, 1)
    await until(lambda: house.registry._resting is not None)
    await asyncio.wait_for(house.close(), 5)
    assert house.registry._recovering is None


# The fold.


async def test_a_ledger_folds_to_the_state_that_was_kept(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read page by page, a ledger gives the state and digest that the workspace kept; at each seq too."""
    monkeypatch.setattr(limits, "replay_page_events_max", 3)
    home = await house.workspace()
    states = {0: INITIAL, 1: home.committed.state}
    for number in range(12):
        await house.task(home, number)
        states[home.committed.head.seq] = home.committed.state
        if number % 3 == 0:
            await act(home, "user.delete_task", f"d{number}", task_id=f"t{number}")
            states[home.committed.head.seq] = home.committed.state
    row = await house.ledger.workspace("home")
    assert row is not None
    for seq, state in states.items():
        folded = await fold_ledger(house.ledger, row, seq)
        assert folded.digest == state.digest == recomputed(folded)
        assert folded == state


_STEPS = st.lists(
    st.sampled_from(
        [
            ("user.create_task", {"title": "Buy milk"}),
            ("user.create_task", {"task_id": "t1", "title": "Buy milk"}),
            ("user.update_task", {"task_id": "t1", "status": "done"}),
            ("user.update_task", {"task_id": "t1", "title": "Buy tea", "tags": ["x"]}),
            ("user.delete_task", {"task_id": "t1"}),
            ("user.message", {"message_id": "m1", "text": "hello"}),
            ("user.message", {"text": "again"}),
            ("user.message", {"text": "no", "supersede": True}),
            ("user.interrupt", {"message_id": answer_id("m1")}),
            ("user.request_plan", {"date": "2026-11-22"}),
            ("user.remember", {"text": "tea"}),
            ("user.update_settings", {"timezone": "Europe/Berlin"}),
            ("user.create_thread", {"title": "Garden"}),
            ("user.set_member", {"actor": "ed", "role": "viewer"}),
        ]
    ),
    max_size=25,
)


@given(steps=_STEPS, trim=st.booleans())
@settings(max_examples=30)
def test_a_restart_changes_nothing(steps: list[tuple[str, dict[str, Any]]], trim: bool) -> None:
    """Whatever was done, the workspace that is opened anew has the same state, head, agenda and open answers."""

    async def run() -> None:
        house = House(BlindLedger())
        home = await house.workspace()
        for number, (kind, payload) in enumerate(steps):
            await home.submit("ana", kind, f"c{number}", body(**payload))
        again = await house.reopened()
        assert again.committed.state == home.committed.state
        assert again.committed.state.digest == recomputed(home.committed.state)
        assert again.committed.head == home.committed.head
        assert set(again.streams.texts) == set(again.committed.state.assistant.streaming)
        state = again.committed.state
        unfinished = bool(state.assistant.streaming or state.assistant.waiting or state.plans)
        assert bool(await house.ledger.agenda()) == unfinished
        await house.close()

    with pytest.MonkeyPatch.context() as patch:
        if trim:
            patch.setattr(limits, "thread_messages_max", 2)
            patch.setattr(limits, "closed_tasks_max", 1)
        asyncio.run(run())
