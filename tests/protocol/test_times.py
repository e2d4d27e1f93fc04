"""Times: what is an instant, a date, a time of day, and what they are written as."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import times

FIRST_MS = -62_135_596_800_000
LAST_MS = 253_402_300_799_999


@given(st.integers(FIRST_MS, LAST_MS))
def test_an_instant_has_one_form_and_is_read_back(ms: int) -> None:
    """24 characters from the year 1 to 9999, and the same milliseconds come back."""
    text = times.format_ms(ms)
    assert len(text) == 24
    assert text.endswith("Z")
    assert times.to_ms(text) == ms


@given(st.integers(FIRST_MS, LAST_MS), st.integers(FIRST_MS, LAST_MS))
def test_instants_sort_as_text(one: int, other: int) -> None:
    """Trimming and sorting compare instants as the text that they are."""
    assert (times.format_ms(one) < times.format_ms(other)) == (one < other)


@given(st.datetimes(timezones=st.just(UTC)), st.integers(-23 * 60, 23 * 60))
def test_an_offset_is_the_same_moment(moment: datetime, offset: int) -> None:
    """An instant with any offset is read as its moment in UTC; one outside of the calendar is none."""
    try:
        text = moment.astimezone(timezone(timedelta(minutes=offset))).isoformat(timespec="milliseconds")
    except OverflowError:
        return
    parsed = times.parse_instant(text)
    assert parsed == moment.replace(microsecond=moment.microsecond // 1000 * 1000)


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("2026-11-22T13:05:00Z", "2026-11-22T13:05:00.000Z"),
        ("2026-11-22t13:05:00z", "2026-11-22T13:05:00.000Z"),
        ("2026-11-22T13:05:00.1Z", "2026-11-22T13:05:00.100Z"),
        ("2026-11-22T13:05:00.123999999Z", "2026-11-22T13:05:00.123Z"),
        ("2026-11-22T13:05:00+02:00", "2026-11-22T11:05:00.000Z"),
        ("2026-11-22T13:05:00.5-00:30", "2026-11-22T13:35:00.500Z"),
        ("2024-02-29T00:00:00Z", "2024-02-29T00:00:00.000Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000Z"),
    ],
)
def test_an_instant_becomes_the_contract_s(text: str, written: str) -> None:
    """RFC 3339 in UTC with milliseconds, cut and not rounded."""
    moment = times.parse_instant(text)
    assert moment is not None
    assert times.format_instant(moment) == written


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-11-22",
        "2026-11-22T13:05:00",
        "2026-11-22 13:05:00Z",
        "2026-11-22T13:05Z",
        "2026-11-22T24:00:00Z",
        "2026-11-22T13:60:00Z",
        "2026-11-22T13:05:60Z",
        "2026-02-30T13:05:00Z",
        "2026-11-22T13:05:00+23:60",
        "2026-11-22T13:05:00+24:00",
        "2026-11-22T13:05:00.Z",
        "2026-11-22T13:05:00.1234567890Z",
        "2026-11-22T13:05:00Z\n",
        "２０26-11-22T13:05:00Z",
        "0001-01-01T00:00:00+05:00",
        "9999-12-31T23:59:59-05:00",
        "20261122T130500Z",
    ],
)
def test_what_is_no_instant(text: str) -> None:
    """Half forms, days that are not, moments outside of the calendar: None, never an exception."""
    assert times.parse_instant(text) is None


@given(st.text(max_size=40))
def test_no_text_breaks_the_parsers(text: str) -> None:
    """Whatever is asked, the answer is a value."""
    times.parse_instant(text)
    times.parse_date(text)
    times.is_time_of_day(text)
    times.zone(text)


def test_only_instants_have_milliseconds() -> None:
    """What the project wrote itself and cannot read is a bug, and said loudly."""
    with pytest.raises(ValueError, match="not an instant"):
        times.to_ms("2026-11-22")
    with pytest.raises(ValueError, match="not an instant"):
        times.local("yesterday", "UTC")


@pytest.mark.parametrize(
    "text", ["2026-02-29", "2026-13-01", "2026-1-1", "20260101", "2026-W01-1", "2026-01-01 ", ""]
)
def test_what_is_no_date(text: str) -> None:
    """Only YYYY-MM-DD of a day that is."""
    assert times.parse_date(text) is None


@pytest.mark.parametrize(
    ("text", "valid"),
    [("00:00", True), ("23:59", True), ("24:00", False), ("8:30", False), ("08:30\n", False)],
)
def test_times_of_day(text: str, valid: bool) -> None:
    """HH:MM of a 24-hour day."""
    assert times.is_time_of_day(text) is valid


@pytest.mark.parametrize(
    "name", ["", "Nowhere/Here", "../UTC", "Europe", "a\0b", "a" * 5_000, "/etc/hosts", "\ud800"]
)
def test_what_is_no_zone(name: str) -> None:
    """A name that leads nowhere, or out of the zones, is None."""
    assert times.zone(name) is None


@pytest.mark.parametrize(
    ("now", "zone", "date"),
    [
        ("2026-11-22T23:30:00.000Z", "UTC", "2026-11-22"),
        ("2026-11-22T23:30:00.000Z", "Europe/Berlin", "2026-11-23"),
        ("2026-11-22T03:00:00.000Z", "America/New_York", "2026-11-21"),
        ("2026-11-22T23:30:00.000Z", "Nowhere/Here", "2026-11-22"),
    ],
)
def test_today_is_a_matter_of_the_zone(now: str, zone: str, date: str) -> None:
    """The day is the one on the clocks there; an unknown zone counts as UTC."""
    assert times.today(now, zone) == date
