"""Invariants of clients: nothing that was done vanishes, what is shown is the ledger and what is pending.

Must not know: the product; everything is read from a history.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.sim.facts import Facts, Json, Violation, differences


@dataclass(slots=True)
class Doings:
    """What one client did, and what became of it as far as it was told."""

    actor: str = ""
    workspace: str = ""
    queued: list[str] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)
    without_events: set[str] = field(default_factory=set)
    shown: set[str] = field(default_factory=set)
    given: dict[str, int] = field(default_factory=dict)
    """Own keys whose events came one by one (a snapshot does not say which actions it covers), and their seq."""


def check_clients(facts: Facts) -> Iterator[Violation]:
    """C1, C2, C4, and that no client meets a bug of its own."""
    doings: dict[str, Doings] = defaultdict(Doings)
    for record in facts.records:
        match record["kind"]:
            case "start":
                one = doings[record["client"]]
                one.actor, one.workspace = record["actor"], record["workspace"]
                if "void" not in record:
                    yield from _found(facts, one, record)
            case "queued":
                doings[record["client"]].queued.append(record["key"])
            case "settled" if record["status"] == "refused":
                doings[record["client"]].refused.add(record["key"])
            case "shown":
                doings[record["client"]].shown.update(record["keys"])
            case "down":
                _note(doings[facts.conn(record).client], facts.frame(record))
            case "final_client":
                yield from _left(facts, doings[record["client"]], record)


def _note(one: Doings, frame: Json) -> None:
    if frame["type"] == "ack" and frame["seq"] is None:
        one.without_events.add(frame["client_action_id"])
    elif frame["type"] == "reject" and not frame["retryable"]:
        one.refused.add(frame["client_action_id"])
    elif frame["type"] == "snapshot":
        one.given.clear()
    elif frame["type"] == "events":
        for event in frame["events"]:
            if event["actor"] == one.actor:
                one.given[event["client_action_id"]] = event["seq"]


def _found(facts: Facts, one: Doings, record: Json) -> Iterator[Violation]:
    """What a client finds when it starts again."""
    name, t = record["client"], record["t"]
    if record["state"] is not None:
        wrong = differences(facts.state(one.workspace, record["seq"]), record["state"])
        if wrong is not None:
            yield Violation(
                "O4", f"{name} starts with what is not the ledger up to {record['seq']}: {wrong}", t
            )
    kept = set(record["outbox"]) | set(record["rejected"])
    one.given = {key: seq for key, seq in one.given.items() if seq <= record["seq"]}
    for key in one.queued:
        there = facts.by_key.get((one.workspace, one.actor, key))
        is_applied = there is not None and there[-1]["seq"] <= record["seq"]
        if key in record["outbox"] and key in one.given and record["state"] is not None:
            yield Violation("C2", f"{name} starts with {key} both pending and confirmed", t)
        if not (key in kept or is_applied or key in one.without_events or _is_dismissed(one, key, record)):
            yield Violation("C2", f"{name} starts without {key}, which it had kept", t)


def _is_dismissed(one: Doings, key: str, record: Json) -> bool:
    """A script keeps no refusals; a resident's stay until someone has seen them."""
    return key in one.refused and record["state"] is None


def _left(facts: Facts, one: Doings, record: Json) -> Iterator[Violation]:
    """What a client shows at the end."""
    name, t = record["client"], record["t"]
    for key in record["pending"]:
        yield Violation("C2", f"{name} still has {key} pending", t)
    for key in one.queued:
        there = (one.workspace, one.actor, key) in facts.by_key
        if not there and key not in one.refused and key not in one.without_events:
            yield Violation("C2", f"{key} of {name} has vanished", t)
    if record["confirmed"] is None:
        return
    own = facts.state(one.workspace, min(record["seq"], facts.head(one.workspace)))
    for what in ("confirmed", "view"):
        wrong = differences(own, record[what])
        if wrong is not None:
            yield Violation("C1", f"{name} shows what is not the ledger ({what}): {wrong}", t)
    if len(set(record["rejected"])) != len(record["rejected"]):
        yield Violation("C4", f"{name} shows a refusal twice", t)
    for key in set(one.queued) & one.refused - one.shown - set(record["rejected"]):
        yield Violation("C4", f"{name} never showed the refusal of {key}", t)
    if record["streams"]:
        yield Violation("P5", f"{name} still shows open answers: {sorted(record['streams'])}", t)
