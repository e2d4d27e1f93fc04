"""The plan of a day as a workflow: started, generated, complete, each once.

Duty: for each plan that runs: read the state, plan, submit the blocks, submit the end.
Must not know: how a plan is made (`planner`), who asked for it.

1. A step's action has an id that follows from the plan, so a step that is repeated has its effect once.
2. What is unfinished is found from state when the workspace is opened, and is gone on with.
3. A plan ends, whatever happens: with `complete`, or with `failed` and a reason in plain words.
"""

from __future__ import annotations

import logging
from typing import Final

from protocol import ids
from protocol.errors import Refused
from protocol.events import DailyPlanStart
from server.assistant import planner
from server.assistant.planner import PlanResult
from server.clock import Clock
from server.workflows.jobs import Jobs, settled
from server.workspace import Commit, Workspace

SOURCE: Final = "planner"
log = logging.getLogger("obelisk.plan")


class DailyPlan:
    """The producer of plans."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._jobs = Jobs()

    async def opened(self, workspace: Workspace) -> None:
        """Go on with every plan that runs."""
        for plan in workspace.committed.state.plans.values():
            if plan.status == "running":
                self._start(workspace, plan.plan_id, plan.date, None)

    def committed(self, workspace: Workspace, commit: Commit) -> None:
        """Start what was asked for."""
        if self._jobs.closed:
            return
        for event in commit.events:
            match event.payload:
                case DailyPlanStart(plan_id=plan_id, date=date):
                    self._start(workspace, plan_id, date, event.event_id)
                case _:
                    pass

    async def close(self, workspace: Workspace | None = None) -> None:
        """Stop; the next opening goes on."""
        await self._jobs.close(workspace)

    def _start(self, workspace: Workspace, plan_id: str, date: str, because: str | None) -> None:
        self._jobs.start(workspace, f"plan {plan_id}", lambda: self._work(workspace, plan_id, date, because))

    async def _work(self, workspace: Workspace, plan_id: str, date: str, because: str | None) -> None:
        error = await self._generate(workspace, plan_id, date, because)
        fields = {"plan_id": plan_id, "status": "failed" if error else "complete", "error": error}
        await settled(
            workspace,
            self._clock,
            actor="system",
            action_type="system.complete_plan",
            action_id=ids.derive("plan.complete", plan_id),
            fields=fields,
            because=because,
        )

    async def _generate(
        self, workspace: Workspace, plan_id: str, date: str, because: str | None
    ) -> str | None:
        """The blocks in the ledger; why they are not, in plain words."""
        try:
            result = self.plan(workspace, date)
        except Exception:
            log.exception("plan %s of %s could not be made", plan_id, date)
            return "The planner met something that it could not deal with."
        outcome = await settled(
            workspace,
            self._clock,
            actor="assistant",
            action_type="assistant.plan",
            action_id=ids.derive("plan", plan_id),
            fields={"plan_id": plan_id, "blocks": result.blocks, "summary": result.summary, "source": SOURCE},
            because=because,
        )
        return outcome.message if isinstance(outcome, Refused) else None

    def plan(self, workspace: Workspace, date: str) -> PlanResult:
        """The plan as it would be now."""
        state = workspace.committed.state
        return planner.plan(state, date, now=self._clock.now(), zone=state.settings.timezone)
