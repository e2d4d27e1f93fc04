"""Answers from their opening to their end, on real workspaces, a ledger in memory and a clock that stands still."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import pytest

from protocol import limits
from protocol.actions import answer_id
from protocol.events import LlmCompleted, LlmInterrupted
from server.assistant.port import AnswerRequest, Tools
from server.assistant.runner import Runner, next_questions
from server.ledger.port import LedgerUnavailable
from server.workspace import Applied, Producer, WorkspaceUnavailable
from tests.support.clocks import VirtualClock, settle
from tests.support.ledgers import FaultyLedger
from tests.support.workspaces import House

FOREVER = 1e9


@dataclass
class Script:
    """An assistant that says pieces, each after a pause, and then ends, fails or is silent."""

    clock: VirtualClock
    pieces: Sequence[tuple[float, str]] = ((0, "one "), (0.01, "two "), (0.01, "three"))
    error: Exception | None = None
    silent: bool = False
    name: str = "script"
    asked: list[AnswerRequest] = field(default_factory=list)
    left: int = 0
    """Answers that were cancelled or ended."""

    async def answer(self, request: AnswerRequest, tools: Tools) -> AsyncIterator[str]:
        self.asked.append(request)
        try:
            for pause_s, piece in self.pieces:
                if pause_s:
                    await self.clock.after(pause_s)
                yield piece
            if self.error is not None:
                raise self.error
            if self.silent:
                await self.clock.after(FOREVER)
        finally:
            self.left += 1


def a_house(
    make: Callable[[VirtualClock], Script] = Script, ledger: FaultyLedger | None = None
) -> tuple[House, list[Script]]:
    """A house whose assistants are kept, one for each life."""
    scripts: list[Script] = []

    def producers(clock: VirtualClock) -> list[Producer]:
        scripts.append(make(clock))
        return [Runner(scripts[-1], clock)]

    return House(producers, ledger), scripts


def silent(clock: VirtualClock) -> Script:
    return Script(clock, [(0, "half an "), (0.05, "answer")], silent=True)


async def ends(house: House) -> list[LlmCompleted | LlmInterrupted]:
    return [
        one.payload for one in await house.events() if isinstance(one.payload, LlmCompleted | LlmInterrupted)
    ]


async def test_an_answer_is_what_was_sent() -> None:
    """The first piece leaves at once, later ones are joined, and the terminal event carries exactly what was sent."""
    house, scripts = a_house()
    await house.open()
    await house.say("hello", message_id="m1")
    await settle()
    assert house.ear.tokens == [(0.0, "one ")]
    await house.clock.advance(0.02)
    assert house.ear.heard == "one "
    await house.clock.advance(0.02)
    assert house.ear.tokens == [(0.0, "one "), (limits.token_join_s, "two three")]
    assert await house.types() == ["message.created", "message.stream", "llm.completed"]
    assert [end.text for end in await ends(house)] == [house.ear.heard]
    answer = house.state.messages[answer_id("m1")]
    assert (answer.status, answer.text) == ("complete", "one two three")
    assert scripts[0].asked[0].question.text == "hello"
    await house.close()


async def test_events_of_an_answer_say_why() -> None:
    """`because` of the terminal event is the event that opened the answer."""
    house, scripts = a_house()
    await house.open()
    await house.say("hello")
    await house.clock.advance(1)
    *_, opened, ended = await house.events()
    assert (ended.because, ended.actor) == (opened.event_id, "assistant")
    assert scripts[0].asked[0].because == opened.event_id
    await house.close()


async def test_an_empty_answer_is_complete() -> None:
    """No piece is an answer too."""
    house, _ = a_house(lambda clock: Script(clock, []))
    await house.open()
    await house.say("hello")
    await house.clock.advance(1)
    assert [(type(end), end.text) for end in await ends(house)] == [(LlmCompleted, "")]
    await house.close()


async def test_pieces_that_come_together_leave_together() -> None:
    """A fast assistant makes few frames: at most one in each joining time."""
    house, _ = a_house(lambda clock: Script(clock, [(0.001, "x")] * 500))
    await house.open()
    await house.say("hello")
    await house.clock.advance(1)
    times = [at for at, _ in house.ear.tokens]
    assert house.ear.heard == "x" * 500
    assert min(b - a for a, b in pairwise(times)) >= limits.token_join_s - 0.001
    await house.close()


async def test_a_person_interrupts() -> None:
    """The run is over in the same turn; the event has at least what was sent; nothing follows it."""
    house, scripts = a_house(silent)
    await house.open()
    await house.say("hello", message_id="m1")
    await house.clock.advance(0.1)
    await house.act("ana", "user.interrupt", {"message_id": answer_id("m1")})
    await settle()
    assert [(end.text, getattr(end, "reason", "")) for end in await ends(house)] == [
        ("half an answer", "user")
    ]
    assert scripts[0].left == 1
    await house.clock.advance(limits.stalled_s * 2)
    assert house.ear.heard == "half an answer"
    assert await house.ledger.segments(house.workspace.key) == {}
    assert len(await ends(house)) == 1
    await house.close()


async def test_an_error_ends_an_answer_with_what_was_said(caplog: pytest.LogCaptureFixture) -> None:
    """The text so far stays, the reason is `error`, and the log has the kind of error but not its words."""
    house, _ = a_house(
        lambda clock: Script(clock, [(0, "so "), (0.1, "far")], error=RuntimeError("key sk-1234"))
    )
    await house.open()
    with caplog.at_level(logging.ERROR):
        await house.say("hello")
        await house.clock.advance(1)
    assert [(end.text, getattr(end, "reason", "")) for end in await ends(house)] == [("so far", "error")]
    assert "RuntimeError" in caplog.text
    assert "sk-1234" not in caplog.text
    await house.close()


async def test_an_answer_that_never_ends_is_cut() -> None:
    """More than an answer may hold ends it with `error` and the text that fitted."""
    piece = "é" * 1000
    house, _ = a_house(lambda clock: Script(clock, [(0, piece)] * (limits.answer_bytes_max // 2000 + 5)))
    await house.open()
    await house.say("hello")
    await house.clock.advance(1)
    [end] = await ends(house)
    assert isinstance(end, LlmInterrupted)
    assert limits.answer_bytes_max - 4000 < len(end.text.encode()) <= limits.answer_bytes_max
    await house.close()


async def test_a_lone_surrogate_of_an_assistant_is_replaced() -> None:
    """What cannot be written to the wire does not end an answer."""
    house, _ = a_house(lambda clock: Script(clock, [(0, "a\ud800b")]))
    await house.open()
    await house.say("hello")
    await house.clock.advance(1)
    assert [end.text for end in await ends(house)] == ["a?b"]
    await house.close()


async def test_silence_ends_an_answer() -> None:
    """Without progress it is `stalled`, with the text so far; progress starts the time anew."""
    house, scripts = a_house(
        lambda clock: Script(
            clock, [(0, "a"), (limits.stalled_s - 1, "b"), (limits.stalled_s - 1, "c")], silent=True
        )
    )
    await house.open()
    await house.say("hello")
    await house.clock.advance(2 * limits.stalled_s)
    assert not await ends(house)
    await house.clock.advance(limits.stalled_s)
    assert [(end.text, getattr(end, "reason", "")) for end in await ends(house)] == [("abc", "stalled")]
    assert scripts[0].left == 1
    await house.close()


async def test_what_was_said_is_saved_on_the_way() -> None:
    """Within the segment's interval the ledger holds what was sent, and nothing after the end."""
    house, _ = a_house(silent)
    await house.open()
    await house.say("hello", message_id="m1")
    await house.clock.advance(0.1)
    await house.clock.advance(limits.segment_interval_s)
    assert await house.workspace.saved_text(answer_id("m1")) == "half an answer"
    await house.act("ana", "user.interrupt", {"message_id": answer_id("m1")})
    await house.clock.advance(1)
    assert await house.ledger.segments(house.workspace.key) == {}
    await house.close()


async def test_a_restart_seals_what_was_open() -> None:
    """After a crash the answer ends with what was saved; what waited is answered then."""
    house, _ = a_house(silent)
    await house.open()
    await house.say("first", message_id="m1")
    await house.clock.advance(1)
    await house.say("second", message_id="m2")
    await house.crash()
    await house.open()
    await settle()
    assert [(end.text, getattr(end, "reason", "")) for end in await ends(house)] == [
        ("half an answer", "server_restart")
    ]
    assert house.state.assistant.streaming == (answer_id("m2"),)
    assert house.state.assistant.waiting == ()
    assert [one.actor for one in await house.events() if one.type == "llm.interrupted"] == ["system"]
    await house.close()


async def test_who_interrupts_before_the_seal_keeps_the_saved_text() -> None:
    """The text that was saved is known again as soon as the workspace is open."""
    house, _ = a_house(silent)
    await house.open()
    await house.say("first", message_id="m1")
    await house.clock.advance(1)
    await house.crash()
    await house.open()
    await house.say("second", supersede=True)
    await settle()
    assert [end.text for end in await ends(house)] == ["half an answer"]
    await house.close()


async def test_a_stop_keeps_all_that_was_said() -> None:
    """An orderly stop saves the last words, the next start seals with them."""
    house, _ = a_house(lambda clock: Script(clock, [(0, "just "), (0.05, "said")], silent=True))
    await house.open()
    await house.say("hello")
    await house.clock.advance(0.1)
    await house.close()
    await house.open()
    await settle()
    assert [end.text for end in await ends(house)] == ["just said"]
    await house.close()


async def test_questions_wait_for_their_turn() -> None:
    """While an answer streams the next questions of the thread wait, and are answered one after the other."""
    house, scripts = a_house()
    await house.open()
    for number in range(3):
        await house.say(f"question {number}", message_id=f"m{number}")
    await settle()
    assert list(house.state.assistant.waiting) == ["m1", "m2"]
    await house.clock.advance(5)
    assert [one.question.text for one in scripts[0].asked] == ["question 0", "question 1", "question 2"]
    assert [len(one.history) for one in scripts[0].asked] == [0, 2, 4]
    assert house.state.assistant.waiting == ()
    assert len(await ends(house)) == 3
    await house.close()


async def test_a_question_is_opened_once_whatever_happens_between() -> None:
    """A crash after the terminal event and before the next opening: the next life opens what waits, once."""
    house, scripts = a_house()
    await house.open()
    await house.say("first", message_id="m1")
    await house.say("second", message_id="m2")
    await house.say("third", message_id="m3")
    await house.producers[0].close()
    await house.act("ana", "user.interrupt", {"message_id": answer_id("m1")})
    assert list(next_questions(house.state)) == ["m2"]
    await house.open()
    await house.clock.advance(5)
    types = await house.types()
    assert types.count("message.stream") == 3
    assert types.count("llm.completed") == 2
    assert [one.question.text for one in scripts[-1].asked] == ["second", "third"]
    await house.close()


async def test_superseding_ends_one_run_and_starts_another() -> None:
    """The older answer is interrupted with what was sent; the newer question is answered at once."""
    house, scripts = a_house(silent)
    await house.open()
    await house.say("first", message_id="m1")
    await house.clock.advance(0.1)
    await house.say("second", message_id="m2", supersede=True)
    await settle()
    assert [(end.text, getattr(end, "reason", "")) for end in await ends(house)] == [
        ("half an answer", "superseded")
    ]
    assert scripts[0].left == 1
    assert house.state.assistant.streaming == (answer_id("m2"),)
    await house.close()


async def test_threads_do_not_wait_for_each_other_but_for_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Questions of other threads that had no room are opened when any answer ends."""
    monkeypatch.setattr(limits, "open_streams_max", 2)
    house, _ = a_house(silent)
    await house.open()
    for number in range(4):
        await house.act("ana", "user.create_thread", {"thread_id": f"t{number}", "title": "T"})
        await house.say("hello", message_id=f"m{number}", thread_id=f"t{number}")
    await settle()
    assert len(house.state.assistant.streaming) == 2
    assert house.state.assistant.waiting == ("m2", "m3")
    await house.act("ana", "user.interrupt", {"message_id": answer_id("m1")})
    await settle()
    assert house.state.assistant.streaming == (answer_id("m0"), answer_id("m2"))
    await house.close()


async def test_a_question_that_lost_its_turn_gets_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where somebody else takes the room in between, the next end opens the question that waited."""
    monkeypatch.setattr(limits, "open_streams_max", 1)
    house, _ = a_house(silent)
    await house.open()
    for number in range(3):
        await house.act("ana", "user.create_thread", {"thread_id": f"t{number}", "title": "T"})
    await house.say("hello", message_id="m0", thread_id="t0")
    await house.say("hello", message_id="m1", thread_id="t1")
    await house.act("ana", "user.interrupt", {"message_id": answer_id("m0")})
    # Ahead of the runner: the answer to the interrupt comes before the producers hear of it.
    await house.say("hello", message_id="m2", thread_id="t2")
    await settle()
    assert house.state.assistant.streaming == (answer_id("m2"),)
    await house.act("ana", "user.interrupt", {"message_id": answer_id("m2")})
    await settle()
    assert house.state.assistant.streaming == (answer_id("m1"),)
    await house.close()


async def test_a_ledger_that_cannot_be_asked_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """An action that did not settle is submitted again with the same id until it does."""
    house, _ = a_house()
    workspace = await house.open()
    tried: list[str] = []
    submit = workspace.submit

    async def unwilling(
        actor: str, kind: str, action_id: str, payload: bytes, *, because: str | None = None
    ) -> object:
        if kind == "assistant.complete":
            tried.append(action_id)
            if len(tried) < 4:
                raise WorkspaceUnavailable("not now")
        return await submit(actor, kind, action_id, payload, because=because)

    monkeypatch.setattr(workspace, "submit", unwilling)
    await house.say("hello")
    await house.clock.advance(1)
    assert not await ends(house)
    await house.clock.advance(10)
    assert len(await ends(house)) == 1
    assert len(tried) == 4
    assert len(set(tried)) == 1
    await house.close()


async def test_a_broken_workspace_leaves_its_answers_to_the_next() -> None:
    """Where the commit of the terminal event failed, the run ends; the next life seals or finds it complete."""
    ledger = FaultyLedger()
    house, _ = a_house(ledger=ledger)
    await house.open()
    await house.say("hello")
    ledger.fail_next(LedgerUnavailable("the disk is gone"), kept=True)
    await house.clock.advance(limits.backoff_max_s)
    await house.close()
    await ledger.reopen()
    await house.open()
    await settle()
    assert len(await ends(house)) == 1
    await house.close()


async def test_nothing_starts_after_the_stop() -> None:
    """A commit behind the stop of the producers starts no run; it is the next start's."""
    house, scripts = a_house()
    await house.open()
    await house.producers[0].close()
    await house.say("late")
    await house.clock.advance(1)
    assert not scripts[0].asked
    await house.open()
    await settle()
    assert [getattr(end, "reason", "") for end in await ends(house)] == ["server_restart"]
    await house.close()


async def test_tools_act_under_ids_of_the_answer() -> None:
    """What an assistant does has an id of its own for each act, names its cause, and comes back as an outcome."""
    outcomes: list[object] = []

    class Doer(Script):
        async def answer(self, request: AnswerRequest, tools: Tools) -> AsyncIterator[str]:
            outcomes.append(await tools.act("assistant.create_task", {"title": "a"}))
            outcomes.append(await tools.act("assistant.create_task", {"title": ""}))
            outcomes.append(await tools.seen(lambda state: len(state.tasks) or None, 1.0))
            outcomes.append(await tools.seen(lambda state: None, 1.0))
            yield "done"

    house, _ = a_house(Doer)
    await house.open()
    await house.say("do it")
    await house.clock.advance(2)
    assert isinstance(outcomes[0], Applied)
    assert [getattr(one, "code", one) for one in outcomes[1:]] == ["invalid", 1, None]
    created = next(one for one in await house.events() if one.type == "task.created")
    opened = next(one for one in await house.events() if one.type == "message.stream")
    assert (created.actor, created.because) == ("assistant", opened.event_id)
    assert [end.text for end in await ends(house)] == ["done"]
    await house.close()


async def test_no_task_and_no_sleeper_stays() -> None:
    """After the close nothing of an answer is left."""
    house, scripts = a_house(silent)
    await house.open()
    await house.say("hello")
    await house.clock.advance(1)
    await house.close()
    assert scripts[0].left == 1
    assert house.clock.asleep == 0
