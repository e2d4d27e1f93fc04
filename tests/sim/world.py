"""One run: a server, its clients, a network between them, faults for a while, then peace.

Duty: build the world of a regime, let people act and fates strike, heal, wait until all agree, write down what is left.
Must not know: what is right (the checker judges the history alone).

1. Two phases: in the first anything may fail at any time; in the second nothing fails, and within
   `CONVERGE_S` everybody must have caught up with nothing pending.
2. Every choice is drawn from a generator of its own purpose, all from the seed.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import logging
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from unittest import mock

from protocol import limits
from protocol.client.errors import CannotReach, stopped_by_status
from protocol.client.wire import Wire
from protocol.codec import encode_state
from server.workspace import WorkspaceUnavailable
from tests.sim.deeds import Deeds
from tests.sim.disk import ClientDisk, ServerDisk, SimCache
from tests.sim.fates import Fates
from tests.sim.history import History
from tests.sim.house import Parts, Server, request_of
from tests.sim.loop import EndlessLoop, SimLoop, Stuck, pause, run
from tests.sim.network import ClientEnd, Connection, Network, Road, Weather
from tests.sim.people import Person, Resident, Script, Who
from tests.sim.ports import SimClock, SimIds, chance_of
from tests.sim.regimes import Regime, regime_of
from tests.sim.sockets import Sockets, dial_line, pinned

CONVERGE_S = 30.0
LOGS = ("obelisk", "server.gateway")
ACTORS = ("ana", "bea", "cyd")
SMALL = {
    "replay_page_events_max": 3,
    "events_frame_bytes_max": 1_500,
    "snapshot_part_bytes_max": 3_000,
    "replay_events_max": 12,
    "inbox_batch_max": 3,
    "outcomes_cached_max": 4,
}
"""Bounds so small that their far sides are met within a run."""


@dataclass(frozen=True, slots=True)
class Cast:
    """Which classes play; a planted bug replaces one."""

    parts: Parts = field(default_factory=Parts)
    cache: type[SimCache] = SimCache
    disk: type[ClientDisk] = ClientDisk
    patches: Mapping[str, object] = field(default_factory=dict)
    """What is made by its name, deep inside: that name -> what stands there instead."""


class World:
    """Everything of one run."""

    def __init__(self, regime: Regime, cast: Cast, history: History) -> None:
        self.regime = regime
        self.history = history
        self.clock = SimClock()
        self.deeds = Deeds(self.chance("deeds"), talk=regime.talk, rude=regime.rude)
        self.disk = ServerDisk(history, self.chance("disk"))
        self.network = Network(self.chance("network"), Weather(), history)
        self.people: list[Person] = []
        self.server: Server | None = None
        self.wanted_up = True
        """The supervisor restarts a server that is down."""
        self._cast = cast
        self._boots = 0
        self._down = asyncio.Event()

    def chance(self, *purpose: object) -> random.Random:
        """A generator of its own."""
        return chance_of(self.regime.seed, *purpose)

    @property
    def workspaces(self) -> list[str]:
        return ["home", "work"][: self.regime.workspaces]

    # Life

    async def live(self) -> None:
        """The whole run."""
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SimLoop)
        loop.sockets = Sockets(self.network)
        self.boot()
        await self._until_ready()
        assert self.server is not None
        everybody = {name: list(ACTORS) for name in self.workspaces}
        await self.server.within(self.server.furnish(everybody))
        supervisor = loop.create_task(self._supervise())
        for place in range(self.regime.residents + self.regime.scripts):
            self.invite(is_resident=place < self.regime.residents)
        fates = Fates(self)
        await fates.rage()
        await self._heal(fates)
        await self._converge()
        self._tell_end()
        supervisor.cancel()

    def boot(self) -> None:
        """Start a server on the disk."""
        self._boots += 1
        ids = SimIds(self.chance("server ids", self._boots), self.clock)
        self.server = Server(
            self._boots,
            self.disk,
            self.history,
            self.clock,
            ids,
            self._cast.parts,
            self.regime.seed,
            self.regime.level,
            self._down,
        )
        self.server.start()

    def crash(self) -> None:
        """The server dies; its connections break, each end learns of it in its time."""
        if self.server is not None:
            self.server.die()
            self.server = None
            self._down.set()
            chance = self.chance("crash", self._boots)
            for connection in self.network.open:
                connection.cut(known_to_client=chance.choice((0.0, 0.01, 0.3)))

    async def _supervise(self) -> None:
        while True:
            await self._down.wait()
            self._down.clear()
            if self.server is not None and self.server.failed:
                self.crash()
            while not self.wanted_up:
                await pause(0.05)
            if self.server is None:
                await pause(0.25)
                self.boot()

    async def _until_ready(self) -> None:
        while self.server is None or not self.server.ready:
            await pause(0.01)

    # People

    def invite(self, *, is_resident: bool = True) -> None:
        """One more person, at a client that starts with nothing."""
        place = len(self.people)
        name = f"{'r' if is_resident else 's'}{place}"
        who = Who(name, ACTORS[place % len(ACTORS)], self.workspaces[place % len(self.workspaces)])
        person = self._resident(who) if is_resident else self._script(who)
        self.people.append(person)
        person.start()

    def _resident(self, who: Who) -> Person:
        disk = self._cast.disk(self.history, self.chance("client disk", who.client))
        ids = SimIds(self.chance("client ids", who.client), self.clock)
        resident = Resident(who, disk, self.history, self.dial, self.clock, ids)
        resident.make_cache = self._cast.cache
        return resident

    def _script(self, who: Who) -> Person:
        chance = self.chance("script", who.client)
        want = chance.choice(("state", "events"))
        return Script(who, self.history, self.dial, chance, want=want, repeat=self.regime.repeat)

    async def dial(self, who: Who) -> Wire:
        """The road from a client to the server."""
        if self.regime.level == 2:
            line = self.network.lay(who.client)
            self._tell_dial(line, who)
            return await dial_line(line, who.workspace, who.actor, self.history)
        await self.network.travel()
        server = self.server
        if who.client in self.network.unreachable:
            await pause(2.0)
            raise CannotReach("The server does not answer.")
        if server is None or not server.ready:
            raise CannotReach("Nobody is there.")
        connection = self.network.connect(who.client, request_of(who.workspace, who.actor))
        self._tell_dial(connection, who)
        server.accept(connection)
        await self._opened(connection)
        return ClientEnd(connection, self.history)

    def _tell_dial(self, road: Road, who: Who) -> None:
        self.history.add(
            "dial", conn=road.number, client=who.client, actor=who.actor, workspace=who.workspace
        )

    async def _opened(self, connection: Connection) -> None:
        try:
            async with asyncio.timeout(10):
                status = await asyncio.shield(connection.accepted)
        except TimeoutError:
            connection.cut()
            raise CannotReach("The server does not answer.") from None
        if status is not None and (status == 0 or status >= 500):
            raise CannotReach(f"The server is busy or being restarted ({status}).")
        if status is not None:
            raise stopped_by_status(status)

    # The end

    async def _heal(self, fates: Fates) -> None:
        """From here on nothing fails."""
        fates.rest()
        if self.server is not None and self.server.stopping:
            self.crash()
        await self._until_ready()
        for person in self.people:
            if person.node is None:
                person.start()
        for connection in self.network.open:
            if connection.stalled:
                connection.cut()
        self.history.add("heal")
        for person in self.people if self.regime.impatient else ():
            person.hurry()

    async def _converge(self) -> None:
        """Until all agree for half a second, or time is up."""
        begun = asyncio.get_running_loop().time()
        until, calm = begun + CONVERGE_S, 0
        while asyncio.get_running_loop().time() < until and calm < 2:
            await pause(0.25)
            calm = calm + 1 if self._is_settled() else 0
            if not calm:
                await self._readmit()
        self.history.add("quiet", settled=self._is_settled())

    async def _readmit(self) -> None:
        """The operator takes back who was removed; people whose client has given up ask it to try again."""
        for person in self.people:
            person.insist()
        if self.regime.membership and self.server is not None and self.server.ready:
            try:
                await self.server.within(
                    self.server.furnish({name: list(ACTORS) for name in self.workspaces})
                )
            except WorkspaceUnavailable:
                self.history.meet("operator_had_to_wait")

    def _is_settled(self) -> bool:
        heads = self.disk.heads()
        everybody = all(person.is_settled(heads[person.who.workspace]) for person in self.people)
        return everybody and not self._is_busy()

    def _is_busy(self) -> bool:
        """Whether the server has something unfinished."""
        return any(shelf.agenda is not None and shelf.agenda.waits for shelf in self.disk.shelves.values())

    def _tell_end(self) -> None:
        for shelf in self.disk.shelves.values():
            self.history.add(
                "final_ledger",
                workspace=shelf.row.name,
                key=shelf.row.key,
                rows=[
                    {"seq": row.seq, "event_id": row.event_id, "type": row.type, "event": row.data.decode()}
                    for row in shelf.events
                ],
                outcomes=[[actor, key, one.status, one.seq] for (actor, key), one in shelf.outcomes.items()],
            )
        for workspace in self.server.registry.workspaces if self.server else ():
            self.history.add(
                "final_server",
                workspace=workspace.name,
                seq=workspace.committed.head.seq,
                state=json.loads(encode_state(workspace.committed.state)),
            )
        for person in self.people:
            person.tell_end()


class _Listener(logging.Handler):
    """Bugs that the product logs rather than raises."""

    def __init__(self, history: History) -> None:
        super().__init__(logging.WARNING)
        self._history = history

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        trace = ""
        if record.exc_info and record.exc_info[1] is not None:
            trace = f"{type(record.exc_info[1]).__name__}: {record.exc_info[1]}"
        self._history.add("log", level=record.levelname, name=record.name, text=text, trace=trace)


@contextlib.contextmanager
def _heard(history: History) -> Iterator[None]:
    logs, listener = [logging.getLogger(name) for name in LOGS], _Listener(history)
    for log in logs:
        log.addHandler(listener)
        log.propagate = False
    try:
        yield
    finally:
        for log in logs:
            log.removeHandler(listener)
            log.propagate = True


@contextlib.contextmanager
def _arranged(regime: Regime, cast: Cast) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for name, bound in SMALL.items() if regime.small_pages else ():
            stack.enter_context(mock.patch.object(limits, name, bound))
        stack.enter_context(mock.patch("server.app.Conversation", cast.parts.conversation))
        stack.enter_context(pinned(chance_of(regime.seed, "machine")))
        for name, value in cast.patches.items():
            stack.enter_context(mock.patch(name, value))
        yield


def _tell_fault(history: History, message: str, error: object) -> None:
    history.add("loop_fault", message=message, error=f"{type(error).__name__}: {error}")


def simulate(seed: int, cast: Cast | None = None, *, level: int | None = None) -> History:
    """The history of one seed; `level` where it should be another than the seed's own."""
    regime, cast = regime_of(seed), cast or Cast()
    regime = regime if level is None else replace(regime, level=level)
    loop = SimLoop(chance_of(seed, "loop"), shuffle=regime.shuffle)
    history = History(loop.time)
    gc.disable()  # it would end abandoned generators at a moment of its own
    with _heard(history), _arranged(regime, cast):
        try:
            run(loop, World(regime, cast, history).live())
        except (Stuck, EndlessLoop) as never:
            _tell_fault(history, "the run", never)
        finally:
            for fault in loop.faults:
                _tell_fault(history, str(fault.get("message")), fault.get("exception"))
            for unseen in loop.unseen():
                _tell_fault(history, "a task ended unseen", unseen)
            history.met["steps"] = loop.steps
            history.closed = True
            loop.bury()
            gc.enable()
    return history
