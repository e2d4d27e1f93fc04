"""One connection after the other, for as long as the client lives.

Duty: connect, carry frames between a wire and a session, try again with growing pauses, stop where trying
is no use. Must not know: what results mean, state, files. Whoever it works for is a `Party`.

1. Close codes and statuses are judged by number: terminal ones stop the link, all others mean to come back.
2. Pauses are drawn from 0 up to a bound that doubles (full jitter); a connection that was healthy starts
   them anew.
3. What a connection still brought before it closed is heard before its end is.
4. At most one connection at a time; each has its own session.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NoReturn, Protocol, TypeVar

import msgspec

from protocol import limits
from protocol.client.clock import Clock, Ids
from protocol.client.errors import CannotReach, LinkClosed, Stopped, stopped_by_close
from protocol.client.target import Target
from protocol.client.wire import Dial, Wire
from protocol.errors import TERMINAL_CLOSES, CloseCode
from protocol.session.client import FENCE_WAIT_S, ClientSession, Failed, Result

T = TypeVar("T")


class Ended(msgspec.Struct, frozen=True):
    """How a connection, or the try to make one, ended. `stopped`: there will be no other."""

    reason: str
    stopped: Stopped | None = None
    code: int | None = None


class Party(Protocol):
    """Whom the link works for."""

    def began(self, now: float) -> ClientSession:
        """A connection is open: the session that speaks on it."""

    def outgoing(self) -> Sequence[bytes]:
        """The frames to send now; empty where there are none, then `Link.wake` when there are again."""

    def heard(self, result: Result) -> Ended | None:
        """What the server said; an Ended where the connection must not go on."""

    def ended(self, ended: Ended) -> None:
        """The connection is over, or there was none."""


class Backoff:
    """How long to wait before the next try (invariant 2)."""

    def __init__(self, ids: Ids) -> None:
        self._ids = ids
        self._tries = 0

    def succeeded(self, lasted_s: float) -> None:
        """A connection held for so long."""
        if lasted_s >= limits.healthy_s:
            self._tries = 0

    def next_pause_s(self) -> float:
        """Seconds until the next try."""
        bound = min(limits.backoff_max_s, limits.backoff_first_s * 2.0 ** min(self._tries, 30))
        self._tries += 1
        return float(bound * self._ids.fraction())


class Link:
    """Keeps a party connected. `run` returns when there will be no other connection."""

    def __init__(self, target: Target, dial: Dial, party: Party, clock: Clock, ids: Ids) -> None:
        self._target = target
        self._dial = dial
        self._party = party
        self._clock = clock
        self._backoff = Backoff(ids)
        self._wake = asyncio.Event()
        self._hurry = asyncio.Event()

    def wake(self) -> None:
        """There is something to send."""
        self._wake.set()

    def hurry(self) -> None:
        """Try now, not after the pause."""
        self._hurry.set()

    async def run(self) -> None:
        """Connect, and again, until a connection ends for good."""
        while True:
            ended = await self._connection()
            self._party.ended(ended)
            if ended.stopped is not None:
                return
            await self._pause(self._backoff.next_pause_s())

    async def _pause(self, seconds: float) -> None:
        self._hurry.clear()
        tasks = [
            asyncio.create_task(self._clock.sleep(seconds)),
            asyncio.create_task(_rung(self._hurry)),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await _cancelled(tasks)

    async def _connection(self) -> Ended:
        try:
            wire = await self._dial(self._target)
        except CannotReach as error:
            return Ended(str(error))
        except Stopped as error:
            return Ended(error.message, error, error.code)
        began = self._clock.monotonic()
        try:
            return await self._conversation(wire, self._party.began(began))
        finally:
            self._backoff.succeeded(self._clock.monotonic() - began)
            await wire.close()

    async def _conversation(self, wire: Wire, session: ClientSession) -> Ended:
        tasks = [
            asyncio.create_task(self._read(wire, session)),
            asyncio.create_task(self._watch(session)),
            asyncio.create_task(self._write(wire, session)),
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            return next(task for task in tasks if task in done).result()
        finally:
            await _cancelled(tasks)

    async def _read(self, wire: Wire, session: ClientSession) -> Ended:
        while True:
            try:
                data = await wire.receive()
            except LinkClosed as closed:
                return _end_of(closed)
            ended = self._heard(session.receive(data, self._clock.monotonic()))
            if ended is not None:
                return ended

    async def _watch(self, session: ClientSession) -> Ended:
        """The session's deadlines; they move while this sleeps, so each time they are asked again."""
        while True:
            due = session.next_deadline()
            if due is None:
                await _never()
            # In steps: a fence brings the deadline nearer while this sleeps.
            await self._clock.sleep(min(max(0.0, due - self._clock.monotonic()), FENCE_WAIT_S))
            ended = self._heard(session.tick(self._clock.monotonic()))
            if ended is not None:
                return ended

    async def _write(self, wire: Wire, session: ClientSession) -> Ended:
        try:
            await wire.send(session.hello())
            while True:
                while frames := self._party.outgoing():
                    for frame in frames:
                        await wire.send(frame)
                await self._wake.wait()
                self._wake.clear()
        except LinkClosed:
            await _never()  # the reader hears first what came before the end (invariant 3)

    def _heard(self, results: Sequence[Result]) -> Ended | None:
        for result in results:
            ended = self._party.heard(result)
            if ended is not None:
                return ended
            if isinstance(result, Failed):
                return _end_of_session(result)
        return None


def _end_of(closed: LinkClosed) -> Ended:
    if closed.code in TERMINAL_CLOSES:
        stopped = stopped_by_close(closed.code)
        return Ended(stopped.message, stopped, closed.code)
    words = {
        CloseCode.GOING_AWAY: "The server is being restarted, or your role has changed.",
        CloseCode.SLOW_CONSUMER: "This client read too slowly.",
        CloseCode.TOO_MANY_CONNECTIONS: "The server has too many connections.",
        CloseCode.LEDGER_UNAVAILABLE: "The server cannot save anything just now.",
    }
    return Ended(words.get(closed.code, "The connection was lost."), code=closed.code)  # type: ignore[call-overload]  # an IntEnum's key is found by its number


def _end_of_session(failed: Failed) -> Ended:
    if failed.fault == "version":
        return Ended(failed.message, Stopped(CloseCode.PROTOCOL_VERSION, failed.message))
    return Ended(failed.message)


async def _cancelled(tasks: Sequence[asyncio.Task[T]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _rung(bell: asyncio.Event) -> None:
    await bell.wait()


async def _never() -> NoReturn:
    await asyncio.get_running_loop().create_future()
    raise AssertionError("a future that no one resolves was resolved")
