"""A process of production clients that do things until they are killed: `python -m … residents SETTINGS`.

Duty: open each client on its durable cache, act when told, write a diary, tell how they stand.
Must not know: servers, when anybody dies.

Orders come on stdin, one a line: `act N` (each client does N more things), `hurry`, `tell` (answered by a line of
JSON on stdout), `end` (write down what is shown, and exit).
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from protocol.client.cache import Cache, DurableCache
from protocol.client.client import Client
from protocol.client.clock import SystemClock, SystemIds
from protocol.client.errors import CannotKeep, Stopped
from protocol.client.sent import Acked, Sent
from protocol.client.status import Change
from protocol.client.store import Loaded
from protocol.client.target import Target
from protocol.client.wire import Wire
from protocol.codec import encode_state
from protocol.errors import Refused
from tests.sim.deeds import Deeds
from tests.sim.people import Who
from tests.sim.ports import chance_of
from tests.support.kill9.diary import Diary
from tests.support.kill9.wires import Dialer

PENDING_MAX = 8
"""A client with so many unsettled actions waits: with a server the load follows its speed, without one it stops."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Who lives in this process, and where. `people` are (client, actor)."""

    name: str
    boot: int
    seed: int
    folder: str
    socket: str
    workspace: str
    people: tuple[tuple[str, str], ...]

    def as_argument(self) -> str:
        """For a command line."""
        return json.dumps(asdict(self))

    @classmethod
    def of_argument(cls, text: str) -> Settings:
        fields = json.loads(text)
        return cls(**{**fields, "people": tuple(map(tuple, fields["people"]))})


class Resident:
    """A person at a production client with a cache of its own."""

    make_client: type[Client] = Client

    def __init__(self, who: Who, settings: Settings, diary: Diary, dialer: Dialer) -> None:
        self.who = who
        self.left = 0
        """Things still to do."""
        self._settings = settings
        self._diary = diary
        self._dialer = dialer
        self._target = Target(workspace=who.workspace, unix=Path(settings.socket), acts_as=who.actor)
        chance = chance_of(settings.seed, who.client, settings.boot)
        self._deeds = Deeds(chance, talk=0.05, rude=0.3)
        self._news = asyncio.Event()
        self._phase = ""
        self._tasks: set[asyncio.Task[None]] = set()
        self.client: Client

    async def open(self) -> None:
        """Start on what the disk holds."""
        clock = SystemClock()
        folder = Path(self._settings.folder) / self.who.client
        cache, loaded = await DurableCache.open(folder, self._target.cache_name, clock)
        self._tell_start(loaded)
        self.client = self.made(cache, loaded, clock)
        self.client.subscribe(self._changed)
        self._start(self._work())

    def made(self, cache: Cache, loaded: Loaded, clock: SystemClock) -> Client:
        """The client on its cache."""

        async def dial(target: Target) -> Wire:
            return await self._dialer.dial(self.who, target)

        return self.make_client(
            self._target, cache, loaded, name="resident/1", dial=dial, clock=clock, ids=SystemIds()
        )

    def _tell_start(self, loaded: Loaded) -> None:
        self._add(
            "start",
            actor=self.who.actor,
            workspace=self.who.workspace,
            outbox=[one.client_action_id for one in loaded.pending],
            rejected=[one.action.client_action_id for one in loaded.rejected],
            seq=loaded.head.seq,
            event_id=loaded.head.event_id,
            state=json.loads(encode_state(loaded.state)),
        )

    def act(self, count: int) -> None:
        """Do so many more things, as fast as they settle."""
        self.left += count
        self._news.set()

    @property
    def is_settled(self) -> bool:
        return self.client.link.phase == "live" and not self.client.replica.pending and not self.left

    def tell_end(self) -> None:
        """Write down what is shown now."""
        replica = self.client.replica
        self._add(
            "final_client",
            workspace=self.who.workspace,
            phase=self.client.link.phase,
            seq=replica.head.seq,
            pending=[one.client_action_id for one in replica.pending],
            rejected=[one.action.client_action_id for one in self.client.rejected],
            confirmed=json.loads(encode_state(replica.confirmed)),
            view=json.loads(encode_state(replica.view)),
            streams=dict(self.client.streams),
        )

    def _changed(self, change: Change) -> None:
        link = self.client.link
        if link.phase != self._phase:
            self._phase = link.phase
            self._add("phase", phase=link.phase, seq=link.seq)
        if change.rejected:
            self._add("shown", keys=[one.action.client_action_id for one in self.client.rejected])
        self._news.set()

    async def _work(self) -> None:
        while True:
            while not self.left or len(self.client.replica.pending) >= PENDING_MAX:
                self._news.clear()
                await self._news.wait()
            self.left -= 1
            self._do()
            await asyncio.sleep(0)

    def _do(self) -> None:
        key = f"{self._settings.boot}.{self._deeds.new_key(self.who.client)}"
        action_type, payload = self._deeds.next()
        self._deeds.done.append((self.who.actor, key))
        self._add(
            "invoke",
            actor=self.who.actor,
            workspace=self.who.workspace,
            key=key,
            type=action_type,
            payload=payload,
        )
        self._start(self._follow(key, self.client.act(action_type, payload, client_action_id=key)))

    async def _follow(self, key: str, sent: Sent) -> None:
        try:
            await sent.queued()
            # What is wrong with an action itself is refused before it is kept.
            if not isinstance(sent.outcome, Refused):
                self._add("queued", key=key)
            outcome = await sent.settled()
        except (CannotKeep, Stopped) as error:
            self._diary.meet(type(error).__name__, client=self.who.client)
            return
        if isinstance(outcome, Acked):
            self._add("settled", key=key, status=outcome.status, seq=outcome.seq)
        else:
            self._add("settled", key=key, status="refused", code=outcome.code, sent=sent.was_sent)

    def _start(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _add(self, kind: str, **fields: Any) -> None:
        self._diary.add(kind, client=self.who.client, **fields)


async def live(settings: Settings, make: type[Resident] = Resident) -> None:
    """Live until `end`, or until killed."""
    name = f"{settings.name}.{settings.boot}"
    diary = Diary(Path(settings.folder) / f"{name}.jsonl")
    dialer = Dialer(diary, name)
    people = [
        make(Who(client, actor, settings.workspace), settings, diary, dialer)
        for client, actor in settings.people
    ]
    for one in people:
        await one.open()
    orders = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    while order := (await orders.readline()).decode().split():
        match order:
            case ["act", count]:
                for one in people:
                    one.act(int(count))
            case ["hurry"]:
                for one in people:
                    one.client.retry()
            case ["tell"]:
                told = {one.who.client: [one.is_settled, one.client.link.seq] for one in people}
                print(json.dumps(told), flush=True)
            case ["end"]:
                for one in people:
                    one.tell_end()
                    await one.client.close()
                return


def main(make: type[Resident] = Resident) -> None:
    """Run the process that the command line describes."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
    asyncio.run(live(Settings.of_argument(sys.argv[1]), make))


if __name__ == "__main__":
    main()
