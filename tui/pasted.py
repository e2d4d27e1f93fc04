"""Pasted text, cut out of what a terminal sends before anybody looks for keys in it.

Duty: tell keys from pastes in a stream of characters. Textual's parser looks for sequences inside a paste,
too, so that an escape in a copied text would end the paste there and the rest of it would act as keys.
Must not know: keys, widgets.

1. Nothing of a paste ever acts as a key, wherever the terminal cuts what it sends.
2. What is no paste goes on at once; only the beginning of a marker, three characters or more, is held back.
   Where less of it had gone on already, the paste goes on as characters, its escapes as pictures of them.
3. A paste has at most `PASTE_CHARACTERS_MAX` characters; what is beyond is dropped until its end.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

PASTE_CHARACTERS_MAX: Final = 1024 * 1024
ESCAPE: Final = "\x1b"
ESCAPE_PICTURE: Final = "␛"
_BEGIN: Final = "\x1b[200~"
_END: Final = "\x1b[201~"
_HELD_MIN: Final = 3
"""An escape and a bracket alone may be keys that a person waits for."""


@dataclass(frozen=True, slots=True)
class Pasted:
    """A whole paste, as it came."""

    text: str


class Pastes:
    """The keys and pastes of one terminal."""

    def __init__(self) -> None:
        self._held = ""
        self._gone_on = 0
        """Characters at the beginning of what is held that went on already."""
        self._paste: list[str] | None = None
        self._size = 0

    def feed(self, text: str) -> Iterator[str | Pasted]:
        """What is in `text`, in its order: characters of keys, and whole pastes."""
        text, self._held = self._held + text, ""
        while True:
            marker = _BEGIN if self._paste is None else _END
            before, found, after = text.partition(marker)
            if not found:
                break
            text = after
            if self._paste is None:
                yield from self._keys(before)
                self._paste, self._size = [], 0
            else:
                self._take(before)
                yield self._ended()
        yield from self._rest(text, marker)

    def _rest(self, text: str, marker: str) -> Iterator[str]:
        """What comes behind the last marker; the beginning of another one is held back."""
        kept = _beginning_of(marker, text)
        before, self._held = text[: len(text) - kept], text[len(text) - kept :]
        if self._paste is not None:
            self._take(before)
        elif kept >= _HELD_MIN:
            gone_on = self._gone_on if not before else 0
            yield from self._keys(before)
            self._gone_on = gone_on
        else:
            yield from self._keys(text)
            self._gone_on = kept

    def _keys(self, text: str) -> Iterator[str]:
        """Give on what has not gone on; of a marker, what has gone on is remembered until its paste ends."""
        if text:
            given, self._gone_on = text[self._gone_on :], 0
            if given:
                yield given

    def _take(self, text: str) -> None:
        assert self._paste is not None
        taken = text[: PASTE_CHARACTERS_MAX - self._size]
        self._paste.append(taken)
        self._size += len(taken)

    def _ended(self) -> str | Pasted:
        assert self._paste is not None
        pasted, self._paste = "".join(self._paste), None
        gone_on, self._gone_on = self._gone_on, 0
        if gone_on:
            return f"{_BEGIN[gone_on:]}{pasted.replace(ESCAPE, ESCAPE_PICTURE)}{_END}"
        return Pasted(pasted)


def _beginning_of(marker: str, text: str) -> int:
    """How many characters at the end of `text` may be the beginning of `marker`."""
    for size in range(len(marker) - 1, 0, -1):
        if text.endswith(marker[:size]):
            return size
    return 0
