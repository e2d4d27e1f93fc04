"""What can happen: every event type, its payload, and the stamped event of the ledger.

Duty: payload types and the table of their names; `Event`, a payload with the server's stamp.
Must not know: what an event does to state (`reduce`), how it came about (`decide`), bytes (`codec`).

1. Payloads only ever gain optional fields; another meaning is another type.
2. A payload whose wire form is a whole entity is a wrapper with the one field `entity`; `codec` writes it
   flat.
3. A type that is not in `EVENTS` is kept as `Unknown` and reduces to nothing.
"""

from __future__ import annotations

from typing import Final

import msgspec

from protocol.state import (
    Block,
    Digest,
    InterruptReason,
    Member,
    Memory,
    Message,
    Priority,
    Proposal,
    Reminder,
    Role,
    Task,
    TaskStatus,
    Thread,
    ThreadMode,
)

UNSET: Final = msgspec.UNSET
Unset = msgspec.UnsetType


class _Payload(msgspec.Struct, frozen=True, kw_only=True):
    """The base of payloads."""


class TaskFields(msgspec.Struct, frozen=True, kw_only=True):
    """Some fields of a task; an absent one is not spoken of."""

    title: str | Unset = UNSET
    notes: str | Unset = UNSET
    status: TaskStatus | Unset = UNSET
    priority: Priority | Unset = UNSET
    due: str | Unset | None = UNSET
    tags: tuple[str, ...] | Unset = UNSET
    assignee: str | Unset | None = UNSET
    repeat: str | Unset | None = UNSET
    position: str | Unset = UNSET
    minutes: int | Unset | None = UNSET


class MemoryFields(msgspec.Struct, frozen=True, kw_only=True):
    """Some fields of a memory."""

    text: str | Unset = UNSET
    tags: tuple[str, ...] | Unset = UNSET
    pinned: bool | Unset = UNSET


class ThreadFields(msgspec.Struct, frozen=True, kw_only=True):
    """Some fields of a thread."""

    title: str | Unset = UNSET
    assistant: ThreadMode | Unset = UNSET
    archived: bool | Unset = UNSET


class SettingsFields(msgspec.Struct, frozen=True, kw_only=True):
    """Some of the settings."""

    timezone: str | Unset = UNSET
    daily_plan_at: str | Unset | None = UNSET
    digest_at: str | Unset | None = UNSET
    model: str | Unset = UNSET
    instructions: str | Unset = UNSET


Fields = TaskFields | MemoryFields | ThreadFields | SettingsFields


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """What an answer cost, in the model's tokens."""

    input_tokens: int = 0
    output_tokens: int = 0


class MessageCreated(_Payload, frozen=True):
    entity: Message


class MessageStream(_Payload, frozen=True):
    """The answer to `reply_to` is open: its run was accepted."""

    message_id: str
    thread_id: str
    reply_to: str
    model: str


class LlmCompleted(_Payload, frozen=True):
    message_id: str
    text: str
    usage: Usage = Usage()


class LlmInterrupted(_Payload, frozen=True):
    message_id: str
    text: str
    reason: InterruptReason


class TaskCreated(_Payload, frozen=True):
    entity: Task


class TaskUpdated(_Payload, frozen=True):
    task_id: str
    version: int
    set: TaskFields
    was: TaskFields


class TaskDeleted(_Payload, frozen=True):
    task_id: str
    was: Task


class DailyPlanStart(_Payload, frozen=True):
    plan_id: str
    date: str


class PlanGenerated(_Payload, frozen=True):
    plan_id: str
    date: str
    blocks: tuple[Block, ...]
    summary: str
    source: str


class DailyPlanComplete(_Payload, frozen=True, omit_defaults=True):
    plan_id: str
    date: str
    status: str
    error: str | None = None


class MemoryAdded(_Payload, frozen=True):
    entity: Memory


class MemoryUpdated(_Payload, frozen=True):
    memory_id: str
    set: MemoryFields
    was: MemoryFields


class MemoryRemoved(_Payload, frozen=True):
    memory_id: str
    was: Memory


class ReminderSet(_Payload, frozen=True):
    entity: Reminder


class ReminderDismissed(_Payload, frozen=True):
    reminder_id: str


class ReminderSnoozed(_Payload, frozen=True):
    reminder_id: str
    until: str


class ReminderFired(_Payload, frozen=True):
    """`assistant.reminder`: a reminder was due."""

    reminder_id: str
    at: str
    text: str
    task_id: str | None = None


class ThreadCreated(_Payload, frozen=True):
    entity: Thread


class ThreadUpdated(_Payload, frozen=True):
    thread_id: str
    set: ThreadFields
    was: ThreadFields


class SettingsUpdated(_Payload, frozen=True):
    set: SettingsFields
    was: SettingsFields


class MemberSet(_Payload, frozen=True):
    entity: Member


class MemberRemoved(_Payload, frozen=True):
    actor: str
    was: Member


class Proposed(_Payload, frozen=True):
    """`assistant.proposed`."""

    entity: Proposal


class ProposalApproved(_Payload, frozen=True):
    proposal_id: str


class ProposalDeclined(_Payload, frozen=True):
    proposal_id: str


class DigestCreated(_Payload, frozen=True):
    """`assistant.digest_created`."""

    entity: Digest


class Unknown(_Payload, frozen=True):
    """The payload of an event type from tomorrow, as it came."""

    fields: dict[str, object]


Payload = (
    MessageCreated
    | MessageStream
    | LlmCompleted
    | LlmInterrupted
    | TaskCreated
    | TaskUpdated
    | TaskDeleted
    | DailyPlanStart
    | PlanGenerated
    | DailyPlanComplete
    | MemoryAdded
    | MemoryUpdated
    | MemoryRemoved
    | ReminderSet
    | ReminderDismissed
    | ReminderSnoozed
    | ReminderFired
    | ThreadCreated
    | ThreadUpdated
    | SettingsUpdated
    | MemberSet
    | MemberRemoved
    | Proposed
    | ProposalApproved
    | ProposalDeclined
    | DigestCreated
    | Unknown
)

EVENTS: Final[dict[str, type[Payload]]] = {
    "message.created": MessageCreated,
    "message.stream": MessageStream,
    "llm.completed": LlmCompleted,
    "llm.interrupted": LlmInterrupted,
    "task.created": TaskCreated,
    "task.updated": TaskUpdated,
    "task.deleted": TaskDeleted,
    "daily_plan.start": DailyPlanStart,
    "assistant.plan.generated": PlanGenerated,
    "daily_plan.complete": DailyPlanComplete,
    "memory.added": MemoryAdded,
    "memory.updated": MemoryUpdated,
    "memory.removed": MemoryRemoved,
    "reminder.set": ReminderSet,
    "reminder.dismissed": ReminderDismissed,
    "reminder.snoozed": ReminderSnoozed,
    "assistant.reminder": ReminderFired,
    "thread.created": ThreadCreated,
    "thread.updated": ThreadUpdated,
    "settings.updated": SettingsUpdated,
    "member.set": MemberSet,
    "member.removed": MemberRemoved,
    "assistant.proposed": Proposed,
    "proposal.approved": ProposalApproved,
    "proposal.declined": ProposalDeclined,
    "assistant.digest_created": DigestCreated,
}
TYPE_OF: Final[dict[type[Payload], str]] = {payload: name for name, payload in EVENTS.items()}

WHOLE_ENTITY: Final[dict[type[Payload], type[msgspec.Struct]]] = {
    MessageCreated: Message,
    TaskCreated: Task,
    MemoryAdded: Memory,
    ReminderSet: Reminder,
    ThreadCreated: Thread,
    MemberSet: Member,
    Proposed: Proposal,
    DigestCreated: Digest,
}
"""Payloads that are written flat: the wrapper, and the entity whose fields stand on the wire."""


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """A fact of the ledger with the server's stamp: what happened, who did it, through which action, and
    why.
    """

    seq: int
    event_id: str
    timestamp: str
    type: str
    actor: str
    client_action_id: str
    cause: str
    payload: Payload
    because: str | None = None


class Head(msgspec.Struct, frozen=True):
    """The last event of a ledger, or the last one that somebody has applied; seq 0 and no id when there is
    none.
    """

    seq: int = 0
    event_id: str | None = None


__all__ = ["EVENTS", "TYPE_OF", "UNSET", "WHOLE_ENTITY", "Event", "Head", "Payload", "Role", "Unset"]
