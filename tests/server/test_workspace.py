"""The only writer: order, exactly once, the output gate (the module's invariants by number)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from protocol import limits
from protocol.actions import answer_id
from protocol.errors import Refused
from protocol.events import LlmInterrupted, MessageStream
from protocol.frames import Token
from server.ledger.sqlite import SqliteLedger
from server.workspace import Applied, Lane, Workspace
from tests.support.workspaces_real import (
    BlindLedger,
    House,
    Watcher,
    act,
    body,
    listen,
    settle_loop,
    verdict,
)


@pytest.fixture
def ledger() -> BlindLedger:
    return BlindLedger()


@pytest.fixture
async def house(ledger: BlindLedger) -> AsyncIterator[House]:
    house = House(ledger)
    yield house
    ledger.release()
    await house.close()


@pytest.fixture
async def home(house: House) -> Workspace:
    return await house.workspace()


async def create(workspace: Workspace, number: int, **payload: object) -> Any:
    fields: dict[str, Any] = {"task_id": f"t{number}", "title": "Buy milk", **payload}
    return await act(workspace, "user.create_task", f"c{number}", **fields)


def refused(outcome: Any, code: str) -> bool:
    return isinstance(outcome, Refused) and outcome.code == code


# Order.


async def test_actions_are_decided_in_the_order_of_their_posts(house: House, home: Workspace) -> None:
    """More actions than a step takes, of three lanes mixed, give events in the order in which they were posted."""
    lanes = [Lane(), Lane(), None]
    count = 2 * limits.inbox_batch_max + 7
    answers = [house.task(home, number, lane=lanes[number % 3]) for number in range(count)]
    await asyncio.gather(*answers)
    rows = await house.ledger.read(home.key, 1, count)
    assert [row.seq for row in rows] == list(range(2, count + 2))
    assert [action for action, _ in house.answers] == [f"c{number}" for number in range(count)]
    made = [event.client_action_id for commit in house.watcher.commits for event in commit.events]
    assert made == [f"c{number}" for number in range(count)]


async def test_what_is_posted_during_a_step_is_decided_after_it(
    house: House, home: Workspace, ledger: BlindLedger
) -> None:
    """An action that comes while the ledger is asked about earlier ones waits for its turn."""
    ledger.hold_looks()
    first = house.task(home, 1)
    await ledger.looking.wait()
    second = house.task(home, 2)
    await settle_loop()
    assert not first.done()
    assert not second.done()
    ledger.release_looks()
    await asyncio.gather(first, second)
    assert [action for action, _ in house.answers] == ["c1", "c2"]


# Exactly once.


async def test_a_repeat_gets_the_stored_outcome(house: House, home: Workspace) -> None:
    """A second submission changes nothing and gets the first one's seq and event ids as a duplicate."""
    first = await create(home, 1)
    again = await create(home, 1)
    assert first == Applied("applied", 2, first.event_ids)
    assert again == Applied("duplicate", 2, first.event_ids)
    assert home.committed.head.seq == 2


async def test_twenty_at_once_are_one(house: House, home: Workspace) -> None:
    """Of twenty submissions of one action at once one is applied, and all name the same events."""
    outcomes = await asyncio.gather(*(create(home, 1) for _ in range(20)))
    assert [one.status for one in outcomes].count("applied") == 1
    assert len({one.event_ids for one in outcomes}) == 1
    assert home.committed.head.seq == 2


async def test_a_repeat_waits_for_the_first_that_is_in_flight(
    house: House, home: Workspace, ledger: BlindLedger
) -> None:
    """While the first is not durable its repeat gets no answer; then both, the first one first."""
    ledger.hold()
    house.task(home, 1)
    await ledger.flushing.wait()
    again = house.task(home, 1)
    await settle_loop()
    assert house.answers == []
    ledger.release()
    await again
    assert house.answers == [("c1", "applied"), ("c1", "duplicate")]


async def test_a_repeat_after_the_cache_forgot_it(
    house: House, home: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An outcome that memory holds no more comes from the ledger, the same to the letter."""
    monkeypatch.setattr(limits, "outcomes_cached_max", 2)
    first = await create(home, 1)
    for number in range(2, 8):
        await create(home, number)
    assert await create(home, 1) == Applied("duplicate", 2, first.event_ids)
    assert home.committed.head.seq == 8


async def test_a_repeat_after_a_restart(house: House, home: Workspace) -> None:
    """Applied, without events, and rejected: a workspace that was opened anew answers repeats of all three."""
    first = await create(home, 1)
    await act(home, "user.update_task", "c2", task_id="t1", title="Buy milk")
    gone = await act(home, "user.delete_task", "c3", task_id="t9")
    home = await house.reopened()
    assert await create(home, 1) == Applied("duplicate", 2, first.event_ids)
    again = await act(home, "user.update_task", "c2", task_id="t1", title="Buy milk")
    assert again == Applied("duplicate", None, ())
    assert refused(gone, "not_found")
    assert await act(home, "user.delete_task", "c3", task_id="t9") == gone


async def test_a_repeat_whose_first_commits_while_the_ledger_is_asked(
    house: House, home: Workspace, ledger: BlindLedger
) -> None:
    """Nothing falls between memory and ledger: an action and an id that commit during the look-up count."""
    ledger.hold()
    house.task(home, 1)
    deleted = house.post(home, "user.delete_task", "c2", task_id="t1")
    await ledger.flushing.wait()
    await settle_loop()
    ledger.hold_looks()
    other = house.post(home, "user.remember", "c3", text="tea", memory_id="t1")
    again = house.task(home, 1)
    await ledger.looking.wait()
    ledger.release()
    await deleted
    ledger.release_looks()
    assert refused(await other, "conflict")
    assert verdict(await again) == "duplicate"
    assert home.broken is None


@pytest.mark.parametrize("in_flight", [False, True])
async def test_an_id_belongs_to_one_action(
    house: House, home: Workspace, ledger: BlindLedger, in_flight: bool
) -> None:
    """Another type, another value or another unknown field under an id is `id_reused`; other spelling is not."""
    if in_flight:
        ledger.hold()
    house.post(home, "user.create_task", "c1", title="Buy milk", minutes=10, x=1)
    if in_flight:
        await ledger.flushing.wait()
    kinds = [
        house.post(home, "user.create_task", "c1", title="Buy tea", minutes=10, x=1),
        house.post(home, "user.create_task", "c1", title="Buy milk", minutes=10, x=2),
        house.post(home, "user.create_task", "c1", title="Buy milk", minutes=10),
        house.post(home, "user.remember", "c1", title="Buy milk", minutes=10, x=1),
        house.post(home, "user.create_task", "c1", damaged=True, title="Buy tea"),
    ]
    same = house.post(home, "user.create_task", "c1", x=1.0, minutes=10, title="Buy milk")
    ledger.release()
    outcomes = await asyncio.gather(*kinds)
    assert all(refused(one, "id_reused") for one in outcomes)
    assert verdict(await same) == "duplicate"


async def test_ids_of_two_actors_do_not_meet(house: House, home: Workspace) -> None:
    """The same client_action_id of another actor is another action."""
    await home.submit("ana", "user.set_member", "m1", body(actor="ed", role="editor"))
    mine = await act(home, "user.create_task", "c1", title="Buy milk")
    theirs = await act(home, "user.create_task", "c1", actor="ed", title="Buy tea")
    assert (mine.status, theirs.status) == ("applied", "applied")
    assert len(home.committed.state.tasks) == 2


async def test_a_producer_gets_the_stored_outcome_whatever_it_says(house: House, home: Workspace) -> None:
    """A producer's repeat with another payload, in memory and after a restart, is the first one's duplicate."""
    first = await act(home, "assistant.create_task", "c1", actor="assistant", title="Buy milk")
    again = await act(home, "assistant.create_task", "c1", actor="assistant", title="Buy tea")
    assert again == Applied("duplicate", first.seq, first.event_ids)
    home = await house.reopened()
    assert await act(home, "assistant.remember", "c1", actor="assistant", text="x") == again


async def test_credentials_may_not_send_the_servers_own_actions(house: House, home: Workspace) -> None:
    """An owner's `system.*` or `assistant.*`, well formed or not, is forbidden, and judged afresh each time."""
    for number, kind in enumerate(("system.set_member", "assistant.create_task", "assistant.nothing")):
        assert refused(await act(home, kind, f"c{number}", title="x"), "forbidden")
    assert home.committed.head.seq == 1


# Entity ids.


async def test_an_id_in_state_is_taken(house: House, home: Workspace) -> None:
    """An id that an entity of any kind has cannot be used again."""
    await create(home, 1)
    assert refused(await act(home, "user.create_task", "c2", task_id="t1", title="Again"), "conflict")
    assert refused(await act(home, "user.remember", "c3", memory_id="t1", text="x"), "conflict")
    assert refused(await act(home, "user.create_thread", "c4", thread_id="t1", title="x"), "conflict")


async def test_the_id_of_something_deleted_is_taken(house: House, home: Workspace) -> None:
    """An id stays used after its entity was deleted, also for a workspace that was opened anew."""
    await create(home, 1)
    await act(home, "user.delete_task", "c2", task_id="t1")
    assert refused(await act(home, "user.create_task", "c3", task_id="t1", title="Again"), "conflict")
    home = await house.reopened()
    assert refused(await act(home, "user.create_task", "c4", task_id="t1", title="Again"), "conflict")


@pytest.mark.parametrize("one_step", [True, False])
async def test_the_id_of_something_deleted_in_flight_is_taken(
    house: House, home: Workspace, ledger: BlindLedger, one_step: bool
) -> None:
    """An id that was made and deleted by actions that are not durable yet is taken, in the same step and later."""
    ledger.hold()
    house.task(home, 1)
    house.post(home, "user.delete_task", "c2", task_id="t1")
    if not one_step:
        await ledger.flushing.wait()
        await settle_loop()
    again = house.post(home, "user.create_task", "c3", task_id="t1", title="Again")
    await settle_loop()
    ledger.release()
    assert refused(await again, "conflict")
    assert home.broken is None


async def test_a_commit_frees_only_its_own_ids(house: House, home: Workspace, ledger: BlindLedger) -> None:
    """While an earlier group becomes durable, the ids of the group behind it stay taken."""
    ledger.hold()
    first = house.task(home, 1)
    await ledger.flushing.wait()
    house.task(home, 2)
    house.post(home, "user.delete_task", "d2", task_id="t2")
    await settle_loop()
    ledger.release()
    ledger.hold()
    await first
    again = house.post(home, "user.create_task", "c3", task_id="t2", title="Again")
    await settle_loop()
    ledger.release()
    assert refused(await again, "conflict")
    assert home.broken is None


async def test_the_id_of_something_trimmed_is_taken(
    house: House, home: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An id whose entity state holds no more, because it was trimmed, is taken."""
    monkeypatch.setattr(limits, "closed_tasks_max", 1)
    for number in (1, 2):
        await create(home, number)
        house.clock.ms += 1
        await act(home, "user.update_task", f"d{number}", task_id=f"t{number}", status="done")
    assert "t1" not in home.committed.state.tasks
    assert refused(await act(home, "user.create_task", "c3", task_id="t1", title="Again"), "conflict")


async def test_the_id_of_an_answer_is_derived_and_used_with_its_question(
    house: House, home: Workspace
) -> None:
    """An answer's id follows from its question's, is used with it, and a question whose answer's is taken waits in vain."""
    await act(home, "user.message", "c1", message_id="m1", text="hello")
    assert answer_id("m1") in home.committed.state.assistant.streaming
    taken = await act(home, "user.create_task", "c2", task_id=answer_id("m1"), title="x")
    assert refused(taken, "conflict")
    await act(home, "user.create_task", "c3", task_id=answer_id("m2"), title="x")
    assert refused(await act(home, "user.message", "c4", message_id="m2", text="hello"), "conflict")


async def test_the_id_of_an_answer_that_never_comes_is_used_too(house: House, home: Workspace) -> None:
    """Where the assistant does not answer, the answer's id is kept for it all the same, over a restart too."""
    await act(home, "user.create_thread", "c1", thread_id="th1", title="People", assistant="never")
    await act(home, "user.message", "c2", message_id="m1", text="hello", thread_id="th1")
    assert not home.committed.state.assistant.streaming
    home = await house.reopened()
    assert refused(await act(home, "user.remember", "c3", memory_id=answer_id("m1"), text="x"), "conflict")


# What is stored and what is judged afresh.


async def test_rejects_that_state_gave_are_stored(house: House, home: Workspace) -> None:
    """`not_found` and `conflict` stay the answer of their id though state has changed since."""
    missing = await act(home, "user.update_task", "c1", task_id="t1", status="done")
    await create(home, 2)
    taken = await act(home, "user.update_task", "c3", task_id="t2", title="Buy tea", if_version=7)
    await act(home, "user.create_task", "c4", task_id="t1", title="Here now")
    await act(home, "user.delete_task", "c5", task_id="t2")
    assert refused(missing, "not_found")
    assert refused(taken, "conflict")
    assert await act(home, "user.update_task", "c1", task_id="t1", status="done") == missing
    again = await act(home, "user.update_task", "c3", task_id="t2", title="Buy tea", if_version=7)
    assert again == taken


async def test_other_rejects_are_judged_afresh(
    house: House, home: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`forbidden` and `limit` are no outcome: the same id is applied once nothing stands in its way."""
    assert refused(await act(home, "user.create_task", "e1", actor="ed", title="x"), "forbidden")
    await home.submit("ana", "user.set_member", "c1", body(actor="ed", role="editor"))
    assert (await act(home, "user.create_task", "e1", actor="ed", title="x")).status == "applied"
    monkeypatch.setattr(limits, "open_tasks_max", 1)
    assert refused(await create(home, 2), "limit")
    monkeypatch.undo()
    assert (await create(home, 2)).status == "applied"


async def test_a_bad_action_is_refused_and_costs_nothing(house: House, home: Workspace) -> None:
    """A wrong shape, an unknown type and text that cannot be read are `invalid`, and no id is used by them."""
    flushes = house.ledger.flushes
    outcomes = await asyncio.gather(
        house.post(home, "user.create_task", "c1", title=7),
        house.post(home, "user.nothing", "c1", title="x"),
        house.post(home, "user.create_task", "c1", title="x", damaged=True),
    )
    assert all(refused(one, "invalid") for one in outcomes)
    assert house.ledger.flushes == flushes
    assert (await create(home, 1)).status == "applied"


async def test_a_payload_of_any_depth_gets_an_answer(house: House, home: Workspace) -> None:
    """However deep a payload is nested, its action is answered and the workspace goes on."""
    for depth in [*range(1, 900, 50), *range(900, 1_010)]:
        payload = b'{"title":"x","deep":%b%b}' % (b"[" * depth, b"]" * depth)
        outcome = await asyncio.wait_for(home.submit("ana", "user.create_task", f"c{depth}", payload), 5)
        assert isinstance(outcome, Applied | Refused)
        assert home.broken is None


# The output gate.


async def test_answers_of_a_lane_keep_their_order(house: House, home: Workspace, ledger: BlindLedger) -> None:
    """A refusal, a repeat and an action without events never overtake what was sent before them."""
    lane = Lane()
    ledger.hold()
    house.task(home, 1, lane=lane)
    await ledger.flushing.wait()
    house.task(home, 2, lane=lane)
    house.post(home, "user.create_task", "c3", lane=lane, title="")
    house.task(home, 1, lane=lane)
    house.post(home, "user.update_task", "c4", lane=lane, task_id="t1", title="Buy milk")
    house.post(home, "user.delete_task", "c5", lane=lane, task_id="t9")
    last = house.task(home, 6, lane=lane)
    await settle_loop()
    assert house.answers == []
    ledger.release()
    await last
    assert house.answers == [
        ("c1", "applied"),
        ("c2", "applied"),
        ("c3", "refused invalid"),
        ("c1", "duplicate"),
        ("c4", "applied"),
        ("c5", "refused not_found"),
        ("c6", "applied"),
    ]


async def test_nothing_leaves_before_the_commit(house: House, home: Workspace, ledger: BlindLedger) -> None:
    """While a commit is held, committed state, frames, answers and producers stand still, whatever they speak of."""
    reader = listen(home, "a", house.journal)
    before = home.committed
    ledger.hold()
    house.task(home, 1, reader=reader)
    await ledger.flushing.wait()
    house.post(home, "user.delete_task", "c2", task_id="t9")
    house.post(home, "user.create_task", "c3", task_id="t1", title="Taken")
    house.post(home, "user.create_task", "c4", title="")
    house.task(home, 1)
    await settle_loop()
    assert house.journal == []
    assert home.committed is before
    assert await house.ledger.read(home.key, 1, 10) == []


async def test_what_a_commit_lets_out_leaves_in_order(
    house: House, home: Workspace, ledger: BlindLedger
) -> None:
    """State moves, then each reader gets the events and behind them its acks in one write, producers hear last."""
    first, second = listen(home, "a", house.journal), listen(home, "b", house.journal)
    seen: list[int] = []
    ledger.hold()
    house.post(home, "user.delete_task", "c0", task_id="t9")
    await ledger.flushing.wait()
    answers = [house.task(home, number, reader=first) for number in (1, 2, 3)]
    answers[0].add_done_callback(lambda _: seen.append(home.committed.head.seq))
    await settle_loop()
    ledger.release()
    await asyncio.gather(*answers)
    await settle_loop()
    words = [one for one in house.journal if one[0] in ("a", "b")]
    assert sorted(words) == [("a", ("events 2-4", "ack c1", "ack c2", "ack c3")), ("b", ("events 2-4",))]
    places = [house.journal.index(one) for one in [("c3", "applied"), *words, ("producer", 4)]]
    assert places[0] < min(places[1:3])
    assert max(places) == places[3]
    assert seen == [4]
    assert [len(second.event_frames), len(house.watcher.commits)] == [1, 1]


async def test_one_frame_holds_a_commit_group(house: House, home: Workspace, ledger: BlindLedger) -> None:
    """What became durable together leaves in one `events` frame and one write; the frames leave no gap."""
    reader = listen(home, "a")
    ledger.hold()
    house.task(home, 1)
    await ledger.flushing.wait()
    last = [house.task(home, number) for number in range(2, 30)][-1]
    await settle_loop()
    ledger.release()
    await last
    await settle_loop()
    assert [(one.after, len(one.events)) for one in reader.event_frames] == [(1, 29)]
    assert len(reader.writes) == 1
    await create(home, 30)
    assert [event.seq for event in reader.events] == list(range(2, 32))
    assert [one.after for one in reader.event_frames] == [1, 30]


async def test_readers_and_ledger_hold_the_same_bytes(house: House, home: Workspace) -> None:
    """The events that a reader gets are those of the ledger, stamped by the server."""
    reader = listen(home, "a")
    outcome = await home.submit("assistant", "assistant.remember", "c1", body(text="tea"), because="e-1")
    row = (await house.ledger.read(home.key, 1, 1))[0]
    (event,) = reader.events
    assert (event.seq, event.event_id, (event.event_id,)) == (2, row.event_id, outcome.event_ids)  # type: ignore[union-attr]  # it was applied
    stamped = (event.actor, event.client_action_id, event.cause, event.because, event.timestamp)
    assert stamped == ("assistant", "c1", "assistant.remember", "e-1", house.clock.now())


async def test_a_commit_without_events_tells_no_producer(house: House, home: Workspace) -> None:
    """A stored reject and an action that changes nothing wake no producer and send no frame."""
    reader = listen(home, "a")
    await act(home, "user.delete_task", "c1", task_id="t9")
    await act(home, "user.interrupt", "c2", message_id="m9")
    await settle_loop()
    assert house.watcher.commits == []
    assert reader.event_frames == []


async def test_group_commit_over_workspaces(tmp_path: Path) -> None:
    """With 64 actions in flight in eight workspaces the SQLite ledger flushes less than 0.2 times an action."""
    ledger = await SqliteLedger.open(tmp_path / "ledger.sqlite")
    house = House(ledger)
    try:
        spaces = [await house.workspace(f"w{number}") for number in range(8)]
        room = asyncio.Semaphore(64)
        flushes = ledger.flushes

        async def one(number: int) -> None:
            async with room:
                assert (await create(spaces[number % 8], number)).status == "applied"

        await asyncio.gather(*(one(number) for number in range(800)))
        assert (ledger.flushes - flushes) / 800 < 0.2
        assert ledger.flushes - flushes == house.commits.flushes - 8
    finally:
        await house.close()
        await ledger.close()


# The step is the workspace's own.


@pytest.mark.parametrize("turns", range(12))
async def test_a_caller_that_goes_stops_nothing(
    house: House, home: Workspace, ledger: BlindLedger, turns: int
) -> None:
    """Wherever its caller is cancelled, an action is decided once, and the next one too."""
    caller = asyncio.get_running_loop().create_task(create(home, 1))
    for _ in range(turns):
        await asyncio.sleep(0)
    caller.cancel()
    await asyncio.wait({caller})
    if turns:
        assert (await create(home, 1)).status == "duplicate"
    assert (await create(home, 2)).status == "applied"


async def test_a_caller_that_goes_during_a_look_up_or_a_commit_stops_nothing(
    house: House, home: Workspace, ledger: BlindLedger
) -> None:
    """Cancelled while the ledger is asked, and while it writes: the actions become durable all the same."""
    ledger.hold_looks()
    asking = asyncio.get_running_loop().create_task(create(home, 1))
    await ledger.looking.wait()
    asking.cancel()
    await asyncio.wait({asking})
    ledger.hold()
    ledger.release_looks()
    writing = asyncio.get_running_loop().create_task(create(home, 2))
    await ledger.flushing.wait()
    await settle_loop()
    writing.cancel()
    await asyncio.wait({writing})
    ledger.release()
    assert [(await create(home, number)).status for number in (1, 2, 3)] == ["duplicate"] * 2 + ["applied"]


async def test_closing_drains(house: House, home: Workspace) -> None:
    """What was posted before a close is decided and durable after it."""
    answers = [house.task(home, number) for number in range(600)]
    await house.close()
    assert all(verdict(one.result()) == "applied" for one in answers)
    assert home.committed.head.seq == 601


# The stamp.


async def test_event_ids_rise_whatever_the_clock_does(house: House, home: Workspace) -> None:
    """A clock that stands, steps back and leaps: ids rise strictly, over a restart too."""
    steps = [0, 0, -5_000, 0, 60_000, -3_600_000, -1, 0]
    for number, step in enumerate(steps):
        house.clock.ms += step
        await create(home, number)
        if number == 5:
            home = await house.reopened()
    rows = await house.ledger.read(home.key, 0, 100)
    names = [row.event_id for row in rows]
    assert len(names) == len(steps) + 1
    assert names == sorted(set(names))


# What a start must find.


async def waits(house: House) -> bool:
    return bool(await house.ledger.agenda())


async def test_the_agenda_follows_streams_and_waiting_messages(house: House, home: Workspace) -> None:
    """The row is there from the first open answer to the end of the last waiting one, over a restart too."""
    assert not await waits(house)
    await act(home, "user.message", "c1", message_id="m1", text="hello")
    await act(home, "user.message", "c2", message_id="m2", text="and this")
    assert await waits(house)
    await act(home, "user.interrupt", "c3", message_id=answer_id("m1"))
    assert home.committed.state.assistant.waiting == ("m2",)
    assert await waits(house)
    home = await house.reopened()
    await act(home, "assistant.answer", "c4", actor="assistant", reply_to="m2")
    assert await waits(house)
    home = await house.reopened()
    await act(home, "assistant.complete", "c5", actor="assistant", message_id=answer_id("m2"), text="!")
    assert not await waits(house)


async def test_the_agenda_follows_plans(house: House, home: Workspace) -> None:
    """The row is there while a plan is being made, and goes with its completion."""
    await act(home, "user.request_plan", "c1", date="2026-11-22")
    assert await waits(house)
    plan = home.committed.state.plans["2026-11-22"]
    await act(
        home, "system.complete_plan", "c2", actor="system", plan_id=plan.plan_id, status="failed", error="x"
    )
    assert not await waits(house)


# Answers that are open.


async def test_tokens_wait_for_their_commit(house: House, home: Workspace, ledger: BlindLedger) -> None:
    """Nobody can speak for an answer whose opening is not durable; then its tokens come behind the event."""
    reader = listen(home, "a")
    ledger.hold()
    asked = house.post(home, "user.message", "c1", message_id="m1", text="hello")
    await ledger.flushing.wait()
    assert not home.streams.append(answer_id("m1"), "too early")
    ledger.release()
    await asked
    assert home.streams.append(answer_id("m1"), "Good")
    kinds = [type(frame).__name__ for frame in reader.frames]
    assert kinds == ["Events", "Token"]


@pytest.mark.parametrize("how", ["interrupt", "supersede"])
async def test_who_ends_an_answer_takes_exactly_what_was_sent(
    house: House, home: Workspace, ledger: BlindLedger, how: str
) -> None:
    """From the decision on nothing is sent, before it is durable; the event's text is the tokens' text."""
    answer = answer_id("m1")
    reader = listen(home, "a")
    await act(home, "user.message", "c1", message_id="m1", text="hello")
    for piece in ("Good ", "", "m😀rning"):
        assert home.streams.append(answer, piece)
    home.save_segment(answer, 0, "Good ")
    await house.commits.drain()
    ledger.hold()
    fields = (
        {"message_id": answer}
        if how == "interrupt"
        else {"text": "stop", "message_id": "m2", "supersede": True}
    )
    ended = house.post(home, f"user.{'interrupt' if how == 'interrupt' else 'message'}", "c2", **fields)
    await ledger.flushing.wait()
    await settle_loop()
    assert not home.streams.append(answer, " and more")
    home.save_segment(answer, 0, "late")
    ledger.release()
    await ended
    (end,) = [one.payload for one in reader.events if isinstance(one.payload, LlmInterrupted)]
    sent = [one.payload for one in reader.frames if isinstance(one, Token)]
    assert "".join(one.text for one in sent if one.message_id == answer) == end.text == "Good m😀rning"
    assert [one.offset for one in sent] == [0, 5]
    assert end.reason == ("user" if how == "interrupt" else "superseded")
    assert answer not in home.streams.texts
    assert not home.streams.append(answer, "!")
    await house.commits.drain()
    assert await home.saved_text(answer) == ""


async def test_superseding_is_one_action(house: House, home: Workspace) -> None:
    """The end of the old answer, the message and the new answer are one action, in one frame."""
    await act(home, "user.message", "c1", message_id="m1", text="hello")
    reader = listen(home, "a")
    outcome = await act(home, "user.message", "c2", message_id="m2", text="no", supersede=True)
    (frame,) = reader.event_frames
    assert [event.type for event in frame.events] == ["llm.interrupted", "message.created", "message.stream"]
    assert outcome.event_ids == tuple(event.event_id for event in frame.events)
    assert set(home.streams.texts) == {answer_id("m2")}


async def test_an_answer_opened_and_ended_in_one_group_stays_silent(
    house: House, home: Workspace, ledger: BlindLedger
) -> None:
    """An interrupt that is decided before its answer's opening is durable leaves nothing open."""
    ledger.hold()
    house.post(home, "user.delete_task", "c0", task_id="t9")
    await ledger.flushing.wait()
    house.post(home, "user.message", "c1", message_id="m1", text="hello")
    ended = house.post(home, "user.interrupt", "c2", message_id=answer_id("m1"))
    await settle_loop()
    ledger.release()
    assert verdict(await ended) == "applied"
    assert not home.streams.append(answer_id("m1"), "x")
    assert not home.streams.texts


async def test_an_answer_interrupted_before_its_opening_is_durable_stays_silent(
    house: House, home: Workspace, ledger: BlindLedger
) -> None:
    """Where the two commits are apart, nothing is sent between them either."""
    spoken: list[bool] = []

    class Eager(Watcher):
        def committed(self, workspace: Workspace, commit: Any) -> None:
            opened = [one.payload for one in commit.events if isinstance(one.payload, MessageStream)]
            spoken.extend(workspace.streams.append(one.message_id, "Hi") for one in opened)

    house.registry._producers = home._producers = [Eager()]
    ledger.hold()
    house.post(home, "user.message", "c1", message_id="m1", text="hello")
    await ledger.flushing.wait()
    ended = house.post(home, "user.interrupt", "c2", message_id=answer_id("m1"))
    await settle_loop()
    ledger.release()
    await ended
    assert spoken == [False]
    assert home.committed.state.messages[answer_id("m1")].text == ""


async def test_open_answers_are_open_after_a_restart(house: House, home: Workspace) -> None:
    """A workspace that is opened with an open answer lets its producer speak for it and finds what was saved."""
    answer = answer_id("m1")
    await act(home, "user.message", "c1", message_id="m1", text="hello")
    home.save_segment(answer, 0, "Good ")
    home.save_segment(answer, 5, "morning")
    home = await house.reopened()
    assert await home.saved_text(answer) == "Good morning"
    assert home.streams.append(answer, "Good morning")
