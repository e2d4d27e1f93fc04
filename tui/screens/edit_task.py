"""A task's fields in a form.

Duty: show the fields, say which one cannot be read, hand back what is to change.
Must not know: the client.

1. Only fields that were changed are spoken of, so that others' changes of other fields stay.
2. A field that cannot be read keeps what was typed and says why; nothing closes.
"""

from __future__ import annotations

from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Input, Label, Static
from typing_extensions import override

from protocol.errors import Refused
from protocol.state import Task
from protocol.text import inert_line
from tui.intents import TaskForm, Wanted, edit_task, form_of
from tui.safety import safe_content
from tui.screens.base import PlainArea, PlainInput, host_of
from tui.screens.dialogs import refusal
from tui.selectors import due_preview
from tui.widgets.one_line import TONES
from tui.wording import words

FIELDS: Final[tuple[tuple[str, str, str], ...]] = (
    ("title", "Title", "what is to be done"),
    ("due", "Due", "such as: friday 17:00, in 3 days; empty: none"),
    ("priority", "Priority", "low, normal, high, urgent"),
    ("tags", "Tags", "words, such as: home garden"),
    ("minutes", "Minutes", "such as: 45, 2h, 1h30; empty: no estimate"),
)
KEYS: Final = words("enter saves · in notes: f2 saves · esc leaves it as it was")


class EditTask(ModalScreen[Wanted | None]):
    """A form for one task."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", show=False),
        Binding("f2,ctrl+enter", "save", show=False, priority=True),
    ]

    def __init__(self, task: Task) -> None:
        super().__init__()
        self._edited = task

    @override
    def compose(self) -> ComposeResult:
        form = form_of(self._edited, host_of(self).frame.moment)
        with VerticalScroll(classes="dialog", can_focus=False):
            for name, label, hint in FIELDS:
                with Horizontal(classes="field"):
                    yield Label(label, markup=False)
                    value = getattr(form, name)
                    yield PlainInput(value=value, placeholder=hint, id=name, select_on_focus=False)
            with Horizontal(classes="field notes"):
                yield Label("Notes", markup=False)
                yield PlainArea(form.notes, id="notes", tab_behavior="focus")
            yield Static(id="said", markup=False)
            yield Static(safe_content(KEYS, TONES["quiet"]), markup=False)

    def on_mount(self) -> None:
        dialog = self.query_one(".dialog")
        dialog.border_title = safe_content(inert_line(f"Edit “{self._edited.title}”"))

    def on_input_changed(self, event: Input.Changed) -> None:
        """Say what a due in words means."""
        if event.input.id == "due":
            said = due_preview(event.value, host_of(self).frame.moment)
            self.query_one("#said", Static).update(safe_content(said, TONES["strong"]))

    def on_input_submitted(self) -> None:
        """Enter saves from every field of one line."""
        self.action_save()

    def action_save(self) -> None:
        """Hand back what is to change, or say what cannot be read."""
        changed = edit_task(self._edited, self._form(), host_of(self).frame.moment)
        if not isinstance(changed, Refused):
            self.dismiss(changed)
            return
        self.query_one("#said", Static).update(refusal(changed))
        for field in self.query(f"#{changed.field}").results(Widget) if changed.field else ():
            field.focus()

    def action_leave(self) -> None:
        """Go; the task stays as it is."""
        self.dismiss(None)

    def _form(self) -> TaskForm:
        typed = {name: self.query_one(f"#{name}", Input).value for name, _, _ in FIELDS}
        return TaskForm(**typed, notes=self.query_one("#notes", PlainArea).text)
