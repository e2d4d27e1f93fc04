"""`obelisk list`: the open tasks, each with a number and a short id."""

from __future__ import annotations

import argparse

import msgspec

from tui.commands.session import Session
from tui.commands.tasks import in_order, open_tasks, remember_list, short_ids
from tui.exits import Exit
from tui.output import task_line
from tui.places import NoPlace, make_folder


async def run(session: Session, asked: argparse.Namespace) -> int:
    """Print the tasks and remember their numbers."""
    await session.reach()
    every, moment = session.state.tasks, session.moment
    tasks = (in_order if asked.all else open_tasks)(every.values(), moment)
    short = short_ids(list(every))
    try:
        make_folder(session.lists.parent)
        remember_list(session.lists, [task.task_id for task in tasks])
    except (OSError, NoPlace) as problem:
        session.printer.note(f"the numbers of this list cannot be used later: {problem}")
    for number, task in enumerate(tasks, start=1):
        session.printer.record(msgspec.json.encode(task))
        session.printer.text(task_line(task, moment, number=number, suffix=short[task.task_id]))
    if not tasks:
        session.printer.text("Nothing to do.")
    return Exit.DONE
