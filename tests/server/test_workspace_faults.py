"""A workspace whose ledger fails: what is told to whom, and that everything settles once afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from protocol import decide as rules
from protocol.actions import answer_id
from protocol.errors import Refused
from server import workspace as workspace_module
from server.ledger.port import LedgerConflict, LedgerUnavailable
from server.workspace import Applied, Lane, Workspace, WorkspaceUnavailable
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
    ledger.release_looks()
    await house.close()


@pytest.fixture
async def home(house: House) -> Workspace:
    return await house.workspace()


async def recovered(house: House, name: str = "home") -> Workspace:
    """The workspace as the registry has it once the ledger is back."""
    await until(lambda: house.registry._recovering is None, what="the recovery")
    workspace = await house.registry.open(name)
    assert workspace is not None
    return workspace


def unavailable(outcome: Any) -> bool:
    return isinstance(outcome, Refused) and outcome.code == "unavailable"


# The look-up fails.


async def test_a_failed_look_up_stops_its_lane_and_no_other(
    house: House, home: Workspace, ledger: BlindLedger
) -> None:
    """What could not be looked up is `unavailable`; behind it on its lane nothing is decided, elsewhere all is."""
    stopped, other = Lane(), Lane()
    ledger.blind = OUTAGE
    first = house.task(home, 1, lane=stopped)
    behind = house.task(home, 2, lane=stopped)
    assert unavailable(await first)
    ledger.blind = None
    later = house.task(home, 3, lane=stopped)
    assert verdict(await house.task(home, 4, lane=other)) == "applied"
    assert verdict(await house.task(home, 5)) == "applied"
    assert not behind.done()
    assert not later.done()
    assert set(home.committed.state.tasks) == {"t4", "t5"}
    assert home.broken is None


async def test_a_failed_look_up_does_not_hide_what_memory_knows(
    house: House, home: Workspace, ledger: BlindLedger
) -> None:
    """A repeat that memory knows is answered, also while the ledger cannot be asked."""
    await house.task(home, 1)
    ledger.blind = OUTAGE
    again, new = house.task(home, 1), house.task(home, 2)
    assert verdict(await again) == "duplicate"
    assert unavailable(await new)


async def test_unavailable_does_not_overtake_what_is_in_flight(
    house: House, home: Workspace, ledger: BlindLedger
) -> None:
    """A lane hears of its earlier action first, then that the later one cannot be done."""
    lane = Lane()
    ledger.hold()
    house.task(home, 1, lane=lane)
    await ledger.flushing.wait()
    ledger.blind = OUTAGE
    last = house.task(home, 2, lane=lane)
    await settle_loop()
    assert house.answers == []
    ledger.release()
    await last
    assert house.answers == [("c1", "applied"), ("c2", "refused unavailable")]


async def test_a_producer_hears_of_an_outage_as_an_exception(
    house: House, home: Workspace, ledger: BlindLedger
) -> None:
    """`unavailable` is no outcome for a producer: it raises, and the same id settles it later."""
    ledger.blind = OUTAGE
    with pytest.raises(WorkspaceUnavailable):
        await act(home, "assistant.remember", "c1", actor="assistant", text="tea")
    assert unavailable(await act(home, "user.remember", "c1", text="tea"))
    ledger.blind = None
    assert verdict(await act(home, "assistant.remember", "c1", actor="assistant", text="tea")) == "applied"


# The commit fails.


async def test_a_failed_commit_is_unknown_to_all_in_flight(
    house: House, home: Workspace, ledger: BlindLedger
) -> None:
    """Every action in flight and every answer that followed one is unknown; connections are cut with 4503."""
    reader = listen(home, "a", house.journal)
    ledger.hold()
    house.task(home, 1)
    await ledger.flushing.wait()
    house.task(home, 2)
    house.task(home, 1)
    last = house.post(home, "user.create_task", "c3", title="")
    caller = asyncio.get_running_loop().create_task(act(home, "user.remember", "c4", text="tea"))
    await settle_loop()
    before = home.committed
    ledger.fail_next(OUTAGE)
    ledger.release()
    await last
    with pytest.raises(WorkspaceUnavailable):
        await caller
    assert reader.left == [4503]
    assert reader.event_frames == []
    assert home.committed is before
    assert [(one, what) for one, what in house.answers if what != "unknown"] == []
    assert sorted(one for one, _ in house.answers) == ["c1", "c1", "c2", "c3"]
    assert house.watcher.commits == []


async def test_a_broken_workspace_stays_broken(house: House, home: Workspace, ledger: BlindLedger) -> None:
    """After the ledger is back the old workspace decides nothing more; a new one stands in its place."""
    ledger.fail_next(OUTAGE)
    assert verdict(await house.task(home, 1)) == "unknown"
    new = await recovered(house)
    assert new is not home
    assert home.broken is OUTAGE
    assert unavailable(await house.task(home, 2))
    assert unavailable(await house.task(home, 1))
    assert verdict(await house.task(new, 2)) == "applied"


@pytest.mark.parametrize("kept", [True, False])
async def test_retries_settle_once(house: House, home: Workspace, ledger: BlindLedger, kept: bool) -> None:
    """Whether the failed group was written or not, its actions sent again with their ids are there once."""
    ledger.hold()
    unsure = [house.task(home, number) for number in range(5)]
    unsure.append(house.post(home, "user.delete_task", "gone", task_id="t9"))
    await settle_loop()
    ledger.fail_next(OUTAGE, kept=kept)
    ledger.release()
    await asyncio.gather(*unsure)
    home = await recovered(house)
    assert len(home.committed.state.tasks) == (5 if kept else 0)
    house.journal.clear()
    retried = [house.task(home, number) for number in range(5)]
    retried.append(house.post(home, "user.delete_task", "gone", task_id="t9"))
    await asyncio.gather(*retried)
    words = ["duplicate" if kept else "applied"] * 5
    assert [what for _, what in house.answers] == [*words, "refused not_found"]
    assert home.committed.head.seq == 6
    assert verdict(await house.task(home, 5)) == "applied"


async def test_what_was_durable_before_the_failure_is_told_as_durable(
    house: House, home: Workspace, ledger: BlindLedger
) -> None:
    """Two groups that end in one turn of the loop, one durable, one failed: the first is applied and was shown."""
    reader = listen(home, "a", house.journal)
    ledger.hold()
    house.task(home, 1, reader=reader)
    await ledger.flushing.wait()
    last = house.task(home, 2)
    await settle_loop()

    async def flush() -> None:
        del ledger.flush
        raise OUTAGE

    ledger.flush = flush  # type: ignore[method-assign]  # the first group's is under way; this is the second's
    ledger.release()
    await last
    assert house.answers == [("c1", "applied"), ("c2", "unknown")]
    assert ("a", ("events 2-2", "ack c1")) in house.journal
    assert house.journal.index(("a", ("events 2-2", "ack c1"))) < house.journal.index(("a", "left", 4503))
    assert home.committed.head.seq == 2


async def test_a_conflict_breaks_and_heals_like_an_outage(
    house: House, home: Workspace, ledger: BlindLedger
) -> None:
    """A record that the ledger refuses costs the connections, not the workspace."""
    ledger.fail_next(LedgerConflict("already there"))
    assert verdict(await house.task(home, 1)) == "unknown"
    home = await recovered(house)
    assert verdict(await house.task(home, 1)) == "applied"


async def test_a_workspace_that_had_nothing_in_flight_is_given_up_too(
    house: House, home: Workspace, ledger: BlindLedger
) -> None:
    """Another workspace's failed commit ends this one: it is cut, and never writes beside its successor."""
    work = await house.workspace("work")
    reader = listen(work, "a")
    ledger.fail_next(OUTAGE)
    await house.task(home, 1)
    new = await recovered(house, "work")
    assert reader.left == [4503]
    assert new is not work
    assert unavailable(await house.task(work, 1))
    assert verdict(await house.task(new, 1)) == "applied"


async def test_a_failure_that_only_saved_text_met_is_noticed(
    house: House, home: Workspace, ledger: BlindLedger
) -> None:
    """A commit group of segments alone that failed: the next action is not decided, and the ledger comes back."""
    await act(home, "user.message", "c1", message_id="m1", text="hello")
    ledger.fail_next(OUTAGE)
    home.save_segment(answer_id("m1"), 0, "Good")
    await until(lambda: house.commits.failure is not None)
    assert unavailable(await house.task(home, 2))
    home = await recovered(house)
    assert verdict(await house.task(home, 2)) == "applied"


async def test_a_failure_that_only_saved_text_met_is_noticed_by_who_comes(
    house: House, home: Workspace, ledger: BlindLedger
) -> None:
    """A workspace that is not open is `unavailable` then, and that starts the recovery."""
    await house.ledger.create_workspace("work", "w-work", "2026-11-22T13:05:00.123Z")
    await act(home, "user.message", "c1", message_id="m1", text="hello")
    ledger.fail_next(OUTAGE)
    home.save_segment(answer_id("m1"), 0, "Good")
    await until(lambda: house.commits.failure is not None)
    with pytest.raises(WorkspaceUnavailable):
        await house.registry.open("work")
    assert await recovered(house, "work") is not None


async def test_a_stopping_queue_is_unknown_and_what_was_queued_stays(
    house: House, home: Workspace, ledger: BlindLedger
) -> None:
    """An action behind the end of the queue is not written; what was queued before becomes durable, in silence."""
    ledger.hold()
    first = house.task(home, 1)
    await ledger.flushing.wait()
    closing = asyncio.get_running_loop().create_task(house.commits.close())
    await settle_loop()
    second = house.task(home, 2)
    assert verdict(await second) == "unknown"
    assert verdict(await first) == "unknown"
    ledger.release()
    await closing
    await settle_loop()
    assert (await house.ledger.workspace("home")).seq == 2  # type: ignore[union-attr]  # it is there


# A bug.


async def test_a_bug_in_a_step_hangs_nobody(
    house: House, home: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a rule raises, what was decided and what stood behind it is unknown, is reported, and can be sent again."""
    reported: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))

    def decide(state: Any, action: Any, context: Any) -> Any:
        if action.client_action_id == "c2":
            raise ZeroDivisionError
        return rules.decide(state, action, context)

    monkeypatch.setattr(workspace_module, "decide", decide)
    outcomes = await asyncio.gather(*(house.task(home, number) for number in range(5)))
    assert {verdict(one) for one in outcomes} == {"unknown"}
    assert [type(one["exception"]) for one in reported] == [ZeroDivisionError]
    monkeypatch.undo()
    home = await recovered(house)
    retried = await asyncio.gather(*(house.task(home, number) for number in range(5)))
    assert {verdict(one) for one in retried} <= {"applied", "duplicate"}
    assert len(home.committed.state.tasks) == 5


async def test_a_bug_in_a_look_up_hangs_nobody(house: House, home: Workspace, ledger: BlindLedger) -> None:
    """An error of the look-up that is not the ledger's own is answered and healed as well."""
    reported: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    ledger.blind = ZeroDivisionError()
    assert verdict(await house.task(home, 1)) == "unknown"
    ledger.blind = None
    home = await recovered(house)
    assert isinstance(await home.submit("ana", "user.remember", "c2", body(text="tea")), Applied)
    assert len(reported) == 1
