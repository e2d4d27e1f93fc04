"""The generated half of the contract: JSON Schema of all that travels, and the tables of docs/protocol.md.

All of it is a function of the types, limits and codes in `protocol`; no field and no number is written here.

1. `files` is pure: path in the checkout -> text. Writing and comparing are what `main` can do with it.
2. The schemas say what a reader may rely on: fields from tomorrow are allowed everywhere.
"""

from __future__ import annotations

import inspect
import json
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, get_args

import msgspec

from protocol import frames, limits
from protocol.actions import ACTIONS, is_internal
from protocol.errors import (
    HTTP_STATUS,
    RETRYABLE_REJECTS,
    STORED_REJECTS,
    TERMINAL_CLOSES,
    CloseCode,
    RejectCode,
)
from protocol.events import EVENTS, WHOLE_ENTITY
from protocol.state import COLLECTIONS, AssistantState, Settings

Schema = dict[str, object]

ROOT: Final = Path(__file__).resolve().parents[2]
DOCUMENT: Final = "docs/protocol.md"
DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
TEXT: Final[Schema] = {"type": "string"}
OPTIONAL_TEXT: Final[Schema] = {"type": ["string", "null"]}
CLIENT_FRAMES: Final = {"hello": frames.Hello, "presence": frames.PresenceUpdate}
SERVER_FRAMES: Final[tuple[type[msgspec.Struct], ...]] = (
    frames.Welcome,
    frames.Token,
    frames.Synced,
    frames.Presence,
    frames.Ack,
    frames.Reject,
    frames.HeadFrame,
    frames.ErrorFrame,
)
_MARKED: Final = re.compile(r"(<!-- generated: (?P<name>\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def files(document: str) -> dict[str, str]:
    """Every generated file by its path; `document` is docs/protocol.md as it is, whose prose stays."""
    schemas = {
        "actions": actions_schema(),
        "events": events_schema(),
        "frames": frames_schema(),
        "state": state_schema(),
    }
    written = {f"docs/schema/{name}.json": rendered(schema) for name, schema in schemas.items()}
    return {**written, DOCUMENT: filled(document)}


def rendered(schema: Schema) -> str:
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


# Schemas


def components(kinds: Iterable[type]) -> tuple[dict[type, Schema], Schema]:
    """A reference for each type, and the definitions that these refer to."""
    ordered = tuple(dict.fromkeys(kinds))
    references, definitions = msgspec.json.schema_components(
        ordered, schema_hook=_any_value, ref_template="#/$defs/{name}"
    )
    return dict(zip(ordered, references, strict=True)), dict(sorted(definitions.items()))


def _any_value(kind: type) -> Schema:
    """JSON of any kind is `object` in the types."""
    if kind is not object:
        raise NotImplementedError(kind)
    return {"description": "any JSON value"}


def document(title: str, definitions: Mapping[str, object], **rest: object) -> Schema:
    return {"$schema": DIALECT, "title": title, **rest, "$defs": dict(definitions)}


def an_object(required: Mapping[str, object], optional: Mapping[str, object] | None = None) -> Schema:
    properties = {**required, **(optional or {})}
    return {"type": "object", "properties": properties, "required": list(required)}


def actions_schema() -> Schema:
    """An action as every road carries it, by its type."""
    references, definitions = components(ACTIONS.values())
    client_action_id = {"$ref": "#/$defs/ClientActionId"}
    choices = [
        an_object(
            {"type": {"const": name}, "client_action_id": client_action_id, "payload": references[kind]}
        )
        for name, kind in ACTIONS.items()
    ]
    return document("An action", {**definitions, "ClientActionId": client_action_id_schema()}, oneOf=choices)


def client_action_id_schema() -> Schema:
    longest = limits.client_action_id_characters_max
    return {"type": "string", "minLength": 1, "maxLength": longest, "pattern": "^[ -~]+$"}


def event_choices(references: Mapping[type, Schema]) -> list[Schema]:
    return [event_schema({"const": name}, references[flat(kind)]) for name, kind in EVENTS.items()]


def event_schema(name: Schema, payload: Schema) -> Schema:
    stamp = {
        "seq": {"type": "integer", "minimum": 1},
        "event_id": TEXT,
        "timestamp": TEXT,
        "type": name,
        "actor": TEXT,
        "client_action_id": TEXT,
        "cause": TEXT,
        "because": OPTIONAL_TEXT,
    }
    return an_object({**stamp, "payload": payload})


def flat(kind: type[msgspec.Struct]) -> type[msgspec.Struct]:
    """The type whose fields stand on the wire as an event's payload."""
    return WHOLE_ENTITY.get(kind, kind)  # type: ignore[arg-type]  # keyed by payload types


def events_schema() -> Schema:
    """An event of the ledger, by its type; one of a type from tomorrow has the stamp and any payload."""
    references, definitions = components(flat(kind) for kind in EVENTS.values())
    unknown = event_schema({"type": "string", "not": {"enum": list(EVENTS)}}, {"type": "object"})
    return document("An event", definitions, oneOf=[*event_choices(references), unknown])


def frames_schema() -> Schema:
    """What travels in one WebSocket message, either way. Events and states have schemas of their own."""
    references, definitions = components([*CLIENT_FRAMES.values(), *SERVER_FRAMES])
    action = an_object(
        {"type": TEXT, "client_action_id": client_action_id_schema()}, {"payload": {"type": "object"}}
    )
    action["properties"]["type"] = {"type": "string", "not": {"enum": list(CLIENT_FRAMES)}}  # type: ignore[index]  # made above
    client = [*(references[kind] for kind in CLIENT_FRAMES.values()), action]
    server = [*(references[kind] for kind in SERVER_FRAMES), snapshot_schema(), events_frame_schema()]
    sides = {"Client": {"oneOf": client}, "Server": {"oneOf": server}}
    either = [{"$ref": "#/$defs/Client"}, {"$ref": "#/$defs/Server"}]
    return document("A frame", {**definitions, **sides}, anyOf=either)


def snapshot_schema() -> Schema:
    return an_object(
        {
            "type": {"const": "snapshot"},
            "seq": {"type": "integer", "minimum": 0},
            "event_id": OPTIONAL_TEXT,
            "reason": {"enum": list(get_args(frames.SnapshotReason))},
            "part": {"type": "integer", "minimum": 0},
            "last": {"type": "boolean"},
            "state": {"$ref": "state.json"},
        }
    )


def events_frame_schema() -> Schema:
    events = {"type": "array", "items": {"$ref": "events.json"}}
    return an_object(
        {"type": {"const": "events"}, "after": {"type": "integer", "minimum": 0}, "events": events}
    )


def state_schema() -> Schema:
    """A state, whole or a part of it: each collection an object keyed by id."""
    references, definitions = components([*COLLECTIONS.values(), Settings, AssistantState])
    collections: Schema = {
        name: {"type": "object", "additionalProperties": references[kind]}
        for name, kind in COLLECTIONS.items()
    }
    singles: Schema = {"settings": references[Settings], "assistant": references[AssistantState]}
    return document("A state", definitions, **an_object({}, {**collections, **singles}))


# Tables


def filled(text: str) -> str:
    """The document with every marked place holding its table."""
    return _MARKED.sub(lambda found: f"{found[1]}{TABLES[found['name']]()}\n{found[3]}", text)


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def fields(kind: type[msgspec.Struct]) -> str:
    """`{task_id, title, notes?}` as the contract writes it."""
    names = (one.encode_name + ("" if one.required else "?") for one in msgspec.structs.fields(kind))
    return f"`{{{', '.join(names)}}}`"


def actions_table(*, internal: bool) -> str:
    rows = ((f"`{name}`", fields(kind)) for name, kind in ACTIONS.items() if is_internal(name) == internal)
    return table(("action", "payload"), rows)


def events_table() -> str:
    return table(("event", "payload"), ((f"`{name}`", fields(flat(kind))) for name, kind in EVENTS.items()))


def state_table() -> str:
    rows = [(f"`{name}`", fields(kind)) for name, kind in COLLECTIONS.items()]
    singles = [("`settings`", fields(Settings)), ("`assistant`", fields(AssistantState))]
    return table(("collection", "entry"), [*rows, *singles])


def limits_table() -> str:
    """Every limit under the heading that it has in the source."""
    rows, heading = [], ""
    for line in inspect.getsource(limits).splitlines():
        if line.startswith("# "):
            heading = line[2:]
            rows.append((f"**{heading}**", ""))
        elif heading and (found := re.match(r"(\w+): Final = ", line)):
            rows.append((f"`{found[1]}`", f"{getattr(limits, found[1]):,}"))
    return table(("limit", "value"), rows)


def rejects_table() -> str:
    rows = (
        (f"`{code}`", str(HTTP_STATUS[code]), _mark(code in STORED_REJECTS), _mark(code in RETRYABLE_REJECTS))
        for code in get_args(RejectCode)
    )
    return table(("code", "HTTP", "stored", "retryable"), rows)


def closes_table() -> str:
    rows = (
        (str(code.value), code.name.lower().replace("_", " "), _mark(code in TERMINAL_CLOSES))
        for code in sorted(CloseCode)
    )
    return table(("close code", "meaning", "terminal"), rows)


def _mark(yes: bool) -> str:
    return "yes" if yes else ""


TABLES: Final = {
    "actions": lambda: actions_table(internal=False),
    "internal_actions": lambda: actions_table(internal=True),
    "events": events_table,
    "state": state_table,
    "limits": limits_table,
    "rejects": rejects_table,
    "closes": closes_table,
}


def stale(root: Path) -> list[str]:
    """The generated files that are not what they should be."""
    return [path for path, text in wanted(root).items() if _read(root / path) != text]


def wanted(root: Path) -> dict[str, str]:
    return files(_read(root / DOCUMENT))


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


def main(arguments: list[str]) -> int:
    """0 when all is as it should be, 1 where `--check` found something stale."""
    found = stale(ROOT)
    for path in found:
        print(f"schema: {path} {'is stale; run scripts/schema' if '--check' in arguments else 'written'}")
    if "--check" in arguments:
        return 1 if found else 0
    for path, text in wanted(ROOT).items():
        (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / path).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
