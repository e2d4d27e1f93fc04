"""Time, chance and new ids, as ports: everything else in the client gets them from here.

Must not know: what they are for.

1. `monotonic` and `sleep` tell the same time, which never goes back; `now` is the wall clock and may.
2. Ids of one process rise, so that what was queued first sorts first.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from typing import Protocol

from protocol import ids, times


class Clock(Protocol):
    """What time it is."""

    def now(self) -> str:
        """The wall clock as an instant of the contract."""

    def monotonic(self) -> float:
        """Seconds of a clock that only rises."""

    async def sleep(self, seconds: float) -> None:
        """Wait so long."""


class Ids(Protocol):
    """New ids, and chance."""

    def uuid7(self) -> str:
        """An id that nobody else has; larger than those before it."""

    def fraction(self) -> float:
        """A number from 0 up to 1, evenly spread: for the jitter of retries."""


class SystemClock:
    """The clock of this machine."""

    def now(self) -> str:
        return times.format_ms(time.time_ns() // 1_000_000)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class SystemIds:
    """Ids of this machine's clock and its source of randomness.

    Made by `protocol.ids` as the server's are: the package that also makes them costs 60 ms to import.
    """

    def __init__(self) -> None:
        self._last = (0, 0)

    def uuid7(self) -> str:
        self._last = ids.successor(self._last, time.time_ns() // 1_000_000)
        return ids.uuid_v7(*self._last, int.from_bytes(os.urandom(8), "big"))

    def fraction(self) -> float:
        return random.random()
