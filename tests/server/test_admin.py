"""Tokens and members from the side of whoever runs the server, and the control socket's answers."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from typing import Any

import pytest

from server.admin import Admin, AdminError, ControlRoutes, NewToken
from server.auth import Auth, Denied, Identity, hash_of
from server.clock import SystemIds
from server.gateway.http1 import Request
from server.gateway.peer import Peer
from server.ledger.port import LedgerUnavailable
from server.workspace import WorkspaceUnavailable
from tests.support.wait import until
from tests.support.workspaces_real import BlindLedger, House, listen

TCP = Peer("tcp", "127.0.0.1:1", None, secure=True)
OURS = Peer("unix", "unix", os.getuid(), secure=True)
OUTAGE = LedgerUnavailable("disk I/O error")


@pytest.fixture
def ledger() -> BlindLedger:
    return BlindLedger()


@pytest.fixture
async def house(ledger: BlindLedger) -> AsyncIterator[House]:
    house = House(ledger)
    yield house
    ledger.heal()
    await house.close()


@pytest.fixture
def admin(house: House) -> Admin:
    return Admin(house.registry, house.clock, SystemIds())


async def who(house: House, token: str) -> Identity | Denied:
    return await Auth(house.ledger).identify({"authorization": f"Bearer {token}"}, TCP)


async def test_a_token_comes_with_its_member_and_workspace(house: House, admin: Admin) -> None:
    """Making a token makes the workspace, sets the member by an event, and gives what lets its actor in."""
    token = await admin.create_token(NewToken(actor="ana", workspace="home", role="owner"))
    home = await house.registry.open("home")
    assert home is not None
    assert home.committed.state.members["ana"].role == "owner"
    assert home.committed.head.seq == 1
    identity = await who(house, token)
    assert isinstance(identity, Identity)
    assert identity.actor == "ana"
    again = await admin.create_token(NewToken(actor="ana", workspace="home", role="owner"))
    assert again != token
    assert home.committed.head.seq == 1


async def test_other_kinds_of_token_need_no_workspace(house: House, admin: Admin) -> None:
    """A gateway and a metrics token name no actor, whatever else was said, and make nothing."""
    for kind in ("gateway", "metrics"):
        await admin.create_token(NewToken(kind=kind, actor="ana", workspace="home"))
    assert [(one.kind, one.actor) for one in await admin.list_tokens()] == [
        ("gateway", None),
        ("metrics", None),
    ]
    assert await house.ledger.workspaces() == []


@pytest.mark.parametrize(
    "wanted",
    [
        NewToken(actor="assistant", workspace="home"),
        NewToken(actor="system", workspace="home"),
        NewToken(actor="No One", workspace="home"),
        NewToken(workspace="home"),
        NewToken(actor="ana", workspace="No!"),
        NewToken(actor="ana"),
    ],
)
async def test_bad_names_make_nothing(house: House, admin: Admin, wanted: NewToken) -> None:
    """A name that nobody can have is refused in words before anything is written."""
    with pytest.raises(AdminError):
        await admin.create_token(wanted)
    assert await house.ledger.workspaces() == []
    assert await house.ledger.tokens() == []


async def test_a_member_that_cannot_be_lowered_gets_no_token(house: House, admin: Admin) -> None:
    """Where the last owner would lose the role, nothing is made, and the reason is said."""
    await house.workspace()
    with pytest.raises(AdminError, match="needs an owner"):
        await admin.create_token(NewToken(actor="ana", workspace="home", role="viewer"))
    assert await house.ledger.tokens() == []


async def test_a_list_shows_no_secret(house: House, admin: Admin) -> None:
    """Tokens are listed in the order of their making, with everything but the token and its hash."""
    tokens = [
        await admin.create_token(NewToken(actor=name, workspace="home", role="owner"))
        for name in ("ana", "ed")
    ]
    listed = await admin.list_tokens()
    assert [one.actor for one in listed] == ["ana", "ed"]
    for token in tokens:
        assert token not in repr(listed)
        assert hash_of(token).hex() not in repr(listed)


async def test_revoking_ends_the_token_and_its_connections(house: House, admin: Admin) -> None:
    """After a revocation the token is nobody's, its connections are cut with 4401, others stay."""
    token = await admin.create_token(NewToken(actor="ana", workspace="home", role="owner"))
    other = await admin.create_token(NewToken(actor="ana", workspace="home", role="owner"))
    first, second = [one.token_id for one in await admin.list_tokens()]
    home = await house.registry.open("home")
    assert home is not None
    cut, stays, silent = (
        listen(home, "a", token_id=first),
        listen(home, "b", token_id=second),
        listen(home, "c"),
    )
    await admin.revoke_token(first)
    assert isinstance(await who(house, token), Denied)
    assert isinstance(await who(house, other), Identity)
    assert [one.left for one in (cut, stays, silent)] == [[4401], [], []]
    revoked_at = (await admin.list_tokens())[0].revoked_at
    house.clock.ms += 1_000
    await admin.revoke_token(first)
    assert (await admin.list_tokens())[0].revoked_at == revoked_at
    with pytest.raises(AdminError, match="no token"):
        await admin.revoke_token("nothing")


async def test_a_token_that_could_not_be_written_heals_the_ledger(
    house: House, admin: Admin, ledger: BlindLedger
) -> None:
    """A failed write of a token starts the recovery: the next try works, with no action between."""
    await admin.create_token(NewToken(actor="ana", workspace="home", role="owner"))
    row = (await admin.list_tokens())[0]
    for _ in range(2):
        ledger.fail_next(OUTAGE)
        with pytest.raises((LedgerUnavailable, WorkspaceUnavailable)):
            await admin.create_token(NewToken(kind="metrics"))
        await until(lambda: house.registry._recovering is None)
        ledger.fail_next(OUTAGE)
        with pytest.raises(LedgerUnavailable):
            await admin.revoke_token(row.token_id)
        await until(lambda: house.registry._recovering is None)
    await admin.create_token(NewToken(kind="metrics"))
    assert [one.kind for one in await admin.list_tokens()] == ["actor", "metrics"]


# The control socket.


async def ask(admin: Admin, method: str, path: str, body: bytes = b"", peer: Peer = OURS) -> tuple[int, Any]:
    answer = await ControlRoutes(admin)(Request(method, path, {}, {}, body, peer))
    return answer.status, json.loads(answer.body)


async def test_the_control_socket_does_what_the_command_does(house: House, admin: Admin) -> None:
    """Create, list and revoke over the control socket."""
    status, made = await ask(admin, "POST", "/tokens", b'{"actor":"ana","workspace":"home","role":"owner"}')
    assert status == 200
    assert isinstance(await who(house, made["token"]), Identity)
    status, (listed,) = await ask(admin, "GET", "/tokens")
    assert (status, listed["actor"], listed["revoked_at"]) == (200, "ana", None)
    assert await ask(admin, "DELETE", f"/tokens/{listed['token_id']}") == (200, {})
    assert isinstance(await who(house, made["token"]), Denied)


@pytest.mark.parametrize(
    "peer", [TCP, Peer("unix", "unix", os.getuid() + 1, secure=True), Peer("unix", "unix", None, secure=True)]
)
async def test_the_control_socket_is_its_owners(admin: Admin, peer: Peer) -> None:
    """Nobody but the server's own user is answered there."""
    status, fields = await ask(admin, "GET", "/tokens", peer=peer)
    assert (status, fields["code"]) == (403, "forbidden")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{",
        b"\xff\xfe",
        b'{"actor":"\\ud800","workspace":"home"}',
        b'{"actor":7,"workspace":"home"}',
        b'{"actor":"ana","workspace":"home","role":"king"}',
        b'{"kind":"other"}',
        b'{"actor":"ana","workspace":"No!"}',
    ],
)
async def test_a_bad_body_is_400(house: House, admin: Admin, body: bytes) -> None:
    """Whatever is no request for a token is refused in words, and nothing is made."""
    status, fields = await ask(admin, "POST", "/tokens", body)
    assert (status, fields["code"]) == (400, "invalid")
    assert fields["message"]
    assert await house.ledger.tokens() == []


@pytest.mark.parametrize(
    "method, path", [("PUT", "/tokens"), ("GET", "/"), ("DELETE", "/tokens"), ("GET", "/tokens/x")]
)
async def test_other_paths_are_404(admin: Admin, method: str, path: str) -> None:
    """There is nothing else on the control socket."""
    assert (await ask(admin, method, path))[0] == 404


async def test_an_unknown_token_and_an_outage_are_told_apart(
    house: House, admin: Admin, ledger: BlindLedger
) -> None:
    """A token that is not there is 400, a ledger that is away 503."""
    assert (await ask(admin, "DELETE", "/tokens/nothing"))[0] == 400
    ledger.fail_next(OUTAGE)
    wanted = b'{"actor":"ana","workspace":"home","role":"owner"}'
    status, fields = await ask(admin, "POST", "/tokens", wanted)
    assert (status, fields["code"]) == (503, "unavailable")
    await until(lambda: house.registry._recovering is None)
    assert (await ask(admin, "POST", "/tokens", wanted))[0] == 200
