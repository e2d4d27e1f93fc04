"""Clients with a bug: an action leaves the durable outbox when it is sent, not when it is settled."""

from __future__ import annotations

from collections.abc import Sequence

from protocol.client.client import Client
from protocol.client.store import Advance
from tests.support.kill9.residents import Resident, main


class Forgetful(Client):
    """Drops outbox rows at sending."""

    def outgoing(self) -> Sequence[bytes]:
        before = {one.client_action_id for one in self.replica.pending if not one.sent}
        frames = super().outgoing()
        after = {one.client_action_id for one in self.replica.pending if not one.sent}
        self._cache.put(Advance((), tuple(before - after)))
        return frames


class Careless(Resident):
    make_client = Forgetful


if __name__ == "__main__":
    main(Careless)
