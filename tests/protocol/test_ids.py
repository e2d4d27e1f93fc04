"""Names and ids: the patterns at their bounds, ids that rise, the layout of a uuid v7."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import ids, limits

MILLISECONDS = st.integers(0, 2**48 - 1)


@pytest.mark.parametrize("name", ["a", "0", "ana", "ana.b-c_d", "a" * 63, "assistant"])
def test_a_name_that_an_actor_can_have(name: str) -> None:
    """Lower-case letters, digits, then dots, dashes and underscores too, 63 characters in all."""
    assert ids.is_actor(name)


@pytest.mark.parametrize("name", ["", "A", "-a", ".a", "_a", "a" * 64, "a b", "a\n", "é", "a/b", "а"])
def test_a_name_that_no_actor_can_have(name: str) -> None:
    """Nothing else is a name, a trailing newline and a Cyrillic а included."""
    assert not ids.is_actor(name)


@pytest.mark.parametrize(
    ("name", "valid"),
    [
        ("home", True),
        ("a" * 63, True),
        ("a" * 64, False),
        ("a.b", False),
        ("a_b", False),
        ("", False),
        ("a\n", False),
    ],
)
def test_workspace_names(name: str, valid: bool) -> None:
    """A workspace's name has no dots and no underscores."""
    assert ids.is_workspace(name) is valid


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        ("c", True),
        ("a b", True),
        ("~" * limits.client_action_id_characters_max, True),
        ("~" * (limits.client_action_id_characters_max + 1), False),
        ("", False),
        ("é", False),
        ("a\n", False),
        ("\x7f", False),
        ("a\x00", False),
    ],
)
def test_client_action_ids(text: str, valid: bool) -> None:
    """1 to 128 printable ASCII characters."""
    assert ids.is_client_action_id(text) is valid


@pytest.mark.parametrize(
    ("text", "valid"),
    [("t", True), ("!" * 128, True), ("!" * 129, False), ("", False), ("a b", False), ("a\n", False)],
)
def test_entity_ids(text: str, valid: bool) -> None:
    """1 to 128 visible ASCII characters, no space."""
    assert ids.is_entity_id(text) is valid


@given(
    st.lists(
        st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8),
        min_size=1,
        max_size=4,
    )
)
def test_a_derived_id_follows_from_its_parts(parts: list[str]) -> None:
    """The same parts give the same uuid v5, in canonical form; how they are cut matters."""
    made = ids.derive(*parts)
    assert made == ids.derive(*parts)
    assert ids.is_uuid(made)
    assert UUID(made).version == 5
    assert made != ids.derive(*parts, "")


def test_where_parts_are_cut_makes_another_id() -> None:
    """`a, bc` and `ab, c` are different causes."""
    assert ids.derive("a", "bc") != ids.derive("ab", "c")


@given(MILLISECONDS, st.integers(0, 2**12 - 1), st.integers(0, 2**64))
def test_a_uuid_v7_has_the_layout_of_the_standard(ms: int, counter: int, entropy: int) -> None:
    """48 bits of Unix milliseconds, the version, 12 bits of counter, the variant: as the standard library reads them."""
    made = UUID(ids.uuid_v7(ms, counter, entropy))
    assert (made.version, made.variant) == (7, "specified in RFC 4122")
    assert made.int >> 80 == ms
    assert made.int >> 64 & 0xFFF == counter
    assert made.int & (1 << 62) - 1 == entropy & (1 << 62) - 1
    assert ids.is_uuid(str(made))
    assert str(made) == ids.uuid_v7(ms, counter, entropy)


@given(MILLISECONDS, st.integers(0, 2**12 - 1), st.integers(0, 2**62))
def test_the_place_of_a_v7_id_is_read_back(ms: int, counter: int, entropy: int) -> None:
    """After a restart the sequence goes on from the last id of the ledger."""
    assert ids.position_of(ids.uuid_v7(ms, counter, entropy)) == (ms, counter)


def test_an_empty_ledger_has_no_place() -> None:
    """The sequence of a new workspace starts with its first event."""
    assert ids.position_of(None) == (0, 0)


@given(st.lists(st.tuples(st.integers(0, 2**45), st.integers(0, 2**62)), min_size=2, max_size=50))
def test_ids_rise_whatever_the_clock_says(ticks: list[tuple[int, int]]) -> None:
    """Event ids strictly rise, as text too, when the clock stands, jumps, or steps back."""
    last, made = (0, 0), []
    for now_ms, entropy in ticks:
        last = ids.successor(last, now_ms)
        made.append(ids.uuid_v7(*last, entropy))
    assert made == sorted(set(made))


def test_a_full_counter_takes_from_the_future() -> None:
    """After 4,096 ids of one millisecond the next one is a millisecond ahead of the clock, and no two are the same."""
    last, seen = (0, 0), []
    for _ in range(4_100):
        last = ids.successor(last, 1_000)
        seen.append(last)
    assert len(set(seen)) == len(seen)
    assert seen == sorted(seen)
    assert seen[-1] == (1_001, 3)


def test_reserved_names_are_names() -> None:
    """`assistant` and `system` have the form of an actor: only their meaning is taken."""
    assert all(ids.is_actor(name) for name in ids.RESERVED_ACTORS)
