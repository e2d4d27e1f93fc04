"""The rules of plans: one at a time for a date, made by its own workflow."""

from __future__ import annotations

import pytest

from protocol import limits
from protocol.actions import derived_id
from protocol.events import DailyPlanComplete, DailyPlanStart, PlanGenerated
from protocol.state import Settings
from tests.support.fixtures import a_block, a_context, a_plan, a_state, an_action, decided, refusal

TODAY = "2026-11-22"
BLOCK = {"task_id": "t1", "title": "Buy milk", "start": a_block().start, "minutes": 30, "reason": "due today"}


def test_a_plan_starts_at_once() -> None:
    """Its id follows from the action."""
    action = an_action("user.request_plan", date="2026-12-24")
    payloads, state = decided(a_state(), action)
    assert payloads == (DailyPlanStart(plan_id=derived_id("ana", action), date="2026-12-24"),)
    assert state.plans["2026-12-24"].status == "running"


@pytest.mark.parametrize(
    ("zone", "date"), [("UTC", TODAY), ("Pacific/Kiritimati", "2026-11-23"), ("Nowhere/Here", TODAY)]
)
def test_a_plan_without_a_date_is_for_today(zone: str, date: str) -> None:
    """The day that it is in the workspace's zone."""
    (started,), _ = decided(a_state(settings=Settings(timezone=zone)), an_action("user.request_plan"))
    assert isinstance(started, DailyPlanStart)
    assert started.date == date


def test_a_plan_that_runs_is_not_started_again() -> None:
    """Applied, no event; another date, or one that has ended, starts."""
    running = a_state(a_plan(TODAY))
    assert decided(running, an_action("user.request_plan", date=TODAY))[0] == ()
    assert decided(running, an_action("user.request_plan", date="2026-11-23"))[0]
    assert decided(a_state(a_plan(TODAY, status="failed")), an_action("user.request_plan"))[0]


@pytest.mark.parametrize("date", ["tomorrow", "2026-02-30", "2026-11-22T00:00:00Z"])
def test_a_plan_is_for_a_date(date: str) -> None:
    """Anything else is refused with an example."""
    refused = refusal(a_state(), an_action("user.request_plan", date=date))
    assert (refused.code, refused.field) == ("invalid", "date")
    assert "2026-11-22" in refused.message


def test_too_many_plans_at_once() -> None:
    """Sixty may be in the making; state holds no more."""
    plans = [
        a_plan(f"2026-{place // 28 + 1:02}-{place % 28 + 1:02}", plan_id=f"p{place}") for place in range(60)
    ]
    assert len(plans) == limits.plans_max
    assert refusal(a_state(*plans), an_action("user.request_plan", date=TODAY)).code == "limit"
    assert decided(a_state(*plans[1:]), an_action("user.request_plan", date=TODAY))[0]


def generate(plan_id: str = "p1") -> object:
    return an_action(
        "assistant.plan", plan_id=plan_id, blocks=[BLOCK], summary="One thing.", source="builtin"
    )


def test_the_workflow_makes_and_completes_a_plan() -> None:
    """Blocks first, then the end; both are events of the plan's date."""
    payloads, state = decided(a_state(a_plan(TODAY)), generate(), a_context("assistant"))  # type: ignore[arg-type]  # an action
    assert payloads == (
        PlanGenerated(plan_id="p1", date=TODAY, blocks=(a_block(),), summary="One thing.", source="builtin"),
    )
    complete = an_action("system.complete_plan", plan_id="p1", status="complete")
    payloads, state = decided(state, complete, a_context("system"))
    assert payloads == (DailyPlanComplete(plan_id="p1", date=TODAY, status="complete"),)
    assert (state.plans[TODAY].status, state.plans[TODAY].blocks) == ("complete", (a_block(),))


@pytest.mark.parametrize("plan", [a_plan(TODAY, status="complete"), a_plan(TODAY, plan_id="p2")])
def test_a_workflow_that_comes_late_does_nothing(plan: object) -> None:
    """A plan that has ended, or was replaced, is left alone: applied, no event."""
    state = a_state(plan)  # type: ignore[arg-type]  # a plan
    assert decided(state, generate(), a_context("assistant"))[0] == ()  # type: ignore[arg-type]  # an action
    late = an_action("system.complete_plan", plan_id="p1", status="complete")
    assert decided(state, late, a_context("system"))[0] == ()


def test_a_plan_that_failed_says_why() -> None:
    """The error is for the person."""
    failed = an_action("system.complete_plan", plan_id="p1", status="failed", error="There is no model.")
    _, state = decided(a_state(a_plan(TODAY)), failed, a_context("system"))
    assert (state.plans[TODAY].status, state.plans[TODAY].error) == ("failed", "There is no model.")
