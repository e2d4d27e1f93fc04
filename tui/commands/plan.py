"""`obelisk plan`: ask for the plan of a day, wait until it is made, show it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from protocol.client.clock import SystemClock
from protocol.events import DailyPlanComplete, DailyPlanStart, Event, PlanGenerated
from protocol.text import inert_line
from protocol.times import local, parse_date, today
from tui.commands.session import Session
from tui.exits import Ended, Exit
from tui.output import block_line


async def run(session: Session, asked: argparse.Namespace) -> int:
    """Request the plan and follow its workflow; one that is being made already is waited for."""
    if asked.date is not None and parse_date(asked.date) is None:
        raise Ended(Exit.USAGE, "--date takes a date such as 2026-11-22")
    await session.reach()
    acked = await session.act("user.request_plan", {"date": asked.date} if asked.date else {})
    events = await session.events_of(acked)
    session.printer.events(events)
    started = next((one.payload for one in events if isinstance(one.payload, DailyPlanStart)), None)
    if started is not None:
        return await _follow(session, started.plan_id, events[-1].seq, is_ours=True)
    return await _follow_running(session, asked.date)


async def _follow_running(session: Session, date: str | None) -> int:
    """The action gave nothing: a plan for that date was being made; scripts get no events of it."""
    wanted = date or today(SystemClock().now(), session.state.settings.timezone)
    session.printer.note(f"a plan for {wanted} is being made already")
    plan = session.state.plans.get(wanted)
    if plan is None or plan.status != "running":
        return Exit.DONE
    return await _follow(session, plan.plan_id, session.client.replica.head.seq, is_ours=False)


async def _follow(session: Session, plan_id: str, after: int, *, is_ours: bool) -> int:
    async for item in session.follow(after):
        if not isinstance(item, Event) or not _is_of(item, plan_id):
            continue
        if is_ours:
            session.printer.events([item])
        match item.payload:
            case PlanGenerated() as made:
                show(session, made)
            case DailyPlanComplete(status="complete"):
                return Exit.DONE
            case DailyPlanComplete(error=error):
                raise Ended(
                    Exit.REJECTED, f"the plan was not made: {inert_line(error or 'no reason is known')}"
                )
            case _:
                continue
    raise AssertionError("what is followed has no end")


def _is_of(event: Event, plan_id: str) -> bool:
    payload = event.payload
    return isinstance(payload, PlanGenerated | DailyPlanComplete) and payload.plan_id == plan_id


def show(session: Session, plan: PlanGenerated) -> None:
    """A plan for people, its times on the clocks of the workspace."""
    zone = session.state.settings.timezone
    for line in lines_of(plan, zone):
        session.printer.text(line)


def lines_of(plan: PlanGenerated, zone: str) -> Sequence[str]:
    """The lines of a plan: its date, its blocks, its summary."""
    blocks = [block_line(block, local(block.start, zone).strftime("%H:%M")) for block in plan.blocks]
    return [f"Plan for {inert_line(plan.date)}", *blocks, inert_line(plan.summary)]
