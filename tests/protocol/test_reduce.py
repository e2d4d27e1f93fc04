"""The fold: total, and the same whether it is made at once or from a snapshot and its tail."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from protocol.codec import decode_event, decode_server_frame, decode_state, encode_event, snapshot_frames
from protocol.events import (
    DailyPlanComplete,
    DailyPlanStart,
    DigestCreated,
    Head,
    LlmCompleted,
    LlmInterrupted,
    MemberRemoved,
    MemberSet,
    MemoryAdded,
    MemoryFields,
    MemoryRemoved,
    MemoryUpdated,
    MessageCreated,
    MessageStream,
    Payload,
    PlanGenerated,
    ProposalApproved,
    ProposalDeclined,
    Proposed,
    ReminderDismissed,
    ReminderFired,
    ReminderSet,
    ReminderSnoozed,
    SettingsFields,
    SettingsUpdated,
    TaskCreated,
    TaskDeleted,
    TaskFields,
    TaskUpdated,
    ThreadCreated,
    ThreadFields,
    ThreadUpdated,
    Unknown,
)
from protocol.frames import Snapshot
from protocol.reduce import fold, known_fields, reduce
from protocol.state import INITIAL, AssistantState, State
from tests.support.fixtures import (
    a_block,
    a_digest,
    a_member,
    a_memory,
    a_message,
    a_plan,
    a_proposal,
    a_reminder,
    a_state,
    a_task,
    a_thread,
    an_answer,
    an_event,
    at,
    some_events,
)
from tests.support.strategies import PAYLOADS, Story, any_events, stories


def through_a_snapshot(state: State, head: Head) -> State:
    """The state as a client has it after real snapshot frames."""
    parts = [decode_server_frame(frame) for frame in snapshot_frames(state, head, "initial")]
    assert all(isinstance(part, Snapshot) for part in parts)
    return decode_state(part.state for part in parts if isinstance(part, Snapshot))


def through_the_wire(events: tuple) -> tuple:
    """The events as a client reads them."""
    return tuple(decode_event(encode_event(event)) for event in events)


@given(stories(), st.integers(0, 100))
def test_a_snapshot_and_its_tail_are_the_whole(story: Story, cut: int) -> None:
    """Wherever the ledger is cut: the first part as snapshot frames, the rest folded onto it, is the fold of all."""
    events = story.events
    first, tail = events[:cut], events[cut:]
    base = through_a_snapshot(fold(INITIAL, first), Head())
    assert fold(base, through_the_wire(tail)) == fold(INITIAL, events) == story.state


@given(any_events(), st.integers(0, 25))
def test_so_it_is_whatever_happened(events: tuple, cut: int) -> None:
    """The same of ledgers that no rule ever made."""
    base = through_a_snapshot(fold(INITIAL, events[:cut]), Head())
    whole = fold(INITIAL, events)
    assert fold(base, through_the_wire(events[cut:])) == whole
    assert fold(base, through_the_wire(events[cut:])).digest_hex == whole.digest_hex


@given(stories(max_size=15), PAYLOADS)
def test_any_event_reduces_on_any_state(story: Story, payload: object) -> None:
    """An event about anything, there or not, raises nothing."""
    reduce(story.state, an_event(payload, 1_000))  # type: ignore[arg-type]  # a payload


@given(stories())
def test_open_answers_and_waiting_messages_are_listed(story: Story) -> None:
    """What the assistant is at is what the messages say, in the order of the ledger."""
    said = sorted(story.state.messages.values(), key=lambda one: one.place)
    streaming = tuple(one.message_id for one in said if one.status == "streaming")
    waiting = tuple(one.message_id for one in said if one.status == "waiting")
    assert story.state.assistant == AssistantState(streaming=streaming, waiting=waiting)


@given(stories())
def test_a_streaming_message_has_no_text(story: Story) -> None:
    """Its text travels as tokens only, so that a digest depends on the ledger alone."""
    for step in story.steps:
        assert all(one.text == "" for one in step.after.messages.values() if one.status == "streaming")


@given(stories())
def test_an_answer_ends_once(story: Story) -> None:
    """Every opened answer has at most one terminal event, and none comes without an open answer."""
    open_now: set[str] = set()
    for event in story.events:
        match event.payload:
            case MessageStream(message_id=message_id):
                open_now.add(message_id)
            case LlmCompleted(message_id=message_id) | LlmInterrupted(message_id=message_id):
                open_now.remove(message_id)
            case _:
                pass
    assert open_now == set(story.state.assistant.streaming)


def test_an_event_about_nothing_changes_nothing() -> None:
    """Each type that speaks of something: where that is not there, the state stays as it is."""
    state = a_state()
    payloads: list[Payload] = [
        LlmCompleted(message_id="x", text="t"),
        LlmInterrupted(message_id="x", text="t", reason="user"),
        TaskUpdated(task_id="x", version=2, set=TaskFields(title="a"), was=TaskFields(title="b")),
        TaskDeleted(task_id="x", was=a_task("x")),
        PlanGenerated(plan_id="x", date="2026-11-22", blocks=(), summary="", source="builtin"),
        DailyPlanComplete(plan_id="x", date="2026-11-22", status="complete"),
        MemoryUpdated(memory_id="x", set=MemoryFields(text="a"), was=MemoryFields(text="b")),
        MemoryRemoved(memory_id="x", was=a_memory("x")),
        ReminderDismissed(reminder_id="x"),
        ReminderSnoozed(reminder_id="x", until=at(1)),
        ReminderFired(reminder_id="x", at=at(1), text="t"),
        ThreadUpdated(thread_id="x", set=ThreadFields(title="a"), was=ThreadFields(title="b")),
        MemberRemoved(actor="x", was=a_member("x")),
        ProposalApproved(proposal_id="x"),
        ProposalDeclined(proposal_id="x"),
        Unknown(fields={"task_id": "x"}),
    ]
    assert all(reduce(state, an_event(payload)) == state for payload in payloads)


def test_entities_come_and_go() -> None:
    """`created`, `added` and `set` put the whole entity, `deleted` and `removed` take it away."""
    came = some_events(
        TaskCreated(entity=a_task()),
        MemoryAdded(entity=a_memory()),
        ThreadCreated(entity=a_thread()),
        MemberSet(entity=a_member("bob", "viewer")),
        ReminderSet(entity=a_reminder()),
        Proposed(entity=a_proposal()),
        DigestCreated(entity=a_digest()),
    )
    entries = (
        a_task(),
        a_memory(),
        a_thread(),
        a_member("bob", "viewer"),
        a_reminder(),
        a_proposal(),
        a_digest(),
    )
    assert fold(a_state(), came) == a_state(*entries)
    went = some_events(
        TaskDeleted(task_id="t1", was=a_task()),
        MemoryRemoved(memory_id="me1", was=a_memory()),
        MemberRemoved(actor="bob", was=a_member("bob", "viewer")),
    )
    assert fold(a_state(a_task(), a_memory(), a_member("bob")), went) == a_state()


def test_a_task_knows_when_it_was_changed_and_closed() -> None:
    """The version is the event's, `closed_at` is the first closing, and opening it again clears that."""
    done = TaskUpdated(task_id="t1", version=2, set=TaskFields(status="done"), was=TaskFields(status="open"))
    dropped = TaskUpdated(
        task_id="t1", version=3, set=TaskFields(status="dropped"), was=TaskFields(status="done")
    )
    again = TaskUpdated(
        task_id="t1", version=4, set=TaskFields(status="doing"), was=TaskFields(status="dropped")
    )
    events = tuple(
        an_event(payload, seq, timestamp=at(seq))
        for seq, payload in enumerate([done, dropped, again], start=1)
    )
    after = [fold(a_state(a_task()), events[:count]).tasks["t1"] for count in (1, 2, 3)]
    assert [task.closed_at for task in after] == [at(1), at(1), None]
    assert [task.version for task in after] == [2, 3, 4]
    assert [task.updated_at for task in after] == [at(1), at(2), at(3)]


def test_a_field_that_is_emptied_is_empty() -> None:
    """`null` in `set` is a value; an absent field is not spoken of."""
    task = a_task(due="2026-11-22", minutes=5)
    emptied = TaskUpdated(task_id="t1", version=2, set=TaskFields(due=None), was=TaskFields(due="2026-11-22"))
    after = reduce(a_state(task), decode_event(encode_event(an_event(emptied)))).tasks["t1"]
    assert (after.due, after.minutes) == (None, 5)


def test_an_answer_is_opened_and_completed() -> None:
    """The waiting question is complete once its answer is open; the answer gets its text with its end."""
    question = MessageCreated(entity=a_message("q", 0, status="waiting"))
    opened = MessageStream(message_id="a", thread_id="main", reply_to="q", model="builtin")
    first, second, third = some_events(question, opened, LlmCompleted(message_id="a", text="so"))
    state = reduce(a_state(), first)
    assert state.assistant == AssistantState(waiting=("q",))
    state = reduce(state, second)
    assert state.assistant == AssistantState(streaming=("a",))
    assert state.messages["q"].status == "complete"
    assert state.messages["a"] == an_answer("a", 2, reply_to="q", created_at=second.timestamp)
    state = reduce(state, third)
    assert state.assistant == AssistantState()
    assert (state.messages["a"].status, state.messages["a"].text) == ("complete", "so")


def test_an_ended_answer_stays_as_it_ended() -> None:
    """A second terminal event changes nothing."""
    state = a_state(an_answer(status="complete", text="so"))
    late = LlmInterrupted(message_id="an1", text="s", reason="stalled")
    assert reduce(state, an_event(late)) == state


def test_a_plan_is_made_in_steps() -> None:
    """While a new plan of a date is made the blocks of the last one stay; only its own workflow goes on with it."""
    old = a_plan(status="complete", blocks=(a_block(),), summary="old", source="builtin", plan_id="p0")
    start = DailyPlanStart(plan_id="p1", date="2026-11-22")
    state = reduce(a_state(old), an_event(start, 1))
    plan = state.plans["2026-11-22"]
    assert (plan.plan_id, plan.status, plan.blocks, plan.summary) == ("p1", "running", (a_block(),), "old")
    late = PlanGenerated(plan_id="p0", date="2026-11-22", blocks=(), summary="late", source="builtin")
    assert reduce(state, an_event(late, 2)) == state
    state = reduce(state, an_event(replace(late, plan_id="p1", summary="new"), 3))
    assert (state.plans["2026-11-22"].summary, state.plans["2026-11-22"].status) == ("new", "running")
    ended = DailyPlanComplete(plan_id="p1", date="2026-11-22", status="failed", error="no model")
    plan = reduce(state, an_event(ended, 4)).plans["2026-11-22"]
    assert (plan.status, plan.error, plan.completed_at) == (
        "failed",
        "no model",
        an_event(ended, 4).timestamp,
    )


def test_a_reminder_is_fired_snoozed_and_dismissed() -> None:
    """Snoozing sets it again for later; it keeps when it last fired."""
    fired = an_event(ReminderFired(reminder_id="r1", at=at(0), text="tea"), 1)
    snoozed = an_event(ReminderSnoozed(reminder_id="r1", until=at(600)), 2)
    dismissed = an_event(ReminderDismissed(reminder_id="r1"), 3)
    state = reduce(a_state(a_reminder()), fired)
    assert (state.reminders["r1"].status, state.reminders["r1"].fired_at) == ("fired", fired.timestamp)
    state = reduce(state, snoozed)
    assert (state.reminders["r1"].status, state.reminders["r1"].at) == ("set", at(600))
    state = reduce(state, dismissed)
    assert (state.reminders["r1"].status, state.reminders["r1"].fired_at) == ("dismissed", fired.timestamp)


def test_a_proposal_is_answered_by_somebody() -> None:
    """Who and when stand in it."""
    event = an_event(ProposalDeclined(proposal_id="pr1"), actor="ed")
    after = reduce(a_state(a_proposal()), event).proposals["pr1"]
    assert (after.status, after.answered_by, after.answered_at) == ("declined", "ed", event.timestamp)
    after = reduce(a_state(a_proposal()), an_event(ProposalApproved(proposal_id="pr1"))).proposals["pr1"]
    assert (after.status, after.answered_by) == ("approved", "ana")


def test_settings_change_field_by_field() -> None:
    """What an update does not speak of stays."""
    update = SettingsUpdated(
        set=SettingsFields(model="m", digest_at="18:00"), was=SettingsFields(model="builtin")
    )
    after = reduce(a_state(), an_event(update)).settings
    assert (after.model, after.digest_at, after.timezone) == ("m", "18:00", "UTC")


def test_a_message_takes_the_place_of_its_event() -> None:
    """Its `seq` is that of the ledger, whatever its payload says."""
    claimed = MessageCreated(entity=a_message("m", 99))
    assert reduce(a_state(), an_event(claimed, 7)).messages["m"].seq == 7


def test_known_fields_are_those_that_are_set() -> None:
    """`null` is known, absent is not."""
    assert known_fields(TaskFields(due=None, title="x")) == {"title": "x", "due": None}
