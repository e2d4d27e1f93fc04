"""The rules of memory."""

from __future__ import annotations

import pytest

from protocol import limits
from protocol.actions import derived_id
from protocol.events import MemoryAdded, MemoryFields, MemoryRemoved, MemoryUpdated
from tests.support.fixtures import a_context, a_memory, a_state, an_action, decided, entity_of, refusal

TEA = "Ana likes tea"


def test_something_is_remembered() -> None:
    """Whole, with its tags, by whom; written down by a person it has no source."""
    action = an_action("user.remember", memory_id="me1", text=TEA, tags=["food"], pinned=True)
    payloads, state = decided(a_state(), action)
    assert payloads == (MemoryAdded(entity=a_memory(tags=("food",), pinned=True)),)
    assert state.memory["me1"].source is None


def test_a_memory_without_an_id_gets_a_derived_one() -> None:
    """From the action's own id."""
    action = an_action("user.remember", text=TEA)
    (added,), _ = decided(a_state(), action)
    assert entity_of(added).memory_id == derived_id("ana", action)  # type: ignore[attr-defined]  # a memory


def test_what_the_assistant_remembers_has_a_source() -> None:
    """The event that it came from."""
    action = an_action("assistant.remember", text=TEA)
    (added,), _ = decided(a_state(), action, a_context("assistant", because="e7"))
    assert entity_of(added).source == "e7"  # type: ignore[attr-defined]  # a memory
    assert entity_of(added).created_by == "assistant"  # type: ignore[attr-defined]  # a memory


def test_a_memory_is_updated_by_what_changed() -> None:
    """Fields that are as they were are left out; nothing changed gives no event."""
    action = an_action("user.update_memory", memory_id="me1", text=TEA, pinned=True)
    payloads, state = decided(a_state(a_memory()), action)
    assert payloads == (
        MemoryUpdated(memory_id="me1", set=MemoryFields(pinned=True), was=MemoryFields(pinned=False)),
    )
    assert decided(state, action)[0] == ()


def test_a_memory_is_forgotten_with_all_that_it_was() -> None:
    """The event has the whole of it."""
    payloads, state = decided(a_state(a_memory()), an_action("user.forget", memory_id="me1"))
    assert payloads == (MemoryRemoved(memory_id="me1", was=a_memory()),)
    assert not state.memory


@pytest.mark.parametrize("name", ["user.update_memory", "user.forget"])
def test_a_memory_that_is_not_there(name: str) -> None:
    """It is not found."""
    refused = refusal(a_state(), an_action(name, memory_id="gone"))
    assert (refused.code, refused.field) == ("not_found", "memory_id")


def test_an_id_that_is_taken() -> None:
    """A memory that was forgotten keeps its id to itself."""
    action = an_action("user.remember", memory_id="me1", text=TEA)
    assert refusal(a_state(a_memory()), action).code == "conflict"
    assert refusal(a_state(), action, a_context(used=frozenset({"me1"}))).field == "memory_id"


def test_memory_is_full() -> None:
    """The 5,000th is taken, one more is refused."""
    many = [a_memory(f"n{place}") for place in range(limits.memories_max)]
    action = an_action("user.remember", text=TEA)
    assert decided(a_state(*many[1:]), action)[0]
    refused = refusal(a_state(*many), action)
    assert refused.code == "limit"
    assert "5000" in refused.message
