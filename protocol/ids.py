"""Names and ids: which are valid, how derived ones are made, how event ids rise.

Duty: the patterns of the contract's names, uuid v5 for ids that follow from others, uuid v7 from a time and a
counter.
Must not know: the clock and randomness; both are handed in.

1. `derive` is a function of its parts alone, so a crash or a second node makes the same id again.
2. `successor` is strictly larger than what it is given, whatever the clock says.
"""

from __future__ import annotations

import re
from typing import Final
from uuid import UUID, uuid5

from protocol import limits

NAMESPACE: Final = UUID("5f0e7b6c-6d0b-5c5e-9d8a-0b8e11500001")
"""The namespace of every derived id (uuid v5, RFC 9562 section 5.5)."""

RESERVED_ACTORS: Final = frozenset({"assistant", "system"})

_ACTOR = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}\Z")
_WORKSPACE = re.compile(r"[a-z0-9][a-z0-9-]{0,62}\Z")
_PRINTABLE = re.compile(r"[\x21-\x7e]+\Z")
_PRINTABLE_OR_SPACE = re.compile(r"[\x20-\x7e]+\Z")
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\Z")

_COUNTER_BITS: Final = 12
_COUNTER_MAX: Final = (1 << _COUNTER_BITS) - 1


def is_actor(name: str) -> bool:
    """Whether `name` can be an actor's; says nothing of reserved ones."""
    return _ACTOR.match(name) is not None


def is_workspace(name: str) -> bool:
    """Whether `name` can be a workspace's."""
    return _WORKSPACE.match(name) is not None


def is_uuid(text: str) -> bool:
    """Whether `text` is a uuid in canonical lower-case form."""
    return _UUID.match(text) is not None


def is_client_action_id(text: str) -> bool:
    """1 to 128 printable ASCII characters; a space is printable."""
    size = len(text)
    return 0 < size <= limits.client_action_id_characters_max and _PRINTABLE_OR_SPACE.match(text) is not None


def is_entity_id(text: str) -> bool:
    """1 to 128 visible ASCII characters: any id that a sender may choose for an entity."""
    return 0 < len(text) <= limits.entity_id_characters_max and _PRINTABLE.match(text) is not None


def derive(*parts: str) -> str:
    """The uuid v5 that follows from `parts`, which must not contain NUL."""
    return str(uuid5(NAMESPACE, "\0".join(parts)))


def successor(last: tuple[int, int], now_ms: int) -> tuple[int, int]:
    """The next (milliseconds, counter) of a rising sequence: the clock if it moved on, else the counter."""
    last_ms, counter = last
    if now_ms > last_ms:
        return now_ms, 0
    if counter < _COUNTER_MAX:
        return last_ms, counter + 1
    return last_ms + 1, 0


def uuid_v7(ms: int, counter: int, entropy: int) -> str:
    """A uuid v7 (RFC 9562 section 5.7) of Unix milliseconds, a 12-bit counter, and 62 bits of entropy."""
    value = (ms & 0xFFFFFFFFFFFF) << 80 | 0x7 << 76 | (counter & _COUNTER_MAX) << 64
    text = f"{value | 0b10 << 62 | entropy & 0x3FFFFFFFFFFFFFFF:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def position_of(uuid7: str | None) -> tuple[int, int]:
    """The (milliseconds, counter) that a v7 id of ours was made of; (0, 0) for None."""
    if uuid7 is None:
        return 0, 0
    digits = uuid7.replace("-", "")
    return int(digits[:12], 16), int(digits[13:16], 16)
