"""The Unix socket and gateway tokens: who is whom, and what a name makes."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from server import app
from server.admin import NewToken
from server.auth import login_actor
from server.folder import prepare
from tests.support.raw import http_request, open_client, refused
from tests.support.servers import Local, running


@pytest.fixture
async def server() -> AsyncIterator[Local]:
    """A server on TCP and a Unix socket, with the owner `ana` and the viewer `vi` in `home`."""
    async with running(unix=True) as local:
        await local.token("ana")
        await local.token("vi", "viewer")
        yield local


async def test_the_login_is_owner(server: Local) -> None:
    """At the Unix socket the actor is the login name, an owner, without any credential."""
    async with open_client(server.unix) as client:
        await client.hello()
        await client.synced()
        assert (client.frames[0]["actor"], client.frames[0]["role"]) == (login_actor(), "owner")
        ack = await client.done("user.set_member", "c1", actor="eve", role="viewer")
        assert ack["status"] == "applied"


async def test_naming_makes_a_workspace(server: Local) -> None:
    """At the Unix socket a workspace that is not there is made, once, with the login as its owner."""
    for _ in range(2):
        async with open_client(server.unix, "fresh") as client:
            await client.hello()
            synced = await client.synced()
            assert synced["seq"] == 1
            assert client.of("snapshot")[0]["state"]["members"][login_actor()]["role"] == "owner"
    answer = await http_request(server.unix, "GET", "/workspaces/newer/state")
    assert (answer.status, answer.json["seq"]) == (200, 1)


async def test_a_name_that_cannot_be(server: Local) -> None:
    """A name that no workspace can have is 404 there too, and makes nothing."""
    status, _ = await refused(server.unix, "No_Name")
    assert status == 404


async def test_a_login_that_was_lowered(server: Local) -> None:
    """The login is owner again when he comes back, whatever he was made."""
    async with open_client(server.unix) as client:
        await client.hello()
        await client.act("user.set_member", "c1", actor=login_actor(), role="viewer")
        assert await client.closed() == 1001
    async with open_client(server.unix) as client:
        await client.hello()
        assert (await client.next("welcome"))["role"] == "owner"


async def test_acting_as_somebody(server: Local) -> None:
    """`Obelisk-Actor` at the Unix socket acts as that member, with that member's role."""
    async with open_client(server.unix, headers={"Obelisk-Actor": "vi"}) as client:
        await client.hello()
        welcome = await client.next("welcome")
        assert (welcome["actor"], welcome["role"]) == ("vi", "viewer")
        assert (await client.done("user.remember", "c1", text="tea"))["code"] == "forbidden"


async def test_acting_as_nobody(server: Local) -> None:
    """`Obelisk-Actor` naming no member is 404, and makes neither member nor workspace."""
    for name in ("home", "fresh"):
        status, _ = await refused(server.unix, name, headers={"Obelisk-Actor": "eve"})
        assert status == 404
    assert await server.server.registry.ledger.workspace("fresh") is None


@pytest.mark.parametrize("name", ["assistant", "system", "", "Ana", "a b", "\u00e4"])
async def test_acting_as_no_actor(server: Local, name: str) -> None:
    """A name that no member can have is refused with 403."""
    answer = await http_request(server.unix, "GET", "/workspaces", headers={"Obelisk-Actor": name})
    assert (answer.status, answer.json["code"]) == (403, "forbidden")


async def test_another_user(server: Local, monkeypatch: pytest.MonkeyPatch) -> None:
    """A peer of another uid is refused with 403."""
    monkeypatch.setattr(os, "getuid", lambda: 4_321)
    answer = await http_request(server.unix, "GET", "/workspaces")
    assert answer.status == 403


async def test_an_origin_at_the_unix_socket(server: Local) -> None:
    """An `Origin` is refused on this road too."""
    answer = await http_request(server.unix, "GET", "/workspaces", headers={"Origin": "http://localhost"})
    assert answer.status == 403


async def test_the_socket_is_private(server: Local) -> None:
    """Nobody else may open the socket's file, nor the control socket's."""
    assert server.unix.unix is not None
    for path in (server.unix.unix, server.folder.control):
        assert path.stat().st_mode & 0o777 == 0o600


async def test_a_long_folder_has_a_control_socket(tmp_path: Path) -> None:
    """A folder whose path is longer than a socket's may be is served all the same."""
    folder = prepare(tmp_path / ("x" * 120))
    before = os.getcwd()
    async with app.running(folder, app.Settings(tcp=("127.0.0.1", 0))):
        assert folder.control.exists()
        assert os.getcwd() == before
    assert not folder.control.exists()


async def test_a_gateway_token(server: Local) -> None:
    """A gateway token acts as the member that it names, with that member's role; without a name it is 403."""
    token = await server.admin.create_token(NewToken(kind="gateway"))
    for actor, role in (("ana", "owner"), ("vi", "viewer")):
        async with open_client(server.where, token=token, headers={"Obelisk-Actor": actor}) as client:
            await client.hello()
            welcome = await client.next("welcome")
            assert (welcome["actor"], welcome["role"]) == (actor, role)
    assert (await refused(server.where, token=token))[0] == 403
    assert (await refused(server.where, token=token, headers={"Obelisk-Actor": "eve"}))[0] == 404


async def test_a_gateway_token_makes_nothing(server: Local) -> None:
    """A gateway token, unlike the login, makes no workspace and no member."""
    token = await server.admin.create_token(NewToken(kind="gateway"))
    headers = {"Obelisk-Actor": "ana"}
    assert (await refused(server.where, "fresh", token=token, headers=headers))[0] == 404


async def test_a_plain_token_acts_for_itself_alone(server: Local) -> None:
    """A plain token may name its own actor and nobody else."""
    token = await server.known("vi")
    assert (await refused(server.where, token=token, headers={"Obelisk-Actor": "ana"}))[0] == 403
    answer = await http_request(
        server.where, "GET", "/workspaces", token=token, headers={"Obelisk-Actor": "vi"}
    )
    assert answer.status == 200


async def test_over_tcp_the_login_is_nobody(server: Local) -> None:
    """On loopback there is no anonymous access either."""
    assert (await refused(server.where))[0] == 401
    assert (await refused(server.where, headers={"Obelisk-Actor": login_actor()}))[0] == 401
