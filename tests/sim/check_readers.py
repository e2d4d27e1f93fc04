"""Invariants of what readers see: one order without gap or repeat, whole replays, tokens that end.

Must not know: the product; everything is read from a history.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.sim.facts import Facts, Json, Violation

SILENCE_MAX_S = 30.0
"""Two intervals of `head`: who shows "live" has heard something within them."""


@dataclass(slots=True)
class Reading:
    """Where one connection is."""

    since: str | None = None
    want: str = "state"
    position: int | None = None
    parts: int = 0
    began: bool = False
    live: bool = False
    texts: dict[str, str] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)


def check_readers(facts: Facts) -> Iterator[Violation]:
    """O1 to O10, P5."""
    readings: dict[int, Reading] = defaultdict(Reading)
    for record in facts.records:
        if record["kind"] == "up":
            frame = facts.frame(record)
            if frame["type"] == "hello":
                reading = readings[record["conn"]]
                reading.since, reading.want = frame["since"], frame["want"]
        elif record["kind"] == "down":
            yield from _down(facts, readings[record["conn"]], record)
    yield from groups(facts)
    yield from freshness(facts)
    yield from streams(facts)


def _down(facts: Facts, reading: Reading, record: Json) -> Iterator[Violation]:
    frame, t = facts.frame(record), record["t"]
    workspace = facts.conn(record).workspace
    match frame["type"]:
        case "welcome":
            reading.position = _position(facts, workspace, reading)
        case "snapshot":
            yield from _snapshot(facts, workspace, reading, frame, t)
        case "events":
            yield from _events(facts, workspace, reading, frame, record)
        case "state.synced" | "head":
            reading.live = True
            if (
                frame["seq"] != reading.position
                or _id_at(facts, workspace, frame["seq"]) != frame["event_id"]
            ):
                yield Violation(
                    "O7", f"{frame['type']} names {frame['seq']}, {reading.position} was given", t
                )
        case "llm.token":
            yield from _token(reading, frame["payload"], t)
        case "ack":
            # Not in the notes' list, but in the contract: nobody is acked ahead of what they were given.
            if frame["seq"] is not None and (reading.position is None or frame["seq"] > reading.position):
                yield Violation("O1", f"acked at {frame['seq']}, given {reading.position}", t)


def _position(facts: Facts, workspace: str, reading: Reading) -> int | None:
    """Where the replay must begin; None where a snapshot must come first."""
    if reading.since is None:
        return 0 if reading.want == "events" else None
    return facts.seq_of.get((workspace, reading.since))


def _id_at(facts: Facts, workspace: str, seq: int) -> str | None:
    if seq == 0:
        return None
    events = facts.final[workspace]
    return str(events[seq - 1]["event_id"]) if seq <= len(events) else "beyond the end"


def _snapshot(facts: Facts, workspace: str, reading: Reading, frame: Json, t: float) -> Iterator[Violation]:
    if reading.began or frame["part"] != reading.parts:
        yield Violation("O5", f"part {frame['part']} of a snapshot where {reading.parts} was due", t)
    if reading.want == "events":
        yield Violation("O5", "a snapshot for a reader who wants events", t)
    reading.parts += 1
    if frame["last"]:
        reading.began, reading.position = True, frame["seq"]
        events = facts.final[workspace]
        if _id_at(facts, workspace, frame["seq"]) != frame["event_id"]:
            yield Violation("O2", f"a snapshot at {frame['seq']} names another event", t)
        elif 0 < frame["seq"] < len(events) and _origin(events[frame["seq"] - 1]) == _origin(
            events[frame["seq"]]
        ):
            yield Violation("O3", f"the snapshot at {frame['seq']} divides an action", t)


def _events(facts: Facts, workspace: str, reading: Reading, frame: Json, record: Json) -> Iterator[Violation]:
    t, events, final = record["t"], frame["events"], facts.final[workspace]
    if reading.position is None:
        yield Violation("O6", "events for a cursor that the ledger does not hold", t)
        return
    reading.began = True
    if frame["after"] != reading.position:
        yield Violation("O1", f"events after {frame['after']}, the reader is at {reading.position}", t)
    for place, event in enumerate(events, start=frame["after"] + 1):
        if event["seq"] != place:
            yield Violation("O1", f"event {event['seq']} where {place} was due", t)
        if event["seq"] > len(final) or final[event["seq"] - 1] != event:
            yield Violation("O2", f"event {event['seq']} is not the ledger's", t)
        yield from _ended(reading, event, t)
    last = events[-1]["seq"]
    reading.position = last
    if last < len(final) and _origin(final[last]) == _origin(events[-1]):
        yield Violation("O3", f"the frame that ends at {last} divides an action", t)
    if reading.live:
        yield from _may_see(facts, workspace, facts.conn(record).actor, events[0]["seq"], t)


def _origin(event: Json) -> tuple[str, str]:
    return event["actor"], event["client_action_id"]


def _may_see(facts: Facts, workspace: str, actor: str, seq: int, t: float) -> Iterator[Violation]:
    """O10: a live reader is a member just before the first event of a frame."""
    if seq <= facts.head(workspace) + 1 and actor not in facts.state(workspace, seq - 1)["members"]:
        yield Violation("O10", f"{actor} was given {seq} and is no member", t)


# P5: tokens


def _token(reading: Reading, token: Json, t: float) -> Iterator[Violation]:
    name, offset, text = token["message_id"], token["offset"], token["text"]
    said = reading.texts.get(name, "")
    if name in reading.ended:
        yield Violation("P5", f"a token of {name} behind its end", t)
    if offset > len(said):
        yield Violation("P5", f"a token of {name} at {offset}, {len(said)} was given", t)
        return
    overlap = said[offset : offset + len(text)]
    if not text.startswith(overlap):
        yield Violation("P5", f"a token of {name} at {offset} says something else", t)
    reading.texts[name] = said + text[len(said) - offset :]


def _ended(reading: Reading, event: Json, t: float) -> Iterator[Violation]:
    if event["type"] not in ("llm.completed", "llm.interrupted"):
        return
    name, whole = event["payload"]["message_id"], event["payload"]["text"]
    said = reading.texts.get(name, "")
    reading.ended.add(name)
    if not whole.startswith(said):
        yield Violation("P5", f"the tokens of {name} are not the beginning of its text", t)
    elif event["type"] == "llm.completed" and reading.live and name in reading.texts and said != whole:
        yield Violation("P5", f"{name} is complete, of {len(whole)} characters {len(said)} were given", t)


def streams(facts: Facts) -> Iterator[Violation]:
    """P5: every answer that was opened has exactly one end, behind its beginning."""
    for workspace, events in facts.final.items():
        opened: dict[str, int] = {}
        ended: dict[str, int] = {}
        for event in events:
            name = event["payload"].get("message_id")
            if event["type"] == "message.stream":
                opened[name] = event["seq"]
            elif event["type"] in ("llm.completed", "llm.interrupted"):
                if name in ended or name not in opened:
                    yield Violation("P5", f"{workspace}: {name} ends at {event['seq']}, again or unopened")
                ended[name] = event["seq"]
        for name in sorted(opened.keys() - ended.keys()):
            yield Violation("P5", f"{workspace}: {name} was opened at {opened[name]} and never ended")


# Who is where


def groups(facts: Facts) -> Iterator[Violation]:
    """O4: what a client finds on its disk is the ledger up to a seq that it was given."""
    given: dict[str, int] = defaultdict(int)
    for record in facts.records:
        if record["kind"] == "down":
            frame = facts.frame(record)
            name = facts.conn(record).client
            if frame["type"] == "events":
                given[name] = max(given[name], frame["events"][-1]["seq"])
            elif frame["type"] == "snapshot":
                given[name] = max(given[name], frame["seq"])
        elif record["kind"] == "start" and "void" not in record:
            if record["seq"] > given[record["client"]]:
                yield Violation(
                    "O4", f"{record['client']} starts at {record['seq']}, never given", record["t"]
                )
            elif _id_at(facts, record["workspace"], record["seq"]) != record["event_id"]:
                yield Violation("O4", f"{record['client']} starts at an event of no ledger", record["t"])


def freshness(facts: Facts) -> Iterator[Violation]:
    """O8: in peace everybody arrives. O9: who shows "live" has heard something lately."""
    live: dict[str, float] = {}
    for record in facts.records:
        match record["kind"]:
            case "down":
                name = facts.conn(record).client
                if name in live:
                    live[name] = record["t"]
            case "phase":
                name, silent_s = record["client"], record["t"] - live.get(record["client"], record["t"])
                if silent_s > SILENCE_MAX_S:
                    yield Violation(
                        "O9", f"{name} showed live after {silent_s:.1f} s of silence", record["t"]
                    )
                live.pop(name, None)
                if record["phase"] == "live":
                    live[name] = record["t"]
            case "kill":
                live.pop(record["client"], None)
            case "quiet" if not record["settled"]:
                yield Violation("O8", "peace was not enough for all to catch up", record["t"])
            case "final_client":
                head = facts.head(record["workspace"])
                if record["phase"] != "live" or record["seq"] != head:
                    where = f"{record['phase']} at {record['seq']} of {head}"
                    yield Violation("O8", f"{record['client']} is {where}", record["t"])
