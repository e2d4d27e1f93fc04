"""What happened in a run, in order: plain values, so that a checker needs nothing of the project to judge it.

Duty: keep records, give the hash of them all.
Must not know: what they mean; who reads them.

1. A record is a JSON object: `t` in virtual seconds, `kind`, and what the kind has. Frames are the text of the wire.
2. Nothing in it depends on addresses, on hash seeds or on the machine: the same seed gives the same bytes.

| kind | fields |
| --- | --- |
| boot, crash, stop | server (running number); a boot has `heads`: name -> seq that the disk holds; a crash `unsynced`: records |
| restore | heads: a backup of an earlier moment took the ledger's place |
| durable | workspace (key), seq: a commit that a flush made durable |
| fault | what: a name for the coverage counters, and details |
| dial | conn, client, actor, workspace |
| up | conn, frame: a client sent it |
| out | conn, frame: the server handed it to the network |
| down | conn, frame: the client's code took it |
| over | conn, code: the client's code saw the end |
| invoke | client, actor, workspace, key, type, payload, reuse |
| queued, settled, shown | client, key: the outbox row is durable; the outcome; a refusal was shown |
| start, kill | client: `outbox` and `rejected` keys, `seq`, `event_id` of what its disk held |
| view | client, seq, pending: what it shows |
| heal, quiet | the faults are over; the run is over |
| final_ledger, final_server, final_client | what is left at the end |
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable
from typing import Any

Record = dict[str, Any]


class History:
    """The records of one run."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.records: list[Record] = []
        self.met: Counter[str] = Counter()
        """Coverage: how often each fault, and each narrow place, was met."""
        self.closed = False
        self._now = now

    def add(self, kind: str, **fields: Any) -> None:
        """Keep a record; after the end of the run nothing counts."""
        if not self.closed:
            self.records.append({"t": round(self._now(), 9), "kind": kind, **fields})

    def meet(self, what: str, **details: Any) -> None:
        """A fault, or a place worth counting, was met."""
        if not self.closed:
            self.met[what] += 1
            self.add("fault", what=what, **details)

    def digest(self) -> str:
        """The hash of the whole run."""
        total = hashlib.blake2b(digest_size=16)
        for record in self.records:
            total.update(json.dumps(record, sort_keys=True).encode())
        return total.hexdigest()
