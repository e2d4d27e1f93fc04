"""Which workspaces are open: one state machine a workspace, made once, and made anew after an outage.

Duty: open a workspace from the ledger (single flight), create it, and after a failed commit drop all, reopen,
go on.
Must not know: sockets, HTTP, what an action means.

1. There is at most one `Workspace` of a name at any time.
2. Before a workspace has its first reader its producers have found what must go on.
3. While the ledger is not available nothing is opened; what was open is gone for good, its connections are
   closed with 4503.
4. Whoever notices that a write failed starts the recovery: a workspace, or `ledger_failed`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence

from protocol import limits
from protocol.codec import decode_event
from protocol.errors import UpcastError
from protocol.reduce import fold
from protocol.state import INITIAL, State
from server.clock import Clock, Ids
from server.ledger.commit import CommitQueue
from server.ledger.port import Ledger, LedgerError, LedgerUnavailable, WorkspaceRow
from server.workspace import Producer, Workspace, WorkspaceUnavailable

log = logging.getLogger("obelisk.registry")

_RECOVER_FIRST_S = 0.1
_RECOVER_MAX_S = 5.0


class Registry:
    """The open workspaces of one ledger."""

    def __init__(
        self,
        ledger: Ledger,
        commits: CommitQueue,
        *,
        clock: Clock,
        fresh_ids: Ids,
        producers: Sequence[Producer] = (),
    ) -> None:
        self.ledger = ledger
        self.commits = commits
        self._clock = clock
        self._ids = fresh_ids
        self._producers = producers
        self._open: dict[str, Workspace] = {}
        self._opening: dict[str, asyncio.Task[Workspace | None]] = {}
        self._recovering: asyncio.Task[None] | None = None
        self._resting: asyncio.Task[None] | None = None
        self._outage: LedgerError | None = None
        self._closed = False

    @property
    def outage(self) -> LedgerError | None:
        """Why nothing can be written just now; None while all is well."""
        return self._outage or self.commits.failure

    @property
    def workspaces(self) -> list[Workspace]:
        """Those that are open."""
        return list(self._open.values())

    async def open(self, name: str) -> Workspace | None:
        """The workspace of that name, opened where it is not; None where there is none.

        Raises `WorkspaceUnavailable` while the ledger cannot be used.
        """
        opening = self._opening.get(name)
        if opening is None:
            workspace = self._open.get(name)
            if workspace is not None and workspace.broken is None:
                return workspace
            self._check_available()
            opening = asyncio.get_running_loop().create_task(self._open_once(name))
            self._opening[name] = opening
        try:
            return await asyncio.shield(opening)
        except (LedgerError, UpcastError) as error:
            raise WorkspaceUnavailable(str(error)) from error

    async def create(self, name: str) -> Workspace:
        """The workspace of that name, made where it is not there."""
        try:
            if await self.ledger.workspace(name) is None:
                await self.ledger.create_workspace(name, self._ids.uuid7(), self._clock.now())
                log.info("workspace %s: made", name)
        except LedgerUnavailable as error:
            self.ledger_failed(error)
            raise WorkspaceUnavailable(str(error)) from error
        except LedgerError as error:
            raise WorkspaceUnavailable(str(error)) from error
        workspace = await self.open(name)
        if workspace is None:  # that was an opening that had looked before it was made
            workspace = await self.open(name)
        assert workspace is not None, "it was made above and workspaces are never deleted"
        return workspace

    async def resume(self) -> None:
        """Open the workspaces that wait for something, so that what was cut off goes on. One that cannot be
        opened keeps no other from it.
        """
        for row, _ in await self.ledger.agenda():
            try:
                await self.open(row.name)
            except WorkspaceUnavailable as error:
                log.error("workspace %s: what was cut off cannot go on: %s", row.name, error)

    async def close(self) -> None:
        """Stop the producers and let every workspace decide what it has taken."""
        self._closed = True
        if self._resting is not None:
            self._resting.cancel()
        under_way = {task for task in (self._recovering, *self._opening.values()) if task is not None}
        if under_way:
            # Not cancelled: whoever closes the ledger next must not meet it half opened.
            await asyncio.wait(under_way)
        for producer in self._producers:
            await producer.close()
        for workspace in self.workspaces:
            await workspace.close()

    # Opening

    def _check_available(self) -> None:
        if self.commits.failure is not None:
            self.ledger_failed(self.commits.failure)
        if self._outage is not None or self._closed:
            raise WorkspaceUnavailable("the ledger is not available")

    async def _open_once(self, name: str) -> Workspace | None:
        try:
            return await self._load(name)
        finally:
            del self._opening[name]

    async def _load(self, name: str) -> Workspace | None:
        row = await self.ledger.workspace(name)
        if row is None:
            return None
        state = await fold_ledger(self.ledger, row, row.seq)
        if self._outage is not None or self._closed:
            raise LedgerUnavailable("the ledger is not available any more")
        workspace = Workspace(
            row,
            state,
            ledger=self.ledger,
            commits=self.commits,
            clock=self._clock,
            fresh_ids=self._ids,
            producers=self._producers,
            on_broken=self._on_broken,
        )
        self._open[name] = workspace
        for producer in self._producers:
            await self._start(producer, workspace)
        if workspace.broken is not None:
            raise LedgerUnavailable(str(workspace.broken))
        return workspace

    @staticmethod
    async def _start(producer: Producer, workspace: Workspace) -> None:
        try:
            await producer.opened(workspace)
        except LedgerError as error:
            workspace.abandon(error)
        except Exception:  # a side effect that cannot start keeps nobody out
            log.exception("workspace %s: a producer could not start", workspace.name)

    # Recovering

    def ledger_failed(self, error: LedgerError) -> None:
        """A write failed: drop all that is open, and open anew once the ledger is back."""
        if self._outage is None:
            log.error("ledger: %s; all connections are closed until it is back", error)
        self._outage = error
        if self._recovering is None and not self._closed:
            self._recovering = asyncio.get_running_loop().create_task(self._recover())

    def _on_broken(self, workspace: Workspace) -> None:
        self.ledger_failed(workspace.broken or LedgerUnavailable("the workspace is broken"))

    async def _recover(self) -> None:
        try:
            while self._outage is not None:
                await self._drop_all()
                if not await self._reopened():
                    return
                self._outage = None
                log.info("ledger: available again")
                await self.resume()
        except LedgerError as error:
            log.error("ledger: what was cut off cannot go on: %s", error)
        finally:
            self._recovering = None

    async def _drop_all(self) -> None:
        """Nobody may go on with a workspace of before: a second one of its name is about to be made."""
        dropped, self._open = self._open, {}
        error = self.commits.failure or LedgerUnavailable("the ledger is not available")
        for workspace in dropped.values():
            workspace.abandon(error)
        closing = [producer.close(one) for one in dropped.values() for producer in self._producers]
        for problem in await asyncio.gather(*closing, return_exceptions=True):
            if problem is not None:
                log.error("a producer could not stop: %r", problem)

    async def _reopened(self) -> bool:
        """Reopen the ledger with growing patience; False where the registry was closed meanwhile."""
        patience_s = _RECOVER_FIRST_S
        while not self._closed:
            try:
                await self._reopen()
            except LedgerError as error:
                log.warning("ledger: still not available: %s", error)
            else:
                return True
            self._resting = asyncio.get_running_loop().create_task(self._clock.sleep(patience_s))
            await asyncio.wait({self._resting})
            patience_s = min(patience_s * 2, _RECOVER_MAX_S)
        return False

    async def _reopen(self) -> None:
        with contextlib.suppress(LedgerError):
            await self.commits.drain()  # what is under way ends before anything is read again
        if self.commits.failure is not None:
            await self.commits.recover()
        else:
            await self.ledger.reopen()


async def fold_ledger(ledger: Ledger, row: WorkspaceRow, upto: int) -> State:
    """The state of a workspace at seq `upto`, from nothing; lets others have the loop between pages."""
    state, after = INITIAL, 0
    while after < upto:
        rows = await ledger.read(row.key, after, min(limits.replay_page_events_max, upto - after))
        state = fold(state, (decode_event(one.data) for one in rows))
        after = rows[-1].seq
    return state
