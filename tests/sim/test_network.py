"""The simulated network behaves as TCP may and never otherwise."""

from __future__ import annotations

import random

import pytest

from protocol.client.errors import LinkClosed
from server.gateway.websocket import SocketClosed, WebSocket, encode_text_frame
from tests.sim.history import History
from tests.sim.house import request_of
from tests.sim.loop import SimLoop, pause, run
from tests.sim.network import ClientEnd, Connection, ServerEnd, Weather


def ends(seed: int = 1, weather: Weather | None = None) -> tuple[Connection, ServerEnd, ClientEnd]:
    connection = Connection(0, "r0", request_of("home", "ana"), random.Random(seed), weather or Weather())
    history = History(lambda: 0.0)
    return connection, ServerEnd(connection, history), ClientEnd(connection, history)


def simulated(main) -> None:
    loop = SimLoop(random.Random(1))
    try:
        run(loop, main())
    finally:
        loop.bury()


def frames(count: int) -> list[bytes]:
    return [encode_text_frame(f"frame {number}".encode()) for number in range(count)]


async def everything(client: ClientEnd) -> list[str]:
    came = []
    try:
        while True:
            came.append((await client.receive()).decode())
    except LinkClosed:
        return came


def test_the_server_sees_its_own_port() -> None:
    """The server's end is what a session asks for."""

    async def main() -> None:
        assert isinstance(ends()[1], WebSocket)

    simulated(main)


def test_frames_arrive_in_order() -> None:
    """Whatever the delays, what was sent first arrives first, in both directions."""

    async def main() -> None:
        _, server, client = ends(weather=Weather(delay_s=(0.0, 1.0), gap_s=0.5))
        for frame in frames(40):
            server.send_frames([frame])
        await client.send(b"one")
        await client.send(b"two")
        assert [(await client.receive()).decode() for _ in range(40)] == [f"frame {n}" for n in range(40)]
        assert [await server.recv(), await server.recv()] == ["one", "two"]

    simulated(main)


def test_a_cut_loses_a_suffix() -> None:
    """What arrives before a cut is a beginning of what was sent; both ends then know with 1006."""

    async def main() -> None:
        for seed in range(30):
            connection, server, client = ends(seed, Weather(delay_s=(0.0, 0.1), gap_s=0.05))
            server.send_frames(frames(20))
            await pause(0.3)
            connection.cut()
            came = await everything(client)
            assert came == [f"frame {number}" for number in range(len(came))]
            with pytest.raises(SocketClosed) as closed:
                await server.recv()
            assert closed.value.code == 1006

    simulated(main)


def test_a_stall_loses_nothing() -> None:
    """What was sent into a stalled connection arrives when it goes on."""

    async def main() -> None:
        connection, server, client = ends()
        connection.stall()
        server.send_frames(frames(3))
        await pause(60.0)
        assert server.buffered() > 0
        connection.resume()
        assert [(await client.receive()).decode() for _ in range(3)] == ["frame 0", "frame 1", "frame 2"]

    simulated(main)


def test_a_close_comes_behind_what_was_sent() -> None:
    """The close code arrives last, and both ends are closed then."""

    async def main() -> None:
        connection, server, client = ends()
        server.send_frames(frames(2))
        loop = connection.accepted.get_loop()
        closing = loop.create_task(server.close(4503, "x"))
        assert await everything(client) == ["frame 0", "frame 1"]
        await closing
        assert server.closed
        with pytest.raises(LinkClosed) as closed:
            await client.receive()
        assert closed.value.code == 4503

    simulated(main)


def test_who_does_not_read_fills_the_buffer() -> None:
    """Behind a full window what is sent counts as buffered; `drained` waits until it was taken."""

    async def main() -> None:
        connection, server, client = ends()
        payload = encode_text_frame(b"x" * 50_000)
        for _ in range(10):
            server.send_frames([payload])
        await pause(1.0)
        assert server.buffered() > 300_000
        draining = connection.accepted.get_loop().create_task(server.drained())
        await pause(1.0)
        assert not draining.done()
        for _ in range(10):
            await client.receive()
        await draining

    simulated(main)
