"""Credentials: how they are made, kept and checked."""

from __future__ import annotations

import os
import pwd
from types import SimpleNamespace

import pytest

from server.auth import Auth, Denied, Identity, TokenKind, create_token, hash_of, login_actor
from server.clock import SystemClock, SystemIds
from server.gateway.peer import Peer
from server.ledger.memory import MemoryLedger

TCP = Peer("tcp", "127.0.0.1:1", None, secure=False)
OURS = Peer("unix", "unix", os.getuid(), secure=True)


async def made(ledger: MemoryLedger, kind: TokenKind = "actor", actor: str | None = "ana") -> str:
    """A new token."""
    return await create_token(ledger, kind=kind, actor=actor, clock=SystemClock(), fresh_ids=SystemIds())


def bearer(token: str, **headers: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}", **headers}


async def test_a_token_is_kept_as_a_hash() -> None:
    """Of a token only a hash is kept, and no two tokens are alike."""
    ledger = MemoryLedger()
    one, two = await made(ledger), await made(ledger)
    assert one != two
    for row in await ledger.tokens():
        assert row.token_hash in (hash_of(one), hash_of(two))
        assert one.encode() not in row.token_hash
        assert one not in row.token_id
    assert one.startswith("obk_")
    assert len(one) >= 43


async def test_an_actors_token() -> None:
    """A token names its actor and itself; the scheme's case and spaces around do not matter."""
    ledger = MemoryLedger()
    token = await made(ledger)
    row = (await ledger.tokens())[0]
    for given in (f"Bearer {token}", f"bearer {token}", f"BEARER   {token} "):
        assert await Auth(ledger).identify({"authorization": given}, TCP) == Identity(
            "ana", token_id=row.token_id
        )


@pytest.mark.parametrize(
    "given", ["", "Bearer", "Bearer ", "Basic {token}", "{token}", "Bearer {token}x", "Bearer {token} x"]
)
async def test_no_credential(given: str) -> None:
    """Whatever is not exactly a token is 401."""
    ledger = MemoryLedger()
    token = await made(ledger)
    denied = await Auth(ledger).identify({"authorization": given.format(token=token)}, TCP)
    assert isinstance(denied, Denied)
    assert denied.status == 401
    assert token not in denied.message


async def test_a_revoked_token() -> None:
    """A revoked token is 401."""
    ledger = MemoryLedger()
    token = await made(ledger)
    await ledger.revoke_token((await ledger.tokens())[0].token_id, SystemClock().now())
    denied = await Auth(ledger).identify(bearer(token), TCP)
    assert isinstance(denied, Denied)
    assert denied.status == 401


async def test_a_metrics_token_is_for_no_workspace() -> None:
    """A metrics token speaks for nobody: 403."""
    ledger = MemoryLedger()
    denied = await Auth(ledger).identify(bearer(await made(ledger, "metrics", None)), TCP)
    assert isinstance(denied, Denied)
    assert denied.status == 403


async def test_a_peer_of_another_user() -> None:
    """At the Unix socket another uid, or one that the kernel does not say, is 403; a token does not help."""
    ledger = MemoryLedger()
    token = await made(ledger)
    for uid in (os.getuid() + 1, None):
        denied = await Auth(ledger).identify(bearer(token), Peer("unix", "unix", uid, secure=True))
        assert isinstance(denied, Denied)
        assert denied.status == 403


async def test_the_login_and_whom_it_names() -> None:
    """At the Unix socket a request is the login's, or of whom it names: then it is no login."""
    authority = Auth(MemoryLedger())
    assert await authority.identify({}, OURS) == Identity(login_actor(), is_login=True)
    assert await authority.identify({"obelisk-actor": "ed"}, OURS) == Identity("ed")


@pytest.mark.parametrize(
    ("login", "actor"),
    [
        ("ana", "ana"),
        ("Ana.B", "ana.b"),
        ("_www", "www"),
        ("DOMAIN\\ana", "domain-ana"),
        ("\u00e9va", "va"),
        ("x" * 80, "x" * 63),
        ("system", f"uid-{os.getuid()}"),
        ("assistant", f"uid-{os.getuid()}"),
        ("...", f"uid-{os.getuid()}"),
    ],
)
def test_login_names(login: str, actor: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Any login name becomes a valid actor that is not taken."""
    monkeypatch.setattr(pwd, "getpwuid", lambda _uid: SimpleNamespace(pw_name=login))
    assert login_actor() == actor


def test_a_login_without_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """A uid that has no name is an actor all the same."""

    def nobody(_uid: int) -> pwd.struct_passwd:
        raise KeyError

    monkeypatch.setattr(pwd, "getpwuid", nobody)
    assert login_actor() == f"uid-{os.getuid()}"
