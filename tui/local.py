"""The local server: join it where it runs, start it where it does not, stop it, watch over it.

Duty: at most one server for the data of this user; a server that died is started again, and said so.
Must not know: what the server does; it is a process with a socket, a ready line and a last sentence.

1. A server is started only while the lock is held, and only after nothing answered under it: of two
   terminals that start at once one starts it, both join.
2. What answers on the socket is trusted only if the kernel says that its process is this user's.
3. Only the process behind the socket is ever signalled, never a number that was written down.
4. A server that was stopped on purpose is not started again by those who watch; the next command does it.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from tui.places import NoPlace, Places

if TYPE_CHECKING:
    from protocol.client.client import Client

START_MAX_S: Final = 20.0
STOP_MAX_S: Final = 20.0
"""The server ends within 15 s of SIGTERM."""
RESTART_WAIT_S: Final = 3.0
RESTARTED: Final = "The local server had died; it was started again."
LOG_BYTES_MAX: Final = 1024 * 1024
"""A larger log is set aside when a server starts; one old one is kept."""

_POLL_S: Final = 0.05
_CONNECT_S: Final = 2.0
_SERVER_PREFIX: Final = "obelisk-server: "
# <sys/un.h> of macOS: the process behind a socket.
_SOL_LOCAL: Final = 0
_LOCAL_PEERPID: Final = 2


class CannotStart(Exception):  # noqa: N818  says what happened, as it reads at the raise
    """There is no local server and none can be started; the text is one sentence for the person."""


@dataclass(frozen=True, slots=True)
class Running:
    """A local server that answers. `died`: the one before it ended without being stopped."""

    socket: Path
    pid: int | None
    started: bool = False
    died: bool = False


class _Record(msgspec.Struct, frozen=True):
    """What is known of the server that was started last."""

    socket: str
    pid: int
    stopped: bool = False


# Join or start


def join_or_start(places: Places) -> Running:
    """The local server, started where none answers. CannotStart where that fails."""
    try:
        places.prepare()
    except NoPlace as problem:
        raise CannotStart(str(problem)) from problem
    running = find(places)
    if running is not None:
        return running
    with _only_one(places.lock):
        return find(places) or _started(places)


async def ensure_running(places: Places) -> Running:
    """`join_or_start` for a program with an event loop."""
    return await asyncio.to_thread(join_or_start, places)


def find(places: Places) -> Running | None:
    """The local server that answers: where this user's folders say, or where it was started last."""
    record = _read_record(places)
    recorded = [Path(record.socket)] if record is not None else []
    for path in dict.fromkeys([*recorded, places.socket]):
        with contextlib.suppress(ConnectionRefusedError, FileNotFoundError, NotADirectoryError):
            return Running(socket=path, pid=_process_behind(path))
    return None


def was_stopped(places: Places) -> bool:
    """Whether the last server ended because somebody asked it to."""
    record = _read_record(places)
    return record is not None and record.stopped


def _process_behind(path: Path) -> int | None:
    """The process that listens on a socket, None where the system does not say. OSError where none does."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(_CONNECT_S)
        try:
            sock.connect(os.fspath(path))
        except TimeoutError:
            raise CannotStart(
                f"the local server at {path} does not answer; end its process, then try again"
            ) from None
        except PermissionError:
            raise CannotStart(_belongs_to_another(path)) from None
        return _checked_peer(sock, path)


def _checked_peer(sock: socket.socket, path: Path) -> int | None:
    pid, uid = _peer_of(sock)
    if (path.stat().st_uid if uid is None else uid) != os.getuid():
        raise CannotStart(_belongs_to_another(path))
    return pid


def _peer_of(sock: socket.socket) -> tuple[int | None, int | None]:
    """The process behind a socket and its user, as far as the system says."""
    if sys.platform == "linux":
        pid, uid, _ = struct.unpack("iII", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        return int(pid), int(uid)
    elif sys.platform == "darwin":
        return int.from_bytes(sock.getsockopt(_SOL_LOCAL, _LOCAL_PEERPID, 4), sys.byteorder), None
    else:
        return None, None


def _belongs_to_another(path: Path) -> str:
    return (
        f"what listens on {path} belongs to another user; "
        "set OBELISK_RUNTIME_DIR to a folder that only you can use"
    )


@contextlib.contextmanager
def _only_one(lock: Path) -> Iterator[None]:
    """Hold the lock of starting; the system drops it with the process."""
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _wait_for_lock(descriptor, lock)
        yield
    finally:
        os.close(descriptor)


def _wait_for_lock(descriptor: int, lock: Path) -> None:
    until = time.monotonic() + START_MAX_S + STOP_MAX_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                raise CannotStart(
                    f"another terminal holds {lock} and starts no server; end it, then try again"
                ) from None
            time.sleep(_POLL_S)
        else:
            return


# Start


def _started(places: Places) -> Running:
    before = _read_record(places)
    try:
        pid = _spawned(places)
    except CannotStart:
        # One that was told to stop may still be draining, with the data folder locked: await its end once.
        if before is None or not _is_alive(before.pid):
            raise
        _wait(lambda: not _is_alive(before.pid), STOP_MAX_S)
        pid = _spawned(places)
    _write_record(places, _Record(socket=str(places.socket), pid=pid))
    died = before is not None and not before.stopped
    return Running(socket=places.socket, pid=pid, started=True, died=died)


def _spawned(places: Places) -> int:
    """A server process that is ready. CannotStart with the server's own sentence where it ends instead."""
    with _opened_log(places.log) as log:
        begin = os.fstat(log).st_size
        process = subprocess.Popen(
            _command(places),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            cwd="/",
            env=_environment(),
            start_new_session=True,
            umask=0o077,
        )
    assert process.stdout is not None
    with process.stdout as ready:
        is_ready = _has_line(ready.fileno(), START_MAX_S)
    if is_ready:
        # Whoever started it collects it, so that one that dies is no zombie that seems alive.
        threading.Thread(target=process.wait, name="obelisk local server", daemon=True).start()
        return process.pid
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    process.wait()
    raise CannotStart(_sentence_of(places.log, begin))


def _command(places: Places) -> list[str]:
    serve = ["serve", "--data", str(places.server), "--unix", str(places.socket)]
    return [sys.executable, "-P", "-m", "server.cli", *serve]


def _environment() -> dict[str, str]:
    """This process's own, such that the server comes from the tree that this program comes from."""
    tree = str(Path(__file__).resolve().parent.parent)
    others = os.environ.get("PYTHONPATH")
    secrets = {"OBELISK_TOKEN"}
    kept = {name: value for name, value in os.environ.items() if name not in secrets}
    return {**kept, "PYTHONPATH": f"{tree}{os.pathsep}{others}" if others else tree}


def _has_line(descriptor: int, timeout_s: float) -> bool:
    """Whether a whole line comes in time; what it says is the server's affair."""
    until, seen = time.monotonic() + timeout_s, b""
    while b"\n" not in seen:
        left = until - time.monotonic()
        if left <= 0 or not select.select([descriptor], [], [], left)[0]:
            return False
        chunk = os.read(descriptor, 4096)
        if not chunk:
            return False
        seen += chunk
    return True


@contextlib.contextmanager
def _opened_log(path: Path) -> Iterator[int]:
    with contextlib.suppress(FileNotFoundError):
        if path.stat().st_size > LOG_BYTES_MAX:
            path.replace(path.with_name(f"{path.name}.1"))
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise CannotStart(
            f"{path} cannot be written ({error.strerror}); make it writable, then try again"
        ) from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _sentence_of(log: Path, begin: int) -> str:
    """What a server that did not start said last."""
    with log.open("rb") as file:
        file.seek(begin)
        lines = [line.strip() for line in file.read(LOG_BYTES_MAX).decode(errors="replace").splitlines()]
    said = [line.removeprefix(_SERVER_PREFIX) for line in lines if line.startswith(_SERVER_PREFIX)]
    if said:
        return f"the local server did not start: {said[-1]}"
    return f"the local server did not start within {START_MAX_S:.0f} s; {log} tells more"


# The record


def _read_record(places: Places) -> _Record | None:
    try:
        return msgspec.json.decode(places.record.read_bytes(), type=_Record)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None  # it is a help, not the truth: the socket and the lock are


def _write_record(places: Places, record: _Record) -> None:
    new = places.record.with_name(f"{places.record.name}.new")
    new.write_bytes(msgspec.json.encode(record))
    new.chmod(0o600)
    new.replace(places.record)


# Stop


def stop(places: Places) -> Running | None:
    """End the local server and wait until it has; None where none ran. CannotStart where it does not end."""
    running = find(places)
    if running is None:
        return None
    if running.pid is None:
        raise CannotStart(f"this system does not tell which process serves {running.socket}; end it yourself")
    # First the record: whoever watches must know that this end is meant.
    _write_record(places, _Record(socket=str(running.socket), pid=running.pid, stopped=True))
    pid = running.pid
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    if not _wait(lambda: not _is_alive(pid), STOP_MAX_S):
        raise CannotStart(f"the local server (process {pid}) has not ended; see {places.log}")
    return running


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return False  # another user's by now
    return not _is_zombie(pid)


def _is_zombie(pid: int) -> bool:
    """Ended, and nobody has collected it; where the system does not say, it is none."""
    try:
        status = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return False
    return status.rpartition(b")")[2].split()[:1] == [b"Z"]


def _wait(condition: Callable[[], bool], timeout_s: float) -> bool:
    until = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(_POLL_S)
    return True


# Watch


async def watch(
    places: Places, client: Client, say: Callable[[str], None], *, wait_s: float = RESTART_WAIT_S
) -> None:
    """For ever: when the link of `client` has been down for `wait_s`, start the local server again.

    `say` gets a sentence for the person: each restart, and each failure once, however often it repeats.
    """
    changed = asyncio.Event()
    unsubscribe = client.subscribe(lambda _: changed.set())
    said: str | None = None
    try:
        while True:
            if await _until_offline(client, changed):
                said = None
            await asyncio.sleep(wait_s)
            if client.link.phase != "offline":
                continue
            sentence = await _restarted(places)
            client.retry()
            if sentence is not None and sentence != said:
                say(sentence)
            said = None if sentence == RESTARTED else sentence or said
    finally:
        unsubscribe()


async def _until_offline(client: Client, changed: asyncio.Event) -> bool:
    """Wait until the link is down; whether it was not, meanwhile."""
    waited = False
    while client.link.phase != "offline":
        changed.clear()
        await changed.wait()
        waited = True
    return waited


async def _restarted(places: Places) -> str | None:
    """What happened when a server was wanted again; None where one runs already."""
    if was_stopped(places) and find(places) is None:
        return "The local server was stopped; the next command starts it again."
    try:
        running = await ensure_running(places)
    except CannotStart as problem:
        return f"{str(problem)[:1].upper()}{str(problem)[1:]}."
    return RESTARTED if running.started else None
