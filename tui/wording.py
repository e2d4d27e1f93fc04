"""Days, times and amounts as people say them: `today 17:00`, `Fri 27 Nov`, `1 h 30`.

Duty: words for the values of the contract, seen from an instant and a zone.
Must not know: widgets, tasks, what time it is (that is handed in).

1. Total: a value that cannot be read is shown as it came, made inert.
2. Every word is a `SafeText`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Final

from protocol import times
from protocol.text import SafeText, inert_line

_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_NEAR: Final = {-1: "yesterday", 0: "today", 1: "tomorrow"}
WEEK_DAYS: Final = 7


@dataclass(frozen=True, slots=True)
class Moment:
    """From where things are seen: an instant and the name of a zone."""

    now: str
    zone: str

    @property
    def local(self) -> datetime:
        """The time on the clocks of the zone."""
        return times.local(self.now, self.zone)

    @property
    def today(self) -> date:
        """The day it is in the zone."""
        return self.local.date()

    def on_clocks(self, instant: str) -> datetime | None:
        """An instant on the clocks of the zone; None where it cannot be read."""
        moment = times.parse_instant(instant)
        return None if moment is None else moment.astimezone(times.zone(self.zone) or UTC)

    def day_of(self, due: str) -> date | None:
        """The day of a date or an instant; None where it is neither."""
        moment = self.on_clocks(due)
        return times.parse_date(due) if moment is None else moment.date()

    def is_past(self, due: str) -> bool:
        """Whether a date or an instant is over; what cannot be read is not."""
        moment = self.on_clocks(due)
        if moment is not None:
            return moment < self.local
        day = times.parse_date(due)
        return day is not None and day < self.today


def words(text: str) -> SafeText:
    """Words of our own, in one line."""
    return inert_line(text)


def day_words(day: date, today: date) -> str:
    """`today`, `Fri` within a week, `Fri 4 Dec`, and the year where it is another one."""
    distance = (day - today).days
    if distance in _NEAR:
        return _NEAR[distance]
    name = _DAYS[day.weekday()]
    if 0 < distance < WEEK_DAYS:
        return name
    return long_day(day) if day.year == today.year else f"{long_day(day)} {day.year}"


def long_day(day: date) -> str:
    """`Sun 22 Nov`."""
    return f"{_DAYS[day.weekday()]} {day.day} {_MONTHS[day.month - 1]}"


def due_words(due: str, moment: Moment) -> SafeText:
    """A date or an instant as it is said on the day of `moment`."""
    clock, day = moment.on_clocks(due), moment.day_of(due)
    if day is None:
        return inert_line(due)
    said = day_words(day, moment.today)
    return words(said if clock is None else f"{said} {clock:%H:%M}")


def clock_words(instant: str, moment: Moment) -> SafeText:
    """`14:03` of today, `Fri 20 Nov 14:03` of any other day."""
    clock = moment.on_clocks(instant)
    if clock is None:
        return inert_line(instant)
    time_of_day = f"{clock:%H:%M}"
    return words(
        time_of_day
        if clock.date() == moment.today
        else f"{day_words(clock.date(), moment.today)} {time_of_day}"
    )


def minutes_words(minutes: int) -> SafeText:
    """`20 min`, `2 h`, `1 h 30`."""
    hours, rest = divmod(minutes, 60)
    if hours == 0:
        return words(f"{minutes} min")
    return words(f"{hours} h {rest:02}" if rest else f"{hours} h")


def counted(count: int, one: str, more: str | None = None) -> str:
    """`1 task`, `3 tasks`."""
    return f"{count} {one if count == 1 else more or one + 's'}"
