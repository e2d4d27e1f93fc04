"""The verdict on the histories of kill loops: the simulator's checker, what only HTTP promises, and the log files.

Must not know: the product; a history is JSON.
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.sim import checker
from tests.sim.check_ledger import STORED_REFUSALS
from tests.sim.facts import Facts, Json, Key, Violation, facts_of


def check(records: list[Json]) -> list[Violation]:
    """All that is wrong with a history."""
    return [*checker.check(records), *check_answers(facts_of(records))]


def check_answers(facts: Facts) -> Iterator[Violation]:
    """L4, L5 and L6 of answers over HTTP."""
    first: dict[Key, Json] = {}
    for record in facts.records:
        if record["kind"] != "answered":
            continue
        key = (record["workspace"], record["actor"], record["key"])
        there = facts.by_key.get(key, [])
        if record["status"] == "refused":
            if there and record["code"] in STORED_REFUSALS:
                yield Violation("L6", f"{key} was refused over HTTP and is there", record["t"])
            continue
        other = first.setdefault(key, record)
        if (other["seq"], other["event_ids"]) != (record["seq"], record["event_ids"]):
            yield Violation("L5", f"{key} was answered in two ways", record["t"])
        if record["event_ids"] != [event["event_id"] for event in there]:
            yield Violation(
                "L4", f"{key} was answered with {record['event_ids']}, of which not all are there"
            )


def log_records(name: str, text: str) -> list[Json]:
    """What a process wrote to stderr, as far as it tells of a bug."""
    traces = text.split("Traceback (most recent call last):")[1:]
    told = [line for line in text.splitlines() if "is not the server's" in line or " raised" in line]
    return [
        *({"t": 0.0, "kind": "log", "text": f"log of {name}", "trace": trace[-1500:]} for trace in traces),
        *({"t": 0.0, "kind": "log", "text": f"{name}: {line}", "trace": ""} for line in told),
    ]
