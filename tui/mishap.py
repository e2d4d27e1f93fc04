"""What a person sees when the program itself fails: one sentence; the rest is in a file.

Duty: replace Textual's traceback, which prints what stands in local variables, by a sentence on the terminal
and a plain traceback in a file for the owner's eyes.
Must not know: what was going on.

1. No value of a local variable is written anywhere; no text of a traceback reaches the terminal.
2. The first error counts; those that come of it are written behind it, up to `REPORT_BYTES_MAX`.
3. `App._handle_exception`, `_fatal_error`, `_print_error_renderables` and `_return_code` are private to
   Textual: they are named here only, and a test holds the pinned version to them.
"""

from __future__ import annotations

import os
import sys
import traceback
from io import StringIO
from pathlib import Path
from typing import Final

from rich.console import Console, RenderableType
from textual.app import App
from typing_extensions import override

from protocol.text import inert_line

REPORT_BYTES_MAX: Final = 256 * 1024
_FOLDED: Final = 120


class FailsPlainly(App[None]):
    """An app that ends with a sentence where it cannot go on. `report`: the file for the rest."""

    report: Path | None = None
    _mishaps = 0
    _is_said = False

    @property
    def has_failed(self) -> bool:
        """Whether the program itself has failed."""
        return self._mishaps > 0

    @override
    def _handle_exception(self, error: Exception) -> None:
        self._note_mishap("".join(traceback.format_exception(error)))
        super()._handle_exception(error)

    @override
    def _fatal_error(self) -> None:
        self._close_messages_no_wait()

    @override
    def panic(self, *renderables: RenderableType) -> None:
        self._return_code = 1
        self._note_mishap("\n".join(_plain(one) for one in renderables))
        self._close_messages_no_wait()

    @override
    def _print_error_renderables(self) -> None:
        self._exit_renderables.clear()
        if self.has_failed and not self._is_said:
            self._is_said = True
            print(f"obelisk: {mishap_sentence(self.report)}", file=sys.stderr)

    def _note_mishap(self, text: str) -> None:
        self._mishaps += 1
        if self.report is not None and not _write(self.report, text, is_first=self._mishaps == 1):
            self.report = None


def mishap_sentence(report: Path | None) -> str:
    """What is said: that it was not the person's doing, what became of the work, where more is."""
    failed = "the program failed and had to end"
    if report is None:
        return failed
    return (
        f"{failed}; your draft and what is unsent are kept; what went wrong is in {inert_line(str(report))}"
    )


def _plain(renderable: RenderableType) -> str:
    file = StringIO()
    Console(file=file, width=_FOLDED, color_system=None, legacy_windows=False).print(renderable)
    return file.getvalue()


def _write(path: Path, text: str, *, is_first: bool) -> bool:
    """Write into the report, afresh at the first error; whether that was possible."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | (os.O_TRUNC if is_first else os.O_APPEND)
    try:
        handle = os.open(path, flags, 0o600)
        with os.fdopen(handle, "wb") as file:
            os.fchmod(handle, 0o600)
            room = REPORT_BYTES_MAX - file.seek(0, os.SEEK_END)
            file.write(text.encode("utf-8", "backslashreplace")[: max(0, room)])
    except OSError:
        return False
    return True
