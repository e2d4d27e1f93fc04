"""What a widget shows, from state: pure functions of (state, moment) to frozen values of inert text.

Duty: choose, group, order and word. Must not know: widgets, keys, the client.

1. The same arguments give the same value; nothing here reads a clock.
2. Every text in a value is a `SafeText`: what comes from elsewhere went through `inert`.
3. What is not confirmed yet says so in the value (`pending`), never by its place alone.
4. A task or message that did not change is not read again: `Tasks` and `Conversation` keep what they made.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Literal, assert_never

import msgspec

from protocol.client.status import LinkStatus
from protocol.frames import Present
from protocol.quickadd import QuickAdd
from protocol.replica import Rejected
from protocol.state import CLOSED, Block, Memory, Message, Plan, Priority, State, Task
from protocol.text import NOTHING, SafeText, inert, inert_line
from tui.intents import read_due
from tui.widgets.transcript_layout import Entry, EntryState
from tui.wording import (
    WEEK_DAYS,
    Moment,
    clock_words,
    counted,
    due_words,
    long_day,
    minutes_words,
    words,
)

GroupName = Literal["late", "today", "next", "later", "done today"]
Tone = Literal["plain", "quiet", "strong", "trouble", "good"]

GROUPS: Final[tuple[GroupName, ...]] = ("late", "today", "next", "later", "done today")
NEXT_DAYS: Final = WEEK_DAYS
PENDING: Final = words("↑ unsent")
_WEIGHTS: Final[dict[Priority, int]] = {"urgent": 0, "high": 1, "normal": 2, "low": 3}
_FAR: Final = "9999"
_EXCLAIMED: Final = re.compile(r"!{1,2}[a-z]{1,12}", re.IGNORECASE)


# Tasks


@dataclass(frozen=True, slots=True)
class TaskLine:
    """A task as one line: its sign, its title, and the facts behind it."""

    task_id: str
    sign: SafeText
    title: SafeText
    facts: tuple[SafeText, ...]
    group: GroupName | None
    order: tuple[str | int, ...]
    tone: Tone
    pending: bool
    closed: bool


@dataclass(frozen=True, slots=True)
class TaskGroup:
    """Tasks under one heading."""

    name: GroupName
    lines: tuple[TaskLine, ...]


@dataclass(frozen=True, slots=True)
class TasksView:
    """All tasks that are to be shown, in groups that have any."""

    groups: tuple[TaskGroup, ...]
    open: int
    late: int


class Tasks:
    """Reads tasks into lines, each once for as long as it and the minute stay the same."""

    def __init__(self) -> None:
        self._moment: Moment | None = None
        self._read: dict[str, tuple[Task, bool, TaskLine]] = {}
        self._from: tuple[object, frozenset[str]] | None = None
        self._view: TasksView | None = None

    def view(self, state: State, predicted: frozenset[str], moment: Moment) -> TasksView:
        """The groups of a state; the same object where no task is another."""
        if moment != self._moment:
            self._moment, self._read, self._from = moment, {}, None
        if self._view is not None and self._from is not None:
            tasks, marked = self._from
            if tasks is state.tasks and marked == predicted:
                return self._view
        self._from = state.tasks, predicted
        self._view = self._grouped(state, predicted, moment)
        return self._view

    def _grouped(self, state: State, predicted: frozenset[str], moment: Moment) -> TasksView:
        read = {
            task_id: self._line(task, task_id in predicted, moment) for task_id, task in state.tasks.items()
        }
        self._read = read
        return grouped(line for _, _, line in read.values())

    def _line(self, task: Task, pending: bool, moment: Moment) -> tuple[Task, bool, TaskLine]:
        known = self._read.get(task.task_id)
        if known is not None and known[0] is task and known[1] == pending:
            return known
        return task, pending, task_line(task, moment, pending=pending)


def grouped(lines: Iterable[TaskLine]) -> TasksView:
    """Lines in their groups and in order; what belongs to none is left out."""
    by_group: dict[GroupName, list[TaskLine]] = {name: [] for name in GROUPS}
    for line in lines:
        if line.group is not None:
            by_group[line.group].append(line)
    groups = tuple(
        TaskGroup(name, tuple(sorted(found, key=lambda line: line.order)))
        for name, found in by_group.items()
        if found
    )
    return TasksView(
        groups=groups,
        open=sum(len(found) for name, found in by_group.items() if name != "done today"),
        late=len(by_group["late"]),
    )


def task_line(task: Task, moment: Moment, *, pending: bool = False) -> TaskLine:
    """A task as one line."""
    group = group_of(task, moment)
    return TaskLine(
        task_id=task.task_id,
        sign=task_sign(task),
        title=inert_line(task.title),
        facts=((PENDING,) if pending else ()) + task_facts(task, moment),
        group=group,
        order=_order(task, group),
        tone=_tone(task, group),
        pending=pending,
        closed=task.status in CLOSED,
    )


def group_of(task: Task, moment: Moment) -> GroupName | None:
    """Where a task stands; None where it was closed on another day."""
    if task.status in CLOSED:
        closed = moment.day_of(task.closed_at or task.updated_at)
        return "done today" if closed == moment.today else None
    day = None if task.due is None else moment.day_of(task.due)
    if task.due is not None and moment.is_past(task.due):
        return "late"
    if day == moment.today or task.status == "doing":
        return "today"
    if day is None:
        return "next" if task.priority in ("high", "urgent") else "later"
    return "next" if day <= moment.today + timedelta(days=NEXT_DAYS) else "later"


def task_sign(task: Task) -> SafeText:
    """The state of a task as one sign; its word is among the facts."""
    match task.status:
        case "open":
            return words("○")
        case "doing":
            return words("◐")
        case "done":
            return words("✓")
        case "dropped":
            return words("✗")
        case unreachable:
            assert_never(unreachable)


def task_facts(task: Task, moment: Moment) -> tuple[SafeText, ...]:
    """What there is to know besides the title, most telling first."""
    facts: list[SafeText] = []
    if task.status != "open":
        facts.append(words(task.status))
    if task.priority != "normal":
        facts.append(priority_words(task.priority))
    if task.due is not None and task.status not in CLOSED:
        facts.append(due_words(task.due, moment))
    if task.minutes is not None:
        facts.append(minutes_words(task.minutes))
    facts += [inert_line(f"#{tag}") for tag in task.tags]
    if task.assignee is not None:
        facts.append(inert_line(f"@{task.assignee}"))
    if task.notes:
        facts.append(words("notes"))
    return tuple(facts)


def priority_words(priority: Priority) -> SafeText:
    """`!!urgent`, `!high`, `low`."""
    return words({"urgent": "!!urgent", "high": "!high", "normal": "normal", "low": "low"}[priority])


def _order(task: Task, group: GroupName | None) -> tuple[str | int, ...]:
    weight = _WEIGHTS[task.priority]
    if group == "done today":
        return (task.closed_at or "", task.task_id)
    return (task.due or _FAR, weight, task.position, task.task_id)


def _tone(task: Task, group: GroupName | None) -> Tone:
    if task.status in CLOSED:
        return "quiet"
    return "trouble" if group == "late" else "plain"


def preview(read: QuickAdd, moment: Moment) -> tuple[SafeText, tuple[SafeText, ...]]:
    """What a line of quick-add means: the title, and everything else that was understood."""
    facts: list[SafeText] = []
    if read.due is not None:
        facts.append(inert_line(f"due {due_words(read.due, moment)}"))
    if read.priority != "normal":
        facts.append(priority_words(read.priority))
    if read.minutes is not None:
        facts.append(minutes_words(read.minutes))
    facts += [inert_line(f"#{tag}") for tag in read.tags]
    if read.assignee is not None:
        facts.append(inert_line(f"for @{read.assignee}"))
    facts += [inert_line(f"{word} is no priority, it stays in the title") for word in _almost(read.title)]
    return inert_line(read.title), tuple(facts)


def _almost(title: str) -> list[str]:
    """Words of a title that were meant to be a priority."""
    return [word for word in title.split() if _EXCLAIMED.fullmatch(word)]


def due_preview(text: str, moment: Moment) -> SafeText:
    """What a due in words means; nothing where it is empty or means nothing yet."""
    found = read_due(text, moment)
    return inert_line(f"due {due_words(found, moment)}") if isinstance(found, str) else NOTHING


# Today


@dataclass(frozen=True, slots=True)
class BlockLine:
    """A block of the plan. `when` says where it lies from now."""

    key: str
    task_id: str | None
    time: SafeText
    sign: SafeText
    title: SafeText
    facts: tuple[SafeText, ...]
    reason: SafeText
    when: Literal["past", "now", "coming"]
    closed: bool


@dataclass(frozen=True, slots=True)
class TodayView:
    """The plan of the day. `note` says what else is to know of it; `now_at`: before which block now lies."""

    day: SafeText
    clock: SafeText
    blocks: tuple[BlockLine, ...]
    now_at: int
    note: SafeText
    summary: SafeText
    planning: bool


NO_PLAN: Final = words("No plan for today yet.")


def today_view(state: State, predicted: frozenset[str], moment: Moment) -> TodayView:
    """The plan of the moment's day."""
    plan = state.plans.get(moment.today.isoformat())
    blocks = () if plan is None else tuple(_block_lines(plan, state, moment))
    return TodayView(
        day=words(f"{long_day(moment.today)} · {zone_words(moment.zone)}"),
        clock=words(f"{moment.local:%H:%M}"),
        blocks=blocks,
        now_at=sum(block.when != "coming" for block in blocks),
        note=plan_note(plan, pending=plan is not None and plan.date in predicted),
        summary=NOTHING if plan is None else inert_line(plan.summary),
        planning=plan is not None and plan.status == "running",
    )


def plan_note(plan: Plan | None, *, pending: bool = False) -> SafeText:
    """What is to know of a plan besides its blocks; nothing where it is simply there."""
    if plan is None:
        return NO_PLAN
    match plan.status:
        case "running":
            return words("↑ asked for, not sent yet" if pending else "◌ being planned …")
        case "failed":
            return inert_line(f"■ could not be planned: {plan.error or 'no reason given'}")
        case "complete":
            return NOTHING if plan.blocks else words("The plan has nothing for today.")
        case unreachable:
            assert_never(unreachable)


def zone_words(zone: str) -> SafeText:
    """The last part of a zone's name: `Berlin`."""
    return inert_line(zone.rpartition("/")[2].replace("_", " "))


def _block_lines(plan: Plan, state: State, moment: Moment) -> Iterable[BlockLine]:
    ordered = sorted(enumerate(plan.blocks), key=lambda one: (one[1].start, one[0]))
    for number, (_, block) in enumerate(ordered):
        yield _block_line(f"{plan.plan_id}:{number}", block, state.tasks.get(block.task_id or ""), moment)


def _block_line(key: str, block: Block, task: Task | None, moment: Moment) -> BlockLine:
    start = moment.on_clocks(block.start)
    when: Literal["past", "now", "coming"] = "coming"
    if start is not None and start <= moment.local:
        over = start + timedelta(minutes=block.minutes) <= moment.local
        when = "past" if over else "now"
    gone = block.task_id is not None and task is None
    return BlockLine(
        key=key,
        task_id=None if task is None else task.task_id,
        time=words(f"{start:%H:%M}") if start is not None else inert_line(block.start),
        sign=words("·") if task is None else task_sign(task),
        title=inert_line(block.title if task is None else task.title),
        facts=_block_facts(block, gone, when),
        reason=inert_line(block.reason),
        when=when,
        closed=gone or (task is not None and task.status in CLOSED),
    )


def _block_facts(block: Block, gone: bool, when: str) -> tuple[SafeText, ...]:
    facts = [words("now")] if when == "now" else []
    facts += [words("deleted")] if gone else []
    return (*facts, minutes_words(block.minutes))


# Conversation


class Conversation:
    """Reads the messages of a thread into entries, each once for as long as it stays the same."""

    def __init__(self) -> None:
        self._seen_from = ("", "")
        self._read: dict[str, tuple[Message, bool, Entry]] = {}

    def entries(
        self,
        state: State,
        thread_id: str,
        predicted: frozenset[str],
        streams: Mapping[str, str],
        moment: Moment,
        *,
        marked: bool = True,
    ) -> tuple[Entry, ...]:
        """What is said in a thread, oldest first; `marked`: what is not confirmed says so.

        An answer that nobody confirmed yet is not said.
        """
        seen_from = moment.zone, moment.today.isoformat()
        if seen_from != self._seen_from:
            self._seen_from, self._read = seen_from, {}
        read: dict[str, tuple[Message, bool, Entry]] = {}
        for message in state.thread_messages(thread_id):
            pending = message.message_id in predicted
            if pending and message.role == "assistant" and message.status == "streaming":
                continue
            read[message.message_id] = self._entry(message, pending and marked, streams, moment)
        self._read = read
        return tuple(entry for _, _, entry in read.values())

    def _entry(
        self, message: Message, pending: bool, streams: Mapping[str, str], moment: Moment
    ) -> tuple[Message, bool, Entry]:
        known = self._read.get(message.message_id)
        if (
            known is not None
            and known[0] is message
            and known[1] == pending
            and message.status != "streaming"
        ):
            return known
        return message, pending, message_entry(message, moment, pending=pending, streams=streams)


def message_entry(
    message: Message, moment: Moment, *, pending: bool = False, streams: Mapping[str, str] | None = None
) -> Entry:
    """A message as the transcript shows it; a streaming one with the text so far."""
    text = message.text
    if message.status == "streaming":
        text = (streams or {}).get(message.message_id, text)
    return Entry(
        key=message.message_id,
        version=message.seq or 0,
        author=inert_line(message.author or "you"),
        role=message.role,
        text=inert(text),
        meta=clock_words(message.created_at, moment),
        state=entry_state(message, pending=pending),
    )


def entry_state(message: Message, *, pending: bool) -> EntryState:
    """The one state to show: that it is not sent outranks what will become of it."""
    return "pending" if pending and message.role == "user" else message.status


def streaming_answer(state: State, thread_id: str) -> str | None:
    """The id of the answer that is being written in a thread."""
    for message_id in state.assistant.streaming:
        message = state.messages.get(message_id)
        if message is not None and message.thread_id == thread_id:
            return message_id
    return None


def waiting_count(state: State, thread_id: str) -> int:
    """How many questions of a thread wait for their turn."""
    found = (state.messages.get(message_id) for message_id in state.assistant.waiting)
    return sum(message is not None and message.thread_id == thread_id for message in found)


# Status


@dataclass(frozen=True, slots=True)
class StatusView:
    """The truth about the link in words, and who else is here."""

    sign: SafeText
    link: SafeText
    tone: Tone
    place: SafeText
    people: SafeText
    rejected: SafeText


def status_view(
    link: LinkStatus, present: tuple[Present, ...], rejected: int, pending: int, moment: Moment
) -> StatusView:
    """The status line. `pending`: actions without an outcome that are worth a word."""
    sign, said, tone = _link_words(link, moment)
    waiting = f" · {unsent_words(link, pending)}" if pending else ""
    who = f"{link.workspace} · {link.actor}" if link.actor else link.workspace
    viewer = " (only reads)" if link.role == "viewer" else ""
    return StatusView(
        sign=words(sign),
        link=inert_line(said + waiting),
        tone=tone,
        place=inert_line(who + viewer),
        people=people_words(present, link.actor),
        rejected=words(f"✗ {rejected} not accepted (r)") if rejected else NOTHING,
    )


def unsent_words(link: LinkStatus, pending: int) -> str:
    """What is on its way: not sent yet, or sent and without an answer."""
    return f"{link.unsent} unsent" if link.unsent else f"{pending} without an answer yet"


def _link_words(link: LinkStatus, moment: Moment) -> tuple[str, str, Tone]:
    since = f" since {clock_words(link.since, moment)}" if link.since else ""
    match link.phase:
        case "connecting":
            return "◌", "connecting", "strong"
        case "catching_up":
            return "◐", f"catching up {link.behind}" if link.behind else "catching up", "strong"
        case "live":
            return "●", f"live #{link.seq}", "good"
        case "offline":
            return "○", f"offline{since}", "trouble"
        case "stopped":
            return "■", f"stopped{since}: {link.reason or 'the server gave no reason'}", "trouble"
        case unreachable:
            assert_never(unreachable)


def people_words(present: tuple[Present, ...], own: str | None) -> SafeText:
    """Who else is here: `with bo, cy (typing) · you in 2 terminals`."""
    others: dict[str, bool] = {}
    mine = 0
    for one in present:
        if one.actor == own:
            mine += 1
        else:
            others[one.actor] = others.get(one.actor, False) or one.typing
    names = ", ".join(f"{name} (typing)" if typing else name for name, typing in sorted(others.items()))
    parts = [f"with {names}"] if names else []
    if mine > 1:
        parts.append(f"you in {mine} terminals")
    return inert_line(" · ".join(parts))


# Memory and what was refused


@dataclass(frozen=True, slots=True)
class MemoryLine:
    """A memory as one line, pinned ones first."""

    memory_id: str
    sign: SafeText
    text: SafeText
    facts: tuple[SafeText, ...]


def memory_lines(state: State, predicted: frozenset[str], moment: Moment) -> tuple[MemoryLine, ...]:
    """All that is remembered: pinned first, then the newest."""
    newest = sorted(state.memory.values(), key=lambda one: (one.created_at, one.memory_id), reverse=True)
    ordered = sorted(newest, key=lambda one: not one.pinned)
    return tuple(_memory_line(memory, memory.memory_id in predicted, moment) for memory in ordered)


def _memory_line(memory: Memory, pending: bool, moment: Moment) -> MemoryLine:
    facts = [PENDING] if pending else []
    facts += [words("pinned")] if memory.pinned else []
    facts += [inert_line(f"#{tag}") for tag in memory.tags]
    facts.append(inert_line(f"{memory.created_by or 'you'}, {clock_words(memory.created_at, moment)}"))
    return MemoryLine(
        memory_id=memory.memory_id,
        sign=words("▲" if memory.pinned else "·"),
        text=inert_line(memory.text),
        facts=tuple(facts),
    )


@dataclass(frozen=True, slots=True)
class RejectedLine:
    """A refused action: what it was, why not, and the text in it, as it was written."""

    client_action_id: str
    what: SafeText
    reason: SafeText
    time: SafeText
    text: str


def rejected_lines(rejected: tuple[Rejected, ...], moment: Moment) -> tuple[RejectedLine, ...]:
    """What was refused, the newest first."""
    return tuple(_rejected_line(one, moment) for one in reversed(rejected))


def _rejected_line(one: Rejected, moment: Moment) -> RejectedLine:
    text = text_of(one.payload)
    what = ACTION_WORDS.get(one.action.type, one.action.type)
    return RejectedLine(
        client_action_id=one.action.client_action_id,
        what=inert_line(f"{what}: “{text}”" if text else what),
        reason=inert_line(one.refused.message),
        time=clock_words(one.rejected_at, moment),
        text=text,
    )


ACTION_WORDS: Final[dict[str, str]] = {
    "user.message": "message",
    "user.interrupt": "stop the answer",
    "user.create_task": "new task",
    "user.update_task": "change of a task",
    "user.delete_task": "delete a task",
    "user.request_plan": "plan of the day",
    "user.remember": "remember",
    "user.update_memory": "change of a memory",
    "user.forget": "forget",
    "user.create_thread": "new conversation",
    "user.update_thread": "change of a conversation",
    "user.update_settings": "change of the settings",
}


def text_of(payload: bytes) -> str:
    """The text that a person wrote in an action: its text, title or notes; empty where there is none."""
    try:
        fields = msgspec.json.decode(payload, type=dict[str, object])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    for name in ("text", "title", "notes"):
        value = fields.get(name)
        if isinstance(value, str) and value:
            return value
    return ""


def rejected_words(count: int) -> SafeText:
    """The title of the tray."""
    return words(f"{counted(count, 'action was', 'actions were')} not accepted")
