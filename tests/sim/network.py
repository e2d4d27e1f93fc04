"""A network in memory: connections that are slow, cut and stalled as TCP may be, and never otherwise.

Duty: pipes with delays, their two ends as the server's `WebSocket` and the client's `Wire`.
Must not know: frames' meaning, nodes' insides, when something goes wrong (the fates say so).

1. A pipe is first in, first out. A cut loses what was under way behind some point, never a piece in the middle.
2. One write of several frames arrives frame by frame, each at its own time.
3. An end learns of a cut at its own time, after what had arrived before; of a stall it learns nothing.
4. What the receiver does not take fills the window; behind that it stays with the sender and counts as buffered.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from protocol.client.errors import LinkClosed
from server.gateway.peer import Peer
from server.gateway.websocket import HandshakeRequest, SocketClosed, text_of_frame
from tests.sim.history import History
from tests.sim.loop import OUTSIDE, pause

if TYPE_CHECKING:
    from tests.sim.transport import Line

WINDOW_BYTES = 64 * 1024
CLOSE_WAIT_S = 5.0
LOST = 1006


@dataclass(slots=True)
class Weather:
    """How the network is just now; the pipes read it at every frame."""

    delay_s: tuple[float, float] = (0.001, 0.02)
    gap_s: float = 0.0
    """Up to so long between two frames of one write."""
    cut_share: float = 0.0
    """Of frames, the share behind which the connection is cut."""
    weight: int = 1
    """How many bytes of buffer one byte counts as: slow readers come sooner to the server's bounds."""


@dataclass(frozen=True, slots=True)
class Closing:
    """A close frame."""

    code: int
    reason: str


class Pipe:
    """One direction of a connection."""

    def __init__(self, chance: random.Random, weather: Weather) -> None:
        self.stalled = False
        self.over: Closing | None = None
        """Set when the receiver may know that nothing more comes."""
        self._chance = chance
        self._weather = weather
        self._line: deque[tuple[float, str | Closing, int]] = deque()
        self._arrived: deque[tuple[str | Closing, int]] = deque()
        self._line_bytes = 0
        self._arrived_bytes = 0
        self._last_due = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._news = asyncio.Event()
        self._room = asyncio.Event()

    @property
    def buffered(self) -> int:
        """Bytes that have not arrived yet."""
        return self._line_bytes * self._weather.weight

    def write(self, items: Sequence[str | Closing]) -> None:
        """Send, in order; never waits."""
        loop = asyncio.get_running_loop()
        due = max(self._last_due, loop.time() + self._chance.uniform(*self._weather.delay_s))
        for item in items:
            due += self._chance.uniform(0, self._weather.gap_s)
            size = len(item) if isinstance(item, str) else 4
            self._line.append((due, item, size))
            self._line_bytes += size
        self._last_due = due
        self._arm()

    async def take(self) -> str | Closing:
        """The next thing that arrived; a `Closing` at the end, again and again."""
        while not self._arrived and self.over is None:
            self._news.clear()
            await self._news.wait()
        if self._arrived:
            item, size = self._arrived.popleft()
            self._arrived_bytes -= size
            self._arm()
            if not isinstance(item, Closing):
                return item
            self.over = self.over or item
        assert self.over is not None
        return self.over

    async def wait_room(self, most: int) -> None:
        """Wait until less than `most` is buffered, or it is over."""
        while self.buffered > most and self.over is None:
            self._room.clear()
            await self._room.wait()

    def stall(self) -> None:
        """Nothing arrives until `resume`."""
        self.stalled = True
        self._disarm()

    def resume(self) -> None:
        """Go on where it stopped, as retransmission would."""
        self.stalled = False
        self._arm()

    def lose(self, share: float) -> None:
        """Lose what is under way; of what arrived and was not taken, the last `share` is lost too."""
        self._disarm()
        self._line.clear()
        self._line_bytes = 0
        for _ in range(int(len(self._arrived) * share)):
            self._arrived_bytes -= self._arrived.pop()[1]

    def end(self, closing: Closing) -> None:
        """Behind what arrived there is nothing more."""
        self.over = self.over or closing
        self._news.set()
        self._room.set()

    def _arm(self) -> None:
        if self._timer is None and self._line and not self.stalled and self._arrived_bytes <= WINDOW_BYTES:
            due = max(self._line[0][0], asyncio.get_running_loop().time())
            self._timer = asyncio.get_running_loop().call_at(due, self._deliver, context=OUTSIDE)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _deliver(self) -> None:
        self._timer = None
        if self.over is None:
            _, item, size = self._line.popleft()
            self._line_bytes -= size
            self._arrived.append((item, size))
            self._arrived_bytes += size
            self._news.set()
            self._room.set()
            self._arm()


class Connection:
    """A connection between a client and a server, from the dial on."""

    def __init__(
        self, number: int, client: str, request: HandshakeRequest, chance: random.Random, weather: Weather
    ) -> None:
        self.number = number
        self.client = client
        self.request = request
        self.to_server = Pipe(chance, weather)
        self.to_client = Pipe(chance, weather)
        self.accepted: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        """None where the upgrade was granted, else the status."""
        self.gone = asyncio.Event()
        self._chance = chance
        self._weather = weather

    @property
    def stalled(self) -> bool:
        return self.to_server.stalled

    def risk(self, frames: int) -> bool:
        """Frames were handed to the network: perhaps that was the end of it."""
        share = self._weather.cut_share
        struck = bool(share) and self._chance.random() < 1 - (1 - share) ** frames
        if struck:
            later(self._chance.choice((0.0, 0.001, 0.01, 0.1)), self.cut)
        return struck

    def cut(self, *, known_to_server: float = 0.0, known_to_client: float = 0.0) -> None:
        """It breaks; each end learns of it after so many seconds."""
        if self.gone.is_set():
            return
        self.gone.set()
        if not self.accepted.done():
            self.accepted.set_result(0)
        for pipe, after_s in ((self.to_server, known_to_server), (self.to_client, known_to_client)):
            pipe.lose(self._chance.choice((0.0, 0.0, 0.5, 1.0)))
            later(after_s, pipe.end, Closing(LOST, ""))

    def finish(self, closing: Closing) -> None:
        """Both ends have said close."""
        self.gone.set()
        for pipe in (self.to_server, self.to_client):
            pipe.end(closing)

    def stall(self) -> None:
        self.to_server.stall()
        self.to_client.stall()

    def resume(self) -> None:
        self.to_server.resume()
        self.to_client.resume()


def later(seconds: float, call: object, *arguments: object) -> None:
    """Call something that belongs to no node."""
    loop = asyncio.get_running_loop()
    loop.call_later(seconds, call, *arguments, context=OUTSIDE)  # type: ignore[arg-type]  # a bound method


class ServerEnd:
    """The server's `WebSocket`."""

    def __init__(self, connection: Connection, history: History) -> None:
        self._connection = connection
        self._history = history
        self._said_close = False

    @property
    def request(self) -> HandshakeRequest:
        return self._connection.request

    @property
    def path(self) -> str:
        return self.request.path

    @property
    def headers(self) -> Mapping[str, str]:
        return self.request.headers

    @property
    def peer(self) -> Peer:
        return self.request.peer

    @property
    def closed(self) -> bool:
        return self._said_close or self._connection.to_server.over is not None

    async def recv(self) -> str | bytes:
        item = await self._connection.to_server.take()
        if isinstance(item, Closing):
            if not self._connection.gone.is_set():
                self._connection.finish(item)
            raise SocketClosed(item.code, item.reason)
        return item

    def send_frames(self, frames: Sequence[bytes]) -> None:
        if self.closed or not frames:
            return
        texts = [text_of_frame(frame).decode() for frame in frames]
        for text in texts:
            self._history.add("out", conn=self._connection.number, frame=text)
        if not self._connection.gone.is_set():
            self._connection.to_client.write(texts)
            if self._connection.risk(len(texts)):
                self._history.meet("cut_behind_a_frame")

    def buffered(self) -> int:
        return self._connection.to_client.buffered

    async def drained(self) -> None:
        await self._connection.to_client.wait_room(WINDOW_BYTES)
        over = self._connection.to_client.over
        if over is not None:
            raise SocketClosed(over.code, over.reason)

    def abort(self) -> None:
        self._history.meet("slow_reader_aborted", conn=self._connection.number)
        self._connection.cut(known_to_client=0.01)

    async def close(self, code: int, reason: str = "") -> None:
        if not self.closed:
            self._said_close = True
            self._connection.to_client.write([Closing(code, reason)])
            later(CLOSE_WAIT_S, self._connection.cut)
        await self._connection.gone.wait()


class ClientEnd:
    """The client's `Wire`."""

    def __init__(self, connection: Connection, history: History) -> None:
        self.connection = connection
        self._history = history
        self._is_over = False

    async def send(self, data: bytes) -> None:
        over = self.connection.to_client.over
        if over is not None:
            raise LinkClosed(over.code, over.reason)
        text = data.decode()
        self._history.add("up", conn=self.connection.number, frame=text)
        if not self.connection.gone.is_set():
            self.connection.to_server.write([text])
            if self.connection.risk(1):
                self._history.meet("cut_behind_a_frame")
            await self.connection.to_server.wait_room(WINDOW_BYTES)

    async def receive(self) -> bytes:
        item = await self.connection.to_client.take()
        if isinstance(item, Closing):
            self.connection.finish(item)
            if not self._is_over:
                self._is_over = True
                self._history.add("over", conn=self.connection.number, code=item.code)
            raise LinkClosed(item.code, item.reason)
        self._history.add("down", conn=self.connection.number, frame=item)
        return item.encode()

    async def close(self) -> None:
        if self.connection.gone.is_set():
            return
        self.connection.to_server.write([Closing(1000, "")])
        later(1.0, self.connection.cut)
        await self.connection.gone.wait()


class Road(Protocol):
    """What fates may do to a connection, of whichever level."""

    number: int
    client: str
    gone: asyncio.Event

    @property
    def stalled(self) -> bool: ...
    def cut(self, *, known_to_server: float = 0.0, known_to_client: float = 0.0) -> None: ...
    def stall(self) -> None: ...
    def resume(self) -> None: ...


class Network:
    """All connections of a world, and the road to its server."""

    def __init__(self, chance: random.Random, weather: Weather, history: History) -> None:
        self.weather = weather
        self.connections: list[Road] = []
        self.lines: dict[int, Line] = {}
        """Those of the second level, by number."""
        self.unreachable: set[str] = set()
        """Names of clients that cannot reach the server just now."""
        self.history = history
        self._chance = chance

    @property
    def open(self) -> list[Road]:
        """Those that are not gone."""
        return [one for one in self.connections if not one.gone.is_set()]

    def connect(self, client: str, request: HandshakeRequest) -> Connection:
        """A new connection; whose handshake is still to come."""
        number = len(self.connections)
        chance = random.Random(self._chance.getrandbits(64))
        connection = Connection(number, client, request, chance, self.weather)
        self.connections.append(connection)
        return connection

    def lay(self, client: str) -> Line:
        """A new connection of the second level; all of it is still to come."""
        from tests.sim.transport import Line

        chance = random.Random(self._chance.getrandbits(64))
        line = Line(len(self.connections), client, chance, self.weather, self.history.meet)
        self.connections.append(line)
        self.lines[line.number] = line
        return line

    async def travel(self) -> None:
        """One way of a packet."""
        await pause(self._chance.uniform(*self.weather.delay_s))
