"""Where the files of this user lie: the data folder, the runtime folder, and what is in them.

Duty: name the paths, make the folders private, find a folder whose path a socket can have.
Must not know: what is written into them.

    data folder      server/ (the ledger)  client/ (outboxes, lists)  server.log  local.json  local.lock
    runtime folder   obelisk.sock

1. A runtime folder is a real folder, owned by this user, mode 0700, and nobody else may rename it.
2. The path of the socket has at most `SOCKET_PATH_BYTES_MAX` bytes, else it lies in a short private folder.
"""

from __future__ import annotations

import os
import stat
import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Final

import platformdirs

SOCKET_PATH_BYTES_MAX: Final = 100
"""macOS allows 104 with its NUL, Linux 108; what the server allows too."""

_SOCKET: Final = "obelisk.sock"


class NoPlace(Exception):  # noqa: N818  says what is the matter, as it reads at the raise
    """A folder cannot be used; the text is one sentence for the person."""


@dataclass(frozen=True, slots=True)
class Places:
    """The folders of one user. Nothing is made before `prepare`."""

    data: Path
    runtime: Path

    @property
    def server(self) -> Path:
        """The data folder of the local server."""
        return self.data / "server"

    @property
    def client(self) -> Path:
        """Outboxes and lists; the `cache` of a client."""
        return self.data / "client"

    @property
    def log(self) -> Path:
        """What the local server says."""
        return self.data / "server.log"

    @property
    def record(self) -> Path:
        """Which local server was started last, and whether it was stopped."""
        return self.data / "local.json"

    @property
    def lock(self) -> Path:
        """Held while a local server is started. It lies with the data: that is what has one server."""
        return self.data / "local.lock"

    @property
    def socket(self) -> Path:
        """Where the local server listens."""
        return self.runtime / _SOCKET

    def prepare(self) -> None:
        """Make the folders. NoPlace where one cannot be used."""
        make_folder(self.data)
        make_folder(self.client)
        _make_runtime(self.runtime)


def find_places(environ: Mapping[str, str] | None = None) -> Places:
    """The places that OBELISK_DATA_DIR and OBELISK_RUNTIME_DIR name, else the system's own."""
    environ = os.environ if environ is None else environ
    data = (
        Path(environ.get("OBELISK_DATA_DIR") or platformdirs.user_data_path("obelisk"))
        .expanduser()
        .absolute()
    )
    named = environ.get("OBELISK_RUNTIME_DIR")
    runtime = (Path(named).expanduser() if named else _own_runtime()).absolute()
    if not named:
        runtime /= _short(data)  # another home, or another data folder, is another server
    if _is_too_long(runtime) or (not named and _fault_of_parent(runtime) is not None):
        runtime = Path(tempfile.gettempdir()).absolute() / f"obelisk-{os.getuid()}-{_short(runtime)}"
    return Places(data=data, runtime=runtime)


def _own_runtime() -> Path:
    with warnings.catch_warnings():
        # A session without a runtime folder is nothing to tell a person: the next best one is checked.
        warnings.simplefilter("ignore")
        return platformdirs.user_runtime_path("obelisk")


def _short(path: Path) -> str:
    """A few characters that stand for a path: two data folders never share a socket by accident."""
    return blake2b(os.fsencode(path), digest_size=4).hexdigest()


def make_folder(folder: Path) -> None:
    """Make a folder, private where it is new. NoPlace where it cannot be used."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise NoPlace(_cannot_use(folder, error.strerror or str(error))) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise NoPlace(_cannot_use(folder, "it is not writable"))


def _cannot_use(folder: Path, why: str) -> str:
    return (
        f"the folder {folder} cannot be used ({why}); "
        "make it writable, or set OBELISK_DATA_DIR to another folder"
    )


def _is_too_long(runtime: Path) -> bool:
    return len(os.fsencode(runtime / _SOCKET)) > SOCKET_PATH_BYTES_MAX


def _make_runtime(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        fault = _fault_of(folder) or _fault_of_parent(folder)
        if fault is None and stat.S_IMODE(folder.lstat().st_mode) != 0o700:
            folder.chmod(0o700)
    except OSError as error:
        fault = error.strerror or str(error)
    if fault is None and _is_too_long(folder):
        fault = "its path is too long for a socket"
    if fault is not None:
        raise NoPlace(
            f"the runtime folder {folder} cannot be used ({fault}); "
            "set OBELISK_RUNTIME_DIR to a folder that only you can use"
        )


def _fault_of(folder: Path) -> str | None:
    """Why a folder that is there is not ours alone; its mode can be mended."""
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode):
        return "it is no folder"
    return None if status.st_uid == os.getuid() else "it belongs to another user"


def _fault_of_parent(folder: Path) -> str | None:
    """Why somebody else could put another folder in the place of this one."""
    try:
        status = folder.parent.stat()
    except OSError:
        return None  # it is made with this folder, or making it says why not
    if status.st_uid not in (0, os.getuid()):
        return "the folder around it belongs to another user"
    open_to_all = status.st_mode & 0o022 and not status.st_mode & stat.S_ISVTX
    return "others may write in the folder around it" if open_to_all else None
