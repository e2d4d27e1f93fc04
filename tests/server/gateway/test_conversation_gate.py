"""The output gate: of what is not durable nobody hears, on no road; and what a failed commit does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from server.ledger.port import LedgerUnavailable
from tests.support.ledgers import FaultyLedger
from tests.support.raw import Answer
from tests.support.servers import Local, running
from tests.support.wait import until


@asynccontextmanager
async def held() -> AsyncIterator[tuple[Local, FaultyLedger]]:
    """A server with an owner and one task, whose further commits wait until they are released."""
    ledger = FaultyLedger()
    async with running(ledger=ledger) as server:
        await server.act("user.create_task", "c1", task_id="t1", title="Buy milk")
        await server.token()
        ledger.hold()
        try:
            yield server, ledger
        finally:
            ledger.heal()
            ledger.release()


async def flushing(ledger: FaultyLedger) -> None:
    """Wait until a commit is held."""
    async with asyncio.timeout(5):
        await ledger.flushing.wait()


async def state_of(server: Local) -> dict[str, Any]:
    """What `GET state` says."""
    answer: dict[str, Any] = (await server.http("GET", "/workspaces/home/state")).json
    return answer


# Held


async def test_no_frame_before_the_commit() -> None:
    """Neither the sender nor a bystander hears of an action before its commit; then the event, then the ack."""
    async with held() as (server, ledger), server.client() as sender, server.client() as other:
        await sender.add("c2", "Buy tea")
        await flushing(ledger)
        await other.send({"type": "presence", "typing": False, "focus": "x"})
        await sender.until(lambda: sender.of("presence")[-1]["members"][-1]["focus"] == "x")
        assert sender.outcome_of("c2") is None
        assert sender.events == other.events == []
        ledger.release()
        await sender.settled("c2")
        await other.brought_to(sender.seq)
        assert [one["client_action_id"] for one in sender.events] == ["c2"]


async def test_no_read_before_the_commit() -> None:
    """No read over HTTP shows an undurable action: state, replay, events, head, the stored outcome."""
    async with held() as (server, ledger), server.client() as sender:
        before = await state_of(server)
        await sender.add("c2", "Buy tea")
        await flushing(ledger)
        assert await state_of(server) == before
        seq, event_id = before["seq"], before["event_id"]
        since = (await server.http("GET", f"/workspaces/home/state?since={event_id}")).json
        assert (since["events"], since["head"]) == ([], {"seq": seq, "event_id": event_id})
        assert (await server.http("GET", f"/workspaces/home/events?after={seq}")).body == b""
        assert (await server.http("GET", f"/workspaces/home/state?at={seq + 1}")).status == 404
        assert (await server.http("GET", "/workspaces/home/actions/c2")).status == 404
        assert (await server.http("GET", "/workspaces")).json[0]["head"]["seq"] == seq
        ledger.release()
        await sender.settled("c2")
        assert (await state_of(server))["seq"] == seq + 1
        assert (await server.http("GET", "/workspaces/home/actions/c2")).json["seq"] == seq + 1


@pytest.mark.parametrize("want", ["state", "events"])
async def test_no_newcomer_sees_it(want: str) -> None:
    """Who connects meanwhile gets welcome, snapshot or replay, and `state.synced` of the durable head only."""
    async with held() as (server, ledger), server.client() as sender:
        seq = (await state_of(server))["seq"]
        await sender.add("c2", "Buy tea")
        await flushing(ledger)
        async with server.client(want=want) as newcomer:
            assert newcomer.frames[0]["head"]["seq"] == seq
            assert (await newcomer.synced())["seq"] == seq
            assert all(one["client_action_id"] != "c2" for one in newcomer.events)
            for snapshot in newcomer.of("snapshot"):
                assert list(snapshot["state"]["tasks"]) == ["t1"]
            ledger.release()
            await newcomer.brought_to(seq + 1)


async def test_no_reject_before_what_it_was_judged_on() -> None:
    """A reject that follows from an undurable action waits for its commit."""
    async with held() as (server, ledger), server.client() as sender, server.client() as other:
        await sender.add("c2", task_id="t2")
        await flushing(ledger)
        await other.add("c3", task_id="t2")
        await other.act("user.update_task", "c4", task_id="t2", title="Buy milk")
        await other.act("user.nonsense", "c5")
        await server.http("GET", "/healthz")
        assert all(other.outcome_of(one) is None for one in ("c3", "c4", "c5"))
        ledger.release()
        assert (await other.settled("c3"))["code"] == "conflict"
        assert (await other.settled("c4"))["seq"] is None
        assert (await other.settled("c5"))["code"] == "invalid"
        reject = await other.settled("c3")
        assert other.place_of(other.of("events")[0]) < other.place_of(reject)


async def test_a_duplicate_waits_for_the_first() -> None:
    """A repeat over another road, while the first is in flight, is answered with it and not before."""
    async with held() as (server, ledger), server.client() as sender:
        await sender.add("c2", "Buy tea")
        await flushing(ledger)
        repeat = asyncio.ensure_future(post(server, "c2", "Buy tea"))
        await server.http("GET", "/healthz")
        assert not repeat.done()
        ledger.release()
        answer = await repeat
        assert (answer.status, answer.json["status"]) == (200, "duplicate")


async def post(server: Local, client_action_id: str, title: str = "Buy milk") -> Answer:
    """Create a task over HTTP."""
    body = {"type": "user.create_task", "client_action_id": client_action_id, "payload": {"title": title}}
    return await server.http("POST", "/workspaces/home/events", body=body)


# Failed


@pytest.mark.parametrize("kept", [False, True])
async def test_a_failed_commit(kept: bool) -> None:
    """After a commit that failed sockets close with 4503, HTTP says 503 `unknown`; the same ids settle it, once each."""
    async with held() as (server, ledger):
        async with server.client() as sender, server.client() as other, server.connect() as silent:
            await sender.add("c2", "Buy tea")
            await flushing(ledger)
            asked = asyncio.ensure_future(post(server, "c3"))
            await until(lambda: server.server.commits.depth == 2)
            ledger.fail_next(LedgerUnavailable("the disk is gone"), kept=kept)
            ledger.release()
            assert [await one.closed() for one in (sender, other, silent)] == [4503] * 3
            assert sender.outcome_of("c2") is None
            assert sender.events == []
            answer = await asked
            assert answer.status == 503
            assert (answer.json["code"], answer.json["outcome"]) == ("unavailable", "unknown")
            assert answer.json["retryable"] is True
        await until(lambda: server.server.commits.failure is None)
        async with server.client(want="events") as back:
            ack = await back.done("user.create_task", "c2", title="Buy tea")
            assert ack["status"] == ("duplicate" if kept else "applied")
            await post(server, "c3")
            await back.brought_to(ack["seq"])
            await back.done("user.remember", "c4", text="tea")
            acted = [one["client_action_id"] for one in back.events]
            assert [acted.count(one) for one in ("c1", "c2", "c3", "c4")] == [1, 1, 1, 1]
            assert [one["seq"] for one in back.events] == list(range(1, back.seq + 1))


async def test_while_the_ledger_is_away() -> None:
    """While the ledger cannot be reopened everything says so: `readyz`, HTTP, a handshake; `healthz` lives."""
    async with held() as (server, ledger), server.client() as sender:
        for _ in range(50):
            ledger.fail_next(LedgerUnavailable("the disk is gone"))
        await sender.add("c2", "Buy tea")
        await flushing(ledger)
        ledger.release()
        assert await sender.closed() == 4503
        ready = await server.http("GET", "/readyz")
        assert (ready.status, ready.json["code"]) == (503, "unavailable")
        assert (await server.http("GET", "/healthz")).status == 200
        refused = await post(server, "c3")
        assert (refused.status, refused.json["code"]) == (503, "unavailable")
        ledger.heal()
        await until(lambda: server.server.commits.failure is None, timeout_s=8)
        assert (await server.http("GET", "/readyz")).status == 200
        assert (await post(server, "c3")).status == 200


async def test_an_other_workspace_after_a_failure() -> None:
    """A workspace that had nothing in flight is opened anew too: its clients are cut and come back."""
    async with held() as (server, ledger):
        ledger.release()
        await server.token(workspace="other")
        ledger.hold()
        stale = await server.workspace("other")
        async with server.client() as sender, server.client(workspace="other") as other:
            await sender.add("c2")
            await flushing(ledger)
            ledger.fail_next(LedgerUnavailable("the disk is gone"))
            ledger.release()
            assert await other.closed() == 4503
        await until(lambda: server.server.commits.failure is None)
        assert stale.broken is not None
        async with server.client(workspace="other") as back:
            assert (await back.done("user.remember", "c1", text="tea"))["status"] == "applied"
        assert await server.workspace("other") is not stale


async def test_a_failed_segment() -> None:
    """A commit of nothing but streamed text that fails is an outage too: the server notices and comes back."""
    async with held() as (server, ledger):
        ledger.release()
        await server.act("user.message", "q1", text="hello")
        ledger.hold()
        workspace = await server.workspace()
        (answer,) = workspace.committed.state.assistant.streaming
        workspace.save_segment(answer, 0, "hello")
        await flushing(ledger)
        ledger.fail_next(LedgerUnavailable("the disk is gone"))
        ledger.release()
        await until(lambda: server.server.commits.failure is not None)
        await post(server, "c2")
        await until(lambda: server.server.commits.failure is None)
        assert (await post(server, "c2")).status == 200


async def test_nothing_overtakes_an_unavailable_action() -> None:
    """Behind a retryable reject nothing that was sent is decided: no later action overtakes an earlier one."""
    async with held() as (server, ledger):
        async with server.client() as sender:
            await sender.add("c2")
            await flushing(ledger)
            for number in range(3, 30):
                await sender.add(f"c{number}")
            ledger.fail_next(LedgerUnavailable("the disk is gone"))
            ledger.release()
            assert await sender.closed() == 4503
            assert all(one["retryable"] and one["code"] == "unavailable" for one in sender.of("reject"))
            assert sender.of("ack") == []
        await until(lambda: server.server.commits.failure is None)
        async with server.client(want="events") as back:
            acted = [one["client_action_id"] for one in back.events]
            assert not {f"c{number}" for number in range(2, 30)} & set(acted)
