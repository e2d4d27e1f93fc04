"""Which task a person means: an id, the end of one, or a number of the list that they saw last.

Duty: the order of the list, its numbers, short ids that tell tasks apart; the file that remembers a list.
Must not know: how a list looks.

1. First what is late, then what is due today, then by date; what has no date follows by its own order
   (`position`), what is closed comes last. The same tasks at the same minute have the same order.
2. A number means the list that was shown last, whatever has happened since.
3. What could be two tasks is refused, never guessed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from protocol.ids import is_uuid
from protocol.state import CLOSED, Task
from tui.exits import Ended, Exit
from tui.output import SUFFIX_CHARACTERS_MIN
from tui.wording import Moment

_ALL_DAY: Final = "24"


def in_order(tasks: Iterable[Task], moment: Moment) -> list[Task]:
    """The tasks as every list shows them."""
    return sorted(tasks, key=lambda task: (*_urgency(task, moment), task.position, task.task_id))


def open_tasks(tasks: Iterable[Task], moment: Moment) -> list[Task]:
    """Those that are still to be done, in order."""
    return in_order((task for task in tasks if task.status not in CLOSED), moment)


def _urgency(task: Task, moment: Moment) -> tuple[int, str, str]:
    """How a task stands to now: its group, its day, its time of day; a whole day lies behind its hours."""
    day = None if task.due is None else moment.day_of(task.due)
    if task.status in CLOSED:
        return 4, "", ""
    if task.due is None or day is None:
        return 3, "", ""
    clock = moment.on_clocks(task.due)
    group = 0 if moment.is_past(task.due) else 1 if day == moment.today else 2
    return group, day.isoformat(), _ALL_DAY if clock is None else f"{clock:%H:%M:%S}"


def short_ids(task_ids: Collection[str]) -> dict[str, str]:
    """For each id its shortest end, of four characters or more, that no other has."""
    found: dict[str, str] = {}
    waiting, size = list(task_ids), SUFFIX_CHARACTERS_MIN
    while waiting:
        ends: dict[str, list[str]] = {}
        for task_id in task_ids:
            ends.setdefault(task_id[-size:], []).append(task_id)
        longest = max(len(task_id) for task_id in waiting)
        found |= {one: one[-size:] for one in waiting if len(ends[one[-size:]]) == 1 or size >= longest}
        waiting, size = [one for one in waiting if one not in found], size + 1
    return found


def resolve(given: str, tasks: Mapping[str, Task], shown: Sequence[str]) -> str:
    """The id of the task that is meant. Ended: REJECTED where there is none, USAGE where it is not clear."""
    if given in tasks or is_uuid(given):
        return given
    named = _numbered(given, shown) | _ending_in(given, tasks)
    if len(named) == 1:
        return named.pop()
    if named:
        raise Ended(Exit.USAGE, f"{given!a} could be {len(named)} tasks; give more characters of its id")
    if len(given) < SUFFIX_CHARACTERS_MIN and not given.isdigit():
        raise Ended(
            Exit.USAGE, f"{given!a} is too short; give at least four characters of the id, or a number"
        )
    raise Ended(Exit.REJECTED, f"there is no task {given!a}; obelisk list shows what there is")


def _numbered(given: str, shown: Sequence[str]) -> set[str]:
    if not (given.isascii() and given.isdigit() and len(given) <= 6):
        return set()
    number = int(given)
    return {shown[number - 1]} if 1 <= number <= len(shown) else set()


def _ending_in(given: str, tasks: Mapping[str, Task]) -> set[str]:
    """Tasks with that end; the open ones where there are any."""
    if len(given) < SUFFIX_CHARACTERS_MIN:
        return set()
    ending = {task_id for task_id in tasks if task_id.endswith((given, given.lower()))}
    return {one for one in ending if tasks[one].status not in CLOSED} or ending


def remember_list(file: Path, task_ids: Sequence[str]) -> None:
    """Keep what was shown. OSError where that is not possible."""
    new = file.with_name(f"{file.name}.new")
    new.write_bytes(msgspec.json.encode(task_ids))
    new.chmod(0o600)
    new.replace(file)


def remembered_list(file: Path) -> list[str] | None:
    """What was shown last; None where nothing was, or where it cannot be read."""
    with contextlib.suppress(OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return msgspec.json.decode(file.read_bytes(), type=list[str])
    return None
