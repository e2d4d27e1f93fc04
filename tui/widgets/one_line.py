"""Lines that tell: the state of the link, the panes as tabs, the keys at hand.

Duty: draw given words in one row, cut where the row ends; tell what was clicked.
They know no state; what they say is handed in.

Invariants:
1. What matters most stands first, so that a narrow screen cuts the least.
2. A colour only repeats what a sign or word says.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from rich.cells import cell_len
from textual import events
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget
from typing_extensions import override

from protocol.text import NOTHING, SafeText
from tui.selectors import StatusView, Tone

TONES: Final[dict[Tone, str]] = {
    "plain": "",
    "quiet": "$text-muted",
    "strong": "bold $text-accent",
    "trouble": "bold $text-error",
    "good": "$text-success",
}
_GAP: Final = "   "


class StatusLine(Widget):
    """How the link stands, who is here, what was refused."""

    ALLOW_SELECT = False
    DEFAULT_CSS = "StatusLine { height: auto; max-height: 3; background: $panel; color: $foreground; }"

    view: reactive[StatusView | None] = reactive(None, layout=True)

    @override
    def render(self) -> Content:
        view = self.view
        if view is None:
            return Content("")
        link = Content.styled(f" {view.sign} {view.link}", TONES[view.tone])
        parts = [link]
        parts += [Content.styled(view.rejected, TONES["trouble"])] if view.rejected else []
        parts += [Content(view.place)]
        parts += [Content.styled(view.people, TONES["quiet"])] if view.people else []
        line = Content(_GAP).join(parts)
        # Only what stops everything may take more than one row.
        wraps = view.tone == "trouble" and cell_len(line.plain) > self.size.width > 0
        return line if wraps else line.truncate(max(1, self.size.width), ellipsis=True)


@dataclass(frozen=True, slots=True)
class Tab:
    """A pane in the row of tabs."""

    id: str
    key: SafeText
    name: SafeText
    note: SafeText = NOTHING


@dataclass(frozen=True, slots=True)
class Hint:
    """A command in the row of keys."""

    id: str
    key: SafeText
    short: SafeText


class ChoiceLine(Widget):
    """Words next to each other, of which one can be clicked."""

    ALLOW_SELECT = False
    DEFAULT_CSS = "ChoiceLine { height: 1; background: $panel; color: $foreground; }"

    @dataclass
    class Clicked(Message):
        """Somebody clicked on the words of `id`."""

        id: str

    def __init__(
        self,
        *,
        id: str | None = None,  # noqa: A002 - textual's name
    ) -> None:
        super().__init__(id=id)
        self._spans: list[tuple[int, int, str]] = []

    def _laid(self, parts: Iterable[tuple[str, Sequence[tuple[str, str]]]]) -> Content:
        """Parts (id, styled texts) as long as they fit."""
        self._spans, at = [], 1
        line = Content(" ")
        for name, texts in parts:
            part = Content.assemble(*texts)
            if at + part.cell_length > self.size.width:
                break
            self._spans.append((at, at + part.cell_length, name))
            line += part + Content("  ")
            at += part.cell_length + 2
        return line

    def on_click(self, event: events.Click) -> None:
        for start, end, name in self._spans:
            if start <= event.x < end:
                self.post_message(self.Clicked(name))


class TabLine(ChoiceLine):
    """The panes, where only one at a time has room."""

    tabs: reactive[tuple[Tab, ...]] = reactive(())
    active: reactive[str] = reactive("")

    @override
    def render(self) -> Content:
        return self._laid((tab.id, self._texts(tab)) for tab in self.tabs)

    def _texts(self, tab: Tab) -> list[tuple[str, str]]:
        note = f" {tab.note}" if tab.note else ""
        if tab.id == self.active:
            return [(f"[{tab.key} {tab.name}{note}]", "bold $text-primary")]
        return [(f" {tab.key} {tab.name}", ""), (note, TONES["quiet"]), (" ", "")]


class KeyLine(ChoiceLine):
    """The keys at hand where the focus is."""

    hints: reactive[tuple[Hint, ...]] = reactive(())

    @override
    def render(self) -> Content:
        return self._laid(
            (hint.id, [(hint.key, "bold $text-accent"), (f" {hint.short}", "")]) for hint in self.hints
        )
