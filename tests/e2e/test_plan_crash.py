"""The plan of the day as a workflow of a real process: killed between its steps, it completes once."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import Any

import pytest

from tests.support.raw import http_request
from tests.support.servers import ServerProcess, server_process

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

STEPS = ("daily_plan.start", "assistant.plan.generated", "daily_plan.complete")
ROUNDS = 12


async def events_of(server: ServerProcess, token: str) -> list[dict[str, Any]]:
    """The whole ledger over HTTP."""
    answer = await http_request(server.where, "GET", "/workspaces/home/events?after=0", token=token)
    return [json.loads(line) for line in answer.body.splitlines()]


async def completed(server: ServerProcess, token: str, plan_id: object) -> None:
    """Wait until a plan is complete."""
    async with asyncio.timeout(20):
        while True:
            events = await events_of(server, token)
            ended = {
                event["payload"]["plan_id"] for event in events if event["type"] == "daily_plan.complete"
            }
            if plan_id in ended:
                return


async def test_a_plan_completes_once_whenever_the_server_dies() -> None:
    """kill -9 at any moment after the plan was accepted: after the restart each step is in the ledger once."""
    with server_process() as server:
        token = server.token()
        for number in range(ROUNDS):
            body = {
                "type": "user.request_plan",
                "client_action_id": f"plan-{number}",
                "payload": {"date": f"2026-12-{number + 1:02d}"},
            }
            answer = await http_request(
                server.where, "POST", "/workspaces/home/events", token=token, body=body
            )
            assert answer.status == 200, answer.body
            # From at once to a little later than a plan takes: reads pass the time between the steps.
            for _ in range(number % 4):
                await events_of(server, token)
            server.kill9()
            server.start()
            started = [event for event in await events_of(server, token) if event["type"] == STEPS[0]]
            await completed(server, token, started[-1]["payload"]["plan_id"])
        events = await events_of(server, token)
    counts = Counter((event["type"], event["payload"].get("plan_id")) for event in events)
    plans = {plan_id for kind, plan_id in counts if kind == STEPS[0]}
    assert len(plans) == ROUNDS
    assert {counts[step, plan_id] for step in STEPS for plan_id in plans} == {1}
