"""`obelisk add TEXT…`: a line of words becomes a task."""

from __future__ import annotations

import argparse

from protocol.events import TaskCreated
from protocol.quickadd import QuickAdd, parse
from tui.commands.session import Session
from tui.commands.tasks import short_ids
from tui.exits import Exit
from tui.output import task_line


async def run(session: Session, asked: argparse.Namespace) -> int:
    """Add the task. Its id is left to be derived from the action's, so that a retry says the same."""
    await session.reach()
    line = " ".join(asked.text)
    moment = session.moment
    task = parse(line, now=moment.now, zone=moment.zone)
    acked = await session.act("user.create_task", fields_of(task))
    events = await session.events_of(acked)
    session.printer.events(events)
    for event in events:
        if isinstance(event.payload, TaskCreated):
            entity = event.payload.entity
            short = short_ids({*session.state.tasks, entity.task_id})[entity.task_id]
            session.printer.text(f"added {short}  {task_line(entity, session.moment)}")
    return Exit.DONE


def fields_of(task: QuickAdd) -> dict[str, object]:
    """What was said of the task; what was not said is not sent."""
    fields: dict[str, object] = {"title": task.title}
    if task.due is not None:
        fields["due"] = task.due
    if task.priority != "normal":
        fields["priority"] = task.priority
    if task.tags:
        fields["tags"] = task.tags
    if task.assignee is not None:
        fields["assignee"] = task.assignee
    if task.minutes is not None:
        fields["minutes"] = task.minutes
    return fields
