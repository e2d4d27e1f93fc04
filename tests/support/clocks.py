"""Time that a test moves: nothing waits for real, and what happens next is known.

`await clock.advance(0.04)` lets everything that is ready run, then wakes sleepers in the order of their times.
"""

from __future__ import annotations

import asyncio
import heapq
from itertools import count

from protocol.times import format_ms

START_MS = 1_795_420_800_000
"""2026-11-23T08:00:00Z, a Monday: 09:00 in Berlin."""


class VirtualClock:
    """A `Clock` that stands still until it is advanced."""

    def __init__(self, start_ms: int = START_MS) -> None:
        self._start_ms = start_ms
        self._elapsed_s = 0.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = count()

    def now_ms(self) -> int:
        return self._start_ms + round(self._elapsed_s * 1000)

    def now(self) -> str:
        return format_ms(self.now_ms())

    def monotonic(self) -> float:
        return self._elapsed_s

    async def sleep(self, seconds: float) -> None:
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._elapsed_s + max(0.0, seconds), next(self._order), woken))
        await woken

    after = sleep
    """The same, for tests: they wait for a time to be reached."""

    async def advance(self, seconds: float) -> None:
        """Go on by so many seconds, letting everything happen that falls into them."""
        until = self._elapsed_s + seconds
        await settle()
        while self._sleepers and self._sleepers[0][0] <= until + 1e-9:
            at, _, woken = heapq.heappop(self._sleepers)
            if woken.done():
                continue
            self._elapsed_s = max(self._elapsed_s, at)
            woken.set_result(None)
            await settle()
        self._elapsed_s = until

    @property
    def asleep(self) -> int:
        """How many wait for a time to come."""
        return sum(not woken.done() for _, _, woken in self._sleepers)


async def settle(turns: int = 60) -> None:
    """Let everything that is ready run, and what becomes ready by it."""
    for _ in range(turns):
        await asyncio.sleep(0)
