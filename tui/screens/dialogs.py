"""Small questions over the main screen: one line for a task, a text, yes or no.

Duty: ask, show what was understood while it is typed, and hand back the answer; None where there is none.
Must not know: state, the client.

1. What was typed is never thrown away by a refusal: the question stays and says why.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, Static
from typing_extensions import override

from protocol.errors import Refused
from protocol.quickadd import parse
from protocol.text import SafeText, inert_line
from tui.intents import Wanted, quick_add
from tui.safety import safe_content
from tui.screens.base import PlainInput, host_of
from tui.selectors import preview
from tui.widgets.composer import Composer
from tui.widgets.one_line import TONES
from tui.wording import words

NO_LINE: Final = words("A title, and what you like: friday 17:00 · !high · #tag · ~20m · @who")
KEYS_OF_LINE: Final = words("enter adds · esc keeps it for later")
KEYS_OF_TEXT: Final = words("enter saves · ctrl+j new line · esc leaves it as it was")


@dataclass(frozen=True, slots=True)
class Added:
    """What came of a line: the task, or the line as it was left."""

    wanted: Wanted | None
    line: str = ""


class QuickAdd(ModalScreen[Added]):
    """One line of words becomes a task."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", show=False)]

    def __init__(self, line: str = "") -> None:
        super().__init__()
        self._line = line

    @override
    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield PlainInput(value=self._line, id="line", select_on_focus=False)
            yield Static(id="understood", markup=False)
            yield Static(safe_content(KEYS_OF_LINE, TONES["quiet"]), markup=False)

    def on_mount(self) -> None:
        self.query_one(".dialog").border_title = safe_content(words("New task"))
        self._understand(self._line)

    @on(Input.Changed)
    def understand(self, event: Input.Changed) -> None:
        """Show what is understood so far."""
        self._understand(event.value)

    def _understand(self, line: str) -> None:
        moment = host_of(self).frame.moment
        title, facts = preview(parse(line, now=moment.now, zone=moment.zone), moment)
        shown = self.query_one("#understood", Static)
        if not title:
            shown.update(safe_content(NO_LINE, TONES["quiet"]))
            return
        parts = [Content.styled(fact, TONES["strong"]) for fact in facts]
        shown.update(Content(" · ").join([Content.styled(f"○ {title}", "bold"), *parts]))

    @on(Input.Submitted)
    def add(self, event: Input.Submitted) -> None:
        """Hand back the task."""
        wanted = quick_add(event.value, host_of(self).frame.moment)
        if isinstance(wanted, Refused):
            self.query_one("#understood", Static).update(refusal(wanted))
            return
        self.dismiss(Added(wanted))

    def action_leave(self) -> None:
        """Keep the line and go."""
        self.dismiss(Added(None, self.query_one("#line", Input).value))


class Ask(ModalScreen[bool]):
    """Yes or no, with one key."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y,enter", "answer(True)", show=False),
        Binding("n,escape,q", "answer(False)", show=False),
    ]

    def __init__(self, question: SafeText, yes: SafeText, no: SafeText) -> None:
        super().__init__()
        self._question = question
        self._answers = inert_line(f"y: {yes} · n: {no}")

    @override
    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Static(safe_content(self._question, "bold"), markup=False)
            yield Static(safe_content(self._answers, TONES["strong"]), markup=False)

    def action_answer(self, yes: bool) -> None:
        """Hand back the answer."""
        self.dismiss(yes)


class WriteText(ModalScreen[str | None]):
    """A text of one or more lines."""

    def __init__(self, title: SafeText, text: str = "") -> None:
        super().__init__()
        self._title = title
        self._text = text

    @override
    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Composer(id="text")
            yield Static(safe_content(KEYS_OF_TEXT, TONES["quiet"]), markup=False)

    def on_mount(self) -> None:
        self.query_one(".dialog").border_title = safe_content(self._title)
        self.query_one(Composer).put(self._text)

    def on_composer_sent(self, event: Composer.Sent) -> None:
        """Hand back the text."""
        self.dismiss(event.text)

    def on_composer_left(self) -> None:
        """Go without."""
        self.dismiss(None)


def refusal(refused: Refused) -> Content:
    """Why not, as it is shown below what was typed."""
    return safe_content(inert_line(f"✗ {refused.message}"), TONES["trouble"])
