"""What a widget shows follows from state and moment alone, and is inert."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest

from protocol.actions import RequestPlan
from protocol.client.status import LinkStatus
from protocol.errors import Refused
from protocol.frames import Present
from protocol.quickadd import parse
from protocol.replica import Rejected
from protocol.state import Block, Plan, Settings, State, Task, put
from protocol.text import is_inert
from tests.support.fixtures import (
    NOW,
    a_block,
    a_memory,
    a_message,
    a_plan,
    a_state,
    a_task,
    an_action,
    an_answer,
    at,
)
from tests.support.poison import CORPUS, Poison
from tui.rows import TaskRows, block_row, memory_rows, rejected_rows, task_of, today_rows
from tui.selectors import (
    Conversation,
    Tasks,
    entry_state,
    group_of,
    memory_lines,
    people_words,
    plan_note,
    preview,
    rejected_lines,
    status_view,
    streaming_answer,
    task_line,
    text_of,
    today_view,
    waiting_count,
)
from tui.wording import Moment

HOUR = 3600
HERE = Moment(NOW, "UTC")
NOBODY: frozenset[str] = frozenset()


def texts(value: object) -> Iterator[str]:
    """Every string in a frozen value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, tuple | list):
        for one in value:
            yield from texts(one)
    elif dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            if field.name not in ("task_id", "memory_id", "client_action_id", "key", "order"):
                yield from texts(getattr(value, field.name))


# --- tasks ---


@pytest.mark.parametrize(
    "task,group",
    [
        (a_task(), "later"),
        (a_task(priority="high"), "next"),
        (a_task(due="2026-11-21"), "late"),
        (a_task(due=at(-60)), "late"),
        (a_task(due=at(60)), "today"),
        (a_task(due="2026-11-22"), "today"),
        (a_task(status="doing"), "today"),
        (a_task(status="doing", due="2026-11-20"), "late"),
        (a_task(due="2026-11-23"), "next"),
        (a_task(due="2026-11-29"), "next"),
        (a_task(due="2026-11-30"), "later"),
        (a_task(due="garbage"), "later"),
        (a_task(status="done"), "done today"),
        (a_task(status="dropped"), "done today"),
        (a_task(status="done", closed_at=at(-24 * HOUR)), None),
    ],
)
def test_a_task_stands_in_one_group(task: Task, group: str | None) -> None:
    """Due, state and priority decide; what was closed on another day is not shown."""
    assert group_of(task, HERE) == group


def test_the_zone_decides_what_is_today() -> None:
    """Half an hour before midnight in one zone it is tomorrow in another."""
    task = a_task(due="2026-11-23")
    late_evening = "2026-11-22T23:30:00.000Z"
    assert group_of(task, Moment(late_evening, "UTC")) == "next"
    assert group_of(task, Moment(late_evening, "Europe/Berlin")) == "today"


def test_state_is_told_by_a_sign_and_a_word() -> None:
    """No state is told by colour alone, and what is unconfirmed says so first."""
    said = {status: task_line(a_task(status=status), HERE) for status in ("open", "doing", "done", "dropped")}
    assert {status: line.sign for status, line in said.items()} == {
        "open": "○",
        "doing": "◐",
        "done": "✓",
        "dropped": "✗",
    }
    assert [said[status].facts[:1] for status in ("doing", "done", "dropped")] == [
        ("doing",),
        ("done",),
        ("dropped",),
    ]
    assert task_line(a_task(), HERE, pending=True).facts[0] == "↑ unsent"


def test_facts_are_told_in_one_order() -> None:
    """Priority, due, minutes, tags, assignee, notes."""
    task = a_task(
        priority="urgent", due="2026-11-22", minutes=90, tags=("a", "b"), assignee="bo", notes="long"
    )
    assert task_line(task, HERE).facts == (
        "!!urgent",
        "today",
        "1 h 30",
        "#a",
        "#b",
        "@bo",
        "notes",
    )


def test_groups_are_ordered_by_due_then_priority_then_position() -> None:
    """The most pressing stands first."""
    state = a_state(
        a_task("t1", position="b"),
        a_task("t2", position="a"),
        a_task("t3", position="c", priority="low"),
        a_task("t4", due="2026-12-24"),
        a_task("t5", due="2026-11-20"),
        a_task("t6", due="2026-11-19"),
    )
    view = Tasks().view(state, NOBODY, HERE)
    assert [(group.name, [line.task_id for line in group.lines]) for group in view.groups] == [
        ("late", ["t6", "t5"]),
        ("later", ["t4", "t2", "t1", "t3"]),
    ]
    assert (view.open, view.late) == (6, 2)


def test_a_task_that_did_not_change_is_not_read_again() -> None:
    """Its line is the same object, until the minute or its mark changes."""
    tasks, state = Tasks(), a_state(a_task("t1"), a_task("t2"))
    before = tasks.view(state, NOBODY, HERE).groups[0].lines
    after = tasks.view(state, frozenset({"t2"}), HERE).groups[0].lines
    assert before[0] is after[0]
    assert (before[1].pending, after[1].pending) == (False, True)
    later = tasks.view(state, NOBODY, Moment(at(60), "UTC")).groups[0].lines
    assert later[0] is not before[0]


def test_what_does_not_touch_tasks_costs_nothing() -> None:
    """A message, a stream, a head: view and rows are the objects that they were."""
    tasks, rows, state = Tasks(), TaskRows(), a_state(a_task())
    view = tasks.view(state, NOBODY, HERE)
    other = put(state, "messages", a_message())
    assert tasks.view(other, NOBODY, HERE) is view
    assert rows.rows(view) is rows.rows(tasks.view(other, NOBODY, HERE))
    assert tasks.view(other, frozenset({"t1"}), HERE) is not view


def test_ten_thousand_tasks_keep_their_rows() -> None:
    """One change makes one new row; the others are the objects that they were."""
    tasks, rows = Tasks(), TaskRows()
    state = a_state(*(a_task(f"t{number}", position=f"{number:06}") for number in range(10_000)))
    before = rows.rows(tasks.view(state, NOBODY, HERE))
    after = rows.rows(tasks.view(state, frozenset({"t5000"}), HERE))
    changed = [one for one, other in zip(before, after, strict=True) if one is not other]
    assert [row.key for row in changed if row.kind == "item"] == ["task:t5000"]


def test_an_empty_list_says_what_to_press() -> None:
    """Nobody stands before a blank pane."""
    (row,) = TaskRows().rows(Tasks().view(a_state(), NOBODY, HERE))
    assert row.kind == "note"
    assert "Press a" in row.text
    assert task_of(row.key) is None


def test_the_preview_of_quick_add_says_all_that_was_understood() -> None:
    """Title and facts, in words."""
    title, facts = preview(parse("pay rent friday !high #home ~20m @bo", now=HERE.now, zone=HERE.zone), HERE)
    assert title == "pay rent"
    assert facts == ("due Fri", "!high", "20 min", "#home", "for @bo")


# --- today ---


def a_day(*blocks: Block) -> State:
    plan = a_plan(blocks=blocks, status="complete")
    return a_state(plan, a_task("t1", title="Pay rent"), a_task("t2", status="done"))


def test_blocks_are_told_by_time_and_now_lies_between_them() -> None:
    """Past, now and coming; the mark for now stands before what comes."""
    view = today_view(
        a_day(
            a_block(start=at(HOUR), task_id="t1"),
            a_block(start=at(-2 * HOUR), task_id="t2", minutes=30),
            a_block(start=at(-60), task_id=None, title="Walk"),
        ),
        NOBODY,
        HERE,
    )
    assert [(block.time, block.when, block.sign) for block in view.blocks] == [
        ("11:05", "past", "✓"),
        ("13:04", "now", "·"),
        ("14:05", "coming", "○"),
    ]
    assert view.now_at == 2
    assert [row.key for row in today_rows(view, NOBODY)][2] == "now"
    assert view.blocks[1].facts[0] == "now"


def test_a_block_follows_its_task() -> None:
    """Its title is that of the task now; where the task is gone it says so."""
    view = today_view(a_day(a_block(task_id="t1", title="old"), a_block(task_id="gone")), NOBODY, HERE)
    assert view.blocks[0].title == "Pay rent"
    assert "deleted" in view.blocks[1].facts
    assert view.blocks[1].closed


def test_a_reason_is_shown_on_demand() -> None:
    """It is there, and takes no line until it is asked for."""
    block = today_view(a_day(a_block(reason="due today")), NOBODY, HERE).blocks[0]
    assert block_row(block, opened=False).below == ""
    assert block_row(block, opened=True).below == "due today"


@pytest.mark.parametrize(
    "plan,pending,note",
    [
        (None, False, "No plan for today yet."),
        (a_plan(), False, "◌ being planned …"),
        (a_plan(), True, "↑ asked for, not sent yet"),
        (a_plan(status="failed", error="no model"), False, "■ could not be planned: no model"),
        (a_plan(status="complete"), False, "The plan has nothing for today."),
        (a_plan(status="complete", blocks=(a_block(),)), False, ""),
    ],
)
def test_the_state_of_a_plan_is_said(plan: Plan | None, pending: bool, note: str) -> None:
    """Every state but a plan that is simply there has its words."""
    assert plan_note(plan, pending=pending) == note


def test_the_day_is_that_of_the_zone() -> None:
    """The zone of the workspace decides which plan is today's, and is named."""
    state = a_state(a_plan("2026-11-23", status="complete"), settings=Settings(timezone="Asia/Tokyo"))
    view = today_view(state, NOBODY, Moment("2026-11-22T20:00:00.000Z", "Asia/Tokyo"))
    assert view.day == "Mon 23 Nov · Tokyo"
    assert view.note == "The plan has nothing for today."


# --- conversation ---


def test_messages_become_entries_in_order() -> None:
    """A streaming answer has the text so far."""
    state = a_state(a_message("m1", 1), an_answer("an1", 2))
    entries = Conversation().entries(state, "main", NOBODY, {"an1": "so far"}, HERE)
    assert [(entry.key, entry.text, entry.state) for entry in entries] == [
        ("m1", "hello", "complete"),
        ("an1", "so far", "streaming"),
    ]


def test_an_answer_that_nobody_confirmed_is_not_shown() -> None:
    """Offline nobody writes: only the question stands there, and says that it is not sent."""
    state = a_state(a_message("m1", 1), an_answer("an1", 2))
    predicted = frozenset({"m1", "an1"})
    entries = Conversation().entries(state, "main", predicted, {}, HERE)
    assert [(entry.key, entry.state) for entry in entries] == [("m1", "pending")]
    unmarked = Conversation().entries(state, "main", predicted, {}, HERE, marked=False)
    assert [(entry.key, entry.state) for entry in unmarked] == [("m1", "complete")]


def test_entries_that_did_not_change_are_the_same() -> None:
    """A refresh reads only what is new."""
    reader, state = Conversation(), a_state(a_message("m1", 1), a_message("m2", 2))
    before = reader.entries(state, "main", NOBODY, {}, HERE)
    assert all(
        one is other
        for one, other in zip(before, reader.entries(state, "main", NOBODY, {}, HERE), strict=True)
    )


def test_what_is_being_written_and_what_waits_is_counted_by_thread() -> None:
    """Another thread's answers are not this one's."""
    state = a_state(
        a_message("m1", 1, status="waiting"), an_answer("an1", 2), an_answer("an2", 3, thread_id="other")
    )
    assert streaming_answer(state, "main") == "an1"
    assert streaming_answer(state, "nothing") is None
    assert waiting_count(state, "main") == 1
    assert entry_state(a_message(status="waiting"), pending=True) == "pending"


# --- status ---


def a_link(**fields: object) -> LinkStatus:
    defaults: dict[str, object] = {
        "phase": "live",
        "seq": 128,
        "behind": 0,
        "since": None,
        "reason": None,
        "unsent": 0,
        "actor": "ana",
        "role": "owner",
        "workspace": "home",
        "workspace_id": "w1",
    }
    return LinkStatus(**{**defaults, **fields})  # type: ignore[arg-type]  # fields of a link


@pytest.mark.parametrize(
    "link,pending,said",
    [
        (a_link(), 0, "● live #128"),
        (a_link(phase="catching_up", behind=412), 0, "◐ catching up 412"),
        (a_link(phase="connecting"), 0, "◌ connecting"),
        (a_link(phase="offline", since=at(-HOUR), unsent=3), 3, "○ offline since 12:05 · 3 unsent"),
        (a_link(unsent=0), 2, "● live #128 · 2 without an answer yet"),
        (
            a_link(phase="stopped", reason="The token was revoked."),
            0,
            "■ stopped: The token was revoked.",
        ),
    ],
)
def test_the_status_tells_the_truth_in_words(link: LinkStatus, pending: int, said: str) -> None:
    """Phase, seq, since when, and how much is unsent."""
    view = status_view(link, (), 0, pending, HERE)
    assert f"{view.sign} {view.link}" == said


def test_others_are_named_once_and_typing_is_said() -> None:
    """One person in two terminals is one person."""
    here = (
        Present(actor="ana", session_id="1", client="x"),
        Present(actor="ana", session_id="2", client="x"),
        Present(actor="bo", session_id="3", client="x"),
        Present(actor="bo", session_id="4", client="x", typing=True),
        Present(actor="cy", session_id="5", client="x"),
    )
    assert people_words(here, "ana") == "with bo (typing), cy · you in 2 terminals"
    assert people_words(here[:1], "ana") == ""


def test_refusals_and_a_reader_are_said() -> None:
    """How many were refused and with which key to look; that one may only read."""
    view = status_view(a_link(role="viewer"), (), 2, 0, HERE)
    assert view.rejected == "✗ 2 not accepted (r)"
    assert view.place == "home · ana (only reads)"


# --- memory and refusals ---


def test_pinned_memories_stand_first_then_the_newest() -> None:
    """What matters most is on top."""
    state = a_state(
        a_memory("me1", created_at=at(1)),
        a_memory("me2", created_at=at(2)),
        a_memory("me3", pinned=True, created_at=at(0)),
    )
    lines = memory_lines(state, frozenset({"me1"}), HERE)
    assert [line.memory_id for line in lines] == ["me3", "me2", "me1"]
    assert lines[0].facts[0] == "pinned"
    assert lines[2].facts[0] == "↑ unsent"


def test_a_refusal_gives_the_text_back() -> None:
    """As it was written, whatever kind of action it was in."""
    refused = Rejected(
        action=an_action("user.message", text="two\nlines"),
        payload=b'{"text":"two\\nlines"}',
        refused=Refused("too_large", "It is too long."),
        rejected_at=NOW,
    )
    (line,) = rejected_lines((refused,), HERE)
    assert line.what == "message: “two⏎lines”"
    assert line.reason == "It is too long."
    assert line.text == "two\nlines"


@pytest.mark.parametrize(
    "payload,text",
    [
        (b'{"title":"milk"}', "milk"),
        (b'{"task_id":"t1"}', ""),
        (b'{"text":5}', ""),
        (b"[]", ""),
        (b"\xff", ""),
        (b"[" * 2000, ""),
    ],
)
def test_a_payload_without_text_has_none(payload: bytes, text: str) -> None:
    """Whatever the payload is, it does not raise."""
    assert text_of(payload) == text


# --- inert ---


IN_JSON = [poison for poison in CORPUS if poison.name != "lone surrogates"]
"""What a state can hold at all."""


@pytest.mark.parametrize("poison", IN_JSON, ids=lambda poison: poison.name)
def test_every_text_of_every_value_is_inert(poison: Poison) -> None:
    """Titles, names, reasons, summaries, tags: nothing of a payload survives as more than text."""
    text = poison.text
    state = a_state(
        a_task(title=text, tags=(text,), due=text),
        a_message("m1", 1, text=text, author=text),
        a_memory(text=text, tags=(text,), created_by=text),
        a_plan(
            status="complete",
            summary=text,
            blocks=(a_block(title=text, reason=text, task_id=None), a_block(start=text, task_id=None)),
        ),
        settings=Settings(timezone="UTC"),
    )
    refused = Rejected(
        action=an_action("user.request_plan"),
        payload=b"{}",
        refused=Refused("invalid", text),
        rejected_at=text,
    )
    assert isinstance(refused.action.intent, RequestPlan)
    today = today_view(state, NOBODY, HERE)
    memories = memory_lines(state, NOBODY, HERE)
    refusals = rejected_lines((refused,), HERE)
    values: list[object] = [
        Tasks().view(state, NOBODY, HERE),
        today,
        memories,
        refusals,
        Conversation().entries(state, "main", NOBODY, {}, HERE),
        status_view(
            a_link(phase="stopped", reason=text, workspace=text, actor=text),
            (Present(actor=text, session_id="1", client=text),),
            1,
            0,
            HERE,
        ),
        today_rows(today, frozenset(block.key for block in today.blocks)),
        memory_rows(memories),
        rejected_rows(refusals),
        preview(parse(text, now=HERE.now, zone=HERE.zone), HERE),
    ]
    assert [found for found in texts(values) if not is_inert(found)] == []
