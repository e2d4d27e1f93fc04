"""The built-in assistant: no model, only rules; it does what it understands and says so when it does not.

Duty: from a wish to actions and words, and the words out at the pace of someone who speaks.
Must not know: streams, how a wish was found in a text, how a plan is made.

1. It never says that something is done whose outcome was a refusal: it tells the reason.
2. It asks where a name may mean several tasks; it deletes nothing; it changes at most `CHANGES_MAX` things.
3. It says that it is the built-in one when it is greeted, asked, or does not understand.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from datetime import date, datetime
from typing import Final, assert_never

from protocol import quickadd, times
from protocol.errors import Refused
from protocol.quickadd import QuickAdd
from protocol.state import CLOSED, Plan, State, Task
from server.assistant import planner, replies, words
from server.assistant.port import CHANGES_MAX, AnswerRequest, Tools
from server.assistant.understanding import understand
from server.assistant.wishes import (
    Add,
    AskHelp,
    AskWho,
    Delete,
    Greet,
    KeepInMind,
    ListTasks,
    Mark,
    PlanDay,
    Recall,
    Summarise,
    Thank,
    Unclear,
    WhatIsDue,
    WhatIsLate,
    WhatNext,
)
from server.clock import Clock

WORDS_PER_S: Final = 45.0
PLAN_S: Final = 10.0
"""How long it waits for a plan before it says that it is still being made."""
_SPOKEN: Final = re.compile(r"\s*\S+\s*")


class BuiltinAssistant:
    """See the module."""

    name = "builtin"

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def answer(self, request: AnswerRequest, tools: Tools) -> AsyncIterator[str]:
        """The reply word by word."""
        reply = await _Answer(request, tools).reply()
        for place, spoken in enumerate(_SPOKEN.findall(reply)):
            if place:
                await self._clock.sleep(1 / WORDS_PER_S)
            yield spoken


class _Answer:
    """One question being answered."""

    def __init__(self, request: AnswerRequest, tools: Tools) -> None:
        self._request = request
        self._tools = tools
        self._state: State = request.state
        self._zone = request.state.settings.timezone
        self._now: datetime = times.local(request.now, self._zone)
        self._today: date = self._now.date()

    async def reply(self) -> str:
        """The words, after everything that was wished was done."""
        match understand(self._request.question.text, now=self._request.now, zone=self._zone):
            case Add(lines=lines, reminding=reminding):
                return await self._add(lines, reminding=reminding)
            case Mark(names=names, status=status):
                return await self._mark(names, status)
            case PlanDay(date=wanted):
                return await self._plan(wanted)
            case KeepInMind(text=text):
                return await self._remember(text)
            case wish:
                return self._told(wish)

    def _told(
        self,
        wish: Delete
        | WhatNext
        | WhatIsDue
        | WhatIsLate
        | ListTasks
        | Recall
        | Summarise
        | Greet
        | Thank
        | AskWho
        | AskHelp
        | Unclear,
    ) -> str:
        """What needs no action."""
        match wish:
            case WhatIsDue():
                return self._due(wish)
            case WhatIsLate():
                return self._late()
            case WhatNext():
                return self._next()
            case ListTasks(tag=tag):
                return self._list(tag)
            case Recall(about=about):
                return self._recall(about)
            case Summarise(first=first, last=last):
                days = (date.fromisoformat(first), date.fromisoformat(last))
                return replies.summary(self._state, self._request.history, *days, self._now, self._zone)
            case Delete(name=name):
                return (
                    f"I delete nothing by myself. You can delete {words.quoted(name)} in the list of tasks."
                )
            case Greet():
                return f"Hello {self._request.question.author}! {self._greeting()}"
            case Thank():
                return "You are welcome."
            case AskWho():
                return f"{replies.WHO} Write “help” to see what I understand."
            case AskHelp():
                return replies.HELP
            case Unclear(looks_like_task=looks_like_task):
                return self._unclear(looks_like_task)
            case unreachable:
                assert_never(unreachable)

    # What changes something

    async def _add(self, lines: Sequence[str], *, reminding: bool) -> str:
        done: list[QuickAdd] = []
        failed: list[str] = []
        for line in lines[:CHANGES_MAX]:
            task = quickadd.parse(line, now=self._request.now, zone=self._zone)
            outcome = await self._tools.act("assistant.create_task", _task_fields(task))
            if isinstance(outcome, Refused):
                failed.append(f"I could not add {words.quoted(task.title)}: {outcome.message}")
            else:
                done.append(task)
        said = [self._added(done)] if done else []
        if reminding and done:
            said.append("It is a task with a date; I cannot ring at that time.")
        if lines[CHANGES_MAX:]:
            said.append(
                f"I add at most {CHANGES_MAX} at once; not added: {words.listed(lines[CHANGES_MAX:])}."
            )
        return "\n\n".join([" ".join(said), *failed]).strip()

    def _added(self, tasks: Sequence[QuickAdd]) -> str:
        if len(tasks) == 1:
            return f"Added {replies.added(tasks[0], self._today, self._zone)}."
        lines = [f"- {replies.added(task, self._today, self._zone)}" for task in tasks]
        return f"Added {len(tasks)} tasks:\n\n" + "\n".join(lines) + "\n\n"

    async def _mark(self, names: Sequence[str], status: str) -> str:
        said = [await self._mark_one(name, status) for name in names[:CHANGES_MAX]]
        if names[CHANGES_MAX:]:
            said.append(f"I change at most {CHANGES_MAX} at once; left: {words.listed(names[CHANGES_MAX:])}.")
        return "\n".join(said)

    async def _mark_one(self, name: str, status: str) -> str:
        found = replies.named(replies.open_tasks(self._state), name)
        if len(found) > 1:
            titles = words.listed([task.title for task in found])
            return f"Which one do you mean by {words.quoted(name)}: {titles}?"
        if not found:
            return self._not_found(name)
        task = found[0]
        outcome = await self._tools.act("assistant.update_task", {"task_id": task.task_id, "status": status})
        if isinstance(outcome, Refused):
            return f"I could not change {words.quoted(task.title)}: {outcome.message}"
        return f"{'Done' if status == 'done' else 'Begun'}: {words.quoted(task.title)}."

    def _not_found(self, name: str) -> str:
        closed = [task for task in self._state.tasks.values() if task.status in CLOSED]
        found = replies.named(closed, name)
        if found:
            return f"{words.quoted(found[0].title)} is {found[0].status} already."
        return f"I find no open task like {words.quoted(name)}."

    async def _plan(self, wanted: str) -> str:
        outcome = await self._tools.act("assistant.request_plan", {"date": wanted})
        if isinstance(outcome, Refused):
            return f"I could not plan: {outcome.message}"

        def ended(state: State) -> Plan | None:
            plan = state.plans.get(wanted)
            return plan if plan is not None and plan.status != "running" else None

        plan = await self._tools.seen(ended, PLAN_S)
        if plan is None:
            return "The plan is still being made; it shows in the list as soon as it is there."
        if plan.status == "failed":
            return f"The plan could not be made. {plan.error or ''}".strip()
        return replies.plan_text(plan, self._today, self._zone)

    async def _remember(self, text: str) -> str:
        outcome = await self._tools.act("assistant.remember", {"text": text})
        if isinstance(outcome, Refused):
            return f"I could not keep that: {outcome.message}"
        return f"I will remember: {words.quoted(text)}."

    # What only tells

    def _due(self, wish: WhatIsDue) -> str:
        first, last = date.fromisoformat(wish.first), date.fromisoformat(wish.last)
        late = replies.open_tasks(self._state, self._is_late) if wish.late else []
        due = replies.open_tasks(
            self._state, lambda task: self._is_due(task, first, last) and task not in late
        )
        span = words.on_day(first, self._today)
        if last != first:
            end = words.day(last, self._today)
            span = f"until {end}" if wish.late else f"{span} to {end}"
        parts = [f"Late:\n\n{self._lines(late)}"] if late else []
        parts.append(
            f"Due {span}:\n\n{self._lines(due)}"
            if due
            else f"Nothing {'else ' if late else ''}is due {span}."
        )
        return "\n\n".join(parts)

    def _late(self) -> str:
        late = replies.open_tasks(self._state, self._is_late)
        if not late:
            return "Nothing is late."
        return f"{words.count(len(late), 'task is', 'tasks are').capitalize()} late:\n\n{self._lines(late)}"

    def _next(self) -> str:
        result = planner.plan(self._state, self._today.isoformat(), now=self._request.now, zone=self._zone)
        if not result.blocks:
            return result.summary
        first = result.blocks[0]
        start = words.clock(times.local(first.start, self._zone))
        return f"{words.quoted(first.title)}, {words.length(first.minutes)}, from {start}: {first.reason}."

    def _list(self, tag: str | None) -> str:
        tasks = replies.open_tasks(self._state, lambda task: tag is None or tag in task.tags)
        tagged = f" with #{tag}" if tag else ""
        if not tasks:
            return f"There are no open tasks{tagged}."
        return f"{words.count(len(tasks), 'open task').capitalize()}{tagged}:\n\n{self._lines(tasks)}"

    def _recall(self, about: str) -> str:
        found = replies.recalled(self._state, about)
        if not found:
            return f"I remember nothing about {words.quoted(about)}." if about else "I remember nothing yet."
        return f"I remember:\n\n{replies.memory_lines(found)}"

    def _greeting(self) -> str:
        return f"{replies.WHO} Write “help” to see what I understand."

    def _unclear(self, looks_like_task: bool) -> str:
        if looks_like_task:
            return f"If this is to be a task, write “add” before it.\n\n{replies.UNCLEAR}"
        return replies.UNCLEAR

    def _lines(self, tasks: Sequence[Task]) -> str:
        return replies.task_lines(tasks, self._today, self._zone)

    def _is_late(self, task: Task) -> bool:
        return replies.is_late(task, self._now, self._zone)

    def _is_due(self, task: Task, first: date, last: date) -> bool:
        day = replies.due_day(task, self._zone)
        return day is not None and first <= day <= last


def _task_fields(task: QuickAdd) -> dict[str, object]:
    return {
        "title": task.title,
        "due": task.due,
        "priority": task.priority,
        "tags": task.tags,
        "assignee": task.assignee,
        "minutes": task.minutes,
    }
