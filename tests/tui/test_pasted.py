"""Pastes, told from keys however the terminal cuts what it sends."""

from __future__ import annotations

import re
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui.pasted import PASTE_CHARACTERS_MAX, Pasted, Pastes

BEGIN, END = "\x1b[200~", "\x1b[201~"
PASTE = st.text(alphabet="ab\n\x1b[0;m]\x0720~1").filter(lambda text: END not in text + END[:-1])
KEYS = st.sampled_from(["a", "\r", "\x1b[A", "\x1b[2~", "jk", "\x1b[<0;3;4M"])
SENT = st.lists(st.one_of(KEYS, PASTE.map(Pasted)), max_size=8)


def raw(sent: Iterable[str | Pasted]) -> str:
    return "".join(f"{BEGIN}{one.text}{END}" if isinstance(one, Pasted) else one for one in sent)


def understood(parts: Iterable[str | Pasted]) -> list[str | Pasted]:
    """As a parser would that knows the markers: a paste that went on as characters is one, too."""
    found: list[str | Pasted] = []
    for part in joined(parts):
        if isinstance(part, Pasted):
            found.append(part)
            continue
        for place, piece in enumerate(re.split(r"\x1b\[200~([^\x1b]*)\x1b\[201~", part)):
            found.append(Pasted(piece.replace("␛", "\x1b")) if place % 2 else piece)
    return joined(found)


def joined(parts: Iterable[str | Pasted]) -> list[str | Pasted]:
    """With the characters between two pastes in one piece."""
    found: list[str | Pasted] = []
    for part in parts:
        if isinstance(part, str) and found and isinstance(found[-1], str):
            found[-1] += part
        elif part:
            found.append(part)
    return found


@given(SENT, st.lists(st.integers(1, 12)))
def test_however_it_is_cut_it_is_the_same(sent: list[str | Pasted], sizes: list[int]) -> None:
    """Keys stay keys and pastes stay whole, with all that is in them."""
    pastes, text = Pastes(), raw(sent) + "z"
    parts: list[str | Pasted] = []
    for size in [*sizes, len(text) + 1]:
        parts += pastes.feed(text[:size])
        text = text[size:]
    assert understood(parts) == joined([*sent, "z"])


@pytest.mark.parametrize("key", ["\x1b", "\x1b[", "a", "\x1b[A"])
def test_a_key_is_not_held_back(key: str) -> None:
    """A person waits for it."""
    assert list(Pastes().feed(key)) == [key]


def test_a_paste_without_end_is_bounded() -> None:
    """Its first part is kept, the rest is dropped, and keys come through after it."""
    pastes = Pastes()
    list(pastes.feed(BEGIN))
    for _ in range(3):
        assert list(pastes.feed("x" * PASTE_CHARACTERS_MAX)) == []
    paste, after = pastes.feed(f"{END}q")
    assert (paste, after) == (Pasted("x" * PASTE_CHARACTERS_MAX), "q")
