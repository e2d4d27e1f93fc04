"""Drafts: what was written and not sent, kept per thread in a small file.

Duty: hold drafts, write them, find them again. Must not know: widgets, when it is time to write.

1. The file is whole at every moment: it is written beside and moved into place.
2. What cannot be read is set aside by its name, never thrown away; what cannot be written is said once.
3. Two screens on one workspace share the file: each writes only the threads that it changed.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import msgspec

_SPOILT: Final = ".spoilt"


class Drafts:
    """The drafts of one workspace; without a path they live as long as the program."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._texts = self._read()
        self._changed: set[str] = set()
        self.problem: str | None = None
        """Why drafts are not kept, in words; None while they are."""

    def get(self, thread_id: str) -> str:
        """The draft of a thread; empty where there is none."""
        return self._texts.get(thread_id, "")

    def set(self, thread_id: str, text: str) -> bool:
        """Hold another draft; whether there is something to write now."""
        text = text.encode("utf-8", "replace").decode("utf-8")  # half a character cannot be in a file
        if self.get(thread_id) == text:
            return False
        self._texts[thread_id] = text
        self._changed.add(thread_id)
        return True

    def save(self) -> None:
        """Write what changed."""
        if self._path is None or not self._changed:
            return
        kept = self._read() | {name: self._texts[name] for name in self._changed}
        try:
            _write(self._path, msgspec.json.encode({name: text for name, text in kept.items() if text}))
        except OSError as error:
            self.problem = f"drafts are not kept: {error.strerror or error}"
        else:
            self.problem = None
            self._changed.clear()

    def _read(self) -> dict[str, str]:
        if self._path is None:
            return {}
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=dict[str, str])
        except FileNotFoundError:
            return {}
        except OSError:
            return {}
        except (msgspec.DecodeError, UnicodeDecodeError):
            _set_aside(self._path)
            return {}


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    beside = path.with_name(f"{path.name}.{os.getpid()}.new")
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
    beside.replace(path)


def _set_aside(path: Path) -> None:
    try:
        path.replace(path.with_name(path.name + _SPOILT))
    except OSError:
        return
