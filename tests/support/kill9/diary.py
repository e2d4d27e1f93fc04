"""What happened, written by each process as JSON lines that outlive it, on the one clock that all processes share.

Duty: append records, tell who waits for the k-th of a kind, read and merge the files of many processes.
Must not know: what the records mean.

1. A record is one write to a file: the system keeps it when the process is killed in the next instant.
2. An answer is recorded when it has come, a deed before it is done: so the order of the times is never earlier
   than the truth where a promise counts, and never later where it is relied on.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.sim.history import History, Record


class Diary(History):
    """The records of one process, in its file."""

    def __init__(self, path: Path) -> None:
        super().__init__(time.monotonic)
        self.seen: Counter[str] = Counter()
        """How many records of each kind; frames count as `up:TYPE` and `down:TYPE`."""
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._bells: list[tuple[str, int, Callable[[], None]]] = []

    def add(self, kind: str, **fields: Any) -> None:
        """Write a record, then call whoever waits for it, at once."""
        record = {"t": time.monotonic(), "kind": kind, **fields}
        os.write(self._file, json.dumps(record).encode() + b"\n")
        name = f"{kind}:{json.loads(fields['frame'])['type']}" if "frame" in fields else kind
        self.seen[name] += 1
        due = [bell for bell in self._bells if bell[0] == name and bell[1] <= self.seen[name]]
        for bell in due:
            self._bells.remove(bell)
            bell[2]()

    def ring_at(self, name: str, count: int, call: Callable[[], None]) -> None:
        """Call when so many more of a kind have been written."""
        self._bells.append((name, self.seen[name] + count, call))

    def silence(self) -> None:
        """Call nobody who still waits."""
        self._bells.clear()

    def close(self) -> None:
        os.close(self._file)


def read_all(folder: Path) -> list[Record]:
    """The records of all files of a folder, in the order of their times."""
    records = [record for path in sorted(folder.glob("*.jsonl")) for record in _read(path)]
    return sorted(records, key=lambda record: record["t"])


def _read(path: Path) -> Iterator[Record]:
    for line in path.read_bytes().splitlines(keepends=True):
        if line.endswith(b"\n"):  # else its process was killed in the middle of it
            yield json.loads(line)
