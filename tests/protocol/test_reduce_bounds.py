"""The bounds of state: what is trimmed, what never is, and that a snapshot in between makes no difference."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from protocol import limits
from protocol.codec import decode_state, encode_state
from protocol.events import (
    DailyPlanComplete,
    DailyPlanStart,
    DigestCreated,
    Event,
    LlmCompleted,
    MessageCreated,
    MessageStream,
    Payload,
    ProposalDeclined,
    Proposed,
    ReminderFired,
    ReminderSet,
    TaskCreated,
    TaskFields,
    TaskUpdated,
)
from protocol.reduce import fold, reduce
from protocol.state import INITIAL, State, recomputed
from tests.support.fixtures import (
    a_digest,
    a_message,
    a_proposal,
    a_reminder,
    a_task,
    an_event,
    at,
    some_events,
)

KIB = 1024


def both_ways(payloads: Iterable[Payload], every: int = 97) -> State:
    """The fold of all, checked against the one that goes through a snapshot every so many events."""
    events = some_events(*payloads)
    whole, pieces = INITIAL, INITIAL
    for place, event in enumerate(events):
        whole = reduce(whole, event)
        pieces = reduce(pieces, event)
        if place % every == 0:
            pieces = decode_state([encode_state(pieces)])
    assert pieces == whole
    assert whole.digest == recomputed(whole)
    return whole


def said(message_id: str, text: str = "x", **fields: object) -> MessageCreated:
    return MessageCreated(entity=a_message(message_id, 0, text=text, **fields))


def test_500_messages_a_thread() -> None:
    """At 500 all are there, at 501 the oldest is gone; another thread has its own 500."""
    elsewhere = [said(f"n{place}", thread_id="th1") for place in range(10)]
    full = both_ways([*elsewhere, *(said(f"m{place}") for place in range(500))])
    assert len(full.messages) == 510
    state = reduce(full, an_event(said("m500"), 511))
    assert [one.message_id for one in state.thread_messages("main")] == [
        f"m{place}" for place in range(1, 501)
    ]
    assert len(list(state.thread_messages("th1"))) == 10


def test_1_mib_of_text_a_thread() -> None:
    """At exactly 1 MiB of UTF-8 all are there; one byte more and the oldest is gone."""
    full = both_ways((said(f"m{place}", "é" * 32 * KIB) for place in range(16)), every=5)
    assert len(full.messages) == 16
    assert full.order.threads["main"].text_bytes == limits.thread_text_bytes_max
    state = reduce(full, an_event(said("m16", "x"), 17))
    assert [one.message_id for one in state.thread_messages("main")] == [
        f"m{place}" for place in range(1, 17)
    ]


def test_one_large_text_may_cost_several_messages() -> None:
    """The oldest go until the thread is in its bounds again; the newest stays whatever its size."""
    state = both_ways(
        [*(said(f"m{place}", "x" * 64 * KIB) for place in range(16)), said("new", "y" * 200 * KIB)]
    )
    assert [one.message_id for one in state.thread_messages("main")] == [
        *(f"m{n}" for n in range(4, 16)),
        "new",
    ]
    state = reduce(INITIAL, an_event(said("huge", "x" * (limits.thread_text_bytes_max + 1))))
    assert "huge" in state.messages


def test_open_answers_and_waiting_messages_are_never_trimmed() -> None:
    """However much is said after them; once they have ended they go like any other."""
    opened = MessageStream(message_id="open", thread_id="main", reply_to="q", model="builtin")
    many = [said(f"m{place}") for place in range(700)]
    state = both_ways([said("q"), opened, said("w", status="waiting"), *many])
    assert len(state.order.threads["main"].messages) == limits.thread_messages_max
    assert state.messages["open"].status == "streaming"
    assert state.messages["w"].status == "waiting"
    assert "q" not in state.messages
    ended = fold(
        state, [an_event(LlmCompleted(message_id="open", text="so"), 1_000), an_event(said("z"), 1_001)]
    )
    assert "open" not in ended.messages
    assert ended.assistant.streaming == ()
    answered = an_event(
        MessageStream(message_id="a2", thread_id="main", reply_to="w", model="builtin"), 1_002
    )
    ended = fold(ended, [answered, an_event(said("zz"), 1_003)])
    assert "w" not in ended.messages
    assert ended.assistant.waiting == ()


def test_the_text_of_an_answer_counts_when_it_ends() -> None:
    """An answer that fills its thread pushes out what is older, not itself."""
    opened = MessageStream(message_id="open", thread_id="main", reply_to="m0", model="builtin")
    long = LlmCompleted(message_id="open", text="x" * 256 * KIB)
    state = both_ways([*(said(f"m{place}", "x" * 64 * KIB) for place in range(15)), opened, long], every=4)
    assert [one.message_id for one in state.thread_messages("main")] == [
        *(f"m{n}" for n in range(3, 15)),
        "open",
    ]


def closed(task_id: str) -> TaskUpdated:
    return TaskUpdated(
        task_id=task_id, version=2, set=TaskFields(status="done"), was=TaskFields(status="open")
    )


def test_1_000_closed_tasks() -> None:
    """At 1,000 all are there, at 1,001 the one that was closed first is gone; open ones do not count."""
    created = [TaskCreated(entity=a_task(f"t{place:04}")) for place in range(1_005)]
    full = both_ways([*created, *(closed(f"t{place:04}") for place in range(1_000))], every=500)
    assert len(full.tasks) == 1_005
    state = reduce(full, an_event(closed("t1000"), 5_000))
    assert "t0000" not in state.tasks
    assert len(state.order.closed_tasks) == limits.closed_tasks_max
    assert state.order.open_tasks == 4


def test_tasks_closed_in_the_same_millisecond_go_by_id() -> None:
    """The rule never depends on the order in which a table happens to be walked."""
    tasks = [a_task(f"t{place:04}", status="done", closed_at=at(0)) for place in range(1_001)]
    for order in (tasks, tasks[::-1]):
        state = fold(INITIAL, some_events(*(TaskCreated(entity=task) for task in order)))
        assert "t0000" not in state.tasks
        assert len(state.tasks) == 1_000


def days(count: int) -> list[str]:
    return [f"2026-{place // 28 + 1:02}-{place % 28 + 1:02}" for place in range(count)]


def planned(date: str) -> list[Payload]:
    plan_id = f"p-{date}"
    return [
        DailyPlanStart(plan_id=plan_id, date=date),
        DailyPlanComplete(plan_id=plan_id, date=date, status="complete"),
    ]


def test_60_plans() -> None:
    """At 60 all are there, at 61 the one that was made first is gone."""
    dates = days(61)
    full = both_ways([one for date in dates[:60] for one in planned(date)], every=7)
    assert sorted(full.plans) == dates[:60]
    state = fold(full, some_events(*planned(dates[60]), after=1_000))
    assert sorted(state.plans) == dates[1:]


def test_a_plan_of_long_ago_can_still_be_made() -> None:
    """A plan that is being made is not trimmed, whatever its date: its workflow would never end."""
    full = both_ways([one for date in days(60) for one in planned(date)])
    state = reduce(full, an_event(DailyPlanStart(plan_id="old", date="2001-01-01"), 1_000))
    assert state.plans["2001-01-01"].status == "running"
    assert len(state.plans) == limits.plans_max
    state = reduce(
        state, an_event(DailyPlanComplete(plan_id="old", date="2001-01-01", status="complete"), 1_001)
    )
    assert state.plans["2001-01-01"].status == "complete"


def test_60_digests() -> None:
    """At 60 all are there, at 61 the oldest is gone."""
    written = [DigestCreated(entity=a_digest(f"d{99 - place}", created_at=at(place))) for place in range(61)]
    full = both_ways(written[:60], every=7)
    assert len(full.digests) == 60
    state = reduce(full, an_event(written[60], 100))
    assert "d99" not in state.digests
    assert len(state.digests) == 60


def fired(reminder_id: str) -> ReminderFired:
    return ReminderFired(reminder_id=reminder_id, at=at(0), text="tea")


def test_200_fired_reminders() -> None:
    """At 200 all are there, at 201 the one that fired first is gone; those to come do not count."""
    names = [f"r{place:03}" for place in range(206)]
    created = [ReminderSet(entity=a_reminder(name)) for name in names]
    # Fired from the last to the first, so that the oldest is not the one whose name comes first.
    full = both_ways([*created, *(fired(name) for name in reversed(names[:200]))], every=50)
    assert len(full.reminders) == 206
    state = reduce(full, an_event(fired("r200"), 5_000))
    assert "r199" not in state.reminders
    assert len(state.reminders) == 205


def test_reminders_that_come_back_fired_are_bounded_too() -> None:
    """Putting back what was taken away does not grow the state without end."""
    back = [
        ReminderSet(entity=a_reminder(f"r{place:03}", status="fired", fired_at=at(place)))
        for place in range(250)
    ]
    state = both_ways(back, every=40)
    assert sorted(state.reminders) == [f"r{place:03}" for place in range(50, 250)]


def test_100_settled_proposals() -> None:
    """At 100 all are there, at 101 the one that was answered first is gone; open ones stay."""
    names = [f"pr{place:03}" for place in range(104)]
    made = [Proposed(entity=a_proposal(name)) for name in names]
    answers = (ProposalDeclined(proposal_id=name) for name in reversed(names[:100]))
    full = both_ways([*made, *answers], every=30)
    assert len(full.proposals) == 104
    state = reduce(full, an_event(ProposalDeclined(proposal_id="pr100"), 5_000))
    assert "pr099" not in state.proposals
    assert len(state.proposals) == 103


@pytest.mark.parametrize("cut", [0, 1, 499, 500, 501, 900])
def test_where_the_snapshot_was_taken_does_not_matter(cut: int) -> None:
    """A client that came in before, at, or after a bound holds what the server holds."""
    events: tuple[Event, ...] = some_events(*(said(f"m{place:03}", "x" * 2_200) for place in range(900)))
    base = decode_state([encode_state(fold(INITIAL, events[:cut]))])
    assert fold(base, events[cut:]) == fold(INITIAL, events)
