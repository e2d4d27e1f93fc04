"""Who uses which cache file: several processes on one workspace must not trample each other.

Duty: take the first free numbered slot of a target, find what other slots left behind.
Must not know: what is in the files.

A slot is a cache file with a lock file beside it, locked as long as its process lives:

    home-3f2a….db      home-3f2a….lock         the first client on this target
    home-3f2a…-2.db    home-3f2a…-2.lock       a second one at the same time, and so on

1. A slot is used by the one process that holds its lock; the system drops the lock when that process ends,
   however it ends.
2. A file is never deleted while it may hold an unsent action: the outbox of a free slot moves into that of
   whoever opens next.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from protocol.client.errors import CannotKeep

SLOTS_MAX: Final = 64


class Slot:
    """A numbered place for a cache file, held until `release`."""

    def __init__(self, folder: Path, name: str, number: int, handle: int) -> None:
        self.path = _path(folder, name, number)
        self.number = number
        self._handle = handle

    def release(self) -> None:
        """Let others have it. The lock file stays, or two processes could lock two files of one name."""
        os.close(self._handle)


def take(folder: Path, name: str) -> Slot:
    """The first slot that is free. CannotKeep where the folder cannot be used or all are taken."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for number in range(1, SLOTS_MAX + 1):
            slot = _tried(folder, name, number)
            if slot is not None:
                return slot
    except OSError as error:
        raise CannotKeep(f"Nothing can be kept in {folder}: {error.strerror or error}.") from error
    raise CannotKeep(f"{SLOTS_MAX} clients use this workspace from here already.")


def left_behind(folder: Path, name: str, own: Slot) -> Iterator[Slot]:
    """Every other slot with a file that no process uses just now; each is held while it is looked at."""
    for number in range(1, SLOTS_MAX + 1):
        if number == own.number or not _path(folder, name, number).exists():
            continue
        slot = _tried(folder, name, number)
        if slot is None:
            continue
        try:
            yield slot
        finally:
            slot.release()


def _path(folder: Path, name: str, number: int) -> Path:
    return folder / (f"{name}.db" if number == 1 else f"{name}-{number}.db")


def _tried(folder: Path, name: str, number: int) -> Slot | None:
    handle = os.open(_path(folder, name, number).with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    except OSError:
        os.close(handle)
        raise
    return Slot(folder, name, number, handle)
