"""Who is it? Tokens, the Unix socket's peer, and acting for somebody else.

Duty: make and check credentials; say which actor a request speaks for.
Must not know: roles (they are in the ledger), paths, frames.

1. Only the hash of a token is kept; it is looked up by its hash and compared in constant time.
2. Over TCP there is no anonymous access. On the Unix socket the peer's uid must be the server's.
3. `Obelisk-Actor` counts on the Unix socket and with a gateway token, nowhere else.
4. A token is in `Authorization` only, never in a URL; it is never logged.
"""

from __future__ import annotations

import hmac
import os
import pwd
import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Literal

from protocol import ids
from server.clock import Clock, Ids
from server.gateway.peer import Peer
from server.ledger.port import Ledger, TokenRow

TokenKind = Literal["actor", "gateway", "metrics"]

TOKEN_PREFIX = "obk_"
"""Lets a person, and a secret scanner, see what it is."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a request speaks for."""

    actor: str
    is_login: bool = False
    """The login name at the Unix socket: owner of every workspace that it names."""
    token_id: str | None = None


@dataclass(frozen=True, slots=True)
class Denied:
    """Why a request speaks for nobody. 401: no or a bad credential; 403: not for this peer or this name."""

    status: Literal[401, 403]
    message: str


class Auth:
    """Checks credentials against a ledger's tokens."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def identify(self, headers: Mapping[str, str], peer: Peer) -> Identity | Denied:
        """Who the request speaks for. `headers` have lower-case names."""
        acts_as = headers.get("obelisk-actor")
        if acts_as is not None and (not ids.is_actor(acts_as) or acts_as in ids.RESERVED_ACTORS):
            return Denied(403, "Obelisk-Actor is not the name of an actor.")
        if peer.kind == "unix":
            return self._of_peer(peer, acts_as)
        row = await self._row_of(headers.get("authorization", ""))
        if row is None:
            return Denied(401, "A token is needed: Authorization: Bearer …")
        if row.kind == "gateway":
            if acts_as is None:
                return Denied(403, "A gateway token needs Obelisk-Actor.")
            return Identity(acts_as, token_id=row.token_id)
        if row.kind != "actor" or row.actor is None:
            return Denied(403, "This token is not for workspaces.")
        if acts_as is not None and acts_as != row.actor:
            return Denied(403, "This token may not act for somebody else.")
        return Identity(row.actor, token_id=row.token_id)

    def _of_peer(self, peer: Peer, acts_as: str | None) -> Identity | Denied:
        if peer.uid != os.getuid():
            return Denied(403, "This socket is its owner's alone.")
        return Identity(acts_as) if acts_as is not None else Identity(login_actor(), is_login=True)

    async def _row_of(self, authorization: str) -> TokenRow | None:
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token:
            return None
        wanted = hash_of(token.strip())
        row = await self._ledger.token(wanted)
        if row is None or row.revoked_at is not None or not hmac.compare_digest(row.token_hash, wanted):
            return None
        return row


async def create_token(
    ledger: Ledger, *, kind: TokenKind, actor: str | None, clock: Clock, fresh_ids: Ids
) -> str:
    """A new token; this is the only time that it can be seen."""
    token = TOKEN_PREFIX + fresh_ids.secret()
    row = TokenRow(
        token_hash=hash_of(token),
        token_id=fresh_ids.uuid7(),
        kind=kind,
        actor=actor,
        created_at=clock.now(),
    )
    await ledger.put_token(row)
    return token


def hash_of(token: str) -> bytes:
    """What is kept of a token. It has 256 random bits, so one round of a fast hash is enough."""
    return blake2b(token.encode(), digest_size=32, person=b"obelisk-token").digest()


def login_actor() -> str:
    """The login name of the server's user as an actor's name."""
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        name = f"uid-{os.getuid()}"
    name = re.sub(r"[^a-z0-9._-]", "-", name.lower()).lstrip("._-")[:63]
    return name if ids.is_actor(name) and name not in ids.RESERVED_ACTORS else f"uid-{os.getuid()}"
