"""What the screen needs of a client: the surface that `protocol.client` has and that tests stand in for.

Must not know: how a client does it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from protocol.client.sent import Sent
from protocol.client.status import Change, LinkStatus
from protocol.frames import Present
from protocol.replica import Pending, Rejected, Replica


class ClientPort(Protocol):
    """One workspace, as it is to be shown, and the way to act in it."""

    @property
    def replica(self) -> Replica:
        """Confirmed state and what is pending."""

    @property
    def link(self) -> LinkStatus:
        """How the link stands."""

    @property
    def present(self) -> tuple[Present, ...]:
        """Who is connected."""

    @property
    def streams(self) -> Mapping[str, str]:
        """The text so far of each open answer, by message id."""

    @property
    def rejected(self) -> tuple[Rejected, ...]:
        """What was refused and not dismissed yet."""

    def act(self, action_type: str, payload: Mapping[str, object]) -> Sent:
        """Do something; the view shows it before this returns."""

    def subscribe(self, callback: Callable[[Change], None]) -> Callable[[], None]:
        """Be told of every change; the result ends that."""

    def set_presence(self, typing: bool, focus: str | None) -> None:
        """Say what this person is at."""

    def retry(self) -> None:
        """Connect now."""

    def dismiss_rejected(self, client_action_id: str) -> None:
        """A refusal was seen."""

    @property
    def foreign(self) -> tuple[Pending, ...]:
        """Unsent actions that were written as somebody else; with any of them the link stops."""

    def set_aside_foreign(self) -> int:
        """Refuse those, their text stays, and go on; the number of them."""

    async def close(self) -> None:
        """End the link and write what is to be kept."""
