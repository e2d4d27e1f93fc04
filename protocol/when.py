"""Dates and times in words: `friday 17:00`, `in 3 days`, `24.11.`, `tomorrow at 9`.

Duty: `find`: the date or instant that begins at a place of a line, and where it ends.
Must not know: tasks; what time it is (that is handed in).

1. A wrong date is worse than none: words that may mean something else are left alone (`every monday`).
2. A date gives a date, a time an instant; a time alone is the next such time.
3. A time on a clock is that of the zone: one that daylight saving skips is moved on by the gap, one that
   comes twice is the first.

    today  tomorrow  day after tomorrow  friday  next friday (of the next week)  next week  in 3 days
    2026-11-24  24 nov  nov 24  24.11.  due:friday
    5pm  17:00  at 9  noon  midnight (the end of the day)  in 2 hours
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

from protocol import times


@dataclass(frozen=True, slots=True)
class Found:
    """Something understood: its value, and where it ends."""

    value: str
    end: int


def pattern(text: str) -> re.Pattern[str]:
    """A pattern in the verbose notation, without regard to case."""
    return re.compile(text, re.IGNORECASE | re.VERBOSE)


STOP: Final = r"[,;.!]* (?!\S)"
"""A thing ends at a blank or at the end of the line; signs of a sentence before that belong to it."""

_YEAR_MIN: Final = 1970
_WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_NUMBER_WORDS: Final = (
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
)
_NUMBERS: Final = {word: place for place, word in enumerate(_NUMBER_WORDS, start=1)} | {"a": 1, "an": 1}
_COUNT: Final = "[0-9]{1,4}|" + "|".join(_NUMBERS)

_FULL_DAY: Final = "monday|tuesday|wednesday|thursday|friday|saturday|sunday"
_SHORT_DAY: Final = "mon|tues?|wed|thu(?:rs?)?|fri|sat|sun"
_MONTH: Final = (
    "jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?"
    "|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?"
)
_LEADING: Final = pattern(r"(?: due: \s* | due \s+ (?: (?: on|by|at) \s+)? | (?: on|by|at) \s+ )")
_BETWEEN: Final = pattern(r"(?: \s*,)? \s+ (?: (?P<at> at|by) \s+ )?")
_END: Final = pattern(STOP)
_SECOND_DATE: Final = pattern(
    rf"\s* (?: \b(?: or|and|to|until|till) \b | [-–/&]) \s* "
    rf"(?: (?: next|this) \s+)? (?: {_FULL_DAY}|{_SHORT_DAY}|today|tomorrow|[0-9]) "
)
_NO_DATE_AFTER: Final = frozenset(
    {
        *(
            "every",
            "each",
            "last",
            "past",
            "previous",
            "since",
            "after",
            "before",
            "until",
            "till",
            "from",
            "to",
        ),
        *("of", "than", "the", "a", "my", "our", "your", "his", "her", "their", "this", "not"),
        *("or", "and", "-", "–", "/", "&"),
    }
)
"""After one of these words a date belongs to the sentence (`since monday`, `the 17:00 news`)."""

_DAY: Final = pattern(
    rf"""(?: (?P<relative> (?: the \s+)? day \s+ after \s+ tomorrow
                    | today | tonight | tomorrow | tmrw | tmr) \b
       | next \s+ (?P<period> week | month) \b
       | (?: (?P<which> next | this) \s+)? (?: (?P<day> {_FULL_DAY}) | (?P<short> {_SHORT_DAY})) \b
       | in \s+ (?P<count> {_COUNT}) \s* (?P<unit> days? | weeks? | months? | years?) \b
       | (?P<iso> [0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}) (?![0-9])
       | (?P<dotted> [0-9]{{1,2}} [.] [0-9]{{1,2}} [.]) (?P<dotted_year> [0-9]{{4}})? (?![0-9.])
       | (?P<date1> [0-9]{{1,2}}) (?: st|nd|rd|th|[.])? \s+ (?P<month1> {_MONTH}) \b [.]?
         (?: ,? \s+ (?P<year1> [0-9]{{4}}) \b)?
       | (?P<month2> {_MONTH}) [.]? \s+ (?P<date2> [0-9]{{1,2}}) (?: st|nd|rd|th)? (?! [0-9:.][0-9] | \w)
         (?: ,? \s+ (?P<year2> [0-9]{{4}}) \b)?
       )"""
)
_TIME: Final = pattern(
    r"""(?: (?P<hour12> 1[0-2] | 0?[1-9]) (?: [:.] (?P<minute12> [0-5][0-9]))? \s? (?P<half> am|pm) \b
       | (?P<hour> [01]?[0-9] | 2[0-3]) : (?P<minute> [0-5][0-9]) (?! [:0-9])
       )"""
)
_NAMED_TIME: Final = pattern(r"(?P<named> noon | midnight) \b")
_BARE_HOUR: Final = pattern(r"(?P<bare> [01]?[0-9] | 2[0-3]) (?! [0-9:.,][0-9] | \w)")
_SPAN_OF_TIME: Final = pattern(
    rf"in \s+ (?P<count> {_COUNT}) \s* (?P<unit> hours? | hrs? | h | minutes? | mins?) {STOP}"
)
_INSTANT: Final = pattern(
    r"(?P<value> [0-9]{4}-[0-9]{2}-[0-9]{2} T [0-9:.]+ (?: Z | [+-][0-9]{2}:[0-9]{2})) (?!\S)"
)
_MARK_OR_END: Final = pattern(r"[,;.!]* \s* (?: $ | (?<=\s) [\#!@~])")


@dataclass(frozen=True, slots=True)
class _Clock:
    """A time of day in minutes; 24 * 60 is the midnight at the day's end."""

    minutes: int
    end: int
    half_open: bool = False
    """It was said without am or pm: in the evening it is pm."""


def find(line: str, start: int, before: str, now: datetime) -> Found | None:
    """What begins at `start`, the first character of a word, if it says when: a date, or an instant.

    `before` is the word before it; `now` is aware, in the zone whose clocks count.
    """
    leading = _LEADING.match(line, start)
    at = leading.end() if leading else start
    led = leading[0].lower() if leading else ""
    if not led.startswith("due") and before.lower().strip(",;") in _NO_DATE_AFTER:
        return None
    try:
        found = _moment(line, at, now) or _dated(line, at, led, now) or _timed(line, at, led, now)
    except (ValueError, OverflowError):
        # The 31st of a short month, or a day behind the end of the calendar.
        return None
    if found is None or _SECOND_DATE.match(line, found.end):
        return None
    stop = _END.match(line, found.end)
    return Found(found.value, stop.end()) if stop else None


def _moment(line: str, at: int, now: datetime) -> Found | None:
    """An instant that needs no calendar: `in 2 hours`, or one written out."""
    match = _SPAN_OF_TIME.match(line, at)
    if match is not None:
        count = _number(match["count"])
        step = timedelta(hours=count) if match["unit"].lower().startswith("h") else timedelta(minutes=count)
        moment = (now.astimezone(UTC) + step).replace(second=0, microsecond=0)
        return Found(times.format_instant(moment), match.end())
    match = _INSTANT.match(line, at)
    written = times.parse_instant(match["value"]) if match else None
    return Found(times.format_instant(written), match.end()) if match and written else None


def _dated(line: str, at: int, led: str, now: datetime) -> Found | None:
    """A date, perhaps with a time behind it."""
    match = _DAY.match(line, at)
    if match is None:
        return None
    clock = _time_behind(line, match)
    if match["short"] and not (led or match["which"] or clock):
        return None
    day = _day_of(match, now.date())
    if clock is None:
        return Found(day.isoformat(), match.end())
    minutes = clock.minutes
    if match["relative"] and match["relative"].lower() == "tonight" and clock.half_open and minutes < 12 * 60:
        minutes += 12 * 60
    return Found(_instant(now, day, minutes), clock.end)


def _timed(line: str, at: int, led: str, now: datetime) -> Found | None:
    """A time, perhaps with a date behind it; alone it is the next such time."""
    clock = _time_at(line, at, named=bool(led))
    if clock is None and led.startswith(("at", "due")):
        clock = _bare_hour(line, at)
    if clock is None:
        return None
    behind = _day_behind(line, clock.end)
    if behind is not None:
        return Found(_instant(now, _day_of(behind, now.date()), clock.minutes), behind.end())
    if clock.half_open and not _MARK_OR_END.match(line, clock.end):
        return None
    today = now.date()
    value = _instant(now, today, clock.minutes)
    if times.to_ms(value) <= times.to_ms(times.format_instant(now)):
        value = _instant(now, today + timedelta(days=1), clock.minutes)
    return Found(value, clock.end)


_ON: Final = pattern(r"(?: \s*,)? \s+ (?: on \s+ )?")


def _day_behind(line: str, at: int) -> re.Match[str] | None:
    between = _ON.match(line, at)
    match = _DAY.match(line, between.end()) if between else None
    return match if match is not None and _END.match(line, match.end()) else None


def _time_behind(line: str, day: re.Match[str]) -> _Clock | None:
    if day["iso"] and line[day.end() : day.end() + 1] in ("T", "t"):
        return _time_at(line, day.end() + 1, named=False)
    between = _BETWEEN.match(line, day.end())
    if between is None:
        return None
    clock = _time_at(line, between.end(), named=True)
    if clock is None and between["at"]:
        clock = _bare_hour(line, between.end())
    return clock if clock is not None and _END.match(line, clock.end) else None


def _time_at(line: str, at: int, *, named: bool) -> _Clock | None:
    """The time that is written at `at`; noon and midnight only where something says that they are times."""
    match = _TIME.match(line, at)
    if match is not None:
        if match["half"]:
            hour = int(match["hour12"]) % 12 + (12 if match["half"].lower() == "pm" else 0)
            return _Clock(hour * 60 + int(match["minute12"] or 0), match.end())
        return _Clock(int(match["hour"]) * 60 + int(match["minute"]), match.end())
    match = _NAMED_TIME.match(line, at) if named else None
    if match is None:
        return None
    return _Clock(12 * 60 if match["named"].lower() == "noon" else 24 * 60, match.end())


def _bare_hour(line: str, at: int) -> _Clock | None:
    match = _BARE_HOUR.match(line, at)
    return _Clock(int(match["bare"]) * 60, match.end(), half_open=True) if match else None


def _day_of(match: re.Match[str], today: date) -> date:
    """The date that a match of `_DAY` names. ValueError, OverflowError where there is none."""
    if match["relative"]:
        word = match["relative"].lower()
        ahead = 2 if "day" in word.split() else 1 if word in ("tomorrow", "tmr", "tmrw") else 0
        return today + timedelta(days=ahead)
    if match["period"]:
        if match["period"].lower() == "month":
            return _months_on(today.replace(day=1), 1)
        return today + timedelta(days=7 - today.weekday())
    if match["day"] or match["short"]:
        return _weekday(match, today)
    if match["count"]:
        return _counted(today, _number(match["count"]), match["unit"].lower())
    day = date.fromisoformat(match["iso"]) if match["iso"] else _named_date(match, today)
    if day.year < _YEAR_MIN:
        raise ValueError("no date of a task")
    return day


def _weekday(match: re.Match[str], today: date) -> date:
    wanted = _WEEKDAYS.index((match["day"] or match["short"]).lower()[:3])
    which = (match["which"] or "").lower()
    if which == "next":
        return today + timedelta(days=7 - today.weekday() + wanted)
    ahead = (wanted - today.weekday()) % 7
    return today + timedelta(days=ahead if ahead or which == "this" else 7)


def _counted(today: date, count: int, unit: str) -> date:
    if unit.startswith("day"):
        return today + timedelta(days=count)
    if unit.startswith("week"):
        return today + timedelta(weeks=count)
    return _months_on(today, count * (12 if unit.startswith("year") else 1))


def _months_on(day: date, months: int) -> date:
    """The same day `months` later, or the last of that month where it is shorter."""
    place = day.year * 12 + day.month - 1 + months
    first = date(place // 12, place % 12 + 1, 1)
    following = date((place + 1) // 12, (place + 1) % 12 + 1, 1)
    return first.replace(day=min(day.day, (following - timedelta(days=1)).day))


def _named_date(match: re.Match[str], today: date) -> date:
    if match["dotted"]:
        day, month = (int(part) for part in match["dotted"].split(".")[:2])
        year = match["dotted_year"]
    else:
        day = int(match["date1"] or match["date2"])
        month = _MONTHS.index((match["month1"] or match["month2"]).lower()[:3]) + 1
        year = match["year1"] or match["year2"]
    return date(int(year), month, day) if year else _next_date(today, month, day)


def _next_date(today: date, month: int, day: int) -> date:
    """The next such date from today on; the 29th of February may be years away."""
    for year in range(today.year, today.year + 9):
        try:
            found = date(year, month, day)
        except ValueError:
            continue
        if found >= today:
            return found
    raise ValueError("no such date")


def _number(text: str) -> int:
    return _NUMBERS.get(text.lower()) or int(text)


def _instant(now: datetime, day: date, minutes: int) -> str:
    """The instant of a time of day in the zone of `now` (invariant 5)."""
    day, minutes = day + timedelta(days=minutes // (24 * 60)), minutes % (24 * 60)
    local = datetime.combine(day, time(minutes // 60, minutes % 60), tzinfo=now.tzinfo)
    return times.format_instant(local.astimezone(UTC))
