"""The transcript with the keys of all lists.

Must not know: messages, the client.
"""

from __future__ import annotations

from typing import ClassVar

from textual.binding import BindingType

from tui.bindings import own_bindings
from tui.widgets.transcript import Transcript


class Conversation(Transcript):
    """A transcript that also turns by half a page."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *own_bindings({"reading.half_up": "turn(-0.5)", "reading.half_down": "turn(0.5)"})
    ]

    def action_turn(self, pages: float) -> None:
        """Scroll by a part of the window."""
        by = round(pages * max(1, self.scrollable_content_region.height))
        self.scroll_to(y=self.scroll_offset.y + by, animate=False)
