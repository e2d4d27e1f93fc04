"""Real workspaces on a ledger in memory, with a clock that a test moves.

A `House` is one life of a server after another on the same ledger: `crash` drops everything that was in memory, `open` begins
anew from what was durable.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from itertools import count

from protocol.codec import decode_event, decode_server_frame
from protocol.errors import Refused
from protocol.events import Event
from protocol.frames import Present, Token
from protocol.reduce import fold
from protocol.state import INITIAL, State
from server.ledger.commit import CommitQueue
from server.ledger.memory import MemoryLedger
from server.workspace import Applied, Producer, Workspace
from tests.support.clocks import VirtualClock, settle

Producers = Callable[[VirtualClock], Sequence[Producer]]


class CountingIds:
    """Ids that count."""

    def __init__(self) -> None:
        self._numbers = count(1)

    def uuid7(self) -> str:
        return f"00000000-0000-7000-8000-{next(self._numbers):012x}"

    def entropy(self) -> int:
        return next(self._numbers)

    def secret(self) -> str:
        return "s" * 43


class Ear:
    """A reader that keeps the tokens it gets, each with the time of its coming."""

    actor, client_id, token_id = "ana", "ear", None

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self.tokens: list[tuple[float, str]] = []

    def push(self, frame: bytes, seq: int | None = None) -> None:
        # Before the JSON stands the head of a WebSocket frame.
        read = decode_server_frame(frame[frame.index(b'{"') :])
        if isinstance(read, Token):
            self.tokens.append((round(self._clock.monotonic(), 3), read.payload.text))

    def flush(self) -> None:
        pass

    def leave(self, code: int, reason: str) -> None:
        pass

    @property
    def heard(self) -> str:
        return "".join(text for _, text in self.tokens)


class House:
    """A workspace through its lives."""

    def __init__(self, producers: Producers, ledger: MemoryLedger | None = None) -> None:
        self.ledger = ledger or MemoryLedger()
        self.clock = VirtualClock()
        self._make = producers
        self._ids = CountingIds()
        self._actions = count(1)
        self.producers: Sequence[Producer] = ()
        self.workspace: Workspace
        self.ear: Ear

    async def open(self) -> Workspace:
        """A new life: the state from the ledger, producers that know nothing."""
        row = await self.ledger.create_workspace("home", "w-home", self.clock.now())
        rows = await self.ledger.read(row.key, 0, 100_000)
        state = fold(INITIAL, [decode_event(one.data) for one in rows])
        self.producers = self._make(self.clock)
        self.workspace = Workspace(
            row,
            state,
            ledger=self.ledger,
            commits=CommitQueue(self.ledger),
            clock=self.clock,
            fresh_ids=self._ids,
            producers=self.producers,
        )
        for producer in self.producers:
            await producer.opened(self.workspace)
        self.ear = Ear(self.clock)
        self.workspace.hub.join(self.ear, Present(actor="ana", session_id="s", client="ear"))
        if "ana" not in state.members:
            await self.act("system", "system.set_member", {"actor": "ana", "role": "owner"})
            await self.act("ana", "user.update_settings", {"timezone": "Europe/Berlin"})
        return self.workspace

    async def crash(self) -> None:
        """The process is gone. (Its tasks are stopped: what a dead process would not do, they must not do.)"""
        self.workspace.save_segment = lambda *_: None  # type: ignore[method-assign]  # a dead process saves nothing more
        await self.close()

    async def close(self) -> None:
        for producer in self.producers:
            await producer.close()
        await self.workspace.close()
        await settle()

    async def act(
        self, actor: str, action_type: str, fields: Mapping[str, object], action_id: str | None = None
    ) -> Applied | Refused:
        """Submit an action under a fresh id."""
        chosen = action_id or f"c{next(self._actions)}"
        return await self.workspace.submit(actor, action_type, chosen, json.dumps(fields).encode())

    async def say(self, text: str, **fields: object) -> None:
        """A message of ana's."""
        outcome = await self.act("ana", "user.message", {"text": text, **fields})
        assert isinstance(outcome, Applied), outcome

    async def events(self) -> list[Event]:
        """All that is durable."""
        return [decode_event(row.data) for row in await self.ledger.read(self.workspace.key, 0, 100_000)]

    async def types(self) -> list[str]:
        """The types of all events but those of the furnishing."""
        return [one.type for one in await self.events() if one.type not in ("member.set", "settings.updated")]

    @property
    def state(self) -> State:
        return self.workspace.committed.state
