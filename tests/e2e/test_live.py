"""A real server process and several clients: all see the same, at once, whoever did it and on whatever road."""

from __future__ import annotations

import asyncio
import functools
import json
import shutil
import subprocess
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.support.raw import Frame, RawClient, Where, http_request, open_client
from tests.support.servers import ServerProcess, server_process

pytestmark = pytest.mark.e2e


@pytest.fixture
async def process() -> AsyncIterator[ServerProcess]:
    """A server on TCP and a Unix socket."""
    with server_process("--unix", "{folder}/o.sock") as started:
        yield started


async def test_two_clients_see_the_same_ledger(process: ServerProcess) -> None:
    """Two clients that both write hold, in the end, the same events in the same order and the same digest."""
    ana = await asyncio.to_thread(process.token)
    ed = await asyncio.to_thread(process.token, "ed", "home", "editor")
    async with open_client(process.where, token=ana) as one, open_client(process.where, token=ed) as two:
        for client in (one, two):
            await client.hello(want="events")
            await client.synced()
        for number in range(100):
            await one.add(f"c{number}", f"from ana {number}")
            await two.add(f"c{number}", f"from ed {number}")
        for number in range(100):
            assert (await one.settled(f"c{number}"))["status"] == "applied"
            assert (await two.settled(f"c{number}"))["status"] == "applied"
        last = max(one.seq, two.seq)
        await one.brought_to(last)
        await two.brought_to(last)
        assert one.events == two.events
        assert [event["seq"] for event in one.events] == list(range(1, last + 1))
        answer = await http_request(process.where, "GET", "/workspaces/home/events", token=ana)
        assert answer.lines == one.events
    digests = set()
    for token in (ana, ed):
        async with open_client(process.where, token=token) as again:
            await again.hello()
            digests.add((await again.synced())["digest"])
    assert len(digests) == 1


async def test_curl_shows_up_at_both(process: ServerProcess) -> None:
    """A `curl` POST is seen by both connected clients, and its repeat by nobody."""
    if shutil.which("curl") is None:
        pytest.skip("there is no curl command here")
    token = await asyncio.to_thread(process.token)
    async with open_client(process.where, token=token) as one, open_client(process.where, token=token) as two:
        await one.hello(client_id="one")
        await two.hello(client_id="two")
        await one.synced()
        await two.synced()
        first = await asyncio.to_thread(curl, process.where, token)
        again = await asyncio.to_thread(curl, process.where, token)
        await one.brought_to(first["seq"])
        await two.brought_to(first["seq"])
        assert one.events == two.events
        assert one.events[0]["payload"]["title"] == "Buy milk"
        assert (first["status"], again["status"]) == ("applied", "duplicate")
        await one.done("user.remember", "c1", text="tea")
        assert len(one.events) == 2


def curl(where: Where, token: str) -> Any:
    """Post a task as a person at a shell does; the JSON of the answer."""
    body = '{"type":"user.create_task","payload":{"title":"Buy milk"}}'
    done = subprocess.run(
        [
            *("curl", "-sS", "--fail-with-body", "--noproxy", "*", "-H", f"Authorization: Bearer {token}"),
            *("-H", "Content-Type: application/json", "-H", "Idempotency-Key: curl-1"),
            *("-d", body, f"{where.url}/workspaces/home/events"),
        ],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return json.loads(done.stdout)


async def test_both_roads_are_one_server(process: ServerProcess) -> None:
    """What is done at the Unix socket is seen over TCP."""
    token = await asyncio.to_thread(process.token)
    socket = Where(unix=process.data.parent / "o.sock")
    async with open_client(process.where, token=token) as far, open_client(socket) as near:
        await far.hello()
        await near.hello()
        await near.synced()
        await far.synced()
        ack = await near.done("user.create_task", "c1", title="Buy milk")
        await far.brought_to(ack["seq"])
        assert far.events[-1]["event_id"] == ack["event_ids"][0]


async def test_an_answer_streams_to_both(process: ServerProcess) -> None:
    """Of one question both clients see question, opened answer, tokens and one terminal event; the tokens are its text."""
    token = await asyncio.to_thread(process.token)
    async with open_client(process.where, token=token) as one, open_client(process.where, token=token) as two:
        for name, client in (("one", one), ("two", two)):
            await client.hello(client_id=name)
            await client.synced()
        await one.done("user.message", "q1", text="hello")
        for client in (one, two):
            await client.until(functools.partial(completed_in, client))
        assert one.events == two.events
        opened = next(event for event in one.events if event["type"] == "message.stream")
        completed = one.events[-1]
        assert completed["payload"]["message_id"] == opened["payload"]["message_id"]
        for client in (one, two):
            text = ""
            for payload in (frame["payload"] for frame in client.of("llm.token")):
                assert payload["offset"] <= len(text)
                text += payload["text"][len(text) - payload["offset"] :]
            assert text == completed["payload"]["text"]
            assert client.types.index("llm.token") < client.types.index(
                "events", client.types.index("llm.token")
            )
            assert client.types[-1] != "llm.token"


def completed_in(client: RawClient) -> list[Frame]:
    """The ends of answers that a client has seen."""
    return [event for event in client.events if event["type"] == "llm.completed"]


async def test_a_token_made_while_it_runs(process: ServerProcess) -> None:
    """A token that is made beside the running server works at once, and its member is seen by who is connected."""
    token = await asyncio.to_thread(process.token)
    async with open_client(process.where, token=token) as client:
        await client.hello()
        await client.synced()
        other = await asyncio.to_thread(process.token, "ed", "home", "viewer")
        event = (await client.next("events"))["events"][0]
        assert (event["type"], event["payload"]["actor"]) == ("member.set", "ed")
        answer = await http_request(process.where, "GET", "/workspaces", token=other)
        assert answer.json[0]["role"] == "viewer"


async def test_members_survive_a_restart(process: ServerProcess) -> None:
    """After SIGTERM and a new start tokens, members and state are what they were."""
    token = await asyncio.to_thread(process.token)
    body = {"type": "user.remember", "client_action_id": "c1", "payload": {"text": "tea"}}
    await http_request(process.where, "POST", "/workspaces/home/events", token=token, body=body)
    before = (await http_request(process.where, "GET", "/workspaces/home/state", token=token)).body
    assert await asyncio.to_thread(process.terminate) == 0
    await asyncio.to_thread(process.start)
    assert (await http_request(process.where, "GET", "/workspaces/home/state", token=token)).body == before
