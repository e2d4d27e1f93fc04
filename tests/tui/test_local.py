"""The local server: where its files lie, that there is one, that it comes back, that it ends when it is told to."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import stat
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.servers import short_folder
from tests.support.wait import until
from tui.local import (
    LOG_BYTES_MAX,
    CannotStart,
    Running,
    ensure_running,
    find,
    join_or_start,
    stop,
    was_stopped,
    watch,
)
from tui.places import SOCKET_PATH_BYTES_MAX, NoPlace, Places, find_places


@pytest.fixture
def places() -> Iterator[Places]:
    """Folders of a test's own; a server that runs on them at the end is ended."""
    with short_folder() as folder:
        made = Places(data=folder / "data", runtime=folder / "run")
        yield made
        if made.data.is_dir():
            stop(made)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


# Places


def test_the_environment_names_the_folders() -> None:
    """Both, absolute; a data folder alone gets a runtime folder of its own."""
    named = find_places({"OBELISK_DATA_DIR": "d", "OBELISK_RUNTIME_DIR": "r"})
    assert (named.data, named.runtime) == (Path("d").absolute(), Path("r").absolute())
    one, two = (find_places({"OBELISK_DATA_DIR": name}) for name in ("one", "two"))
    assert one.runtime != two.runtime


def test_a_path_too_long_for_a_socket_gets_a_short_folder(tmp_path: Path) -> None:
    """Another one for each long path, and private."""
    long = tmp_path / ("x" * 100)
    found = find_places({"OBELISK_DATA_DIR": str(tmp_path), "OBELISK_RUNTIME_DIR": str(long)})
    other = find_places({"OBELISK_DATA_DIR": str(tmp_path), "OBELISK_RUNTIME_DIR": str(long / "y")})
    assert len(os.fsencode(found.socket)) <= SOCKET_PATH_BYTES_MAX
    assert found.runtime != other.runtime
    try:
        found.prepare()
        assert mode(found.runtime) == 0o700
    finally:
        found.runtime.rmdir()


def test_folders_are_private(places: Places) -> None:
    """New ones are made with 0700, a runtime folder that others could enter is closed to them."""
    places.runtime.mkdir(mode=0o755)
    places.prepare()
    assert {mode(one) for one in (places.data, places.client, places.runtime)} == {0o700}


def test_a_runtime_folder_that_is_not_ours_alone_is_refused(places: Places, tmp_path: Path) -> None:
    """A link to elsewhere, a file, and a folder that others may put another in the place of."""
    places.runtime.symlink_to(tmp_path)
    with pytest.raises(NoPlace, match="OBELISK_RUNTIME_DIR"):
        places.prepare()
    open_to_all = tmp_path / "open"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    with pytest.raises(NoPlace, match="others may write"):
        Places(data=places.data, runtime=open_to_all / "run").prepare()


# Start and stop


@pytest.mark.e2e
def test_two_starts_at_once_make_one_server(places: Places) -> None:
    """One starts it, all join it."""
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(join_or_start, [places] * 4))
    assert len({running.pid for running in found}) == 1
    assert [running.started for running in found].count(True) == 1
    assert mode(places.server) == 0o700
    assert mode(places.socket) == 0o600


@pytest.mark.e2e
def test_a_server_that_was_killed_is_started_again(places: Places) -> None:
    """And it is known that the one before had died."""
    first = join_or_start(places)
    kill(first)
    assert find(places) is None
    second = join_or_start(places)
    assert (second.started, second.died, second.pid != first.pid) == (True, True, True)


@pytest.mark.e2e
def test_a_stopped_server_has_ended(places: Places) -> None:
    """When `stop` returns its process is gone, and that it was meant is remembered until the next start."""
    running = join_or_start(places)
    assert not was_stopped(places)
    assert stop(places) == Running(socket=running.socket, pid=running.pid)
    assert (find(places), was_stopped(places), stop(places)) == (None, True, None)
    again = join_or_start(places)
    assert (again.started, again.died, was_stopped(places)) == (True, False, False)


@pytest.mark.e2e
def test_the_server_is_found_where_it_was_started(places: Places) -> None:
    """A session with another runtime folder joins the one server of the same data."""
    running = join_or_start(places)
    elsewhere = Places(data=places.data, runtime=places.runtime.parent / "other")
    assert join_or_start(elsewhere) == Running(socket=running.socket, pid=running.pid)


@pytest.mark.e2e
def test_a_start_that_fails_tells_the_servers_own_sentence(places: Places) -> None:
    """What the server says it cannot do, and what to do about it."""
    places.prepare()
    places.server.write_text("in the way")
    with pytest.raises(CannotStart, match=r"the local server did not start: .*folder"):
        join_or_start(places)
    places.server.unlink()


@pytest.mark.e2e
def test_a_large_log_is_set_aside(places: Places) -> None:
    """One old log is kept."""
    places.prepare()
    places.log.write_bytes(b"x" * (LOG_BYTES_MAX + 1))
    join_or_start(places)
    assert places.log.stat().st_size < LOG_BYTES_MAX
    assert (places.data / "server.log.1").stat().st_size == LOG_BYTES_MAX + 1


def test_only_what_the_kernel_vouches_for_is_joined(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    """A socket that another user's process listens on is refused, and nothing is signalled."""
    places.prepare()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(places.socket))
        listening.listen()
        assert find(places) == Running(socket=places.socket, pid=os.getpid())
        monkeypatch.setattr("tui.local.os.getuid", lambda: 12345)
        with pytest.raises(CannotStart, match="another user"):
            stop(places)
        monkeypatch.undo()
    places.socket.unlink()


def test_a_damaged_record_is_as_none(places: Places) -> None:
    """It is a help, not the truth."""
    places.prepare()
    places.record.write_text("{")
    assert (find(places), was_stopped(places)) == (None, False)


# Watch


class Watched:
    """What `watch` knows of a client."""

    def __init__(self) -> None:
        self.link = SimpleNamespace(phase="live")
        self.retried = 0
        self._callbacks: list[Callable[[object], None]] = []

    def subscribe(self, callback: Callable[[object], None]) -> Callable[[], None]:
        self._callbacks.append(callback)
        return lambda: self._callbacks.remove(callback)

    def retry(self) -> None:
        self.retried += 1

    def becomes(self, phase: str) -> None:
        self.link = SimpleNamespace(phase=phase)
        for callback in self._callbacks:
            callback(None)


@pytest.mark.e2e
async def test_a_server_that_died_is_started_again_for_who_watches(places: Places) -> None:
    """Once, after the wait, and said so; each time that it dies."""
    client: Any = Watched()
    said: list[str] = []
    kill(await ensure_running(places))
    task = asyncio.create_task(watch(places, client, said.append, wait_s=0.05))
    try:
        client.becomes("offline")
        await until(lambda: len(said) == 1, timeout_s=20, what="the restart")
        running = find(places)
        assert running is not None
        kill(running)
        await until(lambda: len(said) == 2, timeout_s=20, what="the next restart")
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert said == ["The local server had died; it was started again."] * 2
    assert client.retried >= 2


@pytest.mark.e2e
async def test_a_server_that_was_stopped_stays_stopped(places: Places) -> None:
    """Who watches says so once, and starts nothing."""
    client: Any = Watched()
    said: list[str] = []
    await ensure_running(places)
    stop(places)
    task = asyncio.create_task(watch(places, client, said.append, wait_s=0.01))
    try:
        client.becomes("offline")
        await until(lambda: client.retried > 3, what="some rounds")
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert said == ["The local server was stopped; the next command starts it again."]
    assert find(places) is None


def kill(running: Running) -> None:
    """End a server as a crash would, and wait until it no longer answers."""
    assert running.pid is not None
    os.kill(running.pid, signal.SIGKILL)
    with socket.socket(socket.AF_UNIX) as sock:
        try:
            sock.connect(str(running.socket))
            sock.recv(1)
        except OSError:
            return
