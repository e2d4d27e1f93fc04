"""The plan as a workflow: once, whatever dies when. It is Monday, 23 November 2026, 09:00 in Berlin."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import pytest

from protocol.errors import Refused
from server.assistant.planner import PlanResult
from server.ledger.port import LedgerUnavailable
from server.workflows.daily_plan import DailyPlan
from server.workspace import Applied, Producer, Workspace, WorkspaceUnavailable
from tests.support.clocks import VirtualClock, settle
from tests.support.ledgers import FaultyLedger
from tests.support.workspaces import House

DATE = "2026-11-23"
WHOLE = ["daily_plan.start", "assistant.plan.generated", "daily_plan.complete"]


def producers(clock: VirtualClock) -> Sequence[Producer]:
    return [DailyPlan(clock)]


async def plan_types(house: House) -> list[str]:
    return [one for one in await house.types() if "plan" in one]


async def furnished(house: House) -> None:
    await house.open()
    await house.act("ana", "user.create_task", {"title": "Report", "due": DATE, "minutes": 60})
    await house.act("ana", "user.create_task", {"title": "Swim"})


async def test_a_plan_is_started_generated_and_complete() -> None:
    """Three events, in this order, with who did it and why."""
    house = House(producers)
    await furnished(house)
    await house.act("ana", "user.request_plan", {})
    await settle()
    start, generated, complete = [one for one in await house.events() if "plan" in one.type]
    assert [one.type for one in (start, generated, complete)] == WHOLE
    assert [one.actor for one in (start, generated, complete)] == ["ana", "assistant", "system"]
    assert generated.because == complete.because == start.event_id
    plan = house.state.plans[DATE]
    assert (plan.status, plan.source, plan.error) == ("complete", "planner", None)
    assert [(block.title, block.minutes, block.reason) for block in plan.blocks] == [
        ("Report", 60, "due today"),
        ("Swim", 30, "there is room for it"),
    ]
    assert plan.summary == "2 blocks today from 09:00 to 10:30, 1 h 30 min of work."
    await house.close()


class Dying(DailyPlan):
    """A workflow whose process dies around a step; `steps` is shared by its lives."""

    def __init__(self, clock: VirtualClock, die_at: list[str]) -> None:
        super().__init__(clock)
        self._die_at = die_at

    async def opened(self, workspace: Workspace) -> None:
        self._watch(workspace)
        await super().opened(workspace)

    def _watch(self, workspace: Workspace) -> None:
        submit = workspace.submit

        async def deadly(
            actor: str, kind: str, action_id: str, payload: bytes, *, because: str | None = None
        ) -> Applied | Refused:
            if self._die_at == [f"before {kind}"]:
                self._die_at.clear()
                raise WorkspaceUnavailable("dead")
            outcome = await submit(actor, kind, action_id, payload, because=because)
            if self._die_at == [f"after {kind}"]:
                self._die_at.clear()
                raise WorkspaceUnavailable("dead")
            return outcome

        workspace.submit = deadly  # type: ignore[method-assign,assignment]  # the place where this process dies


@pytest.mark.parametrize(
    "moment",
    [
        *("before assistant.plan", "after assistant.plan"),
        *("before system.complete_plan", "after system.complete_plan"),
    ],
)
async def test_a_death_between_any_two_steps(moment: str) -> None:
    """The next life goes on from what is durable, and each step has had its effect once."""
    die_at = [moment]
    house = House(lambda clock: [Dying(clock, die_at)])
    await furnished(house)
    await house.act("ana", "user.request_plan", {})
    await settle()
    assert not die_at
    await house.crash()
    await house.open()
    await settle()
    assert await plan_types(house) == WHOLE
    assert house.state.plans[DATE].status == "complete"
    await house.open()
    await settle()
    assert await plan_types(house) == WHOLE
    await house.close()


async def test_a_death_before_the_workflow_heard_of_it() -> None:
    """A start that no workflow saw is found from state."""
    house = House(lambda clock: [])
    await furnished(house)
    await house.act("ana", "user.request_plan", {})
    later = House(producers, house.ledger)
    await later.open()
    await settle()
    assert await plan_types(later) == WHOLE
    await later.close()


async def test_the_first_blocks_stay_whatever_a_second_try_makes() -> None:
    """After a death behind the blocks, a plan made anew at another time does not replace them."""
    die_at = ["after assistant.plan"]
    house = House(lambda clock: [Dying(clock, die_at)])
    await furnished(house)
    await house.act("ana", "user.request_plan", {})
    await settle()
    await house.crash()
    blocks = house.state.plans[DATE].blocks
    assert blocks
    await house.clock.advance(3 * 3600)
    await house.open()
    await settle()
    assert house.state.plans[DATE].blocks == blocks
    await house.close()


async def test_a_ledger_that_fails_under_a_step() -> None:
    """Where nobody knows whether a step was written, the next life does it under the same id."""
    for kept in (True, False):
        ledger = FaultyLedger()
        house = House(producers, ledger)
        await furnished(house)
        ledger.hold()
        requested = house.act("ana", "user.request_plan", {}, "c-plan")
        ledger.release()
        await requested
        ledger.fail_next(LedgerUnavailable("the disk is gone"), kept=kept)
        await settle()
        await house.close()
        await ledger.reopen()
        await house.open()
        await settle()
        assert await plan_types(house) == WHOLE
        await house.close()


async def test_a_step_that_cannot_be_submitted_now_is_tried_again() -> None:
    """While the workspace is there, the same step is tried until it settles."""
    die_at = ["before assistant.plan"]
    house = House(lambda clock: [Dying(clock, die_at)])
    await furnished(house)
    await house.act("ana", "user.request_plan", {})
    await settle()
    assert await plan_types(house) == WHOLE[:1]
    await house.clock.advance(5)
    assert await plan_types(house) == WHOLE
    await house.close()


async def test_a_planner_that_raises_ends_in_failed(caplog: pytest.LogCaptureFixture) -> None:
    """The plan is `failed` with a plain reason, the old blocks stay, and a new request makes a new plan."""

    class Broken(DailyPlan):
        works = True

        def plan(self, workspace: Workspace, date: str) -> PlanResult:
            if not self.works:
                raise ZeroDivisionError("secret")
            return super().plan(workspace, date)

    house = House(lambda clock: [Broken(clock)])
    await furnished(house)
    await house.act("ana", "user.request_plan", {})
    await settle()
    Broken.works = False
    with caplog.at_level(logging.CRITICAL):
        await house.act("ana", "user.request_plan", {})
        await settle()
    plan = house.state.plans[DATE]
    assert (plan.status, len(plan.blocks)) == ("failed", 2)
    assert plan.error == "The planner met something that it could not deal with."
    Broken.works = True
    await house.act("ana", "user.request_plan", {})
    await settle()
    assert house.state.plans[DATE].status == "complete"
    await house.close()


async def test_a_request_while_one_runs_changes_nothing() -> None:
    """The workflow runs once for a date, and once more when asked again after its end."""
    house = House(producers)
    await furnished(house)
    for number in range(3):
        await house.act("ana", "user.request_plan", {"date": "2026-11-24"}, f"c-plan-{number}")
    await settle()
    types = await plan_types(house)
    assert types.count("daily_plan.start") == types.count("daily_plan.complete")
    await house.act("ana", "user.request_plan", {"date": "9999-12-31"})
    await settle()
    assert house.state.plans["9999-12-31"].status == "complete"
    await house.close()
