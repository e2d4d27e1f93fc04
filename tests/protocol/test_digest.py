"""The digest: kept with every change, recomputed, and computed by another program from the contract's words alone."""

from __future__ import annotations

import hashlib
import json

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from protocol.codec import encode_state
from protocol.events import Unknown
from protocol.reduce import fold, reduce
from protocol.state import INITIAL, Task, canonical, fingerprint, put, recomputed
from tests.support.fixtures import a_state, a_task, an_event
from tests.support.strategies import WHOLE_VALUES, Story, any_events, stories

GOLDEN_INITIAL = "f205406da72aa3502d19a3f7eada32db"
"""The digest of an empty ledger; it changes only together with the reducer's version."""


def contract_digest(state: object) -> str:
    """The contract: the sum modulo 2^128, as 32 hex digits, of BLAKE2b-128 (big-endian) over `collection NUL key NUL
    canonical JSON of the entry` for every entry of every collection (`settings` and `assistant` count as collections
    of their fields). Canonical JSON: keys by code point, no spaces, UTF-8 unescaped."""
    total = 0
    for collection, entries in state.items():  # type: ignore[attr-defined]  # a JSON object
        for key, entry in entries.items():
            text = json.dumps(entry, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
            hashed = hashlib.blake2b(f"{collection}\0{key}\0{text}".encode(), digest_size=16)
            total += int.from_bytes(hashed.digest(), "big")
    return f"{total % 2**128:032x}"


@given(stories())
def test_another_program_gets_the_same_digest(story: Story) -> None:
    """The digest of the state as it stands on the wire, by the contract's text, is ours."""
    assert contract_digest(json.loads(encode_state(story.state))) == story.state.digest_hex


@given(any_events())
def test_the_digest_holds_whatever_happened(events: tuple) -> None:
    """After every single event, likely or not, the digest that is kept is the one made from nothing."""
    state = INITIAL
    for event in events:
        state = reduce(state, event)
        assert state.digest == recomputed(state)
    assert contract_digest(json.loads(encode_state(state))) == state.digest_hex


@given(any_events())
def test_folding_twice_gives_the_same(events: tuple) -> None:
    """The same ledger makes the same state and the same digest, every time."""
    one, other = fold(INITIAL, events), fold(INITIAL, events)
    assert one == other
    assert one.digest_hex == other.digest_hex


@given(WHOLE_VALUES)
def test_canonical_json_is_what_another_program_writes(value: object) -> None:
    """Keys by code point, no spaces, UTF-8 unescaped: byte for byte what the standard library makes of it.

    The one thing left open is how control characters are escaped; both write the short forms, or lower-case \\u00xx.
    """
    written = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert canonical(value) == written.encode()


def test_keys_are_sorted_by_code_point() -> None:
    """Beyond the basic plane too, where UTF-16 would sort otherwise."""
    assert (
        canonical({"\U00010000": 1, "\uffff": 2, "Z": 3, "a": 4})
        == '{"Z":3,"a":4,"\uffff":2,"\U00010000":1}'.encode()
    )


def test_an_entry_counts_with_its_place() -> None:
    """The same entry under another key or in another collection has another fingerprint."""
    entry = a_task()
    assert (
        len(
            {
                fingerprint("tasks", "t1", entry),
                fingerprint("tasks", "t2", entry),
                fingerprint("x", "t1", entry),
            }
        )
        == 3
    )


@given(st.sampled_from(Task.__struct_fields__))
def test_no_field_of_a_task_is_left_out(field: str) -> None:
    """A difference in any field is a difference in the digest."""
    changed = msgspec.structs.replace(a_task(), **{field: "else"})
    assert put(INITIAL, "tasks", changed).digest != put(INITIAL, "tasks", a_task()).digest


def test_a_digest_is_32_hex_digits() -> None:
    """Leading zeros stay."""
    state = msgspec.structs.replace(a_state(), digest=0xABC)
    assert state.digest_hex == "0" * 29 + "abc"


def test_the_digest_of_an_empty_ledger_is_known() -> None:
    """It is part of what reducer version 1 means."""
    assert INITIAL.digest_hex == GOLDEN_INITIAL
    assert contract_digest(json.loads(encode_state(INITIAL))) == GOLDEN_INITIAL


def test_an_unknown_event_leaves_the_digest() -> None:
    """What reduces to nothing changes no fingerprint."""
    assert reduce(INITIAL, an_event(Unknown(fields={"a": 1}))) is INITIAL
