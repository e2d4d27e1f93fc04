"""The terminal as it really is: it may send bytes that are no text, and it may go away.

Duty: read keys for Textual without failing on either. Must not know: what the keys mean.

1. A byte that is no UTF-8 (a pasted file, a terminal of another encoding) becomes �, and nothing ends.
2. A paste is a paste, whatever stands in it.
3. When the terminal has gone the program leaves as if it had been told to.
4. `XTermParser` is private to Textual: it is named here only, and a test holds the pinned version to it.
"""

from __future__ import annotations

import os
import selectors
from codecs import getincrementaldecoder
from typing import Final

from textual import events
from textual._xterm_parser import XTermParser
from textual.drivers.linux_driver import LinuxDriver
from typing_extensions import override

from tui.pasted import Pasted, Pastes

_READ_BYTES: Final = 4096
_TICK_S: Final = 0.1
"""How soon a lone escape counts as the key, and the end of the program is seen."""


class TerminalDriver(LinuxDriver):
    """Textual's driver for POSIX terminals, with a reader that survives what terminals do."""

    @override
    def run_input_thread(self) -> None:
        """Read until the program ends or the terminal goes."""
        parser = XTermParser(self._debug)
        pastes = Pastes()
        decode = getincrementaldecoder("utf-8")("replace").decode
        with selectors.DefaultSelector() as selector:
            selector.register(self.fileno, selectors.EVENT_READ)
            while not self.exit_event.is_set():
                if selector.select(_TICK_S):
                    data = self._read()
                    if not data:
                        self._app.call_later(self._app.exit)
                        return
                    for part in pastes.feed(decode(data)):
                        found = [_paste(part)] if isinstance(part, Pasted) else parser.feed(part)
                        for event in found:
                            self.process_message(event)
                for event in parser.tick():
                    self.process_message(event)

    def _read(self) -> bytes:
        try:
            return os.read(self.fileno, _READ_BYTES)
        except OSError:
            return b""  # a terminal that was closed answers with an error


def _paste(pasted: Pasted) -> events.Paste:
    """Terminals send the lines of a paste as the enter key would: with returns."""
    return events.Paste(pasted.text.replace("\r\n", "\n").replace("\r", "\n"))
