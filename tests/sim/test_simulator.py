"""The simulator finds what was planted, finds nothing where nothing is, and repeats itself to the byte."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.sim import campaign
from tests.sim.planted import PLANTED, Planted, planted_as
from tests.sim.regimes import level_of, regime_of
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


@pytest.mark.slow
@pytest.mark.parametrize("name", ["fan-out before commit", "replay/live gap", "cursor saved before apply"])
def test_a_planted_bug_is_caught_at_the_second_level(name: str) -> None:
    """The real library between the two ends hides nothing from the checker."""
    caught = campaign.hunt(replace(planted_as(name), level=2), all_seeds=False)
    assert caught.first is not None, caught.spoke


@pytest.mark.parametrize("level", [1, 2])
def test_a_seed_repeats_itself(level: int) -> None:
    """Two runs of a seed in one process are the same, record by record."""
    first, second = (simulate(7, level=level).records for _ in range(2))
    assert first == second


@pytest.mark.slow
@pytest.mark.parametrize("level", [1, 2])
@pytest.mark.parametrize("seed", [5, 26])
def test_a_seed_repeats_itself_elsewhere(seed: int, level: int) -> None:
    """Other processes with other hash seeds write the same history."""
    command = [sys.executable, "-m", "tests.sim", "--seed", str(seed), "--level", str(level)]
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


def test_a_tenth_is_at_the_second_level() -> None:
    """The seed picks the level."""
    assert 80 < sum(level_of(seed) == 2 for seed in range(1_000)) < 120


def test_who_runs_a_seed_does_not_matter() -> None:
    """Two processes find the same in the same seeds as one does."""
    how = campaign.How(plant="fan-out before commit")
    one, two = (campaign.run_seeds(range(4), how=how, jobs=jobs) for jobs in (1, 2))
    assert one.failures == two.failures
    assert (one.seeds, one.steps, one.met) == (two.seeds, two.steps, two.met)


def test_a_failure_says_how_to_see_it_again() -> None:
    """Seed, level, commit, Python version, and the one command: it fails again, with the same history."""
    how = campaign.How(level=2, plant="fan-out before commit")
    verdict = campaign.judge(how, 0)
    text = campaign.told(verdict, how)
    python = ".".join(map(str, sys.version_info[:3]))
    assert text.startswith(f"FAILED seed=0 level=2 commit={campaign.commit()} python={python}\n")
    replay = text.splitlines()[-1].strip()
    assert replay == "replay: scripts/sim --seed 0 --level 2 --plant 'fan-out before commit' --trace"
    arguments = shlex.split(replay)[2:]
    again = subprocess.run(
        [sys.executable, "-m", "tests.sim", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert again.returncode == 1
    assert again.stdout.endswith(text + "\n")


def test_a_commits_seeds_are_half_new(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of a campaign's seeds are always the same, none comes twice; another commit has others."""
    monkeypatch.setenv("CI_COMMIT_SHA", "one")
    seeds = list(campaign.seeds_for(100))
    assert seeds[:50] == list(range(50))
    assert len(set(seeds)) == 100
    assert list(campaign.seeds_for(100)) == seeds
    monkeypatch.setenv("CI_COMMIT_SHA", "two")
    assert not set(campaign.seeds_for(100)) & set(seeds[50:])


def test_without_a_commit_all_seeds_are_fixed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sources without git are tested with the same seeds every time."""
    monkeypatch.setattr(campaign, "head", lambda: None)
    assert list(campaign.seeds_for(10)) == list(range(10))
