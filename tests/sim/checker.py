"""The verdict on a history: which invariants did not hold, and whether the run met its faults.

Duty: run all checks; count what was met, so that a run without faults is void and not a success.
Must not know: the product. Nothing here imports it; a history from elsewhere is judged the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from tests.sim.check_clients import check_clients
from tests.sim.check_ledger import check_ledger
from tests.sim.check_readers import check_readers
from tests.sim.facts import Facts, Json, Violation, facts_of


def check(records: list[Json]) -> list[Violation]:
    """All that is wrong with a history, in the order of the checks."""
    facts = facts_of(_since_restore(records))
    if not any(one["kind"] == "quiet" for one in records):
        return [*no_bugs(facts), Violation("X1", "the run did not come to its end", facts.records[-1]["t"])]
    return [
        *check_ledger(facts),
        *check_readers(facts),
        *check_clients(facts),
        *no_bugs(facts),
    ]


_PROMISES = frozenset({"queued", "settled", "shown", "phase"})
_FRAMES = frozenset({"up", "out", "down", "over"})


def _since_restore(records: list[Json]) -> list[Json]:
    """Where a backup took the ledger's place, what was promised before is void: what is left must be whole."""
    last = max((place for place, one in enumerate(records) if one["kind"] == "restore"), default=None)
    if last is None:
        return records
    old = {one["conn"] for one in records[:last] if one["kind"] == "dial"}
    return [
        {**one, "void": True} if one["kind"] == "start" or (one["kind"] == "invoke" and place < last) else one
        for place, one in enumerate(records)
        if not (place < last and one["kind"] in _PROMISES)
        and not (one["kind"] in _FRAMES and one["conn"] in old)
    ]


def no_bugs(facts: Facts) -> Iterator[Violation]:
    """X1: no exception reached a log or the loop. X2: no end found that it holds another state than the other."""
    for record in facts.records:
        if record["kind"] == "loop_fault":
            yield Violation("X1", f"{record['message']}: {record['error']}", record["t"])
        elif record["kind"] == "log":
            if record["trace"]:
                yield Violation("X1", f"{record['text']}: {record['trace']}", record["t"])
            elif "is not the server's" in record["text"] or "raised" in record["text"]:
                yield Violation("X2", record["text"], record["t"])


def coverage(records: list[Json]) -> Counter[str]:
    """What a run met, by name; each counts once a run."""
    facts = facts_of(records)
    met = {record["what"] for record in records if record["kind"] == "fault"}
    since: dict[int, str | None] = {}
    for record in records:
        if record["kind"] == "up" and facts.frame(record)["type"] == "hello":
            since[record["conn"]] = facts.frame(record)["since"]
        elif record["kind"] == "down":
            frame = facts.frame(record)
            cursor = since.get(record["conn"])
            if frame["type"] == "welcome" and cursor is not None and cursor != frame["head"]["event_id"]:
                met.add("reconnect_behind")
            elif frame["type"] == "snapshot":
                met.add(f"snapshot_{frame['reason']}")
                met |= {"snapshot_in_parts"} if frame["part"] else set()
            elif frame["type"] == "ack" and frame["status"] == "duplicate":
                met.add("duplicate_ack")
            elif frame["type"] == "llm.token":
                met.add("token")
            elif frame["type"] == "reject":
                met.add(f"reject_{frame['code']}")
        elif record["kind"] == "kill":
            met.add("client_killed")
    return Counter(met)
