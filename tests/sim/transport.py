"""A TCP connection in memory, as two asyncio transports: what the real WebSocket library stands on at the second level.

Duty: carry bytes with delays, in pieces of any size; windows, pauses, half closes and resets as a kernel has them.
Must not know: WebSockets, frames, who speaks, when something goes wrong (the fates say so).

1. A direction is first in, first out. What is cut loses a suffix of bytes, never a piece in the middle.
2. Where a write is split, and what is read together, follows from the seed.
3. An end hears of a cut at its own time, behind what it had been given; of a stall it hears nothing.
4. Everything that a protocol is told, it is told in the context of its own node: a dead one hears nothing.
"""

from __future__ import annotations

import asyncio
import contextvars
import enum
import random
from collections import deque
from collections.abc import Callable

from tests.sim.loop import OUTSIDE
from tests.sim.network import WINDOW_BYTES, Weather, later

HIGH_BYTES = 64 * 1024
"""asyncio's own high-water mark, until a protocol sets another."""
READ_BYTES_MAX = 256 * 1024


class Mark(enum.Enum):
    """What comes behind the last byte."""

    EOF = "eof"
    RESET = "reset"


class Stream:
    """One direction, from one end to the other."""

    def __init__(self, chance: random.Random, weather: Weather) -> None:
        self.size = 0
        """Bytes that have not arrived."""
        self.stalled = False
        self.sender: End
        self.receiver: End
        self._chance = chance
        self._weather = weather
        self._line: deque[tuple[float, bytes | Mark]] = deque()
        self._last_due = 0.0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def buffered(self) -> int:
        return self.size * self._weather.weight

    def send(self, item: bytes | Mark) -> None:
        """Take what is written; it arrives in pieces."""
        due = max(self._last_due, _now() + self._chance.uniform(*self._weather.delay_s))
        for piece in self._pieces(item) if isinstance(item, bytes) else (item,):
            due += self._chance.choice((0.0, 1e-6, self._chance.uniform(0, self._weather.gap_s)))
            self._line.append((due, piece))
            self.size += _size(piece)
        self._last_due = due
        self.arm()

    def _pieces(self, data: bytes) -> list[bytes]:
        """Whole half of the time; else in up to four pieces, some of which end within a frame's header."""
        if len(data) < 2 or self._chance.random() < 0.5:
            return [data]
        reach = self._chance.choice((len(data), min(len(data), 12)))
        cuts = sorted({self._chance.randrange(1, reach) if reach > 1 else 1 for _ in range(3)})
        return [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]

    def lose(self) -> None:
        """Lose what has not arrived."""
        self._disarm()
        self._line.clear()
        self.size = 0

    def stall(self) -> None:
        """Nothing arrives until `resume`."""
        self.stalled = True
        self._disarm()

    def resume(self) -> None:
        """Go on where it stopped, as retransmission would."""
        self.stalled = False
        self.arm()

    def arm(self) -> None:
        """See to it that the next piece arrives, where there is room for it."""
        if self._timer is None and self._line and not self.stalled and self.receiver.unread <= WINDOW_BYTES:
            due = max(self._line[0][0], _now())
            self._timer = asyncio.get_running_loop().call_at(due, self._deliver, context=OUTSIDE)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _deliver(self) -> None:
        self._timer = None
        _, piece = self._line.popleft()
        self.size -= _size(piece)
        self.receiver.arrive(piece)
        self.sender.delivered()
        self.arm()


class End(asyncio.Transport):
    """One end of a connection: the transport of its protocol."""

    def __init__(self, line: Line, out: Stream, into: Stream, context: contextvars.Context) -> None:
        super().__init__({"line": line})
        self.unread = 0
        """Bytes that arrived and that the protocol has not read."""
        self.lost = False
        self._line = line
        self._out = out
        self._into = into
        self._context = context
        self._protocol: asyncio.Protocol
        self._inbox: deque[bytes | Mark] = deque()
        self._high, self._low = HIGH_BYTES, HIGH_BYTES // 4
        self._closing = self._said_eof = self._losing = False
        self._paused_reading = self._paused_writing = self._feeding = False

    # What a protocol may ask of its transport

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        assert isinstance(protocol, asyncio.Protocol)
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._protocol

    def is_closing(self) -> bool:
        return self._closing

    def is_reading(self) -> bool:
        return not self._paused_reading and not self._closing

    def pause_reading(self) -> None:
        self._paused_reading = True
        self._line.meet("read_paused")

    def resume_reading(self) -> None:
        self._paused_reading = False
        self._feed_soon()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._high = HIGH_BYTES if high is None else high
        self._low = self._high // 4 if low is None else low

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._low, self._high

    def get_write_buffer_size(self) -> int:
        return self._out.buffered

    def can_write_eof(self) -> bool:
        return True

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._said_eof:
            raise RuntimeError("Cannot call write() after write_eof()")
        if self._closing or not data:
            return
        if Mark.RESET in self._inbox:
            self._lose(ConnectionResetError(104, "Connection reset by peer"))
        elif not self._line.gone.is_set():
            self._out.send(bytes(data))
            self._line.risk()
            if not self._paused_writing and self.get_write_buffer_size() > self._high:
                self._paused_writing = True
                self._line.meet("write_paused")
                self._protocol.pause_writing()

    def write_eof(self) -> None:
        if not self._said_eof and not self._closing:
            self._say_eof()

    def close(self) -> None:
        """Read no more; gone when the system has taken what was written."""
        if self._closing:
            return
        self._closing = True
        if not self._said_eof:
            self._say_eof()
        self.delivered()

    def abort(self) -> None:
        """Gone at once; of what was written, the system may have taken all or nothing."""
        if not self.lost:
            self._closing = True
            if not self._line.gone.is_set():
                self._line.perhaps(self._out.lose)
                self._out.send(Mark.RESET)
            self._lose(None)

    def _say_eof(self) -> None:
        self._said_eof = True
        if not self._line.gone.is_set():
            self._out.send(Mark.EOF)

    # What the network tells it

    def arrive(self, item: bytes | Mark) -> None:
        """Something came in."""
        if not self._closing:
            self._inbox.append(item)
            self.unread += _size(item)
            self._feed_soon()
        elif item is Mark.RESET:
            self._lose(None)
        elif isinstance(item, bytes) and not self._line.gone.is_set():
            self._out.send(Mark.RESET)  # nobody reads here any more

    def forget(self, share: float) -> None:
        """A reset takes the last `share` of what was not read."""
        for _ in range(int(len(self._inbox) * share)):
            self.unread -= _size(self._inbox.pop())

    def delivered(self) -> None:
        """Some of what was written has arrived."""
        if self._closing and self._out.size <= WINDOW_BYTES:
            self._lose(None)
        elif self._paused_writing and self.get_write_buffer_size() <= self._low:
            self._tell(self._resume_writing)

    # What it tells its protocol

    def _tell(self, call: Callable[..., object], *arguments: object) -> None:
        asyncio.get_running_loop().call_soon(call, *arguments, context=self._context)

    def _resume_writing(self) -> None:
        if self._paused_writing and not self.lost and self.get_write_buffer_size() <= self._low:
            self._paused_writing = False
            self._protocol.resume_writing()

    def _feed_soon(self) -> None:
        if self._inbox and not self._feeding and self.is_reading():
            self._feeding = True
            self._tell(self._feed)

    def _feed(self) -> None:
        """One read: some of what has arrived, or what is behind it."""
        self._feeding = False
        if not self._inbox or not self.is_reading():
            return
        item = self._inbox.popleft()
        if isinstance(item, bytes):
            data = self._with_more(item)
            self.unread -= len(data)
            self._into.arm()
            self._protocol.data_received(data)
        elif item is Mark.RESET:
            self._lose(ConnectionResetError(104, "Connection reset by peer"))
        elif not self._protocol.eof_received():
            self.close()
        self._feed_soon()

    def _with_more(self, data: bytes) -> bytes:
        joined = [data]
        while self._inbox and isinstance(more := self._inbox[0], bytes) and self._line.perhaps(bool):
            joined.append(more)
            self._inbox.popleft()
        return b"".join(joined)

    def _lose(self, error: Exception | None) -> None:
        self._closing = True
        if not self._losing:
            self._losing = True
            self._tell(self._tell_lost, error)

    def _tell_lost(self, error: Exception | None) -> None:
        self.lost = True
        self._inbox.clear()
        self._line.ended()
        self._protocol.connection_lost(error)


class Line:
    """A connection between a client and a server, from the dial on; the network's view of it."""

    def __init__(
        self, number: int, client: str, chance: random.Random, weather: Weather, meet: Callable[[str], None]
    ) -> None:
        self.number = number
        self.client = client
        self.gone = asyncio.Event()
        self.meet = meet
        self._chance = chance
        self._weather = weather
        self._to_server = Stream(chance, weather)
        self._to_client = Stream(chance, weather)
        self._ends: tuple[End, ...] = ()

    def lay(self, client: contextvars.Context, server: contextvars.Context) -> tuple[End, End]:
        """The transports of the client and of the server."""
        near = End(self, self._to_server, self._to_client, client)
        far = End(self, self._to_client, self._to_server, server)
        self._to_server.sender = self._to_client.receiver = near
        self._to_client.sender = self._to_server.receiver = far
        self._ends = (near, far)
        return near, far

    @property
    def laid(self) -> bool:
        """Whether it has ends."""
        return bool(self._ends)

    @property
    def stalled(self) -> bool:
        return self._to_server.stalled

    def perhaps(self, call: Callable[[], object]) -> bool:
        """Half of the time."""
        struck = self._chance.random() < 0.5
        if struck:
            call()
        return struck

    def risk(self) -> None:
        """Something was written: perhaps that was the end of it."""
        if self._weather.cut_share and self._chance.random() < self._weather.cut_share:
            self.meet("cut_behind_a_frame")
            later(self._chance.choice((0.0, 0.001, 0.01, 0.1)), self.cut)

    def cut(self, *, known_to_server: float = 0.0, known_to_client: float = 0.0) -> None:
        """It breaks; each end learns of it after so many seconds."""
        if self.gone.is_set():
            return
        self.gone.set()
        streams = ((self._to_server, known_to_server), (self._to_client, known_to_client))
        for stream, after_s in streams if self._ends else ():
            stream.lose()
            stream.receiver.forget(self._chance.choice((0.0, 0.0, 0.5, 1.0)))
            later(after_s, stream.receiver.arrive, self._chance.choice(tuple(Mark)))

    def ended(self) -> None:
        """An end is gone for its protocol."""
        if all(end.lost for end in self._ends):
            self.gone.set()

    def stall(self) -> None:
        for stream in (self._to_server, self._to_client):
            stream.stall()

    def resume(self) -> None:
        for stream in (self._to_server, self._to_client) if self._ends else ():
            stream.resume()


def _now() -> float:
    return asyncio.get_running_loop().time()


def _size(item: bytes | Mark) -> int:
    return len(item) if isinstance(item, bytes) else 0
