"""Days and their plans. It is Monday, 23 November 2026, in Berlin (UTC+1); `at 8` is 08:00 there."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import times
from protocol.state import CLOSED, Block, Plan, State, Task, put
from server.assistant.planner import BLOCKS_MAX, PlanResult, plan
from tests.support.states import make_state, make_task

ZONE = "Europe/Berlin"
TODAY = "2026-11-23"
T = make_task


def planned(state: State, date: str = TODAY, at: str = "08:00") -> PlanResult:
    return plan(state, date, now=f"{TODAY}T{int(at[:2]) - 1:02d}:{at[3:]}:00.000Z", zone=ZONE)


def shown(result: PlanResult) -> list[str]:
    """Each block as `09:00 30 title (reason)`."""
    return [
        f"{times.local(block.start, ZONE):%H:%M} {block.minutes} {block.title} ({block.reason})"
        for block in result.blocks
    ]


CASES: dict[str, tuple[str, list[Task], list[str]]] = {
    "a task without anything": ("08:00", [T("A")], ["09:00 30 A (there is room for it)"]),
    "its length": ("08:00", [T("A", minutes=45)], ["09:00 45 A (there is room for it)"]),
    "due today": ("08:00", [T("A", due=TODAY)], ["09:00 30 A (due today)"]),
    "late since yesterday": ("08:00", [T("A", due="2026-11-22")], ["09:00 30 A (late since yesterday)"]),
    "late since a weekday": ("08:00", [T("A", due="2026-11-18")], ["09:00 30 A (late since Wednesday)"]),
    "late for long": ("08:00", [T("A", due="2026-11-03")], ["09:00 30 A (late since 3 November)"]),
    "late since last year": (
        "08:00",
        [T("A", due="2025-11-03")],
        ["09:00 30 A (late since 3 November 2025)"],
    ),
    "late before due": (
        "08:00",
        [T("A", due=TODAY, priority="urgent"), T("B", due="2026-11-22", priority="low")],
        ["09:00 30 B (late since yesterday)", "09:30 30 A (due today, urgent)"],
    ),
    "due before soon before the rest before low": (
        "08:00",
        [T("D", priority="low"), T("C"), T("B", due="2026-11-27"), T("A", due=TODAY)],
        [
            "09:00 30 A (due today)",
            "09:30 30 B (due on Friday)",
            "10:00 30 C (there is room for it)",
            "10:30 30 D (there is room for it)",
        ],
    ),
    "urgent without a date beside what is due": (
        "08:00",
        [T("A", due=TODAY), T("B", priority="urgent")],
        ["09:00 30 B (urgent)", "09:30 30 A (due today)"],
    ),
    "high before normal": (
        "08:00",
        [T("A"), T("B", priority="high")],
        ["09:00 30 B (high priority)", "09:30 30 A (there is room for it)"],
    ),
    "doing before open": (
        "08:00",
        [T("A", due=TODAY, priority="urgent"), T("B", status="doing")],
        ["09:00 30 B (you are on it already)", "09:30 30 A (due today, urgent)"],
    ),
    "late before doing": (
        "08:00",
        [T("A", status="doing"), T("B", due="2026-11-22")],
        ["09:00 30 B (late since yesterday)", "09:30 30 A (you are on it already)"],
    ),
    "closed ones are not planned": ("08:00", [T("A", status="done"), T("B", status="dropped")], []),
    "the nearer date first": (
        "08:00",
        [T("A", due="2026-11-27"), T("B", due="2026-11-25")],
        ["09:00 30 B (due on Wednesday)", "09:30 30 A (due on Friday)"],
    ),
    "their own order where nothing else tells": (
        "08:00",
        [T("A", position="b"), T("B", position="a")],
        ["09:00 30 B (there is room for it)", "09:30 30 A (there is room for it)"],
    ),
    "from the next quarter": ("10:07", [T("A")], ["10:15 30 A (there is room for it)"]),
    "from this quarter": ("10:15", [T("A")], ["10:15 30 A (there is room for it)"]),
    "a gap at noon": (
        "11:50",
        [T("A", minutes=45, position="a"), T("B", minutes=60, position="b")],
        ["13:00 45 A (there is room for it)", "13:45 60 B (there is room for it)"],
    ),
    "short work fills the gap": (
        "11:50",
        [T("A", minutes=60, position="a"), T("B", minutes=20, position="b")],
        ["12:00 20 B (there is room for it)", "13:00 60 A (there is room for it)"],
    ),
    "a time of its own": (
        "08:00",
        [T("A", minutes=60), T("B", due=f"{TODAY}T08:30:00.000Z", minutes=15)],
        ["09:30 15 B (due today at 09:30)", "09:45 60 A (there is room for it)"],
    ),
    "others flow around it": (
        "08:00",
        [T("A", position="a"), T("B", position="b"), T("C", due=f"{TODAY}T08:30:00.000Z")],
        [
            "09:00 30 A (there is room for it)",
            "09:30 30 C (due today at 09:30)",
            "10:00 30 B (there is room for it)",
        ],
    ),
    "its own time in the evening": (
        "08:00",
        [T("A", due=f"{TODAY}T19:00:00.000Z")],
        ["20:00 30 A (due today at 20:00)"],
    ),
    "cut by the end of the day": (
        "08:00",
        [T("A", due=f"{TODAY}T22:50:00.000Z")],
        ["23:50 10 A (due today at 23:50)"],
    ),
    "its own time is past": (
        "11:00",
        [T("A", due=f"{TODAY}T08:30:00.000Z")],
        ["11:00 30 A (late since 09:30)"],
    ),
    "two at the same time": (
        "08:00",
        [T("A", due=f"{TODAY}T13:00:00.000Z"), T("B", due=f"{TODAY}T13:00:00.000Z", priority="high")],
        [
            "14:00 30 B (due today at 14:00, high priority)",
            "14:30 30 A (due today at 14:00, moved behind what is at the same time)",
        ],
    ),
    "long work is divided": (
        "08:00",
        [T("A", due=TODAY, minutes=300)],
        ["09:00 210 A (due today, part 1)", "13:00 90 A (due today, part 2)"],
    ),
    "in the evening only what cannot wait": (
        "18:20",
        [T("A"), T("B", due=TODAY), T("C", due="2026-11-20")],
        ["18:30 30 C (late since Friday)", "19:00 30 B (due today)"],
    ),
    "shortly before the end of work": ("17:10", [T("A", due=TODAY)], ["17:15 30 A (due today)"]),
    "at night": ("22:10", [T("A", due=TODAY)], []),
    "a due date that cannot be read": ("08:00", [T("A", due="soon")], ["09:00 30 A (there is room for it)"]),
}


@pytest.mark.parametrize("name", CASES)
def test_a_day(name: str) -> None:
    """The blocks, their times and their reasons."""
    at, tasks, expected = CASES[name]
    assert shown(planned(make_state(*tasks), at=at)) == expected


def test_another_day_is_planned_from_its_morning() -> None:
    """Tomorrow's plan begins at nine, whatever time it is now, and calls today's work what it is."""
    state = make_state(T("A", due=TODAY), T("B", due="2026-11-24"), T("C", due="2026-11-24T09:00:00.000Z"))
    assert shown(planned(state, "2026-11-24", at="21:00")) == [
        "09:00 30 A (due today)",
        "09:30 30 B (due tomorrow)",
        "10:00 30 C (due tomorrow at 10:00)",
    ]


def test_what_the_last_plan_left_over_comes_before_the_rest() -> None:
    """A task of the last plan that is still open is called left over."""
    block = Block(task_id="t-b", title="B", start="2026-11-22T08:00:00.000Z", minutes=30, reason="")
    state = put(make_state(T("A"), T("B")), "plans", Plan(plan_id="p", date="2026-11-22", blocks=(block,)))
    assert shown(planned(state))[0] == "09:00 30 B (left over from the plan of yesterday)"


@pytest.mark.parametrize(
    ("tasks", "date", "at", "summary"),
    [
        ([], TODAY, "08:00", "There are no open tasks, so nothing has to be planned."),
        ([T("A")], "2026-11-20", "08:00", "Friday is over: nothing can be planned there."),
        ([T("A")], "9999-12-31", "08:00", "9999-12-31 is too far away to be planned."),
        ([T("A")], TODAY, "08:00", "1 block today from 09:00 to 09:30, 30 min of work."),
        (
            [T("A", minutes=200), T("B", minutes=250)],
            "2026-11-25",
            "08:00",
            "2 blocks on Wednesday from 09:00 to 17:10, 7 h 30 min of work.",
        ),
        (
            [T(f"{n}", minutes=250, position=str(n)) for n in range(8)],
            TODAY,
            "08:00",
            "1 block today from 13:00 to 17:10, 4 h 10 min of work."
            " No room for “1”, “2”, “3”, “4”, “5” and 2 more.",
        ),
        (
            [T("A", minutes=600, due=TODAY)],
            TODAY,
            "08:00",
            "2 blocks today from 09:00 to 17:30, 8 h of work. “A” needs 2 h more.",
        ),
        (
            [T("A", due=TODAY)],
            TODAY,
            "22:10",
            "It is 22:10 already, so this is only what cannot wait. Nothing is planned. No room for “A”.",
        ),
        (
            [T("A"), T("B")],
            TODAY,
            "19:00",
            "It is 19:00 already, so this is only what cannot wait. Nothing is planned."
            " 2 open tasks can wait: say “plan tomorrow”.",
        ),
    ],
)
def test_the_summary(tasks: list[Task], date: str, at: str, summary: str) -> None:
    """It says how much there is, what has no room, and what is missing."""
    assert planned(make_state(*tasks), date, at).summary == summary


def test_a_day_on_which_the_clocks_change() -> None:
    """Working hours are those on the wall, before and after."""
    state = make_state(T("A"))
    assert plan(state, "2027-03-28", now="2027-03-27T10:00:00.000Z", zone=ZONE).blocks[0].start == (
        "2027-03-28T07:00:00.000Z"
    )
    assert plan(state, "2026-10-25", now="2026-10-24T10:00:00.000Z", zone=ZONE).blocks[0].start == (
        "2026-10-25T08:00:00.000Z"
    )


def test_what_is_no_date_is_a_bug_of_the_caller() -> None:
    """A date is a date."""
    with pytest.raises(ValueError, match="not a date"):
        plan(make_state(), "soon", now="2026-11-23T08:00:00.000Z", zone=ZONE)


INSTANTS = st.integers(1_795_300_000_000, 1_795_600_000_000).map(times.format_ms)
DUES = st.none() | st.dates(date(2026, 11, 15), date(2026, 12, 2)).map(str) | INSTANTS
TASKS = st.builds(
    Task,
    task_id=st.integers(0, 60).map(lambda n: f"t{n}"),
    title=st.text(min_size=1, max_size=10),
    status=st.sampled_from(["open", "doing", "done", "dropped"]),
    priority=st.sampled_from(["low", "normal", "high", "urgent"]),
    due=DUES,
    minutes=st.none() | st.integers(1, 700),
)


@given(
    st.lists(TASKS, max_size=60),
    INSTANTS,
    st.integers(-1, 4),
    st.sampled_from(["UTC", ZONE, "Asia/Kathmandu", "Pacific/Kiritimati"]),
)
def test_any_plan_can_be_followed(tasks: list[Task], now: str, ahead: int, zone: str) -> None:
    """No two blocks overlap, all are inside the day and not in the past, of open tasks, and it comes out again."""
    state = make_state(*tasks, zone=zone)
    day = times.local(now, zone).date() + timedelta(days=ahead)
    result = plan(state, str(day), now=now, zone=zone)
    assert result == plan(state, str(day), now=now, zone=zone)
    assert len(result.blocks) <= BLOCKS_MAX
    assert result.summary
    last = times.to_ms(now) - times.to_ms(now) % 60_000
    for block in result.blocks:
        start = times.to_ms(block.start)
        end = start + block.minutes * 60_000
        assert last <= start < end
        assert times.local(block.start, zone).date() == day
        assert times.local(times.format_ms(end - 1), zone).date() == day
        assert block.task_id is not None
        assert state.tasks[block.task_id].status not in CLOSED
        assert block.reason
        last = end


@given(st.lists(TASKS, max_size=40), INSTANTS)
def test_everything_that_must_be_done_is_planned_or_named(tasks: list[Task], now: str) -> None:
    """Nothing that is due disappears without a word."""
    state = make_state(*tasks)
    today = times.today(now, ZONE)
    result = plan(state, today, now=now, zone=ZONE)
    missing = [
        task
        for task in state.tasks.values()
        if task.status not in CLOSED
        and task.due
        and task.due[:10] < today
        and task.task_id not in {block.task_id for block in result.blocks}
    ]
    assert not missing or "No room for" in result.summary
