"""What is sent is decided in order, once, and answered behind the events that it gave."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from protocol import limits
from server.workspace import Applied
from tests.support.raw import Frame, RawClient
from tests.support.servers import running


def creating(payload: str, client_action_id: str = "c1") -> str:
    """A `user.create_task` whose payload is exactly this JSON."""
    return f'{{"type":"user.create_task","client_action_id":"{client_action_id}","payload":{payload}}}'


def seqs_before(client: RawClient, frame: Frame) -> set[int]:
    """The seqs that had come when `frame` came."""
    return {
        event["seq"] for one in client.frames[: client.place_of(frame)] for event in one.get("events", ())
    }


# Acks


async def test_ack_follows_its_events() -> None:
    """The ack of an action comes behind its events on the same connection, and names them."""
    async with running() as server, server.client() as client:
        ack = await client.done("user.message", "c1", text="hello")
        mine = [event for event in client.events if event["client_action_id"] == "c1"]
        assert [event["type"] for event in mine] == ["message.created", "message.stream"]
        assert ack == {
            "type": "ack",
            "client_action_id": "c1",
            "status": "applied",
            "seq": mine[-1]["seq"],
            "event_ids": [event["event_id"] for event in mine],
        }
        assert ack["seq"] in seqs_before(client, ack)


async def test_an_action_without_events() -> None:
    """What changes nothing is applied with no seq and no event."""
    async with running() as server, server.client() as client:
        await client.done("user.create_task", "c1", task_id="t1", title="Buy milk")
        ack = await client.done("user.update_task", "c2", task_id="t1", title="Buy milk")
        assert (ack["status"], ack["seq"], ack["event_ids"]) == ("applied", None, [])
        assert len(client.events) == 1


async def test_acks_of_a_burst() -> None:
    """Of 300 actions in one burst each is acked behind its own event, in the order in which they came."""
    async with running() as server, server.client() as client:
        for number in range(300):
            await client.add(f"c{number}")
        acks = [await client.settled(f"c{number}") for number in range(300)]
        assert [ack["seq"] for ack in acks] == sorted(ack["seq"] for ack in acks)
        assert [one["client_action_id"] for one in client.of("ack")] == [
            f"c{number}" for number in range(300)
        ]
        assert all(ack["seq"] in seqs_before(client, ack) for ack in acks)


async def test_answers_keep_the_order_of_the_actions() -> None:
    """Acks and rejects of one burst come in the order of their actions: no refusal overtakes an ack."""
    async with running() as server, server.client() as client:
        order = []
        for number in range(40):
            await client.add(f"ack{number}")
            await client.add(f"reject{number}", title="")
            order += [f"ack{number}", f"reject{number}"]
        await client.settled(order[-1])
        answers = [one for one in client.frames if one["type"] in ("ack", "reject")]
        assert [one["client_action_id"] for one in answers] == order


async def test_an_action_before_synced() -> None:
    """An action may be sent right behind hello; its ack comes behind its event or behind what covers it."""
    async with running() as server:
        await server.fill(50)
        for number in range(5):
            async with server.connect() as client:
                await client.hello()
                await client.add(f"early{number}")
                ack = await client.settled(f"early{number}")
                await client.synced()
                place = client.place_of(ack)
                covered = [frame["seq"] for frame in client.frames[:place] if frame["type"] == "snapshot"]
                assert ack["seq"] in seqs_before(client, ack) or ack["seq"] <= max(covered, default=0)


async def test_an_ack_waits_for_the_replay(monkeypatch: pytest.MonkeyPatch) -> None:
    """While a long replay goes on, the ack of a new action waits until the replay has come to its event."""
    monkeypatch.setattr(limits, "replay_page_events_max", 2)
    async with running() as server:
        await server.fill(60)
        async with server.connect() as client:
            await client.hello(want="events")
            await client.add("late")
            ack = await client.settled("late")
            assert ack["seq"] in seqs_before(client, ack)
            assert seqs_before(client, ack) == set(range(1, max(seqs_before(client, ack)) + 1))


async def test_an_ack_for_a_cursor_past_it() -> None:
    """A repeat of what the cursor already covers is acked without its events being sent again."""
    async with running() as server:
        done = await server.act("user.create_task", "c1", title="Buy milk")
        assert isinstance(done, Applied)
        async with server.client(since=done.event_ids[-1]) as client:
            ack = await client.done("user.create_task", "c1", title="Buy milk")
            assert (ack["status"], ack["seq"]) == ("duplicate", done.seq)
            assert client.events == []


# Repeats


async def test_a_repeat_is_a_duplicate() -> None:
    """A repeat changes nothing and gets the stored outcome: same seq, same event ids, `duplicate`."""
    async with running() as server, server.client() as client:
        first = await client.done("user.create_task", "c1", title="Buy milk")
        async with server.client() as other:
            second = await other.done("user.create_task", "c1", title="Buy milk")
            assert second == first | {"status": "duplicate"}
            assert other.events == []
        assert len(client.events) == 1


async def test_a_repeat_in_the_same_burst() -> None:
    """A repeat that comes while the first is in flight waits for it: one event, one `applied`, the rest duplicates."""
    async with running() as server, server.client() as client:
        for _ in range(5):
            await client.add("c1")
        await client.until(lambda: len(client.of("ack")) == 5)
        assert [ack["status"] for ack in client.of("ack")] == ["applied"] + ["duplicate"] * 4
        assert len(client.events) == 1


async def test_a_repeat_of_a_stored_reject() -> None:
    """`not_found` was judged against state: it stays, though the task is there by now."""
    async with running() as server, server.client() as client:
        first = await client.done("user.delete_task", "c1", task_id="t1")
        await client.done("user.create_task", "c2", task_id="t1", title="Buy milk")
        await client.act("user.delete_task", "c1", task_id="t1")
        await client.until(lambda: len(client.of("reject")) == 2)
        assert client.of("reject") == [first, first]


async def test_other_rejects_are_judged_afresh() -> None:
    """After an `invalid` the same id may be tried again, with another payload."""
    async with running() as server, server.client() as client:
        assert (await client.done("user.create_task", "c1", title=""))["code"] == "invalid"
        await client.add("c1", "Buy milk")
        await client.next("ack", client_action_id="c1", status="applied")


@pytest.mark.parametrize(
    "second",
    [
        '{"type":"user.remember","client_action_id":"c1","payload":{"title":"a","x":1}}',
        '{"type":"user.create_task","client_action_id":"c1","payload":{"title":"b","x":1}}',
        '{"type":"user.create_task","client_action_id":"c1","payload":{"title":"a","x":2}}',
        '{"type":"user.create_task","client_action_id":"c1","payload":{"title":"a"}}',
        '{"type":"user.create_task","client_action_id":"c1","payload":{"title":"a","x":"1"}}',
        '{"type":"user.create_task","client_action_id":"c1","payload":{"title":"a","x":true}}',
        '{"type":"user.create_task","client_action_id":"c1"}',
        '{"type":"user.nonsense","client_action_id":"c1","payload":{"title":"a","x":1}}',
    ],
)
async def test_id_reused(second: str) -> None:
    """The same id with another type or payload, unknown fields included, is `id_reused`, and nothing happens."""
    async with running() as server, server.client() as client:
        await client.send_text(
            '{"type":"user.create_task","client_action_id":"c1","payload":{"title":"a","x":1}}'
        )
        await client.next("ack", status="applied")
        await client.send_text(second)
        reject = await client.next("reject")
        assert (reject["code"], reject["field"], reject["retryable"]) == (
            "id_reused",
            "client_action_id",
            False,
        )
        assert len(client.events) == 1


@pytest.mark.parametrize(
    "payload",
    [
        '{"x":{"b":1,"a":[1,2]},"title":"a"}',
        '{ "title" : "a",\n "x": {"a":[1.0, 2.00],"b":1e0} }',
        '{"title":"\\u0061","x":{"a":[1,2],"b":1}}',
    ],
)
async def test_the_same_value_is_the_same_action(payload: str) -> None:
    """Spaces, the order of keys, escapes, and 1.0 for 1 make no other payload."""
    async with running() as server, server.client() as client:
        first = '{"title":"a","x":{"a":[1,2],"b":1}}'
        for one in (first, payload):
            await client.send_text(creating(one))
        await client.next("ack", status="applied")
        await client.next("ack", status="duplicate")


async def test_two_actors_with_one_id() -> None:
    """An id counts per actor: two people may choose the same."""
    async with running() as server:
        await server.token("ed", "editor")
        async with server.client("ana") as ana, server.client("ed") as ed:
            first, second = await asyncio.gather(
                ana.done("user.create_task", "c1", title="Buy milk"),
                ed.done("user.create_task", "c1", title="Buy tea"),
            )
            assert first["status"] == second["status"] == "applied"
            assert first["seq"] != second["seq"]


async def test_ids_used_before_stay_used() -> None:
    """Created, deleted and created again in one burst: the third is `conflict`, and everybody stays connected."""
    async with running() as server, server.client() as client:
        await client.add("c1", task_id="t1")
        await client.act("user.delete_task", "c2", task_id="t1")
        await client.add("c3", task_id="t1")
        await client.add("c4", task_id="t2")
        assert (await client.settled("c3"))["code"] == "conflict"
        assert (await client.settled("c4"))["status"] == "applied"
        assert (await client.done("user.create_task", "c5", task_id="t1", title="a"))["code"] == "conflict"


# Rejects

TOO_LONG = "x" * (limits.text_bytes_max + 1)


@pytest.mark.parametrize(
    ("action_type", "payload", "code", "field"),
    [
        ("user.nonsense", {}, "invalid", "type"),
        ("", {}, "invalid", "type"),
        ("user.create_task", {}, "invalid", "title"),
        ("user.create_task", {"title": 5}, "invalid", "title"),
        ("user.create_task", {"title": "a", "priority": "soon"}, "invalid", "priority"),
        ("user.create_task", {"title": "a", "due": "tomorrow"}, "invalid", "due"),
        ("user.create_task", {"title": "a", "task_id": ""}, "invalid", "task_id"),
        ("user.undo", {"client_action_id": "c0"}, "invalid", "type"),
        ("user.update_task", {"task_id": "none"}, "not_found", "task_id"),
        ("user.message", {"text": "a", "thread_id": "none"}, "not_found", "thread_id"),
        ("user.create_task", {"title": "a", "task_id": "t0"}, "conflict", "task_id"),
        ("user.update_task", {"task_id": "t0", "title": "b", "if_version": 9}, "conflict", "if_version"),
        ("user.set_member", {"actor": "ana", "role": "viewer"}, "conflict", "actor"),
        ("user.remove_member", {"actor": "ana"}, "conflict", "actor"),
        ("assistant.complete", {"message_id": "m", "text": "a"}, "forbidden", "type"),
        ("system.set_member", {"actor": "eve", "role": "owner"}, "forbidden", "type"),
        ("system.nonsense", {}, "forbidden", "type"),
        ("user.message", {"text": TOO_LONG}, "too_large", "text"),
        ("user.create_task", {"title": "x" * 501}, "too_large", "title"),
        ("user.create_task", {"title": "a", "tags": ["t"] * 65}, "too_large", "tags"),
        ("user.create_task", {"title": "a", "tags": ["t" * 65]}, "too_large", "tags"),
    ],
)
async def test_rejects(action_type: str, payload: dict[str, Any], code: str, field: str) -> None:
    """Every refusal has its code, its field and a sentence; nothing is committed and the connection stays."""
    async with running() as server:
        await server.act("user.create_task", "c0", task_id="t0", title="Buy milk")
        async with server.client() as client:
            reject = await client.done(action_type, "c1", **payload)
            assert (reject["type"], reject["code"], reject["field"]) == ("reject", code, field)
            assert (reject["retryable"], reject["retry_after_ms"]) == (False, None)
            assert reject["message"].endswith(".")
            assert (await client.done("user.remember", "c2", text="tea"))["status"] == "applied"


@pytest.mark.parametrize(
    ("name", "kind", "payload"),
    [
        ("open_tasks_max", "user.create_task", {"title": "a"}),
        ("memories_max", "user.remember", {"text": "a"}),
        ("threads_max", "user.create_thread", {"title": "a"}),
        ("members_max", "user.set_member", {"actor": "eve", "role": "viewer"}),
    ],
)
async def test_a_full_collection(
    name: str, kind: str, payload: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What does not fit into a full collection is rejected with `limit`."""
    monkeypatch.setattr(limits, name, 1)
    async with running() as server:
        await server.act("user.create_task", "c1", title="a")
        await server.act("user.remember", "c2", text="a")
        async with server.client() as client:
            assert (await client.done(kind, "c3", **payload))["code"] == "limit"


@pytest.mark.parametrize(
    "payload",
    [
        '{"title":"\\ud800"}',
        '{"title":"a","x":"\\udfff\\ud800"}',
        '{"title":"a","\\ud800":1}',
        "[]",
        "null",
        '"text"',
        "5",
        '{"title":' + "[" * 500 + "]" * 500 + "}",
        '{"title":' + "[" * 5_000 + "]" * 5_000 + "}",
        "[" * 100_000 + "]" * 100_000,
        '{"x":' * 5_000 + "1" + "}" * 5_000,
        '{"title":"a","minutes":1e999}',
        '{"title":"a","minutes":' + "9" * 4_000 + "}",
        '{"title":"a","minutes":1e300}',
        '{"title":"a","minutes":0.5}',
    ],
)
async def test_bad_payloads_are_invalid(payload: str) -> None:
    """Whatever a payload is, as long as the frame is JSON: `invalid`, and the connection goes on."""
    async with running() as server, server.client() as client:
        await client.send_text(creating(payload))
        assert (await client.settled("c1"))["code"] == "invalid"
        assert (await client.done("user.remember", "c2", text="tea"))["status"] == "applied"


async def test_any_depth_is_answered() -> None:
    """Around the depth at which a decoder gives up, an action is applied or invalid, never left without an answer."""
    async with running() as server, server.client() as client:
        for depth in range(880, 1_010):
            nested = "[" * depth + "]" * depth
            await client.send_text(creating(f'{{"title":"a","x":{nested}}}', f"c{depth}"))
        for depth in range(880, 1_010):
            outcome = await client.settled(f"c{depth}")
            assert outcome["type"] == "ack" or outcome["code"] == "invalid"


@pytest.mark.parametrize(
    "number", ["1e999", "-1e999", "1e300", "9" * 4_000, "-0.0", "123456789012345678901234567890"]
)
async def test_huge_numbers_in_unknown_fields(number: str) -> None:
    """An unknown field may hold any number: the action is applied, and its repeat is a duplicate."""
    async with running() as server, server.client() as client:
        for _ in range(2):
            await client.send_text(creating(f'{{"title":"a","x":{number}}}'))
        await client.next("ack", status="applied")
        await client.next("ack", status="duplicate")


async def test_text_is_kept_as_it_was_sent() -> None:
    """Control characters, escapes for terminals and signs beyond the first plane come back as they were sent."""
    poison = "\x1b]0;x\x07\x00\u202e\U0001f600\u2028</script>[bold]"
    async with running() as server, server.client() as client:
        await client.done("user.create_task", "c1", title=poison)
        assert client.events[0]["payload"]["title"] == poison


# Roles

EDITS: list[tuple[str, dict[str, Any]]] = [
    ("user.create_task", {"title": "a"}),
    ("user.update_task", {"task_id": "t0", "title": "b"}),
    ("user.delete_task", {"task_id": "t0"}),
    ("user.message", {"text": "a"}),
    ("user.remember", {"text": "a"}),
    ("user.create_thread", {"title": "a"}),
    ("user.request_plan", {"date": "2026-11-22"}),
]
RULES: list[tuple[str, dict[str, Any]]] = [
    ("user.update_settings", {"timezone": "Europe/Berlin"}),
    ("user.set_member", {"actor": "eve", "role": "viewer"}),
    ("user.remove_member", {"actor": "vi"}),
]
INTERNALS: list[tuple[str, dict[str, Any]]] = [
    ("assistant.answer", {"reply_to": "m"}),
    ("system.set_member", {"actor": "eve", "role": "owner"}),
]


@pytest.mark.parametrize("role", ["owner", "editor", "viewer"])
async def test_roles(role: str) -> None:
    """An owner may do everything, an editor all but settings and members, a viewer nothing; nobody the server's own."""
    async with running() as server:
        await server.act("user.create_task", "c0", task_id="t0", title="Buy milk")
        await server.token("vi", "viewer")
        await server.token("eve", role)  # type: ignore[arg-type]  # one of the three
        async with server.client("eve") as client:
            for kinds, allowed in (
                (EDITS, role != "viewer"),
                ([one for one in RULES if one[1].get("actor") != "eve"], role == "owner"),
                (INTERNALS, False),
            ):
                for kind, payload in kinds:
                    outcome = await client.done(kind, f"c-{kind}", **payload)
                    assert outcome.get("code") == (None if allowed else "forbidden"), (kind, outcome)


async def test_a_viewer_has_presence() -> None:
    """A viewer reads, and is seen."""
    async with running() as server:
        await server.token("vi", "viewer")
        async with server.client("ana") as ana, server.client("vi") as viewer:
            await viewer.send({"type": "presence", "typing": True, "focus": "t1"})
            await ana.until(lambda: any(one["focus"] == "t1" for one in ana.of("presence")[-1]["members"]))


# Members


async def test_a_removed_member() -> None:
    """Who is removed is closed with 4404 before the event, his bystanders get the event, and he may not return."""
    async with running() as server:
        await server.token("ed", "editor")
        async with server.client("ana") as ana, server.client("ed") as ed:
            await ana.done("user.remove_member", "c1", actor="ed")
            assert await ed.closed() == 4404
            assert ed.events == []
            assert ana.events[-1]["type"] == "member.removed"
        assert (await server.http("GET", "/workspaces/home/state", actor="ed")).status == 404


@pytest.mark.parametrize("role", ["viewer", "owner"])
async def test_a_changed_role(role: str) -> None:
    """Whose role has changed is closed with 1001 before the event, and has the new role when he is back."""
    async with running() as server:
        await server.token("ed", "editor")
        async with server.client("ana") as ana, server.client("ed") as ed:
            await ana.done("user.set_member", "c1", actor="ed", role=role)
            assert await ed.closed() == 1001
            assert ed.events == []
        async with server.client("ed") as again:
            assert again.frames[0]["role"] == role


async def test_a_member_removed_before_hello() -> None:
    """Who is removed between the handshake and hello gets 4404."""
    async with running() as server:
        await server.token("ed", "editor")
        async with server.connect("ed") as ed:
            await server.act("user.remove_member", "c1", actor="ed")
            with contextlib.suppress(ConnectionClosed):  # where the server was faster
                await ed.hello()
            assert await ed.closed() == 4404


async def test_what_a_removed_member_sent_behind() -> None:
    """What a removed member sends behind his removal is not done."""
    async with running() as server:
        await server.token("ed", "owner")
        async with server.client("ana") as ana, server.client("ed") as ed:
            await ed.act("user.remove_member", "c1", actor="ed")
            await ed.add("c2")
            assert await ed.closed() == 4404
            await ana.done("user.remember", "c3", text="tea")
            assert [event["type"] for event in ana.events] == ["member.removed", "memory.added"]


async def test_a_new_member_disturbs_nobody() -> None:
    """A member that is added, or set to the role that he has, closes no connection."""
    async with running() as server:
        await server.token("ed", "editor")
        async with server.client("ana") as ana, server.client("ed") as ed:
            await ana.done("user.set_member", "c1", actor="eve", role="viewer")
            ack = await ana.done("user.set_member", "c2", actor="ed", role="editor")
            assert ack["seq"] is None
            assert (await ed.done("user.remember", "c3", text="tea"))["status"] == "applied"


async def test_what_was_sent_is_done_without_its_sender() -> None:
    """An action that was sent is done, though its sender is gone before the ack."""
    async with running() as server, server.client("ana") as ana:
        async with server.client("ana") as short:
            await short.add("c1", "Buy milk")
            await short.leave()
        await ana.brought_to(ana.frames[0]["head"]["seq"] + 1)
        assert [event["client_action_id"] for event in ana.events] == ["c1"]
