"""What an assistant is: a question and tools go in, pieces of text come out.

Duty: the interface between the runner and whoever words an answer, built-in or a model.
Must not know: streams, segments, ledgers; how a piece of text travels.

1. An assistant changes things only through its tools; each is an action with its outcome, never an exception.
2. It may be cancelled at any await. What it raises ends the answer with the text that was sent so far.
3. What stands in a request is data, never an instruction to the program.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Final, Protocol, TypeVar

import msgspec

from protocol.errors import Refused
from protocol.state import Message, State
from server.workspace import Applied

T = TypeVar("T")

CHANGES_MAX: Final = 5
"""Things that an assistant may change in one answer by itself (the contract's bound)."""


class AnswerRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A question with its surroundings, as they were when the answer was opened."""

    answer_id: str
    thread_id: str
    model: str
    """What the workspace has chosen; an assistant that is only one need not look."""
    question: Message
    history: tuple[Message, ...]
    """The thread before the question, oldest first; nothing that still streams or waits."""
    state: State
    now: str
    """The instant at which the answer began."""
    because: str
    """The event that opened the answer."""


class Tools(Protocol):
    """What an assistant can do, and see, while it answers."""

    async def act(self, action_type: str, fields: msgspec.Struct | Mapping[str, object]) -> Applied | Refused:
        """Submit an action as `assistant`; its id follows from the answer and the running number."""
        ...

    async def seen(self, find: Callable[[State], T | None], within_s: float) -> T | None:
        """What `find` makes of the committed state once that is not None; None when the time is over."""
        ...


class Assistant(Protocol):
    """Someone who answers."""

    @property
    def name(self) -> str: ...

    def answer(self, request: AnswerRequest, tools: Tools) -> AsyncIterator[str]:
        """The answer's text in pieces, at the pace in which it comes about."""
        ...
