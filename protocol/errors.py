"""What can go wrong, as values and as exceptions.

Duty: reject codes, close codes, and the exceptions of the shared language.
Must not know: sockets, files, any other module of the project.

    Refused                    a value: an expected "no", for the person at the keyboard
    ObeliskError
    ├── WireError              the peer sent what the contract does not allow; carries the close code
    └── UpcastError            a stored payload that no upcaster understands

1. Expected refusals are values, bugs are assertions, outages are exceptions.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final, Literal

import msgspec

RejectCode = Literal[
    "invalid",
    "not_found",
    "conflict",
    "forbidden",
    "id_reused",
    "too_large",
    "limit",
    "rate_limited",
    "unavailable",
]
"""Every code that a `reject` frame may carry."""

STORED_REJECTS: Final[frozenset[RejectCode]] = frozenset({"not_found", "conflict"})
"""Rejects that were judged against state: their outcome is stored and repeats get it back."""

RETRYABLE_REJECTS: Final[frozenset[RejectCode]] = frozenset({"rate_limited", "unavailable"})

HTTP_STATUS: Final[dict[RejectCode, int]] = {
    "invalid": 400,
    "forbidden": 403,
    "not_found": 404,
    "conflict": 409,
    "id_reused": 409,
    "too_large": 413,
    "limit": 422,
    "rate_limited": 429,
    "unavailable": 503,
}


class CloseCode(IntEnum):
    """WebSocket close codes of the contract."""

    GOING_AWAY = 1001
    FRAME_TOO_LARGE = 1009
    SLOW_CONSUMER = 4000
    BAD_FRAME = 4400
    CREDENTIAL_REVOKED = 4401
    NOT_A_MEMBER = 4404
    NO_HELLO = 4408
    PROTOCOL_VERSION = 4409
    REPLACED = 4410
    TOO_MANY_CONNECTIONS = 4429
    LEDGER_UNAVAILABLE = 4503


TERMINAL_CLOSES: Final[frozenset[int]] = frozenset({1002, 1003, 1007, 1009, 4400, 4401, 4404, 4409, 4410})
"""After one of these a client stops and says why; all others mean reconnect with backoff and the cursor."""


class Refused(msgspec.Struct, frozen=True):
    """An action that is not done, and why. `message` is written for the person at the keyboard."""

    code: RejectCode
    message: str
    field: str | None = None

    @property
    def stored(self) -> bool:
        return self.code in STORED_REJECTS

    @property
    def retryable(self) -> bool:
        return self.code in RETRYABLE_REJECTS


class ObeliskError(Exception):
    """The root of the project's exceptions."""


class WireError(ObeliskError):
    """The peer sent what the contract does not allow; `code` is the close code to answer with."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class UpcastError(ObeliskError):
    """A stored event that claims a known type but does not have its shape."""
