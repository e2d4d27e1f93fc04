"""What hypothesis tries: any payload of any event, any payload of any action, and whole stories.

A story is what a workspace lives through: several people, the assistant and the system act in turn, each action is
decided and what it gives is reduced, on a clock that sometimes steps back. Names come from small pools, so that
actions meet the same things, and what is there is named more often than what is not.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

import msgspec
from hypothesis import strategies as st

from protocol import ids, times
from protocol.actions import ACTIONS, Action, parse
from protocol.decide import Context, Decision, decide
from protocol.errors import Refused
from protocol.events import EVENTS, TYPE_OF, WHOLE_ENTITY, Event, Head, Payload, Unknown
from protocol.reduce import fold
from protocol.state import INITIAL, State
from tests.support.fixtures import NOW_MS

Draw = Callable[[st.SearchStrategy], Any]
Wish = tuple[str, str, dict[str, object]]
"""Actor, action type, payload."""

# Any character that has UTF-8, with those that interpreters stumble over more often than by chance.
CHARACTERS = st.one_of(
    st.sampled_from('aZ0 \t\n\x00\x1b\x7f"\\/\u2028é😀e\u0301\u202e\ufeff\U0010ffff'),
    st.characters(exclude_categories=["Cs"]),
)
TEXTS = st.text(CHARACTERS, max_size=12)
SAID = st.one_of(st.sampled_from(["hello", "@assistant plan my day", "what is due?", "é" * 40]), TEXTS)
NAMES = st.sampled_from(["ana", "ed", "vi", "zoe", "assistant"])
INSTANTS = st.integers(0, 3_000_000).map(lambda seconds: times.format_ms(NOW_MS + seconds * 1000 + 7))
DATES = st.sampled_from(["2026-11-21", "2026-11-22", "2026-11-23", "2027-01-01"])
INTEGERS = st.one_of(st.integers(0, 9), st.integers(-(2**63), 2**64 - 1))

POOLS: Mapping[str, st.SearchStrategy] = {
    "task_id": st.sampled_from(["t1", "t2", "t3", "t4"]),
    "message_id": st.sampled_from(["m1", "m2", "m3", "m4"]),
    "reply_to": st.sampled_from(["m1", "m2", "m3", "m4"]),
    "thread_id": st.sampled_from(["main", "main", "th1", "th2"]),
    "memory_id": st.sampled_from(["me1", "me2", "me3"]),
    "plan_id": st.sampled_from(["p1", "p2"]),
    "reminder_id": st.sampled_from(["r1", "r2", "r3"]),
    "digest_id": st.sampled_from(["d1", "d2"]),
    "proposal_id": st.sampled_from(["pr1", "pr2"]),
    "client_action_id": st.sampled_from(["c1", "c2"]),
    "actor": NAMES,
    "assignee": NAMES,
    "date": DATES,
    "due": st.one_of(DATES, INSTANTS),
    "position": st.text("0123456789abcxyz", min_size=1, max_size=4),
    "timezone": st.sampled_from(["UTC", "Europe/Berlin", "Nowhere/Here"]),
    "daily_plan_at": st.sampled_from(["08:30", "25:00"]),
    "digest_at": st.sampled_from(["18:00", "noon"]),
    "until": INSTANTS,
    "at": INSTANTS,
    "minutes": st.integers(-1, 600),
    "if_version": st.integers(0, 4),
}
"""What a field of that name holds, where any text would meet nothing."""

JSON_VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), INTEGERS, TEXTS, st.floats(allow_nan=False, allow_infinity=False)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=6,
)
WHOLE_VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), INTEGERS, TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=6,
)
"""JSON without floats, which is all that state may hold."""


def values_of(hint: object, name: str = "") -> st.SearchStrategy:
    """Values of a type of the shared language; a field's name may say more than its type."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Literal:
        return st.sampled_from(inner)
    if origin in (Union, UnionType):
        return st.one_of([values_of(one, name) for one in inner])
    if origin is tuple:
        return st.lists(values_of(inner[0], name), max_size=3).map(tuple)
    if origin is dict:
        return st.dictionaries(TEXTS, WHOLE_VALUES, max_size=3)
    if hint is msgspec.UnsetType:
        return st.just(msgspec.UNSET)
    if hint is type(None):
        return st.none()
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return structs(hint)
    if hint is bool:
        return st.booleans()
    if name in POOLS:
        return POOLS[name]
    if hint is str and name.endswith("_at"):
        return INSTANTS
    return {int: INTEGERS, str: TEXTS, float: st.floats(0, 1e6)}[hint]  # type: ignore[index]  # one of the three


def structs(kind: type[msgspec.Struct]) -> st.SearchStrategy:
    """Any value of a struct type."""
    fields = {one.name: values_of(one.type, one.name) for one in msgspec.structs.fields(kind)}
    return st.builds(kind, **fields)


def _payloads_of(kind: type[Payload]) -> st.SearchStrategy[Payload]:
    entity = WHOLE_ENTITY.get(kind)
    if entity is None:
        return structs(kind)
    return st.builds(kind, entity=structs(entity))


UNKNOWN_PAYLOADS = st.builds(Unknown, fields=st.dictionaries(TEXTS, WHOLE_VALUES, max_size=3))
PAYLOADS = st.one_of([*(_payloads_of(kind) for kind in EVENTS.values()), UNKNOWN_PAYLOADS])
"""Any payload of any event, likely or not."""

INTENTS = st.sampled_from(sorted(ACTIONS)).flatmap(
    lambda name: st.tuples(st.just(name), structs(ACTIONS[name]))
)
"""Any action type with any value of its payload's type, in bounds or not."""


@st.composite
def any_events(draw: Draw, max_size: int = 25) -> tuple[Event, ...]:
    """A ledger in which anything may have happened: only the stamps are in order."""
    payloads = draw(st.lists(PAYLOADS, max_size=max_size))
    clock = Clock()
    return tuple(
        stamp(
            payload,
            seq,
            clock.tick(draw(TICKS)),
            actor=draw(NAMES),
            client_action_id=f"c{seq}",
            cause="user.x",
        )
        for seq, payload in enumerate(payloads, start=1)
    )


class Clock:
    """Milliseconds that may step back, and event ids that do not."""

    def __init__(self) -> None:
        self.now_ms = NOW_MS
        self.last = (0, 0)

    def tick(self, elapsed_ms: int) -> Clock:
        self.now_ms += elapsed_ms
        return self

    def event_id(self) -> str:
        self.last = ids.successor(self.last, self.now_ms)
        return ids.uuid_v7(*self.last, 0)


TICKS = st.one_of(st.just(0), st.integers(1, 90_000), st.integers(-5_000, -1))


def stamp(
    payload: Payload, seq: int, clock: Clock, *, actor: str, client_action_id: str, cause: str
) -> Event:
    """What the server makes of a payload."""
    name = "tomorrow.happened" if isinstance(payload, Unknown) else TYPE_OF[type(payload)]
    return Event(
        seq=seq,
        event_id=clock.event_id(),
        timestamp=times.format_ms(clock.now_ms),
        type=name,
        actor=actor,
        client_action_id=client_action_id,
        cause=cause,
        payload=payload,
    )


class Step(msgspec.Struct, frozen=True):
    """One action of a story: what it met, what it gave."""

    action: Action
    context: Context
    before: State
    decision: Decision
    events: tuple[Event, ...]
    after: State


class Story(msgspec.Struct, frozen=True):
    """What a workspace lived through."""

    steps: tuple[Step, ...]

    @property
    def events(self) -> tuple[Event, ...]:
        return tuple(event for step in self.steps for event in step.events)

    @property
    def state(self) -> State:
        return self.steps[-1].after if self.steps else INITIAL

    @property
    def head(self) -> Head:
        events = self.events
        return Head(events[-1].seq, events[-1].event_id) if events else Head()


class Ref(msgspec.Struct, frozen=True):
    """Something that is there when the action is sent, or, for the last of them, a name that may be nobody's."""

    table: str
    place: int
    otherwise: str

    def found_in(self, state: State) -> str:
        there = _THERE[self.table](state)
        return (*there, self.otherwise)[self.place % (len(there) + 1)]


_THERE: Mapping[str, Callable[[State], tuple[str, ...]]] = {
    "streaming": lambda state: state.assistant.streaming,
    "waiting": lambda state: state.assistant.waiting,
    "running": lambda state: tuple(
        sorted(one.plan_id for one in state.plans.values() if one.status == "running")
    ),
    "tasks": lambda state: tuple(sorted(state.tasks)),
    "threads": lambda state: tuple(sorted(state.threads)),
    "messages": lambda state: tuple(sorted(state.messages)),
    "memory": lambda state: tuple(sorted(state.memory)),
    "members": lambda state: tuple(sorted(state.members)),
}


def ref(table: str, field: str) -> st.SearchStrategy[Ref]:
    """Something in a table of the state, or a name of that field's pool."""
    return st.builds(Ref, st.just(table), st.integers(0, 7), POOLS[field])


PEOPLE = st.sampled_from(["ana", "ana", "ana", "ana", "ed", "ed", "vi", "zoe"])
ASSISTANT, SYSTEM = st.just("assistant"), st.just("system")
_TITLES = st.sampled_from(["Buy milk", "Call Zoë", "\x1b[31mred"])
_MODES = st.sampled_from(["always", "mention", "never"])
_TAGS = st.lists(st.sampled_from(["home", "é", "x y"]), max_size=2)
_TASK_OPTIONS: Mapping[str, st.SearchStrategy] = {
    "notes": TEXTS,
    "due": POOLS["due"] | st.none(),
    "priority": st.sampled_from(["low", "normal", "high", "urgent"]),
    "tags": _TAGS,
    "assignee": POOLS["assignee"] | st.none(),
    "position": POOLS["position"],
    "minutes": st.integers(1, 600) | st.none(),
}
_STATUSES = st.sampled_from(["open", "doing", "done", "dropped"])
_BLOCKS = st.just([{"task_id": None, "title": "x", "start": "s", "minutes": 1, "reason": "r"}])


def _wish(
    actors: st.SearchStrategy,
    name: str,
    /,
    optional: Mapping[str, st.SearchStrategy] | None = None,
    **required: object,
) -> st.SearchStrategy[Wish]:
    fields = st.fixed_dictionaries(required, optional=dict(optional or {}))  # type: ignore[arg-type]  # strategies
    return st.tuples(actors, st.just(name), fields)


_TALK = [
    _wish(
        PEOPLE,
        "user.message",
        {
            "message_id": POOLS["message_id"],
            "thread_id": ref("threads", "thread_id"),
            "supersede": st.booleans(),
        },
        text=SAID,
    ),
    _wish(PEOPLE, "user.message", text=SAID),
    _wish(PEOPLE, "user.interrupt", message_id=ref("messages", "message_id")),
    _wish(ASSISTANT, "assistant.answer", reply_to=ref("waiting", "message_id")),
    _wish(ASSISTANT, "assistant.complete", message_id=ref("streaming", "message_id"), text=TEXTS),
    _wish(
        SYSTEM,
        "system.interrupt",
        message_id=ref("streaming", "message_id"),
        text=TEXTS,
        reason=st.sampled_from(["error", "stalled", "server_restart"]),
    ),
    _wish(
        PEOPLE, "user.create_thread", {"thread_id": POOLS["thread_id"], "assistant": _MODES}, title=_TITLES
    ),
    _wish(
        PEOPLE,
        "user.update_thread",
        {"assistant": _MODES, "archived": st.booleans(), "title": _TITLES},
        thread_id=ref("threads", "thread_id"),
    ),
]
_TASKS = [
    _wish(PEOPLE, "user.create_task", {"task_id": POOLS["task_id"], **_TASK_OPTIONS}, title=_TITLES),
    _wish(
        PEOPLE,
        "user.update_task",
        {"title": _TITLES, "status": _STATUSES, "if_version": POOLS["if_version"], **_TASK_OPTIONS},
        task_id=ref("tasks", "task_id"),
    ),
    _wish(PEOPLE, "user.update_task", task_id=ref("tasks", "task_id"), status=_STATUSES),
    _wish(PEOPLE, "user.delete_task", task_id=ref("tasks", "task_id")),
    _wish(ASSISTANT, "assistant.create_task", _TASK_OPTIONS, title=_TITLES),
]
_REST = [
    _wish(PEOPLE, "user.request_plan", {"date": DATES}),
    _wish(
        ASSISTANT,
        "assistant.plan",
        plan_id=ref("running", "plan_id"),
        blocks=_BLOCKS,
        summary=TEXTS,
        source=st.just("builtin"),
    ),
    _wish(
        SYSTEM,
        "system.complete_plan",
        {"error": TEXTS},
        plan_id=ref("running", "plan_id"),
        status=st.sampled_from(["complete", "failed"]),
    ),
    _wish(
        PEOPLE,
        "user.remember",
        {"memory_id": POOLS["memory_id"], "tags": _TAGS, "pinned": st.booleans()},
        text=SAID,
    ),
    _wish(
        PEOPLE,
        "user.update_memory",
        {"text": SAID, "tags": _TAGS, "pinned": st.booleans()},
        memory_id=ref("memory", "memory_id"),
    ),
    _wish(PEOPLE, "user.forget", memory_id=ref("memory", "memory_id")),
    _wish(PEOPLE, "user.update_settings", {"timezone": POOLS["timezone"], "model": st.just("m")}),
    _wish(PEOPLE, "user.set_member", actor=NAMES, role=st.sampled_from(["owner", "editor", "viewer"])),
    _wish(PEOPLE, "user.remove_member", actor=ref("members", "actor")),
    _wish(PEOPLE, "user.undo", client_action_id=POOLS["client_action_id"]),
]
WISHES = st.one_of(st.one_of(_TALK), _TASKS[0], st.one_of(_TASKS), st.one_of(_REST))
"""What somebody may want: mostly of what is there, sometimes of what is not, sometimes without being allowed to."""

FOUNDING: tuple[Wish, ...] = (
    ("system", "system.set_member", {"actor": "ana", "role": "owner"}),
    ("ana", "user.set_member", {"actor": "ed", "role": "editor"}),
    ("ana", "user.set_member", {"actor": "vi", "role": "viewer"}),
)


@st.composite
def stories(draw: Draw, max_size: int = 40) -> Story:
    """A story of at most so many actions after the founding of the workspace."""
    # The size is drawn first: left alone, a list would mostly be of five.
    size = draw(st.integers(0, max_size))
    wanted = draw(st.lists(st.tuples(TICKS, WISHES), min_size=size, max_size=size))
    return told([*((0, wish) for wish in FOUNDING), *wanted])


def told(wanted: Iterable[tuple[int, Wish]]) -> Story:
    """What becomes of wishes, each with the milliseconds since the one before."""
    clock, state, seq = Clock(), INITIAL, 0
    steps: list[Step] = []
    for place, (elapsed_ms, wish) in enumerate(wanted):
        step = _act(state, wish, clock.tick(elapsed_ms), place, seq)
        if step is not None:
            steps.append(step)
            state, seq = step.after, seq + len(step.events)
    return Story(tuple(steps))


def _act(state: State, wish: Wish, clock: Clock, place: int, after: int) -> Step | None:
    """What a wish does; None where it is no action at all."""
    actor, name, fields = wish
    payload = {key: one.found_in(state) if isinstance(one, Ref) else one for key, one in fields.items()}
    action = parse(name, f"c{place}", json.dumps(payload).encode())
    if isinstance(action, Refused):
        return None
    texts = {one: f"text of {one}" for one in state.assistant.streaming}
    context = Context(actor=actor, now=times.format_ms(clock.now_ms), stream_texts=texts)
    decision = decide(state, action, context)
    payloads = () if isinstance(decision, Refused) else decision
    events = tuple(
        stamp(one, seq, clock, actor=actor, client_action_id=action.client_action_id, cause=action.type)
        for seq, one in enumerate(payloads, start=after + 1)
    )
    return Step(action, context, state, decision, events, fold(state, events))
