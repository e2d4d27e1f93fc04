"""What a program on top of the client must know can go wrong.

    ObeliskError
    ├── BadTarget      what was given is no address, workspace or token; nothing was tried
    ├── CannotReach    the server is not there just now; the link tries again by itself
    ├── Stopped        the link does not try again, and says what to do
    │   └── NotAllowed     because of who we are
    ├── CannotKeep     the outbox could not be written: what was queued is in memory only
    └── LinkClosed     a connection ended, with its close code; stays inside this package

1. Outages are translated once, where they come in (`wire`, `store`); messages are for the person at the
   keyboard.
"""

from __future__ import annotations

from typing import Final

from protocol.errors import ObeliskError


class BadTarget(ObeliskError):  # noqa: N818  says what happened, as it reads at the call
    """What was given is no address, workspace or token."""


class CannotReach(ObeliskError):  # noqa: N818  says what happened, as it reads at the call
    """The server is not there just now."""


class Stopped(ObeliskError):  # noqa: N818  says what happened, as it reads at the call
    """The link does not try again. `code`: the close code or HTTP status behind it, None for neither."""

    def __init__(self, code: int | None, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class NotAllowed(Stopped):
    """The server does not let us in, or not any more."""


class CannotKeep(ObeliskError):  # noqa: N818  says what happened, as it reads at the call
    """The cache folder or the outbox in it cannot be used."""


class LinkClosed(ObeliskError):  # noqa: N818  says what happened, as it reads at the call
    """A connection ended; 1006 where it ended without a close frame."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"closed with {code}")
        self.code = code
        self.reason = reason


_MISUNDERSTOOD: Final = "This program and the server do not understand each other"
_CLOSES: Final[dict[int, str]] = {
    1009: "A message was larger than the receiver allows",
    4400: f"{_MISUNDERSTOOD}; bring both to the same release",
    4401: "The token was revoked; ask for a new one",
    4404: "You are no longer a member of this workspace; ask an owner",
    4409: "The server speaks another version of the protocol; bring both to the same release",
    4410: "Another connection of this client took its place",
}
_STATUSES: Final[dict[int, str]] = {
    401: "The server does not accept the token; check that it is complete and made for this server",
    403: "The server refuses connections like this one",
    404: "There is no such workspace for you on this server; check its name, or ask an owner to add you",
}


def stopped_by_close(code: int) -> Stopped:
    """The error of a terminal close code."""
    kind = NotAllowed if code in (4401, 4404) else Stopped
    return kind(code, f"{_CLOSES.get(code, _MISUNDERSTOOD)} ({code}).")


def stopped_by_status(status: int) -> Stopped:
    """The error of a terminal HTTP answer to the upgrade."""
    kind = NotAllowed if status in _STATUSES else Stopped
    words = _STATUSES.get(status, "What answers at this address is no Obelisk server; check the address")
    return kind(status, f"{words} ({status}).")
