"""What is: the entities of a workspace, the state that holds them, and its digest.

Duty: frozen values; `put` and `drop`, the only way an entry changes; the digest, kept with every change.
Must not know: rules (`decide`), events (`reduce`), the wire's frames.

1. A state is a value: nothing in it is ever changed in place.
2. `digest` is the sum, modulo 2^128, of the fingerprints of all entries; `recomputed` is the same from
   nothing.
3. What is not in the contract's `state` (the order for trimming) follows from the entries alone: `assemble`
   remakes it.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Mapping
from hashlib import blake2b
from typing import Final, Literal

import msgspec
from msgspec.structs import replace

from protocol.table import Table

TaskStatus = Literal["open", "doing", "done", "dropped"]
Priority = Literal["low", "normal", "high", "urgent"]
ThreadMode = Literal["always", "mention", "never"]
MessageStatus = Literal["complete", "waiting", "streaming", "interrupted"]
InterruptReason = Literal["user", "error", "stalled", "server_restart", "superseded"]
Role = Literal["owner", "editor", "viewer"]
PlanStatus = Literal["running", "complete", "failed"]
ReminderStatus = Literal["set", "fired", "dismissed"]
ProposalStatus = Literal["open", "approved", "declined"]

CLOSED: Final[frozenset[TaskStatus]] = frozenset({"done", "dropped"})
MAIN_THREAD: Final = "main"
BUILTIN_MODEL: Final = "builtin"


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """A thing to do. `due` is a date in the workspace's zone or an instant; `minutes` an estimate."""

    task_id: str
    title: str
    notes: str = ""
    status: TaskStatus = "open"
    priority: Priority = "normal"
    due: str | None = None
    tags: tuple[str, ...] = ()
    assignee: str | None = None
    repeat: str | None = None
    position: str = ""
    minutes: int | None = None
    version: int = 1
    created_at: str = ""
    created_by: str = ""
    updated_at: str = ""
    closed_at: str | None = None


class Thread(msgspec.Struct, frozen=True, kw_only=True):
    """A conversation; `assistant` says when the assistant answers in it."""

    thread_id: str
    title: str
    assistant: ThreadMode = "always"
    archived: bool = False
    created_at: str = ""
    created_by: str = ""


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One message. `seq`, set by `reduce`, is that of its event: the order of a conversation is the
    ledger's.
    """

    message_id: str
    thread_id: str
    role: Literal["user", "assistant"]
    author: str
    text: str
    status: MessageStatus = "complete"
    reply_to: str | None = None
    model: str | None = None
    created_at: str = ""
    seq: int | msgspec.UnsetType = msgspec.UNSET

    @property
    def place(self) -> tuple[int, str]:
        """Sorts messages as the ledger has them."""
        return self.seq or 0, self.message_id


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """Something to be remembered; `source` is the event it came from, null where a person wrote it down."""

    memory_id: str
    text: str
    tags: tuple[str, ...] = ()
    pinned: bool = False
    source: str | None = None
    created_at: str = ""
    created_by: str = ""


class Block(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a day's plan. `start` is an instant; `reason` says why it stands there."""

    task_id: str | None
    title: str
    start: str
    minutes: int
    reason: str


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """The plan of a date. While a new one is made the blocks of the last one stay."""

    plan_id: str
    date: str
    status: PlanStatus = "running"
    blocks: tuple[Block, ...] = ()
    summary: str = ""
    source: str | None = None
    error: str | None = None
    created_at: str = ""
    created_by: str = ""
    completed_at: str | None = None


class Reminder(msgspec.Struct, frozen=True, kw_only=True):
    """Something to be said at an instant."""

    reminder_id: str
    at: str
    text: str
    task_id: str | None = None
    status: ReminderStatus = "set"
    created_at: str = ""
    created_by: str = ""
    fired_at: str | None = None


class Digest(msgspec.Struct, frozen=True, kw_only=True):
    """A written summary of a period."""

    digest_id: str
    text: str
    since: str | None = None
    created_at: str = ""


class Proposal(msgspec.Struct, frozen=True, kw_only=True):
    """Actions that the assistant may not do by itself; a person approves or declines them."""

    proposal_id: str
    reason: str
    actions: tuple[dict[str, object], ...] = ()
    status: ProposalStatus = "open"
    created_at: str = ""
    answered_by: str | None = None
    answered_at: str | None = None


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """Someone who may take part, and how."""

    actor: str
    role: Role
    set_at: str = ""
    set_by: str = ""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What holds for the whole workspace; nothing is scheduled until its time is set."""

    timezone: str = "UTC"
    daily_plan_at: str | None = None
    digest_at: str | None = None
    model: str = BUILTIN_MODEL
    instructions: str = ""


class AssistantState(msgspec.Struct, frozen=True, kw_only=True):
    """What the assistant is at: open answers and the questions that wait for one, both in ledger order."""

    streaming: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()


Entry = Task | Thread | Message | Memory | Plan | Reminder | Digest | Proposal | Member
CollectionName = Literal[
    "tasks", "threads", "messages", "memory", "plans", "reminders", "digests", "proposals", "members"
]
COLLECTIONS: Final[dict[CollectionName, type[Entry]]] = {
    "tasks": Task,
    "threads": Thread,
    "messages": Message,
    "memory": Memory,
    "plans": Plan,
    "reminders": Reminder,
    "digests": Digest,
    "proposals": Proposal,
    "members": Member,
}
KEYS: Final[dict[type[Entry], str]] = {
    Task: "task_id",
    Thread: "thread_id",
    Message: "message_id",
    Memory: "memory_id",
    Plan: "date",
    Reminder: "reminder_id",
    Digest: "digest_id",
    Proposal: "proposal_id",
    Member: "actor",
}
SINGLES: Final = ("settings", "assistant")


class ThreadOrder(msgspec.Struct, frozen=True):
    """A thread's messages as (seq, message_id), oldest first, and the bytes of their text."""

    messages: tuple[tuple[int, str], ...] = ()
    text_bytes: int = 0


class Order(msgspec.Struct, frozen=True):
    """What trimming needs to know without a walk over everything."""

    open_tasks: int = 0
    closed_tasks: tuple[tuple[str, str], ...] = ()
    threads: Table[str, ThreadOrder] = Table()


class State(msgspec.Struct, frozen=True):
    """All of a workspace at one seq. `order` and `digest` follow from the rest."""

    tasks: Table[str, Task] = Table()
    threads: Table[str, Thread] = Table()
    messages: Table[str, Message] = Table()
    memory: Table[str, Memory] = Table()
    plans: Table[str, Plan] = Table()
    reminders: Table[str, Reminder] = Table()
    digests: Table[str, Digest] = Table()
    proposals: Table[str, Proposal] = Table()
    members: Table[str, Member] = Table()
    settings: Settings = Settings()
    assistant: AssistantState = AssistantState()
    order: Order = Order()
    digest: int = 0

    @property
    def digest_hex(self) -> str:
        """The digest as the wire has it: 32 hex digits."""
        return f"{self.digest:032x}"

    def thread_messages(self, thread_id: str) -> Iterator[Message]:
        """The messages of a thread in the order of the ledger, oldest first."""
        for _, message_id in self.order.threads.get(thread_id, _EMPTY_THREAD).messages:
            yield self.messages[message_id]


_EMPTY_THREAD: Final = ThreadOrder()
_MODULUS: Final = 1 << 128
_canonical = msgspec.json.Encoder(order="sorted").encode


def canonical(value: object) -> bytes:
    """Canonical JSON: keys by code point, no spaces, UTF-8 unescaped."""
    return _canonical(value)


def fingerprint(collection: str, key: str, entry: object) -> int:
    """BLAKE2b-128, big-endian, over `collection NUL key NUL canonical JSON` (the contract's digest of one
    entry).
    """
    head = f"{collection}\0{key}\0".encode()
    return int.from_bytes(blake2b(head + _canonical(entry), digest_size=16).digest(), "big")


def key_of(entry: Entry) -> str:
    """The key that an entry stands under in its collection."""
    return str(getattr(entry, KEYS[type(entry)]))


def put(state: State, collection: CollectionName, entry: Entry) -> State:
    """The state with `entry` in its collection, replacing the one with its key."""
    key, table = key_of(entry), getattr(state, collection)
    old = table.get(key)
    digest = state.digest + fingerprint(collection, key, entry)
    if old is not None:
        digest -= fingerprint(collection, key, old)
    return replace(
        state,
        **{collection: table.set(key, entry)},
        order=_reordered(state.order, old, entry),
        digest=digest % _MODULUS,
    )


def drop(state: State, collection: CollectionName, key: str) -> State:
    """The state without the entry of that key; the same where there is none."""
    table = getattr(state, collection)
    old = table.get(key)
    if old is None:
        return state
    digest = (state.digest - fingerprint(collection, key, old)) % _MODULUS
    order = _reordered(state.order, old, None)
    return replace(state, **{collection: table.delete(key)}, order=order, digest=digest)


def put_settings(state: State, settings: Settings) -> State:
    """The state with other settings."""
    change = _single_digest("settings", settings) - _single_digest("settings", state.settings)
    return replace(state, settings=settings, digest=(state.digest + change) % _MODULUS)


def put_assistant(state: State, assistant: AssistantState) -> State:
    """The state with the assistant at something else."""
    if assistant == state.assistant:
        return state
    change = _single_digest("assistant", assistant) - _single_digest("assistant", state.assistant)
    return replace(state, assistant=assistant, digest=(state.digest + change) % _MODULUS)


def recomputed(state: State) -> int:
    """The digest from nothing: what `state.digest` must be."""
    total = _single_digest("settings", state.settings) + _single_digest("assistant", state.assistant)
    for collection in COLLECTIONS:
        table: Mapping[str, Entry] = getattr(state, collection)
        total += sum(fingerprint(collection, key, entry) for key, entry in table.items())
    return total % _MODULUS


def assemble(
    entries: Iterable[tuple[CollectionName, Entry]], settings: Settings, assistant: AssistantState
) -> State:
    """A state from its entries: how a snapshot becomes one."""
    state = State(settings=settings, assistant=assistant)
    state = replace(
        state,
        digest=(_single_digest("settings", settings) + _single_digest("assistant", assistant)) % _MODULUS,
    )
    for collection, entry in entries:
        state = put(state, collection, entry)
    return state


def entries_of(state: State) -> Iterator[tuple[CollectionName, Entry]]:
    """Every entry of every collection, by key: a table's own order differs from process to process."""
    for collection in COLLECTIONS:
        table: Mapping[str, Entry] = getattr(state, collection)
        for key in sorted(table):
            yield collection, table[key]


def text_bytes(text: str) -> int:
    """Bytes of UTF-8; cheap for the ASCII that most text is."""
    return len(text) if text.isascii() else len(text.encode())


def _single_digest(collection: str, value: Settings | AssistantState) -> int:
    return sum(fingerprint(collection, name, getattr(value, name)) for name in value.__struct_fields__)


def _reordered(order: Order, old: Entry | None, new: Entry | None) -> Order:
    kind = type(new if new is not None else old)
    if kind is Task:
        return _reordered_tasks(order, old, new)  # type: ignore[arg-type]  # both are tasks where one is
    if kind is Message:
        return replace(order, threads=_reordered_messages(order.threads, old, new))  # type: ignore[arg-type]  # both are messages where one is
    return order


def _reordered_tasks(order: Order, old: Task | None, new: Task | None) -> Order:
    was, now = _closed_key(old), _closed_key(new)
    is_open = (new is not None and now is None) - (old is not None and was is None)
    if was == now and is_open == 0:
        return order
    closed = list(order.closed_tasks)
    if was is not None:
        del closed[bisect_left(closed, was)]
    if now is not None:
        insort(closed, now)
    return replace(order, open_tasks=order.open_tasks + is_open, closed_tasks=tuple(closed))


def _closed_key(task: Task | None) -> tuple[str, str] | None:
    if task is None or task.status not in CLOSED:
        return None
    return task.closed_at or "", task.task_id


def _reordered_messages(
    threads: Table[str, ThreadOrder], old: Message | None, new: Message | None
) -> Table[str, ThreadOrder]:
    if old is not None and new is not None and _stands(old) == _stands(new):
        thread = threads[new.thread_id]
        size = thread.text_bytes - text_bytes(old.text) + text_bytes(new.text)
        return threads.set(new.thread_id, ThreadOrder(thread.messages, size))
    if old is not None:
        threads = _without_message(threads, old)
    return threads if new is None else _with_message(threads, new)


def _stands(message: Message) -> tuple[str, tuple[int, str]]:
    return message.thread_id, message.place


def _with_message(threads: Table[str, ThreadOrder], message: Message) -> Table[str, ThreadOrder]:
    thread = threads.get(message.thread_id, _EMPTY_THREAD)
    messages = _inserted(thread.messages, message.place)
    size = thread.text_bytes + text_bytes(message.text)
    return threads.set(message.thread_id, ThreadOrder(messages, size))


def _without_message(threads: Table[str, ThreadOrder], message: Message) -> Table[str, ThreadOrder]:
    thread = threads[message.thread_id]
    place = bisect_left(thread.messages, message.place)
    messages = thread.messages[:place] + thread.messages[place + 1 :]
    if not messages:
        return threads.delete(message.thread_id)
    return threads.set(message.thread_id, ThreadOrder(messages, thread.text_bytes - text_bytes(message.text)))


def _inserted(items: tuple[tuple[int, str], ...], item: tuple[int, str]) -> tuple[tuple[int, str], ...]:
    if not items or items[-1] < item:
        return (*items, item)
    place = bisect_left(items, item)
    return (*items[:place], item, *items[place:])


def _initial() -> State:
    main = Thread(
        thread_id=MAIN_THREAD, title="Main", created_at="1970-01-01T00:00:00.000Z", created_by="system"
    )
    return assemble([("threads", main)], Settings(), AssistantState())


INITIAL: Final = _initial()
"""The state of an empty ledger: the thread `main` and nothing else."""
