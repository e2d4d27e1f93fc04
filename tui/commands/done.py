"""`obelisk done ID`: complete a task."""

from __future__ import annotations

import argparse

from protocol.text import inert_line
from tui.commands.session import Session
from tui.commands.tasks import open_tasks, remembered_list, resolve
from tui.exits import Exit


async def run(session: Session, asked: argparse.Namespace) -> int:
    """Complete the task that is meant."""
    await session.reach()
    tasks = session.state.tasks
    shown = remembered_list(session.lists)
    if shown is None:
        shown = [task.task_id for task in open_tasks(tasks.values(), session.moment)]
    task_id = resolve(asked.task, tasks, shown)
    acked = await session.act("user.update_task", {"task_id": task_id, "status": "done"})
    events = await session.events_of(acked)
    session.printer.events(events)
    task = session.state.tasks.get(task_id)
    title = inert_line(task.title if task else task_id)
    session.printer.text(f"done: {title}" if events else f"was done already: {title}")
    return Exit.DONE
