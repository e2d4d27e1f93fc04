"""What can be wanted: every action type and its payload, and how a payload from outside becomes one.

Duty: the typed intents, the check of their shape and size, the ids that they would use for the first time.
Must not know: state and rules (`decide`), who sent it, bytes of frames (`codec`).

1. A payload is checked here once, whatever road it came by; past `parse` its shape is right and its sizes are
   in bounds.
2. Unknown fields are ignored; an unknown type or a wrong shape is a `Refused` with `invalid`, never an
   exception.
3. The server's own actions (`assistant.*`, `system.*`) pass the same check.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final, Literal, NoReturn, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from protocol import ids, limits
from protocol.errors import Refused, RejectCode
from protocol.events import UNSET, MemoryFields, SettingsFields, TaskFields, ThreadFields, Unset, Usage
from protocol.state import (
    Block,
    InterruptReason,
    Priority,
    Role,
    TaskStatus,
    ThreadMode,
    text_bytes,
)

F = TypeVar("F", bound=msgspec.Struct)


class _Intent(msgspec.Struct, frozen=True, kw_only=True):
    """The base of action payloads."""


class SendMessage(_Intent, frozen=True):
    """`user.message`: say something in a thread; `supersede` interrupts the answer that streams there."""

    text: str
    message_id: str | Unset = UNSET
    thread_id: str = "main"
    supersede: bool = False


class Interrupt(_Intent, frozen=True):
    message_id: str


class CreateTask(_Intent, frozen=True):
    title: str
    task_id: str | Unset = UNSET
    notes: str = ""
    due: str | None = None
    priority: Priority = "normal"
    tags: tuple[str, ...] = ()
    assignee: str | None = None
    repeat: str | None = None
    position: str | Unset = UNSET
    minutes: int | None = None


class UpdateTask(_Intent, frozen=True):
    task_id: str
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
    if_version: int | Unset = UNSET

    @property
    def fields(self) -> TaskFields:
        return fields_of(self, TaskFields)


class DeleteTask(_Intent, frozen=True):
    task_id: str


class Batch(_Intent, frozen=True):
    actions: tuple[dict[str, object], ...]


class RequestPlan(_Intent, frozen=True):
    date: str | Unset = UNSET


class Remember(_Intent, frozen=True):
    text: str
    memory_id: str | Unset = UNSET
    tags: tuple[str, ...] = ()
    pinned: bool = False


class UpdateMemory(_Intent, frozen=True):
    memory_id: str
    text: str | Unset = UNSET
    tags: tuple[str, ...] | Unset = UNSET
    pinned: bool | Unset = UNSET

    @property
    def fields(self) -> MemoryFields:
        return fields_of(self, MemoryFields)


class Forget(_Intent, frozen=True):
    memory_id: str


class SetReminder(_Intent, frozen=True):
    at: str
    text: str
    reminder_id: str | Unset = UNSET
    task_id: str | None = None


class DismissReminder(_Intent, frozen=True):
    reminder_id: str


class SnoozeReminder(_Intent, frozen=True):
    reminder_id: str
    until: str


class CreateThread(_Intent, frozen=True):
    title: str
    thread_id: str | Unset = UNSET
    assistant: ThreadMode = "always"


class UpdateThread(_Intent, frozen=True):
    thread_id: str
    title: str | Unset = UNSET
    assistant: ThreadMode | Unset = UNSET
    archived: bool | Unset = UNSET

    @property
    def fields(self) -> ThreadFields:
        return fields_of(self, ThreadFields)


class UpdateSettings(_Intent, frozen=True):
    timezone: str | Unset = UNSET
    daily_plan_at: str | Unset | None = UNSET
    digest_at: str | Unset | None = UNSET
    model: str | Unset = UNSET
    instructions: str | Unset = UNSET

    @property
    def fields(self) -> SettingsFields:
        return fields_of(self, SettingsFields)


class SetMember(_Intent, frozen=True):
    actor: str
    role: Role


class RemoveMember(_Intent, frozen=True):
    actor: str


class ApproveProposal(_Intent, frozen=True):
    proposal_id: str


class DeclineProposal(_Intent, frozen=True):
    proposal_id: str


class Undo(_Intent, frozen=True):
    client_action_id: str
    actor: str | Unset = UNSET


class OpenAnswer(_Intent, frozen=True):
    """`assistant.answer`: open the answer to a question that waited."""

    reply_to: str


class CompleteAnswer(_Intent, frozen=True):
    """`assistant.complete`: the whole text of an answer, its end."""

    message_id: str
    text: str
    usage: Usage = Usage()


class InterruptAnswer(_Intent, frozen=True):
    """`assistant.interrupt`: an answer ends before its time."""

    message_id: str
    text: str
    reason: InterruptReason


class GeneratePlan(_Intent, frozen=True):
    """`assistant.plan`: the blocks of a plan that was started."""

    plan_id: str
    blocks: tuple[Block, ...]
    summary: str
    source: str


class CompletePlan(_Intent, frozen=True):
    """`system.complete_plan`: a plan's workflow is at its end."""

    plan_id: str
    status: Literal["complete", "failed"]
    error: str | None = None


Intent = (
    SendMessage
    | Interrupt
    | CreateTask
    | UpdateTask
    | DeleteTask
    | Batch
    | RequestPlan
    | Remember
    | UpdateMemory
    | Forget
    | SetReminder
    | DismissReminder
    | SnoozeReminder
    | CreateThread
    | UpdateThread
    | UpdateSettings
    | SetMember
    | RemoveMember
    | ApproveProposal
    | DeclineProposal
    | Undo
    | OpenAnswer
    | CompleteAnswer
    | InterruptAnswer
    | GeneratePlan
    | CompletePlan
)

ACTIONS: Final[dict[str, type[Intent]]] = {
    "user.message": SendMessage,
    "user.interrupt": Interrupt,
    "user.create_task": CreateTask,
    "user.update_task": UpdateTask,
    "user.delete_task": DeleteTask,
    "user.batch": Batch,
    "user.request_plan": RequestPlan,
    "user.remember": Remember,
    "user.update_memory": UpdateMemory,
    "user.forget": Forget,
    "user.set_reminder": SetReminder,
    "user.dismiss_reminder": DismissReminder,
    "user.snooze_reminder": SnoozeReminder,
    "user.create_thread": CreateThread,
    "user.update_thread": UpdateThread,
    "user.update_settings": UpdateSettings,
    "user.set_member": SetMember,
    "user.remove_member": RemoveMember,
    "user.approve_proposal": ApproveProposal,
    "user.decline_proposal": DeclineProposal,
    "user.undo": Undo,
    "assistant.answer": OpenAnswer,
    "assistant.complete": CompleteAnswer,
    "assistant.interrupt": InterruptAnswer,
    "assistant.create_task": CreateTask,
    "assistant.update_task": UpdateTask,
    "assistant.remember": Remember,
    "assistant.request_plan": RequestPlan,
    "assistant.plan": GeneratePlan,
    "system.complete_plan": CompletePlan,
    "system.interrupt": InterruptAnswer,
    "system.set_member": SetMember,
}
"""Every action type. `user.*` is what credentials may send; the rest is the server's own."""


class Action(msgspec.Struct, frozen=True, kw_only=True):
    """An intent with its name and the id that its sender chose."""

    type: str
    client_action_id: str
    intent: Intent


def is_internal(action_type: str) -> bool:
    """Whether only the server's own producers may send this type."""
    return action_type.startswith(("assistant.", "system."))


def parse(action_type: str, client_action_id: str, payload: msgspec.Raw | bytes) -> Action | Refused:
    """The typed action of a payload's JSON, or why it is none."""
    kind = ACTIONS.get(action_type)
    if kind is None:
        return Refused("invalid", f"There is no action {_shown(action_type)}.", "type")
    try:
        intent = _DECODERS[kind].decode(payload)
    except msgspec.ValidationError as error:
        return _refusal(kind, str(error))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Refused("invalid", "The payload is not text that can be read.")
    return check(Action(type=action_type, client_action_id=client_action_id, intent=intent))


def check(action: Action) -> Action | Refused:
    """The action itself where its values are in bounds, else why not."""
    try:
        for field, check_value in _CHECKS[type(action.intent)]:
            value = getattr(action.intent, field)
            if value is not None and value is not UNSET:
                check_value(field, value)
    except _OutOfBounds as problem:
        return problem.refused
    return action


def payload_of(intent: Intent) -> bytes:
    """The JSON of an intent: absent fields are left out, defaults are not."""
    return msgspec.json.encode(intent)


def new_ids(action: Action, actor: str) -> tuple[str, ...]:
    """The entity ids that an action would use for the first time; absent ones are derived from its own id."""
    match action.intent:
        case SendMessage(message_id=given):
            question = given or derived_id(actor, action)
            return question, answer_id(question)
        case CreateTask(task_id=given) | Remember(memory_id=given) | CreateThread(thread_id=given):
            return (given or derived_id(actor, action),)
        case SetReminder(reminder_id=given):
            return (given or derived_id(actor, action),)
        case RequestPlan():
            return (derived_id(actor, action),)
        case _:
            return ()


def derived_id(actor: str, action: Action) -> str:
    """The id of the entity that an action makes where its sender named none."""
    return ids.derive("entity", actor, action.client_action_id)


def answer_id(question_id: str) -> str:
    """The id of the answer to a question."""
    return ids.derive("answer", question_id)


def fields_of(source: msgspec.Struct, kind: type[F]) -> F:
    """The fields of `kind` that `source` has too, in a `kind`."""
    return kind(**{name: getattr(source, name) for name in kind.__struct_fields__})


_DECODERS: Final = {kind: msgspec.json.Decoder(kind) for kind in set(ACTIONS.values())}
_PATH = re.compile(r"^(?P<what>.*?)(?: - at `\$\.?(?P<path>[^`]*)`)?$", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(?P<name>[^`]+)`")
_EXPECTED = re.compile(r"Expected `(?P<wanted>[^`]+)`, got `(?P<got>[^`]+)`")
_INVALID = re.compile(r"Invalid enum value (?P<value>.*)", re.DOTALL)
_KINDS: Final = {
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
}
"""msgspec's words for JSON's kinds, as people say them."""
_POSITION = re.compile(r"[0-9a-z]+\Z")


class _OutOfBounds(Exception):  # noqa: N818 - carries a refusal, is no error
    def __init__(self, code: RejectCode, message: str, field: str) -> None:
        super().__init__(message)
        self.refused = Refused(code, message, field)


def _refusal(kind: type[Intent], problem: str) -> Refused:
    """msgspec's sentence about a wrong shape as one for people."""
    match_ = _PATH.match(problem)
    what, path = (match_["what"], match_["path"]) if match_ else (problem, None)
    if missing := _MISSING.match(what):
        field = f"{path}.{missing['name']}" if path else missing["name"]
        return Refused("invalid", f"{field} is missing.", field)
    subject = path or "The payload"
    if expected := _EXPECTED.match(what):
        sentence = f"{subject} must be {_kinds(expected['wanted'])}, not {_kinds(expected['got'])}."
    elif invalid := _INVALID.match(what):
        choices = _choices(kind, subject)
        allowed = f"; it can be {', '.join(choices)}" if choices else ""
        sentence = f"{subject} cannot be {_shown(invalid['value'].strip(chr(39)))}{allowed}."
    else:
        sentence = f"{subject}: {what[:1].lower()}{what[1:].replace('`', '')}."
    return Refused("invalid", sentence, path or None)


def _kinds(names: str) -> str:
    return " or ".join(_KINDS.get(name, name) for name in names.split(" | "))


def _choices(kind: type[Intent], field: str) -> tuple[str, ...]:
    """The values of a field that has a fixed set of them."""
    hint = get_type_hints(kind).get(field)
    literals = (one for one in (hint, *get_args(hint)) if get_origin(one) is Literal)
    return tuple(value for one in literals for value in get_args(one))


def _shown(text: str) -> str:
    return ascii(text[:80])


def _check_entity_id(field: str, value: str) -> None:
    if not ids.is_entity_id(value):
        _fail("invalid", f"{field} must be 1 to 128 visible ASCII characters.", field)


def _check_client_action_id(field: str, value: str) -> None:
    if not ids.is_client_action_id(value):
        _fail("invalid", f"{field} must be 1 to 128 printable ASCII characters.", field)


def _check_actor(field: str, value: str) -> None:
    if not ids.is_actor(value):
        _fail("invalid", f"{_shown(value)} cannot be a member's name.", field)


def _check_new_member(field: str, value: str) -> None:
    if value in ids.RESERVED_ACTORS:
        _fail("invalid", f"{_shown(value)} cannot be a member's name.", field)
    _check_actor(field, value)


def _check_title(field: str, value: str) -> None:
    if len(value) > limits.title_characters_max:
        _fail("too_large", f"The title is longer than {limits.title_characters_max} characters.", field)
    _check_not_blank(field, value)


def _check_said(field: str, value: str) -> None:
    _check_text(field, value)
    _check_not_blank(field, value)


def _check_not_blank(field: str, value: str) -> None:
    if not value.strip():
        _fail("invalid", f"The {field} is empty.", field)


def _check_text(field: str, value: str) -> None:
    if text_bytes(value) > limits.text_bytes_max:
        _fail("too_large", f"{field} is longer than {limits.text_bytes_max // limits.KIB} KiB.", field)


def _check_answer(field: str, value: str) -> None:
    if text_bytes(value) > limits.answer_bytes_max:
        _fail("too_large", f"{field} is longer than {limits.answer_bytes_max // limits.KIB} KiB.", field)


def _check_instructions(field: str, value: str) -> None:
    if text_bytes(value) > limits.instructions_bytes_max:
        _fail("too_large", "The instructions are longer than 16 KiB.", field)


def _check_tags(field: str, value: tuple[str, ...]) -> None:
    if len(value) > limits.tags_max:
        _fail("too_large", f"There are more than {limits.tags_max} tags.", field)
    for tag in value:
        if len(tag) > limits.tag_characters_max:
            _fail("too_large", f"A tag is longer than {limits.tag_characters_max} characters.", field)
        if not tag.strip():
            _fail("invalid", "A tag is empty.", field)


def _check_minutes(field: str, value: int) -> None:
    if not 1 <= value <= limits.minutes_max:
        _fail("invalid", f"minutes must be between 1 and {limits.minutes_max}.", field)


def _check_position(field: str, value: str) -> None:
    if len(value) > limits.position_characters_max:
        _fail("too_large", f"position is longer than {limits.position_characters_max} characters.", field)
    if _POSITION.match(value) is None:
        _fail("invalid", "position must be made of 0-9 and a-z.", field)


def _check_batch(field: str, value: tuple[object, ...]) -> None:
    if len(value) > limits.batch_actions_max:
        _fail("too_large", f"A batch has at most {limits.batch_actions_max} actions.", field)


def _fail(code: RejectCode, message: str, field: str) -> NoReturn:
    raise _OutOfBounds(code, message, field)


_Check = Callable[[str, Any], None]  # Any: each takes the type that the decoder gave its field
"""Raises where the value of a field is out of bounds."""

_CHECK_OF_FIELD: Final[dict[str, _Check]] = {
    "message_id": _check_entity_id,
    "task_id": _check_entity_id,
    "memory_id": _check_entity_id,
    "thread_id": _check_entity_id,
    "reminder_id": _check_entity_id,
    "proposal_id": _check_entity_id,
    "plan_id": _check_entity_id,
    "reply_to": _check_entity_id,
    "client_action_id": _check_client_action_id,
    "actor": _check_actor,
    "assignee": _check_actor,
    "title": _check_title,
    "text": _check_said,
    "notes": _check_text,
    "instructions": _check_instructions,
    "tags": _check_tags,
    "minutes": _check_minutes,
    "position": _check_position,
}
_CHECK_OF_INTENT: Final[dict[type[Intent], dict[str, _Check]]] = {
    SetMember: {"actor": _check_new_member},
    CompleteAnswer: {"text": _check_answer},
    InterruptAnswer: {"text": _check_answer},
    Batch: {"actions": _check_batch},
}


def _checks_of(kind: type[Intent]) -> tuple[tuple[str, _Check], ...]:
    table = _CHECK_OF_FIELD | _CHECK_OF_INTENT.get(kind, {})
    return tuple((field, table[field]) for field in kind.__struct_fields__ if field in table)


_CHECKS: Final = {kind: _checks_of(kind) for kind in set(ACTIONS.values())}
"""By intent, its fields that have a bound."""
