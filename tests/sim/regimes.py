"""What kind of run a seed gives: which faults there are at all, and how much of each.

Duty: draw a regime from a seed.
Must not know: how a fault is done.

1. Each seed has its own mixture (swarm): a fault that is always there hides the bugs that need its absence.
2. Rates are spread over orders of magnitude, not around a mean.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from tests.sim.ports import chance_of


@dataclass(frozen=True, slots=True)
class Regime:
    """One mixture. Faults without another unit are expected numbers of strikes in the run; 0 is never."""

    seed: int
    level: int
    """1: frames over pipes of our own. 2: the WebSocket library over transports."""
    residents: int
    """Production clients."""
    scripts: int
    workspaces: int
    actions: int
    """In the whole run."""
    faulty_s: float
    """How long faults go on."""
    burst: int
    """Actions at once."""
    talk: float
    rude: float
    shuffle: float
    delay_s: float
    gap_s: float
    weight: int
    commit_s: float
    read_s: float
    sync_s: float
    small_pages: bool
    """Frames, pages and snapshots of a few events, so that all have many parts."""
    server_crash: float
    aimed: float
    """Share of crashes that wait until something is being written."""
    client_crash: float
    cut: float
    cut_share: float
    """Of frames, the share behind which the connection is cut."""
    stall: float
    commit_failed: float
    read_failed: float
    """These two are shares."""
    disk_full: float
    client_full: float
    clock_step: float
    visitor: float
    """Clients that come for the first time."""
    repeat: float
    """Share of frames that a script sends again."""
    away: bool
    """One client is away for days."""
    idle: bool
    """Nobody does anything for a minute in the middle."""
    restored: bool
    """The server comes back once with a backup of an earlier moment."""
    membership: bool
    """Somebody is removed and taken back."""
    impatient: bool
    """People ask for a connection when peace comes; else clients come back by themselves."""

    def told(self) -> dict[str, object]:
        """As a person wants to see it: what is not off."""
        return {name: value for name, value in asdict(self).items() if value not in (0, 0.0, False)}


def level_of(seed: int) -> int:
    """The second level for about a tenth of the seeds."""
    return 2 if chance_of(seed, "level").random() < 0.1 else 1


def regime_of(seed: int) -> Regime:
    """The regime of a seed."""
    chance = chance_of(seed, "regime")

    def rate(share: float, low: float, high: float) -> float:
        """A rate between two bounds, evenly spread in its logarithm; off in the rest of the seeds."""
        on, value = chance.random() < share, low * (high / low) ** chance.random()
        return round(value, 6) if on else 0.0

    return Regime(
        seed=seed,
        level=level_of(seed),
        residents=chance.choice((1, 1, 2, 2, 3)),
        scripts=chance.choice((1, 1, 2, 2, 3)),
        workspaces=chance.choice((1, 1, 1, 2)),
        actions=chance.choice((15, 30, 60, 90)),
        faulty_s=chance.choice((5.0, 20.0, 60.0)),
        burst=chance.choice((1, 1, 3, 10)),
        talk=chance.choice((0.0, 0.5, 1.0, 2.0)),
        rude=chance.choice((0.0, 0.3, 1.0)),
        shuffle=chance.choice((0.0, 0.3, 1.0)),
        delay_s=rate(1.0, 0.0005, 0.5),
        gap_s=rate(0.5, 0.0005, 0.5),
        weight=chance.choice((1, 1, 100, 4000)),
        commit_s=rate(1.0, 0.0005, 0.3),
        read_s=rate(0.7, 0.0001, 0.1),
        sync_s=rate(1.0, 0.001, 0.5),
        small_pages=chance.random() < 0.6,
        server_crash=rate(0.7, 2.0, 10.0),
        aimed=chance.choice((0.0, 0.7, 1.0, 1.0)),
        client_crash=rate(0.6, 1.0, 15.0),
        cut=rate(0.6, 1.0, 30.0),
        cut_share=rate(0.4, 0.003, 0.1),
        stall=rate(0.3, 0.7, 4.0),
        commit_failed=rate(0.35, 0.005, 0.2),
        read_failed=rate(0.25, 0.002, 0.1),
        disk_full=rate(0.25, 0.7, 3.0),
        client_full=rate(0.25, 0.7, 3.0),
        clock_step=rate(0.3, 0.7, 8.0),
        visitor=rate(0.5, 1.0, 5.0),
        repeat=rate(0.6, 0.02, 0.5),
        away=chance.random() < 0.15,
        idle=chance.random() < 0.15,
        restored=chance.random() < 0.08,
        membership=chance.random() < 0.25,
        impatient=chance.random() < 0.3,
    )
