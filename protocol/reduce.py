"""The fold: what an event makes of a state.

Duty: `reduce(state, event)`, the same pure function on both ends, and the bounds that keep a state small.
Must not know: whether an event should have happened (`decide`); here it has.

1. Total: an event about something that is not there, or of a type from tomorrow, changes nothing and raises
   nothing.
2. Deterministic and bounded: what is trimmed follows from the state and the event alone.
3. An open or waiting stream is never trimmed. The text of a streaming message is empty in state.
4. `protocol.REDUCER_VERSION` rises when the same events make another state.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import assert_never

import msgspec
from msgspec.structs import replace

from protocol import limits
from protocol.events import (
    DailyPlanComplete,
    DailyPlanStart,
    DigestCreated,
    Event,
    LlmCompleted,
    LlmInterrupted,
    MemberRemoved,
    MemberSet,
    MemoryAdded,
    MemoryRemoved,
    MemoryUpdated,
    MessageCreated,
    MessageStream,
    PlanGenerated,
    ProposalApproved,
    ProposalDeclined,
    Proposed,
    ReminderDismissed,
    ReminderFired,
    ReminderSet,
    ReminderSnoozed,
    SettingsUpdated,
    TaskCreated,
    TaskDeleted,
    TaskUpdated,
    ThreadCreated,
    ThreadUpdated,
    Unknown,
)
from protocol.state import (
    CLOSED,
    AssistantState,
    CollectionName,
    Message,
    MessageStatus,
    Plan,
    Proposal,
    Reminder,
    State,
    ThreadOrder,
    drop,
    put,
    put_assistant,
    put_settings,
)


def fold(state: State, events: Iterable[Event]) -> State:
    """The state after all of `events`, in their order."""
    for event in events:
        state = reduce(state, event)
    return state


def reduce(state: State, event: Event) -> State:  # one arm an event type: the table is the subject
    """The state after `event`."""
    match event.payload:
        case MessageCreated(entity=message):
            return _message_created(state, event, message)
        case MessageStream() as opened:
            return _stream_opened(state, event, opened)
        case LlmCompleted(message_id=message_id, text=text):
            return _stream_ended(state, message_id, text, "complete")
        case LlmInterrupted(message_id=message_id, text=text):
            return _stream_ended(state, message_id, text, "interrupted")
        case TaskCreated(entity=task):
            return _trim_tasks(put(state, "tasks", task))
        case TaskUpdated() as updated:
            return _task_updated(state, event, updated)
        case TaskDeleted(task_id=task_id):
            return drop(state, "tasks", task_id)
        case DailyPlanStart() as started:
            return _plan_started(state, event, started)
        case PlanGenerated() as generated:
            return _plan_generated(state, generated)
        case DailyPlanComplete() as completed:
            return _plan_completed(state, event, completed)
        case MemoryAdded(entity=memory):
            return put(state, "memory", memory)
        case MemoryUpdated(memory_id=memory_id, set=changed):
            return _patched(state, "memory", memory_id, changed)
        case MemoryRemoved(memory_id=memory_id):
            return drop(state, "memory", memory_id)
        case ReminderSet(entity=reminder):
            return _trim_reminders(put(state, "reminders", reminder))
        case ReminderDismissed(reminder_id=reminder_id):
            return _reminder(state, reminder_id, event, status="dismissed")
        case ReminderSnoozed(reminder_id=reminder_id, until=until):
            return _reminder(state, reminder_id, event, status="set", at=until)
        case ReminderFired(reminder_id=reminder_id):
            return _reminder(state, reminder_id, event, status="fired")
        case ThreadCreated(entity=thread):
            return put(state, "threads", thread)
        case ThreadUpdated(thread_id=thread_id, set=changed):
            return _patched(state, "threads", thread_id, changed)
        case SettingsUpdated(set=changed):
            return put_settings(state, replace(state.settings, **known_fields(changed)))
        case MemberSet(entity=member):
            return put(state, "members", member)
        case MemberRemoved(actor=actor):
            return drop(state, "members", actor)
        case Proposed(entity=proposal):
            return _trim_proposals(put(state, "proposals", proposal))
        case ProposalApproved(proposal_id=proposal_id) | ProposalDeclined(proposal_id=proposal_id):
            return _proposal_answered(state, event, proposal_id)
        case DigestCreated(entity=digest):
            return _trim_oldest(put(state, "digests", digest), "digests", limits.digests_max)
        case Unknown():
            return state
        case unreachable:
            assert_never(unreachable)


def known_fields(changed: msgspec.Struct) -> dict[str, object]:
    """The fields that a partial payload speaks of."""
    unset = msgspec.UNSET
    return {
        name: value for name in changed.__struct_fields__ if (value := getattr(changed, name)) is not unset
    }


def _message_created(state: State, event: Event, message: Message) -> State:
    state = put(state, "messages", replace(message, seq=event.seq))
    if message.status == "waiting":
        waiting = (*state.assistant.waiting, message.message_id)
        state = put_assistant(state, replace(state.assistant, waiting=waiting))
    return _trim_messages(state, message.thread_id)


def _stream_opened(state: State, event: Event, opened: MessageStream) -> State:
    answer = Message(
        message_id=opened.message_id,
        thread_id=opened.thread_id,
        role="assistant",
        author="assistant",
        text="",
        status="streaming",
        reply_to=opened.reply_to,
        model=opened.model,
        created_at=event.timestamp,
        seq=event.seq,
    )
    state = put(state, "messages", answer)
    question = state.messages.get(opened.reply_to)
    if question is not None and question.status == "waiting":
        state = put(state, "messages", replace(question, status="complete"))
    assistant = AssistantState(
        streaming=(*state.assistant.streaming, opened.message_id),
        waiting=_without(state.assistant.waiting, opened.reply_to),
    )
    return _trim_messages(put_assistant(state, assistant), opened.thread_id)


def _stream_ended(state: State, message_id: str, text: str, status: MessageStatus) -> State:
    message = state.messages.get(message_id)
    if message is None or message.status != "streaming":
        return state
    state = put(state, "messages", replace(message, text=text, status=status))
    streaming = _without(state.assistant.streaming, message_id)
    state = put_assistant(state, replace(state.assistant, streaming=streaming))
    return _trim_messages(state, message.thread_id)


def _task_updated(state: State, event: Event, updated: TaskUpdated) -> State:
    task = state.tasks.get(updated.task_id)
    if task is None:
        return state
    changed = known_fields(updated.set)
    closed = changed.get("status", task.status) in CLOSED
    closed_at = (task.closed_at or event.timestamp) if closed else None
    task = replace(task, version=updated.version, updated_at=event.timestamp, closed_at=closed_at, **changed)
    return _trim_tasks(put(state, "tasks", task))


def _plan_started(state: State, event: Event, started: DailyPlanStart) -> State:
    last = state.plans.get(started.date)
    plan = Plan(
        plan_id=started.plan_id,
        date=started.date,
        blocks=last.blocks if last else (),
        summary=last.summary if last else "",
        source=last.source if last else None,
        created_at=event.timestamp,
        created_by=event.actor,
    )
    return _trim_plans(put(state, "plans", plan))


def _plan_generated(state: State, generated: PlanGenerated) -> State:
    plan = state.plans.get(generated.date)
    if plan is None or plan.plan_id != generated.plan_id:
        return state
    plan = replace(plan, blocks=generated.blocks, summary=generated.summary, source=generated.source)
    return put(state, "plans", plan)


def _plan_completed(state: State, event: Event, completed: DailyPlanComplete) -> State:
    plan = state.plans.get(completed.date)
    if plan is None or plan.plan_id != completed.plan_id:
        return state
    status = "complete" if completed.status == "complete" else "failed"
    plan = replace(plan, status=status, error=completed.error, completed_at=event.timestamp)
    return put(state, "plans", plan)


def _trim_plans(state: State) -> State:
    """Drop the plan that was made first; one that is still being made goes last, its workflow needs it."""
    if len(state.plans) <= limits.plans_max:
        return state
    return drop(state, "plans", min(state.plans.values(), key=_plan_age).date)


def _plan_age(plan: Plan) -> tuple[bool, str, str]:
    return plan.status == "running", plan.created_at, plan.date


def _reminder(state: State, reminder_id: str, event: Event, **changed: str) -> State:
    reminder = state.reminders.get(reminder_id)
    if reminder is None:
        return state
    fired_at = event.timestamp if changed["status"] == "fired" else reminder.fired_at
    return _trim_reminders(put(state, "reminders", replace(reminder, fired_at=fired_at, **changed)))


def _trim_reminders(state: State) -> State:
    past = [one for one in state.reminders.values() if one.status != "set"]
    if len(past) <= limits.fired_reminders_max:
        return state
    return drop(state, "reminders", min(past, key=_reminder_age).reminder_id)


def _reminder_age(reminder: Reminder) -> tuple[str, str]:
    return reminder.fired_at or reminder.at, reminder.reminder_id


def _proposal_answered(state: State, event: Event, proposal_id: str) -> State:
    proposal = state.proposals.get(proposal_id)
    if proposal is None:
        return state
    status = "approved" if isinstance(event.payload, ProposalApproved) else "declined"
    answered = replace(proposal, status=status, answered_by=event.actor, answered_at=event.timestamp)
    return _trim_proposals(put(state, "proposals", answered))


def _trim_proposals(state: State) -> State:
    settled = [one for one in state.proposals.values() if one.status != "open"]
    if len(settled) <= limits.settled_proposals_max:
        return state
    return drop(state, "proposals", min(settled, key=_proposal_age).proposal_id)


def _proposal_age(proposal: Proposal) -> tuple[str, str]:
    return proposal.answered_at or "", proposal.proposal_id


def _patched(state: State, collection: CollectionName, key: str, changed: msgspec.Struct) -> State:
    entry = getattr(state, collection).get(key)
    return state if entry is None else put(state, collection, replace(entry, **known_fields(changed)))


def _trim_tasks(state: State) -> State:
    closed = state.order.closed_tasks
    return drop(state, "tasks", closed[0][1]) if len(closed) > limits.closed_tasks_max else state


def _trim_oldest(state: State, collection: CollectionName, most: int) -> State:
    table = getattr(state, collection)
    if len(table) <= most:
        return state
    return drop(state, collection, min(table, key=lambda key: (table[key].created_at, key)))


def _trim_messages(state: State, thread_id: str) -> State:
    """Drop the oldest ended messages until the thread is in its bounds; the newest one always stays."""
    order = state.order.threads.get(thread_id)
    if order is None or _in_bounds(order):
        return state
    for _, message_id in order.messages[:-1]:
        if state.messages[message_id].status in ("streaming", "waiting"):
            continue
        state = drop(state, "messages", message_id)
        if _in_bounds(state.order.threads[thread_id]):
            break
    return state


def _in_bounds(order: ThreadOrder) -> bool:
    few = len(order.messages) <= limits.thread_messages_max
    return few and order.text_bytes <= limits.thread_text_bytes_max


def _without(items: tuple[str, ...], item: str) -> tuple[str, ...]:
    return tuple(one for one in items if one != item)
