"""The rules of conversations: who answers when, what waits, what interrupts what."""

from __future__ import annotations

import pytest
from hypothesis import given

from protocol import limits
from protocol.actions import answer_id, derived_id
from protocol.decide import decide, mentions_assistant
from protocol.errors import Refused
from protocol.events import (
    LlmCompleted,
    LlmInterrupted,
    MessageCreated,
    MessageStream,
    ThreadCreated,
    ThreadFields,
    ThreadUpdated,
    Usage,
)
from protocol.state import AssistantState, Settings
from tests.support.fixtures import (
    a_context,
    a_message,
    a_state,
    a_thread,
    an_action,
    an_answer,
    decided,
    names_of,
    refusal,
)
from tests.support.strategies import Story, stories

OPEN = (a_message("m1", 1), an_answer("an1", 2))
"""A question whose answer streams in `main`."""


def test_a_message_opens_its_answer() -> None:
    """The message, and in the same action the opened answer: by the sender, its id derived, the model the set one."""
    state = a_state(settings=Settings(model="m"))
    payloads, after = decided(state, an_action("user.message", message_id="q", text="hello"))
    assert payloads == (
        MessageCreated(entity=a_message("q", 0, text="hello")),
        MessageStream(message_id=answer_id("q"), thread_id="main", reply_to="q", model="m"),
    )
    assert after.assistant == AssistantState(streaming=(answer_id("q"),))
    assert after.messages[answer_id("q")].author == "assistant"


def test_a_message_without_an_id_gets_a_derived_one() -> None:
    """From the action's own id, the same on both ends."""
    action = an_action("user.message", text="hello")
    (created, _), _ = decided(a_state(), action)
    assert isinstance(created, MessageCreated)
    assert created.entity.message_id == derived_id("ana", action)


def test_a_message_waits_while_an_answer_streams_in_its_thread() -> None:
    """It is `waiting` and nothing is opened; another thread does not wait."""
    state = a_state(*OPEN, a_thread("th1"))
    payloads, after = decided(state, an_action("user.message", message_id="q", text="x"))
    assert payloads == (MessageCreated(entity=a_message("q", 0, text="x", status="waiting")),)
    assert after.assistant == AssistantState(streaming=("an1",), waiting=("q",))
    payloads, _ = decided(state, an_action("user.message", text="x", thread_id="th1"))
    assert names_of(payloads) == ("message.created", "message.stream")


def test_a_message_waits_behind_one_that_waits() -> None:
    """Between an answer's end and the next one's begin nobody overtakes."""
    state = a_state(a_message("w", 1, status="waiting"))
    payloads, _ = decided(state, an_action("user.message", text="x"))
    assert names_of(payloads) == ("message.created",)


def test_supersede_interrupts_first() -> None:
    """The open answer ends with all that it has said, as an event of the same action; then the new one opens."""
    action = an_action("user.message", message_id="q", text="x", supersede=True)
    payloads, after = decided(a_state(*OPEN), action, a_context(stream_texts={"an1": "so far"}))
    assert payloads[0] == LlmInterrupted(message_id="an1", text="so far", reason="superseded")
    assert names_of(payloads) == ("llm.interrupted", "message.created", "message.stream")
    assert after.messages["an1"].text == "so far"
    assert after.assistant.streaming == (answer_id("q"),)


def test_supersede_without_an_open_answer_is_a_message() -> None:
    """There is nothing to interrupt."""
    payloads, _ = decided(a_state(), an_action("user.message", text="x", supersede=True))
    assert names_of(payloads) == ("message.created", "message.stream")


@pytest.mark.parametrize(
    ("mode", "text", "answered"),
    [
        ("always", "hello", True),
        ("mention", "hello", False),
        ("mention", "@assistant hello", True),
        ("never", "@assistant hello", False),
    ],
)
def test_when_the_assistant_answers(mode: str, text: str, answered: bool) -> None:
    """Always, when it is mentioned, or never, so that people can talk among themselves."""
    state = a_state(a_thread("th1", assistant=mode))
    payloads, _ = decided(state, an_action("user.message", text=text, thread_id="th1"))
    assert names_of(payloads) == (("message.created", "message.stream") if answered else ("message.created",))


def test_people_talk_on_while_the_assistant_answers_one() -> None:
    """A message that wants no answer waits for none."""
    state = a_state(a_thread("th1", assistant="mention"), an_answer(thread_id="th1"))
    (created,), _ = decided(state, an_action("user.message", text="lunch?", thread_id="th1"))
    assert isinstance(created, MessageCreated)
    assert created.entity.status == "complete"


@pytest.mark.parametrize(
    ("text", "mentioned"),
    [
        ("@assistant", True),
        ("hey @Assistant, plan", True),
        ("(@assistant)", True),
        ("so,@assistant?", True),
        ("@assistant's idea", True),
        ("assistant", False),
        ("@assistants", False),
        ("ana@assistant.example", False),
        ("@@assistant", False),
        ("@assistant-two", False),
        ("@assistänt", False),
        ("", False),
    ],
)
def test_what_is_a_mention(text: str, mentioned: bool) -> None:
    """`@assistant` as a word of its own, whatever stands around it; an address is none."""
    assert mentions_assistant(text) is mentioned


def test_a_thread_that_is_not_there() -> None:
    """A message to nowhere is not found, one to an archived thread is a conflict."""
    refused = refusal(a_state(), an_action("user.message", text="x", thread_id="gone"))
    assert (refused.code, refused.field) == ("not_found", "thread_id")
    state = a_state(a_thread("th1", archived=True))
    refused = refusal(state, an_action("user.message", text="x", thread_id="th1"))
    assert (refused.code, refused.field) == ("conflict", "thread_id")


def test_a_message_id_that_is_taken() -> None:
    """The question's id, and that of its answer, must be new."""
    assert (
        refusal(a_state(a_message("m1")), an_action("user.message", message_id="m1", text="x")).code
        == "conflict"
    )
    context = a_context(used=frozenset({answer_id("m2")}))
    assert (
        refusal(a_state(), an_action("user.message", message_id="m2", text="x"), context).code == "conflict"
    )


def test_too_many_open_answers_make_others_wait() -> None:
    """A workspace has 32 answers open; the next question waits in a thread of its own, and opens in its turn."""
    threads = [a_thread(f"th{place}") for place in range(limits.open_streams_max)]
    answers = [
        an_answer(f"a{place}", place + 1, thread_id=f"th{place}") for place in range(limits.open_streams_max)
    ]
    state = a_state(*threads, *answers)
    (created,), after = decided(state, an_action("user.message", message_id="q", text="x"))
    assert isinstance(created, MessageCreated)
    assert created.entity.status == "waiting"
    turn = an_action("assistant.answer", reply_to="q")
    assert decided(after, turn, a_context("assistant"))[0] == ()
    _, less = decided(after, an_action("user.interrupt", message_id="a0"))
    assert names_of(decided(less, turn, a_context("assistant"))[0]) == ("message.stream",)


def test_too_many_waiting_messages() -> None:
    """The 100th may wait, one more is refused; a message that wants no answer goes through."""
    waiting = [
        a_message(f"w{place}", place + 10, status="waiting") for place in range(limits.waiting_messages_max)
    ]
    state = a_state(*OPEN, *waiting, a_thread("th1", assistant="never"))
    assert refusal(state, an_action("user.message", text="x")).code == "limit"
    assert not isinstance(
        decide(a_state(*OPEN, *waiting[1:]), an_action("user.message", text="x"), a_context()), Refused
    )
    assert decided(state, an_action("user.message", text="x", thread_id="th1"))[0]


# The ends of an answer


def test_an_interrupt_ends_an_open_answer() -> None:
    """With at least all the text that was sent; its reason is the person."""
    action = an_action("user.interrupt", message_id="an1")
    payloads, _ = decided(a_state(*OPEN), action, a_context("ed", stream_texts={"an1": "so"}))
    assert payloads == (LlmInterrupted(message_id="an1", text="so", reason="user"),)


@pytest.mark.parametrize("status", ["complete", "interrupted"])
def test_an_interrupt_that_comes_late_is_applied(status: str) -> None:
    """What no longer streams is left as it is, without an event; what never was is not found."""
    state = a_state(an_answer(status=status, text="so"))
    assert decided(state, an_action("user.interrupt", message_id="an1"))[0] == ()
    assert refusal(state, an_action("user.interrupt", message_id="gone")).code == "not_found"


def test_a_waiting_message_gets_its_answer() -> None:
    """The producer opens it once; while another streams in the thread, or when it no longer waits, nothing happens."""
    waiting = a_message("w", 3, status="waiting")
    turn, assistant = an_action("assistant.answer", reply_to="w"), a_context("assistant")
    payloads, after = decided(a_state(waiting), turn, assistant)
    assert payloads == (
        MessageStream(message_id=answer_id("w"), thread_id="main", reply_to="w", model="builtin"),
    )
    assert after.messages["w"].status == "complete"
    assert decided(after, turn, assistant)[0] == ()
    assert decided(a_state(*OPEN, waiting), turn, assistant)[0] == ()
    assert refusal(a_state(), turn, assistant).code == "not_found"


def test_the_assistant_completes_its_answer() -> None:
    """With its whole text and what it cost; a second end changes nothing."""
    action = an_action("assistant.complete", message_id="an1", text="so", usage={"input_tokens": 3})
    payloads, after = decided(a_state(*OPEN), action, a_context("assistant"))
    assert payloads == (LlmCompleted(message_id="an1", text="so", usage=Usage(input_tokens=3)),)
    assert decided(after, action, a_context("assistant"))[0] == ()


@pytest.mark.parametrize("name", ["assistant.interrupt", "system.interrupt"])
@pytest.mark.parametrize("reason", ["error", "stalled", "server_restart"])
def test_an_answer_ends_before_its_time(name: str, reason: str) -> None:
    """The text that there is, and why."""
    action = an_action(name, message_id="an1", text="s", reason=reason)
    payloads, _ = decided(a_state(*OPEN), action, a_context("assistant"))
    assert payloads == (LlmInterrupted(message_id="an1", text="s", reason=reason),)  # type: ignore[arg-type]  # one of the reasons


@given(stories())
def test_at_most_one_answer_streams_in_a_thread(story: Story) -> None:
    """However people, the assistant and interrupts follow each other."""
    for step in story.steps:
        threads = [step.after.messages[one].thread_id for one in step.after.assistant.streaming]
        assert len(threads) == len(set(threads))


@given(stories())
def test_every_question_is_answered_or_waits(story: Story) -> None:
    """A message that waits has no answer yet; one that has waited has exactly one."""
    state = story.state
    answers = [one.reply_to for one in state.messages.values() if one.role == "assistant"]
    assert len(answers) == len(set(answers))
    assert not set(answers) & set(state.assistant.waiting)


# Threads


def test_a_thread_is_created_and_changed() -> None:
    """Whole at first, then only what changed."""
    payloads, state = decided(a_state(), an_action("user.create_thread", thread_id="th1", title="Garden"))
    assert payloads == (ThreadCreated(entity=a_thread("th1")),)
    payloads, _ = decided(
        state, an_action("user.update_thread", thread_id="th1", title="Garden", archived=True)
    )
    assert payloads == (
        ThreadUpdated(thread_id="th1", set=ThreadFields(archived=True), was=ThreadFields(archived=False)),
    )
    assert decided(state, an_action("user.update_thread", thread_id="th1", title="Garden"))[0] == ()


def test_threads_that_cannot_be() -> None:
    """`main` is taken, one that is not there cannot be changed, and 1,000 are enough."""
    assert refusal(a_state(), an_action("user.create_thread", thread_id="main", title="x")).code == "conflict"
    assert (
        refusal(a_state(), an_action("user.update_thread", thread_id="gone", title="x")).code == "not_found"
    )
    many = [a_thread(f"n{place}") for place in range(limits.threads_max - 1)]
    assert refusal(a_state(*many), an_action("user.create_thread", title="x")).code == "limit"
    assert decided(a_state(*many[1:]), an_action("user.create_thread", title="x"))[0]
