"""The one helper that polls: a test waits for a condition, never for a while."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

POLL_S = 0.002


async def until(condition: Callable[[], object], *, timeout_s: float = 5.0, what: str = "") -> None:
    """Return as soon as `condition` holds. AssertionError, naming `what`, where it does not in time."""
    loop = asyncio.get_running_loop()
    due = loop.time() + timeout_s
    while not condition():
        assert loop.time() < due, f"did not happen in {timeout_s} s: {what or condition}"
        await asyncio.sleep(POLL_S)
