"""Plain HTTP: every path with every status, and what the bodies say."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from protocol import REDUCER_VERSION, limits
from tests.support.raw import refused
from tests.support.servers import Local, running

HOME = "/workspaces/home"
PATHS = [
    "/workspaces",
    f"{HOME}/state",
    f"{HOME}/state?since=x",
    f"{HOME}/state?at=0",
    f"{HOME}/events",
    f"{HOME}/actions/c1",
]
REJECT_FIELDS = {"code", "message", "field", "retryable", "retry_after_ms"}


@pytest.fixture
async def server() -> AsyncIterator[Local]:
    """A server whose workspace `home` has the owner `ana` and the tasks `t1` to `t3` of the actions `c1` to `c3`."""
    async with running() as local:
        await local.fill(3)
        yield local


def add(client_action_id: str | None = None, **payload: Any) -> dict[str, Any]:
    """The body of a POST."""
    body: dict[str, Any] = {"type": "user.create_task", "payload": {"title": "Buy tea", **payload}}
    return body if client_action_id is None else body | {"client_action_id": client_action_id}


# Who may


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_health_needs_no_credential(server: Local, path: str) -> None:
    """Liveness and readiness are told to anybody."""
    assert (await server.http("GET", path, actor=None)).status == 200


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "authorization",
    [None, "Bearer", "Bearer ", "Bearer nonsense", "Basic YTpi", "obk_x", "Bearer obk_\u00ff"],
)
async def test_no_or_a_bad_token(server: Local, path: str, authorization: str | None) -> None:
    """Without a good token every path answers 401 with a challenge and the fields of a reject."""
    headers = {"Authorization": authorization} if authorization is not None else {}
    answer = await server.http("GET", path, actor=None, headers=headers)
    assert answer.status == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert set(answer.json) >= REJECT_FIELDS


async def test_post_without_a_token(server: Local) -> None:
    """A write without a token is refused before its body is looked at."""
    answer = await server.http("POST", f"{HOME}/events", actor=None, body=add("c9"))
    assert answer.status == 401


async def test_a_token_in_the_url_is_none(server: Local) -> None:
    """A token counts in `Authorization` alone."""
    token = await server.token()
    answer = await server.http("GET", f"/workspaces?token={token}&access_token={token}", actor=None)
    assert answer.status == 401


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/nowhere", *PATHS])
async def test_an_origin(server: Local, path: str) -> None:
    """A request from a web page is refused, whatever it asks."""
    answer = await server.http("GET", path, headers={"Origin": "http://localhost"})
    assert answer.status == 403
    assert set(answer.json) >= REJECT_FIELDS


async def test_an_origin_at_the_handshake(server: Local) -> None:
    """A web page opens no WebSocket: 403, with a good token too."""
    status, body = await refused(
        server.where, token=await server.token(), headers={"Origin": "http://localhost"}
    )
    assert (status, body["code"]) == (403, "forbidden")


async def test_a_handshake_without_a_token(server: Local) -> None:
    """No or a bad token is 401 before the upgrade."""
    for headers in ({}, {"Authorization": "Bearer nonsense"}):
        status, body = await refused(server.where, headers=headers)
        assert status == 401
        assert set(body) >= REJECT_FIELDS


@pytest.mark.parametrize("rest", ["state", "state?at=0", "state?since=x", "events", "actions/c1"])
async def test_no_member_and_no_workspace_are_the_same(server: Local, rest: str) -> None:
    """A workspace of others, one that is not there and one that cannot be answer alike: 404, to the letter."""
    await server.token("eve", workspace="elsewhere")
    token = await server.known("eve", "elsewhere")
    answers = [
        await server.http(
            "GET", f"/workspaces/{name}/{rest}", actor=None, headers={"Authorization": f"Bearer {token}"}
        )
        for name in ("home", "nowhere", "No%20Name", "..", "%2e%2e")
    ]
    assert {answer.status for answer in answers} == {404}
    assert len({answer.body for answer in answers}) == 1
    assert answers[0].json["code"] == "not_found"


async def test_a_handshake_to_no_workspace(server: Local) -> None:
    """A handshake to a workspace of others and to none are the same 404."""
    token = await server.token("eve", workspace="elsewhere")
    answers = [await refused(server.where, name, token=token) for name in ("home", "nowhere", "NO", "a/b")]
    assert [status for status, _ in answers] == [404] * 4
    assert answers[0] == answers[1] == answers[2]
    assert await server.server.registry.ledger.workspace("nowhere") is None


async def test_a_post_by_no_member(server: Local) -> None:
    """Who is no member gets 404, and nothing is written."""
    token = await server.token("eve", workspace="elsewhere")
    answer = await server.http(
        "POST", f"{HOME}/events", actor=None, headers={"Authorization": f"Bearer {token}"}, body=add("c9")
    )
    assert answer.status == 404
    assert (await server.http("GET", f"{HOME}/state")).json["seq"] == 4


# What there is


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/nowhere", 404),
        ("GET", f"{HOME}/nowhere", 404),
        ("GET", f"{HOME}/state/more", 404),
        ("GET", f"{HOME}/actions", 405),
        ("POST", "/healthz", 405),
        ("POST", "/workspaces", 405),
        ("DELETE", f"{HOME}/events", 405),
        ("PUT", f"{HOME}/state", 405),
        ("POST", f"{HOME}/state", 405),
        ("POST", f"{HOME}/actions/c1", 405),
    ],
)
async def test_other_paths_and_methods(server: Local, method: str, path: str, status: int) -> None:
    """What is not there is 404, what is not done there 405."""
    answer = await server.http(method, path)
    assert answer.status == status
    assert set(answer.json) >= REJECT_FIELDS


async def test_workspaces(server: Local) -> None:
    """The workspaces that the actor is a member of, with his role and the head, and no others."""
    await server.token("ed", "editor")
    await server.token("ana", workspace="alone")
    listed = (await server.http("GET", "/workspaces", actor="ed")).json
    home = await server.workspace()
    head = {"seq": home.committed.head.seq, "event_id": home.committed.head.event_id}
    assert listed == [
        {"workspace": "home", "workspace_id": home.workspace_id, "role": "editor", "head": head}
    ]
    assert [one["workspace"] for one in (await server.http("GET", "/workspaces")).json] == ["home", "alone"]


async def test_state(server: Local) -> None:
    """`state` answers with the head, the reducer, the digest and the state."""
    answer = (await server.http("GET", f"{HOME}/state")).json
    async with server.client() as client:
        synced = await client.synced()
    assert list(answer) == ["seq", "event_id", "reducer", "digest", "state"]
    assert (answer["seq"], answer["event_id"]) == (synced["seq"], synced["event_id"])
    assert (answer["reducer"], answer["digest"]) == (REDUCER_VERSION, synced["digest"])
    assert set(answer["state"]) == {
        *("tasks", "threads", "messages", "memory", "plans", "reminders", "digests", "proposals", "members"),
        *("settings", "assistant"),
    }
    assert set(answer["state"]["tasks"]) == {"t1", "t2", "t3"}


async def test_state_since_a_known_event(server: Local) -> None:
    """`since` an event of this ledger is a replay of what followed, and the head."""
    events = (await server.http("GET", f"{HOME}/events")).lines
    answer = (await server.http("GET", f"{HOME}/state?since={events[1]['event_id']}")).json
    assert answer == {
        "mode": "replay",
        "head": {"seq": events[-1]["seq"], "event_id": events[-1]["event_id"]},
        "events": events[2:],
    }


async def test_state_since_the_head(server: Local) -> None:
    """`since` the head is an empty replay."""
    event_id = (await server.http("GET", f"{HOME}/state")).json["event_id"]
    answer = (await server.http("GET", f"{HOME}/state?since={event_id}")).json
    assert (answer["mode"], answer["events"]) == ("replay", [])


@pytest.mark.parametrize("since", ["", "nonsense", "1", "%00", "%F0%9F%98%80"])
async def test_state_since_an_unknown_event(server: Local, since: str) -> None:
    """`since` anything else is a snapshot that says why."""
    answer = (await server.http("GET", f"{HOME}/state?since={since}")).json
    assert list(answer) == ["mode", "reason", "seq", "event_id", "reducer", "digest", "state"]
    assert (answer["mode"], answer["reason"], answer["seq"]) == ("snapshot", "unknown_cursor", 4)


async def test_state_since_too_long_ago(server: Local, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too far behind is a snapshot too."""
    monkeypatch.setattr(limits, "replay_events_max", 1)
    events = (await server.http("GET", f"{HOME}/events")).lines
    answer = (await server.http("GET", f"{HOME}/state?since={events[0]['event_id']}")).json
    assert (answer["mode"], answer["reason"]) == ("snapshot", "too_far_behind")
    answer = (await server.http("GET", f"{HOME}/state?since={events[2]['event_id']}")).json
    assert answer["mode"] == "replay"


async def test_state_at(server: Local) -> None:
    """The state as it was at any seq, from nothing to the head, with that seq's event id and digest."""
    events = (await server.http("GET", f"{HOME}/events")).lines
    answer: dict[str, Any] = {}
    for seq in range(5):
        answer = (await server.http("GET", f"{HOME}/state?at={seq}")).json
        assert answer["seq"] == seq
        assert answer["event_id"] == (events[seq - 1]["event_id"] if seq else None)
        assert len(answer["state"]["tasks"]) == max(0, seq - 1)
    assert answer == (await server.http("GET", f"{HOME}/state")).json


@pytest.mark.parametrize(
    ("at", "status"),
    [
        ("5", 404),
        ("9" * 30, 404),
        ("9" * 5_000, 404),
        ("-1", 400),
        ("x", 400),
        ("", 400),
        ("1.0", 400),
        ("%C2%B2", 400),
    ],
)
async def test_state_at_elsewhere(server: Local, at: str, status: int) -> None:
    """Past the head there is no state: 404; what is no seq is 400."""
    assert (await server.http("GET", f"{HOME}/state?at={at}")).status == status


async def test_events(server: Local) -> None:
    """The ledger as newline-delimited JSON, from the first event on."""
    answer = await server.http("GET", f"{HOME}/events")
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert answer.body.endswith(b"}\n")
    assert [one["seq"] for one in answer.lines] == [1, 2, 3, 4]


async def test_events_after(server: Local, monkeypatch: pytest.MonkeyPatch) -> None:
    """`after` is a seq or an event id, `limit` how many; a large limit is cut, and pages add up to the whole."""
    monkeypatch.setattr(limits, "replay_page_events_max", 2)
    whole = (await server.http("GET", f"{HOME}/events")).lines

    async def get(query: str) -> list[Any]:
        return (await server.http("GET", f"{HOME}/events?{query}")).lines

    assert await get("after=0") == whole
    assert await get("after=2") == whole[2:]
    assert await get(f"after={whole[1]['event_id']}") == whole[2:]
    assert await get("after=1&limit=2") == whole[1:3]
    assert await get("limit=0") == []
    assert await get("after=4") == await get("after=99") == await get("after=" + "9" * 5_000) == []
    assert await get("limit=" + "9" * 5_000) == whole
    monkeypatch.setattr(limits, "http_events_max", 3)
    assert await get("limit=1000") == await get("") == whole[:3]


@pytest.mark.parametrize(
    ("query", "status"),
    [("after=nonsense", 404), ("after=", 404), ("after=-1", 404), ("limit=x", 400), ("limit=-1", 400)],
)
async def test_events_that_cannot_be(server: Local, query: str, status: int) -> None:
    """An id that is not in the ledger is 404, a limit that is no number 400."""
    assert (await server.http("GET", f"{HOME}/events?{query}")).status == status


async def test_large_reads_are_whole() -> None:
    """A ledger of several megabytes comes whole, as replay and as lines."""
    async with running() as server:
        await server.token()
        await asyncio.gather(*(server.act("user.remember", f"c{n}", text="x" * 60_000) for n in range(60)))
        lines = (await server.http("GET", f"{HOME}/events")).lines
        assert [one["seq"] for one in lines] == list(range(1, 62))
        answer = (await server.http("GET", f"{HOME}/state?since={lines[0]['event_id']}")).json
        assert answer["events"] == lines[1:]


# One action


async def test_post(server: Local) -> None:
    """One action: 200 with status, seq and event ids, and everybody sees it."""
    async with server.client() as client:
        answer = await server.http("POST", f"{HOME}/events", body=add("c9", task_id="t9"))
        await client.brought_to(5)
        (event,) = client.events
        assert answer.status == 200
        assert answer.json == {"status": "applied", "seq": 5, "event_ids": [event["event_id"]]}
        assert (event["client_action_id"], event["payload"]["task_id"]) == ("c9", "t9")


async def test_post_again(server: Local) -> None:
    """A repeat answers `duplicate` with the same seq and event ids."""
    first = (await server.http("POST", f"{HOME}/events", body=add("c9"))).json
    again = (await server.http("POST", f"{HOME}/events", body=add("c9"))).json
    assert again == first | {"status": "duplicate"}


async def test_post_and_websocket_share_ids(server: Local) -> None:
    """An action that was sent over a WebSocket is known over HTTP."""
    async with server.client() as client:
        ack = await client.done("user.create_task", "c9", title="Buy tea")
    again = (await server.http("POST", f"{HOME}/events", body=add("c9"))).json
    assert (again["status"], again["seq"]) == ("duplicate", ack["seq"])


async def test_an_idempotency_key(server: Local) -> None:
    """The header serves where the body has no id; the body's wins."""
    key = {"Idempotency-Key": "k1"}
    assert (await server.http("POST", f"{HOME}/events", body=add(), headers=key)).json["status"] == "applied"
    assert (await server.http("POST", f"{HOME}/events", body=add("k1"))).json["status"] == "duplicate"
    assert (await server.http("POST", f"{HOME}/events", body=add("k2"), headers=key)).json[
        "status"
    ] == "applied"
    assert (await server.http("GET", f"{HOME}/actions/k2")).status == 200


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff",
        b'{"client_action_id":"c9","payload":{"title":"a"}}',
        b'{"type":5,"client_action_id":"c9","payload":{}}',
        b'{"type":"user.create_task","payload":{"title":"a"}}',
        b'{"type":"user.create_task","client_action_id":"","payload":{"title":"a"}}',
        b'{"type":"user.create_task","client_action_id":null,"payload":{"title":"a"}}',
        b'{"type":"user.create_task","client_action_id":5,"payload":{"title":"a"}}',
        b'{"type":"user.create_task","client_action_id":"a\\nb","payload":{"title":"a"}}',
        b'{"type":"user.create_task","client_action_id":"%s","payload":{"title":"a"}}' % (b"c" * 129),
        b'{"type":"user.create_task","client_action_id":"c9","payload":{"title":"\\ud800"}}',
        b'{"type":"user.create_task","client_action_id":"c9","payload":%s}' % (b"[" * 5_000 + b"]" * 5_000),
        b'{"type":"user.create_task","client_action_id":"c9","payload":[]}',
        b'{"type":"user.create_task","client_action_id":"c9"}',
        b'{"type":"user.nonsense","client_action_id":"c9","payload":{}}',
    ],
)
async def test_post_what_is_no_action(server: Local, body: bytes) -> None:
    """What is no action, or has no id, is 400 `invalid` with the fields of a reject, and nothing is written."""
    answer = await server.http("POST", f"{HOME}/events", body=body)
    assert answer.status == 400
    assert answer.json["code"] == "invalid"
    assert set(answer.json) >= REJECT_FIELDS
    assert (await server.http("GET", f"{HOME}/state")).json["seq"] == 4


async def test_post_with_neither_id_wins_over_a_bad_key(server: Local) -> None:
    """An id in the body that is no id is not mended by the header."""
    headers = {"Idempotency-Key": "k1"}
    answer = await server.http("POST", f"{HOME}/events", body=add(""), headers=headers)
    assert answer.status == 400
    answer = await server.http("POST", f"{HOME}/events", body=add(), headers={"Idempotency-Key": "\u00e4"})
    assert answer.status == 400


@pytest.mark.parametrize(
    ("action_type", "payload", "status", "code", "field"),
    [
        ("user.create_task", {"title": ""}, 400, "invalid", "title"),
        ("system.set_member", {"actor": "eve", "role": "owner"}, 403, "forbidden", "type"),
        ("user.update_task", {"task_id": "none"}, 404, "not_found", "task_id"),
        ("user.create_task", {"title": "a", "task_id": "t1"}, 409, "conflict", "task_id"),
        ("user.remember", {"text": "x" * (limits.text_bytes_max + 1)}, 413, "too_large", "text"),
    ],
)
async def test_post_refused(
    server: Local, action_type: str, payload: dict[str, Any], status: int, code: str, field: str
) -> None:
    """Each refusal has its status, and the body the fields of the reject."""
    body = {"type": action_type, "client_action_id": "c9", "payload": payload}
    answer = await server.http("POST", f"{HOME}/events", body=body)
    async with server.client() as client:
        await client.send(body)
        reject = await client.settled("c9")
    assert answer.status == status
    assert (answer.json["code"], answer.json["field"]) == (code, field)
    assert answer.json == {name: value for name, value in reject.items() if name != "type"}


async def test_post_id_reused(server: Local) -> None:
    """The same id for another action is 409 `id_reused`."""
    answer = await server.http("POST", f"{HOME}/events", body=add("c1"))
    assert (answer.status, answer.json["code"]) == (409, "id_reused")


async def test_post_into_a_full_collection(server: Local, monkeypatch: pytest.MonkeyPatch) -> None:
    """A collection that is full is 422 `limit`."""
    monkeypatch.setattr(limits, "open_tasks_max", 3)
    answer = await server.http("POST", f"{HOME}/events", body=add("c9"))
    assert (answer.status, answer.json["code"]) == (422, "limit")


async def test_post_too_much(server: Local) -> None:
    """A body over its bound is 413, and the connection ends."""
    answer = await server.http("POST", f"{HOME}/events", body=b"x" * (limits.http_body_bytes_max + 1))
    assert (answer.status, answer.json["code"]) == (413, "too_large")


@pytest.mark.parametrize(("role", "status"), [("owner", 200), ("editor", 200), ("viewer", 403)])
async def test_roles_over_http(server: Local, role: str, status: int) -> None:
    """Roles count on this road too; everybody reads."""
    await server.token("eve", role)  # type: ignore[arg-type]  # one of the three
    assert (await server.http("POST", f"{HOME}/events", actor="eve", body=add("c9"))).status == status
    assert (await server.http("GET", f"{HOME}/state", actor="eve")).status == 200


# Stored outcomes


async def test_outcome_of_an_applied_action(server: Local) -> None:
    """The stored outcome of an action names its events, with what they are."""
    await server.act("user.message", "q1", text="hello")
    answer = (await server.http("GET", f"{HOME}/actions/q1")).json
    events = (await server.http("GET", f"{HOME}/events?after=4")).lines
    assert answer == {
        "client_action_id": "q1",
        "status": "applied",
        "seq": 6,
        "event_ids": [one["event_id"] for one in events],
        "events": events,
    }


async def test_outcome_without_events(server: Local) -> None:
    """An action that changed nothing is applied, with no seq and no events."""
    await server.act("user.update_task", "c9", task_id="t1", title="Buy milk")
    answer = (await server.http("GET", f"{HOME}/actions/c9")).json
    assert (answer["status"], answer["seq"], answer["event_ids"], answer["events"]) == (
        "applied",
        None,
        [],
        [],
    )


async def test_outcome_of_a_rejected_action(server: Local) -> None:
    """A stored reject has its code, message and field."""
    body = {"type": "user.delete_task", "client_action_id": "c9", "payload": {"task_id": "none"}}
    reject = (await server.http("POST", f"{HOME}/events", body=body)).json
    answer = (await server.http("GET", f"{HOME}/actions/c9")).json
    assert (answer["status"], answer["seq"], answer["events"]) == ("rejected", None, [])
    assert {name: answer[name] for name in ("code", "message", "field")} == {
        name: reject[name] for name in ("code", "message", "field")
    }


async def test_no_outcome(server: Local) -> None:
    """Of an action that was not sent, not stored, or sent by somebody else there is none: 404."""
    await server.token("ed", "editor")
    await server.http("POST", f"{HOME}/events", body=add("c9", minutes=-1))
    for actor, client_action_id in (("ana", "c8"), ("ana", "c9"), ("ed", "c1")):
        answer = await server.http("GET", f"{HOME}/actions/{client_action_id}", actor=actor)
        assert answer.status == 404


@pytest.mark.parametrize(
    "client_action_id", ["a/b", "a/actions/b", "/", "a b", "a?b#c", "a%2Fb", "~\"'<>", "x/"]
)
async def test_ids_with_signs(server: Local, client_action_id: str) -> None:
    """Any id that may be sent may be asked for, percent-encoded."""
    await server.http("POST", f"{HOME}/events", body=add(client_action_id))
    encoded = "".join(f"%{ord(sign):02X}" for sign in client_action_id)
    answer = await server.http("GET", f"{HOME}/actions/{encoded}")
    assert answer.json["client_action_id"] == client_action_id


async def test_a_workspace_named_actions() -> None:
    """A workspace may be named like a part of a path."""
    async with running() as server:
        await server.token("ana", workspace="actions")
        headers = {"Authorization": f"Bearer {await server.known('ana', 'actions')}"}
        posted = await server.http(
            "POST", "/workspaces/actions/events", body=add("c9"), headers=headers, actor=None
        )
        answer = await server.http("GET", "/workspaces/actions/actions/c9", headers=headers, actor=None)
        assert (posted.status, answer.status) == (200, 200)
        assert answer.json["client_action_id"] == "c9"


async def test_head_requests(server: Local) -> None:
    """HEAD answers as GET does, without the body."""
    answer = await server.http("HEAD", f"{HOME}/state")
    assert (answer.status, answer.body) == (200, b"")


async def test_bodies_are_json(server: Local) -> None:
    """Every body that is not the ledger's lines is JSON and says so."""
    for method, path in (
        ("GET", f"{HOME}/state"),
        ("GET", "/nowhere"),
        ("GET", "/healthz"),
        ("POST", "/healthz"),
    ):
        answer = await server.http(method, path)
        assert answer.headers["content-type"] == "application/json"
        json.loads(answer.body)
