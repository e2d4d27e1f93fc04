"""The processes that are killed: a server, and processes of clients.

Duty: start, order about, kill -9, reap.
Must not know: when and why; what a history is.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from dataclasses import dataclass, replace
from pathlib import Path

from tests.support.kill9.residents import Settings
from tests.support.servers import ROOT, environment


@dataclass(frozen=True, slots=True)
class Programs:
    """The modules that play; a planted bug replaces one."""

    server: str = "server.cli"
    residents: str = "tests.support.kill9.residents"


class Household:
    """A process of clients, and its next lives."""

    def __init__(self, settings: Settings, program: str) -> None:
        self.settings = settings
        self.errors = Path(settings.folder) / f"{settings.name}.stderr"
        self._program = program
        self._process: Process | None = None
        self._is_killed = False

    @property
    def clients(self) -> list[str]:
        return [client for client, _ in self.settings.people]

    @property
    def is_alive(self) -> bool:
        return self._process is not None

    async def start(self) -> None:
        """The next life, on the caches of the last one."""
        assert self._process is None, "it runs"
        self._is_killed = False
        self.settings = replace(self.settings, boot=self.settings.boot + 1)
        with self.errors.open("ab") as errors:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", self._program, self.settings.as_argument()),
                stdin=PIPE,
                stdout=PIPE,
                stderr=errors,
                cwd=ROOT,
                env=environment(),
            )

    def order(self, line: str) -> None:
        """Tell it what to do; a dead one hears nothing."""
        if self._process is not None:
            assert self._process.stdin is not None
            self._process.stdin.write(f"{line}\n".encode())

    async def told(self) -> dict[str, list[int]]:
        """How its clients stand: client -> [is settled, seq]."""
        assert self._process is not None
        assert self._process.stdout is not None
        self.order("tell")
        line = await self._process.stdout.readline()
        assert line, f"the clients ended: {self.errors.read_text()[-2000:]}"
        found: dict[str, list[int]] = json.loads(line)
        return found

    def kill9(self) -> None:
        """Kill it where it stands; `reap` must follow."""
        if self._process is not None and not self._is_killed:
            # asyncio's own `kill` may reap the process behind the back of those who wait for it.
            os.kill(self._process.pid, signal.SIGKILL)
            self._is_killed = True

    async def reap(self) -> int:
        """Wait for its end; its status."""
        process, self._process = self._process, None
        assert process is not None
        assert process.stdin is not None
        process.stdin.close()
        return await process.wait()
