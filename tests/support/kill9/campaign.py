"""Worlds, one after the other, and what came of each.

Duty: run a world in a folder, judge its history, count what it met, keep what failed.
Must not know: what a world is made of.
"""

from __future__ import annotations

import asyncio
import json
import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp

from tests.sim.facts import Violation
from tests.sim.history import Record
from tests.support.kill9.processes import Programs
from tests.support.kill9.verdict import check
from tests.support.kill9.world import MOMENTS, loop

KILLS_OF_A_WORLD = 10
"""After so many kills of its server a world is judged and a new one begins: judging costs the square of events."""


@dataclass(frozen=True, slots=True)
class Judged:
    """One world, afterwards."""

    violations: list[Violation]
    met: Counter[str] = field(default_factory=Counter)

    @property
    def spoke(self) -> set[str]:
        """The invariants that did not hold."""
        return {one.invariant for one in self.violations}


def judged(
    number: int,
    kills: int = KILLS_OF_A_WORLD,
    programs: Programs | None = None,
    moments: Mapping[str, int] = MOMENTS,
) -> Judged:
    """What is wrong with a world, and what it met. Its folder stays where anything is."""
    with TemporaryDirectory(prefix="ob") as folder:
        records = asyncio.run(loop(Path(folder), number, kills, programs or Programs(), moments))
        return Judged(check(records), _met(records)) if programs else _kept(Path(folder), number, records)


def _kept(folder: Path, number: int, records: list[Record]) -> Judged:
    violations = check(records)
    if violations:
        kept = Path(mkdtemp(prefix="kill9-"))
        shutil.copytree(folder, kept, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.sock"))
        (kept / "history.json").write_text("\n".join(map(json.dumps, records)))
        print(f"FAILED world={number} history={kept / 'history.json'}")
        print(*(f"  {one}" for one in violations[:10]), sep="\n", flush=True)
    return Judged(violations, _met(records))


def _met(records: list[Record]) -> Counter[str]:
    met: Counter[str] = Counter()
    for one in records:
        match one["kind"]:
            case "crash":
                met["server kills"] += 1
            case "kill":
                met["client kills"] += 1
            case "start" if one["outbox"]:
                met["starts with unsent actions"] += 1
            case "final_ledger":
                met["events"] += len(one["rows"])
            case "down":
                frame = json.loads(one["frame"])
                met["acks"] += frame["type"] == "ack"
                met["answers to a repeat"] += frame.get("status") == "duplicate"
                met["tokens"] += frame["type"] == "llm.token"
                met["snapshots"] += frame["type"] == "snapshot"
            case "answered":
                met["answers over HTTP"] += 1
    return met
