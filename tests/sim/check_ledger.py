"""Invariants of the ledger: what it may hold, what acks and refusals promise about it. See docs/reliability.md.

Must not know: the product; everything is read from a history.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator

from tests.sim.facts import PRODUCERS, Facts, Json, Key, Violation, differences

STORED_REFUSALS = frozenset({"not_found", "conflict"})
"""Refusals that hold for every repeat; the others are judged afresh."""
ONCE_REFUSALS = frozenset({"invalid", "forbidden", "too_large", "limit"})
"""Refusals that hold for the one time that the action was sent."""


def check_ledger(facts: Facts) -> Iterator[Violation]:
    """L1 to L11."""
    yield from dense(facts)
    yield from once(facts)
    yield from no_ghosts(facts)
    yield from answers(facts)
    yield from real_time(facts)
    yield from program_order(facts)
    yield from never_shrinks(facts)
    yield from durable_first(facts)
    yield from states(facts)


def dense(facts: Facts) -> Iterator[Violation]:
    """L1: seqs are 1..n, ids rise, a row is what its bytes say."""
    for record in facts.records:
        if record["kind"] != "final_ledger":
            continue
        last_id = ""
        for place, row in enumerate(record["rows"], start=1):
            event = json.loads(row["event"])
            named = (row["seq"], row["event_id"], row["type"])
            if row["seq"] != place or (event["seq"], event["event_id"], event["type"]) != named:
                yield Violation("L1", f"row {place} of {record['workspace']} is {named}")
            if not last_id < event["event_id"]:
                yield Violation("L1", f"event id {event['event_id']} does not rise at {place}")
            last_id = event["event_id"]


def once(facts: Facts) -> Iterator[Violation]:
    """L2: the events of a key stand together, once, and make no entity a second time."""
    for key, events in facts.by_key.items():
        seqs = [event["seq"] for event in events]
        if seqs != list(range(seqs[0], seqs[0] + len(seqs))):
            yield Violation("L2", f"{key} is in the ledger at {seqs}")
    for workspace, events in facts.final.items():
        made: set[tuple[str, str]] = set()
        for event in events:
            payload = event["payload"]
            if event["type"] in ("message.created", "message.stream") or (
                event["type"] == "task.created" and "undoes" not in payload
            ):
                name = "task_id" if event["type"] == "task.created" else "message_id"
                entity = (name, payload[name])
                if entity in made:
                    yield Violation("L2", f"{workspace}: {entity[1]} was made twice, again at {event['seq']}")
                made.add(entity)


def no_ghosts(facts: Facts) -> Iterator[Violation]:
    """L3: what a person is said to have done, that person did, before it was there."""
    invoked: dict[Key, Json] = {}
    for record in facts.records:
        if record["kind"] == "invoke":
            invoked.setdefault((record["workspace"], record["actor"], record["key"]), record)
    for key, events in facts.by_key.items():
        if key[1] in PRODUCERS:
            continue
        if key not in invoked:
            yield Violation("L3", f"nobody did {key}")
            continue
        record = invoked[key]
        if record["type"] != events[0]["cause"]:
            yield Violation("L3", f"{key} was a {record['type']}, not a {events[0]['cause']}")
        elif record["type"] == "user.create_task" and (
            events[0]["payload"]["title"] != record["payload"]["title"]
        ):
            yield Violation("L3", f"{key} has another title")


def answers(facts: Facts) -> Iterator[Violation]:
    """L4: what was acked is there. L5: answers to one key agree. L6: what was refused is not there."""
    first: dict[Key, Json] = {}
    sent = times_sent(facts)
    for record in facts.records:
        if record["kind"] != "down":
            continue
        frame = facts.frame(record)
        if frame["type"] not in ("ack", "reject"):
            continue
        conn = facts.conn(record)
        key = (conn.workspace, conn.actor, frame["client_action_id"])
        if frame["type"] == "ack":
            yield from _acked(facts, key, frame, record["t"])
        elif key in facts.by_key and (
            frame["code"] in STORED_REFUSALS or (frame["code"] in ONCE_REFUSALS and sent[key] == 1)
        ):
            yield Violation("L6", f"{key} was refused ({frame['code']}) and is there", record["t"])
        if frame["type"] == "ack" or frame["code"] in STORED_REFUSALS:
            other = first.setdefault(key, frame)
            yield from _agree(key, other, frame, record["t"])


def times_sent(facts: Facts) -> Counter[Key]:
    """How often each action was sent."""
    sent: Counter[Key] = Counter()
    for record in facts.records:
        if record["kind"] == "up":
            frame, conn = facts.frame(record), facts.conn(record)
            if "client_action_id" in frame:
                sent[conn.workspace, conn.actor, frame["client_action_id"]] += 1
    return sent


def _acked(facts: Facts, key: Key, frame: Json, t: float) -> Iterator[Violation]:
    there = facts.by_key.get(key, [])
    ids = [event["event_id"] for event in there]
    if ids != frame["event_ids"]:
        yield Violation("L4", f"{key} was acked with {frame['event_ids']}; the ledger holds {ids}", t)
    elif there and there[-1]["seq"] != frame["seq"]:
        yield Violation("L4", f"{key} was acked at {frame['seq']}, it is at {there[-1]['seq']}", t)


def _agree(key: Key, one: Json, other: Json, t: float) -> Iterator[Violation]:
    told = [
        (frame["type"], frame.get("seq"), frame.get("event_ids"), frame.get("code")) for frame in (one, other)
    ]
    if told[0] != told[1]:
        yield Violation("L5", f"{key} was answered with {told[0]} and with {told[1]}", t)


def real_time(facts: Facts) -> Iterator[Violation]:
    """L7: what was done after an ack stands behind what was acked."""
    acked: dict[str, int] = defaultdict(int)
    for record in facts.records:
        if record["kind"] == "down":
            frame = facts.frame(record)
            if frame["type"] == "ack" and frame["seq"] is not None:
                workspace = facts.conn(record).workspace
                acked[workspace] = max(acked[workspace], frame["seq"])
        elif record["kind"] == "invoke" and "void" not in record:
            there = facts.by_key.get((record["workspace"], record["actor"], record["key"]))
            if there and there[0]["seq"] <= acked[record["workspace"]]:
                yield Violation("L7", f"{record['key']} stands before what was acked before it", record["t"])


def program_order(facts: Facts) -> Iterator[Violation]:
    """L8: one client's actions stand in the order in which they were done."""
    last: dict[str, tuple[int, str]] = {}
    for record in facts.records:
        if record["kind"] != "invoke" or "void" in record:
            continue
        there = facts.by_key.get((record["workspace"], record["actor"], record["key"]))
        if there:
            before, name = last.get(record["client"], (0, ""))
            if there[0]["seq"] < before:
                yield Violation("L8", f"{record['key']} overtook {name}", record["t"])
            last[record["client"]] = (there[0]["seq"], record["key"])


def never_shrinks(facts: Facts) -> Iterator[Violation]:
    """L9: a boot finds at least all that anybody was shown."""
    shown: dict[str, int] = defaultdict(int)
    for record in facts.records:
        if record["kind"] == "down":
            workspace = facts.conn(record).workspace
            shown[workspace] = max(shown[workspace], _seq_in(facts.frame(record)))
        elif record["kind"] == "restore":
            shown.clear()
        elif record["kind"] == "boot":
            for workspace, seq in shown.items():
                if record["heads"].get(workspace, 0) < seq:
                    yield Violation(
                        "L9", f"{workspace} is at {record['heads']}, {seq} was shown", record["t"]
                    )


def durable_first(facts: Facts) -> Iterator[Violation]:
    """L10: nothing leaves the server before the flush that covers it."""
    durable: dict[str, int] = defaultdict(int)
    for record in facts.records:
        if record["kind"] == "durable":
            workspace = facts.names[record["workspace"]]
            durable[workspace] = max(durable[workspace], record["seq"])
        elif record["kind"] == "restore":
            durable.update(record["heads"])
        elif record["kind"] == "out":
            workspace, seq = facts.conn(record).workspace, _seq_in(facts.frame(record))
            if seq > durable[workspace]:
                kind = facts.frame(record)["type"]
                yield Violation("L10", f"{kind} with {seq} left at {durable[workspace]}", record["t"])


def _seq_in(frame: Json) -> int:
    """The largest seq that a frame speaks of."""
    match frame["type"]:
        case "events":
            return int(frame["events"][-1]["seq"])
        case "welcome":
            return int(frame["head"]["seq"])
        case _:
            return int(frame.get("seq") or 0)


def states(facts: Facts) -> Iterator[Violation]:
    """L11: every state that anybody is given is the fold of the ledger up to its seq."""
    parts: dict[int, list[Json]] = defaultdict(list)
    for record in facts.records:
        if record["kind"] == "final_server":
            yield from _same(facts, record["workspace"], record["seq"], record["state"], "L11", record)
        elif record["kind"] == "down":
            frame = facts.frame(record)
            if frame["type"] == "snapshot":
                parts[record["conn"]].append(frame)
                if frame["last"]:
                    whole = merged(parts.pop(record["conn"]))
                    yield from _same(facts, facts.conn(record).workspace, frame["seq"], whole, "L11", record)


def merged(parts: list[Json]) -> Json:
    """The state of all parts of a snapshot."""
    whole: Json = defaultdict(dict)
    for part in parts:
        for name, entries in part["state"].items():
            whole[name] |= entries
    return whole


def _same(
    facts: Facts, workspace: str, seq: int, theirs: Json, invariant: str, record: Json
) -> Iterator[Violation]:
    if seq > facts.head(workspace):
        yield Violation(
            invariant, f"a state at {seq}, the ledger ends at {facts.head(workspace)}", record["t"]
        )
        return
    wrong = differences(facts.state(workspace, seq), theirs)
    if wrong is not None:
        yield Violation(invariant, f"the state at {seq} is not the fold: {wrong}", record["t"])
