"""One world of kill -9: a server, two processes of clients, scripts; a number of kills; then peace, and the truth.

Duty: load, kill at a drawn moment, restart, let all converge, write down what the ledger file holds.
Must not know: what is right (the checker judges the history alone).

1. A kill strikes in the same instant in which the k-th record of a drawn kind is written: behind an ack, a frame,
   a request, a reconnect. It is never waited for by time.
2. The seed draws what is done and which moments are waited for; what the machine makes of it differs from run
   to run, so a failure is told by its history, which stays.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Mapping
from pathlib import Path

from protocol.client.target import Target
from protocol.client.wire import Wire
from tests.sim.deeds import Deeds
from tests.sim.history import Record
from tests.sim.people import Script, Who
from tests.sim.ports import chance_of
from tests.support.kill9 import ledger_file
from tests.support.kill9.diary import Diary, read_all
from tests.support.kill9.poster import Poster
from tests.support.kill9.processes import Household, Programs
from tests.support.kill9.residents import Settings
from tests.support.kill9.verdict import log_records
from tests.support.kill9.wires import Dialer
from tests.support.raw import http_request
from tests.support.servers import ServerProcess
from tests.support.wait import until

WORKSPACE = "home"
ACTORS = ("ana", "bea")
LOAD_WAIT_S = 1.5
"""A moment that has not come by then (little was done, all was refused) is taken as come."""
TALK = 0.05
"""Questions are few: each answer takes a second, and peace waits for the last."""
CONVERGE_S = 30.0
MOMENTS = {
    "down:ack": 12,
    "down:events": 30,
    "down:welcome": 2,
    "down:llm.token": 3,
    "up:hello": 2,
    "post": 3,
    "answered": 3,
}
"""Kinds of records, and behind how many of them at most a kill strikes."""


def _settings(folder: Path, socket: Path, seed: int, number: int) -> Settings:
    return Settings(
        name=f"h{number}",
        boot=0,
        seed=seed,
        folder=str(folder),
        socket=str(socket),
        workspace=WORKSPACE,
        people=tuple((f"r{number}{letter}", actor) for letter, actor in zip("ab", ACTORS, strict=True)),
    )


class World:
    """Everything of one run, in a folder of its own."""

    def __init__(self, folder: Path, seed: int, programs: Programs, moments: Mapping[str, int]) -> None:
        self._moments = moments
        self.diary = Diary(folder / "world.jsonl")
        self._dialer = Dialer(self.diary, "world")
        self._chance = chance_of(seed, "kill9")
        self._seed = seed
        socket = folder / "o.sock"
        self._server = ServerProcess(
            folder / "data", "--unix", str(socket), "--limit", "actions_per_s_max=0", module=programs.server
        )
        self._boots = 0
        self._households = [
            Household(_settings(folder, socket, seed, number), programs.residents) for number in range(2)
        ]
        self._deeds = Deeds(chance_of(seed, "deeds"), talk=TALK, rude=0.3)
        self._tokens: dict[str, str] = {}
        self._scripts: list[Script] = []
        self._poster: Poster
        self._posting: asyncio.Task[None]

    # Life

    async def live(self, kills: int) -> None:
        """Load and kill so often, then converge, then tell what is left."""
        await self._boot(heads={})
        for actor in ACTORS:
            self._tokens[actor] = await asyncio.to_thread(self._server.token, actor, WORKSPACE)
        for household in self._households:
            await household.start()
        self._invite_scripts()
        for _ in range(kills):
            await self._cycle()
        await self._converge()
        await self._tell_end()

    def _invite_scripts(self) -> None:
        async def dial(who: Who) -> Wire:
            target = Target(
                workspace=who.workspace, url=self._server.where.url, token=self._tokens[who.actor]
            )
            return await self._dialer.dial(who, target)

        for place, want in enumerate(("state", "events")):
            who = Who(f"s{place}", ACTORS[place], WORKSPACE)
            chance = chance_of(self._seed, who.client)
            self._scripts.append(Script(who, self.diary, dial, chance, want=want, repeat=0.2))
        self._poster = Poster(Who("p0", "ana", WORKSPACE), self.diary, self._dialer, self._tokens["ana"])
        for script in self._scripts:
            script.start()
        self._poster.found(self._server.where)
        self._posting = asyncio.create_task(self._poster.run())

    async def _boot(self, heads: dict[str, int]) -> None:
        self._boots += 1
        self.diary.add("boot", server=self._boots, heads=heads)
        await asyncio.to_thread(self._server.start)

    # Kills

    async def _cycle(self) -> None:
        """Load, a kill at its moment, perhaps one of clients, and everything up again."""
        victim = self._chance.choice([None, *self._households])
        came = asyncio.Event()
        self._arm(self._strike(came))
        if victim is not None:
            self._arm(victim.kill9)
        self._load()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOAD_WAIT_S):
                await came.wait()
        self.diary.silence()
        await asyncio.to_thread(self._server.kill9)
        self.diary.add("crash", server=self._boots, unsynced=0)
        await self._restart(victim)

    def _arm(self, strike: Callable[[], None]) -> None:
        name = self._chance.choice(list(self._moments))
        self.diary.ring_at(name, self._chance.randint(1, self._moments[name]), strike)
        if name == "down:llm.token":
            question = {"message_id": self._deeds.new_key("message"), "text": "summarise everything, please"}
            self._scripts[0].act(self._deeds.new_key("s0"), "user.message", question)

    def _strike(self, came: asyncio.Event) -> Callable[[], None]:
        """Kill the server in this instant, reap it later."""
        pid = self._server.pid

        def strike() -> None:
            os.kill(pid, signal.SIGKILL)
            came.set()

        return strike

    def _load(self) -> None:
        for household in self._households:
            household.order(f"act {self._chance.randint(5, 30)}")
        for script in self._scripts:
            for _ in range(self._chance.randint(1, 5)):
                script.act(self._deeds.new_key(script.who.client), *self._deeds.next())
            script.hurry()
        for _ in range(self._chance.randint(1, 3)):
            self._poster.act(self._deeds.new_key("p0"), *self._deeds.next())

    async def _restart(self, victim: Household | None) -> None:
        """The server, and the clients before it or behind it."""
        clients_first = self._chance.random() < 0.5
        if victim is not None:
            await self._bury(victim)
        if victim is not None and clients_first:
            await victim.start()
        heads = await asyncio.to_thread(ledger_file.heads_after_a_kill, self._server.data / "ledger.db")
        await self._boot(heads)
        if victim is not None and not clients_first:
            await victim.start()
        self._hurry()

    async def _bury(self, victim: Household) -> None:
        victim.kill9()
        await victim.reap()
        for client in victim.clients:
            self.diary.add("kill", client=client)
        self.diary.meet("client_killed")

    def _hurry(self) -> None:
        for household in self._households:
            household.order("hurry")
        for script in self._scripts:
            script.hurry()
        self._poster.found(self._server.where)

    # The end

    @property
    def _callers(self) -> list[Script | Poster]:
        """Those who live in this process."""
        return [*self._scripts, self._poster]

    async def _converge(self) -> None:
        self.diary.add("heal")
        self._hurry()
        settled = True
        try:
            async with asyncio.timeout(CONVERGE_S):
                while not await self._is_settled():
                    self._hurry()
        except (TimeoutError, AssertionError):
            settled = False
        self.diary.add("quiet", settled=settled)

    async def _is_settled(self) -> bool:
        """Whether all are level with the file, nothing is pending, and nobody has anything to do."""
        await until(lambda: self._level() is not None, timeout_s=CONVERGE_S)
        seq = self._level()
        told = [one for household in self._households for one in (await household.told()).values()]
        return seq is not None and seq == self._level() and all(one == [True, seq] for one in told)

    def _level(self) -> int | None:
        """The file's head, where the scripts have read so far and the server has nothing left to do."""
        self._poster.read_on()
        heads, waits = ledger_file.heads_and_waits(self._server.data / "ledger.db")
        seq = heads[WORKSPACE]
        are_there = all(one.is_settled(seq) for one in self._callers)
        return seq if are_there and not waits else None

    async def _tell_end(self) -> None:
        for household in self._households:
            household.order("end")
            status = await household.reap()
            assert status == 0, household.errors.read_text()
        for one in self._callers:
            one.tell_end()
        await self._tell_server()
        for told in ledger_file.whole(self._server.data / "ledger.db"):
            self.diary.add("final_ledger", **told)

    async def _tell_server(self) -> None:
        answer = await http_request(
            self._server.where, "GET", f"/workspaces/{WORKSPACE}/state", token=self._tokens["ana"]
        )
        told = answer.json
        self.diary.add("final_server", workspace=WORKSPACE, seq=told["seq"], state=told["state"])
        assert await asyncio.to_thread(self._server.terminate) == 0

    def logs(self) -> list[Record]:
        """What the log files tell of bugs."""
        files = [self._server.errors, *(household.errors for household in self._households)]
        return [one for file in files if file.exists() for one in log_records(file.name, file.read_text())]

    async def close(self) -> None:
        """Leave nothing behind."""
        await self._dialer.close()
        for household in self._households:
            if household.is_alive:
                household.kill9()
                await household.reap()
        self._server.stop()
        self.diary.close()


async def loop(
    folder: Path, seed: int, kills: int, programs: Programs, moments: Mapping[str, int]
) -> list[Record]:
    """The history of one world with so many kills of its server. `moments` as in `MOMENTS`."""
    world = World(folder, seed, programs, moments)
    try:
        await world.live(kills)
        logs = world.logs()
    finally:
        await world.close()
    return [*read_all(folder), *logs]
