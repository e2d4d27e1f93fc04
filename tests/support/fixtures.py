"""One constructor for each thing of the shared language, with defaults for everything.

A test names only what it is about. `ana` is an owner, `ed` an editor, `vi` a viewer; nobody else is a member.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

import msgspec

from protocol import ids, times
from protocol.actions import Action, parse
from protocol.decide import Context, decide
from protocol.errors import Refused
from protocol.events import TYPE_OF, Event, Head, Payload, Unknown
from protocol.reduce import fold
from protocol.state import (
    COLLECTIONS,
    INITIAL,
    AssistantState,
    Block,
    CollectionName,
    Digest,
    Entry,
    Member,
    Memory,
    Message,
    Plan,
    Proposal,
    Reminder,
    Settings,
    State,
    Task,
    Thread,
    assemble,
    entries_of,
)

NOW_MS = 1_795_352_700_123
NOW = times.format_ms(NOW_MS)
"""`2026-11-22T13:05:00.123Z`, a Sunday."""

COLLECTION_OF: Mapping[type[Entry], CollectionName] = {kind: name for name, kind in COLLECTIONS.items()}


def at(seconds: float) -> str:
    """The instant so many seconds after `NOW`."""
    return times.format_ms(NOW_MS + round(seconds * 1000))


def a_task(task_id: str = "t1", **fields: object) -> Task:
    defaults: dict[str, object] = {
        "title": "Buy milk",
        "position": "a",
        "created_at": NOW,
        "created_by": "ana",
        "updated_at": NOW,
    }
    if fields.get("status") in ("done", "dropped"):
        defaults["closed_at"] = NOW
    return Task(task_id=task_id, **{**defaults, **fields})  # type: ignore[arg-type]  # fields of a task


def a_thread(thread_id: str = "th1", **fields: object) -> Thread:
    defaults: dict[str, object] = {"title": "Garden", "created_at": NOW, "created_by": "ana"}
    return Thread(thread_id=thread_id, **{**defaults, **fields})  # type: ignore[arg-type]  # fields of a thread


def a_message(message_id: str = "m1", seq: int = 1, **fields: object) -> Message:
    """A message as state has it; `seq=0` makes one as it stands in its event."""
    defaults: dict[str, object] = {
        "thread_id": "main",
        "role": "user",
        "author": "ana",
        "text": "hello",
        "created_at": NOW,
    }
    if seq:
        defaults["seq"] = seq
    return Message(message_id=message_id, **{**defaults, **fields})  # type: ignore[arg-type]  # fields of a message


def an_answer(
    message_id: str = "an1", seq: int = 2, *, status: str = "streaming", **fields: object
) -> Message:
    """An answer of the assistant, open unless said otherwise."""
    wanted = {"role": "assistant", "author": "assistant", "reply_to": "m1", "model": "builtin", "text": ""}
    return a_message(message_id, seq, status=status, **{**wanted, **fields})


def a_memory(memory_id: str = "me1", **fields: object) -> Memory:
    defaults: dict[str, object] = {"text": "Ana likes tea", "created_at": NOW, "created_by": "ana"}
    return Memory(memory_id=memory_id, **{**defaults, **fields})  # type: ignore[arg-type]  # fields of a memory


def a_block(**fields: object) -> Block:
    defaults: dict[str, object] = {
        "task_id": "t1",
        "title": "Buy milk",
        "start": NOW,
        "minutes": 30,
        "reason": "due today",
    }
    return Block(**{**defaults, **fields})  # type: ignore[arg-type]  # fields of a block


def a_plan(date: str = "2026-11-22", **fields: object) -> Plan:
    defaults: dict[str, object] = {"plan_id": "p1", "created_at": NOW, "created_by": "ana"}
    return Plan(date=date, **{**defaults, **fields})  # type: ignore[arg-type]  # fields of a plan


def a_reminder(reminder_id: str = "r1", **fields: object) -> Reminder:
    defaults: dict[str, object] = {"at": NOW, "text": "tea", "created_at": NOW, "created_by": "ana"}
    return Reminder(reminder_id=reminder_id, **{**defaults, **fields})  # type: ignore[arg-type]  # fields of a reminder


def a_digest(digest_id: str = "d1", **fields: object) -> Digest:
    defaults: dict[str, object] = {"text": "A quiet day.", "created_at": NOW}
    return Digest(digest_id=digest_id, **{**defaults, **fields})  # type: ignore[arg-type]  # fields of a digest


def a_proposal(proposal_id: str = "pr1", **fields: object) -> Proposal:
    defaults: dict[str, object] = {
        "reason": "They are all done.",
        "actions": ({"type": "user.delete_task", "payload": {"task_id": "t1"}},),
        "created_at": NOW,
    }
    return Proposal(proposal_id=proposal_id, **{**defaults, **fields})  # type: ignore[arg-type]  # fields of a proposal


def a_member(actor: str = "ana", role: str = "owner", **fields: object) -> Member:
    defaults: dict[str, object] = {"set_at": NOW, "set_by": "system"}
    return Member(actor=actor, role=role, **{**defaults, **fields})  # type: ignore[arg-type]  # a role, fields of a member


MEMBERS = (a_member("ana", "owner"), a_member("ed", "editor"), a_member("vi", "viewer"))


def a_state(
    *entries: Entry,
    settings: Settings | None = None,
    assistant: AssistantState | None = None,
    members: Iterable[Member] = MEMBERS,
) -> State:
    """The thread `main`, the members and `entries`; open answers and waiting messages are found in them."""
    found = [entry for entry in entries if isinstance(entry, Message)]
    open_now = AssistantState(
        streaming=tuple(one.message_id for one in found if one.status == "streaming"),
        waiting=tuple(one.message_id for one in found if one.status == "waiting"),
    )
    named = [(COLLECTION_OF[type(entry)], entry) for entry in (*members, *entries)]
    return assemble([*entries_of(INITIAL), *named], settings or Settings(), assistant or open_now)


def an_action(action_type: str, client_action_id: str = "c1", /, **payload: object) -> Action:
    """An action as it comes from outside: its payload goes through the check."""
    action = parsed(action_type, client_action_id, **payload)
    assert isinstance(action, Action), action
    return action


def parsed(action_type: str, client_action_id: str = "c1", /, **payload: object) -> Action | Refused:
    """What `parse` makes of a payload."""
    return parse(action_type, client_action_id, json.dumps(payload).encode())


def a_context(actor: str = "ana", now: str = NOW, **fields: object) -> Context:
    return Context(actor=actor, now=now, **fields)  # type: ignore[arg-type]  # fields of a context


def an_event(payload: Payload, seq: int = 1, **fields: object) -> Event:
    """The event `e<seq>` of a payload; its id and its time rise with `seq`."""
    defaults: dict[str, object] = {
        "event_id": ids.uuid_v7(NOW_MS + seq, 0, seq),
        "timestamp": at(seq / 1000),
        "type": "tomorrow.happened" if isinstance(payload, Unknown) else TYPE_OF[type(payload)],
        "actor": "ana",
        "client_action_id": f"c{seq}",
        "cause": "user.something",
    }
    return Event(seq=seq, payload=payload, **{**defaults, **fields})  # type: ignore[arg-type]  # fields of an event


def some_events(*payloads: Payload, after: int = 0) -> tuple[Event, ...]:
    """Consecutive events of payloads."""
    return tuple(an_event(payload, seq) for seq, payload in enumerate(payloads, start=after + 1))


def a_head(events: Iterable[Event]) -> Head:
    """Where a ledger of these events stands."""
    ledger = tuple(events)
    return Head(ledger[-1].seq, ledger[-1].event_id) if ledger else Head()


def decided(
    state: State, action: Action, context: Context | None = None, *, after: int = 100
) -> tuple[tuple[Payload, ...], State]:
    """The payloads that an action gives and the state after them; it must not be refused."""
    payloads = decide(state, action, context or a_context())
    assert not isinstance(payloads, Refused), payloads
    return payloads, fold(state, some_events(*payloads, after=after))


def refusal(state: State, action: Action, context: Context | None = None) -> Refused:
    """Why an action is refused; it must be."""
    decision = decide(state, action, context or a_context())
    assert isinstance(decision, Refused), decision
    return decision


def entity_of(payload: Payload) -> msgspec.Struct:
    """The entity of a payload that is one."""
    entity = getattr(payload, "entity", None)
    assert isinstance(entity, msgspec.Struct), payload
    return entity


def names_of(payloads: Iterable[Payload]) -> tuple[str, ...]:
    """The event types of payloads."""
    return tuple(TYPE_OF[type(payload)] for payload in payloads)
