"""The cache of a client: its outbox and the last confirmed state, on the disk or only in memory.

Duty: open a file (a damaged one is set aside), save changes in the order given, say when they are durable.
Must not know: links, what a change means.

1. Changes are saved in order, everything that waits in one transaction and one hop to the cache's own thread.
2. A change that cannot be saved is tried again with the next ones; it is never dropped and never overtaken.
3. No action that was readable is lost: not by a damaged file, not in another slot's file.

The database is driven from one thread of our own and not through aiosqlite: that costs a hop a statement,
this one a hop a transaction.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, Protocol

from msgspec.structs import replace

from protocol.client import slots, store
from protocol.client.clock import Clock
from protocol.client.errors import CannotKeep
from protocol.client.store import Change, Loaded, Queued, Refusal, Store
from protocol.replica import Pending

RETRY_S: Final = 1.0
"""After a change could not be saved (a full disk)."""

log = logging.getLogger("obelisk.client")

Kept = Callable[[CannotKeep | None], None]
"""Called once when a change is durable, or cannot be made so just now."""


class Cache(Protocol):
    """Where a client keeps what must outlive it."""

    def put(self, change: Change, kept: Kept | None = None) -> None:
        """Save a change; `kept` is called when it is durable."""

    async def adopt(self) -> tuple[Pending, ...]:
        """Take over the unsent actions of clients that are gone; they are durable here when this returns."""

    async def close(self) -> None:
        """Save what waits, then let go."""


class NoCache:
    """Nothing is kept: what is queued lives as long as its client."""

    def put(self, change: Change, kept: Kept | None = None) -> None:
        if kept is not None:
            kept(None)

    async def adopt(self) -> tuple[Pending, ...]:
        return ()

    async def close(self) -> None:
        return None


class DurableCache:
    """A cache in a file of `folder`, in the first slot that is free."""

    def __init__(self, file: _File, clock: Clock, thread: ThreadPoolExecutor) -> None:
        self._file = file
        self._clock = clock
        self._thread = thread
        self._waiting: list[tuple[Change, Kept | None]] = []
        self._wake = asyncio.Event()
        self._failing = False
        self._task = asyncio.create_task(self._save_for_ever(), name="obelisk cache")

    @classmethod
    async def open(cls, folder: Path, name: str, clock: Clock) -> tuple[DurableCache, Loaded]:
        """The cache and what it holds. CannotKeep where the folder cannot be used."""
        thread = ThreadPoolExecutor(1, thread_name_prefix="obelisk-cache")
        loop = asyncio.get_running_loop()
        try:
            file, loaded = await loop.run_in_executor(thread, _File.open, folder, name, clock.now())
        except BaseException:
            thread.shutdown(wait=False)
            raise
        return cls(file, clock, thread), loaded

    def put(self, change: Change, kept: Kept | None = None) -> None:
        self._waiting.append((change, kept))
        self._wake.set()

    async def adopt(self) -> tuple[Pending, ...]:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._file.adopt)

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        if self._waiting:
            await self._save()
        await asyncio.get_running_loop().run_in_executor(self._thread, self._file.close)
        self._thread.shutdown(wait=False)

    async def _save_for_ever(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                # Shielded: a batch that is being written when the cache closes is finished, not repeated.
                saving = asyncio.ensure_future(self._save())
                try:
                    saved = await asyncio.shield(saving)
                except asyncio.CancelledError:
                    await saving
                    raise
                if not saved:
                    await self._clock.sleep(RETRY_S)

    async def _save(self) -> bool:
        """Write everything that waits; on failure it waits on, without those who asked (invariant 2)."""
        batch, self._waiting = self._waiting, []
        changes = [change for change, _ in batch]
        problem: CannotKeep | None = None
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._file.write, changes)
        except (sqlite3.Error, OSError) as error:
            problem = CannotKeep(f"What you did could not be saved on this machine: {error}.")
            self._waiting[:0] = [(change, None) for change in changes]
        self._report(problem)
        for _, kept in batch:
            if kept is not None:
                kept(problem)
        return problem is None

    def _report(self, problem: CannotKeep | None) -> None:
        if problem is not None and not self._failing:
            log.error("the cache cannot be written: %s", problem)
        if problem is None and self._failing:
            log.info("the cache can be written again")
        self._failing = problem is not None


class _File:
    """A slot with its store. Every method runs in the cache's thread."""

    def __init__(self, folder: Path, name: str, slot: slots.Slot, opened: Store) -> None:
        self._folder = folder
        self._name = name
        self._slot = slot
        self._store = opened

    @classmethod
    def open(cls, folder: Path, name: str, now: str) -> tuple[_File, Loaded]:
        slot = slots.take(folder, name)
        try:
            opened, loaded = _sound_store(slot.path, now)
            file = cls(folder, name, slot, opened)
            if file.adopt():
                loaded = replace(loaded, pending=opened.outbox(), rejected=opened.rejected())
        except (sqlite3.Error, OSError) as error:
            slot.release()
            raise CannotKeep(f"{slot.path} cannot be used: {error}.") from error
        if loaded.doubt is not None:
            log.warning("cache slot %d: %s; the state is fetched anew", slot.number, loaded.doubt)
        return file, loaded

    def write(self, changes: Sequence[Change]) -> None:
        self._store.write(changes)

    def adopt(self) -> tuple[Pending, ...]:
        """Move what other slots' owners left unsent here: first kept here, then removed there."""
        adopted: list[Pending] = []
        for other in slots.left_behind(self._folder, self._name, self._slot):
            try:
                adopted += self._moved(other)
            except (sqlite3.Error, OSError) as error:
                log.warning("cache slot %d could not be looked into: %s", other.number, error)
        return tuple(adopted)

    def _moved(self, other: slots.Slot) -> tuple[Pending, ...]:
        theirs = Store(other.path)
        try:
            pending, rejected = theirs.outbox(), theirs.rejected()
            if not pending and not rejected:
                return ()
            self._store.write([*map(Queued, pending), *map(Refusal, rejected)])
            theirs.write([store.Advance((), tuple(one.client_action_id for one in pending))])
            theirs.write([store.Dismissal(one.action.client_action_id) for one in rejected])
        finally:
            theirs.close()
        log.info("took over %d unsent actions from cache slot %d", len(pending), other.number)
        return pending

    def close(self) -> None:
        self._store.close()
        self._slot.release()


def _sound_store(path: Path, now: str) -> tuple[Store, Loaded]:
    """The store of a file and what it holds; a damaged one is set aside, its outbox kept."""
    try:
        found = Store(path)
        try:
            return found, found.load()
        except sqlite3.Error:
            found.close()
            raise
    except sqlite3.Error as error:
        if not store.is_damage(error):
            raise
    pending, rejected = store.salvaged(path)
    aside = path.with_name(f"{path.name}.damaged-{now.replace(':', '').replace('-', '')}")
    for suffix in ("", "-wal", "-shm"):
        side = path.with_name(path.name + suffix)
        if side.exists():
            side.rename(aside.with_name(aside.name + suffix))
    log.warning(
        "the cache file was damaged and is now %s; %d unsent actions were read from it", aside, len(pending)
    )
    fresh = Store(path)
    fresh.write([*map(Queued, pending), *map(Refusal, rejected)])
    return fresh, fresh.load()


async def open_cache(folder: Path | None, name: str, clock: Clock) -> tuple[Cache, Loaded]:
    """The cache in `folder`, or none where that is None, and what it holds."""
    if folder is None:
        return NoCache(), Loaded()
    return await DurableCache.open(folder, name, clock)
