"""Many seeds, and what came of them: what a person or a build asks the simulator for.

Duty: run seeds, judge each, count coverage, run planted bugs; say how to replay what failed.
Must not know: what a run is made of.

1. A failure names the seed, its level, the commit, the Python version and the one command that replays it: a seed
   is only valid for one commit and one minor version of Python.
2. A campaign that did not meet its faults is void, and fails.
3. Workers share nothing: what a seed gives does not depend on who runs it, nor on what ran before it.
"""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import os
import shlex
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

from tests.sim.checker import check, coverage
from tests.sim.facts import Violation
from tests.sim.planted import PLANTED, Planted, planted_as
from tests.sim.ports import chance_of
from tests.sim.regimes import level_of
from tests.sim.world import simulate

Given = TypeVar("Given")
Found = TypeVar("Found")

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
QUOTAS_2 = {"write_paused": 0.10, "read_paused": 0.03, "opening_failed": 0.10}
"""The same for what only the second level has, in the share of its own seeds."""
QUOTA_SEEDS_MIN = 100
"""Below so many seeds shares say nothing."""
PLANTED_SEEDS = 200


BATCH = 200
"""Seeds that are handed out between two looks at the clock."""
COMMIT_VARIABLES = ("CI_COMMIT_SHA", "GITHUB_SHA")


@dataclass(frozen=True, slots=True)
class How:
    """How seeds are run, where not as they would themselves."""

    level: int | None = None
    plant: str | None = None
    """The name of a planted bug."""

    @property
    def options(self) -> str:
        """As the command line has it, but for the level, which every seed names."""
        return f" --plant {shlex.quote(self.plant)}" if self.plant else ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of one seed."""

    seed: int
    level: int
    violations: list[Violation]
    met: Counter[str]
    steps: int


@dataclass(slots=True)
class Result:
    """A campaign so far."""

    seeds: int = 0
    level_2: int = 0
    seconds: float = 0.0
    steps: int = 0
    met: Counter[str] = field(default_factory=Counter)
    failures: list[Verdict] = field(default_factory=list)

    @property
    def void(self) -> list[str]:
        """Faults that were not met often enough."""
        return [
            f"{name}: {self.met[name] / seeds:.0%} of {seeds} seeds, {share:.0%} wanted"
            for seeds, quotas in ((self.seeds, QUOTAS), (self.level_2, QUOTAS_2))
            if seeds >= QUOTA_SEEDS_MIN
            for name, share in quotas.items()
            if self.met[name] < share * seeds
        ]


def seeds_for(count: int) -> Iterator[int]:
    """Half of them always the same, half from the commit, so that a build both repeats and explores.

    All of them always the same where nobody knows the commit.
    """
    revision = head()
    if revision is None:
        yield from range(count)
        return
    yield from range(count - count // 2)
    chance = chance_of(0, "campaign", revision)
    for _ in range(count // 2):
        yield chance.randrange(len(FIXED_SEEDS), 2**40)


def judge(how: How, seed: int) -> Verdict:
    """Run a seed and check its history."""
    planted = planted_as(how.plant) if how.plant else None
    history = simulate(seed, planted.cast if planted else None, level=how.level)
    level = how.level or level_of(seed)
    records = history.records
    return Verdict(seed, level, check(records), coverage(records), history.met["steps"])


def run_seeds(
    seeds: Iterable[int], *, how: How | None = None, until: float = float("inf"), jobs: int = 1
) -> Result:
    """Run and judge each seed, in `jobs` processes, printing failures as they come.

    `until` is on the clock of `time.monotonic`.
    """
    how, result, begun = how or How(), Result(), time.monotonic()
    rest = iter(seeds)
    with _workers(jobs) as each:
        while time.monotonic() < until and (batch := list(itertools.islice(rest, BATCH))):
            for verdict in each(partial(judge, how), batch):
                _count(result, verdict)
                result.seconds = time.monotonic() - begun
                if verdict.violations:
                    print(told(verdict, how), flush=True)
    return result


def _count(result: Result, verdict: Verdict) -> None:
    result.seeds += 1
    result.level_2 += verdict.level == 2
    result.steps += verdict.steps
    result.met += verdict.met
    if verdict.violations:
        result.failures.append(verdict)


class Each(Protocol):
    """Calls something for each of many, in order."""

    def __call__(self, call: Callable[[Given], Found], many: list[Given], /) -> Iterable[Found]: ...


@contextlib.contextmanager
def _workers(jobs: int) -> Iterator[Each]:
    """How to call something for each of many: here, or in processes of their own."""
    if jobs == 1:
        yield lambda call, many: map(call, many)
        return
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        yield lambda call, many: pool.imap(call, many)


def told(verdict: Verdict, how: How | None = None) -> str:
    """A failure in words, with the way to see it again."""
    # What broke the run says more than what was missing at its end.
    violations = sorted(verdict.violations, key=lambda one: not one.invariant.startswith("X"))
    shown = [f"  {violation}" for violation in violations[:5]]
    more = [f"  and {len(violations) - 5} more"] if len(violations) > 5 else []
    python = ".".join(map(str, sys.version_info[:3]))
    options = f"--level {verdict.level}{(how or How()).options} --trace"
    return "\n".join(
        [
            f"FAILED seed={verdict.seed} level={verdict.level} commit={commit()} python={python}",
            *shown,
            *more,
            f"  replay: scripts/sim --seed {verdict.seed} {options}",
        ]
    )


def summary(result: Result) -> str:
    """What a campaign did, in a few lines."""
    rate = result.seeds / result.seconds if result.seconds else 0.0
    met = [f"  {name:28} {count / result.seeds:6.1%}" for name, count in result.met.most_common()]
    return "\n".join(
        [
            f"{result.seeds} seeds, {result.level_2} of them at level 2, {len(result.failures)} failed, "
            f"{result.steps} callbacks, {rate:.1f} seeds/s, {where()}",
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
        found = {one.invariant for one in check(simulate(seed, planted.cast, level=planted.level).records)}
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


def hunt_all(seeds: int = PLANTED_SEEDS, jobs: int = 1) -> Iterator[Caught]:
    """All of them, in `jobs` processes."""
    with _workers(jobs) as each:
        yield from each(partial(_hunt_named, seeds), [one.name for one in PLANTED])


def _hunt_named(seeds: int, name: str) -> Caught:
    return hunt(planted_as(name), seeds)


def where() -> str:
    """What a seed is valid for, in words."""
    return f"commit {commit()}, Python {'.'.join(map(str, sys.version_info[:3]))}"


def head() -> str | None:
    """The commit that is tested: the build's word, else git's; None where nobody knows."""
    named = (os.environ.get(name) for name in COMMIT_VARIABLES)
    return next(filter(None, named), None) or _git("rev-parse", "HEAD")


def commit() -> str:
    """The commit of this checkout for people, marked where files differ from it."""
    described = _git("describe", "--always", "--dirty", "--abbrev=12", "--exclude=*")
    return described or head() or "unknown"


def _git(*arguments: str) -> str | None:
    try:
        asked = subprocess.run(
            ["git", *arguments], cwd=Path(__file__).parent, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return asked.stdout.strip()
