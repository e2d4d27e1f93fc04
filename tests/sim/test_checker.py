"""Every invariant bites: an honest history passes, and one that was bent in one place does not."""

from __future__ import annotations

import copy
import functools
import json
from collections.abc import Callable, Iterator

import pytest

from tests.sim.checker import check, coverage
from tests.sim.facts import Json
from tests.sim.world import simulate

SEEDS = range(6, 60)
"""Where a history is looked for that has what a bend needs."""

Bend = Callable[[list[Json]], bool]
"""Changes a history in place; False where it holds nothing to change."""


@functools.cache
def honest(seed: int) -> list[Json]:
    return simulate(seed).records


def bent(bend: Bend) -> list[Json]:
    for seed in SEEDS:
        records = copy.deepcopy(honest(seed))
        if bend(records):
            return records
    raise AssertionError("no history has what this bend needs")


def of_kind(records: list[Json], kind: str) -> Iterator[Json]:
    return (record for record in records if record["kind"] == kind)


def frames(records: list[Json], kind: str, *types: str) -> Iterator[tuple[Json, Json]]:
    """Records of a kind with their frames, of these types."""
    for record in of_kind(records, kind):
        frame = json.loads(record["frame"])
        if frame["type"] in types:
            yield record, frame


def rewrite(found: Iterator[tuple[Json, Json]], change: Callable[[Json], object]) -> bool:
    """Change the first frame that there is."""
    for record, frame in found:
        change(frame)
        record["frame"] = json.dumps(frame)
        return True
    return False


def rewrite_row(records: list[Json], change: Callable[[Json], object], which: Callable[[Json], bool]) -> bool:
    for ledger in of_kind(records, "final_ledger"):
        for row in ledger["rows"]:
            event = json.loads(row["event"])
            if which(event):
                change(event)
                row["event"] = json.dumps(event)
                return True
    return False


def l1(records: list[Json]) -> bool:
    ledger = next(of_kind(records, "final_ledger"))
    return len(ledger["rows"]) > 2 and bool(ledger["rows"].pop(1))


def l2(records: list[Json]) -> bool:
    for ledger in of_kind(records, "final_ledger"):
        for row in ledger["rows"]:
            if row["type"] == "task.created":
                event = json.loads(row["event"])
                event["seq"], event["event_id"] = len(ledger["rows"]) + 1, "zzz"
                named = {"seq": event["seq"], "event_id": "zzz", "type": event["type"]}
                ledger["rows"].append(named | {"event": json.dumps(event)})
                return True
    return False


def l3(records: list[Json]) -> bool:
    return rewrite_row(
        records,
        lambda event: event.update(client_action_id="nobody"),
        lambda event: event["type"] == "task.created" and event["actor"] in ("ana", "bea", "cyd"),
    )


def l4(records: list[Json]) -> bool:
    acks = (one for one in frames(records, "down", "ack") if one[1]["seq"] is not None)
    return rewrite(acks, lambda ack: ack.update(event_ids=[*ack["event_ids"], "another"]))


def l5(records: list[Json]) -> bool:
    acks = (one for one in frames(records, "down", "ack") if one[1]["status"] == "duplicate")
    firsts = {
        one["client_action_id"] for _, one in frames(records, "down", "ack") if one["status"] == "applied"
    }
    both = (one for one in acks if one[1]["client_action_id"] in firsts)
    return rewrite(both, lambda ack: ack.update(seq=(ack["seq"] or 0) + 1))


def l6(records: list[Json]) -> bool:
    acks = (one for one in frames(records, "down", "ack") if one[1]["seq"] is not None)
    refusal = {"type": "reject", "code": "not_found", "message": "", "retryable": False}
    return rewrite(acks, lambda ack: ack.update(refusal))


def l7(records: list[Json]) -> bool:
    acked = [frame["client_action_id"] for _, frame in frames(records, "down", "ack") if frame["seq"]]
    for record in list(of_kind(records, "invoke")):
        if record["key"] in acked[:2] and len(acked) > 4:
            records.remove(record)
            records.insert(records.index(next(of_kind(records, "quiet"))), record)
            return True
    return False


def l8(records: list[Json]) -> bool:
    applied = {frame["client_action_id"] for _, frame in frames(records, "down", "ack") if frame["seq"]}
    by_client: dict[str, Json] = {}
    for record in of_kind(records, "invoke"):
        if record["key"] in applied:
            before = by_client.setdefault(record["client"], record)
            if before is not record:
                before["key"], record["key"] = record["key"], before["key"]
                return True
    return False


def l9(records: list[Json]) -> bool:
    boots = list(of_kind(records, "boot"))
    if len(boots) > 1:
        boots[1]["heads"] = dict.fromkeys(boots[1]["heads"], 0)
    return len(boots) > 1


def l10(records: list[Json]) -> bool:
    late = list(of_kind(records, "durable"))[-1]
    records.remove(late)
    records.append(late)
    return True


def l11(records: list[Json]) -> bool:
    for record in of_kind(records, "final_server"):
        for task in record["state"]["tasks"].values():
            task["title"] = "Something else"
            return True
    return False


def o1(records: list[Json]) -> bool:
    live = [record for record, _ in frames(records, "down", "events")]
    if len(live) > 3:
        records.remove(live[1])
    return len(live) > 3


def o2(records: list[Json]) -> bool:
    found = frames(records, "down", "events")
    return rewrite(found, lambda frame: frame["events"][0].update(timestamp="2001-01-01T00:00:00.000Z"))


def o3(records: list[Json]) -> bool:
    found = (
        one
        for one in frames(records, "down", "events")
        if len({event["client_action_id"] for event in one[1]["events"][-2:]}) < len(one[1]["events"][-2:])
    )
    return rewrite(found, lambda frame: frame["events"].pop())


def o4(records: list[Json]) -> bool:
    starts = [one for one in of_kind(records, "start") if one["seq"] > 0]
    if starts:
        starts[-1]["seq"] += 1_000
    return bool(starts)


def o5(records: list[Json]) -> bool:
    return rewrite(frames(records, "down", "snapshot"), lambda frame: frame.update(part=1))


def o6(records: list[Json]) -> bool:
    events = {record["conn"] for record, _ in frames(records, "down", "events")}
    snapshots = {record["conn"] for record, _ in frames(records, "down", "snapshot")}
    hellos = (
        one
        for one in frames(records, "up", "hello")
        if one[1]["since"] is not None and one[0]["conn"] in events - snapshots
    )
    return rewrite(hellos, lambda hello: hello.update(since="an event of no ledger"))


def o7(records: list[Json]) -> bool:
    return rewrite(frames(records, "down", "state.synced"), lambda frame: frame.update(seq=frame["seq"] + 1))


def o8(records: list[Json]) -> bool:
    next(of_kind(records, "quiet"))["settled"] = False
    return True


def o9(records: list[Json]) -> bool:
    for record in of_kind(records, "phase"):
        if record["phase"] == "offline":
            place = records.index(record)
            live = [
                one for one in records[:place] if one["kind"] == "phase" and one["client"] == record["client"]
            ]
            if live and live[-1]["phase"] == "live":
                for later in records[place:]:
                    later["t"] += 100.0
                return True
    return False


def c1(records: list[Json]) -> bool:
    for record in of_kind(records, "final_client"):
        if record["view"] and record["view"]["tasks"]:
            record["view"]["tasks"].clear()
            return True
    return False


def c2_left(records: list[Json]) -> bool:
    next(of_kind(records, "final_client"))["pending"] = ["r0-c1"]
    return True


def c2_lost(records: list[Json]) -> bool:
    for record in of_kind(records, "start"):
        if record["outbox"] and record["state"] is not None:
            record["outbox"].clear()
            return True
    return False


def c4(records: list[Json]) -> bool:
    for record in of_kind(records, "final_client"):
        if record["rejected"]:
            gone = record["rejected"].pop()
            for shown in of_kind(records, "shown"):
                shown["keys"] = [key for key in shown["keys"] if key != gone]
            return any(one["key"] == gone for one in of_kind(records, "queued"))
    return False


def p5_hole(records: list[Json]) -> bool:
    found = frames(records, "down", "llm.token")
    return rewrite(found, lambda frame: frame["payload"].update(offset=frame["payload"]["offset"] + 50))


def p5_end(records: list[Json]) -> bool:
    return rewrite_row(
        records,
        lambda event: event.update(type="message.stream", payload=event["payload"] | {"message_id": "m"}),
        lambda event: event["type"] == "llm.completed",
    )


def x1(records: list[Json]) -> bool:
    records.append({"t": 0.0, "kind": "loop_fault", "message": "a task failed", "error": "KeyError: 1"})
    return True


@pytest.mark.parametrize(
    ("invariant", "bend"),
    [
        ("L1", l1),
        ("L2", l2),
        ("L3", l3),
        ("L4", l4),
        ("L5", l5),
        ("L6", l6),
        ("L7", l7),
        ("L8", l8),
        ("L9", l9),
        ("L10", l10),
        ("L11", l11),
        ("O1", o1),
        ("O2", o2),
        ("O3", o3),
        ("O4", o4),
        ("O5", o5),
        ("O6", o6),
        ("O7", o7),
        ("O8", o8),
        ("O9", o9),
        ("X1", x1),
        ("C1", c1),
        ("C2", c2_left),
        ("C2", c2_lost),
        ("C4", c4),
        ("P5", p5_hole),
        ("P5", p5_end),
    ],
)
def test_an_invariant_bites(invariant: str, bend: Bend) -> None:
    """What was bent in one place is told by the invariant that is about it."""
    assert invariant in {one.invariant for one in check(bent(bend))}


def test_an_honest_history_passes() -> None:
    """Nothing is said of a run in which nothing went wrong."""
    assert not [str(one) for seed in range(6, 12) for one in check(honest(seed))]


def test_coverage_counts_once_a_run() -> None:
    """What a run met, it met once, however often."""
    assert set(coverage(honest(6)).values()) == {1}
