"""Those who use the system: production clients, and scripts that know the wire only from its contract.

Duty: run a client as a process that may die and start again on the same disk; do things with it.
Must not know: when it dies, how the network is.

1. What a person did is recorded before the client hears of it; what the client promises, when it promises it.
2. A script shares no code with the product: JSON in, JSON out, so it also shows that the contract is enough.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, Protocol

from protocol.client.client import Client
from protocol.client.errors import CannotKeep, CannotReach, LinkClosed, Stopped
from protocol.client.sent import Acked
from protocol.client.status import Change
from protocol.client.target import Target
from protocol.client.wire import Wire
from protocol.codec import encode_state
from protocol.errors import Refused
from tests.sim.disk import ClientDisk, SimCache
from tests.sim.history import History
from tests.sim.loop import Node, pause
from tests.sim.ports import SimClock, SimIds

Dial = Callable[["Who"], Awaitable[Wire]]


class Who:
    """A user of a workspace, and the device that they use."""

    def __init__(self, client: str, actor: str, workspace: str) -> None:
        self.client = client
        self.actor = actor
        self.workspace = workspace

    @property
    def target(self) -> Target:
        return Target(workspace=self.workspace, unix=Path("server.sock"), acts_as=self.actor)


class Person(Protocol):
    """What the world does with any of them."""

    who: Who
    node: Node | None
    """None while the process does not run."""

    def start(self) -> None: ...
    def kill(self) -> None: ...
    def act(self, key: str, action_type: str, payload: dict[str, Any]) -> None: ...
    def hurry(self) -> None:
        """Ask for a connection now."""

    def insist(self) -> None:
        """Where the client has given up (removed members must be taken back first), ask it to try again."""

    def is_settled(self, seq: int) -> bool:
        """Whether it is live at that seq, with nothing pending."""

    def tell_end(self) -> None: ...


class Resident:
    """A person at a production client."""

    make_cache: type[SimCache] = SimCache

    def __init__(
        self, who: Who, disk: ClientDisk, history: History, dial: Dial, clock: SimClock, ids: SimIds
    ) -> None:
        self.who = who
        self.disk = disk
        self.node: Node | None = None
        self.client: Client | None = None
        self._history = history
        self._dial = dial
        self._clock = clock
        self._ids = ids
        self._cache: SimCache | None = None
        self._boots = 0
        self._phase = ""

    def start(self) -> None:
        """Start the client on what its disk holds."""
        self._boots += 1
        self.node = Node(f"{self.who.client}#{self._boots}")
        loaded = self.disk.load()
        self._history.add(
            "start",
            client=self.who.client,
            actor=self.who.actor,
            workspace=self.who.workspace,
            outbox=list(self.disk.outbox),
            rejected=list(self.disk.rejected),
            seq=loaded.head.seq,
            event_id=loaded.head.event_id,
            state=json.loads(encode_state(loaded.state)),
        )
        self._in_node(self._open())

    async def _open(self) -> None:
        self._cache = self.make_cache(self.disk)

        async def dial(_: Target) -> Wire:
            return await self._dial(self.who)

        self.client = Client(
            self.who.target,
            self._cache,
            self.disk.load(),
            name="resident/1",
            dial=dial,
            clock=self._clock,
            ids=self._ids,
        )
        self.client.subscribe(self._changed)

    def _changed(self, change: Change) -> None:
        assert self.client is not None
        link = self.client.link
        if link.phase != self._phase:
            self._phase = link.phase
            self._history.add("phase", client=self.who.client, phase=link.phase, seq=link.seq)
        if change.rejected:
            keys = [one.action.client_action_id for one in self.client.rejected]
            self._history.add("shown", client=self.who.client, keys=keys)

    def kill(self) -> None:
        """The process dies where it stands."""
        assert self.node is not None
        self._history.add("kill", client=self.who.client)
        self.node.alive = False
        self.node, self.client, self._phase = None, None, ""
        if self._cache is not None:
            self._cache.crash()
            self._cache = None

    def act(self, key: str, action_type: str, payload: dict[str, Any]) -> None:
        """Do something in the client."""
        if self.client is not None:
            self._in_node(self._follow(self.client, key, action_type, payload))

    async def _follow(self, client: Client, key: str, action_type: str, payload: dict[str, Any]) -> None:
        self._history.add(
            "invoke",
            client=self.who.client,
            actor=self.who.actor,
            workspace=self.who.workspace,
            key=key,
            type=action_type,
            payload=payload,
        )
        sent = client.act(action_type, payload, client_action_id=key)
        try:
            await sent.queued()
            # What is wrong with an action itself is refused before it is kept.
            if not isinstance(sent.outcome, Refused):
                self._history.add("queued", client=self.who.client, key=key)
        except CannotKeep:
            self._history.meet("queued_in_memory_only")
        try:
            outcome = await sent.settled()
        except Stopped:
            return
        fields: dict[str, Any] = {"status": "refused"}
        if isinstance(outcome, Acked):
            fields = {"status": outcome.status, "seq": outcome.seq, "event_ids": list(outcome.event_ids)}
        else:
            fields |= {"code": outcome.code, "sent": sent.was_sent}
        self._history.add("settled", client=self.who.client, key=key, **fields)

    def hurry(self) -> None:
        """The person asks for a connection now."""
        if self.client is not None and self.client.link.phase in ("offline", "connecting", "stopped"):
            self._in_node(self._retry(self.client))

    def insist(self) -> None:
        if self.client is not None and self.client.link.phase == "stopped":
            self._in_node(self._retry(self.client))

    async def _retry(self, client: Client) -> None:
        client.retry()

    def is_settled(self, seq: int) -> bool:
        client = self.client
        if client is None:
            return False
        link = client.link
        return link.phase == "live" and link.seq == seq and not client.replica.pending

    def tell_end(self) -> None:
        """What the client shows now."""
        assert self.client is not None
        replica = self.client.replica
        self._history.add(
            "final_client",
            client=self.who.client,
            workspace=self.who.workspace,
            phase=self.client.link.phase,
            seq=replica.head.seq,
            pending=[one.client_action_id for one in replica.pending],
            rejected=[one.action.client_action_id for one in self.client.rejected],
            confirmed=json.loads(encode_state(replica.confirmed)),
            view=json.loads(encode_state(replica.view)),
            streams=dict(self.client.streams),
        )

    def _in_node(self, work: Coroutine[Any, Any, None]) -> None:
        assert self.node is not None
        asyncio.get_running_loop().create_task(work, context=self.node.context())


class Script:
    """A program of somebody else's: it reads the contract strictly and sends some things twice."""

    def __init__(
        self, who: Who, history: History, dial: Dial, chance: random.Random, *, want: str, repeat: float
    ) -> None:
        self.who = who
        self.node: Node | None = None
        self.outbox: dict[str, str] = {}
        """Durable: frames by key."""
        self.cursor: str | None = None
        self.seq = 0
        self._history = history
        self._dial = dial
        self._chance = chance
        self._want = want
        self._repeat = repeat
        self._boots = 0
        self._wire: Wire | None = None
        self._live = False
        self._hurried = asyncio.Event()
        self._unsent: list[str] = []
        self._news = asyncio.Event()

    def start(self) -> None:
        """Start the program on what it kept."""
        self._boots += 1
        self.node = Node(f"{self.who.client}#{self._boots}")
        self._drop()
        self._history.add(
            "start",
            client=self.who.client,
            actor=self.who.actor,
            workspace=self.who.workspace,
            outbox=list(self.outbox),
            rejected=[],
            seq=self.seq,
            event_id=self.cursor,
            state=None,
        )
        self._in_node(self._run())

    def kill(self) -> None:
        assert self.node is not None
        self._history.add("kill", client=self.who.client)
        self.node.alive = False
        self.node = None

    def act(self, key: str, action_type: str, payload: dict[str, Any]) -> None:
        """Keep an action and send it when there is a connection."""
        frame = {"type": action_type, "client_action_id": key, "payload": payload}
        self._history.add(
            "invoke",
            client=self.who.client,
            actor=self.who.actor,
            workspace=self.who.workspace,
            key=key,
            type=action_type,
            payload=payload,
        )
        self._history.add("queued", client=self.who.client, key=key)
        self.outbox[key] = json.dumps(frame)
        self._unsent.append(key)
        self._news.set()

    def hurry(self) -> None:
        self._hurried.set()

    def insist(self) -> None:
        """A script tries for ever."""

    def is_settled(self, seq: int) -> bool:
        return self._live and self.seq == seq and not self.outbox

    def tell_end(self) -> None:
        self._history.add(
            "final_client",
            client=self.who.client,
            workspace=self.who.workspace,
            phase="live" if self._live else "offline",
            seq=self.seq,
            pending=list(self.outbox),
            rejected=None,
            confirmed=None,
            view=None,
            streams={},
        )

    async def _run(self) -> None:
        while True:
            try:
                await self._connection()
            except LinkClosed as closed:
                if closed.code == 4400:  # the cursor is of no ledger (any more): begin anew
                    self.cursor, self.seq = None, 0
            except (CannotReach, Stopped):
                self._live = False
            self._drop()
            self._hurried.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._chance.uniform(0.05, 3.0)):
                    await self._hurried.wait()

    async def _connection(self) -> None:
        self._wire = await self._dial(self.who)
        hello = {
            "type": "hello",
            "protocol": 1,
            "client_id": f"script-{self.who.client}",
            "client": "script/1",
            "since": self.cursor,
            "want": self._want,
        }
        await self._wire.send(json.dumps(hello).encode())
        while True:
            try:
                async with asyncio.timeout(32):
                    self._heard(json.loads(await self._wire.receive()))
            except TimeoutError:
                await self._wire.close()
                return

    def _heard(self, frame: dict[str, Any]) -> None:
        match frame["type"]:
            case "welcome":
                assert self._wire is not None
                self._unsent = list(self.outbox)
                self._in_node(self._pump(self._wire))
            case "events":
                self.cursor = frame["events"][-1]["event_id"]
                self.seq = frame["events"][-1]["seq"]
            case "snapshot" if frame["last"]:
                self.cursor, self.seq = frame["event_id"], frame["seq"]
            case "state.synced":
                self._live = True
            case "ack":
                self._settle(frame["client_action_id"])
            case "reject" if not frame["retryable"]:
                self._settle(frame["client_action_id"])

    def _drop(self) -> None:
        self._wire, self._live = None, False
        self._unsent.clear()
        self._news.set()

    def _settle(self, key: str) -> None:
        self.outbox.pop(key, None)

    async def _pump(self, wire: Wire) -> None:
        """Everything in the outbox, in order, once a connection; some of it again."""
        sent: list[str] = []
        try:
            while wire is self._wire:
                while self._unsent:
                    key = self._unsent.pop(0)
                    frame = self.outbox.get(key)
                    if frame is not None:
                        await wire.send(frame.encode())
                        sent.append(frame)
                        await self._send_again(wire, sent[-10:])
                self._news.clear()
                await self._news.wait()
        except LinkClosed:
            return

    async def _send_again(self, wire: Wire, sent: list[str]) -> None:
        while self._chance.random() < self._repeat:
            self._history.meet("sent_twice")
            await pause(self._chance.choice((0.0, 0.001, 0.01, 0.5)))
            await wire.send(self._chance.choice(sent).encode())

    def _in_node(self, work: Coroutine[Any, Any, None]) -> None:
        assert self.node is not None
        asyncio.get_running_loop().create_task(work, context=self.node.context())
