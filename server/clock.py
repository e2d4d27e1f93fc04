"""Where time and fresh ids come from, so that a test or a simulator can give them.

Duty: the ports `Clock` and `Ids` and their real implementations.
Must not know: who uses them.

1. Nothing else in the server reads a clock or draws randomness.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from typing import Protocol

import uuid6

from protocol.times import format_ms


class Clock(Protocol):
    """Time as the server sees it."""

    def now_ms(self) -> int:
        """Unix milliseconds of the wall clock; it may step."""
        ...

    def now(self) -> str:
        """The instant of the wall clock, as the contract writes it."""
        ...

    def monotonic(self) -> float:
        """Seconds that only rise."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


class Ids(Protocol):
    """Fresh ids."""

    def uuid7(self) -> str:
        """A new uuid v7."""
        ...

    def entropy(self) -> int:
        """62 random bits."""
        ...

    def secret(self) -> str:
        """At least 256 bits of randomness as URL-safe text."""
        ...


class SystemClock:
    """The clocks of this machine."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def now(self) -> str:
        return format_ms(self.now_ms())

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class SystemIds:
    """The randomness of this machine."""

    def __init__(self) -> None:
        # Event ids need to differ, not to be secret; the system's source costs 20 times more.
        self._entropy = random.Random(secrets.randbits(256))

    def uuid7(self) -> str:
        return str(uuid6.uuid7())

    def entropy(self) -> int:
        return self._entropy.getrandbits(62)

    def secret(self) -> str:
        return secrets.token_urlsafe(32)
