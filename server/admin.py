"""What the person who runs a server does to it: tokens and members, also while it runs.

Duty: the operations behind `obelisk-server token …`, and the control socket that brings them to a running
server.
Must not know: the command line, frames.

1. There is one writer: while a server holds the folder's lock, a command asks it over the control socket.
2. The control socket lies in the data folder, so whoever can reach it owns the data already.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import msgspec

from protocol import ids
from protocol.errors import CloseCode
from protocol.state import Role
from server.admission import set_member
from server.auth import TokenKind, create_token
from server.clock import Clock, Ids
from server.gateway.http1 import Request, Response, refusal
from server.ledger.port import LedgerError, LedgerUnavailable, TokenRow
from server.registry import Registry
from server.workspace import WorkspaceUnavailable

log = logging.getLogger("obelisk.admin")


class AdminError(Exception):
    """What was asked cannot be done; the text is one sentence for the person who asked."""


class NewToken(msgspec.Struct, frozen=True, kw_only=True):
    """What `token create` asks for."""

    kind: TokenKind = "actor"
    actor: str | None = None
    workspace: str | None = None
    role: Role = "editor"


class ListedToken(msgspec.Struct, frozen=True, kw_only=True):
    """A token as `token list` shows it: never the token itself."""

    token_id: str
    kind: TokenKind
    actor: str | None
    created_at: str
    revoked_at: str | None


@dataclass(frozen=True, slots=True)
class Admin:
    """The operations, on the one registry of the process that holds the folder."""

    registry: Registry
    clock: Clock
    ids: Ids

    async def create_token(self, wanted: NewToken) -> str:
        """Make the workspace where it is not there, set the member, make the token. AdminError in words."""
        if wanted.kind == "actor":
            await self._admit(wanted)
        with self._writing():
            token = await create_token(
                self.registry.ledger,
                kind=wanted.kind,
                actor=wanted.actor if wanted.kind == "actor" else None,
                clock=self.clock,
                fresh_ids=self.ids,
            )
        log.info("token made: %s for %s", wanted.kind, wanted.actor or "any member")
        return token

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """The ledger accepts nothing after a write that failed: whoever made it says so."""
        try:
            yield
        except LedgerUnavailable as error:
            self.registry.ledger_failed(error)
            raise

    async def _admit(self, wanted: NewToken) -> None:
        actor, name = wanted.actor or "", wanted.workspace or ""
        if not ids.is_actor(actor) or actor in ids.RESERVED_ACTORS:
            raise AdminError(f"{actor!a} cannot be an actor: a-z, 0-9, '.', '_' and '-', at most 63")
        if not ids.is_workspace(name):
            raise AdminError(f"{name!a} cannot be a workspace: a-z, 0-9 and '-', at most 63")
        workspace = await self.registry.create(name)
        await set_member(workspace, actor, wanted.role)
        member = workspace.committed.state.members.get(actor)
        if member is None or member.role != wanted.role:
            raise AdminError(f"{actor} could not be made {wanted.role}: the workspace needs an owner")

    async def list_tokens(self) -> list[ListedToken]:
        """All tokens, oldest first."""
        return [_listed(row) for row in await self.registry.ledger.tokens()]

    async def revoke_token(self, token_id: str) -> None:
        """End a token and the connections that live by its actor. AdminError where there is none."""
        row = next((row for row in await self.registry.ledger.tokens() if row.token_id == token_id), None)
        if row is None:
            raise AdminError(f"there is no token {token_id!a}")
        with self._writing():
            await self.registry.ledger.revoke_token(token_id, self.clock.now())
        log.info("token revoked: %s of %s", token_id, row.actor or row.kind)
        for workspace in self.registry.workspaces:
            workspace.hub.cut_token(token_id, CloseCode.CREDENTIAL_REVOKED, "this credential was revoked")


def _listed(row: TokenRow) -> ListedToken:
    return ListedToken(
        token_id=row.token_id,
        kind=row.kind,
        actor=row.actor,
        created_at=row.created_at,
        revoked_at=row.revoked_at,
    )


@dataclass(frozen=True, slots=True)
class ControlRoutes:
    """The HTTP handler of the control socket."""

    admin: Admin

    async def __call__(self, request: Request) -> Response:
        if request.peer.kind != "unix" or request.peer.uid != os.getuid():
            return refusal(403, "forbidden", "This socket is its owner's alone.")
        try:
            return await self._route(request)
        except AdminError as error:
            return refusal(400, "invalid", str(error))
        except (LedgerError, WorkspaceUnavailable) as error:
            return refusal(503, "unavailable", str(error))
        except (msgspec.DecodeError, UnicodeError) as error:
            return refusal(400, "invalid", str(error))

    async def _route(self, request: Request) -> Response:
        match request.method, request.path.strip("/").split("/"):
            case "POST", ["tokens"]:
                token = await self.admin.create_token(msgspec.json.decode(request.body, type=NewToken))
                return Response(200, msgspec.json.encode({"token": token}))
            case "GET", ["tokens"]:
                return Response(200, msgspec.json.encode(await self.admin.list_tokens()))
            case "DELETE", ["tokens", token_id]:
                await self.admin.revoke_token(token_id)
                return Response(200, b"{}")
            case _:
                return refusal(404, "not_found", "There is nothing here.")
