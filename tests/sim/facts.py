"""A history as facts that checks can walk over. Shares no code with the product: JSON in, plain values out.

Duty: parse frames once; index the final ledger; fold events independently.
Must not know: which facts are right.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]
Key = tuple[str, str, str]
"""Workspace, actor, client_action_id."""

PRODUCERS = frozenset({"assistant", "system"})


@dataclass(slots=True)
class Violation:
    """An invariant that did not hold, where, and what was seen."""

    invariant: str
    message: str
    t: float = 0.0

    def __str__(self) -> str:
        return f"{self.invariant} at {self.t:.3f} s: {self.message}"


@dataclass(slots=True)
class Conn:
    """One connection, as its client saw it."""

    number: int
    client: str
    actor: str
    workspace: str


@dataclass(slots=True)
class Facts:
    """Everything that the checks need."""

    records: list[Json]
    conns: dict[int, Conn] = field(default_factory=dict)
    final: dict[str, list[Json]] = field(default_factory=lambda: defaultdict(list))
    """Workspace -> its events, in order; the index is seq - 1."""
    by_key: dict[Key, list[Json]] = field(default_factory=lambda: defaultdict(list))
    seq_of: dict[tuple[str, str], int] = field(default_factory=dict)
    """(workspace, event_id) -> seq."""
    names: dict[int, str] = field(default_factory=dict)
    """Ledger key of a workspace -> its name."""
    _frames: dict[str, Json] = field(default_factory=dict)
    _folds: dict[tuple[str, int], Json] = field(default_factory=dict)

    def frame(self, record: Json) -> Json:
        """The frame of a record, parsed once."""
        text = record["frame"]
        found = self._frames.get(text)
        if found is None:
            found = self._frames[text] = json.loads(text)
        return found

    def conn(self, record: Json) -> Conn:
        return self.conns[record["conn"]]

    def head(self, workspace: str) -> int:
        return len(self.final[workspace])

    def state(self, workspace: str, seq: int) -> Json:
        """What the events up to `seq` make, folded here and from nothing."""
        found = self._folds.get((workspace, seq))
        if found is None:
            found = self._folds[workspace, seq] = folded(self.final[workspace][:seq])
        return found


def facts_of(records: list[Json]) -> Facts:
    """Index a history."""
    facts = Facts(records)
    for record in records:
        match record["kind"]:
            case "dial":
                facts.conns[record["conn"]] = Conn(
                    record["conn"], record["client"], record["actor"], record["workspace"]
                )
            case "final_ledger":
                _take_ledger(facts, record)
    return facts


def _take_ledger(facts: Facts, record: Json) -> None:
    workspace = record["workspace"]
    facts.names[record["key"]] = workspace
    for row in record["rows"]:
        event = json.loads(row["event"])
        facts.final[workspace].append(event)
        facts.by_key[workspace, event["actor"], event["client_action_id"]].append(event)
        facts.seq_of[workspace, event["event_id"]] = event["seq"]


# An own fold: what the contract says of payloads, in the fewest words

_WHOLE = {"task": "tasks", "memory": "memory", "member": "members", "thread": "threads"}
_IDS = {"tasks": "task_id", "memory": "memory_id", "members": "actor", "threads": "thread_id"}
_BOOKKEEPING = {"updated_at", "closed_at", "created_at", "set_at", "set_by", "source", "created_by"}


def folded(events: list[Json]) -> Json:
    """Tasks, memory, members, threads and messages after `events`, without what follows from them."""
    state: Json = {"tasks": {}, "memory": {}, "members": {}, "threads": {}, "messages": {}}
    for event in events:
        _fold(state, event["type"], event["payload"])
    return {name: {key: _bare(one) for key, one in group.items()} for name, group in state.items()}


def _fold(state: Json, kind: str, payload: Json) -> None:
    subject, _, verb = kind.partition(".")
    collection = _WHOLE.get(subject)
    if collection is not None:
        key = payload[_IDS[collection]]
        if verb in ("created", "added", "set"):
            state[collection][key] = dict(payload)
        elif verb == "updated":
            state[collection][key] |= payload["set"]
            if "version" in payload:
                state[collection][key]["version"] = payload["version"]
        elif verb in ("deleted", "removed"):
            del state[collection][key]
    elif kind == "message.created":
        state["messages"][payload["message_id"]] = {"text": payload["text"]}
    elif kind == "message.stream":
        state["messages"][payload["message_id"]] = {"text": "", "status": "streaming"}
    elif kind in ("llm.completed", "llm.interrupted"):
        status = "complete" if kind == "llm.completed" else "interrupted"
        state["messages"][payload["message_id"]] = {"text": payload["text"], "status": status}


def _bare(entry: Json) -> Json:
    """An entry without bookkeeping, and without what its event may leave out."""
    return {name: value for name, value in entry.items() if name not in _BOOKKEEPING and name != "undoes"}


def differences(own: Json, theirs: Json) -> str | None:
    """What the product's state has otherwise than the own fold; None where they agree."""
    for collection, entries in own.items():
        others = theirs.get(collection, {})
        # The thread that always exists was created by no event.
        odd = set(entries) ^ (set(others) - {"main"} if collection == "threads" else set(others))
        if odd:
            return f"{collection}: {sorted(odd)[:3]} on one side only"
        for key, entry in entries.items():
            wrong = [name for name, value in entry.items() if others[key].get(name) != value]
            if wrong:
                name = wrong[0]
                return f"{collection} {key}: {name} is {others[key].get(name)!r}, not {entry[name]!r}"
    return None
