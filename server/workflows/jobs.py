"""Background work of producers: tasks kept by workspace, and actions that are tried until they settle.

Duty: start and await a producer's tasks; submit an action under one id until its outcome is known.
Must not know: what the work is about.

1. No task is without an owner: each is known here until it has ended, and `close` waits for its end.
2. A repeated try has the same id, so that it has its effect once; its payload may differ.
3. Where a workspace is broken nothing can settle: the work ends, and the next opening finds it from state.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import msgspec

from protocol import limits
from protocol.errors import Refused
from server.clock import Clock
from server.workspace import Applied, Workspace, WorkspaceUnavailable

Fields = msgspec.Struct | Mapping[str, object]
Work = Callable[[], Coroutine[Any, Any, None]]
"""What a task runs; `Any` is what the event loop sends and hears."""
log = logging.getLogger("obelisk.jobs")


class Jobs:
    """The tasks of one producer, by workspace and name."""

    def __init__(self) -> None:
        self.closed = False
        """All were stopped; its owner starts nothing more."""
        self._tasks: dict[tuple[Workspace, str], asyncio.Task[None]] = {}

    def start(self, workspace: Workspace, name: str, work: Work) -> asyncio.Task[None]:
        """The task of `work`, or the one of that name that runs for the workspace already."""
        key = (workspace, name)
        task = self._tasks.get(key)
        if task is None:
            task = asyncio.get_running_loop().create_task(_watched(workspace.name, name, work))
            self._tasks[key] = task
            task.add_done_callback(lambda _: self._tasks.pop(key, None))
        return task

    async def close(self, workspace: Workspace | None = None) -> None:
        """Cancel the jobs of a workspace, or all, and wait until they have ended."""
        self.closed = self.closed or workspace is None
        tasks = [task for (owner, _), task in self._tasks.items() if workspace in (None, owner)]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


async def _watched(workspace: str, name: str, work: Work) -> None:
    try:
        await work()
    except WorkspaceUnavailable:
        log.warning("%s in workspace %s stops; the next opening goes on with it", name, workspace)
    except Exception:
        log.exception("%s in workspace %s failed", name, workspace)


async def settled(
    workspace: Workspace,
    clock: Clock,
    *,
    actor: str,
    action_type: str,
    action_id: str,
    fields: Fields,
    because: str | None,
) -> Applied | Refused:
    """Submit an action until its outcome is known, with growing pauses between the tries.

    Raises `WorkspaceUnavailable` where this workspace will never know.
    """
    payload, pause_s = msgspec.json.encode(fields), limits.backoff_first_s
    while True:
        try:
            return await workspace.submit(actor, action_type, action_id, payload, because=because)
        except WorkspaceUnavailable:
            if workspace.broken is not None:
                raise
        await clock.sleep(pause_s)
        pause_s = min(2 * pause_s, limits.backoff_max_s)


async def came(event: asyncio.Event, clock: Clock, within_s: float) -> bool:
    """Whether `event` is set before so many seconds of the clock have passed."""
    if event.is_set():
        return True
    loop = asyncio.get_running_loop()
    race = {loop.create_task(event.wait()), loop.create_task(_slept(clock, within_s))}
    try:
        await asyncio.wait(race, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for runner in race:
            runner.cancel()
    return event.is_set()


async def _slept(clock: Clock, seconds: float) -> bool:
    await clock.sleep(seconds)
    return False
