"""What a one-shot command leaves for later, in the outbox that the full-screen client uses too.

Duty: put an action there that nobody answered; remember that something waits, so that the next command
sends it.
Must not know: how it is sent.

1. A kept action keeps its id, its actor and its workspace: it is done once, and for whom it was meant.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from protocol.client.cache import open_cache
from protocol.client.clock import SystemClock
from protocol.client.errors import CannotKeep
from protocol.client.store import Queued
from protocol.client.target import Target
from protocol.replica import Pending


def is_something_kept(folder: Path, target: Target) -> bool:
    """Whether an earlier command left something for this target."""
    return _mark(folder, target).exists()


def mark_kept(folder: Path, target: Target) -> None:
    """Something waits in the outbox."""
    _mark(folder, target).touch(mode=0o600)


def unmark_kept(folder: Path, target: Target) -> None:
    """Nothing waits there any more."""
    _mark(folder, target).unlink(missing_ok=True)


async def keep(folder: Path, target: Target, pending: Pending) -> None:
    """Put an action into the outbox; it is durable when this returns. CannotKeep where that failed."""
    cache, _ = await open_cache(folder, target.cache_name, SystemClock())
    told: asyncio.Future[CannotKeep | None] = asyncio.get_running_loop().create_future()
    try:
        cache.put(Queued(pending), told.set_result)
        problem = await told
    finally:
        await cache.close()
    if problem is not None:
        raise problem
    mark_kept(folder, target)


def _mark(folder: Path, target: Target) -> Path:
    return folder / f"{target.cache_name}.kept"
