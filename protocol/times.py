"""Times as the contract writes them: RFC 3339 in UTC with milliseconds and `Z`, dates, times of day, zones.

Duty: parse, format and compare; say what "today" is in a zone.
Must not know: what time it is; that is handed in.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_INSTANT = re.compile(
    r"\d{4}-\d{2}-\d{2}[Tt]([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,9})?([Zz]|[+-]([01]\d|2[0-3]):[0-5]\d)\Z",
    re.ASCII,
)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}\Z", re.ASCII)
_TIME_OF_DAY = re.compile(r"([01]\d|2[0-3]):[0-5]\d\Z", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def format_ms(ms: int) -> str:
    """Unix milliseconds as the contract's instant, `2026-11-22T13:05:00.123Z`."""
    return f"{_to_the_second(ms // 1000)}.{ms % 1000:03d}Z"


@lru_cache(maxsize=64)
def _to_the_second(seconds: int) -> str:
    # Not strftime: its %Y has no leading zeros before the year 1000.
    return (_EPOCH + timedelta(seconds=seconds)).isoformat()[:-6]


def format_instant(moment: datetime) -> str:
    """An aware datetime as the contract's instant, cut to milliseconds."""
    return format_ms((moment - _EPOCH) // timedelta(milliseconds=1))


def parse_instant(text: str) -> datetime | None:
    """The UTC datetime of an RFC 3339 instant with any offset; None where it is none."""
    if _INSTANT.match(text) is None:
        return None
    whole, fraction = text, ""
    if "." in text:
        whole, _, rest = text.partition(".")
        fraction = re.match(r"\d+", rest).group()  # type: ignore[union-attr]  # the pattern above holds digits here
        whole += rest[len(fraction) :]
    try:
        moment = datetime.fromisoformat(whole.upper().replace("Z", "+00:00"))
        return moment.astimezone(UTC) + timedelta(microseconds=int(fraction[:6].ljust(6, "0") or 0))
    except (ValueError, OverflowError):
        return None


def to_ms(text: str) -> int:
    """Unix milliseconds of an instant that the project wrote; ValueError where it is none."""
    moment = parse_instant(text)
    if moment is None:
        raise ValueError(f"not an instant: {text!r}")
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def parse_date(text: str) -> date | None:
    """The date of `YYYY-MM-DD`; None where it is none."""
    if _DATE.match(text) is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def is_time_of_day(text: str) -> bool:
    """Whether `text` is `HH:MM` of a 24-hour day."""
    return _TIME_OF_DAY.match(text) is not None


@lru_cache(maxsize=256)
def zone(name: str) -> tzinfo | None:
    """The IANA zone of that name; None where there is none."""
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def local(instant: str, zone_name: str) -> datetime:
    """The moment of `instant` on the clocks of a zone (of UTC where the zone is unknown)."""
    moment = parse_instant(instant)
    if moment is None:
        raise ValueError(f"not an instant: {instant!r}")
    return moment.astimezone(zone(zone_name) or UTC)


def today(now: str, zone_name: str) -> str:
    """The date, `YYYY-MM-DD`, that it is in a zone at the instant `now`."""
    return local(now, zone_name).date().isoformat()
