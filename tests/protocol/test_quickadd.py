"""Phrases and what they mean: it is Sunday, 22 November 2026, 14:05 in Berlin (13:05 UTC)."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec.structs import replace

from protocol import ids, limits, times
from protocol.quickadd import QuickAdd, parse

NOW = "2026-11-22T13:05:30.123Z"
ZONE = "Europe/Berlin"

DATES: list[tuple[str, str, str | None]] = [
    ("buy milk today", "buy milk", "2026-11-22"),
    ("buy milk tonight", "buy milk", "2026-11-22"),
    ("buy milk tomorrow", "buy milk", "2026-11-23"),
    ("Tomorrow buy milk", "buy milk", "2026-11-23"),
    ("buy milk tmrw", "buy milk", "2026-11-23"),
    ("buy milk day after tomorrow", "buy milk", "2026-11-24"),
    ("buy milk the day after tomorrow please", "buy milk please", "2026-11-24"),
    ("report friday", "report", "2026-11-27"),
    ("report on FRIDAY", "report", "2026-11-27"),
    ("report by wednesday.", "report", "2026-11-25"),
    ("report on fri", "report", "2026-11-27"),
    ("call sunday", "call", "2026-11-29"),
    ("call this sunday", "call", "2026-11-22"),
    ("next monday standup", "standup", "2026-11-23"),
    ("standup next sunday", "standup", "2026-11-29"),
    ("next week review", "review", "2026-11-23"),
    ("invoices next month", "invoices", "2026-12-01"),
    ("in 3 days water the plants", "water the plants", "2026-11-25"),
    ("water the plants in two weeks", "water the plants", "2026-12-06"),
    ("water the plants in a week", "water the plants", "2026-11-29"),
    ("renew in 1 month", "renew", "2026-12-22"),
    ("renew in 3 months", "renew", "2027-02-22"),
    ("renew passport in 2 years", "renew passport", "2028-11-22"),
    ("report 2026-11-24", "report", "2026-11-24"),
    ("due:2026-11-24 report", "report", "2026-11-24"),
    ("report due:friday", "report", "2026-11-27"),
    ("report due: tomorrow", "report", "2026-11-23"),
    ("report due on friday", "report", "2026-11-27"),
    ("report 24 nov", "report", "2026-11-24"),
    ("report 24th of", "report 24th of", None),
    ("report 24th November", "report", "2026-11-24"),
    ("report nov 24", "report", "2026-11-24"),
    ("report Nov 24th, then rest", "report then rest", "2026-11-24"),
    ("report nov 24, 2027", "report", "2027-11-24"),
    ("report 3 feb", "report", "2027-02-03"),
    ("party 29 feb", "party", "2028-02-29"),
    ("report 24.11.", "report", "2026-11-24"),
    ("report 1.2.", "report", "2027-02-01"),
    ("report 24.11.2028", "report", "2028-11-24"),
    ("call mum tomorrow, then dad", "call mum then dad", "2026-11-23"),
]

TIMES: list[tuple[str, str, str | None]] = [
    ("call Bob tomorrow 5pm", "call Bob", "2026-11-23T16:00:00.000Z"),
    ("call Bob tomorrow at 9", "call Bob", "2026-11-23T08:00:00.000Z"),
    ("call Bob tomorrow at 9 about the roof", "call Bob about the roof", "2026-11-23T08:00:00.000Z"),
    ("call Bob friday 17:00", "call Bob", "2026-11-27T16:00:00.000Z"),
    ("call Bob friday, 17:00", "call Bob", "2026-11-27T16:00:00.000Z"),
    ("dentist mon 9:30", "dentist", "2026-11-23T08:30:00.000Z"),
    ("dentist 24.11. 10:00", "dentist", "2026-11-24T09:00:00.000Z"),
    ("dentist 2026-11-24 10:00", "dentist", "2026-11-24T09:00:00.000Z"),
    ("dentist 2026-11-24T10:00", "dentist", "2026-11-24T09:00:00.000Z"),
    ("dentist due:2026-11-24T10:00:00Z", "dentist", "2026-11-24T10:00:00.000Z"),
    ("17:00 call Bob", "call Bob", "2026-11-22T16:00:00.000Z"),
    ("13:00 call Bob", "call Bob", "2026-11-23T12:00:00.000Z"),
    ("call Bob at 5:30 pm", "call Bob", "2026-11-22T16:30:00.000Z"),
    ("call Bob at 17", "call Bob", "2026-11-22T16:00:00.000Z"),
    ("call Bob at 9 #work", "call Bob", "2026-11-23T08:00:00.000Z"),
    ("at 5pm tomorrow call Bob", "call Bob", "2026-11-23T16:00:00.000Z"),
    ("call Bob 12am tomorrow", "call Bob", "2026-11-22T23:00:00.000Z"),
    ("call Bob tonight at 9", "call Bob", "2026-11-22T20:00:00.000Z"),
    ("lunch at noon", "lunch", "2026-11-23T11:00:00.000Z"),
    ("lunch tomorrow noon", "lunch", "2026-11-23T11:00:00.000Z"),
    ("submit by midnight", "submit", "2026-11-22T23:00:00.000Z"),
    ("submit tomorrow midnight", "submit", "2026-11-23T23:00:00.000Z"),
    ("tea in 2 hours", "tea", "2026-11-22T15:05:00.000Z"),
    ("tea in an hour", "tea", "2026-11-22T14:05:00.000Z"),
    ("tea in 45 minutes", "tea", "2026-11-22T13:50:00.000Z"),
    ("in 3 days at 9 tea", "tea", "2026-11-25T08:00:00.000Z"),
]

LEFT_ALONE = [
    "install python 3.11",
    "every monday standup",
    "buy sun cream",
    "sat on a bench",
    "buy midnight snack",
    "watch the 17:00 news",
    "meet at 9 Elm Street",
    "increase it by 5",
    "meet monday or tuesday",
    "open from monday to friday",
    "open monday - friday",
    "photos of last friday",
    "since monday it rains",
    "monday's meeting",
    "call on 2026-02-31",
    "the 31.2. does not exist",
    "rest in 9999 years",
    "on 0900-01-01 nothing",
    "fix bug #123",
    "mail a@example.org",
    "100% ~ok!",
    "what a day!",
    "call +49 30 1234567 in room 5",
    "in 0h",
    "24/7 support",
]


def read(line: str, now: str = NOW, zone: str = ZONE) -> QuickAdd:
    return parse(line, now=now, zone=zone)


@pytest.mark.parametrize(("line", "title", "due"), DATES + TIMES)
def test_dates_and_times(line: str, title: str, due: str | None) -> None:
    """A date gives a date, a time an instant, and neither stays in the title."""
    added = read(line)
    assert (added.title, added.due) == (title, due)


@pytest.mark.parametrize("line", LEFT_ALONE)
def test_what_may_mean_something_else_stays_in_the_title(line: str) -> None:
    """Words that are no marks are not taken for some."""
    assert read(line) == QuickAdd(title=line)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("a #home", QuickAdd(title="a", tags=("home",))),
        ("a #home #home, #Büro", QuickAdd(title="a", tags=("home", "Büro"))),
        ("#2026/q4-plan a", QuickAdd(title="a", tags=("2026/q4-plan",))),
        ("a !urgent", QuickAdd(title="a", priority="urgent")),
        ("a !LOW", QuickAdd(title="a", priority="low")),
        ("a ! b", QuickAdd(title="a b", priority="high")),
        ("a !!", QuickAdd(title="a", priority="urgent")),
        ("a !!!", QuickAdd(title="a", priority="urgent")),
        ("a !high !low", QuickAdd(title="a !low", priority="high")),
        ("a @Ana.", QuickAdd(title="a", assignee="ana")),
        ("a @ana @ben", QuickAdd(title="a @ben", assignee="ana")),
        ("a ~45m", QuickAdd(title="a", minutes=45)),
        ("a ~2h", QuickAdd(title="a", minutes=120)),
        ("a ~1h30", QuickAdd(title="a", minutes=90)),
        ("a ~1h05m", QuickAdd(title="a", minutes=65)),
        ("a ~1.5h", QuickAdd(title="a", minutes=90)),
        ("a ~90", QuickAdd(title="a", minutes=90)),
        ("a ~0m", QuickAdd(title="a ~0m")),
        ("a ~99999m", QuickAdd(title="a ~99999m")),
        ("x tomorrow friday", QuickAdd(title="x friday", due="2026-11-23")),
        ("  a \t b  ", QuickAdd(title="a b")),
        ("   ", QuickAdd(title="")),
        ("tomorrow #home", QuickAdd(title="tomorrow #home")),
    ],
)
def test_marks(line: str, expected: QuickAdd) -> None:
    """Marks give their field, the first one counts, and where only marks are there they are the title."""
    assert replace(read(line), spans=()) == expected


def test_all_at_once_with_its_spans() -> None:
    """Each span covers the characters that were understood."""
    line = "pay rent friday 17:00 #home !high ~20m @ana"
    added = read(line)
    assert [(span.kind, line[span.start : span.end]) for span in added.spans] == [
        ("due", "friday 17:00"),
        ("tag", "#home"),
        ("priority", "!high"),
        ("minutes", "~20m"),
        ("assignee", "@ana"),
    ]


@pytest.mark.parametrize(
    ("now", "line", "due"),
    [
        # The clocks go from 02:00 to 03:00 on 28 March 2027.
        ("2027-03-27T12:00:00.000Z", "x tomorrow 1:59", "2027-03-28T00:59:00.000Z"),
        ("2027-03-27T12:00:00.000Z", "x tomorrow 2:30", "2027-03-28T01:30:00.000Z"),
        ("2027-03-27T12:00:00.000Z", "x tomorrow 3:00", "2027-03-28T01:00:00.000Z"),
        ("2027-03-27T12:00:00.000Z", "x tomorrow at 9", "2027-03-28T07:00:00.000Z"),
        ("2027-03-28T00:30:00.000Z", "x in 2 hours", "2027-03-28T02:30:00.000Z"),
        # The clocks go from 03:00 back to 02:00 on 25 October 2026.
        ("2026-10-24T12:00:00.000Z", "x tomorrow 1:59", "2026-10-24T23:59:00.000Z"),
        ("2026-10-24T12:00:00.000Z", "x tomorrow 2:30", "2026-10-25T00:30:00.000Z"),
        ("2026-10-24T12:00:00.000Z", "x tomorrow 3:00", "2026-10-25T02:00:00.000Z"),
        ("2026-10-25T00:30:00.000Z", "x in 2 hours", "2026-10-25T02:30:00.000Z"),
        ("2026-10-25T22:30:00.000Z", "x tomorrow", "2026-10-26"),
    ],
)
def test_clocks_that_change(now: str, line: str, due: str) -> None:
    """A skipped time is moved on by the gap, one that comes twice is the first, hours are hours."""
    assert read(line, now=now).due == due


@pytest.mark.parametrize(
    ("zone", "due"),
    [("America/Los_Angeles", "2026-11-23"), ("Pacific/Kiritimati", "2026-11-24"), ("No/Where", "2026-11-23")],
)
def test_tomorrow_is_that_of_the_zone(zone: str, due: str) -> None:
    """The zone says which day it is; an unknown one is UTC."""
    assert read("x tomorrow", zone=zone).due == due


PIECES = st.sampled_from(
    [one for line, *_ in DATES + TIMES for one in line.split()]
    + [
        "#a",
        "!",
        "!low",
        "@ana",
        "~2h",
        "or",
        "every",
        "due:",
        " ",
        "\n",
        "at",
        "in",
        "24",
        "é",
        "\x1b[0m",
        ",",
    ]
)
LINES = st.text(max_size=80) | st.lists(PIECES, max_size=12).map(" ".join)


@given(LINES, st.sampled_from(["Europe/Berlin", "UTC", "Pacific/Apia"]), st.integers(0, 4_000_000_000_000))
@example("due: ", "UTC", 0)
@example("#x" * 40, "UTC", 0)
def test_any_line_gives_an_answer(line: str, zone: str, now_ms: int) -> None:
    """Never an exception; title and spans are the line; what it gives is what a task may have."""
    added = parse(line, now=times.format_ms(now_ms), zone=zone)
    outside, place = [], 0
    for span in added.spans:
        assert place <= span.start < span.end <= len(line)
        outside.append(line[place : span.start])
        place = span.end
    assert " ".join((" ".join([*outside, line[place:]])).split()) == added.title
    assert bool(added.title) == bool(line.split())
    assert added.due is None or times.parse_date(added.due) or times.parse_instant(added.due)
    assert added.assignee is None or ids.is_actor(added.assignee)
    assert added.minutes is None or 1 <= added.minutes <= limits.minutes_max
    assert all(0 < len(tag) <= limits.tag_characters_max for tag in added.tags)


@pytest.mark.parametrize(
    "piece", ["#a ", "#", "!", "@a.", "~1", " ", "monday or ", "in 3 ", "24.", "due: ", "at ", ",", "\u0661 "]
)
def test_a_long_line_costs_little(piece: str) -> None:
    """A line of the largest size is read in one go, whatever it repeats."""
    line = piece * (limits.text_bytes_max // len(piece)) + "x tomorrow"
    assert read(line).title


def test_more_tags_than_a_task_may_have_stay_in_the_title() -> None:
    """What would be refused is not taken."""
    added = read("x " + " ".join(f"#t{n}" for n in range(limits.tags_max + 1)))
    assert (len(added.tags), added.title) == (limits.tags_max, f"x #t{limits.tags_max}")
    assert read("x #" + "t" * 65).tags == ()
