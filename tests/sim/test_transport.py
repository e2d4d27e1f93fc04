"""Transports in memory behave as TCP's may and never otherwise."""

from __future__ import annotations

import asyncio
import contextvars
import random

from tests.sim.loop import Node, SimLoop, pause, run
from tests.sim.network import Weather
from tests.sim.transport import End, Line


class Ear(asyncio.Protocol):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.data = b""
        self.reads = 0
        self.told: list[object] = []
        self.keeps_open = False

    def data_received(self, data: bytes) -> None:
        self.data += data
        self.reads += 1

    def eof_received(self) -> bool:
        self.told.append("eof")
        return self.keeps_open

    def pause_writing(self) -> None:
        self.told.append("pause")

    def resume_writing(self) -> None:
        self.told.append("resume")

    def connection_lost(self, exc: Exception | None) -> None:
        self.told.append(type(exc).__name__ if exc else "lost")


class Pair:
    """A laid line and an ear at each end."""

    def __init__(self, seed: int = 1, weather: Weather | None = None, node: Node | None = None) -> None:
        self.line = Line(0, "r0", random.Random(seed), weather or Weather(), lambda _: None)
        context = node.context() if node else contextvars.copy_context()
        self.near, self.far = self.line.lay(contextvars.copy_context(), context)
        self.client, self.server = Ear(), Ear()
        self.near.set_protocol(self.client)
        self.far.set_protocol(self.server)


def simulated(main) -> None:
    loop = SimLoop(random.Random(1))
    try:
        run(loop, main())
    finally:
        loop.bury()
    assert not loop.faults


def text(size: int) -> bytes:
    return bytes(number % 251 for number in range(size))


def test_bytes_arrive_in_order_and_in_pieces() -> None:
    """What is written arrives whole and in order, in other pieces than it was written in."""

    async def main() -> None:
        reads = set()
        for seed in range(20):
            pair = Pair(seed, Weather(gap_s=0.01))
            for start in range(0, 5_000, 500):
                pair.near.write(text(5_000)[start : start + 500])
            await pause(2.0)
            assert pair.server.data == text(5_000)
            reads.add(pair.server.reads)
        assert min(reads) > 1
        assert len(reads) > 5

    simulated(main)


def test_a_cut_loses_a_suffix_of_bytes() -> None:
    """What was read before a cut is a beginning of what was written, and each end learns of it in its time."""

    async def main() -> None:
        lengths = set()
        for seed in range(30):
            pair = Pair(seed, Weather(delay_s=(0.0, 0.1), gap_s=0.05))
            pair.far.write(text(10_000))
            await pause(0.05)
            pair.line.cut(known_to_server=1.0)
            pair.far.write(b"into the void")
            await pause(0.5)
            assert text(10_000).startswith(pair.client.data)
            assert pair.client.told[-1] in ("lost", "ConnectionResetError")
            assert not pair.server.told
            await pause(1.0)
            assert pair.server.told[-1] in ("lost", "ConnectionResetError")
            lengths.add(len(pair.client.data))
        assert len(lengths) > 3

    simulated(main)


def test_an_end_that_does_not_read_stops_the_other() -> None:
    """A paused reader fills the window; the writer is told to pause, and to resume when it is read again."""

    async def main() -> None:
        pair = Pair()
        pair.near.set_write_buffer_limits(1_000, 100)
        pair.far.pause_reading()
        for _ in range(40):
            pair.near.write(text(5_000))
        await pause(5.0)
        assert pair.client.told == ["pause"]
        assert pair.near.get_write_buffer_size() > 100_000
        assert not pair.server.data
        pair.far.resume_reading()
        await pause(5.0)
        assert pair.client.told == ["pause", "resume"]
        assert pair.server.data == text(5_000) * 40

    simulated(main)


def test_half_a_close() -> None:
    """Behind an end of input the other half goes on, where the protocol wants it."""

    async def main() -> None:
        pair = Pair()
        pair.server.keeps_open = True
        pair.near.write(b"question")
        pair.near.write_eof()
        await pause(1.0)
        assert (pair.server.data, pair.server.told) == (b"question", ["eof"])
        pair.far.write(b"answer")
        pair.far.close()
        await pause(1.0)
        assert (pair.client.data, pair.client.told) == (b"answer", ["eof", "lost"])
        assert pair.server.told == ["eof", "lost"]
        assert pair.line.gone.is_set()

    simulated(main)


def test_who_writes_to_a_closed_end_is_reset() -> None:
    """Nobody reads there any more: the writer's connection is lost with an error."""

    async def main() -> None:
        pair = Pair()
        pair.server.keeps_open = True
        pair.near.close()
        await pause(1.0)
        pair.far.write(b"too late")
        await pause(1.0)
        assert pair.server.told == ["eof", "ConnectionResetError"]
        assert pair.client.told == ["lost"]

    simulated(main)


def test_an_abort_resets() -> None:
    """An aborted end is lost at once; what it wrote arrives whole or not at all, and then the other is reset."""

    async def main() -> None:
        got = set()
        for seed in range(20):
            pair = Pair(seed)
            pair.far.write(b"last words")
            pair.far.abort()
            await pause(1.0)
            assert pair.server.told == ["lost"]
            assert pair.client.told == ["ConnectionResetError"]
            got.add(pair.client.data)
        assert got == {b"", b"last words"}

    simulated(main)


def test_a_stall_is_not_told() -> None:
    """What was written into a stall arrives when it is over; until then nobody hears anything."""

    async def main() -> None:
        pair = Pair()
        pair.line.stall()
        pair.near.write(b"later")
        await pause(100.0)
        assert (pair.server.data, pair.server.told, pair.client.told) == (b"", [], [])
        pair.line.resume()
        await pause(1.0)
        assert pair.server.data == b"later"

    simulated(main)


def test_a_dead_node_is_told_nothing() -> None:
    """Bytes for a dead process reach no protocol."""

    async def main() -> None:
        node = Node("server")
        pair = Pair(node=node)
        pair.near.write(b"hello")
        node.alive = False
        await pause(1.0)
        assert pair.server.data == b""

    simulated(main)


def test_an_end_is_a_transport() -> None:
    """A library finds all that it may ask of a transport."""
    assert issubclass(End, asyncio.Transport)
    assert not {name for name in dir(asyncio.Transport) if name not in dir(End)}
