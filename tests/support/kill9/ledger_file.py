"""What the ledger file holds, read by raw SQL: neither the server nor its code is asked.

Must not know: the product.
"""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

_HEADS = """
    SELECT w.name, coalesce(max(e.seq), 0) FROM workspaces w LEFT JOIN events e ON e.workspace = w.key
    GROUP BY w.key
"""
_EVENTS = "SELECT seq, event_id, type, event FROM events WHERE workspace = ? ORDER BY position"


def heads_after_a_kill(ledger: Path) -> dict[str, int]:
    """The head of each workspace, read from a copy: the next server must find what the kill left."""
    with TemporaryDirectory(prefix="ob") as folder:
        for side in ("", "-wal"):
            found = ledger.with_name(ledger.name + side)
            if found.exists():
                shutil.copyfile(found, Path(folder) / found.name)
        with closing(sqlite3.connect(Path(folder) / ledger.name)) as db:
            return dict(db.execute(_HEADS).fetchall())


def heads_and_waits(ledger: Path) -> tuple[dict[str, int], bool]:
    """The heads while a server runs, and whether it still has something to do of its own accord."""
    with closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True)) as db:
        heads = dict(db.execute(_HEADS).fetchall())
        waits = db.execute("SELECT count(*) FROM agenda WHERE waits > 0").fetchone()[0]
    return heads, bool(waits)


def whole(ledger: Path) -> list[dict[str, Any]]:
    """All rows of all workspaces in the order in which they were written, as `final_ledger` records."""
    with closing(sqlite3.connect(ledger)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return [
            {
                "workspace": name,
                "key": key,
                "rows": [
                    dict(zip(("seq", "event_id", "type", "event"), row, strict=True))
                    for row in db.execute(_EVENTS, (key,))
                ],
            }
            for key, name in db.execute("SELECT key, name FROM workspaces").fetchall()
        ]
