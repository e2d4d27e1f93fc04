"""Time, chance and ids from the seed, behind the ports of server and client.

Duty: one generator for each purpose, so that one more draw here changes nothing there; a wall clock that steps.
Must not know: what they are for.

1. Nothing here reads the machine.
2. Ids of one source rise as real ones do, and differ between sources.
"""

from __future__ import annotations

import asyncio
import hashlib
import random

from protocol.ids import successor, uuid_v7
from protocol.times import format_ms
from tests.sim.loop import pause

EPOCH_MS = 1_795_352_703_000
"""2026-11-22T13:05:03Z: a Sunday afternoon."""


def chance_of(seed: int, *purpose: object) -> random.Random:
    """The generator of one purpose; independent of the others and of PYTHONHASHSEED."""
    text = ":".join(map(str, (seed, *purpose)))
    return random.Random(hashlib.blake2b(text.encode(), digest_size=8).digest())


class SimClock:
    """`server.clock.Clock` and `protocol.client.clock.Clock` on the virtual clock; `offset_ms` is its error."""

    def __init__(self) -> None:
        self.offset_ms = 0

    def now_ms(self) -> int:
        return EPOCH_MS + int(self.monotonic() * 1000) + self.offset_ms

    def now(self) -> str:
        return format_ms(self.now_ms())

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        await pause(max(0.0, seconds))


class SimIds:
    """`server.clock.Ids` and `protocol.client.clock.Ids` from one generator."""

    def __init__(self, chance: random.Random, clock: SimClock) -> None:
        self._chance = chance
        self._clock = clock
        self._last = (0, 0)

    def uuid7(self) -> str:
        self._last = successor(self._last, self._clock.now_ms())
        return uuid_v7(*self._last, self._chance.getrandbits(62))

    def entropy(self) -> int:
        return self._chance.getrandbits(62)

    def fraction(self) -> float:
        return self._chance.random()

    def secret(self) -> str:
        return f"{self._chance.getrandbits(256):064x}"
