"""Events: the names of the contract, their payloads on the wire, and that `set` and `was` invert."""

from __future__ import annotations

import json
from typing import get_args

import msgspec
import pytest
from hypothesis import given

from protocol.codec import encode_payload
from protocol.events import (
    EVENTS,
    TYPE_OF,
    WHOLE_ENTITY,
    MemoryUpdated,
    Payload,
    SettingsUpdated,
    TaskUpdated,
    ThreadUpdated,
    Unknown,
)
from protocol.reduce import reduce
from protocol.state import State
from tests.support.fixtures import an_event
from tests.support.strategies import Story, stories

CONTRACT = """
message.created message.stream llm.completed llm.interrupted task.created task.updated task.deleted
daily_plan.start assistant.plan.generated daily_plan.complete memory.added memory.updated memory.removed
reminder.set reminder.dismissed reminder.snoozed assistant.reminder thread.created thread.updated
settings.updated member.set member.removed assistant.proposed proposal.approved proposal.declined
assistant.digest_created
"""


def test_the_event_types_of_the_contract() -> None:
    """Every event that the contract names has its payload type, and no other is there."""
    assert set(EVENTS) == set(CONTRACT.split())


def test_every_payload_has_one_name() -> None:
    """A payload's type says the event's name, both ways."""
    assert {TYPE_OF[kind]: kind for kind in EVENTS.values()} == EVENTS
    assert set(get_args(Payload)) == {*EVENTS.values(), Unknown}


@pytest.mark.parametrize("kind", list(WHOLE_ENTITY), ids=lambda kind: TYPE_OF[kind])
def test_a_whole_entity_is_flat(kind: type[msgspec.Struct]) -> None:
    """`X.created`, `X.added` and `X.set` are the entity itself: no wrapper reaches the wire."""
    assert kind.__struct_fields__ == ("entity",)


@given(stories())
def test_an_update_says_only_what_changed(story: Story) -> None:
    """`set` and `was` have the same fields, every one of them different, and no bookkeeping."""
    for event in story.events:
        if event.type.endswith(".updated"):
            payload = json.loads(encode_payload(event.payload))
            assert payload["set"].keys() == payload["was"].keys() != set()
            assert all(payload["set"][name] != payload["was"][name] for name in payload["set"])
            assert not payload["set"].keys() & {"version", "updated_at", "closed_at"}


@given(stories())
def test_set_and_was_invert(story: Story) -> None:
    """An update followed by the same one with `set` and `was` exchanged leaves every field as it had been."""
    for step in story.steps:
        state = step.before
        for event in step.events:
            inverse, after = inverted(event.payload), reduce(state, event)
            if inverse is not None:
                back = reduce(after, an_event(inverse, event.seq + 1))
                assert told_by(back, event.payload) == told_by(state, event.payload)
                assert told_by(after, event.payload) != told_by(state, event.payload)
            state = after


def inverted(payload: Payload) -> Payload | None:
    """The update that takes an update back; None for what is none."""
    match payload:
        case TaskUpdated(version=version, set=wanted, was=was):
            return msgspec.structs.replace(payload, version=version + 1, set=was, was=wanted)
        case (
            MemoryUpdated(set=wanted, was=was)
            | ThreadUpdated(set=wanted, was=was)
            | SettingsUpdated(set=wanted, was=was)
        ):
            return msgspec.structs.replace(payload, set=was, was=wanted)
        case _:
            return None


def told_by(state: State, payload: Payload) -> object:
    """What an update is about, without the bookkeeping."""
    match payload:
        case TaskUpdated(task_id=task_id):
            return msgspec.structs.replace(state.tasks[task_id], version=0, updated_at="", closed_at=None)
        case MemoryUpdated(memory_id=memory_id):
            return state.memory[memory_id]
        case ThreadUpdated(thread_id=thread_id):
            return state.threads[thread_id]
        case _:
            return state.settings


@given(stories())
def test_what_is_removed_is_kept_whole_in_its_event(story: Story) -> None:
    """`X.deleted` and `X.removed` carry the entity as it was."""
    for step in story.steps:
        for event in step.events:
            if event.type.endswith((".deleted", ".removed")):
                was = event.payload.was  # type: ignore[union-attr]  # these payloads have it
                tables = (step.before.tasks, step.before.memory, step.before.members)
                assert any(was == one for table in tables for one in table.values())


def test_an_unknown_payload_has_no_name_of_ours() -> None:
    """An event from tomorrow names itself."""
    assert Unknown not in TYPE_OF
