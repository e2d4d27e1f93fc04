"""Which workspaces are open: one state machine a workspace, made once, and made anew after an outage.

Duty: open a workspace from the ledger (single flight), create it, and after a failed commit drop all, reopen,
go on.
Must not know: sockets, HTTP, what an action means.

1. There is at most one `Workspace` of a name at any time.
2. Before a workspace has its first reader its producers have found what must go on.
3. While the ledger is not available nothing is opened; what was open is gone, its connections are closed with
   4503.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from protocol import limits
from protocol.codec import decode_event
from protocol.errors import CloseCode
from protocol.reduce import fold
from protocol.state import INITIAL, State
from server.clock import Clock, Ids
from server.ledger.commit import CommitQueue
from server.ledger.port import Ledger, LedgerError, WorkspaceRow
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
        self._closed = False

    @property
    def workspaces(self) -> list[Workspace]:
        """Those that are open."""
        return list(self._open.values())

    async def open(self, name: str) -> Workspace | None:
        """The workspace of that name, opened where it is not; None where there is none.

        Raises `WorkspaceUnavailable` while the ledger cannot be used.
        """
        workspace = self._open.get(name)
        if workspace is not None and workspace.broken is None:
            return workspace
        if self.commits.failure is not None or self._closed:
            raise WorkspaceUnavailable("the ledger is not available")
        opening = self._opening.get(name)
        if opening is None:
            opening = asyncio.get_running_loop().create_task(self._load(name))
            self._opening[name] = opening
            opening.add_done_callback(lambda _: self._opening.pop(name, None))
        try:
            return await asyncio.shield(opening)
        except LedgerError as error:
            raise WorkspaceUnavailable(str(error)) from error

    async def create(self, name: str) -> Workspace:
        """The workspace of that name, made where it is not there."""
        try:
            if await self.ledger.workspace(name) is None:
                await self.ledger.create_workspace(name, self._ids.uuid7(), self._clock.now())
                log.info("workspace %s: made", name)
        except LedgerError as error:
            raise WorkspaceUnavailable(str(error)) from error
        workspace = await self.open(name)
        assert workspace is not None, "it was made above and workspaces are never deleted"
        return workspace

    async def resume(self) -> None:
        """Open the workspaces that wait for something, so that what was cut off goes on."""
        for row, _ in await self.ledger.agenda():
            await self.open(row.name)

    async def close(self) -> None:
        """Stop the producers and let every workspace decide what it has taken."""
        self._closed = True
        if self._recovering is not None:
            self._recovering.cancel()
        for producer in self._producers:
            await producer.close()
        for workspace in self.workspaces:
            await workspace.close()

    async def _load(self, name: str) -> Workspace | None:
        row = await self.ledger.workspace(name)
        if row is None:
            return None
        state = await fold_ledger(self.ledger, row, row.seq)
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
            await producer.opened(workspace)
        return workspace

    def _on_broken(self, workspace: Workspace) -> None:
        if self._recovering is None and not self._closed:
            log.error("ledger: %s; all connections are closed until it is back", workspace.broken)
            self._recovering = asyncio.get_running_loop().create_task(self._recover())

    async def _recover(self) -> None:
        """Drop every state, reopen the ledger with growing patience; then workspaces open from what it
        holds.
        """
        dropped, self._open = self._open, {}
        for workspace in dropped.values():
            workspace.hub.cut_all(CloseCode.LEDGER_UNAVAILABLE, "the ledger is not available")
            for producer in self._producers:
                await producer.close(workspace)
        patience = _RECOVER_FIRST_S
        while True:
            try:
                await self.commits.recover()
                break
            except LedgerError as error:
                log.warning("ledger: still not available: %s", error)
                await self._clock.sleep(patience)
                patience = min(patience * 2, _RECOVER_MAX_S)
        self._recovering = None
        log.info("ledger: available again")
        await self.resume()


async def fold_ledger(ledger: Ledger, row: WorkspaceRow, upto: int) -> State:
    """The state of a workspace at seq `upto`, from nothing; lets others have the loop between pages."""
    state, after = INITIAL, 0
    while after < upto:
        rows = await ledger.read(row.key, after, min(limits.replay_page_events_max, upto - after))
        state = fold(state, (decode_event(one.data) for one in rows))
        after = rows[-1].seq
    return state
