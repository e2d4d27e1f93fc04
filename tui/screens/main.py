"""The one main screen: today and tasks, the conversation and its composer, the truth about the link above.

Duty: lay out the panes, show frames in them, turn commands into intents for the row or message they mean.
Must not know: the client; what is to be done goes to the host.

1. From 100 columns on all panes are in sight; below that the one with the focus, and tabs name the others.
2. Whatever the size becomes, focus, cursors and the draft stay.
3. Focus is told by the thick line above a pane as well as by its colour.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar, Final

from textual import events, on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import TextArea
from typing_extensions import override

from protocol.state import MAIN_THREAD, Task
from protocol.text import NOTHING, SafeText, inert, inert_line
from tui import intents
from tui.bindings import bindings_of
from tui.keymap import MAIN_PLACES, Place
from tui.rows import TaskRows, task_key, task_of, today_rows
from tui.safety import safe_content
from tui.screens.base import Frame, hints_of, host_of
from tui.screens.dialogs import Ask
from tui.screens.edit_task import EditTask
from tui.selectors import (
    Conversation as ConversationReader,
)
from tui.selectors import (
    Tasks,
    TasksView,
    TodayView,
    status_view,
    streaming_answer,
    today_view,
    waiting_count,
)
from tui.widgets.composer import Composer
from tui.widgets.conversation import Conversation
from tui.widgets.line_list import LineList
from tui.widgets.one_line import ChoiceLine, KeyLine, StatusLine, Tab, TabLine
from tui.wording import counted, words

WIDE_COLUMNS: Final = 100
TABS: Final[dict[Place, tuple[str, str]]] = {
    "today": ("1", "Today"),
    "tasks": ("2", "Tasks"),
    "conversation": ("3", "Conversation"),
}
_PANES: Final[dict[Place, Place]] = {
    "today": "today",
    "tasks": "tasks",
    "conversation": "conversation",
    "composer": "conversation",
}


class MainScreen(Screen[None]):
    """Everything that is looked at all day."""

    AUTO_FOCUS = "#tasks"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (WIDE_COLUMNS, "-wide")]
    BINDINGS: ClassVar[list[BindingType]] = [*bindings_of("main"), *bindings_of("panes")]

    def __init__(self, draft: str = "", thread_id: str = MAIN_THREAD) -> None:
        super().__init__()
        self.thread_id = thread_id
        self._draft = draft
        self._place: Place = "tasks"
        self._tasks = Tasks()
        self._task_rows = TaskRows()
        self._said = ConversationReader()
        self._opened: frozenset[str] = frozenset()
        self._today: TodayView | None = None
        self._writing: str | None = None
        self._planning = False

    @override
    def compose(self) -> ComposeResult:
        yield StatusLine(id="status")
        yield TabLine(id="tabs")
        with Horizontal(id="panes"):
            with Vertical(id="side"):
                yield TodayPane(id="today")
                yield TasksPane(id="tasks")
            with Vertical(id="talk"):
                yield ConversationPane(id="conversation")
                yield Composer(id="composer")
        yield KeyLine(id="keys")

    def on_mount(self) -> None:
        self.composer.put(self._draft)
        self._choose_pane("tasks")
        self.show(host_of(self).frame)

    # Parts

    @property
    def place(self) -> Place:
        """Where the focus is."""
        return self._place

    @property
    def today(self) -> LineList:
        """The plan of the day."""
        return self.query_one("#today", LineList)

    @property
    def tasks(self) -> LineList:
        """All tasks."""
        return self.query_one("#tasks", LineList)

    @property
    def conversation(self) -> Conversation:
        """What was said."""
        return self.query_one("#conversation", Conversation)

    @property
    def composer(self) -> Composer:
        """What is being said."""
        return self.query_one("#composer", Composer)

    @property
    def _frame(self) -> Frame:
        return host_of(self).frame

    # Showing

    def show(self, frame: Frame) -> None:
        """Show another frame."""
        self.query_one(StatusLine).view = status_view(
            frame.link, frame.present, len(frame.rejected), frame.pending, frame.moment
        )
        self._show_today(frame)
        self._show_tasks(frame)
        self._show_conversation(frame)
        self._show_titles()

    def _show_today(self, frame: Frame) -> None:
        self._today = today_view(frame.view, frame.told, frame.moment)
        self._planning = self._today.planning
        self.today.border_title = _title("Today", self._today.day)
        self.today.set_rows(today_rows(self._today, self._opened))

    def _show_tasks(self, frame: Frame) -> None:
        view = self._tasks.view(frame.view, frame.told, frame.moment)
        self.tasks.set_rows(self._task_rows.rows(view))
        self.tasks.border_title = _title("Tasks", _tasks_words(view))
        note = words(str(view.open)) if view.open else NOTHING
        notes = {"tasks": note, "conversation": words("▸") if self._writing else NOTHING}
        self.query_one(TabLine).tabs = tuple(
            Tab(place, words(key), words(name), notes.get(place, NOTHING))
            for place, (key, name) in TABS.items()
        )

    def _show_conversation(self, frame: Frame) -> None:
        entries = self._said.entries(
            frame.view, self.thread_id, frame.predicted, frame.streams, frame.moment, marked=frame.marked
        )
        self.conversation.set_entries(entries)
        self._writing = streaming_answer(frame.view, self.thread_id)
        if self._writing in frame.predicted:
            self._writing = None
        waiting = waiting_count(frame.view, self.thread_id)
        said = counted(waiting, "question waits", "questions wait") if waiting else ""
        if not entries:
            said = "nothing said yet; press / to write"
        self.conversation.border_title = _title("Conversation", words(said))

    def show_task(self, task_id: str) -> None:
        """Put the cursor of Tasks on a task."""
        self.tasks.move_to(task_key(task_id))

    def show_streams(self, frame: Frame, message_ids: frozenset[str]) -> None:
        """Show what streams have grown by."""
        for message_id in message_ids:
            text = frame.streams.get(message_id)
            if text is not None:
                self.conversation.stream_text(message_id, inert(text))

    def _show_titles(self) -> None:
        focused = self._place == "composer"
        if self._writing is not None:
            keys = "esc, then i stops it" if focused else "i stops it"
            live = self._frame.link.phase == "live"
            said = (
                f"▸ the assistant is writing · {keys}"
                if live
                else "▸ the answer goes on when this is live again"
            )
        elif focused:
            said = "Write · enter sends · ctrl+j new line"
        elif self.composer.text.strip():
            said = "Not sent yet, kept · / goes on"
        else:
            said = "Write · press /"
        self.composer.border_title = safe_content(words(f" {said} "))

    # Panes and focus

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        """Another pane has the focus: show it, and the keys that hold there."""
        place = event.widget.id
        for known in MAIN_PLACES:
            if known == place:
                self._place = known
                self._choose_pane(known)
        self.query_one(KeyLine).hints = hints_of(self._place, host_of(self).bound)
        self._show_titles()
        host_of(self).at_pane(_PANES[self._place])

    def _choose_pane(self, place: Place) -> None:
        pane = _PANES[place]
        panes = self.query_one("#panes")
        for name in TABS:
            panes.set_class(name == pane, f"-at-{name}")
        self.query_one(TabLine).active = pane

    def go_to(self, place: Place) -> None:
        """Give the focus to a pane, into sight where there is room for one only."""
        self._choose_pane(place)
        widgets: dict[Place, Widget] = {
            "today": self.today,
            "tasks": self.tasks,
            "conversation": self.conversation,
            "composer": self.composer,
        }
        # A pane that was out of sight can be focused once it is laid out.
        self.call_after_refresh(widgets[place].focus)

    def _step(self, by: int) -> None:
        self.go_to(MAIN_PLACES[(MAIN_PLACES.index(self._place) + by) % len(MAIN_PLACES)])

    def on_choice_line_clicked(self, event: ChoiceLine.Clicked) -> None:
        """A tab or a key was clicked."""
        for place in TABS:
            if event.id == place:
                self.go_to(place)
                return
        host_of(self).command(event.id)

    # Commands

    def perform(self, command_id: str) -> bool:
        """Perform a command; False where this screen has no such command."""
        found = self._commands.get(command_id)
        if found is not None:
            found()
        return found is not None

    @property
    def _commands(self) -> Mapping[str, Callable[[], object]]:
        return {
            "tasks.toggle": self._toggle_task,
            "tasks.start": self._start_task,
            "tasks.edit": self._edit_task,
            "tasks.delete": self._delete_task,
            "today.reason": self._show_reason,
            "today.toggle": self._toggle_task,
            "today.edit": self._edit_task,
            "today.plan": self._plan,
            "conversation.interrupt": self._interrupt,
            "conversation.leave": self._interrupt,
            "composer.focus": lambda: self.go_to("composer"),
            "pane.today": lambda: self.go_to("today"),
            "pane.tasks": lambda: self.go_to("tasks"),
            "pane.conversation": lambda: self.go_to("conversation"),
            "pane.next": lambda: self._step(1),
            "pane.previous": lambda: self._step(-1),
            "composer.send": self._send,
            "composer.newline": lambda: self.composer.insert("\n"),
            "composer.leave": lambda: self.go_to("conversation"),
        }

    def _meant_task(self) -> Task | None:
        """The task that a command means: of the block where Today has the focus, else of the row of Tasks."""
        task_id = task_of(self.tasks.cursor)
        if self._place == "today" and self._today is not None:
            at = self.today.cursor
            task_id = next((block.task_id for block in self._today.blocks if block.key == at), None)
        task = self._frame.view.tasks.get(task_id or "")
        if task is None:
            host_of(self).tell(words("There is no task under the cursor."))
        return task

    def _toggle_task(self) -> None:
        task = self._meant_task()
        if task is None:
            return
        wanted = intents.toggle(task)
        if self._place == "tasks" and self.tasks.cursor == task_key(task.task_id):
            self.tasks.move_on()
        host_of(self).do(wanted)

    def _start_task(self) -> None:
        task = self._meant_task()
        if task is not None:
            host_of(self).do(intents.start(task))

    def _edit_task(self) -> None:
        task = self._meant_task()
        host = host_of(self)

        def done(wanted: intents.Wanted | None) -> None:
            if wanted is not None:
                host.do(wanted)

        if task is not None:
            self.app.push_screen(EditTask(task), done)

    def _delete_task(self) -> None:
        task = self._meant_task()
        host = host_of(self)

        def done(yes: bool | None) -> None:
            if yes and task is not None:
                host.do(intents.delete(task))

        if task is not None:
            question = inert_line(f"Delete “{task.title}”?")
            self.app.push_screen(Ask(question, words("delete it"), words("keep it")), done)

    def _plan(self) -> None:
        if self._planning:
            host_of(self).tell(words("The plan is being made."))
        else:
            host_of(self).do(intents.plan(self._frame.moment))

    def _show_reason(self) -> None:
        key = self.today.cursor
        if key is not None:
            self._opened ^= {key}
            self._show_today(self._frame)

    def _interrupt(self) -> None:
        if self._writing is None:
            if self._place != "conversation":
                host_of(self).tell(words("No answer is being written."))
            return
        host_of(self).do(intents.interrupt(self._writing))

    def on_paste(self) -> None:
        """Something was pasted where nothing can be written."""
        host_of(self).tell(words("To paste a text, press / for a message or a for a task first."))

    # Composer

    @on(Composer.Sent)
    def _send(self) -> None:
        text = self.composer.text
        if not text.strip():
            return
        if host_of(self).do(intents.send_message(text, self.thread_id)):
            self.composer.take()
            self.conversation.follow()

    @on(Composer.Left)
    def _leave_composer(self) -> None:
        self.go_to("conversation")

    @on(TextArea.Changed)
    def _draft_changed(self) -> None:
        host_of(self).keep_draft(self.thread_id, self.composer.text)

    @on(LineList.Pressed, "#tasks")
    def _task_pressed(self) -> None:
        self._toggle_task()

    @on(LineList.Pressed, "#today")
    def _block_pressed(self) -> None:
        self._toggle_task()


class TodayPane(LineList):
    """The plan of the day, with its keys."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings_of("today")]


class TasksPane(LineList):
    """All tasks, with their keys."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings_of("tasks")]


class ConversationPane(Conversation):
    """What was said, with its keys."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings_of("conversation")]


def _title(name: str, more: SafeText) -> Content:
    return safe_content(inert_line(f" {name} · {more} " if more else f" {name} "))


def _tasks_words(view: TasksView) -> SafeText:
    late = f"{view.late} late · " if view.late else ""
    return words(f"{late}{view.open} open")
