"""How the built-in assistant says what it found: texts made of a state.

Duty: pure functions from state, days and names to plain text with light Markdown.
Must not know: wishes, actions, pace.

1. Titles and other words of people are data: in quotes, on one line, cut where they are long.
2. Lists are short; what is left out is counted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime
from difflib import SequenceMatcher
from typing import Final

from protocol import times
from protocol.quickadd import QuickAdd
from protocol.state import CLOSED, Memory, Message, Plan, State, Task
from server.assistant import words

LINES_MAX: Final = 15
_ALIKE: Final = 0.75
_WORD: Final = re.compile(r"\w+")
_RANKS: Final = ("urgent", "high", "normal", "low")

CAN_DO: Final = """\
- “add buy milk tomorrow 17:00 #home !high ~20m”, several lines for several tasks
- “done buy milk”, “start the report”
- “plan my day”, “plan tomorrow”, “what next?”
- “what is due this week?”, “what is late?”, “list my tasks”
- “remember that the key is under the mat”, “what do you remember about the key?”
- “what happened today?”"""

WHO: Final = "I am the built-in assistant: rules, not a language model. I say so when I do not understand."
HELP: Final = f"{WHO} You can write to me:\n\n{CAN_DO}"
UNCLEAR: Final = (
    "I did not understand that. I am the built-in assistant, not a language model; this I can do:"
    f"\n\n{CAN_DO}"
)


# Days and tasks


def due_day(task: Task, zone: str) -> date | None:
    """The local date a task is due on."""
    if task.due is None:
        return None
    return _local_day(task.due, zone) or times.parse_date(task.due)


def _local_day(instant: str | None, zone: str) -> date | None:
    """The local date of an instant; None where it is none."""
    if instant is None or times.parse_instant(instant) is None:
        return None
    return times.local(instant, zone).date()


def due_words(due: str | None, today: date, zone: str) -> str:
    """`due tomorrow`, `due on Friday at 17:00`; nothing where there is no due."""
    if due and _local_day(due, zone):
        local = times.local(due, zone)
        return f"due {words.on_day(local.date(), today)} at {words.clock(local)}"
    day = times.parse_date(due) if due else None
    return f"due {words.on_day(day, today)}" if day else ""


def added(line: QuickAdd, today: date, zone: str) -> str:
    """A new task with all that was understood."""
    parts = [
        due_words(line.due, today, zone),
        " ".join(f"#{tag}" for tag in line.tags),
        f"{line.priority} priority" if line.priority != "normal" else "",
        words.length(line.minutes) if line.minutes else "",
        f"for {line.assignee}" if line.assignee else "",
    ]
    return ", ".join([words.quoted(line.title), *(part for part in parts if part)])


def is_late(task: Task, now: datetime, zone: str) -> bool:
    """Whether a task's date, or its very moment, is past."""
    moment = times.parse_instant(task.due) if task.due else None
    day = due_day(task, zone)
    return moment < now if moment is not None else day is not None and day < now.date()


def open_tasks(state: State, wanted: Callable[[Task], bool] = lambda _: True) -> list[Task]:
    """Open tasks that are wanted: what is being done, then by due, priority, and their order."""
    found = [task for task in state.tasks.values() if task.status not in CLOSED and wanted(task)]
    return sorted(found, key=_rank)


def _rank(task: Task) -> tuple[object, ...]:
    return (
        *(task.status != "doing", task.due or "9999", _RANKS.index(task.priority)),
        *(task.position, task.created_at, task.task_id),
    )


def task_lines(tasks: Sequence[Task], today: date, zone: str) -> str:
    """A list of tasks, the longest part of it."""
    lines = [f"- {_task_words(task, today, zone)}" for task in tasks[:LINES_MAX]]
    if len(tasks) > LINES_MAX:
        lines.append(f"- and {len(tasks) - LINES_MAX} more")
    return "\n".join(lines)


def _task_words(task: Task, today: date, zone: str) -> str:
    parts = [
        due_words(task.due, today, zone),
        task.priority if task.priority in ("urgent", "high") else "",
        "you are on it" if task.status == "doing" else "",
        f"for {task.assignee}" if task.assignee else "",
    ]
    return ", ".join([words.quoted(task.title), *(part for part in parts if part)])


# Finding by words


def named(tasks: Iterable[Task], name: str) -> list[Task]:
    """The tasks that a name may mean: with this very title, else with all its words, else alike."""
    candidates = [(task, _plain(task.title)) for task in tasks]
    wanted = _plain(name)
    if not wanted:
        return []
    for fits in (_equal, _has_words, _alike):
        found = [task for task, title in candidates if fits(title, wanted)]
        if found:
            return sorted(found, key=_rank)
    return []


_Words = tuple[str, ...]
_IDLE_WORDS: Final = frozenset({"the", "a", "an", "my", "our", "to", "with", "task"})


def _plain(text: str) -> _Words:
    spoken = tuple(_WORD.findall(text.casefold()))
    return tuple(word for word in spoken if word not in _IDLE_WORDS) or spoken


def _equal(title: _Words, wanted: _Words) -> bool:
    return title == wanted


def _has_words(title: _Words, wanted: _Words) -> bool:
    return all(any(word.startswith(part) for word in title) for part in wanted)


def _alike(title: _Words, wanted: _Words) -> bool:
    # Long texts are no names, and comparing them costs their product.
    one, other = " ".join(title)[:100], " ".join(wanted)[:100]
    return SequenceMatcher(None, one, other).ratio() >= _ALIKE


# Memory


def recalled(state: State, about: str) -> list[Memory]:
    """What is remembered with all these words, pinned first, then the newest."""
    wanted = _plain(about)
    found = [
        one for one in state.memory.values() if _has_words(_plain(f"{one.text} {' '.join(one.tags)}"), wanted)
    ]
    found.sort(key=lambda one: (one.created_at, one.memory_id), reverse=True)
    return sorted(found, key=lambda one: not one.pinned)


def memory_lines(memories: Sequence[Memory]) -> str:
    """What is remembered, each in one line."""
    lines = [f"- {words.quoted(one.text)}{' (pinned)' if one.pinned else ''}" for one in memories[:LINES_MAX]]
    if len(memories) > LINES_MAX:
        lines.append(f"- and {len(memories) - LINES_MAX} more")
    return "\n".join(lines)


# The plan and the summary


def plan_text(plan: Plan, today: date, zone: str) -> str:
    """A plan as a list of times, with its reasons and its summary."""
    day = times.parse_date(plan.date) or today
    if not plan.blocks:
        return plan.summary
    lines = [
        f"- {words.clock(times.local(block.start, zone))} {words.quoted(block.title)},"
        f" {words.length(block.minutes)}: {block.reason}"
        for block in plan.blocks[:LINES_MAX]
    ]
    if len(plan.blocks) > LINES_MAX:
        lines.append(f"- and {len(plan.blocks) - LINES_MAX} more")
    return f"The plan for {words.day(day, today)}:\n\n" + "\n".join(lines) + f"\n\n{plan.summary}"


def summary(
    state: State, history: Sequence[Message], first: date, last: date, now: datetime, zone: str
) -> str:
    """What happened from one day to another: tasks, then the conversation, then where things stand."""

    def within(instant: str | None) -> bool:
        day = _local_day(instant, zone)
        return day is not None and first <= day <= last

    tasks = sorted(state.tasks.values(), key=_rank)
    created = [task.title for task in tasks if within(task.created_at)]
    done = [task.title for task in tasks if task.status == "done" and within(task.closed_at)]
    dropped = [task.title for task in tasks if task.status == "dropped" and within(task.closed_at)]
    asked = [one for one in history if one.role == "user" and within(one.created_at)]
    lines = [
        f"- Done: {words.listed(done)}." if done else "- Nothing was completed.",
        f"- New: {words.listed(created)}." if created else "",
        f"- Dropped: {words.listed(dropped)}." if dropped else "",
        _conversation(asked),
        _standing(state, now, zone),
    ]
    return f"{_span(first, last, now.date())}\n\n" + "\n".join(line for line in lines if line)


def _span(first: date, last: date, today: date) -> str:
    if first == last:
        return f"What happened {words.on_day(first, today)}:"
    return f"What happened since {words.day(first, today)}:"


def _conversation(asked: Sequence[Message]) -> str:
    if not asked:
        return ""
    people = ", ".join(sorted({one.author for one in asked}))
    said = words.count(len(asked), "message")
    return f"- Conversation here: {said} from {people}, lately {words.quoted(asked[-1].text)}."


def _standing(state: State, now: datetime, zone: str) -> str:
    still = open_tasks(state)
    late = [task for task in still if is_late(task, now, zone)]
    today = [task for task in still if due_day(task, zone) == now.date() and task not in late]
    parts = [words.count(len(still), "open task")]
    if late:
        parts.append(f"{len(late)} late ({words.listed([task.title for task in late])})")
    if today:
        parts.append(f"{len(today)} due today")
    return f"- Now: {', '.join(parts)}."
