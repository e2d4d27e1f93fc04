"""`obelisk state`: the whole workspace, or a few lines about it."""

from __future__ import annotations

import argparse

from protocol.codec import encode_state
from tui.commands.session import Session
from tui.exits import Exit
from tui.output import state_lines


async def run(session: Session, _: argparse.Namespace) -> int:
    """Print the confirmed state."""
    await session.reach()
    replica = session.client.replica
    if session.printer.json:
        session.printer.record(encode_state(replica.confirmed))
        return Exit.DONE
    for line in state_lines(replica.confirmed, session.options.where.workspace, replica.head.seq):
        session.printer.text(line)
    return Exit.DONE
