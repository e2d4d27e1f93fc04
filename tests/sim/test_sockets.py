"""The real gateway and the real wire meet on simulated transports, in virtual time."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator

import pytest

from protocol.client.errors import CannotReach, LinkClosed
from protocol.client.wire import Wire
from server.gateway.http1 import Request, Response
from server.gateway.listener import Listener, listen
from server.gateway.websocket import HandshakeRequest, SocketClosed, WebSocket, encode_text_frame
from tests.sim.history import History
from tests.sim.loop import SimLoop, pause, run
from tests.sim.network import Network, Weather
from tests.sim.sockets import Sockets, dial_line, pinned
from tests.sim.transport import Line

FRAME = encode_text_frame(b"hello")


class House:
    """A gateway that says hello, and echoes."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.history = History(lambda: 0.0)
        self.network = Network(random.Random(seed), Weather(), self.history)
        self.ends: list[int] = []

    async def dial(self) -> tuple[Line, Wire]:
        line = self.network.lay("r0")
        return line, await dial_line(line, "home", "ana", self.history)

    async def converse(self, socket: WebSocket) -> None:
        try:
            socket.send_frames([FRAME, FRAME])
            while True:
                text = await socket.recv()
                assert isinstance(text, str)
                socket.send_frames([encode_text_frame(text.encode())])
        except SocketClosed as closed:
            self.ends.append(closed.code)

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[Listener]:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SimLoop)
        loop.sockets = Sockets(self.network)
        listener = await listen(
            socket_handler=self.converse,
            http_handler=_no_http,
            gate=_everybody,
            tcp=("127.0.0.1", 0),
            unix=None,
            ssl=None,
            frame_max=100_000,
            open_timeout_s=5.0,
        )
        yield listener
        await listener.close(1001, "over")


async def _no_http(_: Request) -> Response:
    raise AssertionError("everybody here speaks WebSocket")


async def _everybody(_: HandshakeRequest) -> None:
    return None


def simulated(main, seed: int = 1) -> None:
    loop = SimLoop(random.Random(seed))
    with pinned(random.Random(seed)):
        try:
            run(loop, main(House(seed)))
        finally:
            loop.bury()
    assert not loop.faults


@pytest.mark.parametrize("seed", range(5))
def test_frames_cross(seed: int) -> None:
    """A handshake, frames of any length both ways, and a close code, however the bytes are cut up."""

    async def main(house: House) -> None:
        async with house.open():
            _, wire = await house.dial()
            assert [await wire.receive() for _ in range(2)] == [b"hello", b"hello"]
            for size in (0, 125, 126, 65_535, 65_536, 99_000):
                await wire.send(b"x" * size)
                assert await wire.receive() == b"x" * size
        with pytest.raises(LinkClosed) as closed:
            await wire.receive()
        assert closed.value.code == 1001

    simulated(main, seed)


def test_a_silent_peer_is_pinged_and_then_cut() -> None:
    """After two intervals in which nothing arrives the connection is gone, to the callback: time has not to move on."""

    async def main(house: House) -> None:
        async with house.open() as listener:
            await pause(house.seed * 7.3)
            line, wire = await house.dial()
            await wire.receive()
            await pause(0.1)
            line.stall()
            await pause(39.0)
            assert listener.connections == 1
            await pause(2.0)
            assert listener.connections == 0
            assert house.ends == [1006]

    for seed in range(10):
        simulated(main, seed)


def test_a_connection_that_breaks_while_it_opens_is_tried_again() -> None:
    """Whenever it breaks before it is open, a client hears that the server cannot be reached, and nothing else."""

    async def main(house: House) -> None:
        async with house.open():
            for after_ms in range(60):
                line = house.network.lay("r0")
                dialling = asyncio.ensure_future(dial_line(line, "home", "ana", house.history))
                await pause(after_ms / 1000)
                line.cut()
                with contextlib.suppress(CannotReach):
                    wire = await dialling
                    with pytest.raises(LinkClosed):
                        await _all(wire)

    for seed in range(5):
        simulated(main, seed)


def test_a_full_buffer_while_it_opens_is_no_fault_of_ours() -> None:
    """A reset that comes while the request is still being written is a server that cannot be reached."""

    async def main(house: House) -> None:
        house.network.weather.weight = 4_000
        async with house.open():
            line = house.network.lay("r0")
            dialling = asyncio.ensure_future(dial_line(line, "home", "ana", house.history))
            while not line.laid:
                await pause(0.0001)
            line.cut()
            with pytest.raises(CannotReach):
                await dialling

    for seed in range(5):
        simulated(main, seed)


async def _all(wire: Wire) -> None:
    while True:
        await wire.receive()


def test_nobody_listens() -> None:
    """A dial before there is a server, or behind its end, is refused."""

    async def main(house: House) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SimLoop)
        loop.sockets = Sockets(house.network)
        with pytest.raises(CannotReach):
            await house.dial()
        async with house.open():
            await house.dial()
        with pytest.raises(CannotReach):
            await house.dial()

    simulated(main)


def test_nobody_answers() -> None:
    """A dial into a black hole ends after the wire's own patience."""

    async def main(house: House) -> None:
        async with house.open():
            house.network.unreachable.add("r0")
            with pytest.raises(CannotReach):
                await house.dial()
            assert 9.9 < asyncio.get_running_loop().time() < 10.1

    simulated(main)
