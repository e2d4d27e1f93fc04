"""A history for people: one line a record, frames cut down to what tells them apart.

Must not know: what is right.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from tests.sim.facts import Json

_SKIPPED = frozenset({"t", "kind", "frame", "conn", "rows", "outcomes", "state", "confirmed", "view"})


def lines(records: list[Json]) -> Iterator[str]:
    """The whole history, without the frames that only say presence."""
    for record in records:
        if "frame" in record:
            frame = json.loads(record["frame"])
            if frame["type"] == "presence":
                continue
            arrow = {"up": "-->", "out": "<..", "down": "<--"}[record["kind"]]
            text = f"conn {record['conn']:3} {arrow} {_frame(frame)}"
        else:
            fields = " ".join(
                f"{name}={_short(value)}" for name, value in record.items() if name not in _SKIPPED
            )
            conn = f"conn {record['conn']:3} " if "conn" in record else ""
            text = f"{conn}{record['kind']} {fields}"
        yield f"{record['t']:12.4f}  {text}"


def _short(value: object) -> str:
    text = json.dumps(value) if isinstance(value, (dict, list)) else str(value)
    return text if len(text) <= 160 else f"{text[:157]}..."


def _frame(frame: Json) -> str:
    match frame["type"]:
        case "events":
            told = ", ".join(
                f"{one['seq']} {one['type']} ({one['client_action_id'][-12:]})" for one in frame["events"]
            )
            return f"events after {frame['after']}: {told}"
        case "llm.token":
            token = frame["payload"]
            return f"token {token['message_id'][-8:]} at {token['offset']}: {token['text']!r}"
        case "snapshot":
            return f"snapshot {frame['seq']} ({frame['reason']}) part {frame['part']} last {frame['last']}"
        case "ack":
            return f"ack {frame['client_action_id']} {frame['status']} {frame['seq']}"
        case "reject":
            return f"reject {frame['client_action_id']} {frame['code']}: {frame['message']}"
        case _:
            return _short(frame)
