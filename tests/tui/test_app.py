"""The screen, driven by keys, on a client that lives in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from textual import events
from textual.pilot import Pilot
from textual.widgets import Input

from protocol.errors import Refused
from protocol.events import MessageCreated, MessageStream, TaskCreated
from protocol.frames import Present
from protocol.state import Entry, State
from tests.support.clients import FakeClient
from tests.support.fixtures import (
    NOW,
    a_block,
    a_memory,
    a_message,
    a_plan,
    a_state,
    a_task,
    an_answer,
    at,
)
from tests.support.poison import CORPUS, Poison
from tests.support.terminal import breaches, on_terminal
from tests.support.wait import until
from tui.app import ObeliskApp
from tui.config import Config
from tui.drafts import Drafts
from tui.rows import task_key
from tui.screens.dialogs import Ask, QuickAdd
from tui.screens.edit_task import EditTask
from tui.screens.lists import HelpScreen, MemoryScreen, RejectedScreen
from tui.screens.main import MainScreen
from tui.widgets.one_line import KeyLine, StatusLine, TabLine

WIDE = (120, 40)
MIDDLE = (80, 24)
SMALL = (60, 20)


@dataclass
class Seen:
    """A running screen, its client, and the keyboard."""

    app: ObeliskApp
    client: FakeClient
    pilot: Pilot

    async def press(self, *keys: str) -> None:
        for key in keys:
            await self.pilot.press(key)
        await until(lambda: not (self.app.is_running and self.app.is_typed_ahead))
        await self.pilot.pause()

    async def type(self, text: str) -> None:
        names = {" ": "space", "!": "exclamation_mark", "#": "number_sign", "\n": "ctrl+j"}
        await self.press(*(names.get(letter, letter) for letter in text))

    @property
    def main(self) -> MainScreen:
        (found,) = [screen for screen in self.app.screen_stack if isinstance(screen, MainScreen)]
        return found

    @property
    def text(self) -> str:
        """All that stands on the screen, row by row."""
        strips = self.app.screen._compositor.render_strips()
        return "\n".join("".join(segment.text for segment in strip).rstrip() for strip in strips)

    @property
    def status(self) -> str:
        view = self.main.query_one(StatusLine).view
        assert view is not None
        return f"{view.sign} {view.link}"

    @property
    def told(self) -> list[str]:
        return [notification.message for notification in self.app._notifications]

    def row(self, key: str) -> str:
        rows = {row.key: row for row in self.main.tasks.rows}
        row = rows[key]
        return " ".join([row.sign, row.text, *row.facts])


@asynccontextmanager
async def shown(
    state: State | None = None,
    *,
    size: tuple[int, int] = WIDE,
    client: FakeClient | None = None,
    drafts: Drafts | None = None,
    config: Config | None = None,
    keeps: bool = True,
    hint: str | None = None,
) -> AsyncIterator[Seen]:
    client = client or FakeClient(a_state() if state is None else state)
    app = ObeliskApp(client, now=lambda: NOW, drafts=drafts, config=config, keeps=keeps, hint=hint)
    async with app.run_test(size=size, notifications=True) as pilot:
        await pilot.pause()
        yield Seen(app, client, pilot)


THREE = a_state(
    a_task("t1", title="Pay rent", due="2026-11-20"),
    a_task("t2", title="Call mum", due="2026-11-22"),
    a_task("t3", title="Juggle"),
)


# --- tasks ---


async def test_a_line_becomes_a_task_with_a_preview() -> None:
    """While it is typed the screen says what it understood; enter adds the task, and the cursor is on it."""
    async with shown(THREE) as seen:
        await seen.press("a")
        await seen.type("buy oars !high #boat")
        assert "○ buy oars · !high · #boat" in seen.text
        await seen.press("enter")
        assert isinstance(seen.app.screen, MainScreen)
        (sent,) = seen.client.acted
        assert sent == ("user.create_task", {"title": "buy oars", "priority": "high", "tags": ("boat",)})
        new = next(
            task_id for task_id, task in seen.client.replica.view.tasks.items() if task.title == "buy oars"
        )
        assert seen.main.tasks.cursor == task_key(new)


async def test_quick_add_is_at_hand_while_typing_and_keeps_a_line_that_was_left() -> None:
    """From the composer too; escape loses nothing."""
    async with shown() as seen:
        await seen.press("slash", "ctrl+n")
        await seen.type("half a th")
        await seen.press("escape", "ctrl+n")
        assert seen.app.screen.query_one("#line", Input).value == "half a th"
        assert not seen.client.acted


async def test_an_empty_line_says_what_is_missing() -> None:
    """Nothing closes and nothing is sent."""
    async with shown() as seen:
        await seen.press("a", "enter")
        assert isinstance(seen.app.screen, QuickAdd)
        assert "A task needs a title." in seen.text


async def test_space_completes_and_the_cursor_goes_on() -> None:
    """The task goes to Done today, the next one is under the cursor; there it is opened again."""
    async with shown(THREE) as seen:
        assert seen.main.tasks.cursor == task_key("t1")
        await seen.press("space")
        assert seen.client.acted == [("user.update_task", {"task_id": "t1", "status": "done"})]
        assert seen.main.tasks.cursor == task_key("t2")
        assert seen.row(task_key("t1")) == "✓ Pay rent done"
        await seen.press("G", "enter")
        assert seen.client.replica.confirmed.tasks["t1"].status == "open"


async def test_the_form_changes_what_was_changed() -> None:
    """One field typed, one field sent; a field that cannot be read says so and has the focus."""
    async with shown(THREE) as seen:
        await seen.press("e")
        assert isinstance(seen.app.screen, EditTask)
        await seen.press("tab")
        due = seen.app.screen.query_one("#due", Input)
        due.value = "sometime"
        await seen.press("enter")
        assert isinstance(seen.app.screen, EditTask)
        assert seen.app.focused is due
        assert "That is no date" in seen.text
        due.value = "tomorrow"
        await seen.pilot.pause()
        assert "due tomorrow" in seen.text
        await seen.press("enter")
        assert seen.client.acted == [("user.update_task", {"task_id": "t1", "due": "2026-11-23"})]


async def test_notes_are_saved_with_f2() -> None:
    """In a field of several lines enter is a new line."""
    async with shown(THREE) as seen:
        await seen.press("e", "shift+tab")
        await seen.type("two")
        await seen.press("enter")
        await seen.type("lines")
        await seen.press("f2")
        assert seen.client.acted == [("user.update_task", {"task_id": "t1", "notes": "two\nlines"})]


@pytest.mark.parametrize("key,gone", [("y", True), ("n", False), ("escape", False)])
async def test_delete_names_the_task_and_takes_one_key(key: str, gone: bool) -> None:
    """Yes deletes, everything else keeps."""
    async with shown(THREE) as seen:
        await seen.press("d")
        assert isinstance(seen.app.screen, Ask)
        assert "Delete “Pay rent”?" in seen.text
        await seen.press(key)
        assert ("t1" not in seen.client.replica.confirmed.tasks) is gone
        assert isinstance(seen.app.screen, MainScreen)


async def test_a_command_without_a_task_says_so() -> None:
    """Nothing is sent, and one knows why."""
    async with shown() as seen:
        await seen.press("e")
        assert seen.told == ["There is no task under the cursor."]


# --- today ---


async def test_the_day_is_planned_and_explained() -> None:
    """p asks for a plan; enter on a block shows why it stands there; space completes its task."""
    state = a_state(
        a_task("t1", title="Report"),
        a_plan(status="complete", blocks=(a_block(start=at(600), reason="it is due"),)),
    )
    async with shown(state) as seen:
        await seen.press("1")
        assert "it is due" not in seen.text
        await seen.press("enter")
        assert "it is due" in seen.text
        await seen.press("space")
        assert seen.client.replica.confirmed.tasks["t1"].status == "done"
        await seen.press("p")
        assert seen.client.acted[-1] == ("user.request_plan", {"date": "2026-11-22"})
        assert "being planned" in seen.text
        await seen.press("p")
        assert seen.client.acted[-1][0] == "user.request_plan"
        assert "The plan is being made." in seen.told


# --- conversation ---


async def test_a_message_is_sent_and_its_answer_streams() -> None:
    """Enter sends, the composer is empty, the text so far is on the screen, and says that it is being written."""
    async with shown() as seen:
        await seen.press("slash")
        await seen.type("hello\nyou")
        await seen.press("enter")
        assert seen.client.acted == [("user.message", {"text": "hello\nyou", "thread_id": "main"})]
        assert seen.main.composer.text == ""
        (answer,) = seen.client.replica.confirmed.assistant.streaming
        seen.client.stream(answer, "Good morn")
        await until(lambda: "Good morn" in seen.text)
        assert "▸ writing" in seen.text
        assert "the assistant is writing" in seen.text
        seen.client.stream(answer, "Good morning.")
        seen.client.complete(answer)
        await until(lambda: "Good morning." in seen.text and "▸ writing" not in seen.text)
        assert "the assistant is writing" not in seen.text


@pytest.mark.parametrize("keys", [("escape", "i"), ("escape", "escape")])
async def test_an_answer_is_stopped(keys: tuple[str, ...]) -> None:
    """From the composer it takes escape first; what was said stays, and says that it was stopped."""
    async with shown() as seen:
        await seen.press("slash")
        await seen.type("x")
        await seen.press("enter")
        (answer,) = seen.client.replica.confirmed.assistant.streaming
        seen.client.stream(answer, "Well, I would")
        await until(lambda: "Well, I would" in seen.text)
        await seen.press(*keys)
        assert seen.client.acted[-1] == ("user.interrupt", {"message_id": answer})
        await until(lambda: "■ interrupted" in seen.text)
        assert "Well, I would" in seen.text


async def test_a_question_behind_another_waits_in_words() -> None:
    """It says so at the message and in the title."""
    state = a_state(a_message("m1", 1), an_answer("an1", 2), a_message("m2", 3, status="waiting"))
    async with shown(state) as seen:
        assert "◌ waiting" in seen.text
        assert "1 question waits" in seen.text


async def test_new_lines_in_every_terminal() -> None:
    """ctrl+j, alt+enter and shift+enter break the line; nothing is sent."""
    async with shown() as seen:
        await seen.press("slash", "x", "ctrl+j", "y", "alt+enter", "z", "shift+enter")
        assert seen.main.composer.text == "x\ny\nz\n"
        assert not seen.client.acted


async def test_too_long_a_message_stays_in_the_composer() -> None:
    """What the server would not take is said at once, and the text is not lost."""
    async with shown() as seen:
        await seen.press("slash")
        seen.main.composer.text = "x" * 70_000
        await seen.press("enter")
        assert not seen.client.acted
        assert len(seen.main.composer.text) == 70_000
        assert "text is longer than 64 KiB." in seen.told


async def test_others_messages_and_tasks_appear() -> None:
    """What happens elsewhere is on the screen without a key."""
    async with shown() as seen:
        seen.client.happens(MessageCreated(entity=a_message("m9", 0, author="bo", text="hi all")))
        seen.client.happens(TaskCreated(entity=a_task("t9", title="From bo")))
        await until(lambda: "hi all" in seen.text and "From bo" in seen.text)


# --- drafts ---


async def test_a_draft_outlives_escape_and_the_program(tmp_path: Path) -> None:
    """It is in its file within a second of the last letter, without leaving the screen."""
    path = tmp_path / "drafts.json"
    async with shown(drafts=Drafts(path)) as seen:
        await seen.press("slash")
        await seen.type("not yet")
        await seen.press("escape")
        assert seen.main.composer.text == "not yet"
        await until(lambda: path.exists() and Drafts(path).get("main") == "not yet", timeout_s=1.5)
    async with shown(drafts=Drafts(path)) as seen:
        assert seen.main.composer.text == "not yet"
        await seen.press("slash", "enter")
        assert seen.client.acted[-1][1]["text"] == "not yet"
    assert Drafts(path).get("main") == ""


async def test_pasted_controls_are_made_visible() -> None:
    """What is pasted cannot hold what nobody sees."""
    from textual import events

    async with shown() as seen:
        await seen.press("slash")
        seen.main.composer.post_message(events.Paste("a\x1b[2Jb"))
        await seen.pilot.pause()
        assert seen.main.composer.text == "a␛[2Jb"


# --- truth about the link ---


async def test_the_status_follows_the_link() -> None:
    """Live with its seq; offline since when and how much is unsent; catching up; stopped and why."""
    async with shown() as seen:
        assert seen.status == "● live #100"
        seen.client.phase("offline", since=at(-3600))
        await seen.press("a")
        await seen.type("milk")
        await seen.press("enter")
        assert seen.status == "○ offline since 12:05 · 1 unsent"
        assert "↑ unsent" in seen.text
        seen.client.phase("catching_up", behind=12)
        await until(lambda: seen.status.startswith("◐ catching up 12"))
        seen.client.phase("live")
        seen.client.settle_all()
        await until(lambda: seen.status == "● live #101")
        assert "↑ unsent" not in seen.text
        seen.client.phase("stopped", reason="The token was revoked.")
        await until(lambda: "stopped: The token was revoked." in seen.text)
        await seen.press("c")
        assert seen.client.retries == 1


async def test_what_is_unsent_is_marked_at_the_message_and_no_answer_is_made_up() -> None:
    """Offline, the question says that it is not sent, and nobody seems to write."""
    async with shown() as seen:
        seen.client.phase("offline", since=at(0))
        await seen.press("slash")
        await seen.type("hello")
        await seen.press("enter")
        assert "↑ not sent yet" in seen.text
        assert "writing" not in seen.text


async def test_a_mark_comes_only_when_a_round_trip_takes_long() -> None:
    """While the link is live nothing flickers; an action without an answer is marked after a moment."""
    async with shown(THREE) as seen:
        seen.client.answers = False
        await seen.press("space")
        assert "↑" not in seen.text
        await until(lambda: "↑ unsent" in seen.text, timeout_s=3)
        assert "1 without an answer yet" in seen.status
        seen.client.settle_all()
        await until(lambda: "↑ unsent" not in seen.text)


async def test_who_is_here_and_who_types() -> None:
    """Others are told from one's own other terminals; typing is told to them in turn."""
    async with shown() as seen:
        seen.client.arrives(
            Present(actor="ana", session_id="1", client="x"),
            Present(actor="bo", session_id="2", client="x", typing=True),
        )
        await until(lambda: "with bo (typing)" in seen.text)
        await seen.press("slash", "h")
        assert seen.client.presence[-1] == (True, "conversation")
        await seen.press("enter")
        assert seen.client.presence[-1] == (False, "conversation")


async def test_a_hint_is_told() -> None:
    """What the start has to say is said once."""
    async with shown(hint="Nothing can be kept.") as seen:
        assert seen.told == ["Nothing can be kept."]


# --- trays ---


async def test_a_refusal_is_told_and_gives_the_text_back() -> None:
    """Reason in plain words; c puts the text behind the draft, d dismisses."""
    async with shown() as seen:
        seen.client.answers = False
        await seen.press("slash")
        await seen.type("too much")
        await seen.press("enter")
        await seen.type("draft")
        await seen.press("escape")
        seen.client.reject("c1", Refused("limit", "Too many messages are waiting."))
        await until(lambda: "✗ 1 not accepted (r)" in seen.text)
        assert "Not accepted: Too many messages are waiting. (r shows it)" in seen.told
        await seen.press("r")
        assert isinstance(seen.app.screen, RejectedScreen)
        assert "message: “too much”" in seen.text
        await seen.press("c")
        assert seen.main.composer.text == "draft\ntoo much"
        await seen.press("escape", "r", "d", "escape")
        assert seen.client.rejected == ()
        assert "not accepted" not in seen.text.splitlines()[0]


async def test_memory_is_listed_written_edited_pinned_and_forgotten() -> None:
    """Each with one key, and it stays open."""
    async with shown(a_state(a_memory(text="tea"))) as seen:
        await seen.press("m")
        assert isinstance(seen.app.screen, MemoryScreen)
        assert "1 thing remembered" in seen.text
        await seen.press("p")
        await seen.press("e")
        await seen.type(" please")
        await seen.press("enter")
        await seen.press("a")
        await seen.type("milk")
        await seen.press("enter")
        remembered = {one.text: one.pinned for one in seen.client.replica.confirmed.memory.values()}
        assert remembered == {"tea please": True, "milk": False}
        await seen.press("g", "d", "y")
        assert [one.text for one in seen.client.replica.confirmed.memory.values()] == ["milk"]
        await seen.press("escape")
        assert isinstance(seen.app.screen, MainScreen)


# --- help, palette, keys ---


@pytest.mark.parametrize(
    "keys,about",
    [
        (("question_mark",), "Help · Tasks"),
        (("slash", "f1"), "Help · Writing a message"),
        (("1", "question_mark"), "Help · Today"),
        (("m", "f1"), "Help · Memory"),
    ],
)
async def test_help_is_about_what_has_the_focus(keys: tuple[str, ...], about: str) -> None:
    """While typing it is f1; the same key closes it."""
    async with shown() as seen:
        await seen.press(*keys)
        assert isinstance(seen.app.screen, HelpScreen)
        assert about in seen.text
        await seen.press("f1")
        assert not isinstance(seen.app.screen, HelpScreen)


async def test_the_palette_finds_an_action_and_does_it() -> None:
    """Every action with its key; a few letters find it."""
    async with shown(THREE) as seen:
        await seen.press("ctrl+p")
        await until(lambda: "Complete the task, or open it again  space" in seen.text)
        await seen.type("plan my")
        await until(lambda: "Plan my day  p" in seen.text and "Complete the task" not in seen.text)
        await seen.press("enter")
        await until(lambda: seen.client.acted)
        assert seen.client.acted[0][0] == "user.request_plan"


async def test_tab_goes_round_the_panes_and_the_footer_follows() -> None:
    """Forwards and back; the keys at hand are those of the pane."""
    async with shown(THREE) as seen:
        places = []
        for _ in range(4):
            await seen.press("tab")
            places.append(seen.main.place)
        assert places == ["conversation", "composer", "today", "tasks"]
        await seen.press("shift+tab")
        assert seen.main.place == "today"
        hints = seen.main.query_one(KeyLine).hints
        assert hints[0].id == "today.reason"


async def test_a_key_can_be_bound_otherwise() -> None:
    """By the id of its command; help and footer say the new one."""
    async with shown(THREE, config=Config(keys={"tasks.add": "n"})) as seen:
        await seen.press("n")
        assert isinstance(seen.app.screen, QuickAdd)
        await seen.press("escape")
        assert ("tasks.add", "n") in [(hint.id, hint.key) for hint in seen.main.query_one(KeyLine).hints]


async def test_a_click_does_what_the_key_does() -> None:
    """On a key of the footer, and on the sign of a task."""
    async with shown(THREE) as seen:
        row = next(y for y, line in enumerate(seen.text.splitlines()) if "Call mum" in line)
        await seen.pilot.click(offset=(1, row))
        await seen.pilot.pause()
        assert seen.client.replica.confirmed.tasks["t2"].status == "done"
        x = seen.text.splitlines()[-1].index("? help")
        await seen.pilot.click(offset=(x, WIDE[1] - 1))
        await seen.pilot.pause()
        assert isinstance(seen.app.screen, HelpScreen)


# --- leaving ---


async def test_q_leaves_and_what_is_unsent_is_kept() -> None:
    """No question where nothing can be lost."""
    async with shown() as seen:
        seen.client.phase("offline", since=at(0))
        seen.client.act("user.create_task", {"title": "later"})
        await seen.press("q")
        assert seen.app._exit


async def test_q_asks_where_something_would_be_lost() -> None:
    """Without a place to keep it, it says how much would go."""
    async with shown(keeps=False) as seen:
        seen.client.phase("offline", since=at(0))
        seen.client.act("user.create_task", {"title": "later"})
        await seen.press("q")
        assert "1 action is unsent and cannot be kept. Quit?" in seen.text
        await seen.press("n")
        assert not seen.app._exit
        await seen.press("q", "y")
        assert seen.app._exit


async def test_ctrl_c_twice_leaves() -> None:
    """Once it only says so; with something selected it copies."""
    async with shown() as seen:
        await seen.press("slash")
        await seen.type("copy")
        seen.main.composer.select_all()
        await seen.press("ctrl+c")
        assert seen.app.clipboard == "copy"
        seen.main.composer.move_cursor((0, 0))
        await seen.press("ctrl+c")
        assert not seen.app._exit
        await seen.press("ctrl+c")
        assert seen.app._exit


# --- sizes ---


async def test_another_size_keeps_place_and_draft() -> None:
    """From all panes to one and back: focus, cursor, draft and the reader's line stay."""
    messages = [a_message(f"m{number}", number, text=f"line {number}") for number in range(1, 60)]
    state = a_state(
        *(a_task(f"t{n:02}", title=f"Task {n}", position=f"{n:02}") for n in range(40)), *messages
    )
    async with shown(state) as seen:
        await seen.press("ctrl+d", "j")
        cursor = seen.main.tasks.cursor
        await seen.press("slash")
        await seen.type("draft")
        await seen.press("escape", "g", "pagedown")
        reading = seen.main.conversation.entry_at(0)
        assert reading is not None
        for size in (MIDDLE, SMALL, WIDE):
            await seen.pilot.resize_terminal(*size)
            await seen.pilot.pause()
            assert seen.main.place == "conversation"
            found = seen.main.conversation.entry_at(0)
            assert found is not None
            assert found.key == reading.key
            assert seen.main.composer.text == "draft"
            assert seen.main.tasks.cursor == cursor
            assert "line" in seen.text


@pytest.mark.parametrize("size", [MIDDLE, SMALL])
async def test_one_pane_at_a_time_below_a_hundred_columns(size: tuple[int, int]) -> None:
    """Tabs name the others; 1, 2 and 3 go to them, so does a click."""
    async with shown(THREE, size=size) as seen:
        assert "[2 Tasks 3]" in seen.text
        assert "Write · press /" not in seen.text
        await seen.press("3")
        assert "[3 Conversation]" in seen.text
        assert "Pay rent" not in seen.text
        await seen.press("1")
        assert seen.main.place == "today"
        tab = seen.main.query_one(TabLine)
        x = seen.text.splitlines()[1].index("Tasks")
        await seen.pilot.click(offset=(x, 1))
        await seen.pilot.pause()
        assert (seen.main.place, tab.active) == ("tasks", "tasks")


@pytest.mark.parametrize("size", [WIDE, MIDDLE, SMALL])
async def test_no_row_is_wider_than_the_screen(size: tuple[int, int]) -> None:
    """At every size, on every screen, with long and wide text in it."""
    long = "日本語 and a very long text without any end in sight " * 4
    state = a_state(a_task(title=long, tags=("x" * 60,)), a_message(text=long), a_memory(text=long))
    async with shown(state, size=size) as seen:
        for keys in (
            (),
            ("e",),
            ("escape", "d"),
            ("escape", "m"),
            ("escape", "question_mark"),
            ("escape", "a"),
        ):
            await seen.press(*keys)
            for strip in seen.app.screen._compositor.render_strips():
                assert strip.cell_length == size[0]


# --- hostile text ---


IN_JSON = [poison for poison in CORPUS if poison.name != "lone surrogates"]


def poisoned(batch: Sequence[Poison]) -> FakeClient:
    """A workspace in which every text is a poison, and a server that says no in the same words."""
    entries: list[Entry] = []
    for number, poison in enumerate(batch):
        text = poison.text
        entries += [
            a_task(f"t{number}", title=text, tags=(text,), notes=text),
            a_message(f"m{number}", number + 1, text=text, author=text),
            a_memory(f"me{number}", text=text, tags=(text,), created_by=text),
        ]
    blocks = tuple(a_block(title=one.text, reason=one.text, task_id=None) for one in batch)
    summary = "".join(one.text for one in batch)
    return FakeClient(
        a_state(*entries, a_plan(status="complete", summary=summary, blocks=blocks)), answers=False
    )


@pytest.mark.slow
@pytest.mark.parametrize("batch", [IN_JSON[first::4] for first in range(4)], ids=range(4))
async def test_poison_is_only_text_on_every_screen(batch: Sequence[Poison]) -> None:
    """Titles, messages, names, plan, memory, refusals, notes, toasts: nothing acts, raises, or is markup."""
    client = poisoned(batch)
    app = ObeliskApp(client, now=lambda: NOW)
    async with on_terminal(app, (120, 130)) as terminal:
        await terminal.pilot.pause()
        terminal.driver.written.clear()
        client.arrives(*(Present(actor=one.text, session_id="1", client=one.text) for one in batch))
        client.phase("stopped", reason="".join(one.text for one in batch))
        for number, one in enumerate(batch, start=1):
            client.act("user.message", {"text": one.text})
            client.reject(f"c{number}", Refused("limit", one.text))
        await terminal.pilot.press("1", "enter", "j", "enter")
        await terminal.pilot.press("2", "e", "escape", "j", "d", "escape", "m", "d", "escape")
        await terminal.pilot.press("e", "escape", "escape", "r", "c")
        await terminal.pilot.pause()
        assert not app._exit
    assert [piece.value for piece in breaches(terminal.output)] == []
    assert [one.name for one in batch if one.trace and one.trace in terminal.output] == []


async def test_markup_in_data_is_shown_as_it_stands() -> None:
    """Brackets are brackets, and a click on them does nothing."""
    state = a_state(a_task("t1", title="[@click=app.quit]press me[/]"), a_message(text="[b]x[/b] [/]"))
    async with shown(state) as seen:
        assert "[@click=app.quit]press me[/]" in seen.text
        assert "[b]x[/b] [/]" in seen.text
        row = next(y for y, line in enumerate(seen.text.splitlines()) if "press me" in line)
        await seen.pilot.click(offset=(10, row))
        await seen.pilot.pause()
        assert not seen.app._exit


# --- calm ---


async def test_no_cursor_blinks_and_no_animation_runs() -> None:
    """Nothing moves unless something happened."""
    async with shown(THREE) as seen:
        assert seen.app.animation_level == "none"
        await seen.press("slash")
        assert seen.main.composer.cursor_blink is False
        await seen.press("ctrl+n")
        assert seen.app.screen.query_one("#line", Input).cursor_blink is False
        await seen.press("escape", "escape", "2", "e")
        assert [field.cursor_blink for field in seen.app.screen.query(Input)] == [False] * 5


async def test_a_burst_is_painted_once() -> None:
    """A hundred changes in one go show in one or two frames."""
    async with shown() as seen:
        painted: list[int] = []
        show = seen.main.show
        seen.main.show = lambda frame: (painted.append(1), show(frame))[1]  # type: ignore[method-assign,func-returns-value]  # counts
        for number in range(100):
            seen.client.happens(TaskCreated(entity=a_task(f"x{number}", title=f"Task {number}")))
        await until(lambda: len(seen.main.tasks.rows) == 101)
        assert len(painted) <= 2


async def test_colours_can_be_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """NO_COLOR is heard; the screen tells the same."""
    monkeypatch.setenv("NO_COLOR", "1")
    async with shown(THREE) as seen:
        assert seen.app.no_color
        assert "! Late" in seen.text
        assert "›○ Pay rent" in seen.text


async def test_thousands_of_tasks_are_one_widget() -> None:
    """The list is a list of rows, not of widgets, and the last one is a key away."""
    tasks = [a_task(f"t{number}", title=f"Task {number}", position=f"{number:06}") for number in range(5_000)]
    async with shown(a_state(*tasks)) as seen:
        assert len(list(seen.app.screen.walk_children())) < 40
        await seen.press("G")
        assert seen.main.tasks.cursor == task_key("t4999")
        assert "Task 4999" in seen.text


def test_the_double_streams_as_the_contract_has_it() -> None:
    """An answer of the double opens with the question, as the rules say."""
    client = FakeClient(a_state())
    client.happens(
        MessageCreated(entity=a_message("m1", 0)),
        MessageStream(message_id="an1", thread_id="main", reply_to="m1", model="builtin"),
    )
    assert client.replica.confirmed.messages["an1"].status == "streaming"


# --- what was written as somebody else ---


def written_as_bea() -> FakeClient:
    """A client that found two unsent actions of somebody else, and stopped."""
    client = FakeClient(a_state())
    client.phase("offline")
    client.act("user.create_task", {"title": "hers"})
    client.act("user.message", {"text": "hers too", "thread_id": "main"})
    client.foreign = client.replica.pending
    client.phase("stopped", reason="Nothing was sent.")
    return client


async def test_what_somebody_else_wrote_is_set_aside_when_the_person_says_so() -> None:
    """The question stands on the screen; after yes it goes on, and the texts are in the tray."""
    client = written_as_bea()
    async with shown(client=client) as seen:
        await until(lambda: isinstance(seen.app.screen, Ask))
        assert "2 unsent actions were written as someone else" in seen.text
        assert "y: set it aside and go on · n: quit and keep it" in seen.text
        await seen.press("y")
        assert seen.status.startswith("● live")
        assert any("2 actions set aside" in told for told in seen.told)
        await seen.press("r")
        assert "hers too" in seen.text


async def test_what_somebody_else_wrote_stays_when_one_quits() -> None:
    """No keeps it in the outbox and leaves; the question is asked once, not at each change."""
    client = written_as_bea()
    async with shown(client=client) as seen:
        client.phase("stopped", reason="Nothing was sent.")
        await until(lambda: isinstance(seen.app.screen, Ask))
        await seen.press("n")
        await until(lambda: not seen.app.is_running)
    assert len(client.replica.pending) == 2


async def test_it_is_asked_when_it_comes_up_later() -> None:
    """A server may say only at a reconnect that this is somebody else."""
    client = FakeClient(a_state())
    async with shown(client=client) as seen:
        assert isinstance(seen.app.screen, MainScreen)
        client.phase("offline")
        client.act("user.create_task", {"title": "hers"})
        client.foreign = client.replica.pending
        client.phase("stopped", reason="Nothing was sent.")
        await until(lambda: isinstance(seen.app.screen, Ask))


# --- pasting ---


async def test_a_paste_into_a_list_says_where_it_could_go() -> None:
    """Nothing happens to the tasks, and the person is not left wondering."""
    async with shown(THREE) as seen:
        seen.app.post_message(events.Paste("some\ntext"))
        await until(lambda: any("To paste a text" in told for told in seen.told))
        assert not seen.client.acted


async def test_a_priority_that_is_none_is_named() -> None:
    """A slip of the finger after the exclamation mark stays in the title, and the preview says so."""
    async with shown(THREE) as seen:
        await seen.press("a")
        await seen.type("call !hgih")
        assert "!hgih is no priority, it stays in the title" in seen.text


async def test_the_key_to_leave_is_in_sight_on_every_size() -> None:
    """Who opened it must find out how to close it."""
    for size in (WIDE, MIDDLE, SMALL):
        async with shown(THREE, size=size) as seen:
            assert "q quit" in seen.text


async def test_a_scroll_bar_covers_no_words() -> None:
    """Where help is longer than the screen, its lines end before the bar."""
    async with shown(THREE, size=SMALL) as seen:
        await seen.press("question_mark")
        await until(lambda: "Complete the task, or open it      ┃" in seen.text)
        assert "                     again  " in seen.text


async def test_what_is_told_covers_no_text_that_is_written() -> None:
    """It stands above, below the status line; the composer and the keys stay in sight."""
    async with shown(THREE) as seen:
        await seen.press("i")
        await until(lambda: "No answer is being written" in seen.text)
        rows = seen.text.splitlines()
        (at,) = [number for number, row in enumerate(rows) if "No answer is being written" in row]
        assert 1 <= at <= 3
        assert rows[0].startswith(" ● live #100")
