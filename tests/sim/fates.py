"""What goes wrong, and when: each fate is a task of its own that strikes at its own rate.

Duty: turn the rates of a regime into strikes on a world, until told to rest.
Must not know: what the product does about it.

1. A fate draws from a generator of its own, so leaving one out changes nothing about the others' draws.
2. After `rest` the world is as good as new: nothing is slow, full, stalled or down for long.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from tests.sim.loop import pause
from tests.sim.network import later

if TYPE_CHECKING:
    from tests.sim.people import Person
    from tests.sim.world import World

KEEPALIVE_S = 40.0
"""After so long the server's pings find out that a stalled connection is dead."""
DAY_S = 86_400.0
PEOPLE_MAX = 9


class Fates:
    """All that can go wrong in one run."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._regime = world.regime
        self._tasks: list[asyncio.Task[None]] = []
        self._removed = False
        self._inhabited = asyncio.Event()
        """Cleared while everybody is away."""
        self._inhabited.set()

    async def rage(self) -> None:
        """The first phase: people act, fates strike."""
        regime = self._regime
        self._set_weather()
        self._every(regime.server_crash, self._crash_server, "server crash")
        self._every(regime.client_crash, self._crash_client, "client crash")
        self._every(regime.cut, self._cut, "cut")
        self._every(regime.stall, self._stall, "stall")
        self._every(regime.disk_full, self._fill_disk, "disk full")
        self._every(regime.client_full, self._fill_client, "client full")
        self._every(regime.clock_step, self._step_clock, "clock step")
        self._every(regime.visitor, self._visit, "visitor")
        self._every(4.0 if regime.membership else 0.0, self._change_member, "member")
        await self._act()

    def rest(self) -> None:
        """The faults are over."""
        for task in self._tasks:
            task.cancel()
        world = self._world
        world.network.unreachable.clear()
        world.network.weather.delay_s = (0.001, 0.02)
        world.network.weather.gap_s = world.network.weather.cut_share = 0.0
        world.network.weather.weight = 1
        world.disk.full = False
        world.disk.fail_share = world.disk.read_fail_share = 0.0
        world.disk.commit_s, world.disk.read_s = (0.001, 0.01), (0.0, 0.001)
        world.wanted_up = True
        for person in world.people:
            disk = getattr(person, "disk", None)
            if disk is not None:
                disk.full, disk.sync_s = False, (0.0005, 0.005)

    # People

    async def _act(self) -> None:
        """Deeds, in bursts, spread over the faulty phase."""
        regime, chance = self._regime, self._world.chance("act")
        bursts = max(1, regime.actions // regime.burst)
        for number in range(bursts):
            await pause(chance.expovariate(bursts / regime.faulty_s))
            person = chance.choice(self._world.people)
            for _ in range(regime.burst):
                if chance.random() < 0.2:
                    person = chance.choice(self._world.people)
                self._do(person)
                if chance.random() < 0.5:
                    await pause(chance.expovariate(1 / 0.01))
            if number == bursts // 2:
                await self._middle(chance)

    def _do(self, person: Person) -> None:
        if person.node is None:
            return
        deeds = self._world.deeds
        key = deeds.new_key(person.who.client)
        deeds.done.append((person.who.actor, key))
        person.act(key, *deeds.next())

    async def _middle(self, chance: random.Random) -> None:
        """Long spells that need nobody to act."""
        world = self._world
        if self._regime.away:
            self._inhabited.clear()
            for person in world.people:
                if person.node is not None:
                    person.kill()
            for connection in world.network.open:
                connection.cut()
            world.history.meet("away_for_days")
            await pause(chance.uniform(1, 5) * DAY_S)
            self._inhabited.set()
            for person in world.people:
                _start(person)
        if self._regime.restored and world.server is not None:
            world.crash()
            world.disk.restore(chance)
        if self._regime.idle:
            world.history.meet("idle")
            await pause(60.0)

    # Strikes

    def _every(self, strikes: float, strike: Callable[[random.Random], Awaitable[None]], name: str) -> None:
        if strikes:
            chance = self._world.chance("fate", name)
            self._tasks.append(
                asyncio.get_running_loop().create_task(self._strike_on(strikes, strike, chance))
            )

    async def _strike_on(
        self, strikes: float, strike: Callable[[random.Random], Awaitable[None]], chance: random.Random
    ) -> None:
        end = asyncio.get_running_loop().time() + 4 * self._regime.faulty_s
        while asyncio.get_running_loop().time() < end:
            await pause(chance.expovariate(strikes / self._regime.faulty_s))
            await self._inhabited.wait()
            await strike(chance)

    def _set_weather(self) -> None:
        world, regime = self._world, self._regime
        weather = world.network.weather
        weather.delay_s = (regime.delay_s / 10, regime.delay_s)
        weather.gap_s, weather.weight, weather.cut_share = regime.gap_s, regime.weight, regime.cut_share
        world.disk.commit_s = (regime.commit_s / 5, regime.commit_s)
        world.disk.read_s = (0.0, regime.read_s)
        world.disk.fail_share, world.disk.read_fail_share = regime.commit_failed, regime.read_failed
        for person in world.people:
            disk = getattr(person, "disk", None)
            if disk is not None:
                disk.sync_s = (regime.sync_s / 5, regime.sync_s)

    async def _crash_server(self, chance: random.Random) -> None:
        world = self._world
        if chance.random() < self._regime.aimed:
            await _rung(world.disk.under_way)
            await pause(chance.uniform(0, self._regime.commit_s / 2))
        if world.server is None or not world.server.ready:
            return
        world.wanted_up = False
        if chance.random() < 0.2:
            world.history.meet("server_stopped")
            stopping = world.server
            try:
                async with asyncio.timeout(15):
                    await stopping.within(stopping.stop())
            except TimeoutError:
                world.history.meet("stop_took_too_long")
        world.crash()
        await pause(chance.choice((0.0, 0.05, 1.0, 5.0)))
        world.wanted_up = True

    async def _crash_client(self, chance: random.Random) -> None:
        world = self._world
        person = chance.choice(world.people)
        disk = getattr(person, "disk", None)
        if disk is not None and chance.random() < self._regime.aimed:
            # The first thing to be written is mostly what was done; what came of it is written behind that.
            for _ in range(chance.choice((1, 2, 3))):
                await _rung(disk.under_way)
            await pause(chance.uniform(0, self._regime.sync_s / 2))
        if self._kill(person, chance):
            await pause(chance.choice((0.0, 0.1, 2.0, 20.0)))
            await self._inhabited.wait()
            _start(person)

    def _kill(self, person: Person, chance: random.Random) -> bool:
        if person.node is None:
            return False
        person.kill()
        for connection in self._world.network.open:
            if connection.client == person.who.client:
                connection.cut(known_to_server=chance.choice((0.0, 0.05, 3.0)))
        return True

    async def _cut(self, chance: random.Random) -> None:
        network = self._world.network
        if network.open:
            network.history.meet("cut")
            ends = [chance.choice((0.0, 0.01, 0.5)) for _ in range(2)]
            chance.choice(network.open).cut(known_to_server=ends[0], known_to_client=ends[1])

    async def _stall(self, chance: random.Random) -> None:
        """A partition: nothing arrives, nobody is told."""
        network = self._world.network
        if not network.open:
            return
        client = chance.choice(network.open).client
        network.history.meet("stall")
        network.unreachable.add(client)
        stalled = [one for one in network.open if one.client == client]
        for connection in stalled:
            connection.stall()
            later(KEEPALIVE_S, connection.cut)
        await pause(chance.choice((0.5, 5.0, 25.0)))
        network.unreachable.discard(client)
        for connection in stalled:
            if chance.random() < 0.5:
                connection.resume()
            else:
                connection.cut(known_to_client=1.0, known_to_server=1.0)

    async def _fill_disk(self, chance: random.Random) -> None:
        self._world.disk.full = True
        await pause(chance.choice((0.1, 1.0, 8.0)))
        self._world.disk.full = False

    async def _fill_client(self, chance: random.Random) -> None:
        disks = [one.disk for one in self._world.people if hasattr(one, "disk")]
        if disks:
            disk = chance.choice(disks)
            disk.full = True
            await pause(chance.choice((0.1, 1.0, 8.0)))
            disk.full = False

    async def _visit(self, chance: random.Random) -> None:
        """Somebody comes who was never here, if possible while something is being written."""
        if chance.random() < self._regime.aimed:
            await _rung(self._world.disk.under_way)
        if len(self._world.people) < PEOPLE_MAX and self._inhabited.is_set():
            self._world.history.meet("visitor")
            self._world.invite()

    async def _step_clock(self, chance: random.Random) -> None:
        self._world.history.meet("clock_step")
        self._world.clock.offset_ms += chance.choice((-3_600_000, -5_000, -100, 100, 5_000, 90_000))

    async def _change_member(self, chance: random.Random) -> None:
        """An owner removes somebody, or takes them back."""
        self._removed = not self._removed
        if self._removed:
            self._as_owner("user.remove_member", {"actor": "cyd"})
        else:
            self._as_owner("user.set_member", {"actor": "cyd", "role": "owner"})

    def _as_owner(self, action_type: str, payload: dict[str, object]) -> None:
        for workspace in self._world.workspaces:
            for person in self._world.people:
                if (
                    person.who.workspace == workspace
                    and person.who.actor != "cyd"
                    and person.node is not None
                ):
                    self._world.history.meet("membership")
                    person.act(self._world.deeds.new_key(person.who.client), action_type, payload)
                    break


def _start(person: Person) -> None:
    if person.node is None:
        person.start()


async def _rung(under_way: asyncio.Event) -> None:
    """Until something begins to be written, or ten seconds: the narrow place of a crash."""
    under_way.clear()
    try:
        async with asyncio.timeout(10):
            await under_way.wait()
    except TimeoutError:
        return
