"""A real terminal, kept by tmux: a person's keys go in, the screen is read back."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest

ROOT = Path(__file__).resolve().parents[2]

needs_tmux = pytest.mark.skipif(
    shutil.which("tmux") is None, reason="tmux is missing; install it with: sudo apt install tmux"
)

_POLL_S = 0.05

# A bare one: COLUMNS, NO_COLOR and the like of whoever runs the tests must not reach the program.
_ENVIRONMENT = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "TERM": "xterm-256color"}


class Terminal:
    """One tmux session with one window. Made by `terminals`."""

    def __init__(self, server: str, name: str) -> None:
        self._server = server
        self._name = name

    def open(self, command: str, environ: Mapping[str, str], *, columns: int = 120, rows: int = 40) -> None:
        """Run a command line in it."""
        size = ["-x", str(columns), "-y", str(rows)]
        given = [part for name, value in environ.items() for part in ("-e", f"{name}={value}")]
        self._tmux("new-session", "-d", "-s", self._name, *size, "-c", str(ROOT), *given, command)
        self.resize(columns, rows)

    def keys(self, *names: str) -> None:
        """Press keys by tmux's names (`Enter`, `C-p`), all in one burst."""
        self._tmux("send-keys", "-t", self._name, *names)

    def type(self, text: str, *then: str) -> None:
        """Type text, and keys behind it, in one burst, as fast fingers and a pasted line do."""
        self._tmux("send-keys", "-t", self._name, "-l", "--", text)
        if then:
            self.keys(*then)

    def paste(self, data: bytes) -> None:
        """Paste bytes as a terminal does that was asked to mark pastes."""
        with tempfile.NamedTemporaryFile() as file:
            file.write(data)
            file.flush()
            self._tmux("load-buffer", "-b", "pasted", file.name)
        self._tmux("paste-buffer", "-p", "-d", "-b", "pasted", "-t", self._name)

    def kill9(self) -> None:
        """Kill the program in it, and it."""
        pid = self._tmux("display-message", "-p", "-t", self._name, "#{pane_pid}")
        os.kill(int(pid), signal.SIGKILL)

    def resize(self, columns: int, rows: int) -> None:
        """Give the window another size."""
        self._tmux("resize-window", "-t", self._name, "-x", str(columns), "-y", str(rows))

    @property
    def screen(self) -> str:
        """What is on the screen."""
        return self._tmux("capture-pane", "-p", "-t", self._name)

    def shows(self, *texts: str, timeout_s: float = 15.0) -> str:
        """Wait until all of `texts` are on the screen; the screen. AssertionError with the screen where not."""
        return self.until(lambda screen: all(text in screen for text in texts), str(texts), timeout_s)

    def hides(self, text: str, timeout_s: float = 15.0) -> str:
        """Wait until `text` is not on the screen."""
        return self.until(lambda screen: text not in screen, f"no {text!r}", timeout_s)

    def until(self, condition: Callable[[str], object], what: str, timeout_s: float = 15.0) -> str:
        """Wait until the screen is as it should be."""
        due = time.monotonic() + timeout_s
        while not condition(screen := self.screen):
            assert time.monotonic() < due, f"waited {timeout_s} s for {what}; the screen was:\n{screen}"
            time.sleep(_POLL_S)  # tmux tells nobody when a screen changes
        return screen

    def _tmux(self, *arguments: str) -> str:
        done = subprocess.run(
            ["tmux", "-L", self._server, "-f", os.devnull, *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=10,
            env=_ENVIRONMENT,
        )
        assert done.returncode == 0, f"tmux {arguments[0]}: {done.stderr}"
        return done.stdout


@contextmanager
def terminals() -> Iterator[Callable[[str], Terminal]]:
    """A tmux server of this test alone; gives a function that makes a terminal by its name."""
    server = f"obelisk-test-{uuid4().hex[:12]}"
    try:
        yield lambda name: Terminal(server, name)
    finally:
        subprocess.run(
            ["tmux", "-L", server, "kill-server"],
            capture_output=True,
            check=False,
            timeout=10,
            env=_ENVIRONMENT,
        )
