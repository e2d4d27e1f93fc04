"""What can be wished of the built-in assistant: one value for each kind, and `Wish`, all of them.

Duty: the values between `understanding` and `builtin`. Days are `YYYY-MM-DD`.
Must not know: how a wish is found in a text, or fulfilled.
"""

from __future__ import annotations

from msgspec import Struct


class Add(Struct, frozen=True):
    """Each line is a task; `reminding` where a reminder was asked for."""

    lines: tuple[str, ...]
    reminding: bool = False


class Mark(Struct, frozen=True):
    """Tasks, named by words of their titles, are done, or begun (`doing`)."""

    names: tuple[str, ...]
    status: str


class Delete(Struct, frozen=True):
    name: str


class PlanDay(Struct, frozen=True):
    date: str


class WhatNext(Struct, frozen=True):
    pass


class WhatIsDue(Struct, frozen=True):
    """From `first` to `last`, both included; with what is late where `late`."""

    first: str
    last: str
    late: bool


class WhatIsLate(Struct, frozen=True):
    pass


class ListTasks(Struct, frozen=True):
    tag: str | None = None


class KeepInMind(Struct, frozen=True):
    text: str


class Recall(Struct, frozen=True):
    about: str


class Summarise(Struct, frozen=True):
    """What happened from `first` to `last`, both included."""

    first: str
    last: str


class Greet(Struct, frozen=True):
    pass


class Thank(Struct, frozen=True):
    pass


class AskWho(Struct, frozen=True):
    pass


class AskHelp(Struct, frozen=True):
    pass


class Unclear(Struct, frozen=True):
    """`looks_like_task` where the text has marks or a date, as a quick-add line has."""

    looks_like_task: bool = False


Wish = (
    Add
    | Mark
    | Delete
    | PlanDay
    | WhatNext
    | WhatIsDue
    | WhatIsLate
    | ListTasks
    | KeepInMind
    | Recall
    | Summarise
    | Greet
    | Thank
    | AskWho
    | AskHelp
    | Unclear
)
