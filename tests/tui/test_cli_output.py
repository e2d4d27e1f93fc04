"""What commands print: inert for people, whole for scripts."""

from __future__ import annotations

import msgspec
import pytest

from protocol.events import TaskCreated, TaskUpdated
from protocol.events import TaskFields as Fields
from tests.support.fixtures import NOW, a_block, a_message, a_task
from tests.tui.commands.test_feed import an_event
from tui.commands.feed import Piece
from tui.commands.say import Answer
from tui.output import Printer, block_line, complain, event_line, task_line
from tui.wording import Moment

MOMENT = Moment(NOW, "UTC")
EVIL = "\x1b]0;owned\x07\u202emilk\n"


@pytest.mark.parametrize(
    "line",
    [
        task_line(
            a_task("t", title=EVIL, tags=(EVIL,), assignee=EVIL, due=EVIL), MOMENT, number=3, suffix=EVIL
        ),
        block_line(a_block(title=EVIL, reason=EVIL), "09:00"),
        event_line(
            msgspec.structs.replace(
                an_event(1), type=EVIL, actor=EVIL, payload=TaskCreated(entity=a_task(title=EVIL))
            )
        ),
    ],
    ids=["task", "block", "event"],
)
def test_a_line_is_one_line_and_inert(line: str) -> None:
    """Whatever is in the ledger: no control character, no turned text, no second line."""
    assert not {"\x1b", "\x07", "\u202e", "\n"} & set(line)


def test_a_task_in_a_line() -> None:
    """What it is first, then what is known of it."""
    task = a_task(title="Buy milk", due="2026-11-23", priority="high", tags=("home",), minutes=30)
    assert task_line(task, MOMENT, number=3, suffix="9f3a") == (
        "  3  9f3a  ○ Buy milk · due tomorrow · !high · #home · 30 min"
    )


def test_a_task_that_is_late_says_so() -> None:
    """By its word, and its time on the clocks of the workspace."""
    berlin = Moment(NOW, "Europe/Berlin")
    task = a_task(title="Call", due="2026-11-21T08:00:00.000Z")
    assert task_line(task, berlin) == "○ Call · late, due yesterday 09:00"


def test_an_event_in_a_line() -> None:
    """Its seq, when, who, what, and about what."""
    payload = TaskUpdated(task_id="t", version=2, set=Fields(title="New"), was=Fields(title="Old"))
    event = msgspec.structs.replace(an_event(7), type="task.updated", payload=payload)
    assert event_line(event) == f"     7  {NOW}  ana  task.updated  New"


def test_scripts_and_people_do_not_get_each_others_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """With json only records, without it only text; a complaint is one line on stderr."""
    for json in (True, False):
        printer = Printer(json=json)
        printer.record(b"{}")
        printer.text("words")
    complain(f"no {EVIL}")
    out, errors = capsys.readouterr()
    assert out == "{}\nwords\n"
    assert (errors.count("\n"), "\x1b" in errors) == (1, False)


def test_an_answer_cut_anywhere_is_inert(capsys: pytest.CaptureFixture[str]) -> None:
    """However a hostile sequence is cut into tokens, what is written is inert, and the text is whole."""
    text = "Hello \x1b[31mred\x1b[0m, \x9b2J and 日本語 👩‍🚀."
    answer = Answer(Printer(json=False), a_message("q"), ())
    answer.message_id = "an"
    for end in range(1, len(text) + 1):
        assert not answer.take(Piece("an", text[:end]))
    out = capsys.readouterr().out
    assert not {"\x1b", "\x9b"} & set(out)
    assert out.startswith("Hello ␛[31mred␛[0m, �2J and 日本語")


def test_another_answer_is_not_ours(capsys: pytest.CaptureFixture[str]) -> None:
    """Two answers may stream at once; a command shows the one to its own question."""
    answer = Answer(Printer(json=False), a_message("q"), ())
    answer.message_id = "an"
    answer.take(Piece("other", "not this"))
    assert capsys.readouterr().out == ""
