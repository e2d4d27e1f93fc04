"""Days, times and amounts in words."""

from __future__ import annotations

from datetime import date

import pytest

from protocol.text import is_inert
from tui.wording import Moment, clock_words, counted, day_words, due_words, minutes_words

NOON = Moment("2026-11-22T12:00:00.000Z", "Europe/Berlin")
TODAY = date(2026, 11, 22)


@pytest.mark.parametrize(
    "day,said",
    [
        (date(2026, 11, 21), "yesterday"),
        (date(2026, 11, 22), "today"),
        (date(2026, 11, 23), "tomorrow"),
        (date(2026, 11, 28), "Sat"),
        (date(2026, 11, 29), "Sun 29 Nov"),
        (date(2026, 11, 20), "Fri 20 Nov"),
        (date(2027, 1, 1), "Fri 1 Jan 2027"),
    ],
)
def test_days_are_said_from_today(day: date, said: str) -> None:
    """A near day has a name of its own, a far one its date, another year its number."""
    assert day_words(day, TODAY) == said


@pytest.mark.parametrize(
    "due,said",
    [
        ("2026-11-22", "today"),
        ("2026-11-22T16:30:00.000Z", "today 17:30"),
        ("2026-11-22T23:30:00.000Z", "tomorrow 00:30"),
        ("whenever\x1b[2J", "whenever␛[2J"),
        ("2026-13-45", "2026-13-45"),
    ],
)
def test_a_due_is_said_in_the_zone_and_is_never_refused(due: str, said: str) -> None:
    """Instants are told on the clocks of the zone; what cannot be read is shown, inert."""
    assert due_words(due, NOON) == said
    assert is_inert(due_words(due, NOON))


def test_times_of_today_have_no_day() -> None:
    """Only another day is named."""
    assert clock_words("2026-11-22T13:03:59.000Z", NOON) == "14:03"
    assert clock_words("2026-11-21T13:03:00.000Z", NOON) == "yesterday 14:03"
    assert clock_words("?", NOON) == "?"


@pytest.mark.parametrize(
    "due,past",
    [
        ("2026-11-21", True),
        ("2026-11-22", False),
        ("2026-11-22T11:59:00.000Z", True),
        ("2026-11-22T12:01:00.000Z", False),
        ("nonsense", False),
    ],
)
def test_a_date_is_past_when_its_day_is_over(due: str, past: bool) -> None:
    """A due date lasts to the end of its day, an instant to itself."""
    assert NOON.is_past(due) is past


def test_amounts() -> None:
    """Minutes become hours from sixty on; one thing is not plural."""
    assert [minutes_words(minutes) for minutes in (20, 60, 90, 125)] == ["20 min", "1 h", "1 h 30", "2 h 05"]
    assert [counted(count, "task") for count in (0, 1, 2)] == ["0 tasks", "1 task", "2 tasks"]
