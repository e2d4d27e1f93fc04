"""The rules: what an action does to a state, or why it does not.

Duty: `decide(state, action, context)`: the events an action gives, or a refusal. The same on both ends: the
server's answer counts, the client's is the prediction that it shows until then.
Must not know: clocks, ledgers, sockets, who else is connected.

1. Pure: the same arguments give the same answer; time, ids and what state no longer holds come in the
   context.
2. An action gives 0 to n events, all or none; nothing changed gives none.
3. A refusal is a value. `not_found` and `conflict` are judged against state, the other codes are not.
4. Who may: `owner` everything, `editor` all but settings and members, `viewer` nothing; `assistant.*` and
   `system.*` only the server's own producers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NoReturn, TypeVar, assert_never

import msgspec
from msgspec.structs import replace

from protocol import ids, limits, times
from protocol.actions import (
    Action,
    ApproveProposal,
    Batch,
    CompleteAnswer,
    CompletePlan,
    CreateTask,
    CreateThread,
    DeclineProposal,
    DeleteTask,
    DismissReminder,
    Forget,
    GeneratePlan,
    Interrupt,
    InterruptAnswer,
    OpenAnswer,
    Remember,
    RemoveMember,
    RequestPlan,
    SendMessage,
    SetMember,
    SetReminder,
    SnoozeReminder,
    Undo,
    UpdateMemory,
    UpdateSettings,
    UpdateTask,
    UpdateThread,
    answer_id,
    derived_id,
    is_internal,
)
from protocol.errors import Refused, RejectCode
from protocol.events import (
    TYPE_OF,
    UNSET,
    DailyPlanComplete,
    DailyPlanStart,
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
    Payload,
    PlanGenerated,
    SettingsUpdated,
    TaskCreated,
    TaskDeleted,
    TaskFields,
    TaskUpdated,
    ThreadCreated,
    ThreadUpdated,
)
from protocol.reduce import known_fields
from protocol.state import CLOSED, MAIN_THREAD, Member, Memory, Message, Plan, State, Task, Thread

F = TypeVar("F", bound=msgspec.Struct)

Decision = tuple[Payload, ...] | Refused
"""The events of an action, or why there are none."""


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """What a decision needs besides state and action. `now` is an instant of the contract.

    `used`: ids that the action would use for the first time but that the ledger has seen, though state no
    longer has.
    `stream_texts`: what open answers have said so far, by message id; they are not in state.
    """

    actor: str
    now: str
    because: str | None = None
    used: frozenset[str] = frozenset()
    stream_texts: Mapping[str, str] = {}


def decide(state: State, action: Action, context: Context) -> Decision:
    """The events that `action` gives on `state`, or the refusal."""
    try:
        _check_role(state, action, context)
        return _decided(state, action, context)
    except _No as no:
        return no.refused


def predicted(
    payloads: tuple[Payload, ...], action: Action, context: Context, after: int
) -> tuple[Event, ...]:
    """Events `e'` as a client shows them before the server has stamped them."""
    return tuple(
        Event(
            seq=after + place,
            event_id=ids.derive("predicted", action.client_action_id, str(place)),
            timestamp=context.now,
            type=TYPE_OF[type(payload)],
            actor=context.actor,
            client_action_id=action.client_action_id,
            cause=action.type,
            payload=payload,
        )
        for place, payload in enumerate(payloads, start=1)
    )


class _No(Exception):  # noqa: N818 - carries a refusal, is no error
    """Carries a refusal from a rule to `decide`; never leaves this module."""

    def __init__(self, refused: Refused) -> None:
        super().__init__(refused.message)
        self.refused = refused


def _no(code: RejectCode, message: str, field: str | None = None) -> NoReturn:
    raise _No(Refused(code, message, field))


_MENTION: Final = re.compile(r"(?<![\w@.-])@assistant(?![\w@-])", re.IGNORECASE)
_OWNER_ONLY: Final = (UpdateSettings, SetMember, RemoveMember)


def _check_role(state: State, action: Action, context: Context) -> None:
    if context.actor in ids.RESERVED_ACTORS:
        return
    if is_internal(action.type):
        _no("forbidden", f"Only the server itself may send {action.type}.")
    member = state.members.get(context.actor)
    if member is None:
        _no("forbidden", "You are not a member of this workspace.")
    if member.role == "viewer":
        _no("forbidden", "You may read this workspace, not change it.")
    if member.role == "editor" and isinstance(action.intent, _OWNER_ONLY):
        _no("forbidden", "Only an owner may change settings and members.")


def _decided(state: State, action: Action, context: Context) -> tuple[Payload, ...]:
    match action.intent:
        case SendMessage() as intent:
            return _send_message(state, action, context, intent)
        case Interrupt(message_id=message_id):
            return _interrupt(state, context, message_id)
        case CreateTask() as intent:
            return _create_task(state, action, context, intent)
        case UpdateTask() as intent:
            return _update_task(state, intent)
        case DeleteTask(task_id=task_id):
            return (TaskDeleted(task_id=task_id, was=_task(state, task_id)),)
        case RequestPlan() as intent:
            return _request_plan(state, action, context, intent)
        case Remember() as intent:
            return _remember(state, action, context, intent)
        case UpdateMemory() as intent:
            return _update_memory(state, intent)
        case Forget(memory_id=memory_id):
            return (MemoryRemoved(memory_id=memory_id, was=_memory(state, memory_id)),)
        case CreateThread() as intent:
            return _create_thread(state, action, context, intent)
        case UpdateThread() as intent:
            return _update_thread(state, intent)
        case UpdateSettings() as intent:
            return _update_settings(state, intent)
        case SetMember(actor=actor, role=role):
            return _set_member(state, context, actor, role)
        case RemoveMember(actor=actor):
            return _remove_member(state, actor)
        case OpenAnswer(reply_to=reply_to):
            return _open_answer(state, reply_to)
        case CompleteAnswer() | InterruptAnswer() as intent:
            return _end_answer(state, intent)
        case GeneratePlan() as intent:
            return _generate_plan(state, intent)
        case CompletePlan() as intent:
            return _complete_plan(state, intent)
        case (
            Batch()
            | SetReminder()
            | DismissReminder()
            | SnoozeReminder()
            | ApproveProposal()
            | DeclineProposal()
            | Undo()
        ):
            _no("invalid", f"This server does not do {action.type} yet.", "type")
        case unreachable:
            assert_never(unreachable)


# Messages and answers


def _send_message(state: State, action: Action, context: Context, intent: SendMessage) -> tuple[Payload, ...]:
    thread = state.threads.get(intent.thread_id)
    if thread is None:
        _no("not_found", "There is no such conversation.", "thread_id")
    if thread.archived:
        _no("conflict", f"The conversation “{thread.title}” is archived.", "thread_id")
    message_id = _fresh(state, context, intent.message_id or derived_id(context.actor, action), "message_id")
    answer = _fresh(state, context, answer_id(message_id), "message_id")
    streaming = _streaming_in(state, thread.thread_id)
    interrupted: tuple[Payload, ...] = ()
    if intent.supersede and streaming:
        interrupted = tuple(_interrupted(context, one, "superseded") for one in streaming)
    wanted = thread.assistant == "always" or (
        thread.assistant == "mention" and mentions_assistant(intent.text)
    )
    waits = wanted and not interrupted and _must_wait(state, thread.thread_id)
    if waits and len(state.assistant.waiting) >= limits.waiting_messages_max:
        _no("limit", "Too many messages are waiting for an answer.", "text")
    message = Message(
        message_id=message_id,
        thread_id=thread.thread_id,
        role="user",
        author=context.actor,
        text=intent.text,
        status="waiting" if waits else "complete",
        created_at=context.now,
    )
    opened = _stream_of(state, message, answer) if wanted and not waits else ()
    return (*interrupted, MessageCreated(entity=message), *opened)


def mentions_assistant(text: str) -> bool:
    """Whether a message says `@assistant`, as a word of its own."""
    return _MENTION.search(text) is not None


def _must_wait(state: State, thread_id: str) -> bool:
    """An answer streams in the thread, an earlier question waits there, or the workspace has enough open."""
    if len(state.assistant.streaming) >= limits.open_streams_max:
        return True
    return bool(_in_thread(state, (*state.assistant.streaming, *state.assistant.waiting), thread_id))


def _streaming_in(state: State, thread_id: str) -> tuple[str, ...]:
    return _in_thread(state, state.assistant.streaming, thread_id)


def _in_thread(state: State, message_ids: tuple[str, ...], thread_id: str) -> tuple[str, ...]:
    # `get`: a client decides on whatever state it was sent.
    messages = ((one, state.messages.get(one)) for one in message_ids)
    return tuple(one for one, message in messages if message is not None and message.thread_id == thread_id)


def _stream_of(state: State, question: Message, answer: str) -> tuple[Payload, ...]:
    return (
        MessageStream(
            message_id=answer,
            thread_id=question.thread_id,
            reply_to=question.message_id,
            model=state.settings.model,
        ),
    )


def _interrupt(state: State, context: Context, message_id: str) -> tuple[Payload, ...]:
    message = state.messages.get(message_id)
    if message is None:
        _no("not_found", "There is no such message.", "message_id")
    if message.status != "streaming":
        return ()
    return (_interrupted(context, message_id, "user"),)


def _interrupted(context: Context, message_id: str, reason: str) -> LlmInterrupted:
    text = context.stream_texts.get(message_id, "")
    return LlmInterrupted(
        message_id=message_id, text=text, reason="superseded" if reason == "superseded" else "user"
    )


def _open_answer(state: State, reply_to: str) -> tuple[Payload, ...]:
    """The question's turn has come; where it no longer waits, or must go on waiting, nothing happens."""
    question = state.messages.get(reply_to)
    if question is None:
        _no("not_found", "There is no such message.", "reply_to")
    enough = len(state.assistant.streaming) >= limits.open_streams_max
    if question.status != "waiting" or enough or _streaming_in(state, question.thread_id):
        return ()
    return _stream_of(state, question, answer_id(reply_to))


def _end_answer(state: State, intent: CompleteAnswer | InterruptAnswer) -> tuple[Payload, ...]:
    """The terminal event of an open answer; one that has ended already stays as it is."""
    message = state.messages.get(intent.message_id)
    if message is None or message.status != "streaming":
        return ()
    if isinstance(intent, CompleteAnswer):
        return (LlmCompleted(message_id=intent.message_id, text=intent.text, usage=intent.usage),)
    return (LlmInterrupted(message_id=intent.message_id, text=intent.text, reason=intent.reason),)


# Tasks


def _create_task(state: State, action: Action, context: Context, intent: CreateTask) -> tuple[Payload, ...]:
    task_id = _fresh(state, context, intent.task_id or derived_id(context.actor, action), "task_id")
    _check_repeat(intent.repeat)
    _check_room_for_open_task(state)
    task = Task(
        task_id=task_id,
        title=intent.title,
        notes=intent.notes,
        priority=intent.priority,
        due=_due(intent.due),
        tags=intent.tags,
        assignee=intent.assignee,
        position=intent.position or position_at(context.now),
        minutes=intent.minutes,
        created_at=context.now,
        created_by=context.actor,
        updated_at=context.now,
    )
    return (TaskCreated(entity=task),)


def _update_task(state: State, intent: UpdateTask) -> tuple[Payload, ...]:
    task = _task(state, intent.task_id)
    if intent.if_version is not UNSET and intent.if_version != task.version:
        _no("conflict", f"“{task.title}” was changed meanwhile (version {task.version}).", "if_version")
    fields = intent.fields
    if fields.repeat is not UNSET:
        _check_repeat(fields.repeat)
    if fields.due is not UNSET:
        fields = replace(fields, due=_due(fields.due))
    changed, was = _difference(task, fields)
    if was == TaskFields():
        return ()
    if changed.status is not UNSET and task.status in CLOSED and changed.status not in CLOSED:
        _check_room_for_open_task(state)
    return (TaskUpdated(task_id=task.task_id, version=task.version + 1, set=changed, was=was),)


def position_at(now: str) -> str:
    """Where a task stands that names no place: behind all that are older. Base 36 of the milliseconds."""
    rest, digits = times.to_ms(now), ""
    while rest or len(digits) < 9:
        rest, digit = divmod(rest, 36)
        digits = "0123456789abcdefghijklmnopqrstuvwxyz"[digit] + digits
    return digits


def _check_repeat(repeat: str | None) -> None:
    if repeat is not None:
        _no("invalid", "This server does not do repeating tasks yet.", "repeat")


def _check_room_for_open_task(state: State) -> None:
    if state.order.open_tasks >= limits.open_tasks_max:
        _no("limit", f"There are {limits.open_tasks_max} open tasks; close some first.")


def _due(due: str | None) -> str | None:
    """A date as it is, an instant in the contract's form."""
    if due is None or times.parse_date(due) is not None:
        return due
    moment = times.parse_instant(due)
    if moment is None:
        _no("invalid", "due must be a date (2026-11-22) or an instant (2026-11-22T13:00:00Z).", "due")
    return times.format_instant(moment)


def _task(state: State, task_id: str) -> Task:
    task = state.tasks.get(task_id)
    return task if task is not None else _no("not_found", "There is no such task.", "task_id")


# Plans


def _request_plan(state: State, action: Action, context: Context, intent: RequestPlan) -> tuple[Payload, ...]:
    date = intent.date or times.today(context.now, state.settings.timezone)
    if times.parse_date(date) is None:
        _no("invalid", "date must be a date (2026-11-22).", "date")
    running = state.plans.get(date)
    if running is not None and running.status == "running":
        return ()
    if sum(one.status == "running" for one in state.plans.values()) >= limits.plans_max:
        _no("limit", f"There are {limits.plans_max} plans being made; wait until one is ready.", "date")
    plan_id = _fresh(state, context, derived_id(context.actor, action), "plan_id")
    return (DailyPlanStart(plan_id=plan_id, date=date),)


def _running_plan(state: State, plan_id: str) -> Plan | None:
    return next(
        (one for one in state.plans.values() if one.plan_id == plan_id and one.status == "running"), None
    )


def _generate_plan(state: State, intent: GeneratePlan) -> tuple[Payload, ...]:
    plan = _running_plan(state, intent.plan_id)
    if plan is None:
        return ()
    return (
        PlanGenerated(
            plan_id=plan.plan_id,
            date=plan.date,
            blocks=intent.blocks,
            summary=intent.summary,
            source=intent.source,
        ),
    )


def _complete_plan(state: State, intent: CompletePlan) -> tuple[Payload, ...]:
    plan = _running_plan(state, intent.plan_id)
    if plan is None:
        return ()
    return (
        DailyPlanComplete(plan_id=plan.plan_id, date=plan.date, status=intent.status, error=intent.error),
    )


# Memory


def _remember(state: State, action: Action, context: Context, intent: Remember) -> tuple[Payload, ...]:
    memory_id = _fresh(state, context, intent.memory_id or derived_id(context.actor, action), "memory_id")
    if len(state.memory) >= limits.memories_max:
        _no("limit", f"There are {limits.memories_max} memories; forget some first.")
    memory = Memory(
        memory_id=memory_id,
        text=intent.text,
        tags=intent.tags,
        pinned=intent.pinned,
        source=context.because,
        created_at=context.now,
        created_by=context.actor,
    )
    return (MemoryAdded(entity=memory),)


def _update_memory(state: State, intent: UpdateMemory) -> tuple[Payload, ...]:
    memory = _memory(state, intent.memory_id)
    changed, was = _difference(memory, intent.fields)
    if was == type(was)():
        return ()
    return (MemoryUpdated(memory_id=memory.memory_id, set=changed, was=was),)


def _memory(state: State, memory_id: str) -> Memory:
    memory = state.memory.get(memory_id)
    return memory if memory is not None else _no("not_found", "There is no such memory.", "memory_id")


# Threads, settings, members


def _create_thread(
    state: State, action: Action, context: Context, intent: CreateThread
) -> tuple[Payload, ...]:
    thread_id = _fresh(state, context, intent.thread_id or derived_id(context.actor, action), "thread_id")
    if len(state.threads) >= limits.threads_max:
        _no("limit", f"There are {limits.threads_max} conversations.")
    thread = Thread(
        thread_id=thread_id,
        title=intent.title,
        assistant=intent.assistant,
        created_at=context.now,
        created_by=context.actor,
    )
    return (ThreadCreated(entity=thread),)


def _update_thread(state: State, intent: UpdateThread) -> tuple[Payload, ...]:
    thread = state.threads.get(intent.thread_id)
    if thread is None:
        _no("not_found", "There is no such conversation.", "thread_id")
    if thread.thread_id == MAIN_THREAD and intent.archived is True:
        _no("invalid", "The main conversation is always there; it cannot be archived.", "archived")
    changed, was = _difference(thread, intent.fields)
    if was == type(was)():
        return ()
    return (ThreadUpdated(thread_id=thread.thread_id, set=changed, was=was),)


def _update_settings(state: State, intent: UpdateSettings) -> tuple[Payload, ...]:
    if isinstance(intent.timezone, str) and times.zone(intent.timezone) is None:
        _no("invalid", "timezone must be the name of a zone, such as Europe/Berlin.", "timezone")
    for field in ("daily_plan_at", "digest_at"):
        value = getattr(intent, field)
        if isinstance(value, str) and not times.is_time_of_day(value):
            _no("invalid", f"{field} must be a time of day (08:30).", field)
    if isinstance(intent.model, str) and not 0 < len(intent.model) <= limits.client_name_characters_max:
        _no("invalid", "model must be the name of a model.", "model")
    changed, was = _difference(state.settings, intent.fields)
    return () if was == type(was)() else (SettingsUpdated(set=changed, was=was),)


def _set_member(state: State, context: Context, actor: str, role: str) -> tuple[Payload, ...]:
    member = state.members.get(actor)
    if member is not None and member.role == role:
        return ()
    if member is None and len(state.members) >= limits.members_max:
        _no("limit", f"There are {limits.members_max} members.")
    if member is not None:
        _check_not_last_owner(state, member)
    wanted = Member(actor=actor, role=role, set_at=context.now, set_by=context.actor)  # type: ignore[arg-type]  # the parse held it to the three roles
    return (MemberSet(entity=wanted),)


def _remove_member(state: State, actor: str) -> tuple[Payload, ...]:
    member = state.members.get(actor)
    if member is None:
        _no("not_found", "There is no such member.", "actor")
    _check_not_last_owner(state, member)
    return (MemberRemoved(actor=actor, was=member),)


def _check_not_last_owner(state: State, member: Member) -> None:
    owners = sum(one.role == "owner" for one in state.members.values())
    if member.role == "owner" and owners == 1:
        _no("conflict", f"{member.actor} is the last owner of this workspace.", "actor")


# Shared


def _fresh(state: State, context: Context, new_id: str, field: str) -> str:
    """`new_id` where no entity ever had it; an id that was ever used is a conflict."""
    tables = (state.tasks, state.messages, state.threads, state.memory, state.reminders, state.proposals)
    if new_id in context.used or any(new_id in table for table in tables):
        _no("conflict", "This id is taken.", field)
    return new_id


def _difference(entity: msgspec.Struct, wanted: F) -> tuple[F, F]:
    """The fields that would change: as they would be, and as they are."""
    asked = known_fields(wanted)
    names = [name for name, value in asked.items() if getattr(entity, name) != value]
    was = {name: getattr(entity, name) for name in names}
    return replace(type(wanted)(), **{name: asked[name] for name in names}), replace(type(wanted)(), **was)
