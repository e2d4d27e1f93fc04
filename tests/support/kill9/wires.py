"""Real sockets, with everything that passes written down.

Duty: dial a real server, record the frames of both directions as the client's own code sees them.
Must not know: who dials; what the frames mean.
"""

from __future__ import annotations

from protocol.client.errors import LinkClosed
from protocol.client.target import Target
from protocol.client.wire import Wire, dial
from tests.sim.people import Who
from tests.support.kill9.diary import Diary


class RecordingWire:
    """A wire of production, and a diary."""

    def __init__(self, wire: Wire, conn: str, diary: Diary) -> None:
        self._wire = wire
        self._conn = conn
        self._diary = diary

    async def send(self, data: bytes) -> None:
        self._diary.add("up", conn=self._conn, frame=data.decode())
        await self._wire.send(data)

    async def receive(self) -> bytes:
        try:
            data = await self._wire.receive()
        except LinkClosed as closed:
            self._diary.add("over", conn=self._conn, code=closed.code)
            raise
        self._diary.add("down", conn=self._conn, frame=data.decode())
        return data

    async def close(self) -> None:
        await self._wire.close()


class Dialer:
    """Numbers connections; a number names the process's diary too, so that no two processes share one."""

    def __init__(self, diary: Diary, prefix: str) -> None:
        self._diary = diary
        self._prefix = prefix
        self._count = 0
        self._wires: list[Wire] = []

    def number(self, who: Who) -> str:
        """The number of a new connection."""
        self._count += 1
        conn = f"{self._prefix}/{self._count}"
        self._diary.add("dial", conn=conn, client=who.client, actor=who.actor, workspace=who.workspace)
        return conn

    async def dial(self, who: Who, target: Target) -> Wire:
        """A connection that is written down. Raises what `wire.dial` raises."""
        wire = await dial(target)
        self._wires.append(wire)
        return RecordingWire(wire, self.number(who), self._diary)

    async def close(self) -> None:
        """Close all that was opened."""
        for wire in self._wires:
            await wire.close()
