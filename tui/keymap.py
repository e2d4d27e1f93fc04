"""Every command of the screen: its id, its keys, its words, where it holds. The only place that names a key.

Duty: the registry from which bindings, footer, help and palette are made.
Must not know: widgets, what a command does.

1. Ids are stable: a configuration rebinds by them.
2. In one place no key stands for two commands; nor for one of a place and one that holds in all of it.
3. Keys of `everywhere` are no letters: they hold while somebody types.
4. No command needs a key that terminals or multiplexers keep for themselves (ctrl+s, ctrl+q, ctrl+z, ctrl+b).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

Place = Literal[
    "everywhere",
    "panes",
    "main",
    "today",
    "tasks",
    "conversation",
    "composer",
    "memory",
    "rejected",
    "help",
    "reading",
]

PLACE_WORDS: Final[dict[Place, str]] = {
    "everywhere": "Everywhere, also while typing",
    "panes": "Between panes, also while typing",
    "main": "In any pane, while not typing",
    "today": "Today",
    "tasks": "Tasks",
    "conversation": "Conversation",
    "composer": "Writing a message",
    "memory": "Memory",
    "rejected": "Not accepted",
    "help": "Help",
    "reading": "Moving in lists and texts",
}


@dataclass(frozen=True, slots=True)
class Command:
    """Something that can be done. `short` is its word in the footer, empty where it is not shown there."""

    id: str
    keys: tuple[str, ...]
    words: str
    place: Place
    short: str = ""
    rank: int = 5
    """Its place in the footer; what a small screen cannot do without has a low one."""
    own: bool = False
    """The widget itself knows the key; here it is only told of."""


COMMANDS: Final[tuple[Command, ...]] = (
    Command(
        "tasks.toggle", ("space", "enter"), "Complete the task, or open it again", "tasks", "done", rank=0
    ),
    Command("tasks.edit", ("e",), "Edit the task", "tasks", "edit", rank=4),
    Command("tasks.delete", ("d", "delete"), "Delete the task", "tasks", "delete", rank=4),
    Command("tasks.start", ("s",), "Mark the task as being done now, or not", "tasks", "doing", rank=6),
    Command(
        "today.reason", ("enter",), "Show why the block stands there, or hide it", "today", "why", rank=0
    ),
    Command(
        "today.toggle",
        ("space",),
        "Complete the task of the block, or open it again",
        "today",
        "done",
        rank=1,
    ),
    Command("today.edit", ("e",), "Edit the task of the block", "today", "edit", rank=4),
    Command("conversation.interrupt", ("i",), "Stop the answer that is being written", "main"),
    Command(
        "conversation.leave",
        ("escape",),
        "Stop the answer that is being written",
        "conversation",
        "stop",
        rank=0,
    ),
    Command("composer.send", ("enter",), "Send", "composer", "send", rank=0, own=True),
    Command(
        "composer.newline",
        ("ctrl+j", "alt+enter", "shift+enter"),
        "New line",
        "composer",
        "new line",
        rank=1,
        own=True,
    ),
    Command(
        "composer.leave",
        ("escape",),
        "Leave the composer; what you wrote stays",
        "composer",
        "leave",
        rank=2,
        own=True,
    ),
    Command("tasks.add", ("a",), "Add a task in one line", "main", "add", rank=1),
    Command("composer.focus", ("slash",), "Write a message", "main", "write", rank=2),
    Command("today.plan", ("p",), "Plan my day", "main", "plan"),
    Command("memory.open", ("m",), "Memory: what is remembered", "main", "memory", rank=6),
    Command("rejected.open", ("r",), "What was not accepted, and why", "main"),
    Command("pane.today", ("1",), "Go to Today", "main"),
    Command("pane.tasks", ("2",), "Go to Tasks", "main"),
    Command("pane.conversation", ("3",), "Go to the conversation", "main"),
    Command("link.retry", ("c",), "Connect now, without waiting for the next try", "main"),
    Command("help.open", ("question_mark",), "Help for what has the focus", "main", "help", rank=3),
    Command("app.leave", ("q",), "Quit; nothing unsent is lost", "main", "quit", rank=3),
    Command("pane.next", ("tab",), "Next pane", "panes", "pane", rank=7),
    Command("pane.previous", ("shift+tab",), "Previous pane", "panes"),
    Command("tasks.add_typing", ("ctrl+n",), "Add a task in one line", "everywhere"),
    Command("palette.open", ("ctrl+p",), "All actions", "everywhere", "all", rank=7),
    Command("help.open_typing", ("f1",), "Help for what has the focus", "everywhere"),
    Command("app.interrupt", ("ctrl+c",), "Copy what is selected; twice: quit", "everywhere"),
    Command("memory.add", ("a",), "Write something down", "memory", "add"),
    Command("memory.edit", ("e", "enter"), "Edit what is remembered", "memory", "edit"),
    Command("memory.pin", ("p",), "Pin it, or let it go", "memory", "pin"),
    Command("memory.forget", ("d", "delete"), "Forget it", "memory", "forget"),
    Command("memory.close", ("escape", "m", "q"), "Back", "memory", "back"),
    Command("rejected.take", ("c", "enter"), "Copy its text to the composer", "rejected", "to composer"),
    Command("rejected.dismiss", ("d", "delete"), "Dismiss it", "rejected", "dismiss"),
    Command("rejected.close", ("escape", "r", "q"), "Back", "rejected", "back"),
    Command("help.close", ("escape", "q", "question_mark"), "Back", "help", "back"),
    Command("reading.down", ("j", "down"), "Down", "reading", own=True),
    Command("reading.up", ("k", "up"), "Up", "reading", own=True),
    Command("reading.first", ("g", "home"), "First", "reading", own=True),
    Command("reading.last", ("G", "end"), "Last; the conversation then follows", "reading", own=True),
    Command("reading.half_down", ("ctrl+d",), "Half a page down", "reading", own=True),
    Command("reading.half_up", ("ctrl+u",), "Half a page up", "reading", own=True),
    Command("reading.page_down", ("pagedown",), "Page down", "reading", own=True),
    Command("reading.page_up", ("pageup",), "Page up", "reading", own=True),
)

BY_ID: Final[dict[str, Command]] = {command.id: command for command in COMMANDS}

MAIN_PLACES: Final[tuple[Place, ...]] = ("today", "tasks", "conversation", "composer")
READ_IN: Final[frozenset[Place]] = frozenset({"today", "tasks", "conversation", "memory", "rejected", "help"})
"""Places where one moves as in a list."""

_SHOWN: Final = {
    "question_mark": "?",
    "slash": "/",
    "escape": "esc",
    "pagedown": "page down",
    "pageup": "page up",
    "delete": "del",
}


def commands_of(place: Place) -> tuple[Command, ...]:
    """The commands of one place, in the order of the registry."""
    return tuple(command for command in COMMANDS if command.place == place)


def at_hand(place: Place) -> tuple[Command, ...]:
    """All commands that hold where the focus is in `place`, the nearest first."""
    wider: tuple[Place, ...] = ("everywhere",)
    if place in MAIN_PLACES:
        wider = ("panes", "everywhere") if place == "composer" else ("main", "panes", "everywhere")
    found = [command for where in (place, *wider) for command in commands_of(where)]
    return tuple(found)


def footer(place: Place) -> tuple[Command, ...]:
    """The commands that have a word in the footer of a place."""
    shown = [command for command in at_hand(place) if command.short]
    return tuple(sorted(shown, key=lambda command: command.rank))


def help_sections(place: Place) -> Iterator[tuple[str, tuple[Command, ...]]]:
    """Headings and commands for somebody in `place`: his own first, then what holds around it."""
    places: list[Place] = [place]
    places += ["reading"] if place in READ_IN else []
    places += ["main", "panes"] if place in MAIN_PLACES else []
    for where in (*places, "everywhere"):
        yield PLACE_WORDS[where], commands_of(where)


def key_words(key: str) -> str:
    """A key as it is written on it."""
    return _SHOWN.get(key, key)


def keys_words(command: Command, bound: Mapping[str, str] | None = None) -> str:
    """All keys of a command, as they are bound."""
    keys = tuple((bound or {})[command.id].split(",")) if bound and command.id in bound else command.keys
    return " or ".join(key_words(key.strip()) for key in keys)


def clashes(bound: Mapping[str, str]) -> list[str]:
    """Sentences about keys that would stand for two commands in one place (invariant 2)."""
    found: list[str] = []
    for place in PLACE_WORDS:
        seen: dict[str, Command] = {}
        for command in at_hand(place):
            keys = bound[command.id].split(",") if command.id in bound else command.keys
            for key in keys:
                other = seen.setdefault(key.strip(), command)
                if other is not command:
                    found.append(f"{key.strip()} stands for {other.id} and for {command.id}")
    return list(dict.fromkeys(found))
