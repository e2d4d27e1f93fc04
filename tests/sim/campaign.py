"""Many seeds, and what came of them: what a person or a build asks the simulator for.

Duty: run seeds, judge each, count coverage, run planted bugs; say how to replay what failed.
Must not know: what a run is made of.

1. A failure names the seed, the commit, the Python version and the one command that replays it: a seed is only
   valid for one commit and one minor version of Python.
2. A campaign that did not meet its faults is void, and fails.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.sim.checker import check, coverage
from tests.sim.facts import Violation
from tests.sim.planted import PLANTED, Planted
from tests.sim.ports import chance_of
from tests.sim.world import simulate

FIXED_SEEDS = range(1_000_000)
QUOTAS = {
    "crash_unsynced": 0.30,
    "reconnect_behind": 0.30,
    "client_crash_unsynced": 0.10,
    "commit_failed": 0.10,
    "duplicate_ack": 0.30,
    "token": 0.30,
    "stall": 0.10,
    "cut": 0.30,
    "snapshot_too_far_behind": 0.05,
    "snapshot_in_parts": 0.05,
    "slow_reader_aborted": 0.02,
    "membership": 0.10,
    "clock_step": 0.10,
    "away_for_days": 0.05,
    "reject_unavailable": 0.01,
}
"""The share of seeds that must meet each; with fewer the campaign proves little."""
QUOTA_SEEDS_MIN = 100
"""Below so many seeds shares say nothing."""
PLANTED_SEEDS = 200


@dataclass(slots=True)
class Result:
    """A campaign so far."""

    seeds: int = 0
    seconds: float = 0.0
    steps: int = 0
    met: Counter[str] = field(default_factory=Counter)
    failures: list[tuple[int, list[Violation]]] = field(default_factory=list)

    @property
    def void(self) -> list[str]:
        """Faults that were not met often enough."""
        if self.seeds < QUOTA_SEEDS_MIN:
            return []
        return [
            f"{name}: {self.met[name] / self.seeds:.0%} of seeds, {share:.0%} wanted"
            for name, share in QUOTAS.items()
            if self.met[name] < share * self.seeds
        ]


def seeds_for(count: int) -> Iterator[int]:
    """Half of them always the same, half from the commit, so that a build both repeats and explores."""
    yield from range(count - count // 2)
    chance = chance_of(0, "campaign", commit())
    for _ in range(count // 2):
        yield chance.randrange(len(FIXED_SEEDS), 2**40)


def run_seeds(seeds: Iterable[int], *, until: float = float("inf")) -> Result:
    """Run and judge each seed, printing failures as they come; `until` on the clock of `time.monotonic`."""
    result, begun = Result(), time.monotonic()
    for seed in seeds:
        if time.monotonic() >= until:
            break
        history = simulate(seed)
        violations = check(history.records)
        result.seeds += 1
        result.steps += history.met["steps"]
        result.met += coverage(history.records)
        result.seconds = time.monotonic() - begun
        if violations:
            result.failures.append((seed, violations))
            print(told(seed, violations), flush=True)
    return result


def told(seed: int, violations: list[Violation]) -> str:
    """A failure in words, with the way to see it again."""
    shown = [f"  {violation}" for violation in violations[:5]]
    more = [f"  and {len(violations) - 5} more"] if len(violations) > 5 else []
    python = ".".join(map(str, sys.version_info[:3]))
    return "\n".join(
        [
            f"FAILED seed={seed} commit={commit()} python={python}",
            *shown,
            *more,
            f"  replay: scripts/sim --seed {seed} --trace",
        ]
    )


def summary(result: Result) -> str:
    """What a campaign did, in a few lines."""
    rate = result.seeds / result.seconds if result.seconds else 0.0
    met = [f"  {name:28} {count / result.seeds:6.1%}" for name, count in result.met.most_common()]
    return "\n".join(
        [
            f"{result.seeds} seeds, {len(result.failures)} failed, {result.steps} callbacks, {rate:.1f} seeds/s",
            "met, in the share of seeds:",
            *met,
            *(f"VOID {reason}" for reason in result.void),
        ]
    )


@dataclass(frozen=True, slots=True)
class Caught:
    """How a planted bug fared."""

    planted: Planted
    first: int | None
    """The first seed that caught it by an expected invariant."""
    hits: int
    seeds: int
    spoke: tuple[str, ...]
    """All invariants that spoke, most often first."""


def hunt(planted: Planted, seeds: int = PLANTED_SEEDS, *, all_seeds: bool = True) -> Caught:
    """Run a planted bug over the first seeds, or until it is caught."""
    first: int | None = None
    hits, spoke, ran = 0, Counter[str](), 0
    for seed in range(seeds):
        ran += 1
        found = {one.invariant for one in check(simulate(seed, planted.cast).records)}
        spoke.update(found)
        if found & planted.expected:
            hits, first = hits + 1, seed if first is None else first
            if not all_seeds:
                break
    return Caught(planted, first, hits, ran, tuple(name for name, _ in spoke.most_common()))


HEAD = ("| planted bug | expected | first seed | seeds that catch it | spoke |", "| --- " * 5 + "|")


def row(one: Caught) -> str:
    """A planted bug as a row of the table."""
    expected = ", ".join(sorted(one.planted.expected))
    first = "MISSED" if one.first is None else str(one.first)
    return (
        f"| {one.planted.name} | {expected} | {first} | {one.hits} of {one.seeds} | {', '.join(one.spoke)} |"
    )


def hunt_all(seeds: int = PLANTED_SEEDS) -> Iterator[Caught]:
    """All of them, one after the other."""
    for planted in PLANTED:
        yield hunt(planted, seeds)


def commit() -> str:
    """The commit of this checkout, marked where files differ from it."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        asked = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return asked.stdout.strip()
