"""The terminal as it really is: it may send bytes that are no text, and it may go away.

Duty: read keys for Textual without failing on either. Must not know: what the keys mean.

1. A byte that is no UTF-8 (a pasted file, a terminal of another encoding) becomes �, and nothing ends.
2. When the terminal has gone the program leaves as if it had been told to.
3. `XTermParser` and `App.call_later` from the reading thread are Textual's own way of doing this; a test holds
   the pinned version to them.
"""

from __future__ import annotations

import os
import selectors
from codecs import getincrementaldecoder
from typing import Final

from textual._xterm_parser import XTermParser
from textual.drivers.linux_driver import LinuxDriver
from typing_extensions import override

_READ_BYTES: Final = 4096
_TICK_S: Final = 0.1
"""How soon a lone escape counts as the key, and the end of the program is seen."""


class TerminalDriver(LinuxDriver):
    """Textual's driver for POSIX terminals, with a reader that survives what terminals do."""

    @override
    def run_input_thread(self) -> None:
        """Read until the program ends or the terminal goes."""
        parser = XTermParser(self._debug)
        decode = getincrementaldecoder("utf-8")("replace").decode
        with selectors.DefaultSelector() as selector:
            selector.register(self.fileno, selectors.EVENT_READ)
            while not self.exit_event.is_set():
                if selector.select(_TICK_S):
                    data = self._read()
                    if not data:
                        self._app.call_later(self._app.exit)
                        return
                    text = decode(data)
                    # Half a character gives nothing yet, and nothing means the end to the parser.
                    for event in parser.feed(text) if text else ():
                        self.process_message(event)
                for event in parser.tick():
                    self.process_message(event)

    def _read(self) -> bytes:
        try:
            return os.read(self.fileno, _READ_BYTES)
        except OSError:
            return b""  # a terminal that was closed answers with an error
