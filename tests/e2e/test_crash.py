"""kill -9 at the worst moment: what was acknowledged is there once, nothing is there twice, the same ids settle the rest."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from tests.support.raw import Frame, RawClient, Where, http_request, open_client
from tests.support.servers import ServerProcess, command, server_process

pytestmark = pytest.mark.e2e

CLIENTS = 4
ROUNDS = 2
BURST = 16


@dataclass
class Sender:
    """A client that sends as fast as it may, and remembers what was acknowledged."""

    number: int
    sent: list[str] = field(default_factory=list)
    acked: dict[str, Frame] = field(default_factory=dict)

    async def send_until_killed(self, where: Where, token: str, round_number: int) -> None:
        """Send tasks until the server is gone; every third comes twice."""
        async with open_client(where, token=token) as client:
            await client.hello(client_id=f"client-{self.number}")
            await client.synced()
            with contextlib.suppress(ConnectionClosed):
                while client.close_code is None:
                    await self._send_some(client, round_number)
            await client.closed()
            self._note(client)

    async def _send_some(self, client: RawClient, round_number: int) -> None:
        """A burst, and then wait for the end of the one before it: always some under way, never too many."""
        before = self.sent[-1] if client.of("ack") else None
        for _ in range(BURST):
            name = f"s{self.number}-{round_number}-{len(self.sent)}"
            self.sent.append(name)
            await self._send(client, name)
            if len(self.sent) % 3 == 0:
                await self._send(client, name)
        await client.until(
            lambda: client.close_code or (client.outcome_of(before) if before else client.of("ack"))
        )

    async def _send(self, client: RawClient, name: str) -> None:
        await client.add(name, f"Task {name}", task_id=f"task-{name}")

    async def retry(self, where: Where, token: str) -> None:
        """Send everything once more, acknowledged or not; each must settle as applied or duplicate."""
        async with open_client(where, token=token) as client:
            await client.hello(client_id=f"client-{self.number}")
            for name in self.sent:
                await self._send(client, name)
            for name in self.sent:
                ack = await client.settled(name)
                assert ack["type"] == "ack", ack
                if name in self.acked:
                    assert ack["status"] == "duplicate"
                    assert (ack["seq"], ack["event_ids"]) == (
                        self.acked[name]["seq"],
                        self.acked[name]["event_ids"],
                    )
            self._note(client)

    def _note(self, client: RawClient) -> None:
        for ack in client.of("ack"):
            self.acked.setdefault(ack["client_action_id"], ack)


async def ledger_of(where: Where, token: str) -> list[Any]:
    """All events, over HTTP."""
    events: list[Any] = []
    while True:
        after = events[-1]["seq"] if events else 0
        page = (await http_request(where, "GET", f"/workspaces/home/events?after={after}", token=token)).lines
        if not page:
            return events
        events += page


@contextlib.asynccontextmanager
async def a_server(*arguments: str) -> AsyncIterator[tuple[ServerProcess, str]]:
    """A process and an owner's token."""
    with server_process("--limit", "actions_per_s_max=0", *arguments) as process:
        yield process, await asyncio.to_thread(process.token)


async def kill_during(
    process: ServerProcess, senders: list[Sender], token: str, round_number: int, after: int
) -> None:
    """Let all senders send; kill the server when somebody has seen `after` more events."""
    watching = asyncio.ensure_future(_kill_after(process, token, after))
    await asyncio.gather(
        watching, *(one.send_until_killed(process.where, token, round_number) for one in senders)
    )


async def _kill_after(process: ServerProcess, token: str, count: int) -> None:
    async with open_client(process.where, token=token) as watcher:
        await watcher.hello(client_id="watcher")
        synced = await watcher.synced()
        await watcher.brought_to(synced["seq"] + count)
        process.kill9()


async def test_kill_during_a_burst() -> None:
    """After kill -9 during bursts of four clients every acked action is there once, none twice, seq is dense, ids settle."""
    senders = [Sender(number) for number in range(CLIENTS)]
    async with a_server() as (process, token):
        for round_number in range(ROUNDS):
            await kill_during(process, senders, token, round_number, after=200 + 150 * round_number)
            sound = await asyncio.to_thread(command, "verify", "--data", str(process.data))
            assert sound.returncode == 0, sound.stdout
            await asyncio.to_thread(process.start)
            events = await ledger_of(process.where, token)
            assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
            assert len({event["event_id"] for event in events}) == len(events)
            counted = Counter(event["client_action_id"] for event in events)
            assert set(counted.values()) == {1}
            by_seq = {event["seq"]: event for event in events}
            for sender in senders:
                for name, ack in sender.acked.items():
                    assert by_seq[ack["seq"]]["client_action_id"] == name
                    assert [by_seq[ack["seq"]]["event_id"]] == ack["event_ids"]
        await asyncio.gather(*(one.retry(process.where, token) for one in senders))
        events = await ledger_of(process.where, token)
        created = Counter(event["client_action_id"] for event in events if event["type"] == "task.created")
        assert created == Counter(name for sender in senders for name in sender.sent)
        assert await asyncio.to_thread(process.terminate) == 0
        done = await asyncio.to_thread(command, "verify", "--data", str(process.data))
        assert (done.returncode, len(done.stdout.splitlines())) == (0, 1)


async def test_a_cursor_outlives_the_server() -> None:
    """Who was live before kill -9 comes back with its cursor and misses nothing, with the same digest as a newcomer."""
    async with a_server() as (process, token):
        async with open_client(process.where, token=token) as client:
            await client.hello()
            await client.synced()
            for number in range(20):
                await client.add(f"c{number}")
            await client.settled("c19")
            cursor, held = client.events[-1]["event_id"], client.seq
            for number in range(20, 40):
                await client.add(f"c{number}")
            process.kill9()
            await client.closed()
        await asyncio.to_thread(process.start)
        async with (
            open_client(process.where, token=token) as back,
            open_client(process.where, token=token) as newcomer,
        ):
            await back.hello(cursor)
            await newcomer.hello(client_id="another")
            synced = await back.synced()
            assert back.of("snapshot") == []
            assert [event["seq"] for event in back.events] == list(range(held + 1, synced["seq"] + 1))
            assert synced["digest"] == (await newcomer.synced())["digest"]


async def test_kill_while_nothing_happens() -> None:
    """A server that is killed while idle has lost nothing, and its event ids go on rising."""
    async with a_server() as (process, token):
        for number in range(3):
            body = {"type": "user.remember", "client_action_id": f"c{number}", "payload": {"text": "tea"}}
            answer = await http_request(
                process.where, "POST", "/workspaces/home/events", token=token, body=body
            )
            assert answer.status == 200
            process.kill9()
            await asyncio.to_thread(process.start)
        events = await ledger_of(process.where, token)
        assert [event["client_action_id"] for event in events[1:]] == ["c0", "c1", "c2"]
        ids = [event["event_id"] for event in events]
        assert ids == sorted(ids)


async def test_an_open_answer_ends_after_a_restart() -> None:
    """An answer that was cut off has its one terminal event within 5 s of the next ready line."""
    async with a_server() as (process, token):
        body = {
            "type": "user.message",
            "client_action_id": "q1",
            "payload": {"text": "summarise everything, please"},
        }
        answer = await http_request(process.where, "POST", "/workspaces/home/events", token=token, body=body)
        assert answer.status == 200
        process.kill9()
        await asyncio.to_thread(process.start)
        async with asyncio.timeout(5):
            async with open_client(process.where, token=token) as client:
                await client.hello(want="events")
                await client.until(lambda: ended(client))
        assert [event["type"] for event in client.events].count("message.stream") == 1
        assert len(ended(client)) == 1


def ended(client: RawClient) -> list[Frame]:
    """The terminal events that have come."""
    return [event for event in client.events if event["type"] in ("llm.completed", "llm.interrupted")]
