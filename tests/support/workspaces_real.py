"""Real workspaces over a ledger that fails as a test says: what a test posts, and everything that leaves.

Whatever leaves a workspace (frames, answers, what producers hear) goes into one journal, in its order.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from protocol import times
from protocol.codec import decode_server_frame, encode_server_frame
from protocol.events import Event
from protocol.frames import Ack, Events, Presence, Present, ServerFrame
from server.clock import SystemIds
from server.gateway.websocket import encode_text_frame, text_of_frame
from server.ledger.commit import CommitQueue
from server.ledger.port import Found, Ledger, LookUp
from server.registry import Registry
from server.workspace import Applied, Commit, Lane, Outcome, Submission, Workspace
from tests.support.fixtures import NOW_MS
from tests.support.ledgers import FaultyLedger


class StepClock:
    """A wall clock that a test sets; sleeping gives the loop to others, and is counted."""

    def __init__(self) -> None:
        self.ms = NOW_MS
        self.slept: list[float] = []

    def now_ms(self) -> int:
        return self.ms

    def now(self) -> str:
        return times.format_ms(self.ms)

    def monotonic(self) -> float:
        return self.ms / 1000

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(0)


class BlindLedger(FaultyLedger):
    """A faulty ledger whose look-ups and reads wait or fail too."""

    def __init__(self) -> None:
        super().__init__()
        self.blind: Exception | None = None
        """What every look-up raises."""
        self.looking = asyncio.Event()
        """Set while a look-up is held, after it has seen what is durable."""
        self.looks = 0
        self.reads = 0
        self._eyes = asyncio.Event()
        self._eyes.set()

    def hold_looks(self) -> None:
        self._eyes.clear()

    def release_looks(self) -> None:
        self._eyes.set()

    async def look_up(self, requests: Sequence[LookUp]) -> list[Found]:
        self.looks += 1
        if self.blind is not None:
            raise self.blind
        found = await super().look_up(requests)
        if not self._eyes.is_set():
            self.looking.set()
            await self._eyes.wait()
        return found

    async def read(self, workspace: int, after: int, limit: int, bytes_max: int | None = None) -> Any:
        self.reads += 1
        await asyncio.sleep(0)
        return await super().read(workspace, after, limit, bytes_max)


@dataclass(eq=False)
class Listener:
    """A reader of a hub; as a connection does it, its answers leave with its frames, in one write."""

    name: str
    journal: list[Any]
    actor: str = "ana"
    client_id: str = ""
    token_id: str | None = None
    pushed: list[bytes] = field(default_factory=list)
    writes: list[list[ServerFrame]] = field(default_factory=list)
    left: list[int] = field(default_factory=list)
    seq: int = 0
    on_flush: Callable[[], None] | None = None

    def __post_init__(self) -> None:
        self.client_id = self.client_id or self.name

    def push(self, frame: bytes, seq: int | None = None) -> None:
        self.pushed.append(text_of_frame(frame))
        self.seq = max(self.seq, seq or 0)

    def flush(self) -> None:
        frames, self.pushed = self.pushed, []
        if frames:
            write = [frame for frame in map(decode_server_frame, frames) if frame is not None]
            self.writes.append(write)
            told = tuple(shown(frame) for frame in write if not isinstance(frame, Presence))
            if told:
                self.journal.append((self.name, told))
        if self.on_flush is not None:
            self.on_flush()

    def leave(self, code: int, reason: str) -> None:
        self.left.append(int(code))
        self.journal.append((self.name, "left", int(code)))

    @property
    def frames(self) -> list[ServerFrame]:
        return [frame for write in self.writes for frame in write]

    @property
    def event_frames(self) -> list[Events]:
        return [frame for frame in self.frames if isinstance(frame, Events)]

    @property
    def events(self) -> list[Event]:
        return [event for frame in self.event_frames for event in frame.events]


def shown(frame: ServerFrame) -> str:
    """A frame in a word: `events 1-3`, `ack c1`, else its type."""
    match frame:
        case Events(after=after, events=events):
            return f"events {after + 1}-{after + len(events)}"
        case Ack(client_action_id=client_action_id):
            return f"ack {client_action_id}"
        case _:
            return type(frame).__name__.lower()


def listen(
    workspace: Workspace, name: str = "a", journal: list[Any] | None = None, **fields: Any
) -> Listener:
    """A live reader that has had its first presence."""
    reader = Listener(name, [] if journal is None else journal, **fields)
    workspace.hub.enter(reader)
    workspace.hub.join(reader, Present(actor=reader.actor, session_id=f"s-{name}", client="test/1"))
    reader.pushed.clear()
    return reader


class Watcher:
    """A producer that hears and does nothing else."""

    def __init__(self, journal: list[Any] | None = None) -> None:
        self.journal = [] if journal is None else journal
        self.commits: list[Commit] = []
        self.opened_names: list[str] = []
        self.closed: list[Workspace | None] = []
        self.on_opened: Callable[[Workspace], Any] | None = None

    async def opened(self, workspace: Workspace) -> None:
        self.opened_names.append(workspace.name)
        if self.on_opened is not None:
            await self.on_opened(workspace)

    def committed(self, workspace: Workspace, commit: Commit) -> None:
        self.commits.append(commit)
        self.journal.append(("producer", commit.head.seq))

    async def close(self, workspace: Workspace | None = None) -> None:
        self.closed.append(workspace)


class House:
    """A registry over one ledger, and what a test does with it."""

    def __init__(self, ledger: Ledger, *, clock: StepClock | None = None) -> None:
        self.ledger = ledger
        self.clock = clock or StepClock()
        self.journal: list[Any] = []
        self.watcher = Watcher(self.journal)
        self.commits = CommitQueue(ledger)
        self.registry = Registry(
            ledger, self.commits, clock=self.clock, fresh_ids=SystemIds(), producers=[self.watcher]
        )

    async def workspace(self, name: str = "home") -> Workspace:
        """A new workspace whose owner is `ana`; the journal and the producer know nothing of its first event."""
        workspace = await self.registry.create(name)
        await workspace.submit("system", "system.set_member", "owner", body(actor="ana", role="owner"))
        await asyncio.sleep(0)
        self.journal.clear()
        self.watcher.commits.clear()
        return workspace

    async def reopened(self, name: str = "home") -> Workspace:
        """The workspace as a server finds it that starts anew on the same ledger."""
        await self.close()
        self.commits = CommitQueue(self.ledger)
        self.registry = Registry(
            self.ledger, self.commits, clock=self.clock, fresh_ids=SystemIds(), producers=[self.watcher]
        )
        workspace = await self.registry.open(name)
        assert workspace is not None
        return workspace

    async def close(self) -> None:
        await self.registry.close()
        await self.commits.close()

    def post(
        self,
        workspace: Workspace,
        action_type: str,
        action_id: str,
        *,
        actor: str = "ana",
        lane: Lane | None = None,
        reader: Listener | None = None,
        damaged: bool = False,
        **payload: object,
    ) -> asyncio.Future[Outcome]:
        """Post an action; its outcome goes into the journal, and as an ack to `reader`."""
        answered: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

        def reply(outcome: Outcome) -> None:
            self.journal.append((action_id, verdict(outcome)))
            answered.set_result(outcome)  # raises where it is answered twice
            if reader is not None and isinstance(outcome, Applied):
                ack = Ack(
                    client_action_id=action_id,
                    status=outcome.status,
                    seq=outcome.seq,
                    event_ids=outcome.event_ids,
                )
                reader.push(encode_text_frame(encode_server_frame(ack)))
                workspace.hub.mark(reader)

        workspace.post(
            Submission(actor, action_type, action_id, body(**payload), reply, lane=lane, damaged=damaged)
        )
        return answered

    def task(self, workspace: Workspace, number: int, **fields: Any) -> asyncio.Future[Outcome]:
        """Post `c<number>`, which makes the task `t<number>`."""
        return self.post(
            workspace, "user.create_task", f"c{number}", task_id=f"t{number}", title="Buy milk", **fields
        )

    @property
    def answers(self) -> list[tuple[str, str]]:
        """The outcomes that left, in order."""
        words = ("applied", "duplicate", "unknown")
        return [
            one for one in self.journal if len(one) == 2 and str(one[1]).split()[0] in (*words, "refused")
        ]


def verdict(outcome: Outcome) -> str:
    """An outcome in a word or two: `applied`, `duplicate`, `refused conflict`, `unknown`."""
    match outcome:
        case Applied(status=status):
            return status
        case _ if hasattr(outcome, "code"):
            return f"refused {outcome.code}"
        case _:
            return "unknown"


def body(**payload: object) -> bytes:
    """The JSON of a payload."""
    return json.dumps(payload).encode()


async def act(
    workspace: Workspace, action_type: str, action_id: str, actor: str = "ana", **payload: object
) -> Any:
    """Submit an action and give its outcome."""
    return await workspace.submit(actor, action_type, action_id, body(**payload))


async def settle_loop(turns: int = 20) -> None:
    """Let everything that can go on without the outside go on."""
    for _ in range(turns):
        await asyncio.sleep(0)
