"""What is to be shown as rows of a list: pure functions from the values of `selectors`.

Must not know: widgets, state, keys but those that an empty list names.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from protocol.text import NOTHING
from tui.keymap import MAIN_PLACES, Place, help_sections, keys_words
from tui.selectors import (
    BlockLine,
    GroupName,
    MemoryLine,
    RejectedLine,
    TaskGroup,
    TaskLine,
    TasksView,
    TodayView,
)
from tui.widgets.rows import Row
from tui.wording import words

_TASK: Final = "task:"


# Tasks


class TaskRows:
    """Rows of tasks; a line that did not change keeps its row."""

    def __init__(self) -> None:
        self._made: dict[str, tuple[TaskLine, Row]] = {}
        self._of: TasksView | None = None
        self._rows: list[Row] = []

    def rows(self, view: TasksView) -> list[Row]:
        """All groups below each other; the same list for the same view."""
        if view is not self._of:
            self._of, self._rows = view, self._all(view)
        return self._rows

    def _all(self, view: TasksView) -> list[Row]:
        if not view.groups:
            return [
                _note("empty", "No tasks yet. Press a and write one, such as: pay rent friday !high #home")
            ]
        made: dict[str, tuple[TaskLine, Row]] = {}
        rows: list[Row] = []
        for group in view.groups:
            rows.append(_heading(group))
            for line in group.lines:
                known = self._made.get(line.task_id)
                if known is None or known[0] is not line:
                    known = line, task_row(line)
                made[line.task_id] = known
                rows.append(known[1])
        self._made = made
        return rows


def task_row(line: TaskLine) -> Row:
    """A task."""
    return Row(
        key=_TASK + line.task_id,
        kind="item",
        text=line.title,
        sign=line.sign,
        facts=line.facts,
        tone=line.tone,
    )


def task_key(task_id: str) -> str:
    """The key of a task's row."""
    return _TASK + task_id


def task_of(key: str | None) -> str | None:
    """The task of a row; None where it is another kind of row."""
    return key.removeprefix(_TASK) if key is not None and key.startswith(_TASK) else None


def _heading(group: TaskGroup) -> Row:
    return Row(
        key=f"group:{group.name}",
        kind="heading",
        text=words(f"{_HEADINGS[group.name]} · {len(group.lines)}"),
        tone="trouble" if group.name == "late" else "plain",
    )


_HEADINGS: Final[dict[GroupName, str]] = {
    "late": "! Late",
    "today": "Today",
    "next": "Next 7 days",
    "later": "Later, or any time",
    "done today": "Done today",
}


# Today


def today_rows(view: TodayView, opened: frozenset[str]) -> list[Row]:
    """The blocks of the day with a mark for now; `opened`: the blocks whose reason is shown."""
    rows: list[Row] = []
    if view.note:
        rows.append(Row("note", "note", view.note))
    if not view.blocks and not view.planning:
        again = "Press p to plan it again." if view.summary else "Press p to plan it from your tasks."
        rows.append(_note("how", again))
    for number, block in enumerate(view.blocks):
        if number == view.now_at:
            rows.append(_now(view))
        rows.append(block_row(block, opened=block.key in opened))
    if view.blocks and view.now_at == len(view.blocks):
        rows.append(_now(view))
    if view.summary:
        rows.append(Row("summary", "note", view.summary))
    return rows


def block_row(block: BlockLine, *, opened: bool) -> Row:
    """A block of the plan."""
    return Row(
        key=block.key,
        kind="item",
        text=block.title,
        lead=block.time,
        sign=block.sign,
        facts=block.facts,
        below=block.reason if opened else NOTHING,
        tone="quiet"
        if block.closed or block.when == "past"
        else "strong"
        if block.when == "now"
        else "plain",
    )


def _now(view: TodayView) -> Row:
    return Row("now", "mark", words(f"{view.clock} now"))


# Memory, what was refused, help


def memory_rows(lines: Sequence[MemoryLine]) -> list[Row]:
    """All that is remembered."""
    if not lines:
        return [_note("empty", "Nothing is remembered yet. Press a to write something down.")]
    return [Row(line.memory_id, "item", line.text, sign=line.sign, facts=line.facts) for line in lines]


def rejected_rows(lines: Sequence[RejectedLine]) -> list[Row]:
    """What was not accepted, with the reason below."""
    if not lines:
        return [_note("empty", "Nothing was refused.")]
    return [
        Row(
            line.client_action_id,
            "item",
            line.what,
            sign=words("✗"),
            facts=(line.time,),
            below=line.reason,
        )
        for line in lines
    ]


def help_rows(place: Place, bound: dict[str, str]) -> list[Row]:
    """The keys for somebody in `place`, under headings."""
    rows: list[Row] = []
    for heading, commands in help_sections(place):
        rows.append(Row(f"heading:{heading}", "heading", words(heading)))
        rows += [
            Row(
                command.id,
                "note",
                words(command.words),
                lead=words(f"  {keys_words(command, bound):<{_KEYS_WIDTH}}  "),
            )
            for command in commands
        ]
    rows.append(Row("heading:tips", "heading", words("Good to know")))
    rows += [
        Row(f"tip:{number}", "note", words(tip), lead=words("  ")) for number, tip in enumerate(_tips(place))
    ]
    return rows


_KEYS_WIDTH: Final = 16


def _tips(place: Place) -> list[str]:
    tips = [
        "The first line says whether this is live; what was done offline is kept and sent later, once.",
        "↑ unsent: only here so far.  ✗: not accepted, r shows why and gives the text back.",
        "A task in one line: pay rent friday 17:00 !high #home ~20m @ana",
    ]
    if place in MAIN_PLACES:
        tips.append("What you write and do not send is kept, also through esc, a crash or another size.")
    return tips


def _note(key: str, text: str) -> Row:
    return Row(key, "note", words(text))


__all__ = [
    "TaskRows",
    "block_row",
    "help_rows",
    "memory_rows",
    "rejected_rows",
    "task_key",
    "task_of",
    "task_row",
    "today_rows",
]
