"""The zone of this machine, for a workspace of its own that has none yet.

Duty: find the IANA name of the zone that the machine's clocks show, and give it to a local workspace once.
Must not know: screens, commands.

1. Only a workspace in which nothing has happened but its making is given a zone, and only the local one:
   whoever set another, or set UTC, is never overruled.
2. The action's id is fixed: of two clients that are first at once, one sets it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, Protocol

from protocol import times
from protocol.client.sent import Sent
from protocol.client.status import Change, LinkStatus
from protocol.replica import Replica
from protocol.state import Settings

ACTION_ID: Final = "zone-of-this-machine"
FRESH_SEQ_MAX: Final = 1
"""The ledger of a workspace begins with its first member."""

_LINK: Final = Path("/etc/localtime")
_NAMED: Final = Path("/etc/timezone")
_DATABASE: Final = "zoneinfo/"


class ZoneClient(Protocol):
    """What is needed of a client."""

    @property
    def replica(self) -> Replica:
        """Confirmed state and what is pending."""

    @property
    def link(self) -> LinkStatus:
        """How the link stands."""

    def act(
        self, action_type: str, payload: Mapping[str, object], *, client_action_id: str | None = None
    ) -> Sent:
        """Do something."""

    def subscribe(self, callback: Callable[[Change], None]) -> Callable[[], None]:
        """Be told of every change."""


def machine_zone(
    environ: Mapping[str, str] | None = None, link: Path = _LINK, named: Path = _NAMED
) -> str | None:
    """The IANA name of the machine's zone; None where it has none, or is on UTC."""
    given = (os.environ if environ is None else environ).get("TZ")
    candidates = [given.removeprefix(":")] if given else [_name_behind(link), _name_in(named)]
    name = next((one for one in candidates if one and times.zone(one) is not None), None)
    if name is None or "/" not in name or name.startswith("Etc/"):
        return None  # UTC under one of its names, or one of the old abbreviations
    return name


def _name_behind(link: Path) -> str:
    with contextlib.suppress(OSError):
        _, found, name = str(link.readlink()).rpartition(_DATABASE)
        return name if found else ""
    return ""


def _name_in(file: Path) -> str:
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return file.read_text("utf-8").strip()
    return ""


def set_zone(client: ZoneClient, zone: str | None) -> Sent | None:
    """Give the workspace of a live `client` that zone, where it is fresh; None where it is not."""
    replica = client.replica
    if zone is None or replica.head.seq > FRESH_SEQ_MAX or replica.view.settings != Settings():
        return None
    return client.act("user.update_settings", {"timezone": zone}, client_action_id=ACTION_ID)


def set_zone_when_live(client: ZoneClient, zone: str | None) -> None:
    """`set_zone` the first time that everything is known."""

    def changed(_: Change | None) -> None:
        if client.link.phase == "live":
            unsubscribe()
            set_zone(client, zone)

    if zone is not None:
        unsubscribe = client.subscribe(changed)
        changed(None)
