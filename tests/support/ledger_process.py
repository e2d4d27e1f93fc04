"""A process that writes to a ledger through a commit queue until it is killed.

`python -m tests.support.ledger_process PATH [once]`: prints the seq of every action when it is durable, one a
line; each action gives three events, eight actions are under way. With `once` it only opens the ledger.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from server.ledger.commit import CommitQueue
from server.ledger.port import LedgerError
from server.ledger.sqlite import SqliteLedger
from tests.support.ledgers import NOW, make_record

UNDER_WAY = 8


def _fail(error: LedgerError) -> None:
    raise SystemExit(str(error))


async def main(path: Path, once: bool) -> None:
    """Write for ever, or once."""
    ledger = await SqliteLedger.open(path)
    workspace = await ledger.create_workspace("home", "w-home", NOW)
    if once:
        await ledger.close()
        return
    queue = CommitQueue(ledger)
    head = workspace.seq

    def submit() -> None:
        nonlocal head
        seq = head + 3
        record = make_record(workspace.key, head, events=3, action=f"c{seq}")
        head = seq
        queue.submit(record, lambda: acked(seq), _fail)

    def acked(seq: int) -> None:
        # One write a line, past every buffer: what the reader has, was acknowledged.
        os.write(1, b"%d\n" % seq)
        submit()

    for _ in range(UNDER_WAY):
        submit()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), "once" in sys.argv[2:]))
