"""Every way in which the server ends a connection, with its code and its cause."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from protocol import limits
from server.admin import NewToken
from server.clock import SystemIds
from tests.support.raw import CLIENT_ID, masked_frame, open_client
from tests.support.servers import running
from tests.support.wait import until

BAD_FRAMES = [
    "",
    "hello",
    "{",
    "[]",
    "5",
    "null",
    '"hello"',
    "{}",
    '{"type":5}',
    '{"type":null}',
    '{"type":["user.remember"]}',
    '{"client_action_id":"c1","payload":{}}',
    '{"type":"user.remember","payload":{"text":"a"}}',
    '{"type":"user.remember","client_action_id":null,"payload":{"text":"a"}}',
    '{"type":"user.remember","client_action_id":5,"payload":{"text":"a"}}',
    '{"type":"user.remember","client_action_id":"","payload":{"text":"a"}}',
    '{"type":"user.remember","client_action_id":"%s","payload":{"text":"a"}}' % ("c" * 129),
    '{"type":"user.remember","client_action_id":"\u00e4","payload":{"text":"a"}}',
    '{"type":"user.remember","client_action_id":"a\\nb","payload":{"text":"a"}}',
    '{"type":"user.remember","client_action_id":"\\ud800","payload":{"text":"a"}}',
    '{"type":"user.remember","client_action_id":"c1","payload":NaN}',
    '{"type":"user.remember","client_action_id":"c1","payload":{"text":"a"}',
    '{"type":"user.remember","client_action_id":"c1","payload":{"text":"a"}} x',
    f'{{"type":"hello","protocol":1,"client_id":"{CLIENT_ID}"}}',
]

BAD_HELLOS: list[dict[str, Any]] = [
    {"since": 5},
    {"since": ["e"]},
    {"since": False},
    {"want": "nothing"},
    {"client_id": None},
    {"client_id": ""},
    {"client_id": 5},
    {"protocol": "one"},
    {"protocol": None},
    {"client": 5},
]


@pytest.mark.parametrize("text", BAD_FRAMES)
async def test_a_bad_frame(text: str) -> None:
    """What is no frame gets an `error` that says so, then 4400; nothing is committed."""
    async with running() as server, server.client() as client:
        head = (await server.workspace()).committed.head
        await client.send_text(text)
        assert await client.closed() == 4400
        assert client.frames[-1]["type"] == "error"
        assert client.frames[-1]["code"] == "bad_frame"
        assert client.frames[-1]["message"]
        assert (await server.workspace()).committed.head == head


async def test_a_binary_frame() -> None:
    """A binary message is a bad frame, whatever is in it."""
    async with running() as server, server.client() as client:
        await client.socket.send(b'{"type":"presence","typing":true,"focus":null}')
        assert await client.closed() == 4400


@pytest.mark.parametrize("hello", BAD_HELLOS)
async def test_a_bad_hello(hello: dict[str, Any]) -> None:
    """A hello whose fields are of the wrong kind is a bad frame."""
    async with running() as server, server.connect() as client:
        await client.hello(**hello)
        assert await client.closed() == 4400
        assert client.types == ["error"]


@pytest.mark.parametrize(
    "frame",
    [
        {"type": "user.remember", "client_action_id": "c1", "payload": {"text": "a"}},
        {"type": "presence", "typing": True, "focus": None},
        {"type": "nonsense", "client_action_id": "c1"},
    ],
)
async def test_something_before_hello(frame: dict[str, Any]) -> None:
    """Anything before hello is a bad frame, and not done."""
    async with running() as server, server.connect() as client:
        head = (await server.workspace()).committed.head
        await client.send(frame)
        assert await client.closed() == 4400
        assert (await server.workspace()).committed.head == head


async def test_a_second_hello_while_catching_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second hello is a bad frame at once, not only when the first is done."""
    monkeypatch.setattr(limits, "replay_page_events_max", 1)
    async with running() as server:
        await server.fill(50)
        async with server.connect() as client:
            await client.hello(want="events")
            await client.hello(want="events")
            assert await client.closed() == 4400


async def test_what_came_before_a_bad_frame_counts_once() -> None:
    """An action before a bad frame is done or not; a repeat settles it, and it is there once."""
    async with running() as server:
        async with server.client() as client:
            await client.add("c1")
            await client.send_text("nonsense")
            assert await client.closed() == 4400
        async with server.client(want="events") as again:
            await again.done("user.create_task", "c1", title="Buy milk")
            assert [one["client_action_id"] for one in again.events].count("c1") == 1


@pytest.mark.parametrize("protocol", [0, 2, 99])
async def test_another_protocol(protocol: int) -> None:
    """A hello of another protocol version gets `error` and 4409."""
    async with running() as server, server.connect() as client:
        await client.hello(protocol=protocol)
        assert await client.closed() == 4409
        assert client.frames[-1]["code"] == "protocol_version"


async def test_another_protocol_of_another_shape() -> None:
    """A hello of another version is answered with 4409 whatever else it holds or lacks."""
    async with running() as server, server.connect() as client:
        await client.send({"type": "hello", "protocol": 2, "client_id": 7})
        assert await client.closed() == 4409
        assert client.frames[-1]["code"] == "protocol_version"


async def test_no_hello_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who does not say hello in time gets `error` and 4408."""
    monkeypatch.setattr(limits, "hello_timeout_s", 0.05)
    async with running() as server, server.connect() as client:
        assert await client.closed() == 4408
        assert client.types == ["error"]


async def test_a_hello_in_time_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once hello was said its bound closes nothing any more, also while catching up goes on."""
    monkeypatch.setattr(limits, "hello_timeout_s", 0.05)
    monkeypatch.setattr(limits, "head_interval_s", 0.2)
    async with running() as server, server.client() as client:
        await client.next("head")
        assert client.close_code is None


async def test_the_same_client_again() -> None:
    """The same actor and client id again closes the older connection with 4410; the newer one lives."""
    async with running() as server:
        client_id = SystemIds().uuid7()
        async with server.client(client_id=client_id) as older, server.client(client_id=client_id) as newer:
            assert await older.closed() == 4410
            assert (await newer.done("user.remember", "c1", text="tea"))["status"] == "applied"
            assert newer.of("presence")[-1]["count"] == 1


async def test_the_same_client_id_of_another_actor() -> None:
    """A client id is an actor's own: another actor's connection stays."""
    async with running() as server:
        await server.token("ed", "editor")
        client_id = SystemIds().uuid7()
        async with (
            server.client("ana", client_id=client_id) as ana,
            server.client("ed", client_id=client_id) as ed,
        ):
            await ed.done("user.remember", "c1", text="tea")
            await ana.next("events")


async def test_replaced_while_catching_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that is still catching up is replaced like any other."""
    monkeypatch.setattr(limits, "replay_page_events_max", 1)
    async with running() as server:
        await server.fill(200)
        client_id = SystemIds().uuid7()
        async with server.connect() as older:
            await older.hello(client_id=client_id, want="events")
            await older.next("welcome")
            async with server.client(client_id=client_id):
                assert await older.closed() == 4410


async def test_too_many_of_one_actor(monkeypatch: pytest.MonkeyPatch) -> None:
    """One connection more than an actor may have is closed with 4429; another actor's is not, nor one that comes later."""
    monkeypatch.setattr(limits, "connections_per_actor_max", 2)
    async with running() as server:
        await server.token("ed", "editor")
        async with server.client("ana"):
            async with server.client("ana"):
                async with server.connect("ana") as third:
                    assert await third.closed() == 4429
                async with server.client("ed"):
                    pass
            async with server.client("ana"):
                pass


async def test_too_many_in_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """One connection more than the server takes is closed with 4429."""
    monkeypatch.setattr(limits, "connections_max", 1)
    async with running() as server:
        await server.token("ed", "editor")
        async with server.client("ana"), server.connect("ed") as second:
            assert await second.closed() == 4429


async def test_too_many_without_hello(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections that have not said hello have a bound of their own; a hello makes room."""
    monkeypatch.setattr(limits, "connections_without_hello_max", 1)
    async with running() as server, server.connect() as silent:
        async with server.connect() as second:
            assert await second.closed() == 4429
        await silent.hello()
        await silent.synced()
        async with server.client():
            pass


async def test_a_frame_at_the_bound() -> None:
    """A frame of exactly 256 KiB is read; one byte more closes with 1009."""
    async with running() as server, server.client() as client:
        start = '{"type":"user.remember","client_action_id":"c1","payload":{"text":"a","x":"'
        filler = "x" * (limits.frame_bytes_max - len(start) - 3)
        await client.send_text(f'{start}{filler}"}}}}')
        assert (await client.settled("c1"))["status"] == "applied"
        with contextlib.suppress(ConnectionClosed):
            await client.send_text(f'{start}{filler}x"}}}}')
        assert await client.closed() == 1009


async def test_text_that_is_no_utf8() -> None:
    """A text message that is not UTF-8 closes with 1007."""
    async with running() as server, server.client() as client:
        client.write(masked_frame(1, b"\xff\xfe"))
        assert await client.closed() == 1007


async def test_a_broken_frame() -> None:
    """What is no WebSocket frame closes with 1002."""
    async with running() as server, server.client() as client:
        client.write(masked_frame(3, b"x"))
        assert await client.closed() == 1002


async def test_fragments() -> None:
    """A message in fragments, with a ping between them, is one frame."""
    async with running() as server, server.client() as client:
        text = b'{"type":"user.remember","client_action_id":"c1","payload":{"text":"tea"}}'
        client.write(masked_frame(1, text[:10], final=False))
        client.write(masked_frame(9, b"p"))
        client.write(masked_frame(0, text[10:20], final=False))
        client.write(masked_frame(0, text[20:]))
        assert (await client.settled("c1"))["status"] == "applied"


async def test_fragments_count_together() -> None:
    """Fragments that are together larger than a frame may be close with 1009."""
    async with running() as server, server.client() as client:
        client.write(masked_frame(1, b"x" * 60_000, final=False))
        for _ in range(5):
            client.write(masked_frame(0, b"x" * 60_000, final=False))
        assert await client.closed() == 1009


async def test_a_revoked_token() -> None:
    """A token that is revoked closes its connections with 4401, those that have not said hello too, and no others."""
    async with running() as server:
        token = await server.token("ana")
        other = await server.admin.create_token(NewToken(actor="ana", workspace="home", role="owner"))
        token_id = (await server.admin.list_tokens())[0].token_id
        async with (
            open_client(server.where, token=token) as silent,
            open_client(server.where, token=token) as client,
            open_client(server.where, token=other) as bystander,
        ):
            await client.hello()
            await client.synced()
            await bystander.hello(client_id=SystemIds().uuid7())
            await bystander.synced()
            await server.admin.revoke_token(token_id)
            assert await client.closed() == 4401
            assert await silent.closed() == 4401
            assert (await bystander.done("user.remember", "c1", text="tea"))["status"] == "applied"
        assert (await server.http("GET", "/workspaces")).status == 401


async def test_the_server_stops() -> None:
    """When the server stops everybody gets 1001, also who is catching up and who has not said hello."""
    async with contextlib.AsyncExitStack() as clients:
        async with running() as server:
            live = await clients.enter_async_context(server.client())
            silent = await clients.enter_async_context(server.connect())
            await live.done("user.remember", "c1", text="tea")
        assert await live.closed() == 1001
        assert await silent.closed() == 1001


async def test_nothing_is_left_of_a_connection() -> None:
    """However a connection ends, the hub and the counts forget it."""
    async with running() as server:
        workspace = await server.workspace()
        async with server.client() as one, server.client() as two, server.connect() as three:
            one.cut()
            await two.leave()
            await three.send_text("nonsense")
            await until(lambda: workspace.hub.connected == 0 and server.server.listener.connections == 0)
            assert workspace.hub.live == 0
            assert workspace.hub._expected == set()
            assert workspace.hub._told == {}


async def test_clients_that_come_and_go() -> None:
    """A hundred clients that come, act and vanish leave a server that answers the next one."""
    async with running() as server:
        await server.token()

        async def short(number: int) -> None:
            async with server.connect() as client:
                await client.hello(client_id=f"client-{number}")
                await client.add(f"c{number}")
                if number % 2:
                    await client.settled(f"c{number}")
                client.cut()

        await asyncio.gather(*(short(number) for number in range(100)))
        workspace = await server.workspace()
        await until(lambda: workspace.hub.connected == 0)
        async with server.client(want="events") as client:
            acted = [one["client_action_id"] for one in client.events if one["type"] == "task.created"]
            assert len(acted) == len(set(acted))
            assert {f"c{number}" for number in range(1, 100, 2)} <= set(acted)
