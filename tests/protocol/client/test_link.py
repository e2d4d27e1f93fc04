"""The link over wires made of values: pauses, deadlines, what is heard before the end."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from protocol import limits
from protocol.client.clock import SystemClock, SystemIds
from protocol.client.errors import CannotReach, LinkClosed, Stopped
from protocol.client.link import Backoff, Ended, Link
from protocol.client.target import Target
from protocol.client.wire import Wire
from protocol.session.client import FENCE_WAIT_S, ClientSession, Failed, Result
from tests.support.wait import until

TARGET = Target(workspace="home", url="ws://localhost")


class ManualClock(SystemClock):
    """Time that passes when somebody sleeps, at once."""

    def __init__(self) -> None:
        self.time = 0.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += seconds
        await asyncio.sleep(0)


class HalfIds(SystemIds):
    """Every pause is half of its bound."""

    def fraction(self) -> float:
        return 0.5


class ScriptedWire:
    """Gives these messages, then ends with this code, or never (None)."""

    def __init__(self, *messages: bytes, code: int | None = 1006) -> None:
        self.messages = list(messages)
        self.code = code
        self.sent: list[bytes] = []
        self.closed = False

    async def send(self, data: bytes) -> None:
        self.sent.append(data)

    async def receive(self) -> bytes:
        if self.messages:
            return self.messages.pop(0)
        if self.code is None:
            await asyncio.get_running_loop().create_future()
        raise LinkClosed(self.code or 0, "")

    async def close(self) -> None:
        self.closed = True


class Recorder:
    """A party that takes down what it hears."""

    def __init__(self) -> None:
        self.heard_results: list[Result] = []
        self.ends: list[Ended] = []

    def began(self, now: float) -> ClientSession:
        return ClientSession(workspace="home", client_id="id", client="test/1", head=None, now=now)

    def outgoing(self) -> Sequence[bytes]:
        return ()

    def heard(self, result: Result) -> Ended | None:
        self.heard_results.append(result)
        return None

    def ended(self, ended: Ended) -> None:
        self.ends.append(ended)


async def run(*outcomes: Wire | Exception, clock: ManualClock | None = None) -> tuple[Recorder, ManualClock]:
    """A link that meets these wires and errors, one a try, then is stopped."""
    party, clock, left = Recorder(), clock or ManualClock(), list(outcomes)

    async def dial(target: Target) -> Wire:
        found = left.pop(0) if left else Stopped(None, "the end of the test")
        if isinstance(found, Exception):
            raise found
        return found

    await Link(TARGET, dial, party, clock, HalfIds()).run()
    return party, clock


def test_pauses_double_up_to_their_bound_and_are_drawn_from_nothing_up():
    """0.5, 1, 2, … 15 s are the bounds; jitter takes any part of them."""
    backoff = Backoff(HalfIds())
    pauses = [backoff.next_pause_s() for _ in range(9)]
    assert pauses == [0.25, 0.5, 1, 2, 4, 7.5, 7.5, 7.5, 7.5]
    for _ in range(5_000):
        assert 0 <= backoff.next_pause_s() <= limits.backoff_max_s


def test_only_a_healthy_connection_starts_the_pauses_anew():
    """A server that accepts and drops is not asked more often than one that does not answer."""
    backoff = Backoff(HalfIds())
    for _ in range(4):
        backoff.next_pause_s()
    backoff.succeeded(limits.healthy_s - 1)
    assert backoff.next_pause_s() == 4
    backoff.succeeded(limits.healthy_s)
    assert backoff.next_pause_s() == 0.25


async def test_it_tries_again_until_it_is_stopped():
    """Outages pass by; every end is told, the wires are closed."""
    wires = [ScriptedWire(), ScriptedWire(code=1001)]
    party, clock = await run(CannotReach("Nobody is there."), *wires)
    assert party.ends[0].reason == "Nobody is there."
    assert [one.code for one in party.ends[1:3]] == [1006, 1001]
    assert party.ends[3].stopped is not None
    assert [one for one in clock.slept if one < FENCE_WAIT_S] == [0.25, 0.5, 1.0]
    assert all(one.closed for one in wires)
    assert all(b'"hello"' in one.sent[0] for one in wires)


async def test_a_terminal_close_ends_it():
    """There is no further try."""
    party, _ = await run(ScriptedWire(code=4401), ScriptedWire())
    assert len(party.ends) == 1
    assert party.ends[0].stopped is not None


async def test_a_server_that_says_nothing_is_left_after_its_deadline():
    """The session's clock ends the connection though the wire is open."""
    wire = ScriptedWire(code=None)
    party, _ = await run(wire)
    assert [one.fault for one in party.heard_results if isinstance(one, Failed)] == ["no_welcome"]
    assert wire.closed


async def test_what_came_before_the_end_is_heard():
    """An error frame in front of a close is not lost to it."""
    party, _ = await run(ScriptedWire(b'{"type":"error","code":"4400","message":"no"}', code=4400))
    assert len(party.heard_results) == 1
    assert party.ends[0].code == 4400


async def test_hurry_cuts_a_pause_short():
    """A person who asks does not wait for the jitter."""

    class StillClock(SystemClock):
        async def sleep(self, seconds: float) -> None:
            await asyncio.get_running_loop().create_future()

    tries: list[Target] = []

    async def dial(target: Target) -> Wire:
        tries.append(target)
        raise CannotReach("no")

    link = Link(TARGET, dial, Recorder(), StillClock(), HalfIds())
    task = asyncio.create_task(link.run())
    await until(lambda: len(tries) == 1)
    await asyncio.sleep(0)
    link.hurry()
    await until(lambda: len(tries) == 2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
