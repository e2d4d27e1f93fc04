"""What was chosen, as an action: pure functions to (action type, payload), or why it cannot be one.

Duty: the payloads that the screen sends, and the reading of a task's form.
Must not know: widgets, keys, the client, what time it is (that is handed in).

1. A payload speaks only of what was changed, so that what others changed meanwhile stays.
2. `checked` holds a payload to the bounds of the contract before it leaves the hands of whoever wrote it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, get_args

import msgspec

from protocol import actions, times, when
from protocol.errors import Refused
from protocol.quickadd import QuickAdd, parse
from protocol.state import CLOSED, Memory, Priority, Task
from protocol.text import inert, inert_line
from tui.wording import Moment

Payload = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Wanted:
    """An action to do."""

    type: str
    payload: Payload


def checked(wanted: Wanted) -> Wanted | Refused:
    """`wanted` where the server could take it, else why not; nothing was sent then."""
    try:
        payload = msgspec.json.encode(wanted.payload)
    except UnicodeEncodeError:
        return Refused("invalid", "The text holds half a character; write it again.")
    found = actions.parse(wanted.type, "check", payload)
    return found if isinstance(found, Refused) else wanted


# Conversation


def send_message(text: str, thread_id: str) -> Wanted:
    """Say something."""
    return Wanted("user.message", {"text": text, "thread_id": thread_id})


def interrupt(message_id: str) -> Wanted:
    """Stop an answer."""
    return Wanted("user.interrupt", {"message_id": message_id})


# Tasks


def quick_add(line: str, moment: Moment) -> Wanted | Refused:
    """A task from one line of words."""
    read = parse(line, now=moment.now, zone=moment.zone)
    if not read.title:
        return Refused("invalid", "A task needs a title.", "title")
    return checked(Wanted("user.create_task", _fields_of(read)))


def _fields_of(read: QuickAdd) -> Payload:
    fields: dict[str, object] = {"title": read.title}
    fields |= {"due": read.due} if read.due else {}
    fields |= {"priority": read.priority} if read.priority != "normal" else {}
    fields |= {"tags": read.tags} if read.tags else {}
    fields |= {"minutes": read.minutes} if read.minutes else {}
    fields |= {"assignee": read.assignee} if read.assignee else {}
    return fields


def toggle(task: Task) -> Wanted:
    """Complete an open task, reopen a closed one."""
    status = "open" if task.status in CLOSED else "done"
    return Wanted("user.update_task", {"task_id": task.task_id, "status": status})


def start(task: Task) -> Wanted:
    """Begin with a task; a second time: leave it again."""
    status = "open" if task.status == "doing" else "doing"
    return Wanted("user.update_task", {"task_id": task.task_id, "status": status})


def delete(task: Task) -> Wanted:
    """Delete a task."""
    return Wanted("user.delete_task", {"task_id": task.task_id})


def plan(moment: Moment) -> Wanted:
    """Plan the day of the moment."""
    return Wanted("user.request_plan", {"date": moment.today.isoformat()})


# Memory


def remember(text: str) -> Wanted | Refused:
    """Write something down."""
    return checked(Wanted("user.remember", {"text": text.strip()}))


def edit_memory(memory: Memory, text: str) -> Wanted | Refused | None:
    """Another text; None where it is the same."""
    if text.strip() == memory.text:
        return None
    return checked(Wanted("user.update_memory", {"memory_id": memory.memory_id, "text": text.strip()}))


def pin(memory: Memory) -> Wanted:
    """Pin a memory, or let it go."""
    return Wanted("user.update_memory", {"memory_id": memory.memory_id, "pinned": not memory.pinned})


def forget(memory: Memory) -> Wanted:
    """Forget something."""
    return Wanted("user.forget", {"memory_id": memory.memory_id})


# A task's form


@dataclass(frozen=True, slots=True)
class TaskForm:
    """The fields of a task as a person types them."""

    title: str
    due: str
    priority: str
    tags: str
    minutes: str
    notes: str


PRIORITIES: Final[tuple[str, ...]] = get_args(Priority)


def form_of(task: Task, moment: Moment) -> TaskForm:
    """A task, ready to be changed; what stays as it is here stays as it is in the task."""
    return TaskForm(
        title=inert_line(task.title),
        due=inert_line(_typed_due(task.due, moment)),
        priority=task.priority,
        tags=inert_line(" ".join(task.tags)),
        minutes="" if task.minutes is None else str(task.minutes),
        notes=inert(task.notes),
    )


def _typed_due(due: str | None, moment: Moment) -> str:
    clock = None if due is None else moment.on_clocks(due)
    return due or "" if clock is None else f"{clock:%Y-%m-%d %H:%M}"


def edit_task(task: Task, form: TaskForm, moment: Moment) -> Wanted | Refused | None:
    """What a filled form changes; None where that is nothing, Refused where one cannot be read."""
    was = form_of(task, moment)
    changed: dict[str, object] = {}
    for name in TaskForm.__slots__:
        if getattr(form, name) != getattr(was, name):
            value = _read_field(name, getattr(form, name), moment)
            if isinstance(value, Refused):
                return value
            changed[name] = value
    if not changed:
        return None
    return checked(Wanted("user.update_task", {"task_id": task.task_id, **changed}))


def _read_field(name: str, text: str, moment: Moment) -> object:
    match name:
        case "title":
            return text.strip()
        case "due":
            return read_due(text, moment)
        case "priority":
            return read_priority(text)
        case "tags":
            return [tag.lstrip("#") for tag in text.replace(",", " ").split() if tag.lstrip("#")]
        case "minutes":
            return read_minutes(text)
        case _:
            return text


def read_due(text: str, moment: Moment) -> str | Refused | None:
    """A date or a time in words or digits; nothing is no due."""
    line = text.strip()
    if not line:
        return None
    if times.parse_date(line) is not None or times.parse_instant(line) is not None:
        return line
    found = when.find(line, 0, "", moment.local)
    if found is None or found.end != len(line):
        return Refused(
            "invalid", "That is no date; try 2026-11-27, friday, friday 17:00 or in 3 days.", "due"
        )
    return found.value


def read_priority(text: str) -> str | Refused:
    """A priority by its name or the beginning of it; nothing is normal."""
    word = text.strip().lower().lstrip("!") or "normal"
    found = [name for name in PRIORITIES if name.startswith(word)]
    if len(found) == 1:
        return found[0]
    return Refused("invalid", "A priority is low, normal, high or urgent.", "priority")


def read_minutes(text: str) -> int | Refused | None:
    """`45`, `45m`, `2h`, `1h30`; nothing is no estimate."""
    line = text.strip().removeprefix("~").replace("min", "m").replace(" ", "")
    if not line:
        return None
    found = parse(f"x ~{line}", now=_ANY_TIME, zone="UTC").minutes
    if found is None:
        return Refused("invalid", "Write minutes as 45, 45m, 2h or 1h30.", "minutes")
    return found


_ANY_TIME: Final = "2000-01-01T00:00:00.000Z"
