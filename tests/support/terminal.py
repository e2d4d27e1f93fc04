"""A terminal that records: what an app would have written to a real one.

Duty: run a Textual app on a driver that keeps every byte, and split the bytes into text and sequences, so that
a test can say which sequences are allowed at all.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, Literal

from textual import events
from textual.app import App
from textual.driver import Driver
from textual.geometry import Size
from textual.pilot import Pilot
from typing_extensions import override


class RecordingDriver(Driver):
    """Keeps what a terminal would get; its input is the pilot's."""

    written: list[str]

    @override
    def write(self, data: str) -> None:
        self.written.append(data)

    @override
    def start_application_mode(self) -> None:
        self.written = []
        size = Size(*(self._size or (80, 24)))
        self.send_message(events.Resize(size, size))

    @override
    def disable_input(self) -> None:
        """There is none."""

    @override
    def stop_application_mode(self) -> None:
        """There is no mode to leave."""

    @property
    def output(self) -> str:
        """All that was written so far."""
        return "".join(self.written)


@dataclass(frozen=True, slots=True)
class Terminal:
    """A running app and its terminal."""

    pilot: Pilot
    driver: RecordingDriver

    @property
    def output(self) -> str:
        return self.driver.output


@asynccontextmanager
async def on_terminal(app: App, size: tuple[int, int] = (80, 24)) -> AsyncIterator[Terminal]:
    """`app`, running on a recording terminal of `size` (columns, rows), with notifications shown."""
    app.driver_class = RecordingDriver
    async with app.run_test(headless=False, size=size, notifications=True) as pilot:
        driver = app._driver
        assert isinstance(driver, RecordingDriver)
        yield Terminal(pilot, driver)


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of the output: text, a sequence, or a control character on its own."""

    kind: Literal["text", "sequence", "control"]
    value: str


_SEQUENCE: Final = (
    "(?:\x1b\\[|\x9b)[0-?]*[ -/]*[@-~]"  # CSI
    "|(?:\x1b[\\]P_^X]|[\x9d\x90\x9f\x9e\x98])[^\x07\x1b\x9c]*(?:\x07|\x1b\\\\|\x9c)"  # OSC, DCS, APC, PM, SOS
    "|\x1b[ -/]*[0-Z\\\\^-~]"  # all other escapes
)
_CONTROL: Final = (
    "[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e0fff]"
)
_PIECES: Final = re.compile(f"(?P<sequence>{_SEQUENCE})|(?P<control>{_CONTROL})")

ALLOWED: Final = re.compile(
    "\x1b\\[[0-9;]*m"  # colours and styles
    "|\x1b\\[[0-9]+;[0-9]+H"  # cursor to a place
    "|\x1b\\[\\?2026[hl]"  # begin and end of one picture
    "|\x1b\\[\\?25[hl]"  # cursor shown or hidden
    "|\x1b\\]22;[a-z-]*\x07"  # shape of the mouse pointer
)
"""The sequences that Textual itself has a reason to write while it runs."""


def pieces(output: str) -> Iterator[Piece]:
    """`output`, cut into text, sequences and stray controls."""
    at = 0
    for match in _PIECES.finditer(output):
        if match.start() > at:
            yield Piece("text", output[at : match.start()])
        yield Piece("sequence" if match["sequence"] else "control", match[0])
        at = match.end()
    if at < len(output):
        yield Piece("text", output[at:])


def breaches(output: str) -> list[Piece]:
    """The pieces of `output` that nobody allowed; the newline between rows is Textual's own."""
    return [
        piece
        for piece in pieces(output)
        if (piece.kind == "sequence" and not ALLOWED.fullmatch(piece.value))
        or (piece.kind == "control" and piece.value != "\n")
    ]


def shown_text(output: str) -> str:
    """The text of `output` without its sequences, in the order it was written."""
    return "".join(piece.value for piece in pieces(output) if piece.kind == "text")
