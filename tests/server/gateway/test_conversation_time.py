"""What time does to a connection: silence, presence, too fast a sender, too slow a reader."""

from __future__ import annotations

import asyncio

import pytest

from protocol import limits
from server.ledger.memory import MemoryLedger
from tests.support.raw import RawClient
from tests.support.servers import running


def now() -> float:
    return asyncio.get_running_loop().time()


# Silence


async def test_head_after_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """After the interval without a frame that carries `seq` the client is told the head, and again after the next."""
    monkeypatch.setattr(limits, "head_interval_s", 0.1)
    async with running() as server, server.client() as client:
        synced = await client.synced()
        first = await client.next("head")
        assert (first["seq"], first["event_id"]) == (synced["seq"], synced["event_id"])
        await client.next("head")


async def test_no_head_while_events_come(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever gets events is told no head; the head that comes in the end is theirs."""
    monkeypatch.setattr(limits, "head_interval_s", 0.3)
    async with running() as server, server.client() as client:
        begun = now()
        number = 0
        while now() - begun < 0.8:
            number += 1
            await client.done("user.remember", f"c{number}", text="tea")
        assert client.of("head") == []
        assert (await client.next("head"))["seq"] == client.seq


async def test_head_names_what_was_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """A head is never ahead of the events that came before it."""
    monkeypatch.setattr(limits, "head_interval_s", 0.001)
    async with running() as server, server.client(want="events") as client:
        for number in range(100):
            await client.done("user.remember", f"c{number}", text="tea")
        held = 0
        for frame in client.frames:
            if frame["type"] == "events":
                held = frame["events"][-1]["seq"]
            if frame["type"] == "head":
                assert frame["seq"] == held


# Presence


async def test_presence_is_told_to_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who types, and where, is seen by all."""
    monkeypatch.setattr(limits, "presence_interval_s", 0.01)
    async with running() as server, server.client(client="one/1") as one, server.client() as two:
        await one.send({"type": "presence", "typing": True, "focus": "t1"})
        await two.until(lambda: shown(two, "one/1") == (True, "t1"))
        await one.send({"type": "presence", "typing": False, "focus": None})
        await two.until(lambda: shown(two, "one/1") == (False, None))


def shown(client: RawClient, name: str) -> tuple[bool, str | None] | None:
    """Typing and focus of a client, as another was last told."""
    for one in client.of("presence")[-1]["members"]:
        if one["client"] == name:
            return one["typing"], one["focus"]
    return None


async def test_presence_at_most_once_an_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    """However often somebody changes, a reader is told at most once an interval, and at last the latest."""
    monkeypatch.setattr(limits, "presence_interval_s", 0.3)
    async with running() as server, server.client(client="one/1") as one, server.client() as two:
        before, begun = len(two.of("presence")), now()
        for number in range(200):
            await one.send({"type": "presence", "typing": False, "focus": f"t{number}"})
        await two.until(lambda: shown(two, "one/1") == (False, "t199"))
        assert len(two.of("presence")) - before <= 1 + (now() - begun) / 0.3


async def test_presence_that_does_not_change(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same again is told to nobody."""
    monkeypatch.setattr(limits, "presence_interval_s", 0.01)
    async with running() as server, server.client(client="one/1") as one, server.client() as two:
        await one.send({"type": "presence", "typing": False, "focus": "t1"})
        await two.until(lambda: shown(two, "one/1") == (False, "t1"))
        told = len(two.of("presence"))
        for _ in range(20):
            await one.send({"type": "presence", "typing": False, "focus": "t1"})
        await one.send({"type": "presence", "typing": False, "focus": "t2"})
        await two.until(lambda: shown(two, "one/1") == (False, "t2"))
        assert len(two.of("presence")) == told + 1


async def test_typing_lapses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who does not say again that he types, types no more; where he is stays."""
    monkeypatch.setattr(limits, "presence_interval_s", 0.01)
    monkeypatch.setattr(limits, "typing_s", 0.1)
    async with running() as server, server.client(client="one/1") as one, server.client() as two:
        await one.send({"type": "presence", "typing": True, "focus": "t1"})
        await two.until(lambda: shown(two, "one/1") == (True, "t1"))
        await two.until(lambda: shown(two, "one/1") == (False, "t1"))


async def test_presence_when_somebody_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is gone, however, is no longer shown."""
    monkeypatch.setattr(limits, "presence_interval_s", 0.01)
    async with running() as server, server.client() as two:
        async with server.client(client="one/1") as one:
            await two.until(lambda: shown(two, "one/1") is not None)
            one.cut()
            await two.until(lambda: shown(two, "one/1") is None)
        assert two.of("presence")[-1]["count"] == 1


async def test_presence_shows_at_most_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """The list is bounded, the count is not."""
    monkeypatch.setattr(limits, "presence_members_max", 2)
    async with running() as server, server.client(), server.client(), server.client() as third:
        presence = third.of("presence")[-1]
        assert (len(presence["members"]), presence["count"]) == (2, 3)


# Too fast


async def test_too_fast_a_sender(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who sends more than the burst is read at the rate: everything is done, nothing is rejected, later."""
    monkeypatch.setattr(limits, "actions_burst_max", 10)
    async with running(actions_per_s=100.0) as server, server.client() as client:
        begun = now()
        for number in range(50):
            await client.add(f"c{number}")
        await client.until(lambda: len(client.of("ack")) == 50)
        assert now() - begun > 0.35
        assert client.of("reject") == []


async def test_a_fast_sender_slows_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rate is each connection's own."""
    monkeypatch.setattr(limits, "actions_burst_max", 5)
    async with running(actions_per_s=40.0) as server, server.client() as fast, server.client() as other:
        for number in range(30):
            await fast.add(f"c{number}")
        await other.done("user.remember", "d1", text="tea")
        assert len(fast.of("ack")) < 30


async def test_the_rate_can_be_lifted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rate of 0 is none, and `welcome` says so."""
    monkeypatch.setattr(limits, "actions_burst_max", 1)
    async with running(actions_per_s=0) as server, server.client() as client:
        begun = now()
        for number in range(100):
            await client.add(f"c{number}")
        await client.until(lambda: len(client.of("ack")) == 100)
        assert now() - begun < 5
        assert client.frames[0]["limits"]["actions_per_s_max"] == 0


async def test_more_in_flight_than_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """With more actions under way than the bound a connection is read no further until there is room; none is lost."""
    monkeypatch.setattr(limits, "actions_in_flight_max", 3)
    async with running() as server, server.client() as client:
        for number in range(100):
            await client.add(f"c{number}")
        await client.until(lambda: len(client.of("ack")) == 100)


# Too slow


async def test_a_slow_reader_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """A live reader over its cap is aborted; the others miss nothing, and it comes back by its cursor."""
    monkeypatch.setattr(limits, "outgoing_bytes_max", 256 * 1024)
    async with running(ledger=MemoryLedger()) as server, server.client() as slow, server.client() as good:
        await slow.done("user.remember", "c0", text="tea")
        slow.stop_reading()
        workspace = await server.workspace()
        number = 0
        while workspace.hub.live == 2:
            number += 1
            assert number < 1_000
            await good.done("user.remember", f"c{number}", text="x" * 60_000)
        slow.go_on_reading()
        assert await slow.closed() == 1006
        assert [one["seq"] for one in good.events] == list(range(good.events[0]["seq"], good.seq + 1))
        cursor, held = slow.events[-1]["event_id"], slow.seq
        async with server.client(since=cursor) as back:
            assert [one["seq"] for one in back.events] == list(range(held + 1, good.seq + 1))


async def test_a_reader_that_catches_up_is_not_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """A replay that is much larger than the cap is fed as it drains, to a reader that pauses too."""
    monkeypatch.setattr(limits, "outgoing_bytes_max", 256 * 1024)
    monkeypatch.setattr(limits, "catch_up_buffer_bytes_max", 64 * 1024)
    async with running(ledger=MemoryLedger()) as server:
        await server.token()
        await asyncio.gather(*(server.act("user.remember", f"c{n}", text="x" * 60_000) for n in range(200)))
        async with server.connect() as client:
            client.stop_reading()
            await client.hello(want="events")
            async with server.client() as other:
                await other.done("user.remember", "d1", text="tea")
            client.go_on_reading()
            await client.synced()
            await client.brought_to((await server.workspace()).committed.head.seq)
            assert [one["seq"] for one in client.events] == list(range(1, client.seq + 1))


async def test_a_slow_reader_slows_nobody() -> None:
    """While one reads nothing, the others get their events and acks."""
    async with running(ledger=MemoryLedger()) as server, server.client() as slow, server.client() as good:
        slow.stop_reading()
        for number in range(50):
            await good.done("user.remember", f"c{number}", text="x" * 10_000)
        slow.go_on_reading()
        await slow.brought_to(good.seq)
        assert slow.events == good.events
