"""The command line of the kill loops: `scripts/kill9 --help`."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter

from tests.support.kill9.campaign import KILLS_OF_A_WORLD, judged


def main(arguments: list[str] | None = None) -> int:
    """0 where all that was promised was kept, else 1."""
    parser = argparse.ArgumentParser(
        prog="scripts/kill9", description="Kill real servers and real clients under load; judge what is left."
    )
    parser.add_argument("--kills", type=int, default=100, metavar="N", help="kills of servers (default 100)")
    parser.add_argument(
        "--world", type=int, default=0, metavar="N", help="number of the first world (default 0)"
    )
    options = parser.parse_args(arguments)
    begun, met, broken = time.monotonic(), Counter[str](), 0
    for number in range(options.world, options.world - (-options.kills // KILLS_OF_A_WORLD)):
        one = judged(number)
        met += one.met
        broken += bool(one.violations)
    told = ", ".join(f"{count} {name}" for name, count in sorted(met.items()))
    print(f"{broken} worlds broken, {time.monotonic() - begun:.0f} s: {told}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
