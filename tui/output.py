"""What a one-shot command prints: JSON lines for scripts, short inert text for people, sentences on stderr.

Duty: bytes of stdout and stderr.
Must not know: where what is printed comes from.

1. With `json`, stdout gets one JSON object a line and nothing else.
2. Text from elsewhere is made inert before a person sees it.
3. A reader that has gone ends the command quietly; every line is flushed, so it is noticed at once.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterable

import msgspec

from protocol.codec import encode_event
from protocol.events import Event
from protocol.frames import Token
from protocol.state import Block, State, Task
from protocol.text import inert, inert_line
from tui.wording import Moment, due_words, minutes_words

PROGRAM = "obelisk"
SUFFIX_CHARACTERS_MIN = 4


class Printer:
    """Where a command prints. With `json`, `text` goes nowhere; without it, `record` does."""

    def __init__(self, *, json: bool) -> None:
        self.json = json

    def record(self, line: bytes) -> None:
        """A JSON object for scripts."""
        if self.json:
            _write(line + b"\n")

    def events(self, events: Iterable[Event]) -> None:
        """Ledger events for scripts."""
        for event in events:
            self.record(encode_event(event))

    def token(self, token: Token) -> None:
        """A transient event for scripts."""
        self.record(msgspec.json.encode(token))

    def text(self, line: str) -> None:
        """A line for people; its pieces are inert already."""
        if not self.json:
            _write_text(line + "\n")

    def piece(self, text: str) -> None:
        """Some text for people, without a newline."""
        if not self.json:
            _write_text(text)

    def note(self, sentence: str) -> None:
        """A sentence for the person, on stderr."""
        complain(sentence)


def complain(sentence: str) -> None:
    """A sentence on stderr, inert and in one line; where nobody can read it, it is lost."""
    with contextlib.suppress(OSError, ValueError):
        print(f"{PROGRAM}: {inert_line(sentence)}", file=sys.stderr, flush=True)


def prepare_streams() -> None:
    """A terminal that cannot show a character gets a question mark instead of an error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def silence_stdout() -> None:
    """After a broken pipe: what Python would flush at its end goes nowhere."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _write(data: bytes) -> None:
    sys.stdout.flush()
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def _write_text(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


# Words for people


def task_line(task: Task, moment: Moment, *, number: int | None = None, suffix: str = "") -> str:
    """A task in one line: `  3  9f3a  ○ Buy milk · due tomorrow · !high · #home`."""
    mark = {"open": "○", "doing": "◐", "done": "●", "dropped": "×"}[task.status]
    head = "" if number is None else f"{number:>3}  {inert_line(suffix)}  "
    return f"{head}{mark} {' · '.join([inert_line(task.title), *task_details(task, moment)])}"


def task_details(task: Task, moment: Moment) -> list[str]:
    """What is known of a task beyond its title, inert, its due as it is said on that day."""
    details = [_due(task.due, moment)] if task.due else []
    if task.priority != "normal":
        details.append(f"!{task.priority}")
    details += [f"#{inert_line(tag)}" for tag in task.tags]
    if task.assignee:
        details.append(f"@{inert_line(task.assignee)}")
    if task.minutes:
        details.append(minutes_words(task.minutes))
    return details


def _due(due: str, moment: Moment) -> str:
    return f"{'late, ' if moment.is_past(due) else ''}due {due_words(due, moment)}"


def block_line(block: Block, start: str) -> str:
    """A block of a plan; `start` is its time of day."""
    reason = f"  ({inert_line(block.reason)})" if block.reason else ""
    return f"{start}  {block.minutes:>3}m  {inert_line(block.title)}{reason}"


def event_line(event: Event) -> str:
    """An event in one line: where it stands, when, who, what."""
    words = (event.timestamp, inert_line(event.actor), inert_line(event.type), subject_of(event))
    return "  ".join([f"{event.seq:>6}", *words]).rstrip()


def subject_of(event: Event) -> str:
    """What an event is about, in a few inert words: a title, a text, a name."""
    payload = getattr(event.payload, "entity", event.payload)
    changed = getattr(payload, "set", None)
    for holder in (payload, changed, getattr(payload, "was", None)):
        for name in ("title", "text", "summary", "status", "date", "actor"):
            value = getattr(holder, name, None)
            if isinstance(value, str) and value:
                return inert_line(value[:200])
    return ""


def state_lines(state: State, workspace: str, seq: int) -> Iterable[str]:
    """A workspace in a few lines."""
    yield f"{inert_line(workspace)} at {seq}"
    yield f"tasks     {state.order.open_tasks} open, {len(state.order.closed_tasks)} closed"
    yield f"messages  {len(state.messages)} in {len(state.threads)} conversations"
    yield f"memory    {len(state.memory)}"
    yield f"plans     {', '.join(inert_line(date) for date in sorted(state.plans)) or 'none'}"
    yield f"members   {', '.join(f'{inert_line(one.actor)} ({one.role})' for one in state.members.values())}"
    yield f"digest    {state.digest_hex}"


def answer_text(text: str) -> str:
    """An answer's text as a person may see it."""
    return inert(text)
