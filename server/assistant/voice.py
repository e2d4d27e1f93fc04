"""One answer on its way out: pieces come in, joined text is sent and saved.

Duty: send what an assistant says as it says it, keep it on the way, notice silence.
Must not know: who says it, how an answer is ended in the ledger.

1. The first piece is sent at once, later ones are joined: one frame in `token_join_s` at most.
2. What was sent is saved within `segment_interval_s`, also while nothing new comes.
3. Silence is bounded by time without progress, never by the length of an answer in time.
4. Nothing is sent or saved once a terminal event was decided.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from protocol import limits
from protocol.state import InterruptReason, text_bytes
from server.clock import Clock
from server.workflows.jobs import came
from server.workspace import Workspace

"""An answer without a new piece for so long is ended."""


class AnswerTooLongError(Exception):
    """An assistant said more than an answer may hold."""


class Voice:
    """An answer on its way out."""

    def __init__(self, workspace: Workspace, message_id: str, clock: Clock) -> None:
        self.workspace = workspace
        self.message_id = message_id
        self.settling = False
        """Its own terminal action is under way."""
        self.task: asyncio.Task[None] | None = None
        self._clock = clock
        self._said = 0
        self._saved = 0
        self._saved_at = clock.monotonic()
        self._unsaved: list[str] = []
        self._pump: asyncio.Task[None] | None = None

    def stop(self) -> None:
        """The answer has ended: stop at once, unless it is this run that ends it."""
        if self._pump is not None:
            self._pump.cancel()
        if self.task is not None and not self.settling:
            self.task.cancel()

    def may_speak(self) -> bool:
        """Whether no terminal event was decided."""
        return self.workspace.streams.append(self.message_id, "")

    async def speak(self, pieces: AsyncIterator[str]) -> InterruptReason | None:
        """Send `pieces` as they come. None at their end, or where it may not speak; `stalled` after silence.

        Raises what `pieces` raises, after what came before was sent.
        """
        inbox = Inbox()
        self._pump = asyncio.get_running_loop().create_task(inbox.fill(pieces))
        try:
            return await self._send_all(inbox)
        finally:
            self._pump.cancel()
            await asyncio.wait({self._pump})

    async def _send_all(self, inbox: Inbox) -> InterruptReason | None:
        progress_at = self._clock.monotonic()
        while True:
            silence_s = self._clock.monotonic() - progress_at
            if silence_s >= limits.stalled_s:
                return "stalled"
            wait_s = limits.segment_interval_s if self._unsaved else limits.stalled_s - silence_s
            if await came(inbox.news, self._clock, wait_s):
                text, ended = inbox.take()
                if not self._send(text) or ended:
                    break
                progress_at = self._clock.monotonic()
                await self._clock.sleep(limits.token_join_s)
            self._save_when_due()
        if inbox.error is not None and self.may_speak():
            raise inbox.error
        return None

    def _send(self, text: str) -> bool:
        if not self.workspace.streams.append(self.message_id, text):
            return False
        self._said += len(text)
        if text:
            self._unsaved.append(text)
        return True

    def _save_when_due(self) -> None:
        if self._clock.monotonic() - self._saved_at >= limits.segment_interval_s:
            self.save()

    def save(self) -> None:
        """Keep what was sent and not saved yet; nothing of an answer that has ended."""
        if self._unsaved and self.may_speak():
            self.workspace.save_segment(self.message_id, self._saved, "".join(self._unsaved))
            self._unsaved.clear()
            self._saved, self._saved_at = self._said, self._clock.monotonic()


class Inbox:
    """Pieces that came and were not sent yet."""

    def __init__(self) -> None:
        self.news = asyncio.Event()
        self.error: Exception | None = None
        self._pieces: list[str] = []
        self._bytes = 0
        self._ended = False

    async def fill(self, pieces: AsyncIterator[str]) -> None:
        """Take all `pieces`; what they raise is kept."""
        try:
            async for piece in pieces:
                self._add(piece)
        except Exception as error:  # noqa: BLE001 - handed on to whoever speaks, after what came before
            self.error = error
        finally:
            self._ended = True
            self.news.set()

    def take(self) -> tuple[str, bool]:
        """All that came since, and whether that was the end."""
        text = "".join(self._pieces)
        self._pieces.clear()
        if not self._ended:
            self.news.clear()
        return text, self._ended

    def _add(self, piece: str) -> None:
        # A lone surrogate cannot be written to the wire.
        piece = piece.encode("utf-8", "replace").decode()
        self._bytes += text_bytes(piece)
        if self._bytes > limits.answer_bytes_max:
            raise AnswerTooLongError
        if piece:
            self._pieces.append(piece)
            self.news.set()
