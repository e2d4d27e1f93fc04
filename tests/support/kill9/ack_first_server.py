"""A server with a bug: it acks before its commit. `python -m … ack_first_server serve …` is `server.cli serve …`.

Its commits take as long as those of a slow disk, so that the bug has its window.
"""

from __future__ import annotations

import sqlite3
import sys
import threading
from typing import Any
from unittest import mock

from server.cli import main
from server.ledger import sqlite, writer
from server.ledger.port import Batch
from server.workspace import Submission, Workspace
from tests.sim.planted import AckFirst, EagerConversation

SLOW_DISK_S = 0.02


class AckPeopleFirst(AckFirst):
    """Acks before its commit what people do; whoever makes the workspace is not hurried."""

    def _record(self, submission: Submission, *decided: Any) -> None:
        record = Workspace._record if submission.type.startswith("system.") else AckFirst._record
        record(self, submission, *decided)


def write_slowly(connection: sqlite3.Connection, batch: Batch) -> None:
    """As on a disk that takes its time."""
    threading.Event().wait(SLOW_DISK_S)
    writer.write_batch(connection, batch)


if __name__ == "__main__":
    with (
        mock.patch("server.registry.Workspace", AckPeopleFirst),
        mock.patch("server.app.Conversation", EagerConversation),
        mock.patch.object(sqlite, "write_batch", write_slowly),
    ):
        sys.exit(main())
