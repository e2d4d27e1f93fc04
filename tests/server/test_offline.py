"""Commands on a data folder, with and without a server on it."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from server.admin import AdminError
from server.folder import FolderError, prepare
from server.ledger.port import LedgerUnavailable
from server.offline import verify, with_admin
from tests.support.raw import Where, http_request
from tests.support.servers import running

ANA = {"kind": "actor", "actor": "ana", "workspace": "home", "role": "owner"}


async def create(data: Path, **fields: str) -> str:
    """Make a token as the command does."""
    answer: Any = await with_admin(data, "POST", "/tokens", ANA | fields)
    return str(answer["token"])


async def test_without_a_server(tmp_path: Path) -> None:
    """Without a server the command makes folder, workspace, member and token by itself, and they are there later."""
    data = tmp_path / "data"
    token = await create(data)
    assert token.startswith("obk_")
    (listed,) = await tokens(data)
    assert (listed["actor"], listed["kind"], listed["revoked_at"]) == ("ana", "actor", None)
    assert token not in str(listed)
    (report,) = await verify(data)
    assert report.sound
    assert report.line.startswith("home: 1 events, digest ")


async def tokens(data: Path) -> list[dict[str, Any]]:
    """What `token list` shows."""
    listed: Any = await with_admin(data, "GET", "/tokens")
    return list(listed)


async def test_beside_a_server() -> None:
    """While a server runs the command goes through it: the token works at once, the member is an event that all see."""
    async with running() as server, server.client() as client:
        token = await create(server.folder.path, actor="ed", role="editor")
        await client.next("events")
        assert (client.events[0]["type"], client.events[0]["actor"]) == ("member.set", "system")
        assert client.events[0]["payload"]["actor"] == "ed"
        answer = await http_request(Where(server.where.url), "GET", "/workspaces", token=token)
        assert answer.json[0]["role"] == "editor"


async def test_the_same_again() -> None:
    """A second token for the same member is no second event."""
    async with running() as server:
        await server.token()
        before = (await server.workspace()).committed.head
        assert await create(server.folder.path) != await create(server.folder.path)
        assert (await server.workspace()).committed.head == before


async def test_beside_another_command(tmp_path: Path) -> None:
    """Two commands at once both succeed."""
    data = tmp_path / "data"
    made = await asyncio.gather(create(data), create(data, actor="ed", role="editor"))
    assert len(set(made)) == 2
    assert {one["actor"] for one in await tokens(data)} == {"ana", "ed"}


@pytest.mark.parametrize(
    "fields",
    [
        {"actor": "system"},
        {"actor": "assistant"},
        {"actor": "Ana"},
        {"actor": ""},
        {"workspace": "No Name"},
        {"role": "king"},
    ],
)
async def test_what_cannot_be(tmp_path: Path, fields: dict[str, str]) -> None:
    """A name or a role that cannot be is said in a sentence, and nothing is made."""
    data = tmp_path / "data"
    with pytest.raises(AdminError) as caught:
        await create(data, **fields)
    assert "\n" not in str(caught.value)
    assert await tokens(data) == []


async def test_the_last_owner_cannot_be_lowered(tmp_path: Path) -> None:
    """A token with a role that would leave no owner is refused."""
    await create(tmp_path / "data")
    with pytest.raises(AdminError, match="owner"):
        await create(tmp_path / "data", role="viewer")


async def test_revoke(tmp_path: Path) -> None:
    """A token is revoked by its id; one that is not there is an error."""
    data = tmp_path / "data"
    await create(data)
    (listed,) = await tokens(data)
    await with_admin(data, "DELETE", f"/tokens/{listed['token_id']}")
    assert (await tokens(data))[0]["revoked_at"] is not None
    with pytest.raises(AdminError, match="no token"):
        await with_admin(data, "DELETE", "/tokens/none")


async def test_revoke_beside_a_server() -> None:
    """A token that is revoked beside a server ends its connections with 4401."""
    async with running() as server, server.client() as client:
        (listed,) = await tokens(server.folder.path)
        await with_admin(server.folder.path, "DELETE", f"/tokens/{listed['token_id']}")
        assert await client.closed() == 4401


async def test_the_control_socket_is_not_the_service() -> None:
    """The control socket serves no workspace, and the service's port serves no control."""
    async with running() as server:
        await server.token()
        control = Where(unix=server.folder.control)
        assert (await http_request(control, "GET", "/workspaces/home/state")).status == 404
        assert (await server.http("GET", "/tokens")).status == 404
        assert (await http_request(control, "GET", "/tokens")).status == 200


async def test_a_folder_whose_holder_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock that somebody holds who has no control socket is waited for, not for ever, and said."""
    monkeypatch.setattr("server.offline._PATIENCE_S", 0.001)
    folder = prepare(tmp_path / "data")
    with folder.locked(), pytest.raises(FolderError, match="in use"):
        await with_admin(folder.path, "GET", "/tokens")


# verify


async def test_verify_beside_a_server() -> None:
    """`verify` runs beside a server and tells the digest that the server tells."""
    async with running() as server:
        await server.fill(50)
        (report,) = await verify(server.folder.path)
        state = (await server.http("GET", "/workspaces/home/state")).json
        assert report.line == f"home: {state['seq']} events, digest {state['digest']}"


@pytest.mark.parametrize(
    "wound",
    [
        "UPDATE events SET event = replace(event, 'Buy milk', 'Buy silk') WHERE seq = 3; DELETE FROM events WHERE seq = 2",
        "UPDATE events SET event = '{}' WHERE seq = 2",
        "UPDATE events SET event = replace(event, '\"seq\":2', '\"seq\":7') WHERE seq = 2",
        "UPDATE events SET type = 'task.deleted' WHERE seq = 2",
        "DELETE FROM outcomes WHERE seq = 2",
        "UPDATE outcomes SET first_seq = 3, seq = 3 WHERE seq = 2",
    ],
)
async def test_verify_finds_what_differs(wound: str) -> None:
    """A row that is gone or changed is found, and the line says where."""
    async with running() as server:
        await server.fill(4)
        path = server.folder.path
        await server.server.commits.drain()
        connection = sqlite3.connect(server.folder.ledger)
        try:
            for trigger in connection.execute(
                "SELECT name FROM sqlite_master WHERE type = 'trigger'"
            ).fetchall():
                connection.execute(f"DROP TRIGGER {trigger[0]}")
            connection.executescript(wound)
        finally:
            connection.close()
        (report,) = await verify(path)
        assert not report.sound
        assert "seq 2" in report.line


async def test_verify_changes_nothing(tmp_path: Path) -> None:
    """`verify` only reads: the file is, to the byte, what it was."""
    data = tmp_path / "data"
    await create(data)
    before = (data / "ledger.db").read_bytes()
    assert [one.sound for one in await verify(data)] == [True]
    assert (data / "ledger.db").read_bytes() == before


async def test_verify_of_an_older_format(tmp_path: Path) -> None:
    """A ledger that a server would first bring to today's format is left alone, with a sentence."""
    data = prepare(tmp_path / "data")
    data.ledger.touch(mode=0o600)
    with pytest.raises(LedgerUnavailable, match="older format"):
        await verify(data.path)
    assert data.ledger.read_bytes() == b""


async def test_verify_without_a_ledger(tmp_path: Path) -> None:
    """Where there is no ledger `verify` says so and makes none."""
    with pytest.raises(FolderError, match="no ledger"):
        await verify(tmp_path / "data")
    assert not (tmp_path / "data").exists()
