"""What every build asks of the simulator: two thousand seeds, half of them new with each commit."""

from __future__ import annotations

import faulthandler
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SEEDS = 2_000


@pytest.mark.slow
@pytest.mark.campaign
def test_a_campaign_finds_nothing() -> None:
    """No seed fails, and enough of them met each fault; a failure says how to see it again."""
    faulthandler.cancel_dump_traceback_later()  # it takes minutes, and says itself where it stands
    jobs = min(os.cpu_count() or 1, 4)
    command = [sys.executable, "-m", "tests.sim", "--seeds", str(SEEDS), "--jobs", str(jobs)]
    # A process of its own: no other test has touched the modules that it patches, nor the loop.
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    print(ran.stdout)
    if ran.returncode:
        pytest.fail(f"{ran.stdout}{ran.stderr}", pytrace=False)
