"""How a command ends: its exit code, and one sentence for the person where it is needed.

Must not know: what any command does.

1. Exit codes are an interface: scripts rely on them.
2. A sentence says what is wrong and what to do; it never holds a secret.
"""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """The exit codes of `obelisk`."""

    DONE = 0
    REJECTED = 1
    USAGE = 2
    NOT_REACHED = 3
    """The server cannot be reached, and nothing was sent."""
    NOT_ALLOWED = 4
    UNANSWERED = 5
    """It was sent, and nobody knows what became of it; it is kept."""
    INTERRUPTED = 130
    """Ctrl-C."""
    BROKEN_PIPE = 141
    """Whoever read the output has gone; nothing is said."""


class Ended(Exception):  # noqa: N818  says what happened, as it reads at the raise
    """The command is over. `sentence` is for stderr, without a full stop where it ends in a command."""

    def __init__(self, code: Exit, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence
