"""One line of words as a task: `pay rent friday 17:00 #home !high ~20m @ana`.

Duty: `parse`: what the line means, and which characters said so; for a preview and for the assistant.
Must not know: state, whether such a member or tag is there, what time it is (that is handed in).

1. Total: any line gives an answer; what is not understood stays in the title; only a blank line has none.
2. The words of the title and the spans are the line: no word is in both, none is in neither.
3. Of due, priority, assignee and minutes the first counts, a second one stays in the title; tags add up.

    #tag   !low !normal !high !urgent (! is high, !! urgent)   @name   ~45m ~2h ~1h30   dates: see `when`
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from typing import Final, Literal

import msgspec

from protocol import ids, limits, times, when
from protocol.state import Priority
from protocol.when import Found

SpanKind = Literal["due", "priority", "tag", "assignee", "minutes"]


class Span(msgspec.Struct, frozen=True):
    """The characters `start` to `end` (code points, end excluded) of the line that were understood."""

    kind: SpanKind
    start: int
    end: int


class QuickAdd(msgspec.Struct, frozen=True, kw_only=True):
    """A line as the fields of a task. `due` is a date, or an instant of the contract."""

    title: str
    due: str | None = None
    priority: Priority = "normal"
    tags: tuple[str, ...] = ()
    assignee: str | None = None
    minutes: int | None = None
    spans: tuple[Span, ...] = ()


def parse(line: str, *, now: str, zone: str) -> QuickAdd:
    """What `line` means at the instant `now` in a zone. ValueError where `now` is no instant."""
    reading = _Reading(line, times.local(now, zone))
    before = ""
    for word in _WORD.finditer(line):
        if word.start() >= reading.end:
            reading.take(word.start(), before)
            before = word[0]
    title = reading.title()
    if not title:
        return QuickAdd(title=" ".join(line.split()))
    found = reading.found
    return QuickAdd(
        title=title,
        due=found.get("due"),
        priority=_PRIORITIES.get(found.get("priority", ""), "normal"),
        tags=tuple(reading.tags),
        assignee=found.get("assignee"),
        minutes=int(found["minutes"]) if "minutes" in found else None,
        spans=tuple(reading.spans),
    )


class _Reading:
    """A line half read: what was found so far, and where reading goes on."""

    def __init__(self, line: str, now: datetime) -> None:
        self.line = line
        self.now = now
        self.end = 0
        self.found: dict[SpanKind, str] = {}
        self.tags: list[str] = []
        self.spans: list[Span] = []

    def take(self, start: int, before: str) -> None:
        """Take what begins at `start`, a word's first character; `before` is the word before it."""
        for kind, find in _FINDERS:
            if kind in self.found:
                continue
            found = find(self, start, before)
            if found is not None:
                self._keep(kind, start, found)
                return

    def _keep(self, kind: SpanKind, start: int, found: Found) -> None:
        self.end = found.end
        self.spans.append(Span(kind, start, found.end))
        if kind != "tag":
            self.found[kind] = found.value
        elif found.value not in self.tags:
            self.tags.append(found.value)

    def title(self) -> str:
        """The words that are in no span."""
        kept, place = [], 0
        for span in self.spans:
            kept.append(self.line[place : span.start])
            place = span.end
        kept.append(self.line[place:])
        return " ".join(" ".join(kept).split())


_WORD: Final = re.compile(r"\S+")
_TAG: Final = when.pattern(rf"\# (?P<value> (?=\S*[^\W\d_]) \w [\w/-]*) {when.STOP}")
_PRIORITY: Final = when.pattern(r"(?P<value> ! (?: low|normal|high|urgent|!{0,2})) [,;.]* (?!\S)")
_PRIORITIES: Final[dict[str, Priority]] = {
    "!low": "low",
    "!normal": "normal",
    "!high": "high",
    "!urgent": "urgent",
    "!": "high",
    "!!": "urgent",
    "!!!": "urgent",
}
_ASSIGNEE: Final = when.pattern(rf"@ (?P<value> [a-z0-9] (?: [a-z0-9._-]* [a-z0-9])?) {when.STOP}")
_MINUTES: Final = when.pattern(
    rf"""~ (?: (?P<hours> [0-9]{{1,3}} (?: [.][0-9]{{1,2}})?) \s? (?: h|hours?|hrs?)
             (?: (?P<rest> [0-5]?[0-9]) (?: m|min)?)?
           | (?P<minutes> [0-9]{{1,5}}) \s? (?: m|mins?|minutes?)? ) {when.STOP}"""
)


def _tag(reading: _Reading, start: int, _: str) -> Found | None:
    match = _TAG.match(reading.line, start)
    if (
        match is None
        or len(match["value"]) > limits.tag_characters_max
        or len(reading.tags) >= limits.tags_max
    ):
        return None
    return Found(match["value"], match.end())


def _priority(reading: _Reading, start: int, _: str) -> Found | None:
    match = _PRIORITY.match(reading.line, start)
    return Found(match["value"].lower(), match.end()) if match else None


def _assignee(reading: _Reading, start: int, _: str) -> Found | None:
    match = _ASSIGNEE.match(reading.line, start)
    if match is None or not ids.is_actor(match["value"].lower()):
        return None
    return Found(match["value"].lower(), match.end())


def _minutes(reading: _Reading, start: int, _: str) -> Found | None:
    match = _MINUTES.match(reading.line, start)
    if match is None:
        return None
    if match["hours"]:
        minutes = round(float(match["hours"]) * 60) + int(match["rest"] or 0)
    else:
        minutes = int(match["minutes"])
    return Found(str(minutes), match.end()) if 1 <= minutes <= limits.minutes_max else None


def _due(reading: _Reading, start: int, before: str) -> Found | None:
    return when.find(reading.line, start, before, reading.now)


_Finder = Callable[[_Reading, int, str], Found | None]
_FINDERS: Final[tuple[tuple[SpanKind, _Finder], ...]] = (
    ("tag", _tag),
    ("priority", _priority),
    ("assignee", _assignee),
    ("minutes", _minutes),
    ("due", _due),
)
