"""The rules of tasks, and what holds for every decision: who may, purity, and that nothing is raised."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from protocol import limits
from protocol.actions import ACTIONS, Action, OpenAnswer, answer_id, new_ids
from protocol.decide import decide, position_at, predicted
from protocol.errors import Refused
from protocol.events import TaskCreated, TaskDeleted, TaskFields, TaskUpdated
from protocol.reduce import fold
from protocol.state import INITIAL, Entry, Order, State
from tests.support.fixtures import (
    NOW,
    a_context,
    a_memory,
    a_message,
    a_state,
    a_task,
    a_thread,
    an_action,
    at,
    decided,
    entity_of,
    names_of,
    refusal,
    some_events,
)
from tests.support.strategies import INTENTS, Story, any_events, stories

# What holds for every action


@given(stories())
def test_a_decision_is_a_function_of_its_arguments(story: Story) -> None:
    """Deciding again gives the same, and leaves the state that it was given as it was."""
    for step in story.steps:
        digest = step.before.digest
        assert decide(step.before, step.action, step.context) == step.decision
        assert step.before.digest == digest


@given(stories(), stories(), st.integers(0, 50))
def test_pending_actions_decided_again_never_raise(mine: Story, theirs: Story, cut: int) -> None:
    """What was decided on one base is decided on any other: events or a refusal, and the fold takes them."""
    base = fold(INITIAL, theirs.events[:cut])
    for step in mine.steps:
        again = decide(base, step.action, step.context)
        if not isinstance(again, Refused):
            base = fold(base, predicted(again, step.action, step.context, after=1_000))


@given(any_events(), st.lists(INTENTS, max_size=8), st.sampled_from(["ana", "ed", "assistant"]))
def test_any_action_on_any_state_is_a_value(events: tuple, named: list, actor: str) -> None:
    """On ledgers that no rule made, with intents that no check saw, the answer is still a value."""
    state = fold(a_state(), events)
    for name, intent in named:
        decide(state, Action(type=name, client_action_id="c", intent=intent), a_context(actor))


@given(stories())
def test_a_prediction_is_what_the_server_decides(story: Story) -> None:
    """On the same base, predicted events `e'` make the state that the committed ones make, but for ids and times."""
    for step in story.steps:
        if step.events:
            after = step.events[0].seq - 1
            payloads = tuple(event.payload for event in step.events)
            guess = predicted(payloads, step.action, step.context, after)
            assert [one.seq for one in guess] == [one.seq for one in step.events]
            assert [one.type for one in guess] == [one.type for one in step.events]
            assert fold(step.before, guess) == step.after


@given(stories())
def test_new_entities_have_the_ids_that_were_announced(story: Story) -> None:
    """Whatever an action creates has one of the ids that `new_ids` named before: those the ledger looks up."""
    for step in story.steps:
        announced = set(new_ids(step.action, step.context.actor))
        if isinstance(step.action.intent, OpenAnswer):
            announced.add(answer_id(step.action.intent.reply_to))
        for table in ("tasks", "threads", "memory", "messages"):
            created = set(getattr(step.after, table)) - set(getattr(step.before, table))
            assert created <= announced


@given(stories())
def test_a_refused_action_gives_nothing(story: Story) -> None:
    """A refusal is all there is, and its message is a sentence."""
    for step in story.steps:
        if isinstance(step.decision, Refused):
            assert step.events == ()
            assert step.after == step.before
            assert step.decision.message.endswith(".")


# Who may what

NEEDS: dict[str, tuple[dict[str, object], str]] = {
    # action: (a payload that is well-formed, the least role)
    "user.message": ({"text": "x"}, "editor"),
    "user.interrupt": ({"message_id": "m1"}, "editor"),
    "user.create_task": ({"title": "x"}, "editor"),
    "user.update_task": ({"task_id": "t1", "title": "y"}, "editor"),
    "user.delete_task": ({"task_id": "t1"}, "editor"),
    "user.batch": ({"actions": []}, "editor"),
    "user.request_plan": ({}, "editor"),
    "user.remember": ({"text": "x"}, "editor"),
    "user.update_memory": ({"memory_id": "me1"}, "editor"),
    "user.forget": ({"memory_id": "me1"}, "editor"),
    "user.set_reminder": ({"at": NOW, "text": "x"}, "editor"),
    "user.dismiss_reminder": ({"reminder_id": "r1"}, "editor"),
    "user.snooze_reminder": ({"reminder_id": "r1", "until": NOW}, "editor"),
    "user.create_thread": ({"title": "x"}, "editor"),
    "user.update_thread": ({"thread_id": "main"}, "editor"),
    "user.update_settings": ({"model": "m"}, "owner"),
    "user.set_member": ({"actor": "bob", "role": "viewer"}, "owner"),
    "user.remove_member": ({"actor": "vi"}, "owner"),
    "user.approve_proposal": ({"proposal_id": "pr1"}, "editor"),
    "user.decline_proposal": ({"proposal_id": "pr1"}, "editor"),
    "user.undo": ({"client_action_id": "c0"}, "editor"),
    "assistant.answer": ({"reply_to": "m1"}, "producer"),
    "assistant.complete": ({"message_id": "m1", "text": ""}, "producer"),
    "assistant.interrupt": ({"message_id": "m1", "text": "", "reason": "error"}, "producer"),
    "assistant.create_task": ({"title": "x"}, "producer"),
    "assistant.update_task": ({"task_id": "t1"}, "producer"),
    "assistant.remember": ({"text": "x"}, "producer"),
    "assistant.request_plan": ({}, "producer"),
    "assistant.plan": ({"plan_id": "p", "blocks": [], "summary": "", "source": "b"}, "producer"),
    "system.complete_plan": ({"plan_id": "p", "status": "complete"}, "producer"),
    "system.interrupt": ({"message_id": "m1", "text": "", "reason": "error"}, "producer"),
    "system.set_member": ({"actor": "bob", "role": "viewer"}, "producer"),
}
MAY = {
    "assistant": {"producer", "owner", "editor"},
    "system": {"producer", "owner", "editor"},
    "ana": {"owner", "editor"},
    "ed": {"editor"},
    "vi": set(),
    "nobody": set(),
}


@pytest.mark.parametrize("actor", MAY)
@pytest.mark.parametrize("name", NEEDS)
def test_who_may_what(name: str, actor: str) -> None:
    """Owners everything, editors all but settings and members, viewers and strangers nothing, producers their own."""
    payload, least = NEEDS[name]
    decision = decide(a_state(a_task()), an_action(name, **payload), a_context(actor))
    forbidden = isinstance(decision, Refused) and decision.code == "forbidden"
    assert forbidden == (least not in MAY[actor])


def test_every_action_is_in_the_table() -> None:
    """An action that is added has its row."""
    assert set(NEEDS) == set(ACTIONS)


@pytest.mark.parametrize(
    ("name", "payload"),
    [
        ("user.batch", {"actions": []}),
        ("user.set_reminder", {"at": NOW, "text": "x"}),
        ("user.dismiss_reminder", {"reminder_id": "r"}),
        ("user.snooze_reminder", {"reminder_id": "r", "until": NOW}),
        ("user.approve_proposal", {"proposal_id": "p"}),
        ("user.decline_proposal", {"proposal_id": "p"}),
        ("user.undo", {"client_action_id": "c"}),
    ],
)
def test_what_is_not_done_yet_says_so(name: str, payload: dict) -> None:
    """A plain `invalid`, which is judged afresh: the same id can be sent again to a later server."""
    refused = refusal(a_state(), an_action(name, **payload))
    assert (refused.code, refused.field, refused.stored) == ("invalid", "type", False)
    assert name in refused.message


# Tasks


def test_a_task_is_created_whole() -> None:
    """What was not said has its default, the stamp is the context's."""
    action = an_action("user.create_task", task_id="t1", title="Buy milk", tags=["home"], minutes=5)
    payloads, state = decided(a_state(), action)
    expected = a_task("t1", tags=("home",), minutes=5, position=position_at(NOW))
    assert payloads == (TaskCreated(entity=expected),)
    assert state.tasks["t1"] == expected


def test_a_task_without_an_id_gets_a_derived_one() -> None:
    """The optimistic row and the committed one are one row: both ends derive the same id."""
    action = an_action("user.create_task", title="x")
    (payload,), _ = decided(a_state(), action)
    assert (entity_of(payload).task_id,) == new_ids(action, "ana")  # type: ignore[attr-defined]  # a task


@pytest.mark.parametrize(
    ("entry", "used"),
    [
        (a_task("x"), frozenset()),
        (a_memory("x"), frozenset()),
        (a_message("x"), frozenset()),
        (a_thread("x"), frozenset()),
        (a_task("y"), frozenset({"x"})),
    ],
)
def test_an_id_that_is_taken(entry: Entry, used: frozenset[str]) -> None:
    """An id that an entity of any kind has, or that the ledger has seen, is a conflict."""
    action = an_action("user.create_task", task_id="x", title="t")
    refused = refusal(a_state(entry), action, a_context(used=used))
    assert (refused.code, refused.field) == ("conflict", "task_id")


@pytest.mark.parametrize(
    ("given_due", "due"),
    [
        ("2026-11-22", "2026-11-22"),
        ("2026-11-22T13:05:00+01:00", "2026-11-22T12:05:00.000Z"),
        (None, None),
    ],
)
def test_due_is_a_date_or_an_instant(given_due: str | None, due: str | None) -> None:
    """A date stays as it is, an instant takes the contract's form."""
    (created,), _ = decided(a_state(), an_action("user.create_task", title="x", due=given_due))
    assert entity_of(created).due == due  # type: ignore[attr-defined]  # a task
    payloads, _ = decided(
        a_state(a_task(due="x")), an_action("user.update_task", task_id="t1", due=given_due)
    )
    assert payloads == (
        TaskUpdated(task_id="t1", version=2, set=TaskFields(due=due), was=TaskFields(due="x")),
    )


@pytest.mark.parametrize("due", ["tomorrow", "2026-02-30", "2026-11-22T25:00:00Z", ""])
def test_due_is_nothing_else(due: str) -> None:
    """Words and days that are not are refused with an example of what is right."""
    refused = refusal(a_state(), an_action("user.create_task", title="x", due=due))
    assert (refused.code, refused.field) == ("invalid", "due")
    assert "2026-11-22" in refused.message


def test_an_update_gives_what_changed() -> None:
    """Fields that are as they were are left out; the version rises by one."""
    action = an_action("user.update_task", task_id="t1", title="Buy milk", status="doing", notes="2 l")
    payloads, state = decided(a_state(a_task(version=4)), action)
    wanted = TaskFields(status="doing", notes="2 l")
    assert payloads == (
        TaskUpdated(task_id="t1", version=5, set=wanted, was=TaskFields(status="open", notes="")),
    )
    assert state.tasks["t1"].version == 5


def test_nothing_changed_gives_no_event() -> None:
    """An update to what is already so is applied without an event."""
    assert decided(a_state(a_task()), an_action("user.update_task", task_id="t1", title="Buy milk"))[0] == ()
    assert decided(a_state(a_task()), an_action("user.update_task", task_id="t1"))[0] == ()


@pytest.mark.parametrize(("version", "code"), [(3, None), (2, "conflict"), (4, "conflict")])
def test_if_version(version: int, code: str | None) -> None:
    """An update can ask for the version that it was made on."""
    state = a_state(a_task(version=3))
    action = an_action("user.update_task", task_id="t1", title="y", if_version=version)
    decision = decide(state, action, a_context())
    assert (decision.code if isinstance(decision, Refused) else None) == code


@pytest.mark.parametrize("name", ["user.update_task", "user.delete_task"])
def test_a_task_that_is_not_there(name: str) -> None:
    """It is not found."""
    refused = refusal(a_state(), an_action(name, task_id="gone"))
    assert (refused.code, refused.field) == ("not_found", "task_id")


def test_a_task_is_deleted_with_all_that_it_was() -> None:
    """The event has the whole task, so that it can be put back."""
    payloads, state = decided(a_state(a_task(version=3)), an_action("user.delete_task", task_id="t1"))
    assert payloads == (TaskDeleted(task_id="t1", was=a_task(version=3)),)
    assert "t1" not in state.tasks


def full_of_tasks(count: int) -> State:
    """A state that counts so many open tasks, without the cost of them."""
    return replace(a_state(a_task("c", status="done"), a_task("o")), order=Order(open_tasks=count))


def test_open_tasks_are_full() -> None:
    """The 10,000th open task is taken, one more is refused; so is opening a closed one; closing always goes."""
    create = an_action("user.create_task", title="x")
    most = limits.open_tasks_max
    assert not isinstance(decide(full_of_tasks(most - 1), create, a_context()), Refused)
    assert refusal(full_of_tasks(most), create).code == "limit"
    reopen = an_action("user.update_task", task_id="c", status="open")
    assert not isinstance(decide(full_of_tasks(most - 1), reopen, a_context()), Refused)
    assert refusal(full_of_tasks(most), reopen).code == "limit"
    for free in (
        {"task_id": "c", "status": "dropped"},
        {"task_id": "c", "title": "y"},
        {"task_id": "o", "status": "done"},
    ):
        assert not isinstance(
            decide(full_of_tasks(most), an_action("user.update_task", **free), a_context()), Refused
        )


def test_repeating_tasks_are_not_done_yet() -> None:
    """A rule is refused, none is fine."""
    refused = refusal(a_state(), an_action("user.create_task", title="x", repeat="FREQ=DAILY"))
    assert (refused.code, refused.field) == ("invalid", "repeat")
    refused = refusal(a_state(a_task()), an_action("user.update_task", task_id="t1", repeat="FREQ=DAILY"))
    assert refused.field == "repeat"
    assert decided(a_state(a_task()), an_action("user.update_task", task_id="t1", repeat=None))[0] == ()


@given(st.integers(0, 10**7), st.integers(0, 10**7))
def test_a_task_without_a_place_stands_behind_older_ones(one: int, other: int) -> None:
    """Positions made from times sort as the times do, and are positions."""
    first, second = position_at(at(one)), position_at(at(other))
    assert (first < second) == (one < other)
    assert first.isalnum()
    assert first.islower() or first.isdigit()


def test_the_assistant_makes_tasks_in_its_own_name() -> None:
    """`assistant.create_task` gives the same event, created by the assistant."""
    (created,), _ = decided(a_state(), an_action("assistant.create_task", title="x"), a_context("assistant"))
    assert names_of((created,)) == ("task.created",)
    assert entity_of(created).created_by == "assistant"  # type: ignore[attr-defined]  # a task


def test_a_story_of_a_task() -> None:
    """Created, worked on, done, opened again, deleted: five versions of the truth."""
    state = a_state()
    for place, (name, payload) in enumerate(
        [
            ("user.create_task", {"task_id": "t1", "title": "x"}),
            ("user.update_task", {"task_id": "t1", "status": "doing"}),
            ("user.update_task", {"task_id": "t1", "status": "done"}),
            ("user.update_task", {"task_id": "t1", "status": "open"}),
        ]
    ):
        payloads = decide(state, an_action(name, f"c{place}", **payload), a_context("ed"))
        assert not isinstance(payloads, Refused)
        state = fold(state, some_events(*payloads, after=place))
    assert (state.tasks["t1"].version, state.tasks["t1"].closed_at, state.order.open_tasks) == (4, None, 1)
