"""What makes an answer happen: runs it, sends and saves its text, ends it.

Duty: for each open answer of a workspace one run, and for each run one terminal event.
Must not know: how an answer is worded, who reads it; a reader that is slow or leaves changes nothing here.

1. What was sent (`voice`) is what the terminal event carries.
2. A run ends in the turn of the loop in which its terminal event is committed, whoever caused it.
3. An answer that no run is behind is sealed when the workspace is opened, with the text that was saved.
4. When an answer has ended, the next question that waits is opened, once: the action's id follows from both.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from functools import partial
from typing import TypeVar

from protocol import ids, limits
from protocol.errors import Refused
from protocol.events import LlmCompleted, LlmInterrupted, MessageStream
from protocol.state import InterruptReason, Message, State
from server.assistant.port import AnswerRequest, Assistant
from server.assistant.voice import Voice
from server.clock import Clock
from server.workflows.jobs import Fields, Jobs, came, settled
from server.workspace import Applied, Commit, Workspace

T = TypeVar("T")
log = logging.getLogger("obelisk.assistant")


class Runner:
    """The producer of answers, all worded by one assistant; the request says which model was chosen."""

    def __init__(self, assistant: Assistant, clock: Clock) -> None:
        self._assistant = assistant
        self._clock = clock
        self._jobs = Jobs()
        self._runs: dict[tuple[Workspace, str], Voice] = {}
        self._changed: dict[asyncio.Event, Workspace] = {}

    async def opened(self, workspace: Workspace) -> None:
        """Seal what no run is behind, then answer what waits."""
        streaming = workspace.committed.state.assistant.streaming
        for message_id in streaming:
            # Whoever interrupts the answer before it is sealed keeps what was saved of it.
            workspace.streams.append(message_id, await workspace.saved_text(message_id))
        for message_id in streaming:
            self._jobs.start(workspace, f"seal {message_id}", partial(self._seal, workspace, message_id))
        if not streaming:
            self._open_waiting(workspace, workspace.committed.state, workspace.committed.head.event_id)

    def committed(self, workspace: Workspace, commit: Commit) -> None:
        """Start the runs of answers that were opened, end those of answers that have ended."""
        if self._jobs.closed:
            return
        ended: str | None = None
        for event in commit.events:
            match event.payload:
                case MessageStream() as opened if opened.message_id in commit.state.assistant.streaming:
                    self._start(workspace, commit.state, opened, event.event_id)
                case LlmCompleted(message_id=message_id) | LlmInterrupted(message_id=message_id):
                    ended = event.event_id
                    run = self._runs.get((workspace, message_id))
                    if run is not None:
                        run.stop()
                case _:
                    pass
        if ended is not None:
            self._open_waiting(workspace, commit.state, ended)
        for changed, owner in self._changed.items():
            if owner is workspace:
                changed.set()

    async def close(self, workspace: Workspace | None = None) -> None:
        """Stop the runs of a workspace, or all; what they said so far is saved, the next opening seals it."""
        await self._jobs.close(workspace)

    # Answers

    def _start(self, workspace: Workspace, state: State, opened: MessageStream, because: str) -> None:
        key = (workspace, opened.message_id)
        if key in self._runs:
            return
        run = self._runs[key] = Voice(workspace, opened.message_id, self._clock)
        run.task = self._jobs.start(
            workspace, f"answer {opened.message_id}", lambda: self._answer(run, state, opened, because)
        )
        run.task.add_done_callback(lambda _: self._runs.pop(key, None))

    async def _answer(self, run: Voice, state: State, opened: MessageStream, because: str) -> None:
        reason: InterruptReason | None = None
        try:
            request = _request(state, opened, because, self._clock.now())
            tools = _Tools(self, run.workspace, opened.message_id, because)
            pieces = self._assistant.answer(request, tools)
            reason = await run.speak(pieces)
        except Exception as error:  # noqa: BLE001 - whatever an assistant raises ends its answer, and is told
            # Not the error's text: a provider's may hold a key, a person's words.
            log.error("answer %s failed: %s at %s", opened.message_id, type(error).__name__, _place(error))
            reason = "error"
        finally:
            run.save()
        if run.may_speak():
            await self._end(run, reason, because)

    async def _end(self, run: Voice, reason: InterruptReason | None, because: str) -> None:
        run.settling = True
        text = run.workspace.streams.texts.get(run.message_id, "")
        fields: dict[str, object] = {"message_id": run.message_id, "text": text}
        verb = "complete" if reason is None else "interrupt"
        if reason is not None:
            fields["reason"] = reason
        outcome = await settled(
            run.workspace,
            self._clock,
            actor="assistant",
            action_type=f"assistant.{verb}",
            action_id=ids.derive(verb, run.message_id),
            fields=fields,
            because=because,
        )
        if isinstance(outcome, Refused):
            log.error("answer %s could not be ended: %s", run.message_id, outcome.code)

    async def _seal(self, workspace: Workspace, message_id: str) -> None:
        text = workspace.streams.texts.get(message_id, "")
        await settled(
            workspace,
            self._clock,
            actor="system",
            action_type="system.interrupt",
            action_id=ids.derive("seal", message_id),
            fields={"message_id": message_id, "text": text, "reason": "server_restart"},
            because=None,
        )

    # Questions that wait

    def _open_waiting(self, workspace: Workspace, state: State, cause: str | None) -> None:
        for question_id in next_questions(state):
            name = f"open {question_id} after {cause}"
            self._jobs.start(workspace, name, partial(self._open, workspace, question_id, cause))

    async def _open(self, workspace: Workspace, question_id: str, cause: str | None) -> None:
        await settled(
            workspace,
            self._clock,
            actor="assistant",
            action_type="assistant.answer",
            action_id=ids.derive("answer", question_id, cause or ""),
            fields={"reply_to": question_id},
            because=cause,
        )

    # What tools need

    async def act(
        self, workspace: Workspace, action_type: str, action_id: str, fields: Fields, because: str
    ) -> Applied | Refused:
        """Submit an action of an assistant."""
        return await settled(
            workspace,
            self._clock,
            actor="assistant",
            action_type=action_type,
            action_id=action_id,
            fields=fields,
            because=because,
        )

    async def seen(
        self, workspace: Workspace, find: Callable[[State], T | None], within_s: float
    ) -> T | None:
        """See `Tools.seen`."""
        changed, until = asyncio.Event(), self._clock.monotonic() + within_s
        self._changed[changed] = workspace
        try:
            while True:
                changed.clear()
                value = find(workspace.committed.state)
                if value is not None or not await came(changed, self._clock, until - self._clock.monotonic()):
                    return value
        finally:
            del self._changed[changed]


def next_questions(state: State) -> Iterator[str]:
    """The questions whose turn it is: while there is room, the first of each thread that is silent."""
    room = limits.open_streams_max - len(state.assistant.streaming)
    busy = {state.messages[one].thread_id for one in state.assistant.streaming}
    for question_id in state.assistant.waiting:
        thread_id = state.messages[question_id].thread_id
        if room > 0 and thread_id not in busy:
            room -= 1
            yield question_id
        busy.add(thread_id)


class _Tools:
    """The tools of one answer."""

    def __init__(self, runner: Runner, workspace: Workspace, answer_id: str, because: str) -> None:
        self._runner = runner
        self._workspace = workspace
        self._answer_id = answer_id
        self._because = because
        self._acted = 0

    async def act(self, action_type: str, fields: Fields) -> Applied | Refused:
        self._acted += 1
        action_id = ids.derive("tool", self._answer_id, str(self._acted))
        return await self._runner.act(self._workspace, action_type, action_id, fields, self._because)

    async def seen(self, find: Callable[[State], T | None], within_s: float) -> T | None:
        return await self._runner.seen(self._workspace, find, within_s)


def _request(state: State, opened: MessageStream, because: str, now: str) -> AnswerRequest:
    question = state.messages[opened.reply_to]
    return AnswerRequest(
        answer_id=opened.message_id,
        thread_id=opened.thread_id,
        model=opened.model,
        question=question,
        history=tuple(_history(state, question)),
        state=state,
        now=now,
        because=because,
    )


def _history(state: State, question: Message) -> Iterator[Message]:
    """What was said before the question, with answers that came while it waited."""
    for message in state.thread_messages(question.thread_id):
        ended = message.status in ("complete", "interrupted")
        if ended and (message.place < question.place or message.role == "assistant"):
            yield message


def _place(error: BaseException) -> str:
    """The file and line that raised."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return (
        f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace is not None else "an unknown place"
    )
