"""Servers for tests: one in this process, quick and open to be looked into, and one as a process of its own.

In `running(...)` there are no producers unless a test brings them: what happens is what the test did.
"""

from __future__ import annotations

import asyncio
import json
import os
import select
import signal
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from protocol.state import Role
from server import app
from server.admin import Admin, NewToken
from server.clock import SystemClock, SystemIds
from server.folder import DataFolder, prepare
from server.ledger.port import Ledger
from server.workspace import Outcome, Producer, Submission, Workspace
from tests.support.raw import Answer, RawClient, Where, http_request, open_client

ROOT = Path(__file__).resolve().parents[2]

READY_S = 15.0
"""How long a process may take to its ready line."""


@contextmanager
def short_folder() -> Iterator[Path]:
    """A folder of this user alone whose path leaves room for a socket's name."""
    with TemporaryDirectory(prefix="ob") as folder:
        yield Path(folder)


# In this process


@dataclass
class Local:
    """A server of this process, with its inner parts at hand."""

    server: app.Server
    folder: DataFolder
    where: Where
    _tokens: dict[tuple[str, str, str], str] = field(default_factory=dict)

    @property
    def unix(self) -> Where:
        """The Unix socket, where it has one."""
        assert self.server.settings.unix is not None
        return Where(unix=self.server.settings.unix)

    @property
    def admin(self) -> Admin:
        return Admin(self.server.registry, SystemClock(), SystemIds())

    async def token(
        self, actor: str = "ana", role: Role = "owner", workspace: str = "home", **fields: Any
    ) -> str:
        """A token of an actor; the workspace and the member are made where they are not there."""
        key = (actor, role, workspace)
        if key not in self._tokens or fields:
            wanted = NewToken(actor=actor, role=role, workspace=workspace, **fields)
            self._tokens[key] = await self.admin.create_token(wanted)
        return self._tokens[key]

    async def known(self, actor: str, workspace: str = "home") -> str:
        """A token of an actor as he was made last; else of a new owner."""
        made = [
            token for (name, _, where), token in self._tokens.items() if (name, where) == (actor, workspace)
        ]
        return made[-1] if made else await self.token(actor, workspace=workspace)

    async def workspace(self, name: str = "home") -> Workspace:
        """The workspace itself."""
        return await self.server.registry.create(name)

    @asynccontextmanager
    async def connect(
        self, actor: str = "ana", workspace: str = "home", **options: Any
    ) -> AsyncIterator[RawClient]:
        """A WebSocket of an actor, without a hello."""
        token = await self.known(actor, workspace)
        async with open_client(self.where, workspace, token=token, **options) as client:
            yield client

    @asynccontextmanager
    async def client(
        self, actor: str = "ana", workspace: str = "home", since: str | None = None, **hello: Any
    ) -> AsyncIterator[RawClient]:
        """A WebSocket of an actor that has caught up, under a client id of its own."""
        async with self.connect(actor, workspace) as client:
            await client.hello(since, **{"client_id": SystemIds().uuid7(), **hello})
            await client.synced()
            await client.next("presence")
            yield client

    async def http(self, method: str, path: str, *, actor: str | None = "ana", **options: Any) -> Answer:
        """One HTTP request of an actor, or of nobody."""
        token = await self.known(actor) if actor is not None else None
        return await http_request(self.where, method, path, token=token, **options)

    async def act(
        self, action_type: str, client_action_id: str, /, *, by: str = "ana", **payload: Any
    ) -> Outcome:
        """An action past the network, of the actor `by`; its outcome when that is durable."""
        await self.known(by)
        workspace = await self.workspace()
        return await workspace.submit(by, action_type, client_action_id, json.dumps(payload).encode())

    async def fill(self, count: int, *, actor: str = "ana", first: int = 1, title: str = "Buy milk") -> None:
        """Tasks `t1`, `t2`, … by the actions `c1`, `c2`, …, all at once."""
        await self.known(actor)
        workspace = await self.workspace()
        left = set(range(first, first + count))
        done = asyncio.Event()

        def settle(number: int) -> None:
            left.discard(number)
            if not left:
                done.set()

        for number in sorted(left):
            payload = json.dumps({"task_id": f"t{number}", "title": title}).encode()
            workspace.post(
                Submission(
                    actor,
                    "user.create_task",
                    f"c{number}",
                    payload,
                    lambda _, number=number: settle(number),  # type: ignore[misc]  # mypy sees no default in a lambda
                )
            )
        await done.wait()


@asynccontextmanager
async def running(
    *,
    unix: bool = False,
    ledger: Ledger | None = None,
    producers: Sequence[Producer] = (),
    tls: ssl.SSLContext | None = None,
    **settings: Any,
) -> AsyncIterator[Local]:
    """A server on a folder of its own, on loopback, on SQLite or on the ledger that is given."""
    async with AsyncExitStack() as stack:
        folder = prepare(stack.enter_context(short_folder()) / "data")
        wanted = app.Settings(
            tcp=("127.0.0.1", 0), unix=folder.path / "o.sock" if unix else None, tls=tls, **settings
        )
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setattr(app, "builtin_producers", lambda _clock: list(producers))
        if ledger is None:
            server = await stack.enter_async_context(app.running(folder, wanted))
        else:
            serving = app._serving(ledger, folder, wanted, SystemClock(), SystemIds())
            server = await stack.enter_async_context(serving)
        assert server.url is not None
        yield Local(server, folder, Where(server.url))


# As a process


class ServerProcess:
    """`python -P -m server.cli serve …` on a folder; may be killed and started again."""

    def __init__(
        self, data: Path, *arguments: str, listen: str | None = "127.0.0.1:0", module: str = "server.cli"
    ) -> None:
        self.data = data
        self._module = module
        self.errors = data.parent / f"{data.name}.stderr"
        self.ready: dict[str, Any] = {}
        self._arguments = [*(["--listen", listen] if listen else []), *arguments]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> dict[str, Any]:
        """Start and wait for the ready line."""
        assert self._process is None, "it runs"
        with self.errors.open("ab") as errors:
            self._process = subprocess.Popen(
                server_command("serve", "--data", str(self.data), *self._arguments, module=self._module),
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd=self.data.parent,
                env=environment(),
            )
        line = self._ready_line()
        assert line, f"no ready line; {self.errors.read_text()[-2000:]}"
        self.ready = json.loads(line)
        return self.ready

    def _ready_line(self) -> bytes:
        assert self._process is not None
        assert self._process.stdout is not None
        readable, _, _ = select.select([self._process.stdout], [], [], READY_S)
        return self._process.stdout.readline() if readable else b""

    @property
    def where(self) -> Where:
        """Its TCP address, else its Unix socket."""
        if self.ready["listen"] is None:
            return Where(unix=Path(self.ready["unix"]))
        return Where(self.ready["listen"])

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def token(self, actor: str = "ana", workspace: str = "home", role: str = "owner") -> str:
        """What `token create` prints."""
        done = command(
            "token",
            "create",
            *("--data", str(self.data), "--actor", actor, "--workspace", workspace, "--role", role),
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def kill9(self) -> None:
        """Kill it as a power cut would."""
        self._signal(signal.SIGKILL)

    def terminate(self, timeout_s: float = 15.0) -> int:
        """Ask it to stop; its exit status. TimeoutExpired where it takes longer."""
        return self._signal(signal.SIGTERM, timeout_s)

    def _signal(self, number: signal.Signals, timeout_s: float = 15.0) -> int:
        process = self._process
        assert process is not None, "it does not run"
        process.send_signal(number)
        status = process.wait(timeout_s)
        assert process.stdout is not None
        process.stdout.close()
        self._process = None
        return status

    def stop(self) -> None:
        """Leave nothing behind."""
        if self._process is not None:
            self.kill9()


@contextmanager
def server_process(*arguments: str, listen: str | None = "127.0.0.1:0") -> Iterator[ServerProcess]:
    """A started process on a folder of its own; `{folder}` in an argument is that folder's parent."""
    with short_folder() as folder:
        given = [one.replace("{folder}", str(folder)) for one in arguments]
        process = ServerProcess(folder / "data", *given, listen=listen)
        try:
            process.start()
            yield process
        finally:
            process.stop()


def command(*arguments: str, timeout_s: float = 30.0) -> subprocess.CompletedProcess[str]:
    """Run `obelisk-server ARGUMENTS` to its end."""
    return subprocess.run(
        server_command(*arguments),
        capture_output=True,
        text=True,
        timeout=timeout_s,
        env=environment(),
        check=False,
    )


def server_command(*arguments: str, module: str = "server.cli") -> list[str]:
    """The command line of the server's command in this environment, or of another module with its arguments."""
    return [sys.executable, "-P", "-m", module, *arguments]


def environment() -> dict[str, str]:
    """This process's environment, with the project on the path."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
