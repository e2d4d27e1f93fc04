"""The simulator's command line: `scripts/sim --help`."""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections import Counter
from collections.abc import Iterable

from tests.sim import campaign
from tests.sim.checker import check
from tests.sim.planted import PLANTED, planted_as
from tests.sim.regimes import level_of, regime_of
from tests.sim.trace import lines
from tests.sim.world import simulate


def main(arguments: list[str] | None = None) -> int:
    """0 where nothing failed and nothing was void, else 1."""
    options = _parser().parse_args(arguments)
    how = campaign.How(options.level, options.plant)
    if options.planted:
        return _planted(options.seeds or campaign.PLANTED_SEEDS, options.jobs)
    if options.seed is not None:
        return _one(options.seed, how, trace=options.trace)
    if options.hours:
        until = time.monotonic() + options.hours * 3600
        return _many(itertools.count(time.time_ns() // 1_000_000), how, until, options.jobs)
    return _many(campaign.seeds_for(options.seeds or 200), how, float("inf"), options.jobs)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/sim", description="Simulate server, clients, network and faults from a seed."
    )
    parser.add_argument("--seeds", type=int, metavar="N", help="run N seeds (default 200)")
    parser.add_argument("--seed", type=int, metavar="N", help="run one seed")
    parser.add_argument(
        "--level",
        type=int,
        choices=(1, 2),
        help="1: frames over simulated pipes; 2: the real WebSocket library over simulated transports "
        "(default: as the seed says, 2 for a tenth of them)",
    )
    parser.add_argument("--jobs", type=int, metavar="N", default=1, help="processes to use (default 1)")
    parser.add_argument(
        "--plant", metavar="NAME", choices=[one.name for one in PLANTED], help="run with a planted bug"
    )
    parser.add_argument("--trace", action="store_true", help="with --seed: print everything that happened")
    parser.add_argument("--hours", type=float, metavar="H", help="run new seeds for so long")
    parser.add_argument("--planted", action="store_true", help="show that planted bugs are found")
    return parser


def _one(seed: int, how: campaign.How, *, trace: bool) -> int:
    level = how.level or level_of(seed)
    regime = {name: value for name, value in regime_of(seed).told().items() if name not in ("seed", "level")}
    print(f"seed {seed} at level {level}: {' '.join(f'{name}={value}' for name, value in regime.items())}")
    planted = planted_as(how.plant) if how.plant else None
    history = simulate(seed, planted.cast if planted else None, level=level)
    for line in lines(history.records) if trace else ():
        print(line)
    violations = check(history.records)
    print(f"{len(history.records)} records, history {history.digest()}")
    if violations:
        verdict = campaign.Verdict(seed, level, violations, Counter(), history.met["steps"])
        print(campaign.told(verdict, how))
    return 1 if violations else 0


def _many(seeds: Iterable[int], how: campaign.How, until: float, jobs: int) -> int:
    result = campaign.run_seeds(seeds, how=how, until=until, jobs=jobs)
    print(campaign.summary(result))
    return 1 if result.failures or result.void else 0


def _planted(seeds: int, jobs: int) -> int:
    missed = False
    print(*campaign.HEAD, sep="\n")
    for caught in campaign.hunt_all(seeds, jobs):
        print(campaign.row(caught), flush=True)
        missed |= caught.first is None
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
