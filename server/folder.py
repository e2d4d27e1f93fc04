"""The data folder: made private, and used by one server at a time.

Duty: create or check the folder, hold its lock, name the files in it.
Must not know: what is in the ledger.

1. Nobody but the owner may read it: umask 077, folder 0700, files 0600; one that others can read is refused.
2. The lock is the kernel's (`flock`): it goes with the process, however that ends.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


class FolderError(Exception):
    """The data folder cannot be used; the text is one sentence for the person who starts the server."""


class FolderInUse(FolderError):  # noqa: N818 - a state of affairs
    """Another server holds the lock."""


@dataclass(frozen=True, slots=True)
class DataFolder:
    """A data folder that was checked."""

    path: Path

    @property
    def ledger(self) -> Path:
        return self.path / "ledger.db"

    @property
    def control(self) -> Path:
        """The socket over which commands reach the server that runs on this folder."""
        return self.path / "control.sock"

    @property
    def _lock(self) -> Path:
        return self.path / "lock"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder's lock. FolderInUse where another process does."""
        try:
            descriptor = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise FolderError(f"cannot write in {self.path}: {error.strerror}") from error
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise FolderInUse(
                    f"the data folder {self.path} is in use by another server; "
                    "stop that one or name another folder"
                ) from None
            yield
        finally:
            os.close(descriptor)


def prepare(path: Path) -> DataFolder:
    """Make the folder where it is not there, and check that it is ours alone. FolderError where it is not."""
    os.umask(0o077)
    path = path.expanduser().absolute()
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = path.stat()
    except (FileExistsError, NotADirectoryError):
        raise FolderError(f"{path} is a file, or leads through one; name a folder") from None
    except OSError as error:
        raise FolderError(
            f"cannot use the data folder {path}: {error.strerror}; name a folder that you may write"
        ) from error
    if status.st_uid != os.getuid():
        raise FolderError(f"the data folder {path} belongs to another user")
    if status.st_mode & 0o077:
        raise FolderError(f"others can read the data folder {path}; run: chmod 700 {path}")
    if not os.access(path, os.W_OK | os.X_OK):
        raise FolderError(f"the data folder {path} cannot be written; check its permissions")
    _check_files(path)
    return DataFolder(path)


def existing(path: Path) -> DataFolder:
    """A folder that must be there already."""
    if not (path.expanduser() / "ledger.db").exists():
        raise FolderError(f"there is no ledger in {path}")
    return prepare(path)


def _check_files(path: Path) -> None:
    for name in ("ledger.db", "ledger.db-wal", "ledger.db-shm"):
        file = path / name
        if file.exists() and file.stat().st_mode & 0o077:
            raise FolderError(f"others can read {file}; run: chmod 600 {file}")
