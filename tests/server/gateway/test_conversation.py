"""From hello to live: what comes, in which order, and that nothing is lost or doubled on the way."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from hashlib import blake2b
from typing import Any

import pytest

from protocol import REDUCER_VERSION, VERSION, limits
from protocol.ids import is_uuid
from server.ledger.memory import MemoryLedger
from server.workspace import Workspace
from tests.support.raw import Frame, RawClient
from tests.support.servers import Local, running


def merged(parts: list[Frame]) -> dict[str, Any]:
    """The state of all parts of a snapshot, as the contract says it is put together."""
    state: dict[str, Any] = {}
    for part in parts:
        for name, entries in part["state"].items():
            state.setdefault(name, {}).update(entries)
    return state


def digest_of(state: dict[str, Any]) -> str:
    """The contract's digest, from the JSON that travelled and nothing else."""
    total = 0
    for collection, entries in state.items():
        for key, entry in entries.items():
            canonical = json.dumps(entry, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
            data = f"{collection}\0{key}\0{canonical}".encode()
            total += int.from_bytes(blake2b(data, digest_size=16).digest(), "big")
    return f"{total % 2**128:032x}"


async def head_of(server: Local) -> tuple[int, str | None]:
    """The head of the workspace `home`."""
    head = (await server.workspace()).committed.head
    return head.seq, head.event_id


def assert_dense(client: RawClient, first: int, last: int) -> None:
    """Every event from `first` to `last` came, once, in order, and each frame names what stood before it."""
    assert [event["seq"] for event in client.events] == list(range(first, last + 1))
    for frame in client.of("events"):
        assert frame["after"] == frame["events"][0]["seq"] - 1


# The order


async def test_order_with_a_snapshot() -> None:
    """After a first hello come welcome, the snapshot, `state.synced` and presence, and nothing else."""
    async with running() as server, server.client() as client:
        assert client.types == ["welcome", "snapshot", "state.synced", "presence"]


async def test_order_with_a_replay() -> None:
    """After a hello with a known cursor come welcome, the missed events, `state.synced` and presence."""
    async with running() as server:
        await server.fill(1)
        _, cursor = await head_of(server)
        await server.fill(2, first=2)
        async with server.client(since=cursor) as client:
            assert client.types == ["welcome", "events", "state.synced", "presence"]
            assert [event["client_action_id"] for event in client.events] == ["c2", "c3"]


async def test_order_with_nothing_missed() -> None:
    """A cursor at the head needs neither snapshot nor events."""
    async with running() as server:
        await server.fill(1)
        _, cursor = await head_of(server)
        async with server.client(since=cursor) as client:
            assert client.types == ["welcome", "state.synced", "presence"]


async def test_tokens_come_before_synced() -> None:
    """Every open answer is told from offset 0, with all or with no text, between snapshot and `state.synced`."""
    async with running() as server:
        await server.act("user.create_thread", "c1", thread_id="th2", title="Garden")
        await server.act("user.message", "c2", message_id="q1", text="hello")
        await server.act("user.message", "c3", message_id="q2", text="hello", thread_id="th2")
        workspace = await server.workspace()
        first, second = workspace.committed.state.assistant.streaming
        assert workspace.streams.append(first, "Gr\u00fc\u00df")
        assert workspace.streams.append(first, " Gott")
        async with server.client() as client:
            assert client.types == [
                *("welcome", "snapshot", "llm.token", "llm.token", "state.synced", "presence")
            ]
            payloads = [frame["payload"] for frame in client.of("llm.token")]
            assert payloads == [
                {"message_id": first, "offset": 0, "text": "Gr\u00fc\u00df Gott"},
                {"message_id": second, "offset": 0, "text": ""},
            ]


async def test_live_tokens_count_code_points() -> None:
    """A live token says at which code point it begins, and carries no seq and no event id."""
    async with running() as server:
        await server.act("user.message", "c1", message_id="q1", text="hello")
        workspace = await server.workspace()
        (answer,) = workspace.committed.state.assistant.streaming
        async with server.client() as client:
            workspace.streams.append(answer, "\U0001f600a")
            workspace.streams.append(answer, "b")
            await client.until(lambda: len(client.of("llm.token")) == 3)
            told = client.of("llm.token")[1:]
            assert [frame["payload"]["offset"] for frame in told] == [0, 2]
            assert all(set(frame) == {"type", "timestamp", "actor", "payload"} for frame in told)


async def test_welcome_says_who_and_where() -> None:
    """`welcome` names the protocol, the server, the reducer, the workspace, the actor, the role and the head."""
    async with running() as server:
        await server.fill(1)
        await server.token("vi", "viewer")
        seq, event_id = await head_of(server)
        async with server.client("vi") as client:
            welcome = client.frames[0]
            assert welcome["protocol"] == 1
            assert welcome["server"] == f"obelisk/{VERSION}"
            assert welcome["reducer"] == REDUCER_VERSION
            assert (welcome["workspace"], welcome["actor"], welcome["role"]) == ("home", "vi", "viewer")
            assert welcome["workspace_id"] == (await server.workspace()).workspace_id
            assert is_uuid(welcome["session_id"])
            assert welcome["head"] == {"seq": seq, "event_id": event_id}
            assert welcome["limits"]["frame_bytes_max"] == 256 * 1024


async def test_synced_names_the_head() -> None:
    """`state.synced` carries the seq, the event id and the digest of what the client now holds."""
    async with running() as server:
        await server.fill(3)
        seq, event_id = await head_of(server)
        async with server.client() as client:
            synced = await client.synced()
            assert (synced["seq"], synced["event_id"]) == (seq, event_id)
            assert synced["digest"] == digest_of(merged(client.of("snapshot")))


async def test_presence_names_everybody() -> None:
    """The first presence holds the newcomer and all who were there."""
    async with running() as server, server.client(client="one/1"), server.client(client="two/1") as second:
        presence = second.of("presence")[-1]
        assert presence["count"] == 2
        assert [one["client"] for one in presence["members"]] == ["one/1", "two/1"]
        assert set(presence["members"][0]) == {"actor", "session_id", "client", "typing", "focus"}


async def test_without_a_subprotocol() -> None:
    """A client that offers no subprotocol is spoken to as v1; one that offers it gets it named."""
    async with running() as server, server.connect(subprotocols=[]) as plain, server.connect() as named:
        await plain.hello()
        await plain.synced()
        assert plain.socket.subprotocol is None
        assert named.socket.subprotocol == "obelisk.v1"


# Snapshots


async def test_snapshot_without_a_cursor() -> None:
    """Without a cursor the reason is `initial`."""
    async with running() as server, server.client() as client:
        (snapshot,) = client.of("snapshot")
        assert (snapshot["reason"], snapshot["part"], snapshot["last"]) == ("initial", 0, True)


@pytest.mark.parametrize("since", ["", "nonsense", "0199a000-0000-7000-8000-000000000000"])
async def test_snapshot_for_an_unknown_cursor(since: str) -> None:
    """A cursor that this ledger does not hold gets a snapshot that says so."""
    async with running() as server, server.client(since=since) as client:
        assert [frame["reason"] for frame in client.of("snapshot")] == ["unknown_cursor"]


async def test_a_cursor_of_another_workspace_is_unknown() -> None:
    """An event id counts only in the ledger of its own workspace."""
    async with running() as server:
        await server.token("ana", workspace="other")
        other = await server.workspace("other")
        async with server.client(since=other.committed.head.event_id) as client:
            assert client.of("snapshot")[0]["reason"] == "unknown_cursor"


async def test_snapshot_when_too_far_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the bound it is a replay, one event further behind a snapshot."""
    monkeypatch.setattr(limits, "replay_events_max", 3)
    async with running() as server:
        await server.fill(1)
        _, cursor = await head_of(server)
        await server.fill(3, first=2)
        async with server.client(since=cursor) as client:
            assert client.types[1] == "events"
        await server.fill(1, first=5)
        async with server.client(since=cursor) as client:
            assert client.of("snapshot")[0]["reason"] == "too_far_behind"


async def test_snapshot_in_parts() -> None:
    """Parts are numbered from 0, at most 256 KiB each, all of one head, and together they are the state."""
    async with running() as server:
        for number in range(12):
            await server.act("user.remember", f"c{number}", text=f"{number} " + "\u00e4" * 30_000)
        seq, event_id = await head_of(server)
        async with server.client() as client:
            parts = client.of("snapshot")
            assert len(parts) > 2
            assert [one["part"] for one in parts] == list(range(len(parts)))
            assert [one["last"] for one in parts] == [False] * (len(parts) - 1) + [True]
            assert {(one["seq"], one["event_id"]) for one in parts} == {(seq, event_id)}
            for part in parts:
                encoded = json.dumps(part, ensure_ascii=False, separators=(",", ":")).encode()
                assert len(encoded) <= limits.snapshot_part_bytes_max
            state = merged(parts)
            assert len(state["memory"]) == 12
            assert digest_of(state) == (await client.synced())["digest"]
            assert state == (await server.http("GET", "/workspaces/home/state")).json["state"]


async def test_snapshot_then_what_happened_meanwhile() -> None:
    """What is committed while a snapshot is being sent follows it, before `state.synced` or after it."""
    async with running() as server:
        for number in range(6):
            await server.act("user.remember", f"m{number}", text="x" * 60_000)
        async with server.connect() as client:
            await client.hello()
            await asyncio.gather(*(server.act("user.remember", f"n{n}", text="y") for n in range(20)))
            await client.synced()
            seq, _ = await head_of(server)
            taken = client.of("snapshot")[0]["seq"]
            if seq > taken:
                await client.brought_to(seq)
            assert_dense(client, taken + 1, seq)


# want: events


async def test_events_from_the_first() -> None:
    """With `want: events` and no cursor the whole ledger comes, and no snapshot."""
    async with running() as server:
        await server.fill(5)
        seq, _ = await head_of(server)
        async with server.client(want="events") as client:
            assert client.of("snapshot") == []
            assert_dense(client, 1, seq)


async def test_events_are_never_too_far_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """With `want: events` a replay has no bound."""
    monkeypatch.setattr(limits, "replay_events_max", 2)
    async with running() as server:
        await server.fill(1)
        first, cursor = await head_of(server)
        await server.fill(9, first=2)
        async with server.client(since=cursor, want="events") as client:
            assert client.of("snapshot") == []
            assert_dense(client, first + 1, first + 9)


async def test_events_with_an_unknown_cursor() -> None:
    """With `want: events` an unknown cursor is an `error`, then close 4400."""
    async with running() as server, server.connect() as client:
        await client.hello("0199a000-0000-7000-8000-000000000000", want="events")
        assert await client.closed() == 4400
        assert client.types == ["welcome", "error"]


async def test_events_of_an_empty_ledger() -> None:
    """An empty ledger has head 0 with no event id, and is at once in sync."""
    async with running(unix=True) as server:
        await server.server.registry.ledger.create_workspace("bare", "w", "2026-11-22T13:05:00.123Z")
        workspace = await server.workspace("bare")
        assert (workspace.committed.head.seq, workspace.committed.head.event_id) == (0, None)


# Pages


async def test_replay_in_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """A long replay comes in several frames, each naming the seq before its first event."""
    monkeypatch.setattr(limits, "replay_page_events_max", 7)
    async with running() as server:
        await server.fill(1)
        first, cursor = await head_of(server)
        await server.fill(40, first=2)
        async with server.client(since=cursor) as client:
            assert len(client.of("events")) >= 6
            assert_dense(client, first + 1, first + 40)


@pytest.mark.parametrize("page", range(1, 8))
async def test_an_action_is_never_divided(page: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the size of a page, the events of one action stand in one frame of the replay."""
    monkeypatch.setattr(limits, "replay_page_events_max", page)
    async with running() as server:
        await server.token()
        for number in range(6):
            await server.act("user.message", f"c{number}", text="hello", supersede=True)
            await server.act("user.remember", f"d{number}", text="tea")
        seq, _ = await head_of(server)
        async with server.client(want="events") as client:
            assert_dense(client, 1, seq)
            frames_of = Counter(
                (event["actor"], event["client_action_id"], place)
                for place, frame in enumerate(client.of("events"))
                for event in frame["events"]
            )
            actions = [(actor, name) for actor, name, _ in frames_of]
            assert len(actions) == len(set(actions))
            assert max(frames_of.values()) == 3


async def test_frames_of_a_replay_are_bounded() -> None:
    """A page that would be larger than 256 KiB is several frames."""
    async with running() as server:
        await server.token()
        await asyncio.gather(*(server.act("user.remember", f"c{n}", text="x" * 60_000) for n in range(9)))
        async with server.client(want="events") as client:
            assert len(client.of("events")) >= 3
            for frame in client.of("events"):
                assert len(json.dumps(frame, separators=(",", ":"))) <= limits.events_frame_bytes_max


async def test_live_frames_are_bounded() -> None:
    """A commit group that would be larger than 256 KiB is several frames, and the acks follow them."""
    async with running() as server, server.client() as client:
        for number in range(9):
            await client.act("user.remember", f"c{number}", text="x" * 60_000)
        for number in range(9):
            ack = await client.settled(f"c{number}")
            seqs = [
                event["seq"]
                for frame in client.frames[: client.place_of(ack)]
                for event in frame.get("events", ())
            ]
            assert ack["seq"] in seqs
        for frame in client.of("events"):
            assert len(json.dumps(frame, separators=(",", ":"))) <= limits.events_frame_bytes_max


async def test_frames_carry_the_ledgers_events() -> None:
    """An event is the same object live, in a replay and over HTTP, with every field of the contract."""
    async with running() as server, server.client() as live:
        await live.done("user.create_task", "c1", task_id="t1", title="Buy milk")
        async with server.client(want="events") as replayed:
            told = [one for one in replayed.events if one["client_action_id"] == "c1"]
            assert told == live.events
        (event,) = live.events
        answer = await server.http("GET", f"/workspaces/home/events?after={event['seq'] - 1}")
        assert answer.lines == [event]
        assert list(event) == [
            *(
                "seq",
                "event_id",
                "timestamp",
                "type",
                "actor",
                "client_action_id",
                "cause",
                "because",
                "payload",
            )
        ]
        assert (event["type"], event["actor"], event["cause"]) == ("task.created", "ana", "user.create_task")


# The seam


class Writers:
    """Writers that go on until they are told to stop."""

    def __init__(self, workspace: Workspace, count: int) -> None:
        self._workspace = workspace
        self._stopped = False
        self._tasks = [asyncio.ensure_future(self._write(number)) for number in range(count)]

    async def _write(self, number: int) -> None:
        place = 0
        while not self._stopped:
            payload = json.dumps({"task_id": "t1", "title": f"{number}.{place}"}).encode()
            await self._workspace.submit("ana", "user.update_task", f"w{number}-{place}", payload)
            place += 1

    async def stop(self) -> None:
        self._stopped = True
        await asyncio.gather(*self._tasks)


@pytest.mark.parametrize(("page", "on_disk"), [(20, True), (10, False)])
async def test_no_gap_at_the_seam(page: int, on_disk: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """While four writers write, every reader that comes and goes sees each event once, in order, with its digest."""
    monkeypatch.setattr(limits, "replay_page_events_max", page)
    moved = 0
    async with running(ledger=None if on_disk else MemoryLedger()) as server:
        await server.fill(200)
        start, cursor = await event_at(server, 1)
        writers = Writers(await server.workspace(), 4)
        try:
            for _ in range(15):
                async with server.client(since=cursor) as client:
                    synced = await client.synced()
                    await client.brought_to(synced["seq"] + 5)
                    assert_dense(client, start + 1, client.seq)
                    place = client.place_of(synced)
                    before = [
                        one["seq"] for frame in client.frames[:place] for one in frame.get("events", ())
                    ]
                    assert before[-1] == synced["seq"]
                    moved += synced["seq"] > client.frames[0]["head"]["seq"]
        finally:
            await writers.stop()
    assert moved >= 5, "the head did not move while readers caught up: nothing was proved"


async def event_at(server: Local, seq: int) -> tuple[int, str]:
    """An event's seq and id."""
    answer = await server.http("GET", f"/workspaces/home/state?at={seq}")
    return seq, answer.json["event_id"]


async def test_no_gap_behind_a_snapshot() -> None:
    """While four writers write, what follows a snapshot begins right behind it."""
    async with running() as server:
        await server.fill(200)
        writers = Writers(await server.workspace(), 4)
        try:
            for _ in range(12):
                async with server.client() as client:
                    synced = await client.synced()
                    await client.brought_to(synced["seq"] + 5)
                    taken = client.of("snapshot")[0]["seq"]
                    assert_dense(client, taken + 1, client.events[-1]["seq"])
        finally:
            await writers.stop()


async def test_digests_at_the_seam() -> None:
    """The digest of `state.synced` is that of the state at exactly its seq."""
    async with running() as server:
        await server.fill(5)
        writers = Writers(await server.workspace(), 2)
        told = []
        try:
            for _ in range(6):
                async with server.client() as client:
                    told.append(await client.synced())
        finally:
            await writers.stop()
        for synced in told:
            answer = await server.http("GET", f"/workspaces/home/state?at={synced['seq']}")
            assert answer.json["digest"] == synced["digest"] == digest_of(answer.json["state"])
            assert answer.json["event_id"] == synced["event_id"]


async def test_two_readers_see_the_same() -> None:
    """Two live clients get the same events in the same order."""
    async with running() as server, server.client() as one, server.client() as two:
        for number in range(30):
            await (one if number % 2 else two).add(f"c{number}")
        await one.until(lambda: len(one.events) == 30)
        await two.until(lambda: len(two.events) == 30)
        assert one.events == two.events
