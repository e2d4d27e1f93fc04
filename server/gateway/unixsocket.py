"""The file of a listening Unix socket: for its owner alone, never taken from a live server, removed at last.

It must not know what is served on it.

1. A path that something answers on, or that is no socket, is in use. A socket that refuses is stale and goes.
2. Only the file that was made here is removed here.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
from dataclasses import dataclass
from pathlib import Path

# sun_path holds 104 bytes on macOS and 108 on Linux, a NUL included; one bound for both, with room.
PATH_MAX = 100
_PROBE_TIMEOUT_S = 1.0


@dataclass(frozen=True, slots=True)
class UnixSocket:
    """A bound socket and the file that stands for it."""

    sock: socket.socket
    path: Path
    inode: int

    def remove(self) -> None:
        """Remove the file, unless another server has put its own in its place."""
        try:
            if self.path.lstat().st_ino == self.inode:
                self.path.unlink()
        except FileNotFoundError:
            return


def bind_unix(path: Path) -> UnixSocket:
    """Bind a Unix socket that only this user can connect to (mode 0600).

    Raises OSError: ENAMETOOLONG above `PATH_MAX` bytes, EADDRINUSE where the path is taken, the system's own.
    """
    if len(os.fsencode(path)) > PATH_MAX:
        message = f"The path of the socket is longer than {PATH_MAX} bytes, more than systems allow"
        raise OSError(errno.ENAMETOOLONG, message, str(path))
    _clear_stale(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _bind_private(sock, path)
        sock.setblocking(False)
        return UnixSocket(sock, path, path.lstat().st_ino)
    except OSError:
        sock.close()
        raise


def _bind_private(sock: socket.socket, path: Path) -> None:
    # The mask closes the moment between bind and chmod.
    before = os.umask(0o077)
    try:
        sock.bind(os.fspath(path))
    finally:
        os.umask(before)
    path.chmod(0o600)


def _clear_stale(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise OSError(errno.EADDRINUSE, "The path is taken by something that is no socket", str(path))
    if _answers(path):
        raise OSError(errno.EADDRINUSE, "Another server is listening on this socket", str(path))
    path.unlink(missing_ok=True)


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(_PROBE_TIMEOUT_S)
        try:
            probe.connect(os.fspath(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except TimeoutError:
            return True  # its queue is full: alive, and busy
        return True
