"""Conversations with the built-in assistant, through the whole way. It is Monday, 23 November 2026, 09:00 in Berlin."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from protocol.errors import Refused
from protocol.state import Message, State, Task
from server.assistant.builtin import WORDS_PER_S, BuiltinAssistant
from server.assistant.port import CHANGES_MAX, AnswerRequest
from server.assistant.runner import Runner
from server.workflows.daily_plan import DailyPlan
from server.workspace import Applied, Producer
from tests.support.clocks import VirtualClock
from tests.support.states import make_state, make_task
from tests.support.workspaces import House

NOW = "2026-11-23T08:00:00.000Z"
T = make_task


def producers(clock: VirtualClock) -> Sequence[Producer]:
    return [Runner(BuiltinAssistant(clock), clock), DailyPlan(clock)]


class Told:
    """Tools that note what is done, and refuse it where a test says so."""

    def __init__(self, refusal: Refused | None = None) -> None:
        self.acts: list[tuple[str, object]] = []
        self._refusal = refusal

    async def act(self, action_type: str, fields: object) -> Applied | Refused:
        self.acts.append((action_type, fields))
        return self._refusal or Applied("applied", 1, ("e1",))

    async def seen(self, find: object, within_s: float) -> None:
        return None


class NoPause(VirtualClock):
    """Time that does not pass."""

    async def sleep(self, seconds: float) -> None:
        pass


def request(text: str, state: State | None = None, *said: str) -> AnswerRequest:
    question = Message(
        message_id="m", thread_id="main", role="user", author="ana", text=text, created_at=NOW, seq=9
    )
    history = tuple(replace(question, message_id=f"h{place}", text=one) for place, one in enumerate(said))
    return AnswerRequest(
        answer_id="a",
        thread_id="main",
        model="builtin",
        question=question,
        history=history,
        state=state or make_state(),
        now=NOW,
        because="e0",
    )


async def reply(text: str, *tasks: Task, tools: Told | None = None, state: State | None = None) -> str:
    pieces: AsyncIterator[str] = BuiltinAssistant(NoPause()).answer(
        request(text, state or make_state(*tasks)), tools or Told()
    )
    return "".join([piece async for piece in pieces])


async def talk(house: House, text: str) -> str:
    """Say something and read the whole answer."""
    await house.say(text)
    await house.clock.advance(30)
    *_, last = house.state.thread_messages("main")
    assert (last.role, last.status) == ("assistant", "complete")
    return last.text


async def test_a_conversation_on_the_whole_way() -> None:
    """What it says that it did is in the ledger, done by `assistant`."""
    house = House(producers)
    await house.open()
    assert await talk(house, "add buy milk tomorrow 17:00 #home !high ~20m") == (
        "Added “buy milk”, due tomorrow at 17:00, #home, high priority, 20 min."
    )
    assert await talk(house, "add:\n- call Bob today\n- read") == (
        "Added 2 tasks:\n\n- “call Bob”, due today\n- “read”"
    )
    assert await talk(house, "done milk") == "Done: “buy milk”."
    assert await talk(house, "remember that the key is under the mat") == (
        "I will remember: “the key is under the mat”."
    )
    assert await talk(house, "what do you remember about the key?") == (
        "I remember:\n\n- “the key is under the mat”"
    )
    assert await talk(house, "plan my day") == (
        "The plan for today:\n\n- 09:15 “call Bob”, 30 min: due today\n"
        "- 09:45 “read”, 30 min: there is room for it\n\n"
        "2 blocks today from 09:15 to 10:15, 1 h of work."
    )
    assert await talk(house, "what happened today?") == (
        "What happened today:\n\n- Done: “buy milk”.\n- New: “call Bob”, “buy milk” and “read”.\n"
        "- Conversation here: 6 messages from ana, lately “plan my day”.\n- Now: 2 open tasks, 1 due today."
    )
    created = [one for one in await house.events() if one.type == "task.created"]
    assert {one.actor for one in created} == {"assistant"}
    assert all(one.because for one in created)
    [memory] = house.state.memory.values()
    assert memory.source == next(one.because for one in await house.events() if one.type == "memory.added")
    await house.close()


async def test_it_speaks_at_a_human_pace() -> None:
    """Between 30 and 60 words a second, the first at once."""
    house = House(producers)
    await house.open()
    await house.say("help")
    await house.clock.advance(0)
    assert len(house.ear.heard.split()) == 1
    await house.clock.advance(1)
    assert 30 <= len(house.ear.heard.split()) <= 60
    assert 30 <= WORDS_PER_S <= 60
    await house.close()


LATE, TODAY, FRIDAY = (
    T("Pay rent", due="2026-11-20"),
    T("Call Bob", due="2026-11-23T16:00:00.000Z"),
    T("Report", due="2026-11-27", priority="high", tags=("work",)),
)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("what is late?", "1 task is late:\n\n- “Pay rent”, due on Friday"),
        (
            "what is due?",
            "Late:\n\n- “Pay rent”, due on Friday\n\nDue until 30 November:\n\n"
            "- “Call Bob”, due today at 17:00\n- “Report”, due on Friday, high",
        ),
        ("what is due tomorrow?", "Nothing is due tomorrow."),
        (
            "what is due today?",
            "Late:\n\n- “Pay rent”, due on Friday\n\nDue today:\n\n- “Call Bob”, due today at 17:00",
        ),
        ("list #work", "1 open task with #work:\n\n- “Report”, due on Friday, high"),
        ("list #none", "There are no open tasks with #none."),
        ("what next?", "“Pay rent”, 30 min, from 09:00: late since Friday."),
        ("what do you remember?", "I remember nothing yet."),
        ("what do you remember about Bob?", "I remember nothing about “Bob”."),
        ("thank you!", "You are welcome."),
        (
            "delete the report",
            "I delete nothing by myself. You can delete “the report” in the list of tasks.",
        ),
    ],
)
async def test_what_it_tells(text: str, answer: str) -> None:
    """Short answers with the names of tasks in quotes."""
    assert await reply(text, LATE, TODAY, FRIDAY) == answer


@pytest.mark.parametrize(
    "text", ["hello", "who are you?", "are you a robot", "help", "colourless green ideas"]
)
async def test_it_says_that_it_is_the_built_in_one(text: str) -> None:
    """Whoever greets it, asks, or is not understood learns what it is."""
    said = await reply(text)
    assert "built-in assistant" in said
    assert "language model" in said


async def test_what_it_does_not_understand_it_says() -> None:
    """It lists what it can do, and what looks like a task gets the word that makes it one."""
    assert (await reply("the moon")).startswith("I did not understand that.")
    assert (await reply("buy milk tomorrow")).startswith("If this is to be a task, write “add” before it.")


@pytest.mark.parametrize(
    ("text", "answer", "acts"),
    [
        ("done report", "Done: “Report”.", 1),
        ("done pay the rent", "Done: “Pay rent”.", 1),
        ("done reprot", "Done: “Report”.", 1),
        ("start the report", "Begun: “Report”.", 1),
        ("done call", "Which one do you mean by “call”: “Call Bob” and “Call Eve”?", 0),
        ("done wedding", "I find no open task like “wedding”.", 0),
        ("done swim", "“Swim” is done already.", 0),
        ("done report\ndone rent", "Done: “Report”.\nDone: “Pay rent”.", 2),
    ],
)
async def test_it_finds_a_task_by_its_words(text: str, answer: str, acts: int) -> None:
    """One task that fits is meant, several are asked about, and nothing is changed by a guess."""
    tools = Told()
    tasks = (LATE, TODAY, FRIDAY, T("Call Eve"), T("Swim", status="done"))
    assert await reply(text, *tasks, tools=tools) == answer
    assert len(tools.acts) == acts


@pytest.mark.parametrize(
    "text", ["add buy milk", "done report", "remember the key", "plan my day", "add:\na\nb"]
)
async def test_it_never_claims_what_was_refused(text: str) -> None:
    """The reason of a refusal is told, and nothing else."""
    said = await reply(text, FRIDAY, tools=Told(Refused("limit", "There are 10000 open tasks.")))
    assert "There are 10000 open tasks." in said
    assert "could not" in said
    assert not any(word in said for word in ("Added", "Done", "I will remember"))


async def test_it_changes_few_things_at_once() -> None:
    """What is over the bound is named, not done."""
    tools = Told()
    said = await reply("add:\n" + "\n".join(f"task {n}" for n in range(8)), tools=tools)
    assert len(tools.acts) == CHANGES_MAX
    assert "not added: “task 5”, “task 6” and “task 7”" in said
    tasks = [T(f"thing {n}") for n in range(8)]
    said = await reply("\n".join(f"done thing {n}" for n in range(8)), *tasks, tools=tools)
    assert len(tools.acts) == 2 * CHANGES_MAX
    assert "left: “thing 5”, “thing 6” and “thing 7”" in said


async def test_a_reminder_is_not_promised() -> None:
    """Asked to remind, it makes a task and says that it cannot ring."""
    assert "I cannot ring" in await reply("remind me to call Bob at 17:00")


async def test_a_plan_that_takes_long_is_not_claimed() -> None:
    """Without a plan in the state it says that the plan is still being made."""
    assert "still being made" in await reply("plan my day")


async def test_long_words_of_people_are_cut_and_stay_on_one_line() -> None:
    """A title with line breaks and Markdown stays one quoted line."""
    said = await reply("list", T("x\n\n# Ignore this and\n- obey" + "y" * 300))
    assert len(said.splitlines()) == 3
    assert said.splitlines()[2].startswith("- “x # Ignore this and - obey")


@given(st.text(max_size=200))
async def test_any_text_is_answered(text: str) -> None:
    """Never an exception, never silence."""
    assert (await reply(text, LATE, TODAY, FRIDAY)).strip()


@pytest.mark.parametrize(
    "piece", [".", " ", "\n", "a ", "#", "is ", "what is due ", "\t.", "!", "next monday or "]
)
@pytest.mark.parametrize("head", ["", "add ", "done ", "plan ", "remember ", "hi ", "what is due "])
async def test_hostile_texts_cost_little(head: str, piece: str) -> None:
    """A text of the largest size is answered in one go, whatever it repeats."""
    assert await reply(head + piece * (60_000 // len(piece)) + "x", FRIDAY)
