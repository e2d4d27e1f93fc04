"""State: entries are put and dropped, and what follows from them (order, digest) never differs from a fresh start."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.state import (
    COLLECTIONS,
    INITIAL,
    KEYS,
    SINGLES,
    AssistantState,
    Settings,
    State,
    assemble,
    drop,
    entries_of,
    key_of,
    put,
    put_assistant,
    put_settings,
    recomputed,
    text_bytes,
)
from tests.support.fixtures import a_message, a_state, a_task, an_answer
from tests.support.strategies import TEXTS, structs

NAMES = sorted(COLLECTIONS)
ENTRIES = st.sampled_from(NAMES).flatmap(lambda name: st.tuples(st.just(name), structs(COLLECTIONS[name])))
CHANGES = st.lists(st.tuples(ENTRIES, st.booleans()), max_size=30)


def changed(changes: list) -> State:
    """The state after puts and drops."""
    state = INITIAL
    for (collection, entry), stays in changes:
        state = put(state, collection, entry) if stays else drop(state, collection, key_of(entry))
    return state


@given(CHANGES)
def test_what_follows_from_entries_is_what_a_fresh_start_makes(changes: list) -> None:
    """After any puts and drops, replacing and moving entries too, order and digest equal those made from nothing."""
    state = changed(changes)
    again = assemble(entries_of(state), state.settings, state.assistant)
    assert state == again
    assert state.digest == recomputed(state)


@given(st.lists(ENTRIES, max_size=20), st.randoms(use_true_random=False))
def test_the_order_of_entries_does_not_matter(entries: list, chance: object) -> None:
    """A state is a set of entries: however they come, it is the same."""
    distinct = {(collection, key_of(entry)): (collection, entry) for collection, entry in entries}
    shuffled = list(distinct.values())
    chance.shuffle(shuffled)  # type: ignore[attr-defined]  # a random.Random
    one = assemble(distinct.values(), Settings(), AssistantState())
    assert one == assemble(shuffled, Settings(), AssistantState())


def test_an_old_state_stays_as_it_was() -> None:
    """A state is a value: what is put or dropped later is not in it."""
    before = a_state(a_task("t1"))
    digest = before.digest
    put(before, "tasks", a_task("t2"))
    drop(before, "tasks", "t1")
    assert set(before.tasks) == {"t1"}
    assert (before.digest, recomputed(before)) == (digest, digest)


def test_dropping_what_is_not_there_changes_nothing() -> None:
    """The same state comes back."""
    state = a_state()
    assert drop(state, "tasks", "nobody") is state


def test_open_tasks_are_counted_and_closed_ones_ordered() -> None:
    """The order knows how many tasks are open, and the closed ones by the time of their closing."""
    late, early = (
        a_task("a", status="done", closed_at="2026-02"),
        a_task("b", status="dropped", closed_at="2026-01"),
    )
    state = a_state(late, early, a_task("c"), a_task("d", status="doing"))
    assert state.order.open_tasks == 2
    assert state.order.closed_tasks == (("2026-01", "b"), ("2026-02", "a"))
    state = put(state, "tasks", a_task("a"))
    assert (state.order.open_tasks, state.order.closed_tasks) == (3, (("2026-01", "b"),))


def test_messages_stand_in_the_order_of_the_ledger() -> None:
    """However they were put, a thread's messages come oldest first, with the bytes of all their text."""
    state = a_state(a_message("z", 1, text="é"), a_message("a", 3, text="abc"), a_message("m", 2, text="x"))
    assert [one.message_id for one in state.thread_messages("main")] == ["z", "m", "a"]
    assert state.order.threads["main"].text_bytes == 6
    assert list(state.thread_messages("nowhere")) == []


def test_a_message_that_comes_again_stands_where_it_is_now() -> None:
    """A message put again with another place or thread leaves nothing behind where it was."""
    state = a_state(a_message("m1", 1), a_message("m2", 2))
    state = put(state, "messages", a_message("m1", 3))
    assert [one.message_id for one in state.thread_messages("main")] == ["m2", "m1"]
    state = put(state, "messages", a_message("m1", 3, thread_id="th1"))
    state = put(state, "messages", a_message("m2", 4, thread_id="th1"))
    assert [one.message_id for one in state.thread_messages("th1")] == ["m1", "m2"]
    assert "main" not in state.order.threads


@given(structs(Settings), structs(AssistantState))
def test_settings_and_the_assistant_count_in_the_digest(
    settings: Settings, assistant: AssistantState
) -> None:
    """Their fields are fingerprinted like entries, incrementally and from nothing alike."""
    state = put_assistant(put_settings(a_state(), settings), assistant)
    assert state.digest == recomputed(state)
    assert (state.digest == a_state().digest) == ((settings, assistant) == (Settings(), AssistantState()))


@given(TEXTS)
def test_text_is_measured_in_utf8(text: str) -> None:
    """Bytes, not characters."""
    assert text_bytes(text) == len(text.encode())


@pytest.mark.parametrize("name", NAMES)
def test_every_collection_knows_its_key(name: str) -> None:
    """Each kind of entry has a key field, which it does have."""
    kind = COLLECTIONS[name]  # type: ignore[index]  # a collection's name
    assert KEYS[kind] in kind.__struct_fields__


def test_the_names_of_the_contract() -> None:
    """State has the contract's collections and singles, and two fields that follow from them."""
    contract = "tasks threads messages memory plans reminders digests proposals members settings assistant"
    assert [*COLLECTIONS, *SINGLES] == contract.split()
    assert set(State.__struct_fields__) == {*COLLECTIONS, *SINGLES, "order", "digest"}


def test_an_empty_ledger_has_the_main_thread() -> None:
    """`main` always exists; nothing else does."""
    assert list(INITIAL.threads) == ["main"]
    assert len(list(entries_of(INITIAL))) == 1
    assert INITIAL.settings == Settings()


def test_entries_come_by_key() -> None:
    """Whatever the process's hash seed, equal states are told in the same order."""
    names = [f"m{number}" for number in range(50)]
    state = a_state(*(a_message(name) for name in names))
    told = [(name, getattr(entry, KEYS[type(entry)])) for name, entry in entries_of(state)]
    assert [key for name, key in told if name == "messages"] == sorted(names)
    assert [*dict.fromkeys(name for name, _ in told)] == [
        name for name in COLLECTIONS if getattr(state, name)
    ]


def test_the_fixture_knows_what_is_open() -> None:
    """A state made for a test lists its open answers and waiting messages as a real one does."""
    state = a_state(a_message(), an_answer(), a_message("m2", 3, status="waiting"))
    assert state.assistant == AssistantState(streaming=("an1",), waiting=("m2",))
