"""The simulator's command line: `scripts/sim --help`."""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections.abc import Iterable

from tests.sim import campaign
from tests.sim.checker import check
from tests.sim.regimes import regime_of
from tests.sim.trace import lines
from tests.sim.world import simulate


def main(arguments: list[str] | None = None) -> int:
    """0 where nothing failed and nothing was void, else 1."""
    options = _parser().parse_args(arguments)
    if options.planted:
        return _planted(options.seeds or campaign.PLANTED_SEEDS)
    if options.seed is not None:
        return _one(options.seed, trace=options.trace)
    if options.hours:
        until = time.monotonic() + options.hours * 3600
        return _many(itertools.count(time.time_ns() // 1_000_000), until)
    return _many(campaign.seeds_for(options.seeds or 200), float("inf"))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/sim", description="Simulate server, clients, network and faults from a seed."
    )
    parser.add_argument("--seeds", type=int, metavar="N", help="run N seeds (default 200)")
    parser.add_argument("--seed", type=int, metavar="N", help="run one seed")
    parser.add_argument("--trace", action="store_true", help="with --seed: print everything that happened")
    parser.add_argument("--hours", type=float, metavar="H", help="run new seeds for so long")
    parser.add_argument("--planted", action="store_true", help="show that planted bugs are found")
    return parser


def _one(seed: int, *, trace: bool) -> int:
    regime = {name: value for name, value in regime_of(seed).told().items() if name != "seed"}
    print(f"seed {seed}: {' '.join(f'{name}={value}' for name, value in regime.items())}")
    history = simulate(seed)
    for line in lines(history.records) if trace else ():
        print(line)
    violations = check(history.records)
    print(f"{len(history.records)} records, history {history.digest()}")
    if violations:
        print(campaign.told(seed, violations))
    return 1 if violations else 0


def _many(seeds: Iterable[int], until: float) -> int:
    result = campaign.run_seeds(seeds, until=until)
    print(campaign.summary(result))
    return 1 if result.failures or result.void else 0


def _planted(seeds: int) -> int:
    missed = False
    print(*campaign.HEAD, sep="\n")
    for caught in campaign.hunt_all(seeds):
        print(campaign.row(caught), flush=True)
        missed |= caught.first is None
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
