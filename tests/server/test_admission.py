"""The door: who may enter which workspace, what the others hear, how many fit (the module's invariants by number)."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from typing import Any

import pytest

from protocol import limits
from protocol.errors import Refused
from server.admission import Admission, Admitted, set_member
from server.auth import Auth, Identity, create_token, login_actor
from server.clock import SystemIds
from server.gateway.http1 import Response
from server.gateway.peer import Peer
from server.ledger.port import LedgerUnavailable, TokenRow
from server.workspace import WorkspaceUnavailable
from tests.support.wait import until
from tests.support.workspaces_real import BlindLedger, House, act, body

TCP = Peer("tcp", "127.0.0.1:1", None, secure=False)
LOGIN = Peer("unix", "unix", os.getuid(), secure=True)
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
def door(house: House) -> Admission:
    return Admission(Auth(house.ledger), house.registry)


async def bearer(house: House, actor: str) -> dict[str, str]:
    token = await create_token(
        house.ledger, kind="actor", actor=actor, clock=house.clock, fresh_ids=SystemIds()
    )
    return {"authorization": f"Bearer {token}"}


def refused(answer: Admitted | Response) -> tuple[int, dict[str, Any]]:
    assert isinstance(answer, Response), answer
    return answer.status, json.loads(answer.body)


async def test_a_member_enters_with_its_role(house: House, door: Admission) -> None:
    """A token's actor gets the workspace; the role is that of the ledger, of now, and None once it is no member."""
    home = await house.workspace()
    await set_member(home, "ed", "editor")
    admitted = await door.enter("home", await bearer(house, "ed"), TCP)
    assert isinstance(admitted, Admitted)
    assert (admitted.identity.actor, admitted.workspace, admitted.role) == ("ed", home, "editor")
    await home.submit("ana", "user.set_member", "c1", body(actor="ed", role="viewer"))
    assert admitted.role == "viewer"
    await home.submit("ana", "user.remove_member", "c2", body(actor="ed"))
    assert admitted.role is None


async def test_a_stranger_cannot_tell_what_exists(house: House, door: Admission) -> None:
    """A workspace of others, one that is not there and a name that none can have answer alike, and make nothing."""
    await house.workspace()
    headers = await bearer(house, "ed")
    answers = [await door.enter(name, headers, TCP) for name in ("home", "nothing", "No!", "x" * 64, "")]
    assert len({(one.status, one.body, one.headers) for one in answers if isinstance(one, Response)}) == 1
    assert refused(answers[0])[0] == 404
    assert len(await house.ledger.workspaces()) == 1


async def test_no_credential_is_401_whatever_is_asked(house: House, door: Admission) -> None:
    """Without a token the answer is 401 with a challenge, for a workspace that exists and one that does not."""
    await house.workspace()
    for name in ("home", "nothing"):
        answer = await door.enter(name, {}, TCP)
        assert refused(answer)[0] == 401
        assert isinstance(answer, Response)
        assert ("WWW-Authenticate", "Bearer") in answer.headers


async def test_a_foreign_peer_is_403(house: House, door: Admission) -> None:
    """Another uid at the Unix socket is refused, without a challenge, and makes nothing."""
    answer = await door.enter("home", {}, Peer("unix", "unix", os.getuid() + 1, secure=True))
    assert refused(answer)[0] == 403
    assert isinstance(answer, Response)
    assert answer.headers == ()
    assert await house.ledger.workspaces() == []


async def test_the_login_owns_what_it_names(house: House, door: Admission) -> None:
    """At the Unix socket naming a workspace makes it, with the login as owner, once, however many come at once."""
    admitted = await asyncio.gather(*(door.enter("home", {}, LOGIN) for _ in range(10)))
    assert all(isinstance(one, Admitted) and one.role == "owner" for one in admitted)
    (row,) = await house.ledger.workspaces()
    assert row.seq == 1
    again = await door.enter("home", {}, LOGIN)
    assert isinstance(again, Admitted)
    assert again.workspace.committed.head.seq == 1


async def test_the_login_stays_owner(house: House, door: Admission) -> None:
    """A login whose role was lowered is owner again when it comes back."""
    await door.enter("home", {}, LOGIN)
    home = await house.registry.open("home")
    assert home is not None
    await set_member(home, "ana", "owner")
    await home.submit("ana", "user.set_member", "c1", body(actor=login_actor(), role="viewer"))
    admitted = await door.enter("home", {}, LOGIN)
    assert isinstance(admitted, Admitted)
    assert admitted.role == "owner"


async def test_acting_for_somebody_makes_nothing(house: House, door: Admission) -> None:
    """`Obelisk-Actor` at the Unix socket has that actor's role, so a name that is not there is 404."""
    headers = {"obelisk-actor": "ed"}
    assert refused(await door.enter("home", headers, LOGIN))[0] == 404
    assert await house.ledger.workspaces() == []
    await house.workspace()
    assert refused(await door.enter("home", headers, LOGIN))[0] == 404
    admitted = await door.enter("home", {"obelisk-actor": "ana"}, LOGIN)
    assert isinstance(admitted, Admitted)
    assert admitted.identity == Identity("ana")


async def test_an_outage_is_503(house: House, door: Admission, ledger: BlindLedger) -> None:
    """While the ledger is away, entering and making are 503, and work again after it."""
    await house.workspace()
    headers = await bearer(house, "ana")
    home = await house.registry.open("home")
    assert home is not None
    gate = asyncio.Event()

    async def sleep(seconds: float) -> None:
        await gate.wait()

    house.clock.sleep = sleep  # type: ignore[method-assign]  # the outage lasts until the test ends it
    ledger.fail_next(OUTAGE)
    ledger.fail_next(OUTAGE)
    with pytest.raises(WorkspaceUnavailable):
        await act(home, "user.create_task", "c1", title="x")
    await until(lambda: house.registry._resting is not None)
    for answer in (await door.enter("home", headers, TCP), await door.enter("home", {}, LOGIN)):
        status, fields = refused(answer)
        assert (status, fields["code"], fields["retryable"]) == (503, "unavailable", True)
    gate.set()
    await until(lambda: house.registry._recovering is None)
    assert isinstance(await door.enter("home", headers, TCP), Admitted)


async def test_a_token_that_cannot_be_looked_up_is_503(
    house: House, door: Admission, ledger: BlindLedger
) -> None:
    """Where nobody can say whether a token is good the answer is not that it is bad."""
    await house.workspace()
    headers = await bearer(house, "ana")

    async def token(token_hash: bytes) -> TokenRow | None:
        raise OUTAGE

    ledger.token = token  # type: ignore[method-assign]  # the reader is away
    assert refused(await door.enter("home", headers, TCP))[0] == 503
    answer = await door.identify(headers, TCP)
    assert isinstance(answer, Response)
    assert answer.status == 503


# Members.


async def test_setting_a_member_twice_is_one_event(house: House) -> None:
    """Who has the role already is left alone; at once, one after the other, there and back again."""
    home = await house.workspace()
    await asyncio.gather(*(set_member(home, "ed", "editor") for _ in range(5)))
    await set_member(home, "ed", "editor")
    assert home.committed.head.seq == 2
    await set_member(home, "ed", "viewer")
    await set_member(home, "ed", "editor")
    assert home.committed.head.seq == 4
    assert home.committed.state.members["ed"].role == "editor"


async def test_the_last_owner_stays(house: House) -> None:
    """Lowering the last owner changes nothing."""
    home = await house.workspace()
    await set_member(home, "ana", "viewer")
    assert home.committed.state.members["ana"].role == "owner"
    assert isinstance(await home.submit("ana", "user.remove_member", "c1", body(actor="ana")), Refused)


# Counting.


def test_connections_are_counted(door: Admission, monkeypatch: pytest.MonkeyPatch) -> None:
    """One more than an actor may have, than all may have, or than may be silent, has no room; a going makes some."""
    monkeypatch.setattr(limits, "connections_per_actor_max", 2)
    monkeypatch.setattr(limits, "connections_max", 3)
    monkeypatch.setattr(limits, "connections_without_hello_max", 1)
    door.came("ana")
    assert door.has_room("ana")
    door.came("ana")
    assert (door.has_room("ana"), door.has_room("ed")) == (False, True)
    door.came("ed")
    assert not door.has_room("vi")
    door.went("ana")
    assert (door.has_room("ana"), door.connections) == (True, 2)
    door.without_hello = 1
    assert not door.has_room("ana")
    door.without_hello = 0
    door.went("ana")
    door.went("ed")
    assert (door.connections, dict(door._by_actor)) == (0, {})
