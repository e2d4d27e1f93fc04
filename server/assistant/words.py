"""How the built-in assistant and the planner word things: days, times, lengths, lists of titles.

Duty: plain English for values.
Must not know: state, what time it is (that is handed in).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Final

_NAMED_MAX: Final = 5
_TITLE_CHARACTERS_MAX: Final = 80
_MONTHS: Final = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_WEEKDAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def day(wanted: date, today: date) -> str:
    """`today`, `yesterday`, `Monday` for the week around today, else `3 December` or `3 December 2027`."""
    ahead = (wanted - today).days
    if abs(ahead) <= 1:
        return ("yesterday", "today", "tomorrow")[ahead + 1]
    if abs(ahead) <= 6:
        return _WEEKDAYS[wanted.weekday()]
    year = "" if wanted.year == today.year else f" {wanted.year}"
    return f"{wanted.day} {_MONTHS[wanted.month - 1]}{year}"


def on_day(wanted: date, today: date) -> str:
    """`day` with its preposition: `today`, `on Monday`."""
    words = day(wanted, today)
    return words if words in ("yesterday", "today", "tomorrow") else f"on {words}"


def clock(moment: datetime) -> str:
    """`14:05` on the clocks of the moment's own zone."""
    return f"{moment:%H:%M}"


def length(minutes: int) -> str:
    """`45 min`, `2 h`, `1 h 30 min`."""
    hours, rest = divmod(minutes, 60)
    return " ".join(part for part in (f"{hours} h" if hours else "", f"{rest} min" if rest else "") if part)


def count(number: int, one: str, many: str | None = None) -> str:
    """`1 task`, `3 tasks`, `no task`."""
    return f"{number or 'no'} {(many or one + 's') if number > 1 else one}"


def quoted(title: str) -> str:
    """A title as data in a sentence: one line, in quotes, cut where it is long."""
    line = " ".join(title.split())
    if len(line) > _TITLE_CHARACTERS_MAX:
        line = line[: _TITLE_CHARACTERS_MAX - 1].rstrip() + "…"
    return f"“{line}”"


def listed(titles: Sequence[str]) -> str:
    """`“A”`, `“A” and “B”`, `“A”, “B”, … and 7 more`."""
    named = [quoted(title) for title in titles[:_NAMED_MAX]]
    if len(titles) > len(named):
        named.append(f"{len(titles) - len(named)} more")
    return named[0] if len(named) == 1 else f"{', '.join(named[:-1])} and {named[-1]}"
