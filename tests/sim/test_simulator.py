"""The simulator finds what was planted, finds nothing where nothing is, and repeats itself to the byte."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sim import campaign
from tests.sim.checker import check
from tests.sim.planted import PLANTED, Planted
from tests.sim.regimes import regime_of
from tests.sim.world import simulate

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_honest_code_passes() -> None:
    """The first seeds find nothing wrong with the product."""
    result = campaign.run_seeds(range(40))
    assert not result.failures


@pytest.mark.slow
@pytest.mark.parametrize("planted", PLANTED, ids=lambda one: one.name)
def test_a_planted_bug_is_caught(planted: Planted) -> None:
    """Within 200 seeds the invariant that should speak does."""
    caught = campaign.hunt(planted, all_seeds=False)
    assert caught.first is not None, caught.spoke


def test_a_seed_repeats_itself() -> None:
    """Two runs of a seed in one process are the same, record by record."""
    first, second = (simulate(7).records for _ in range(2))
    assert first == second


@pytest.mark.slow
@pytest.mark.parametrize("seed", [5, 26])
def test_a_seed_repeats_itself_elsewhere(seed: int) -> None:
    """Other processes with other hash seeds write the same history."""
    command = [sys.executable, "-m", "tests.sim", "--seed", str(seed)]
    told = {
        subprocess.run(
            command,
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            check=True,
        ).stdout
        for hash_seed in ("0", "1")
    }
    assert len(told) == 1


def test_regimes_differ() -> None:
    """A swarm: each fault is off in some seeds and on in others."""
    regimes = [regime_of(seed) for seed in range(200)]
    for name in ("server_crash", "client_crash", "cut", "stall", "commit_failed", "disk_full", "repeat"):
        on = sum(bool(getattr(regime, name)) for regime in regimes)
        assert 10 < on < 190, name


def test_a_campaign_without_its_faults_is_void() -> None:
    """Enough seeds without a crash, a cut or a reconnect are no success."""
    result = campaign.Result(seeds=500)
    assert len(result.void) == len(campaign.QUOTAS)
    result.met.update(dict.fromkeys(campaign.QUOTAS, 500))
    assert not result.void


def test_a_failure_says_how_to_see_it_again() -> None:
    """Seed, commit, Python version and the one command."""
    planted = next(one for one in PLANTED if one.name == "fan-out before commit")
    text = campaign.told(0, check(simulate(0, planted.cast).records))
    assert "seed=0" in text
    assert campaign.commit() in text
    assert f"python={sys.version_info[0]}.{sys.version_info[1]}" in text
    assert "scripts/sim --seed 0 --trace" in text


def test_a_commits_seeds_are_half_new() -> None:
    """Half of a campaign's seeds are always the same, none comes twice."""
    seeds = list(campaign.seeds_for(100))
    assert seeds[:50] == list(range(50))
    assert len(set(seeds)) == 100
