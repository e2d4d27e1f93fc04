"""What a client tells about itself: the link, what changed.

Must not know: how either comes about.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from protocol.events import Event
from protocol.state import Role

LinkPhase = Literal["connecting", "catching_up", "live", "offline", "stopped"]


class LinkStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The truth about the link, for people.

    `seq`: of the last event applied; `behind`: events that the server is known to have beyond it; `since`:
    the instant from which it has not been live, None while it is; `reason`: why not, in plain words;
    `unsent`: pending actions that this connection has not sent, all of them while there is none.
    """

    phase: LinkPhase
    seq: int
    behind: int
    since: str | None
    reason: str | None
    unsent: int
    actor: str | None
    role: Role | None
    workspace: str
    workspace_id: str | None


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What is not as it was when a subscriber was last called.

    `streams`: message ids whose text grew, began or ended; `events`: newly confirmed ones, in ledger order.
    """

    view: bool = False
    link: bool = False
    streams: frozenset[str] = frozenset()
    presence: bool = False
    rejected: bool = False
    events: tuple[Event, ...] = ()
