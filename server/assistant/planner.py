"""The plan of a day, made of the tasks: what, when, and why there.

Duty: `plan`: blocks of one date and a summary, from a state and the time it is.
Must not know: models, actions, the ledger; who asked.

1. Pure and total: the same state, date and time give the same plan; odd values in tasks are lived with.
2. Blocks never overlap, lie inside the date and not before now, and only speak of tasks that are open.
3. A task that is due at a time of that day stands at its time; all others flow around it.
4. Carried-over late work first, then what is due or urgent, then what is due soon, then the rest; within
   each, what is being done already comes first, then priority.
5. Long work that has to be done is divided; what has no room is named.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

from msgspec import Struct

from protocol import times
from protocol.state import CLOSED, Block, Priority, State, Task
from server.assistant import words

BLOCKS_MAX: Final = 40
"""Nobody follows more in a day; what is behind them has no room."""
MINUTES_DEFAULT: Final = 30
_DIVISIBLE_MINUTES_MIN: Final = 60
_PART_MINUTES_MIN: Final = 30
_DAY_MINUTES_MIN: Final = 30
"""With less left of the working hours it is evening."""
_YEAR_MAX: Final = 9000
_SOON: Final = timedelta(days=7)
_MINUTE: Final = timedelta(minutes=1)
_PRIORITY_RANKS: Final[dict[Priority, int]] = {"urgent": 0, "high": 1, "normal": 2, "low": 3}

_LATE, _MUST, _SOON_OR_HIGH, _REST, _LOW = range(5)


class Hours(Struct, frozen=True, kw_only=True):
    """When work may be planned, in minutes of the day."""

    start: int = 9 * 60
    lunch_start: int = 12 * 60 + 30
    lunch_end: int = 13 * 60
    end: int = 17 * 60 + 30
    evening_end: int = 22 * 60


class PlanResult(Struct, frozen=True):
    """The blocks in the order of the day, and what there is to say about them."""

    blocks: tuple[Block, ...]
    summary: str


def plan(state: State, date: str, *, now: str, zone: str, hours: Hours | None = None) -> PlanResult:
    """The plan for `date` in a zone, made at the instant `now`. ValueError where it is no date or instant."""
    wanted = times.parse_date(date)
    if wanted is None:
        raise ValueError(f"not a date: {date!r}")
    if wanted.year > _YEAR_MAX:
        return PlanResult((), f"{date} is too far away to be planned.")
    day = _Day(wanted, times.local(now, zone), hours or Hours())
    candidates = sorted(_candidates(state, day), key=lambda one: one.rank)
    if day.is_past:
        return PlanResult(
            (), f"{words.day(wanted, day.today).capitalize()} is over: nothing can be planned there."
        )
    for one in sorted(candidates, key=lambda one: (one.at or day.now, one.rank)):
        if one.at is not None:
            day.fix(one, one.at)
    left = [one for one in candidates if one.at is None and one.may_be_placed(day) and not day.place(one)]
    left += day.crowded_out
    can_wait = sum(one.at is None and not one.may_be_placed(day) for one in candidates)
    blocks = tuple(sorted(day.blocks, key=lambda block: block.start))
    if not candidates:
        return PlanResult(blocks, "There are no open tasks, so nothing has to be planned.")
    return PlanResult(blocks, _summary(day, blocks, sorted(left, key=lambda one: one.rank), can_wait))


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A task that may be planned; `at` where it has a time of its own on that day."""

    task: Task
    bucket: int
    reason: str
    rank: tuple[object, ...]
    at: datetime | None = None

    @property
    def minutes(self) -> int:
        return max(1, self.task.minutes or MINUTES_DEFAULT)

    def may_be_placed(self, day: _Day) -> bool:
        """In the evening only what cannot wait."""
        return self.bucket <= _MUST or not day.is_evening


class _Day:
    """A date being filled: its free windows in UTC, and the blocks so far."""

    def __init__(self, wanted: date, now: datetime, hours: Hours) -> None:
        self.date = wanted
        self.today = now.date()
        self.zone = now.tzinfo or UTC
        self.now = now.astimezone(UTC)
        self.is_past = wanted < self.today
        self.is_evening = False
        self.blocks: list[Block] = []
        self.crowded_out: list[_Candidate] = []
        self.unfinished: list[tuple[_Candidate, int]] = []
        """Long work that was planned in part, and the minutes that are missing."""
        self._free = self._windows(hours)
        self._fixed: list[tuple[datetime, datetime]] = []

    def at(self, minutes: int) -> datetime:
        """A time of this day as UTC; 24 * 60 is its end."""
        ahead, minutes = divmod(minutes, 24 * 60)
        clock = time(minutes // 60, minutes % 60)
        local = datetime.combine(self.date + timedelta(days=ahead), clock, tzinfo=self.zone)
        return local.astimezone(UTC)

    def local(self, moment: datetime) -> datetime:
        return moment.astimezone(self.zone)

    def fix(self, one: _Candidate, at: datetime) -> None:
        """Put a task at its own time; where another stands there already, right behind that."""
        start, end_of_day = at.replace(second=0, microsecond=0), self.at(24 * 60)
        wanted = start
        for taken_start, taken_end in sorted(self._fixed):
            if taken_start <= start < taken_end:
                start = taken_end
        if start >= end_of_day or len(self.blocks) >= BLOCKS_MAX:
            self.crowded_out.append(one)
            return
        following = [taken for taken, _ in self._fixed if taken > start]
        end = min([start + one.minutes * _MINUTE, end_of_day, *following])
        late = "" if start == wanted else ", moved behind what is at the same time"
        self._fixed.append((start, end))
        self._free = list(_without(self._free, start, end))
        self._add(one, start, end, one.reason + late)

    def place(self, one: _Candidate) -> bool:
        """Put a task into the first window that holds it, or divide long work; whether there was room."""
        if len(self.blocks) >= BLOCKS_MAX:
            return False
        for place, (start, end) in enumerate(self._free):
            if start + one.minutes * _MINUTE <= end:
                self._use(place, one, one.minutes, one.reason)
                return True
        if one.bucket > _MUST or one.minutes <= _DIVISIBLE_MINUTES_MIN:
            return False
        return self._divide(one)

    def _divide(self, one: _Candidate) -> bool:
        rest, part = one.minutes, 0
        for place, (start, end) in enumerate(self._free):
            room = min(rest, (end - start) // _MINUTE)
            if room >= min(_PART_MINUTES_MIN, rest) and rest and len(self.blocks) < BLOCKS_MAX:
                part, rest = part + 1, rest - room
                self._use(place, one, room, f"{one.reason}, part {part}")
        if part and rest:
            self.unfinished.append((one, rest))
        return part > 0

    def _use(self, place: int, one: _Candidate, minutes: int, reason: str) -> None:
        start, end = self._free[place]
        used = start + minutes * _MINUTE
        self._free[place] = (used, end)
        self._add(one, start, used, reason)

    def _add(self, one: _Candidate, start: datetime, end: datetime, reason: str) -> None:
        block = Block(
            task_id=one.task.task_id,
            title=one.task.title,
            start=times.format_instant(start),
            minutes=(end - start) // _MINUTE,
            reason=reason,
        )
        self.blocks.append(block)

    def _windows(self, hours: Hours) -> list[tuple[datetime, datetime]]:
        if self.is_past:
            return []
        begin = _next_quarter(self.now)
        worked = [(hours.start, hours.lunch_start), (hours.lunch_end, hours.end)]
        windows = [(max(self.at(start), begin), self.at(end)) for start, end in worked]
        windows = [(start, end) for start, end in windows if start < end]
        if (
            self.date != self.today
            or sum((end - start) // _MINUTE for start, end in windows) >= _DAY_MINUTES_MIN
        ):
            return windows
        self.is_evening = True
        return [(begin, self.at(hours.evening_end))] if begin < self.at(hours.evening_end) else []


def _next_quarter(moment: datetime) -> datetime:
    quarter = timedelta(minutes=15)
    past = timedelta(minutes=moment.minute % 15, seconds=moment.second, microseconds=moment.microsecond)
    return moment if not past else moment - past + quarter


def _without(
    windows: Sequence[tuple[datetime, datetime]], start: datetime, end: datetime
) -> Iterator[tuple[datetime, datetime]]:
    for low, high in windows:
        if low < min(start, high):
            yield low, min(start, high)
        if max(end, low) < high:
            yield max(end, low), high


# Which tasks, and why


def _candidates(state: State, day: _Day) -> Iterator[_Candidate]:
    left_over = _left_over(state, day.today)
    for task in state.tasks.values():
        if task.status not in CLOSED:
            yield _candidate(task, day, left_over)


def _left_over(state: State, today: date) -> dict[str, date]:
    """The tasks of the last plan of a day that is over, with its date."""
    earlier = [one for one in state.plans if one < today.isoformat()]
    last = times.parse_date(max(earlier)) if earlier else None
    if last is None:
        return {}
    return {block.task_id: last for block in state.plans[max(earlier)].blocks if block.task_id}


def _candidate(task: Task, day: _Day, left_over: dict[str, date]) -> _Candidate:
    due, moment = _due(task, day)
    at = moment if moment is not None and due == day.date and moment >= day.now else None
    bucket = _bucket(task, due, moment, day, task.task_id in left_over)
    reasons = [_due_reason(due, moment, day)]
    if task.status == "doing":
        reasons.append("you are on it already")
    if task.priority in ("urgent", "high"):
        reasons.append("urgent" if task.priority == "urgent" else "high priority")
    if task.task_id in left_over and bucket > _LATE:
        reasons.append(f"left over from the plan of {words.day(left_over[task.task_id], day.today)}")
    named = [reason for reason in reasons if reason]
    rank = (
        bucket,
        task.status != "doing",
        _PRIORITY_RANKS[task.priority],
        due.isoformat() if due else "9999-12-31",
        task.position,
        task.created_at,
        task.task_id,
    )
    return _Candidate(task, bucket, ", ".join(named) or "there is room for it", rank, at)


def _due(task: Task, day: _Day) -> tuple[date | None, datetime | None]:
    """The local date a task is due on, and the moment where it has one."""
    if task.due is None:
        return None, None
    moment = times.parse_instant(task.due)
    try:
        return (day.local(moment).date(), moment) if moment else (times.parse_date(task.due), None)
    except OverflowError:
        return None, None


def _bucket(task: Task, due: date | None, moment: datetime | None, day: _Day, left_over: bool) -> int:
    if due is not None and (due < day.date or (moment is not None and moment < day.now)):
        return _LATE
    if due == day.date or task.priority == "urgent" or task.status == "doing":
        return _MUST
    if task.priority == "high" or left_over or (due is not None and due - day.date <= _SOON):
        return _SOON_OR_HIGH
    return _LOW if task.priority == "low" else _REST


def _due_reason(due: date | None, moment: datetime | None, day: _Day) -> str:
    if due is None:
        return ""
    if moment is not None and due == day.today and moment < day.now:
        return f"late since {words.clock(day.local(moment))}"
    if due < day.today:
        return f"late since {words.day(due, day.today)}"
    at = f" at {words.clock(day.local(moment))}" if moment is not None else ""
    return f"due {words.on_day(due, day.today)}{at}"


# What there is to say


def _summary(day: _Day, blocks: Sequence[Block], left: Sequence[_Candidate], can_wait: int) -> str:
    said = [_outline(day, blocks)]
    if day.is_evening:
        said.insert(0, f"It is {words.clock(day.local(day.now))} already, so this is only what cannot wait.")
    for one, minutes in day.unfinished:
        said.append(f"{words.quoted(one.task.title)} needs {words.length(minutes)} more.")
    if left:
        said.append(f"No room for {words.listed([one.task.title for one in left])}.")
    if can_wait:
        said.append(f"{can_wait} open {'task' if can_wait == 1 else 'tasks'} can wait: say “plan tomorrow”.")
    return " ".join(said)


def _outline(day: _Day, blocks: Sequence[Block]) -> str:
    if not blocks:
        return "Nothing is planned."
    start = times.parse_instant(blocks[0].start)
    last = times.parse_instant(blocks[-1].start)
    assert start is not None, "a block of ours"
    assert last is not None, "a block of ours"
    end = last + blocks[-1].minutes * _MINUTE
    whole = sum(block.minutes for block in blocks)
    named = words.count(len(blocks), "block").capitalize()
    span = f"from {words.clock(day.local(start))} to {words.clock(day.local(end))}"
    return f"{named} {words.on_day(day.date, day.today)} {span}, {words.length(whole)} of work."
