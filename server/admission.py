"""Who may enter which workspace, and how many at once.

Duty: turn a request's credentials and path into a workspace and an actor, or the answer that refuses it;
count connections.
Must not know: frames, sessions, HTTP beyond a status and a body.

1. A workspace that the actor is no member of answers as one that does not exist: 404.
2. At the Unix socket the login name is owner; naming a workspace there makes it.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from protocol import ids, limits
from protocol.state import Role
from server.auth import Auth, Denied, Identity
from server.gateway.http1 import Response, refusal
from server.gateway.peer import Peer
from server.ledger.port import LedgerError
from server.registry import Registry
from server.workspace import Workspace, WorkspaceUnavailable

log = logging.getLogger("obelisk.admission")

NOT_FOUND = "There is no such workspace, or you are no member of it."


@dataclass(frozen=True, slots=True)
class Admitted:
    """An actor in a workspace."""

    identity: Identity
    workspace: Workspace

    @property
    def role(self) -> Role | None:
        """The role of now; None where the actor is no member (any more)."""
        member = self.workspace.committed.state.members.get(self.identity.actor)
        return member.role if member else None


class Admission:
    """The door of a server."""

    def __init__(self, auth: Auth, registry: Registry) -> None:
        self._auth = auth
        self._registry = registry
        self._by_actor: Counter[str] = Counter()
        self.connections = 0
        self.without_hello = 0

    async def identify(self, headers: Mapping[str, str], peer: Peer) -> Identity | Response:
        """Who it is, or the refusal: 401, 403, and 503 where tokens cannot be looked up."""
        try:
            identity = await self._auth.identify(headers, peer)
        except LedgerError as error:
            return refusal(503, "unavailable", f"The ledger is not available: {error}.")
        if not isinstance(identity, Denied):
            return identity
        log.warning("refused %s: %s", peer.address or peer.kind, identity.message)
        challenge = (("WWW-Authenticate", "Bearer"),) if identity.status == 401 else ()
        return refusal(identity.status, "forbidden", identity.message, headers=challenge)

    async def enter(self, name: str, headers: Mapping[str, str], peer: Peer) -> Admitted | Response:
        """The actor in the workspace of that name, or the refusal: 401, 403, 404, 503."""
        identity = await self.identify(headers, peer)
        if isinstance(identity, Response):
            return identity
        if not ids.is_workspace(name):
            return refusal(404, "not_found", NOT_FOUND)
        try:
            workspace = await self._opened(name, identity)
        except WorkspaceUnavailable as error:
            return refusal(503, "unavailable", f"The workspace is not available: {error}.")
        if workspace is None:
            return refusal(404, "not_found", NOT_FOUND)
        admitted = Admitted(identity, workspace)
        return admitted if admitted.role is not None else refusal(404, "not_found", NOT_FOUND)

    async def _opened(self, name: str, identity: Identity) -> Workspace | None:
        if not identity.is_login:
            return await self._registry.open(name)
        workspace = await self._registry.create(name)
        await set_member(workspace, identity.actor, "owner")
        return workspace

    # Counting

    def has_room(self, actor: str) -> bool:
        """Whether one more connection of that actor fits."""
        return (
            self.connections < limits.connections_max
            and self._by_actor[actor] < limits.connections_per_actor_max
            and self.without_hello < limits.connections_without_hello_max
        )

    def came(self, actor: str) -> None:
        """A connection was accepted."""
        self.connections += 1
        self._by_actor[actor] += 1

    def went(self, actor: str) -> None:
        """It is gone."""
        self.connections -= 1
        self._by_actor[actor] -= 1
        if not self._by_actor[actor]:
            del self._by_actor[actor]


async def set_member(workspace: Workspace, actor: str, role: Role) -> None:
    """Make `actor` a member of that role, as the system's own action; nothing happens where it is one
    already.
    """
    member = workspace.committed.state.members.get(actor)
    if member is not None and member.role == role:
        return
    payload = msgspec.json.encode({"actor": actor, "role": role})
    cause = ids.derive("member", actor, role, str(workspace.committed.head.event_id))
    await workspace.submit("system", "system.set_member", cause, payload)
